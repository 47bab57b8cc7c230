//! Cosine similarities of many images to many queries, as one matrix product.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::Index;
use crate::kernels::gemm::{Epilogue, Matrix, Packed, PackedData, gemm_serial};
use crate::kernels::math::dot;
use crate::kernels::packed_weights::pack;
use crate::kernels::parallel::for_each;

/// Unit vectors, one after the other.
#[derive(Clone, Copy)]
pub enum Rows<'a> {
    /// As an index keeps them.
    F16(&'a [f16]),
    /// As a model gives them.
    F32(&'a [f32]),
}

impl<'a> Rows<'a> {
    /// Blocks of `values` values, the last one with what is left.
    fn blocks(self, values: usize) -> Vec<Rows<'a>> {
        match self {
            Self::F16(all) => all.chunks(values).map(Self::F16).collect(),
            Self::F32(all) => all.chunks(values).map(Self::F32).collect(),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::F16(all) => all.len(),
            Self::F32(all) => all.len(),
        }
    }
}

/// Rows that are converted and multiplied together: they stay in the L2 cache.
const BLOCK: usize = 256;
/// For fewer queries, a dot product each is faster than the product of matrices.
const MIN_COLUMNS: usize = 4;

/// Cosine similarity of every row to every query, `[rows, queries]`, on all threads. All
/// are unit vectors of the same length; a row that is cut short is left out.
pub fn similarities(rows: Rows, queries: &[Vec<f32>]) -> Vec<f32> {
    let (columns, dim) = (queries.len(), queries.first().map_or(0, Vec::len));
    if dim == 0 {
        return Vec::new();
    }
    let packed = match columns < MIN_COLUMNS {
        true => Vec::new(),
        false => {
            // `[dim, columns]`
            let transposed: Vec<f32> = (0..dim)
                .flat_map(|i| queries.iter().map(move |query| query[i]))
                .collect();
            pack(&transposed, [dim, columns], columns)
        }
    };
    let multiply = |block: &[f32], out: &mut [f32]| {
        if packed.is_empty() {
            for (row, out) in block.chunks_exact(dim).zip(out.chunks_exact_mut(columns)) {
                for (out, query) in out.iter_mut().zip(queries) {
                    *out = dot(row, query);
                }
            }
            return;
        }
        let matrix = Matrix {
            values: block,
            rows: out.len() / columns,
            depth: dim,
            stride: dim,
        };
        let right = Packed::new(PackedData::F32(&packed), dim, columns);
        out.copy_from_slice(&gemm_serial(&matrix, &right, &Epilogue::NONE));
    };
    let mut out = vec![0.0; rows.len() / dim * columns];
    let blocks = rows.blocks(BLOCK * dim);
    let tasks = blocks.into_iter().zip(out.chunks_mut(BLOCK * columns));
    for_each(tasks.collect(), true, |(block, out)| match block {
        Rows::F16(block) => multiply(&block.to_f32_vec(), out),
        Rows::F32(block) => multiply(block, out),
    });
    out
}

impl Index {
    /// Cosine similarity of every image to every unit vector, `[entries, queries]`.
    pub fn similarities(&self, queries: &[Vec<f32>]) -> Vec<f32> {
        similarities(Rows::F16(self.features()), queries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, dim: usize) -> Vec<f32> {
        let mut rows: Vec<f32> = (0..count * dim)
            .map(|i| ((i * 37 + i / 11) % 101) as f32 / 50.0 - 1.0)
            .collect();
        for row in rows.chunks_mut(dim) {
            let norm = dot(row, row).sqrt();
            row.iter_mut().for_each(|value| *value /= norm);
        }
        rows
    }

    #[test]
    fn the_product_is_every_dot_product() {
        let dim = 48;
        // Several blocks, the last one not whole.
        let left = rows(BLOCK * 2 + 37, dim);
        let halves: Vec<f16> = left.iter().map(|value| f16::from_f32(*value)).collect();
        // Few queries, many, and more than a vector of columns.
        for count in [1, MIN_COLUMNS - 1, MIN_COLUMNS, 61] {
            let queries: Vec<Vec<f32>> = (rows(count, dim).chunks(dim))
                .map(<[f32]>::to_vec)
                .collect();
            let exact = similarities(Rows::F32(&left), &queries);
            let kept = similarities(Rows::F16(&halves), &queries);
            assert_eq!(exact.len(), left.len() / dim * count);
            for (i, row) in left.chunks(dim).enumerate() {
                for (j, query) in queries.iter().enumerate() {
                    let expected: f32 = row.iter().zip(query).map(|(a, b)| a * b).sum();
                    assert!((exact[i * count + j] - expected).abs() < 1e-5);
                    assert!((kept[i * count + j] - expected).abs() < 1e-3);
                }
            }
        }
    }

    #[test]
    fn nothing_has_no_similarities() {
        assert!(similarities(Rows::F32(&[1.0, 0.0]), &[]).is_empty());
        assert!(similarities(Rows::F16(&[]), &[vec![1.0, 0.0]]).is_empty());
    }
}
