//! Matrix products with what follows them.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use super::{Packing, Start, Then, cpu};
use crate::kernels::crew::Shares;

/// `x W + b`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_input, d_output]`; once packed, as the CPU's kernel reads it.
    pub weight: Param<Tensor<2>>,
    /// `[d_output]`
    pub bias: Option<Param<Tensor<1>>>,
    /// What LoRA adds: the output's columns fall into as many equal parts as
    /// there are entries. None in a plain layer.
    pub lora: Vec<Option<LowRank>>,
    /// Instead of `weight`, once packed so.
    int8: Option<Int8>,
    /// What others have of the weights, once packed.
    #[module(skip)]
    shares: Option<Shares>,
    d_output: usize,
    packed: bool,
}

impl Linear {
    pub fn init(
        [d_input, d_output]: [usize; 2],
        weight: Start,
        bias: bool,
        device: &Device,
    ) -> Self {
        Self {
            weight: weight.init([d_input, d_output], device),
            bias: bias.then(|| Start::Zeros.init([d_output], device)),
            lora: Vec::new(),
            int8: None,
            shares: None,
            d_output,
            packed: false,
        }
    }

    /// `[…, d_input]` to `[…, d_output]`, and on with `then`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, then: Then<D>) -> Tensor<D> {
        let fast = match self.lora.is_empty() {
            true => self.fast(&x, &then),
            false => None,
        };
        match fast {
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
            let (weights, scale) = match &self.int8 {
                Some(int8) => (
                    cpu::Weights::int8(int8, &self.shares),
                    Some(int8.scale.val()),
                ),
                None => (cpu::Weights::exact(self.weight.val(), &self.shares), None),
            };
            let y = cpu::linear(x, weights?, self.d_output, [scale, bias], add, curve)?;
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
        let mut shape = x.dims();
        let d_input = shape[D - 1];
        shape[D - 1] = self.d_output;
        // As one matrix: the weights' gradient is then one product, too, and not
        // a sum over the batch of as many matrices.
        let x = x.reshape([-1, d_input as isize]);
        let mut y = x.clone().matmul(self.weight.val().cast(x.dtype()));
        if let Some(added) = self.low_rank(x) {
            y = y + added;
        }
        if let Some(bias) = &self.bias {
            #[cfg(all(feature = "cpu", feature = "training"))]
            if let Some(y) = cpu::training::finish(&y, bias.val(), &then) {
                return y.reshape(shape);
            }
            y = y + bias.val().unsqueeze();
        }
        then.plain(y.reshape(shape))
    }

    /// What LoRA adds to `[rows, d_output]`, from `[rows, d_input]`.
    fn low_rank(&self, x: Tensor<2>) -> Option<Tensor<2>> {
        let parts = self.lora.len();
        if self.lora.iter().all(Option::is_none) {
            return None;
        }
        let [rows, _] = x.dims();
        let device = x.device();
        let parts = (self.lora.iter())
            .map(|part| match part {
                Some(part) => part.forward(x.clone()),
                None => Tensor::zeros([rows, self.d_output / parts], &device),
            })
            .collect();
        Some(Tensor::cat(parts, 1))
    }

    /// Takes what LoRA adds into the weights: a plain layer that does the same.
    pub fn merge(&mut self) {
        let parts = std::mem::take(&mut self.lora);
        if parts.iter().all(Option::is_none) {
            return;
        }
        let weight = self.weight.val();
        let [d_input, d_output] = weight.dims();
        let nothing = || Tensor::zeros([d_input, d_output / parts.len()], &weight.device());
        let added = (parts.iter())
            .map(|part| part.as_ref().map_or_else(nothing, LowRank::product))
            .collect();
        let added = Tensor::cat(added, 1).cast(weight.dtype());
        // The same parameter with another value: to be trained or not, as before.
        let tracked = weight.is_require_grad();
        self.weight =
            (self.weight.clone()).map(|_| (weight + added).detach().set_require_grad(tracked));
    }

    /// Lays the weights out for the CPU's kernel, if that is where they are.
    pub fn pack(&mut self, packing: Packing) {
        self.merge();
        if self.packed {
            return;
        }
        let weight = self.weight.val();
        let int8 = match packing {
            Packing::Exact => None,
            Packing::Int8 => cpu::pack_int8(weight.clone()),
        };
        let packed = match int8 {
            Some((int8, shares)) => {
                self.int8 = Some(int8);
                Some((Tensor::zeros([1, 1], &weight.device()), shares))
            }
            None => cpu::pack(weight),
        };
        if let Some((packed, shares)) = packed {
            self.weight = Param::from_tensor(packed);
            self.shares = shares;
            self.packed = true;
        }
    }
}

/// Packed 8-bit weights.
#[derive(Module, Debug)]
pub(super) struct Int8 {
    pub weight: Param<Tensor<2, Int>>,
    /// What each column is to be multiplied by.
    pub scale: Param<Tensor<1>>,
}

/// A matrix of low rank (LoRA, Hu et al. 2021), `scale * a b`.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[d_input, rank]`
    pub a: Param<Tensor<2>>,
    /// `[rank, columns]`
    pub b: Param<Tensor<2>>,
    scale: f64,
}

impl LowRank {
    pub fn new(a: Param<Tensor<2>>, b: Param<Tensor<2>>, scale: f64) -> Self {
        Self { a, b, scale }
    }

    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// `[rows, d_input]` to `[rows, columns]`, by way of `[rows, rank]`.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        (x.matmul(self.a.val()) * self.scale).matmul(self.b.val())
    }

    /// The whole matrix, `[d_input, columns]`.
    fn product(&self) -> Tensor<2> {
        self.a.val().matmul(self.b.val()) * self.scale
    }
}
