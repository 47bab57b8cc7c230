//! Matmul and implicit-GEMM convolution in one kernel.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::{DType, Tensor};

use super::kernel::{Kernel, on_gpu};
use super::{MatmulKernel, choice};
use crate::kernels::ActivationFunction;
use crate::kernels::conv::ConvParams;

/// `activation(x w + bias + residual)`: `[rows, d_input]` times `[d_input, d_output]`
/// (f32 or f16).
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    residual: Option<Tensor<2>>,
    activation: ActivationFunction,
) -> Option<Tensor<2>> {
    let [rows, channels] = x.dims();
    let [_, out] = weight.dims();
    let geometry = ConvGeometry::matmul(rows, channels);
    let x = on_gpu(x, DType::F32)?;
    let residual = residual.map(|residual| residual.reshape([rows * out]));
    let parts = [None, bias, residual];
    let y = matmul_conv(x, geometry, weight, parts, activation, choice().matmul)?;
    Some(y.reshape([rows, out]))
}

/// `[batch, height, width, in]`, weights `[1, 1, kernel² in, out]` with rows ordered by
/// kernel row, kernel column and channel; `activation(… * scale + bias + residual)`.
pub fn conv(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    params: ConvParams,
    scale: &Tensor<1>,
    bias: &Tensor<1>,
    residual: &Option<Tensor<4>>,
    activation: ActivationFunction,
) -> Option<Tensor<4>> {
    let geometry = ConvGeometry::new(x.dims(), params);
    let ConvParams { kernel, out, .. } = params;
    let x = on_gpu(x.clone(), DType::F32)?;
    let weight = weight
        .clone()
        .reshape([kernel * kernel * geometry.channels, out]);
    let residual =
        (residual.clone()).map(|residual| residual.reshape([geometry.output_pixels() * out]));
    let parts = [Some(scale.clone()), Some(bias.clone()), residual];
    let y = matmul_conv(x, geometry, weight, parts, activation, choice().matmul)?;
    Some(y.reshape(geometry.output_shape(out)))
}

/// Convolution geometry; a matmul is a batch of single pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvGeometry {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
}

impl ConvGeometry {
    /// Geometry of a convolution of `[batch, height, width, channels]`.
    pub fn new([batch, height, width, channels]: [usize; 4], params: ConvParams) -> Self {
        Self {
            batch,
            height,
            width,
            channels,
            kernel: params.kernel,
            stride: params.stride,
        }
    }

    /// Geometry of a matmul of `rows` rows of `channels`.
    pub fn matmul(rows: usize, channels: usize) -> Self {
        Self {
            batch: rows,
            height: 1,
            width: 1,
            channels,
            kernel: 1,
            stride: 1,
        }
    }

    /// Output side for an input side.
    pub fn output_side(&self, side: usize) -> usize {
        (side + self.kernel / 2 * 2 - self.kernel) / self.stride + 1
    }

    /// Output shape with `out` channels.
    pub fn output_shape(&self, out: usize) -> [usize; 4] {
        let [height, width] = [self.height, self.width].map(|side| self.output_side(side));
        [self.batch, height, width, out]
    }

    /// Output pixels.
    pub fn output_pixels(&self) -> usize {
        self.batch * self.output_side(self.height) * self.output_side(self.width)
    }
}

/// `parts` are scale, bias and residual.
pub(super) fn matmul_conv(
    x: CubeTensor,
    geometry: ConvGeometry,
    weight: Tensor<2>,
    parts: [Option<Tensor<1>>; 3],
    activation: ActivationFunction,
    chosen: MatmulKernel,
) -> Option<Tensor<2>> {
    /// Below this number of threads a GPU is underused, and a smaller tile is faster.
    const MIN_THREADS: usize = 8192;
    /// The same for tiles of 64 by 64: the multiprocessors of a large GPU.
    const MIN_TILES: usize = 128;
    /// Tiles of 128 by 128 in cooperative matrices.
    const MIN_TENSOR_TILES: usize = 32;

    let [_, out] = weight.dims();
    if !out.is_multiple_of(4) {
        return None;
    }
    let (rows, columns) = (geometry.output_pixels(), out / 4);
    let dtype = weight.dtype();
    let step = match geometry.channels.is_multiple_of(4) {
        true => 4,
        false => 1,
    };
    let tiles = |side: usize| rows.div_ceil(side) * out.div_ceil(side);
    let mut chosen = match step {
        4 => chosen,
        _ => MatmulKernel::Direct,
    };
    if chosen == MatmulKernel::Tensor && tiles(128) < MIN_TENSOR_TILES {
        chosen = MatmulKernel::BySize;
    }
    if chosen == MatmulKernel::BySize {
        chosen = match tiles(64) >= MIN_TILES {
            true => MatmulKernel::Shared,
            false => MatmulKernel::Sliced,
        };
    }
    let (kernel, groups) = match chosen {
        MatmulKernel::Shared => (shared(dtype)?, [columns.div_ceil(16), rows.div_ceil(64), 1]),
        MatmulKernel::Sliced => (
            sliced(dtype)?,
            [columns.div_ceil(8), rows.div_ceil(SLICED_ROWS), 1],
        ),
        MatmulKernel::Tensor => (
            tensor(dtype)?,
            [columns.div_ceil(32), rows.div_ceil(128), 1],
        ),
        MatmulKernel::Direct | MatmulKernel::BySize => {
            let tile = match rows.div_ceil(8) * columns >= MIN_THREADS {
                true => 8,
                false => 4,
            };
            let groups = [columns.div_ceil(8), rows.div_ceil(8 * tile), 1];
            (direct(tile, step, dtype)?, groups)
        }
    };
    let mut inputs = vec![x, on_gpu(weight, dtype)?];
    let mut present = [0; 3];
    for (part, present) in parts.into_iter().zip(&mut present) {
        inputs.push(match part {
            Some(part) => {
                *present = 1;
                on_gpu(part, DType::F32)?
            }
            // Unused, but every binding needs a buffer.
            None => inputs[1].clone(),
        });
    }
    let [scale, bias, residual] = present;
    let arguments = [
        rows,
        columns,
        geometry.height,
        geometry.width,
        geometry.channels / step,
        geometry.output_side(geometry.height),
        geometry.output_side(geometry.width),
        geometry.kernel,
        geometry.stride,
        scale,
        bias,
        residual,
        activation_number(activation) as usize,
    ];
    kernel.run(&inputs, &arguments.map(|n| n as u32), groups, [rows, out])
}

/// An activation as the kernels know it.
pub fn activation_number(activation: ActivationFunction) -> u32 {
    match activation {
        ActivationFunction::Identity => 0,
        ActivationFunction::QuickGelu => 1,
        ActivationFunction::Gelu => 2,
        ActivationFunction::Relu => 3,
        ActivationFunction::GeluTanh => 4,
    }
}

/// Kernel for `tile` rows per thread, `step` channels at a time, and a weight type.
pub fn direct(tile: usize, step: usize, weight: DType) -> Option<Kernel> {
    let source = concat!(
        include_str!("matmul_common.wgsl"),
        include_str!("matmul_conv.wgsl")
    );
    let kernel = Kernel::new("matmul_conv", source, [8, 8])
        .unroll("{r}", tile)
        .define("rows", tile)
        .unroll("{s}", step)
        .define("step", step)
        .dtype_template("weight", weight)?;
    Some(match step {
        4 => in_fours(kernel),
        _ => (kernel.define("input", "f32")).define("as_input", "vec4f(v, 0.0, 0.0, 0.0)"),
    })
}

/// Kernel with tiles of 64 by 64 in workgroup memory.
pub fn shared(weight: DType) -> Option<Kernel> {
    let source = concat!(
        include_str!("matmul_common.wgsl"),
        include_str!("matmul_shared.wgsl")
    );
    let kernel = Kernel::new("matmul_shared", source, [16, 16])
        .unroll("{r}", 4)
        .unroll("{s}", 4)
        .dtype_template("weight", weight)?;
    Some(in_fours(kernel))
}

/// Rows of a workgroup of [`sliced`].
const SLICED_ROWS: usize = 8;

/// Kernel that deals the channels out to the threads of a workgroup.
pub fn sliced(weight: DType) -> Option<Kernel> {
    let source = concat!(
        include_str!("matmul_common.wgsl"),
        include_str!("matmul_sliced.wgsl")
    );
    let kernel = Kernel::new("matmul_sliced", source, [8, 16])
        .unroll("{r}", SLICED_ROWS)
        .define("rows", SLICED_ROWS)
        .unroll("{s}", 4)
        .dtype_template("weight", weight)?;
    Some(in_fours(kernel))
}

/// Kernel of cooperative matrices in f16. Needs subgroups of 32.
pub fn tensor(weight: DType) -> Option<Kernel> {
    let source = concat!(
        "enable f16;\nenable wgpu_cooperative_matrix;\n",
        include_str!("matmul_common.wgsl"),
        include_str!("matmul_tensor.wgsl")
    );
    let kernel = Kernel::new("matmul_tensor", source, [256, 1])
        .unroll("{r}", 2)
        .unroll("{c}", 4)
        .unroll("{i}", 4)
        .dtype_template("weight", weight)?;
    Some(in_fours(kernel))
}

/// Reads the input in vectors of four channels.
pub fn in_fours(kernel: Kernel) -> Kernel {
    kernel.define("input", "vec4f").define("as_input", "v")
}

/// Kernels that a model needs.
pub fn kernels(choice: MatmulKernel, convolutions: bool) -> Vec<Option<Kernel>> {
    let mut kernels = Vec::new();
    for weight in [DType::F32, DType::F16] {
        kernels.extend(match choice {
            MatmulKernel::Direct => vec![direct(4, 4, weight)],
            MatmulKernel::Shared => vec![shared(weight)],
            MatmulKernel::Sliced => vec![sliced(weight)],
            MatmulKernel::BySize => vec![sliced(weight), shared(weight)],
            MatmulKernel::Tensor => vec![sliced(weight), shared(weight), tensor(weight)],
        });
    }
    if convolutions {
        kernels.push(direct(4, 1, DType::F32));
        if choice == MatmulKernel::Direct {
            kernels.push(direct(8, 4, DType::F32));
        }
    }
    kernels
}
