//! Linear layer with a fused epilogue and LoRA.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use super::{Epilogue, Initializer, WeightPrecision, cpu};
#[cfg(all(feature = "gpu", feature = "training"))]
use crate::kernels::ActivationFunction;
use crate::kernels::pool::ShardedMatrix;

/// `x W + b`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_input, d_output]`; once packed, in the layout of the CPU kernel.
    pub weight: Param<Tensor<2>>,
    /// `[d_output]`
    pub bias: Option<Param<Tensor<1>>>,
    /// LoRA adapters: the output columns are split into as many equal parts as there are
    /// entries. Empty without LoRA.
    pub lora: Vec<Option<LowRank>>,
    /// Packed int8 weights, in place of `weight`.
    int8: Option<Int8>,
    /// Handle of the worker pool's shards, once packed.
    #[module(skip)]
    shards: Option<ShardedMatrix>,
    d_output: usize,
    packed: bool,
}

impl Linear {
    /// Layer with initialised weights, and with a bias of zeros if `bias`.
    pub fn init(
        [d_input, d_output]: [usize; 2],
        weight: Initializer,
        bias: bool,
        device: &Device,
    ) -> Self {
        Self {
            weight: weight.init([d_input, d_output], device),
            bias: bias.then(|| Initializer::Zeros.init([d_output], device)),
            lora: Vec::new(),
            int8: None,
            shards: None,
            d_output,
            packed: false,
        }
    }

    /// `[…, d_input]` to `[…, d_output]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_fused(x, Epilogue::None)
    }

    /// [`Self::forward`] and `x * sigmoid(1.702 x)`.
    pub fn forward_quick_gelu<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_fused(x, Epilogue::QuickGelu)
    }

    /// [`Self::forward`] and exact GELU.
    pub fn forward_gelu<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_fused(x, Epilogue::Gelu)
    }

    /// [`Self::forward`] and the tanh approximation of GELU.
    pub fn forward_gelu_tanh<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_fused(x, Epilogue::GeluTanh)
    }

    /// `residual` plus [`Self::forward`].
    pub fn forward_residual<const D: usize>(&self, x: Tensor<D>, residual: Tensor<D>) -> Tensor<D> {
        self.forward_fused(x, Epilogue::Add(residual))
    }

    /// Product and `epilogue` in one pass, where there is a fast path.
    pub(super) fn forward_fused<const D: usize>(
        &self,
        x: Tensor<D>,
        epilogue: Epilogue<D>,
    ) -> Tensor<D> {
        let fast = match self.lora.is_empty() {
            true => self.fast(&x, &epilogue),
            false => None,
        };
        let fast = fast.or_else(|| self.accelerated_training(&x, &epilogue));
        match fast {
            Some(y) => y,
            None => self.reference(x, epilogue),
        }
    }

    pub(super) fn fast<const D: usize>(
        &self,
        x: &Tensor<D>,
        epilogue: &Epilogue<D>,
    ) -> Option<Tensor<D>> {
        let mut shape = x.dims();
        let d_input = *shape.last()?;
        let rows = x.shape().num_elements() / d_input.max(1);
        *shape.last_mut()? = self.d_output;
        let (residual, activation) = epilogue.split();
        let x = x.clone().reshape([rows, d_input]);
        let residual = residual.map(|residual| residual.clone().reshape([rows, self.d_output]));
        let bias = self.bias.as_ref().map(|bias| bias.val());
        if self.packed {
            let (weights, scale) = match &self.int8 {
                Some(int8) => (
                    cpu::PackedMatrix::int8(int8, &self.shards),
                    Some(int8.scale.val()),
                ),
                None => (
                    cpu::PackedMatrix::exact(self.weight.val(), &self.shards),
                    None,
                ),
            };
            let y = cpu::linear(
                x,
                weights?,
                self.d_output,
                [scale, bias],
                residual,
                activation,
            )?;
            return Some(y.reshape(shape));
        }
        #[cfg(feature = "gpu")]
        {
            let y = super::gpu::linear(x, self.weight.val(), bias, residual, activation)?;
            Some(y.reshape(shape))
        }
        #[cfg(not(feature = "gpu"))]
        None
    }

    /// Accelerated forward pass that supports autodiff.
    #[cfg(all(feature = "gpu", feature = "training"))]
    pub(super) fn accelerated_training<const D: usize>(
        &self,
        x: &Tensor<D>,
        epilogue: &Epilogue<D>,
    ) -> Option<Tensor<D>> {
        use super::gpu::training;
        if !x.device().is_autodiff() || cpu::is_cpu(&x.device().inner()) {
            return None;
        }
        let mut shape = x.dims();
        let d_input = shape[D - 1];
        shape[D - 1] = self.d_output;
        let x = x.clone().reshape([-1, d_input as isize]);
        let bias = self.bias.as_ref().map(|bias| bias.val());
        let mut y = training::linear(&x, self.weight.val().cast(x.dtype()), bias)?;
        if let Some(added) = self.low_rank(x) {
            y = y + added;
        }
        let (residual, activation) = epilogue.split();
        if let Some(residual) = residual {
            let residual = residual.clone().reshape(y.dims());
            y = y + residual;
        }
        if activation != ActivationFunction::Identity {
            y = training::activate(&y, activation)?;
        }
        Some(y.reshape(shape))
    }

    #[cfg(not(all(feature = "gpu", feature = "training")))]
    fn accelerated_training<const D: usize>(
        &self,
        _: &Tensor<D>,
        _: &Epilogue<D>,
    ) -> Option<Tensor<D>> {
        None
    }

    pub(super) fn reference<const D: usize>(
        &self,
        x: Tensor<D>,
        epilogue: Epilogue<D>,
    ) -> Tensor<D> {
        let mut shape = x.dims();
        let d_input = shape[D - 1];
        shape[D - 1] = self.d_output;
        // Flattened to one matrix, so that the weight gradient is a single GEMM and not a
        // sum of one per sample.
        let x = x.reshape([-1, d_input as isize]);
        let mut y = x.clone().matmul(self.weight.val().cast(x.dtype()));
        if let Some(added) = self.low_rank(x) {
            y = y + added;
        }
        if let Some(bias) = &self.bias {
            #[cfg(all(feature = "cpu", feature = "training"))]
            if let Some(y) = cpu::training::bias_act(&y, bias.val(), &epilogue) {
                return y.reshape(shape);
            }
            y = y + bias.val().unsqueeze();
        }
        epilogue.reference(y.reshape(shape))
    }

    /// LoRA's output, `[rows, d_input]` to `[rows, d_output]`.
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

    /// Merges the LoRA adapters into the weights.
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
        // Keeps the parameter's identity and whether it is trainable.
        let tracked = weight.is_require_grad();
        self.weight =
            (self.weight.clone()).map(|_| (weight + added).detach().set_require_grad(tracked));
    }

    /// Packs the weights for the CPU kernel, if they are in CPU memory.
    pub fn pack(&mut self, packing: WeightPrecision) {
        self.merge();
        if self.packed {
            return;
        }
        let weight = self.weight.val();
        let int8 = match packing {
            WeightPrecision::AsStored => None,
            WeightPrecision::Int8 => cpu::pack_int8(weight.clone()),
        };
        let packed = match int8 {
            Some((int8, shards)) => {
                self.int8 = Some(int8);
                Some((Tensor::zeros([1, 1], &weight.device()), shards))
            }
            None => cpu::pack(weight),
        };
        if let Some((packed, shards)) = packed {
            self.weight = Param::from_tensor(packed);
            self.shards = shards;
            self.packed = true;
        }
    }
}

/// Packed 8-bit weights.
#[derive(Module, Debug)]
pub(super) struct Int8 {
    pub weight: Param<Tensor<2, Int>>,
    /// Scale per column.
    pub scale: Param<Tensor<1>>,
}

/// Low-rank matrix of LoRA (Hu et al. 2021), `scale * a b`.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[d_input, rank]`
    pub a: Param<Tensor<2>>,
    /// `[rank, columns]`
    pub b: Param<Tensor<2>>,
    scale: f64,
}

impl LowRank {
    /// Product of `a` and `b`, times `scale`.
    pub fn new(a: Param<Tensor<2>>, b: Param<Tensor<2>>, scale: f64) -> Self {
        Self { a, b, scale }
    }

    /// Factor of the product.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// `[rows, d_input]` to `[rows, columns]`, through `[rows, rank]`.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        matmul(matmul(x, self.a.val()) * self.scale, self.b.val())
    }

    /// The full matrix, `[d_input, columns]`.
    fn product(&self) -> Tensor<2> {
        self.a.val().matmul(self.b.val()) * self.scale
    }
}

/// Product of two matrices.
fn matmul(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    #[cfg(all(feature = "gpu", feature = "training"))]
    if let Some(y) = super::gpu::training::linear(&x, weight.clone(), None) {
        return y;
    }
    x.matmul(weight)
}
