//! New models, to train from scratch.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use super::optimizer::map_untracked;
use crate::model::{Clip, ClipConfig, ImageEncoder, VisionTransformer};

/// Model with the initial weights that `seed` gives, whatever else draws random numbers meanwhile.
pub fn init_from_seed(config: &ClipConfig, seed: u64, device: &Device) -> Clip {
    crate::ops::seed(seed);
    let mut model = Clip::init(config, device);
    model.visual = match model.visual {
        ImageEncoder::Vit(visual) => ImageEncoder::Vit(rescale_vit_init(visual)),
        other => other,
    };
    model.visit(&mut MaterializeParams);
    model
}

/// Visits every parameter, so that all are drawn here and in their order.
struct MaterializeParams;

impl ModuleVisitor for MaterializeParams {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}

/// The reference's initialisation of a ViT, changed for a short run. At the start every
/// picture has almost the same features, because the class token that is read
/// at the end is mostly itself; long runs get over that by and by. Here the
/// residual stream starts small, so that what the blocks bring in from the
/// patches outweighs it at once, and places are told apart from the first step.
fn rescale_vit_init(mut visual: VisionTransformer) -> VisionTransformer {
    if let Some(ln_pre) = &mut visual.ln_pre {
        ln_pre.gamma = scaled(ln_pre.gamma.clone(), 0.2);
    }
    visual.positional_embedding = scaled(visual.positional_embedding, 4.0);
    visual
}

fn scaled<const D: usize>(param: Param<Tensor<D>>, by: f64) -> Param<Tensor<D>> {
    map_untracked(param, |values| values * by)
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::hub::{self, Bundled};

    struct Sums(Vec<f32>);

    impl ModuleVisitor for Sums {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().sum().into_scalar::<f32>());
        }
    }

    #[test]
    fn a_seed_is_a_model_whatever_is_drawn_beside() {
        let config = block_on(hub::open(&Bundled, None)).unwrap().config;
        let sums = |seed| {
            let mut sums = Sums(Vec::new());
            init_from_seed(&config, seed, &Device::flex()).visit(&mut sums);
            sums.0
        };
        let expected = sums(3);
        std::thread::scope(|scope| {
            let sums = &sums;
            let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || sums(seed))).collect();
            for (seed, thread) in threads.into_iter().enumerate() {
                assert_eq!(thread.join().unwrap() == expected, seed == 3);
            }
        });
    }
}
