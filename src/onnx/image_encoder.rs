//! Image encoders as ONNX operators. Channels come first, as in ONNX's convolutions.

use burn::module::Param;
use burn::tensor::Tensor;

use super::graph::values;
use super::{Attribute, Graph, GraphValue, OnnxError};
use crate::model::{
    Activation, AttentionPool2d, Bottleneck, Clip, ClipConfig, ImageEncoder, MapHead, Mlp,
    ModifiedResNet, ResNetConfig, ResidualAttentionBlock, VisionConfig, VisionTransformer,
    VitConfig, VitPooling,
};
use crate::ops::{ConvNorm, LayerNorm, Linear};

/// Adds the image encoder: pixels `[batch, 3, image_size, image_size]` to `[batch, embed_dim]`,
/// before normalisation.
pub async fn add(
    graph: &mut Graph,
    model: &Clip,
    config: &ClipConfig,
    pixels: &GraphValue,
) -> Result<GraphValue, OnnxError> {
    match (&model.visual, &config.vision) {
        (ImageEncoder::Vit(encoder), VisionConfig::Vit(config)) => {
            let unsupported = [
                (config.conv_stem, "MobileCLIP's stem of convolutions"),
                (config.rotary.is_some(), "rotary positions"),
                (config.swiglu, "gated MLPs"),
            ];
            match unsupported.iter().find(|(has, _)| *has) {
                Some((_, part)) => Err(OnnxError::Unsupported(part)),
                None => Vit { graph, config }.encoder(encoder, pixels).await,
            }
        }
        (ImageEncoder::ResNet(encoder), VisionConfig::ResNet(config)) => {
            ResNet { graph, config }.encoder(encoder, pixels).await
        }
        _ => Err(OnnxError::Unsupported("FastViT's blocks")),
    }
}

impl Graph {
    /// `x W + b`, `[…, d_input]` to `[…, d_output]`.
    async fn linear(
        &mut self,
        name: &str,
        layer: &Linear,
        x: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let weight = self
            .parameter(&format!("{name}.weight"), &layer.weight)
            .await?;
        let product = self.node("MatMul", &[x, &weight], &[]);
        match &layer.bias {
            Some(bias) => {
                let bias = self.parameter(&format!("{name}.bias"), bias).await?;
                Ok(self.node("Add", &[&product, &bias], &[]))
            }
            None => Ok(product),
        }
    }

    /// Multi-head attention: query `[batch, queries, width]`, key and value `[batch, length, width]`,
    /// to `[batch, queries, width]`.
    fn attention(
        &mut self,
        [query, key, value]: [&GraphValue; 3],
        width: usize,
        heads: usize,
    ) -> GraphValue {
        let size = width / heads;
        let number = self.ints_of(&[0, 0, heads as i64, size as i64]);
        let mut split = |x: &GraphValue, permutation: &[i64]| {
            let x = self.node("Reshape", &[x, &number], &[]);
            self.node(
                "Transpose",
                &[&x],
                &[("perm", Attribute::Ints(permutation))],
            )
        };
        let query = split(query, &[0, 2, 1, 3]);
        let key = split(key, &[0, 2, 3, 1]);
        let value = split(value, &[0, 2, 1, 3]);
        let scale = self.float_of((size as f32).powf(-0.5));
        let query = self.node("Mul", &[&query, &scale], &[]);
        let scores = self.node("MatMul", &[&query, &key], &[]);
        let shares = self.node("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let mixed = self.node("MatMul", &[&shares, &value], &[]);
        let order = [("perm", Attribute::Ints(&[0, 2, 1, 3]))];
        let mixed = self.node("Transpose", &[&mixed], &order);
        let joined = self.ints_of(&[0, 0, width as i64]);
        self.node("Reshape", &[&mixed, &joined], &[])
    }

    /// `[batch, channels, rows, columns]` to `[batch, rows * columns, channels]`.
    fn places(&mut self, x: &GraphValue) -> GraphValue {
        let shape = self.ints_of(&[0, 0, -1]);
        let x = self.node("Reshape", &[x, &shape], &[]);
        let order = [("perm", Attribute::Ints(&[0, 2, 1]))];
        self.node("Transpose", &[&x], &order)
    }

    /// `[batch, length, width]` to `[batch, width]`: the first of each.
    fn first(&mut self, x: &GraphValue) -> GraphValue {
        let first = self.index(0);
        self.node("Gather", &[x, &first], &[("axis", Attribute::Int(1))])
    }
}

/// A Vision Transformer on its way into a graph.
struct Vit<'a> {
    graph: &'a mut Graph,
    config: &'a VitConfig,
}

impl Vit<'_> {
    async fn encoder(
        &mut self,
        encoder: &VisionTransformer,
        pixels: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let config = self.config;
        let mut x = self.embed(encoder, pixels).await?;
        if let Some(ln_pre) = &encoder.ln_pre {
            x = self.layer_norm("ln_pre", ln_pre, &x).await?;
        }
        for (index, block) in encoder.transformer.resblocks.iter().enumerate() {
            x = self
                .block(&format!("transformer.resblocks.{index}"), block, &x)
                .await?;
        }
        if config.pooling == VitPooling::ClassToken {
            x = self.graph.first(&x);
        }
        x = self.layer_norm("ln_post", &encoder.ln_post, &x).await?;
        x = match (config.pooling, &encoder.head) {
            (VitPooling::ClassToken, _) => x,
            (pooling, Some(head)) => {
                let heads = match pooling {
                    VitPooling::MapWithClassToken { heads } => heads,
                    _ => config.heads,
                };
                self.map_head(head, &x, heads).await?
            }
            (_, None) => self.mean_of_patches(&x),
        };
        match &encoder.proj {
            Some(proj) => self.graph.linear("proj", proj, &x).await,
            None => Ok(x),
        }
    }

    /// Pixels to tokens with positions, `[batch, tokens, width]`.
    async fn embed(
        &mut self,
        encoder: &VisionTransformer,
        pixels: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let VitConfig {
            patch_size, width, ..
        } = *self.config;
        let graph = &mut *self.graph;
        let weight = values(encoder.conv1.weight.val().transpose()).await?;
        let shape = [width, 3, patch_size, patch_size];
        let weight = graph.floats("conv1.weight", &shape, &weight);
        let mut inputs = vec![pixels, &weight];
        let bias = match &encoder.conv1.bias {
            Some(bias) => Some(graph.parameter("conv1.bias", bias).await?),
            None => None,
        };
        inputs.extend(&bias);
        let side = [patch_size as i64; 2];
        let sides = [
            ("kernel_shape", Attribute::Ints(&side)),
            ("strides", Attribute::Ints(&side)),
        ];
        let patches = graph.node("Conv", &inputs, &sides);
        let mut x = graph.places(&patches);
        let mut positions = values(encoder.positional_embedding.val()).await?;
        if let Some(class) = &encoder.class_embedding {
            // Zeros in its place, and the class token among the positions: no batch size is needed.
            let class = values(class.val()).await?;
            (positions.iter_mut().zip(class)).for_each(|(position, class)| *position += class);
            let before = graph.ints_of(&[0, 1, 0, 0, 0, 0]);
            x = graph.node("Pad", &[&x, &before], &[]);
        }
        let shape = [positions.len() / width, width];
        let positions = graph.floats("positional_embedding", &shape, &positions);
        Ok(graph.node("Add", &[&x, &positions], &[]))
    }

    async fn block(
        &mut self,
        name: &str,
        block: &ResidualAttentionBlock,
        x: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let named = |part: &str| format!("{name}.{part}");
        let VitConfig { width, heads, .. } = *self.config;
        let y = self.layer_norm(&named("ln_1"), &block.ln_1, x).await?;
        let qkv = (self.graph)
            .linear(&named("attn.in_proj"), &block.attn.in_proj, &y)
            .await?;
        let [query, key, value] = self.split(&qkv);
        let mixed = (self.graph).attention([&query, &key, &value], width, heads);
        let mixed = (self.graph)
            .linear(&named("attn.out_proj"), &block.attn.out_proj, &mixed)
            .await?;
        let x = self
            .add_scaled(&named("ls_1"), &block.ls_1, &mixed, x)
            .await?;
        let y = self.layer_norm(&named("ln_2"), &block.ln_2, &x).await?;
        let y = self.mlp(&named("mlp"), &block.mlp, &y).await?;
        self.add_scaled(&named("ls_2"), &block.ls_2, &y, &x).await
    }

    /// `residual + scale * x`.
    async fn add_scaled(
        &mut self,
        name: &str,
        scale: &Option<Param<Tensor<1>>>,
        x: &GraphValue,
        residual: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let graph = &mut *self.graph;
        let scaled = match scale {
            Some(scale) => {
                let scale = graph.parameter(name, scale).await?;
                graph.node("Mul", &[x, &scale], &[])
            }
            None => x.clone(),
        };
        Ok(graph.node("Add", &[&scaled, residual], &[]))
    }

    async fn mlp(
        &mut self,
        name: &str,
        mlp: &Mlp,
        x: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let x = (self.graph)
            .linear(&format!("{name}.c_fc"), &mlp.c_fc, x)
            .await?;
        let x = self.activation(&x);
        (self.graph)
            .linear(&format!("{name}.c_proj"), &mlp.c_proj, &x)
            .await
    }

    fn activation(&mut self, x: &GraphValue) -> GraphValue {
        let graph = &mut *self.graph;
        let scaled = |graph: &mut Graph, x: &GraphValue, factor: f32| {
            let factor = graph.float_of(factor);
            graph.node("Mul", &[x, &factor], &[])
        };
        let gate = match self.config.activation {
            Activation::QuickGelu => {
                let gate = scaled(graph, x, 1.702);
                let gate = graph.node("Sigmoid", &[&gate], &[]);
                return graph.node("Mul", &[x, &gate], &[]);
            }
            Activation::Gelu => {
                let gate = scaled(graph, x, std::f32::consts::FRAC_1_SQRT_2);
                graph.node("Erf", &[&gate], &[])
            }
            Activation::GeluTanh => {
                let square = graph.node("Mul", &[x, x], &[]);
                let cube = graph.node("Mul", &[&square, x], &[]);
                let cube = scaled(graph, &cube, 0.044_715);
                let sum = graph.node("Add", &[x, &cube], &[]);
                let gate = scaled(graph, &sum, (2.0 / std::f32::consts::PI).sqrt());
                graph.node("Tanh", &[&gate], &[])
            }
        };
        let one = graph.float_of(1.0);
        let gate = graph.node("Add", &[&gate, &one], &[]);
        let x = scaled(graph, x, 0.5);
        graph.node("Mul", &[&x, &gate], &[])
    }

    async fn layer_norm(
        &mut self,
        name: &str,
        layer: &LayerNorm,
        x: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let gamma = (self.graph)
            .parameter(&format!("{name}.weight"), &layer.gamma)
            .await?;
        let beta = (self.graph)
            .parameter(&format!("{name}.bias"), &layer.beta)
            .await?;
        let epsilon = self.config.layer_norm_eps as f32;
        let attributes = [
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(epsilon)),
        ];
        Ok(self
            .graph
            .node("LayerNormalization", &[x, &gamma, &beta], &attributes))
    }

    /// Attention pooling by a learnt query: `[batch, length, width]` to `[batch, width]`.
    async fn map_head(
        &mut self,
        head: &MapHead,
        tokens: &GraphValue,
        heads: usize,
    ) -> Result<GraphValue, OnnxError> {
        let width = self.config.width;
        let projected = self
            .graph
            .linear("head.in_proj", &head.in_proj, tokens)
            .await?;
        let [_, key, value] = self.split(&projected);
        // The same for every image, and repeated by the product with their keys.
        let query = head.in_proj.forward(head.probe.val().unsqueeze::<2>());
        let query = values(query.narrow(1, 0, width)).await?;
        let query = self.graph.floats("head.query", &[1, 1, width], &query);
        let mixed = self.graph.attention([&query, &key, &value], width, heads);
        let x = self.graph.first(&mixed);
        let x = self
            .graph
            .linear("head.out_proj", &head.out_proj, &x)
            .await?;
        let y = self.layer_norm("head.ln", &head.ln, &x).await?;
        let y = self.mlp("head.mlp", &head.mlp, &y).await?;
        Ok(self.graph.node("Add", &[&x, &y], &[]))
    }

    /// Mean of the tokens after the class token.
    fn mean_of_patches(&mut self, x: &GraphValue) -> GraphValue {
        let graph = &mut *self.graph;
        let [start, end, axis] = [1, i64::MAX, 1].map(|number| graph.ints_of(&[number]));
        let patches = graph.node("Slice", &[x, &start, &end, &axis], &[]);
        let attributes = [
            ("axes", Attribute::Ints(&[1])),
            ("keepdims", Attribute::Int(0)),
        ];
        graph.node("ReduceMean", &[&patches], &attributes)
    }

    /// Query, key and value: `[…, 3 * width]` to `[…, width]` each.
    fn split(&mut self, x: &GraphValue) -> [GraphValue; 3] {
        let sizes = self.graph.ints_of(&[self.config.width as i64; 3]);
        let axis = [("axis", Attribute::Int(-1))];
        self.graph.node_of_many("Split", &[x, &sizes], &axis)
    }
}

/// A modified ResNet on its way into a graph.
struct ResNet<'a> {
    graph: &'a mut Graph,
    config: &'a ResNetConfig,
}

impl ResNet<'_> {
    async fn encoder(
        &mut self,
        encoder: &ModifiedResNet,
        pixels: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let mut x = pixels.clone();
        let stem = [&encoder.conv1, &encoder.conv2, &encoder.conv3];
        for (layer, name) in stem.into_iter().zip(["conv1", "conv2", "conv3"]) {
            x = self.conv(name, layer, &x).await?;
            x = self.graph.node("Relu", &[&x], &[]);
        }
        x = self.average_pool(&x, 2);
        let stages = [
            &encoder.layer1,
            &encoder.layer2,
            &encoder.layer3,
            &encoder.layer4,
        ];
        for (stage, number) in stages.into_iter().zip(1..) {
            for (index, block) in stage.iter().enumerate() {
                let stride = if number > 1 && index == 0 { 2 } else { 1 };
                let name = format!("layer{number}.{index}");
                x = self.bottleneck(&name, block, &x, stride).await?;
            }
        }
        self.pool(&encoder.attnpool, &x).await
    }

    async fn bottleneck(
        &mut self,
        name: &str,
        block: &Bottleneck,
        x: &GraphValue,
        stride: usize,
    ) -> Result<GraphValue, OnnxError> {
        let named = |part: &str| format!("{name}.{part}");
        let shortcut = match &block.downsample {
            Some(downsample) => {
                let pooled = self.average_pool(x, stride);
                self.conv(&named("downsample"), downsample, &pooled).await?
            }
            None => x.clone(),
        };
        let y = self.conv(&named("conv1"), &block.conv1, x).await?;
        let y = self.graph.node("Relu", &[&y], &[]);
        let y = self.conv(&named("conv2"), &block.conv2, &y).await?;
        let y = self.graph.node("Relu", &[&y], &[]);
        let y = self.average_pool(&y, stride);
        let y = self.conv(&named("conv3"), &block.conv3, &y).await?;
        let y = self.graph.node("Add", &[&y, &shortcut], &[]);
        Ok(self.graph.node("Relu", &[&y], &[]))
    }

    /// Convolution with its batch normalisation in weights and bias.
    async fn conv(
        &mut self,
        name: &str,
        layer: &ConvNorm,
        x: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let norm = &layer.norm;
        let gamma = values(norm.gamma.val()).await?;
        let beta = values(norm.beta.val()).await?;
        let mean = values(norm.running_mean.value()).await?;
        let variance = values(norm.running_var.value()).await?;
        let shape = layer.conv.weight.val().dims();
        let mut weight = values(layer.conv.weight.val()).await?;
        let per_channel = weight.len() / shape[0];
        let mut bias = Vec::with_capacity(shape[0]);
        for (channel, weights) in weight.chunks_mut(per_channel).enumerate() {
            let scale =
                f64::from(gamma[channel]) / (f64::from(variance[channel]) + norm.epsilon).sqrt();
            weights
                .iter_mut()
                .for_each(|w| *w = (f64::from(*w) * scale) as f32);
            bias.push((f64::from(beta[channel]) - f64::from(mean[channel]) * scale) as f32);
        }
        let weight = self
            .graph
            .floats(&format!("{name}.weight"), &shape, &weight);
        let bias = self
            .graph
            .floats(&format!("{name}.bias"), &[bias.len()], &bias);
        let sides = [layer.conv.kernel_size, layer.conv.stride].map(|s| s.map(|side| side as i64));
        let padding = [sides[0][0] / 2; 4];
        let attributes = [
            ("kernel_shape", Attribute::Ints(&sides[0])),
            ("strides", Attribute::Ints(&sides[1])),
            ("pads", Attribute::Ints(&padding)),
        ];
        Ok(self.graph.node("Conv", &[x, &weight, &bias], &attributes))
    }

    fn average_pool(&mut self, x: &GraphValue, side: usize) -> GraphValue {
        if side == 1 {
            return x.clone();
        }
        let side = [side as i64; 2];
        let attributes = [
            ("kernel_shape", Attribute::Ints(&side)),
            ("strides", Attribute::Ints(&side)),
        ];
        self.graph.node("AveragePool", &[x], &attributes)
    }

    /// Attention pooling whose query is the mean: `[batch, channels, rows, columns]` to `[batch,
    /// embed_dim]`.
    async fn pool(
        &mut self,
        pool: &AttentionPool2d,
        x: &GraphValue,
    ) -> Result<GraphValue, OnnxError> {
        let graph = &mut *self.graph;
        let places = graph.places(x);
        let attributes = [
            ("axes", Attribute::Ints(&[1])),
            ("keepdims", Attribute::Int(1)),
        ];
        let mean = graph.node("ReduceMean", &[&places], &attributes);
        let tokens = graph.node("Concat", &[&mean, &places], &[("axis", Attribute::Int(1))]);
        let positions = graph
            .parameter("attnpool.positional_embedding", &pool.positional_embedding)
            .await?;
        let tokens = graph.node("Add", &[&tokens, &positions], &[]);
        let first = graph.ints_of(&[0]);
        let query = graph.node("Gather", &[&tokens, &first], &[("axis", Attribute::Int(1))]);
        let query = graph
            .linear("attnpool.q_proj", &pool.q_proj, &query)
            .await?;
        let key = graph
            .linear("attnpool.k_proj", &pool.k_proj, &tokens)
            .await?;
        let value = graph
            .linear("attnpool.v_proj", &pool.v_proj, &tokens)
            .await?;
        let (width, heads) = (self.config.channels(), self.config.heads);
        let mixed = graph.attention([&query, &key, &value], width, heads);
        let pooled = graph.first(&mixed);
        graph.linear("attnpool.c_proj", &pool.c_proj, &pooled).await
    }
}
