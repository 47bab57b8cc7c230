//! Parameter initialisation.

use std::cell::RefCell;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Distribution, Shape, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::StdRng;

thread_local! {
    static RNG: RefCell<StdRng> = RefCell::new(StdRng::seed_from_u64(0));
}

/// Seeds the initializers of this thread. burn's generator is shared by all threads, so
/// that its results depend on their timing; this one also gives equal values on every
/// device.
pub fn seed(seed: u64) {
    RNG.with_borrow_mut(|rng| *rng = StdRng::seed_from_u64(seed));
}

/// Initializer of a parameter, run lazily on first access.
#[derive(Clone, Copy, Debug)]
pub enum Initializer {
    /// Zeros.
    Zeros,
    /// Ones.
    Ones,
    /// Mean 0, with this standard deviation.
    Normal(f64),
    /// Between the negative bound and the bound.
    Uniform(f64),
}

impl Initializer {
    /// PyTorch's default for convolutions: uniform within `1 / sqrt(fan_in)`.
    pub fn fan_in_uniform(inputs: usize) -> Self {
        Self::Uniform((inputs as f64).powf(-0.5))
    }

    /// Parameter of `shape`, filled on first access.
    pub fn init<const D: usize>(self, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
        Param::uninitialized(
            ParamId::new(),
            move |device, require_grad| {
                let tensor = self.tensor(shape, device);
                match require_grad {
                    true => tensor.require_grad(),
                    false => tensor,
                }
            },
            device.clone(),
            true,
            Shape::from(shape),
        )
    }

    fn tensor<const D: usize>(self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let drawn = |distribution| {
            let draw = |rng: &mut StdRng| TensorData::random::<f32, _, _>(shape, distribution, rng);
            Tensor::from_data(RNG.with_borrow_mut(draw), device)
        };
        match self {
            Self::Zeros => Tensor::zeros(shape, device),
            Self::Ones => Tensor::ones(shape, device),
            Self::Normal(std) => drawn(Distribution::Normal(0.0, std)),
            Self::Uniform(bound) => drawn(Distribution::Uniform(-bound, bound)),
        }
    }
}
