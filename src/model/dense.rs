//! Dense image features: what the image encoder says of each place of a picture, in the embedding that it shares
//! with texts. Nothing is trained for them, and the picture may have another size than the model's.
//!
//! - A ViT with a class token: the last block without residual and MLP, its queries attending to queries (ClearCLIP,
//!   [arXiv 2407.12442](https://arxiv.org/abs/2407.12442)).
//! - SigLIP and Perception Encoder: each patch pooled by itself.
//! - A FastViT: each place projected by itself, since the image's features are their mean.
//! - A ResNet: value and output projection of the attention pool at each place (MaskCLIP,
//!   [arXiv 2112.01071](https://arxiv.org/abs/2112.01071)).
//!
//! `benches/locate.md` says how well they point.

use burn::tensor::Tensor;

use super::transformer::Attend;
use super::{
    AttentionPool2d, Clip, ImageEncoder, MapHead, ModifiedResNet, ResidualAttentionBlock,
    Transformer, VisionTransformer,
};
use crate::ops::{into_contiguous, multi_head, normalize, pool_value};

impl Clip {
    /// `[batch, 3, height, width]`, normalised pixels, to unit vectors `[batch, rows, columns,
    /// embed_dim]`, one for each patch of a ViT or each 32 x 32 pixels of a ResNet or FastViT.
    pub fn dense_image_features(&self, images: Tensor<4>) -> Tensor<4> {
        let places = match &self.visual {
            ImageEncoder::Vit(encoder) => encoder.forward_dense(images),
            ImageEncoder::ResNet(encoder) => encoder.forward_dense(images),
            ImageEncoder::FastVit(encoder) => encoder.forward_dense(images),
        };
        let [batch, rows, columns, embed_dim] = places.dims();
        normalize(places.reshape([batch * rows * columns, embed_dim]))
            .reshape([batch, rows, columns, embed_dim])
    }
}

impl VisionTransformer {
    /// `[batch, 3, height, width]` to `[batch, rows, columns, embed_dim]`.
    fn forward_dense(&self, images: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = images.dims();
        let [rows, columns] = [height, width].map(|side| side / self.patch_size);
        let (x, rotation) = self.embed(images);
        let attend = Attend {
            causal: false,
            rotation: rotation.as_ref(),
        };
        let x = match &self.head {
            Some(_) => self.transformer.forward(x, attend),
            None => self.transformer.forward_dense(x, attend),
        };
        let first = x.dims()[1] - rows * columns;
        let x = into_contiguous((self.ln_post.forward(x)).narrow(1, first, rows * columns));
        let x = match &self.head {
            Some(head) => head.forward_dense(x),
            None => x,
        };
        let x = match &self.proj {
            Some(proj) => proj.forward(x),
            None => x,
        };
        let features = x.dims()[2];
        x.reshape([batch, rows, columns, features])
    }
}

impl Transformer {
    /// `[batch, length, width]`, in and out: all blocks, the last of which does not mix what is at
    /// different places.
    fn forward_dense(&self, x: Tensor<3>, attend: Attend) -> Tensor<3> {
        let Some((last, blocks)) = self.resblocks.split_last() else {
            return x;
        };
        let x = (blocks.iter()).fold(x, |x, block| block.forward(x, attend));
        last.forward_dense(x, attend)
    }
}

impl ResidualAttentionBlock {
    /// `[batch, length, width]`, in and out: attention by similar queries, without residual and MLP.
    fn forward_dense(&self, x: Tensor<3>, attend: Attend) -> Tensor<3> {
        let width = x.dims()[2];
        let qkv = self.qkv(x, attend.rotation);
        let query = qkv.clone().narrow(2, 0, width);
        let value = qkv.narrow(2, 2 * width, width);
        let x = multi_head(query.clone(), query, value, self.attn.heads);
        let x = match &self.attn.ln {
            Some(ln) => ln.forward(x),
            None => x,
        };
        let x = self.attn.out_proj.forward(x);
        match &self.ls_1 {
            Some(scale) => x * scale.val().unsqueeze(),
            None => x,
        }
    }
}

impl MapHead {
    /// `[batch, length, width]`, in and out: each token pooled as if it were the only one, whose
    /// attention is then 1.
    fn forward_dense(&self, tokens: Tensor<3>) -> Tensor<3> {
        let width = tokens.dims()[2];
        let value = self.in_proj.forward(tokens).narrow(2, 2 * width, width);
        let x = self.out_proj.forward(into_contiguous(value));
        (self.mlp).forward_residual(self.ln.forward(x.clone()), x)
    }
}

impl ModifiedResNet {
    /// `[batch, 3, height, width]` to `[batch, rows, columns, embed_dim]`.
    fn forward_dense(&self, images: Tensor<4>) -> Tensor<4> {
        self.attnpool.forward_dense(self.feature_map(images))
    }
}

impl AttentionPool2d {
    /// `[batch, rows, columns, channels]` to `[batch, rows, columns, embed_dim]`.
    fn forward_dense(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, rows, columns, channels] = x.dims();
        let places = rows * columns;
        let positions = self.positions(rows, columns).narrow(0, 1, places);
        let tokens = x.reshape([batch, places, channels]) + positions.unsqueeze::<3>();
        let values = pool_value(tokens, &self.v_proj, &self.packed);
        let x = self.c_proj.forward(values);
        let features = x.dims()[2];
        x.reshape([batch, rows, columns, features])
    }
}
