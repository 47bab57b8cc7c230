//! A packed matrix of either kind, and what is computed with it.

use std::ops::Range;

use super::conv::{Patches, Places};
use super::gemm::{self, Finish, Matrix, Packed, Values};
use super::int8;
use super::winograd;

#[derive(Clone, Copy)]
pub enum Laid<'a> {
    Exact(Values<'a>),
    Int8(&'a [[i8; 2]]),
}

/// A matrix `[depth, columns]`, its rows `stride` apart, in panels.
pub fn panels<T: Copy + Default>(
    matrix: &[T],
    [depth, columns]: [usize; 2],
    stride: usize,
) -> Vec<T> {
    let mut packed = Vec::new();
    gemm::pack(matrix, depth, columns, stride, &mut packed);
    packed
}

impl Laid<'_> {
    /// `x`, rows of `depth` numbers, times the matrix.
    pub fn linear(self, x: &[f32], [depth, columns]: [usize; 2], finish: &Finish) -> Vec<f32> {
        match self {
            Self::Exact(values) => {
                let rows = Matrix {
                    values: x,
                    rows: x.len() / depth.max(1),
                    depth,
                    stride: depth,
                };
                let packed = Packed::new(values, depth, columns);
                gemm::product(&rows, &packed, finish)
            }
            Self::Int8(values) => {
                let packed = Packed::new(values, depth / 2, columns);
                int8::product(x, depth, &packed, finish)
            }
        }
    }

    /// Some lines of a convolution's result; `picture` is what they read.
    pub fn conv(
        self,
        picture: &[f32],
        places: Places,
        lines: Range<usize>,
        columns: usize,
        finish: &Finish,
    ) -> Vec<f32> {
        match self {
            Self::Exact(values) if places.by_squares => {
                winograd::conv(picture, places, lines, values, columns, finish)
            }
            Self::Exact(values) => {
                let packed = Packed::new(values, places.depth(), columns);
                gemm::product(&Patches::new(picture, places, lines), &packed, finish)
            }
            Self::Int8(values) => {
                let packed = Packed::new(values, places.depth() / 2, columns);
                int8::conv(picture, places, lines, &packed, finish)
            }
        }
    }
}
