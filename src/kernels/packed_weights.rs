//! Packed weights, exact or int8, with the operations on them.

use std::ops::Range;

use super::conv::{ConvGeometry, Patches};
use super::gemm::{self, Epilogue, Matrix, Packed, PackedData};
use super::int8;
use super::winograd;

#[derive(Clone, Copy)]
pub enum PackedWeights<'a> {
    Exact(PackedData<'a>),
    Int8(&'a [[i8; 2]]),
}

/// Packs a matrix `[depth, columns]` with row stride `stride` into panels.
pub fn pack<T: Copy + Default>(
    matrix: &[T],
    [depth, columns]: [usize; 2],
    stride: usize,
) -> Vec<T> {
    let mut packed = Vec::new();
    gemm::pack(matrix, depth, columns, stride, &mut packed);
    packed
}

/// [`pack`] of the transpose of a matrix `[columns, depth]`.
pub fn pack_transposed<T: Copy + Default>(values: &[T], [depth, columns]: [usize; 2]) -> Vec<T> {
    gemm::pack_transposed(&Matrix {
        values,
        rows: columns,
        depth,
        stride: depth,
    })
}

impl PackedWeights<'_> {
    /// `x`, rows of length `depth`, times the matrix.
    pub fn linear(self, x: &[f32], [depth, columns]: [usize; 2], epilogue: &Epilogue) -> Vec<f32> {
        match self {
            Self::Exact(values) => {
                let rows = Matrix {
                    values: x,
                    rows: x.len() / depth.max(1),
                    depth,
                    stride: depth,
                };
                let packed = Packed::new(values, depth, columns);
                gemm::gemm(&rows, &packed, epilogue)
            }
            Self::Int8(values) => {
                let packed = Packed::new(values, depth / 2, columns);
                int8::gemm(x, depth, &packed, epilogue)
            }
        }
    }

    /// Output rows of a convolution; `input` holds the input rows they need.
    pub fn conv(
        self,
        input: &[f32],
        geometry: ConvGeometry,
        output_rows: Range<usize>,
        columns: usize,
        epilogue: &Epilogue,
    ) -> Vec<f32> {
        match self {
            Self::Exact(values) if geometry.winograd => {
                winograd::conv(input, geometry, output_rows, values, columns, epilogue)
            }
            Self::Exact(values) => {
                let packed = Packed::new(values, geometry.depth(), columns);
                gemm::gemm(
                    &Patches::new(input, geometry, output_rows),
                    &packed,
                    epilogue,
                )
            }
            Self::Int8(values) => {
                let packed = Packed::new(values, geometry.depth() / 2, columns);
                int8::conv(input, geometry, output_rows, &packed, epilogue)
            }
        }
    }
}
