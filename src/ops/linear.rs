//! Matrix products with what follows them.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::{Then, cpu};

/// `x W + b`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_input, d_output]`; once packed, as the CPU's kernel reads it.
    pub weight: Param<Tensor<2>>,
    /// `[d_output]`
    pub bias: Option<Param<Tensor<1>>>,
    d_output: usize,
    packed: bool,
}

impl Linear {
    pub fn init(
        [d_input, d_output]: [usize; 2],
        weight: Initializer,
        bias: bool,
        device: &Device,
    ) -> Self {
        Self {
            weight: weight.init([d_input, d_output], device),
            bias: bias.then(|| Initializer::Zeros.init([d_output], device)),
            d_output,
            packed: false,
        }
    }

    /// `[…, d_input]` to `[…, d_output]`, and on with `then`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, then: Then<D>) -> Tensor<D> {
        match self.fast(&x, &then) {
            Some(y) => y,
            None => self.plain(x, then),
        }
    }

    pub(super) fn fast<const D: usize>(&self, x: &Tensor<D>, then: &Then<D>) -> Option<Tensor<D>> {
        let mut shape = x.dims();
        let d_input = *shape.last()?;
        let rows = x.shape().num_elements() / d_input.max(1);
        *shape.last_mut()? = self.d_output;
        let (add, curve) = then.split();
        let x = x.clone().reshape([rows, d_input]);
        let add = add.map(|add| add.clone().reshape([rows, self.d_output]));
        let bias = self.bias.as_ref().map(|bias| bias.val());
        if self.packed {
            let y = cpu::linear(x, self.weight.val(), self.d_output, bias, add, curve)?;
            return Some(y.reshape(shape));
        }
        #[cfg(feature = "gpu")]
        {
            let y = super::gpu::linear(x, self.weight.val(), bias, add, curve)?;
            Some(y.reshape(shape))
        }
        #[cfg(not(feature = "gpu"))]
        None
    }

    pub(super) fn plain<const D: usize>(&self, x: Tensor<D>, then: Then<D>) -> Tensor<D> {
        let weight = self.weight.val().cast(x.dtype()).unsqueeze();
        let y = x.matmul(weight);
        let y = match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        };
        then.plain(y)
    }

    /// Lays the weights out for the CPU's kernel, if that is where they are.
    pub fn pack(&mut self) {
        if !self.packed
            && let Some(packed) = cpu::pack(self.weight.val())
        {
            self.weight = Param::from_tensor(packed);
            self.packed = true;
        }
    }
}
