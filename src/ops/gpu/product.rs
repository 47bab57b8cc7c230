//! Matrix products and convolutions, which are one kernel.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::{DType, Tensor};

use super::kernel::{Kernel, on_gpu};
use crate::kernels::Curve;
use crate::kernels::conv::ConvShape;

/// `curve(x w + bias + add)`: `[rows, d_input]` times `[d_input, d_output]`
/// (f32 or f16).
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    add: Option<Tensor<2>>,
    curve: Curve,
) -> Option<Tensor<2>> {
    let [rows, channels] = x.dims();
    let [_, out] = weight.dims();
    let pictures = Pictures {
        batch: rows,
        height: 1,
        width: 1,
        channels,
        kernel: 1,
        stride: 1,
    };
    let x = on_gpu(x, DType::F32)?;
    let add = add.map(|add| add.reshape([rows * out]));
    let y = product(x, pictures, weight, [None, bias, add], curve)?;
    Some(y.reshape([rows, out]))
}

/// `[batch, height, width, in]`, weights `[1, 1, kernel² in, out]` whose rows run
/// over kernel rows, kernel columns and channels; `curve(… * scale + bias + add)`.
pub fn conv(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    shape: ConvShape,
    scale: &Tensor<1>,
    bias: &Tensor<1>,
    add: &Option<Tensor<4>>,
    curve: Curve,
) -> Option<Tensor<4>> {
    let [batch, height, width, channels] = x.dims();
    let ConvShape {
        kernel,
        stride,
        out,
    } = shape;
    let pictures = Pictures {
        batch,
        height,
        width,
        channels,
        kernel,
        stride,
    };
    let x = on_gpu(x.clone(), DType::F32)?;
    let weight = weight.clone().reshape([kernel * kernel * channels, out]);
    let add = (add.clone()).map(|add| add.reshape([pictures.places() * out]));
    let parts = [Some(scale.clone()), Some(bias.clone()), add];
    let y = product(x, pictures, weight, parts, curve)?;
    Some(y.reshape([batch, pictures.out(height), pictures.out(width), out]))
}

/// What the rows of a product are made of; for a matrix product, pictures of one
/// place each.
#[derive(Clone, Copy)]
struct Pictures {
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
    kernel: usize,
    stride: usize,
}

impl Pictures {
    /// A side of the result for a side of the picture.
    fn out(&self, side: usize) -> usize {
        (side + self.kernel / 2 * 2 - self.kernel) / self.stride + 1
    }

    /// In the result.
    fn places(&self) -> usize {
        self.batch * self.out(self.height) * self.out(self.width)
    }
}

/// `parts` are scale, bias, and what is added in the end.
fn product(
    x: CubeTensor,
    pictures: Pictures,
    weight: Tensor<2>,
    parts: [Option<Tensor<1>>; 3],
    curve: Curve,
) -> Option<Tensor<2>> {
    /// With fewer threads a GPU is not busy, and each had better do less.
    const ENOUGH_THREADS: usize = 8192;

    let [_, out] = weight.dims();
    if !out.is_multiple_of(4) {
        return None;
    }
    let (rows, columns) = (pictures.places(), out / 4);
    let tile = match rows.div_ceil(8) * columns >= ENOUGH_THREADS {
        true => 8,
        false => 4,
    };
    let dtype = weight.dtype();
    let step = match pictures.channels.is_multiple_of(4) {
        true => 4,
        false => 1,
    };
    let kernel = kernel(tile, step, dtype)?;
    let mut inputs = vec![x, on_gpu(weight, dtype)?];
    let mut present = [0; 3];
    for (part, present) in parts.into_iter().zip(&mut present) {
        inputs.push(match part {
            Some(part) => {
                *present = 1;
                on_gpu(part, DType::F32)?
            }
            // It is not read, but something has to be bound in its place.
            None => inputs[1].clone(),
        });
    }
    let [scale, bias, add] = present;
    let arguments = [
        rows,
        columns,
        pictures.height,
        pictures.width,
        pictures.channels / step,
        pictures.out(pictures.height),
        pictures.out(pictures.width),
        pictures.kernel,
        pictures.stride,
        scale,
        bias,
        add,
        match curve {
            Curve::Straight => 0,
            Curve::QuickGelu => 1,
            Curve::Gelu => 2,
            Curve::Relu => 3,
        },
    ];
    let groups = [columns.div_ceil(8), rows.div_ceil(8 * tile), 1];
    kernel.run(&inputs, &arguments.map(|n| n as u32), groups, [rows, out])
}

/// For `tile` rows in a thread, `step` channels at a time, and weights of a type.
pub fn kernel(tile: usize, step: usize, weight: DType) -> Option<Kernel> {
    let kernel = Kernel::new(include_str!("product.wgsl"), [8, 8])
        .lines("{r}", tile)
        .word("rows", tile)
        .lines("{s}", step)
        .word("step", step)
        .numbers("weight", weight)?;
    Some(match step {
        4 => kernel.word("input", "vec4f").word("as_input", "v"),
        _ => (kernel.word("input", "f32")).word("as_input", "vec4f(v, 0.0, 0.0, 0.0)"),
    })
}
