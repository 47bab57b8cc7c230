//! Packing of weights for the device's fastest kernels, and compiling of GPU kernels ahead
//! of time. Neither changes what is computed.

use burn::tensor::Device;

use super::{
    AttentionPool2d, Clip, ClipConfig, FastVit, FastVitConfig, ImageEncoder, MapHead,
    ModifiedResNet, ResidualAttentionBlock, SqueezeExcite, TextTransformer, TokenMixer,
    Transformer, VisionConfig, VisionTransformer,
};
use crate::ops::{Linear, PackedPool, WeightPrecision, precompile_kernels};

impl Clip {
    /// Compiles the GPU kernels of such a model before its weights are loaded; see
    /// [`precompile_kernels`].
    pub fn precompile_kernels(config: &ClipConfig, device: &Device) {
        let text = config.text.width / config.text.heads;
        let (image, convolutions) = match &config.vision {
            VisionConfig::Vit(vision) => (vision.width / vision.heads, false),
            VisionConfig::ResNet(vision) => (vision.channels() / vision.heads, true),
            VisionConfig::FastVit(_) => (FastVitConfig::HEAD_WIDTH, false),
        };
        precompile_kernels(&[image, text], convolutions, device);
    }

    /// Packs the weights for the device's fastest kernels. A packed model is for
    /// inference only: it can be neither trained nor saved.
    pub fn pack(mut self, packing: WeightPrecision) -> Self {
        match &mut self.visual {
            ImageEncoder::Vit(encoder) => encoder.pack(packing),
            ImageEncoder::ResNet(encoder) => encoder.pack(packing),
            ImageEncoder::FastVit(encoder) => encoder.pack(packing),
        }
        self.text.pack(packing);
        self
    }

    /// A transformer's linear layer by path, such as
    /// `text.transformer.resblocks.0.mlp.c_fc`: most parameters are in these, which a
    /// loader packs one by one.
    pub fn linear(&mut self, path: &str) -> Option<&mut Linear> {
        match (path.strip_prefix("text.transformer."), &mut self.visual) {
            (Some(path), _) => self.text.transformer.linear(path),
            (None, ImageEncoder::Vit(encoder)) => {
                let path = path.strip_prefix("visual.Vit.transformer.")?;
                encoder.transformer.linear(path)
            }
            (None, ImageEncoder::ResNet(_) | ImageEncoder::FastVit(_)) => None,
        }
    }
}

impl VisionTransformer {
    fn pack(&mut self, packing: WeightPrecision) {
        let layers = self.stem.iter_mut().chain([&mut self.conv1]);
        layers.for_each(|layer| layer.pack(packing));
        self.transformer.pack(packing);
        if let Some(head) = &mut self.head {
            head.pack(packing);
        }
        if let Some(proj) = &mut self.proj {
            proj.pack(packing);
        }
    }
}

impl MapHead {
    fn pack(&mut self, packing: WeightPrecision) {
        let mlp = &mut self.mlp;
        let layers = [
            &mut self.in_proj,
            &mut self.out_proj,
            &mut mlp.c_fc,
            &mut mlp.c_proj,
        ];
        layers.into_iter().for_each(|layer| layer.pack(packing));
    }
}

impl TextTransformer {
    fn pack(&mut self, packing: WeightPrecision) {
        self.transformer.pack(packing);
        if let Some(hidden) = &mut self.projection_hidden {
            hidden.pack(packing);
        }
        self.text_projection.pack(packing);
    }
}

impl Transformer {
    fn pack(&mut self, packing: WeightPrecision) {
        let layers = self.resblocks.iter_mut().flat_map(|block| block.linears());
        layers.for_each(|(_, layer)| layer.pack(packing));
    }

    /// Linear layer by path, such as `resblocks.0.attn.in_proj`.
    fn linear(&mut self, path: &str) -> Option<&mut Linear> {
        let (block, path) = path.strip_prefix("resblocks.")?.split_once('.')?;
        let block = self.resblocks.get_mut(block.parse::<usize>().ok()?)?;
        let found = (block.linears().into_iter()).find(|(name, _)| *name == path);
        found.map(|(_, layer)| layer)
    }
}

impl ResidualAttentionBlock {
    fn linears(&mut self) -> [(&'static str, &mut Linear); 4] {
        [
            ("attn.in_proj", &mut self.attn.in_proj),
            ("attn.out_proj", &mut self.attn.out_proj),
            ("mlp.c_fc", &mut self.mlp.c_fc),
            ("mlp.c_proj", &mut self.mlp.c_proj),
        ]
    }
}

impl ModifiedResNet {
    fn pack(&mut self, packing: WeightPrecision) {
        let stem = [&mut self.conv1, &mut self.conv2, &mut self.conv3];
        stem.into_iter().for_each(|layer| layer.pack(packing));
        let stages = [
            &mut self.layer1,
            &mut self.layer2,
            &mut self.layer3,
            &mut self.layer4,
        ];
        for block in stages.into_iter().flatten() {
            let path = [&mut block.conv1, &mut block.conv2, &mut block.conv3];
            let path = path.into_iter().chain(&mut block.downsample);
            path.for_each(|layer| layer.pack(packing));
        }
        self.attnpool.pack(packing);
    }
}

impl FastVit {
    fn pack(&mut self, packing: WeightPrecision) {
        let mut layers = vec![&mut self.stem.conv3, &mut self.head];
        layers.extend(self.se.linears());
        for stage in &mut self.stages {
            if let Some(downsample) = &mut stage.downsample {
                layers.push(&mut downsample.proj);
                layers.extend(downsample.se.iter_mut().flat_map(SqueezeExcite::linears));
            }
            for block in &mut stage.blocks {
                layers.extend([&mut block.mlp.c_fc, &mut block.mlp.c_proj]);
                if let TokenMixer::Attention(mixer) = &mut block.token_mixer {
                    layers.extend([&mut mixer.in_proj, &mut mixer.out_proj]);
                }
            }
        }
        layers.into_iter().for_each(|layer| layer.pack(packing));
    }
}

impl SqueezeExcite {
    fn linears(&mut self) -> [&mut Linear; 2] {
        [&mut self.fc1, &mut self.fc2]
    }
}

impl AttentionPool2d {
    fn pack(&mut self, packing: WeightPrecision) {
        self.q_proj.pack(packing);
        self.c_proj.pack(packing);
        if packing == WeightPrecision::AsStored {
            self.packed = PackedPool::new([&mut self.k_proj, &mut self.v_proj], self.heads);
        }
        if self.packed.is_none() {
            self.k_proj.pack(packing);
            self.v_proj.pack(packing);
        }
    }
}
