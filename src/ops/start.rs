//! What parameters hold before anything is loaded or learnt.

use std::cell::RefCell;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Distribution, Shape, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::StdRng;

thread_local! {
    static RNG: RefCell<StdRng> = RefCell::new(StdRng::seed_from_u64(0));
}

/// Sets off the random numbers of the parameters that this thread makes from here
/// on. Burn's own are shared by all threads, so that a seed says nothing where two
/// of them draw; these are also the same on every device.
pub fn seed(seed: u64) {
    RNG.with_borrow_mut(|rng| *rng = StdRng::seed_from_u64(seed));
}

/// How the numbers of a parameter are drawn, when it is first looked at.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    Zeros,
    Ones,
    /// Around 0, with this standard deviation.
    Normal(f64),
    /// Anywhere between the number and its negative.
    Uniform(f64),
}

impl Start {
    /// As PyTorch starts a convolution: `inputs` numbers make one of its output.
    pub fn as_pytorch(inputs: usize) -> Self {
        Self::Uniform((inputs as f64).powf(-0.5))
    }

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
