//! Row gather.

use burn::backend::Wgpu;
use burn::tensor::{DType, Int, Tensor};

use super::kernel::{Kernel, on_gpu};

/// Gathers the rows `ids` of a table `[count, width]` (f32 or f16), as f32; with
/// positions `[length, width]`, added to every `length` rows.
pub fn gather(
    table: Tensor<2>,
    ids: Tensor<1, Int>,
    positions: Option<Tensor<2>>,
) -> Option<Tensor<2>> {
    let [count, width] = table.dims();
    let [rows] = ids.dims();
    if !width.is_multiple_of(4) || ids.dtype() != DType::I32 {
        return None;
    }
    let dtype = table.dtype();
    let kernel = kernel(dtype)?;
    let table = on_gpu(table, dtype)?;
    let ids = ids.try_into_primitive::<Wgpu>().ok()?;
    let (length, positions) = match positions {
        Some(positions) => (positions.dims()[0], on_gpu(positions, DType::F32)?),
        // Unused, but every binding needs a buffer.
        None => (0, table.clone()),
    };
    let arguments = [rows, width / 4, count, length].map(|n| n as u32);
    let groups = [(width / 4).div_ceil(8), rows.div_ceil(8), 1];
    kernel.run(&[table, ids, positions], &arguments, groups, [rows, width])
}

pub fn kernel(table: DType) -> Option<Kernel> {
    Kernel::new("gather", include_str!("gather.wgsl"), [8, 8]).dtype_template("table", table)
}
