//! The fast paths on a GPU: kernels of our own in WGSL.
//!
//! They ask little of a GPU, since a visitor's may be any: no memory shared between
//! threads but in layer normalisation, no feature beyond plain WebGPU, sums in f32.
//! And they are few: shapes are arguments, so that a model's first answer waits for
//! the compilation of a handful and not of one for each of its layers.

mod kernel;

use burn::backend::Wgpu;
use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::tensor::{DType, Int, Tensor};

use super::Curve;
use super::conv::ConvShape;
use kernel::{Kernel, on_gpu};

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
    let (rows, columns) = (pictures.places(), out / 4);
    let tile = match rows.div_ceil(8) * columns >= ENOUGH_THREADS {
        true => 8,
        false => 4,
    };
    let kernel = Kernel::new(include_str!("product.wgsl"), [8, 8])
        .lines("{r}", tile)
        .word("rows", tile);
    let (step, kernel) = match pictures.channels.is_multiple_of(4) {
        true => (4, kernel.word("input", "vec4f").word("as_input", "v")),
        false => (
            1,
            (kernel.word("input", "f32")).word("as_input", "vec4f(v, 0.0, 0.0, 0.0)"),
        ),
    };
    let kernel = kernel.lines("{s}", step).word("step", step);
    let dtype = weight.dtype();
    let kernel = match dtype {
        DType::F32 => kernel.word("weight", "vec4f").word("as_weight", "v"),
        DType::F16 => (kernel.word("weight", "vec2u")).word(
            "as_weight",
            "vec4f(unpack2x16float(v.x), unpack2x16float(v.y))",
        ),
        _ => return None,
    };
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
    if !out.is_multiple_of(4) {
        return None;
    }
    let groups = [columns.div_ceil(8), rows.div_ceil(8 * tile), 1];
    kernel.run(&inputs, &arguments.map(|n| n as u32), groups, [rows, out])
}

/// See [`super::attention`].
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Option<Tensor<3>> {
    let [batch, length, triple] = qkv.dims();
    let width = triple / 3;
    let qkv = on_gpu(qkv, DType::F32)?;
    attend(
        [qkv.clone(), qkv.clone(), qkv],
        Attention {
            queries: length,
            keys: length,
            query_row: triple,
            key_row: triple,
            key_start: width,
            value_start: 2 * width,
            causal,
        },
        heads,
        [batch, length, width],
    )
}

/// See [`super::pool_attention`].
pub fn pool_attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
) -> Option<Tensor<3>> {
    let shape = query.dims();
    let [_, queries, width] = shape;
    let [_, keys, _] = key.dims();
    let inputs = [
        on_gpu(query, DType::F32)?,
        on_gpu(key, DType::F32)?,
        on_gpu(value, DType::F32)?,
    ];
    let how = Attention {
        queries,
        keys,
        query_row: width,
        key_row: width,
        key_start: 0,
        value_start: 0,
        causal: false,
    };
    attend(inputs, how, heads, shape)
}

/// How queries, keys and values lie in their tensors.
struct Attention {
    queries: usize,
    keys: usize,
    query_row: usize,
    key_row: usize,
    key_start: usize,
    value_start: usize,
    causal: bool,
}

fn attend(
    inputs: [CubeTensor; 3],
    how: Attention,
    heads: usize,
    shape: [usize; 3],
) -> Option<Tensor<3>> {
    /// As many as most GPUs run in step.
    const TOGETHER: usize = 32;

    let [batch, _, width] = shape;
    let head_dim = width / heads;
    if !head_dim.is_multiple_of(4) {
        return None;
    }
    let arguments = [
        how.queries as u32,
        how.keys as u32,
        (width / 4) as u32,
        (how.query_row / 4) as u32,
        (how.key_row / 4) as u32,
        (how.key_start / 4) as u32,
        (how.value_start / 4) as u32,
        how.causal.into(),
        (head_dim as f32).powf(-0.5).to_bits(),
    ];
    let groups = [how.queries.div_ceil(TOGETHER), heads, batch];
    Kernel::new(include_str!("attention.wgsl"), [TOGETHER as u32, 1])
        .lines("{d}", head_dim / 4)
        .word("fours", head_dim / 4)
        .run(&inputs, &arguments, groups, shape)
}

/// `[rows, width]`, see [`super::LayerNorm`].
pub fn layer_norm(
    x: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<2>> {
    let [rows, width] = x.dims();
    if !width.is_multiple_of(4) {
        return None;
    }
    let inputs = [
        on_gpu(x, DType::F32)?,
        on_gpu(gamma, DType::F32)?,
        on_gpu(beta, DType::F32)?,
    ];
    let arguments = [(width / 4) as u32, (epsilon as f32).to_bits()];
    Kernel::new(include_str!("layer_norm.wgsl"), [32, 1]).run(
        &inputs,
        &arguments,
        [rows, 1, 1],
        [rows, width],
    )
}

/// Rows `ids` of an f16 table `[count, width]`, as f32.
pub fn gather_f16(table: Tensor<2>, ids: Tensor<1, Int>) -> Option<Tensor<2>> {
    let [count, width] = table.dims();
    let [rows] = ids.dims();
    if !width.is_multiple_of(4) || ids.dtype() != DType::I32 {
        return None;
    }
    let table = on_gpu(table, DType::F16)?;
    let ids = ids.try_into_primitive::<Wgpu>().ok().map(into_contiguous)?;
    let arguments = [rows, width / 4, count].map(|n| n as u32);
    let groups = [(width / 4).div_ceil(8), rows.div_ceil(8), 1];
    Kernel::new(include_str!("gather_f16.wgsl"), [8, 8]).run(
        &[table, ids],
        &arguments,
        groups,
        [rows, width],
    )
}

/// See [`super::average_pool`].
pub fn average_pool(x: Tensor<4>, side: usize) -> Option<Tensor<4>> {
    let [batch, height, width, channels] = x.dims();
    if !channels.is_multiple_of(4) {
        return None;
    }
    let (out_height, out_width) = (height / side, width / side);
    let places = batch * out_height * out_width;
    let arguments = [
        places,
        channels / 4,
        height,
        width,
        out_height,
        out_width,
        side,
    ];
    let groups = [(channels / 4).div_ceil(8), places.div_ceil(8), 1];
    Kernel::new(include_str!("average_pool.wgsl"), [8, 8]).run(
        &[on_gpu(x, DType::F32)?],
        &arguments.map(|n| n as u32),
        groups,
        [batch, out_height, out_width, channels],
    )
}

#[cfg(all(test, feature = "command"))]
mod tests;
