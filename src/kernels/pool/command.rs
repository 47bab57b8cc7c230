//! Commands from the coordinator to the compute workers, and how work is partitioned.

use std::borrow::Cow;
use std::ops::Range;

use half::f16;
use serde::{Deserialize, Serialize};

use super::super::ActivationFunction;
use super::super::conv::ConvGeometry;
use super::super::gemm::Epilogue;
use super::super::simd::tile_width;

#[derive(Serialize, Deserialize)]
pub enum PoolCommand {
    /// Uploads a range of words of every worker's shard of a matrix `[depth, columns]`:
    /// the workers' parts one after the other, or one part for all if the matrix is
    /// replicated.
    UploadShard {
        matrix: u32,
        shape: [usize; 2],
        dtype: PackedDtype,
        replicated: bool,
        words: Range<usize>,
    },
    DropShard {
        matrix: u32,
    },
    /// Multiplies input `[rows, depth]` in shared memory.
    Linear {
        matrix: u32,
        shape: [usize; 2],
        epilogue: EpilogueDesc,
    },
    /// Convolves the input rows in shared memory into `output_rows`.
    Conv {
        matrix: u32,
        geometry: ConvGeometry,
        output_rows: Range<usize>,
        epilogue: EpilogueDesc,
    },
    /// Attention of `[heads, length, head_dim]`, each head's query, key and value one after
    /// the other in shared memory; the coordinator's heads, the last ones, are missing there.
    Attention {
        shape: [usize; 3],
        causal: bool,
    },
}

/// Element type of a packed matrix; pairs in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PackedDtype {
    F32,
    F16,
    Int8,
}

impl PackedDtype {
    /// Elements per four-byte word.
    pub fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::F16 | Self::Int8 => 2,
        }
    }
}

/// Elements transported as four-byte words, which never straddle a panel.
pub trait Transport: Copy {
    const DTYPE: PackedDtype;
    fn to_words(numbers: &[Self]) -> Cow<'_, [f32]>;
    fn from_words(words: Vec<f32>) -> Vec<Self>;
}

impl Transport for f32 {
    const DTYPE: PackedDtype = PackedDtype::F32;
    fn to_words(numbers: &[Self]) -> Cow<'_, [f32]> {
        numbers.into()
    }
    fn from_words(words: Vec<f32>) -> Vec<Self> {
        words
    }
}

impl Transport for f16 {
    const DTYPE: PackedDtype = PackedDtype::F16;
    fn to_words(numbers: &[Self]) -> Cow<'_, [f32]> {
        let (pairs, _) = numbers.as_chunks::<2>();
        let word = |[a, b]: &[f16; 2]| u32::from(a.to_bits()) | u32::from(b.to_bits()) << 16;
        pairs
            .iter()
            .map(|pair| f32::from_bits(word(pair)))
            .collect()
    }
    fn from_words(words: Vec<f32>) -> Vec<Self> {
        let pair = |word: u32| [word as u16, (word >> 16) as u16].map(f16::from_bits);
        words.iter().flat_map(|word| pair(word.to_bits())).collect()
    }
}

/// A pair of int8 weights.
impl Transport for [i8; 2] {
    const DTYPE: PackedDtype = PackedDtype::Int8;
    fn to_words(numbers: &[Self]) -> Cow<'_, [f32]> {
        let (words, _) = numbers.as_flattened().as_chunks::<4>();
        let word = |word: &[i8; 4]| f32::from_ne_bytes(word.map(|byte| byte as u8));
        words.iter().map(word).collect()
    }
    fn from_words(words: Vec<f32>) -> Vec<Self> {
        let pairs = |word: &f32| {
            let [a, b, c, d] = word.to_ne_bytes().map(|byte| byte as i8);
            [[a, b], [c, d]]
        };
        words.iter().flat_map(pairs).collect()
    }
}

/// Part of an epilogue that is sent to the workers. Scale and bias of all columns follow
/// the input in shared memory.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct EpilogueDesc {
    pub scale: bool,
    pub bias: bool,
    activation: ActivationFunction,
}

impl EpilogueDesc {
    /// Without the residual and what follows it, which the coordinator applies.
    pub fn of(epilogue: &Epilogue) -> Self {
        Self {
            scale: epilogue.scale.is_some(),
            bias: epilogue.bias.is_some(),
            activation: match epilogue.residual {
                Some(_) => ActivationFunction::Identity,
                None => epilogue.activation,
            },
        }
    }

    pub fn to_epilogue<'a>(
        self,
        scale: Option<&'a [f32]>,
        bias: Option<&'a [f32]>,
    ) -> Epilogue<'a> {
        Epilogue {
            scale,
            bias,
            activation: self.activation,
            ..Epilogue::NONE
        }
    }
}

/// Whether a matrix is replicated rather than sharded: small ones cost little memory, and
/// with few columns there are many rows to share. Int8 matrices are always sharded, since
/// images cannot be split.
pub fn is_replicated(numbers: usize, dtype: PackedDtype) -> bool {
    const MAX_REPLICATED: usize = if cfg!(test) { 5000 } else { 300_000 };
    dtype != PackedDtype::Int8 && numbers <= MAX_REPLICATED
}

/// Number of threads among which work is partitioned: the workers first, the coordinator
/// last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition(pub usize);

impl Partition {
    pub fn coordinator(self) -> usize {
        self.0 - 1
    }

    /// A thread's range of `count` items.
    pub fn range(self, count: usize, thread: usize) -> Range<usize> {
        count * thread / self.0..count * (thread + 1) / self.0
    }

    /// Columns of a matrix that a thread holds: all of them if replicated.
    pub fn columns_of(self, columns: usize, replicated: bool, thread: usize) -> Range<usize> {
        match replicated {
            true => 0..columns,
            false => self.columns(columns, thread),
        }
    }

    /// Range of a packed matrix for columns that start a panel.
    pub fn packed_range(depth: usize, columns: &Range<usize>) -> Range<usize> {
        let width = tile_width();
        columns.start * depth..columns.end.next_multiple_of(width) * depth
    }

    /// A thread's columns of a sharded matrix: whole panels. A single panel belongs to
    /// the coordinator.
    pub fn columns(self, columns: usize, thread: usize) -> Range<usize> {
        let width = tile_width();
        let panels = self.range(columns.div_ceil(width), thread);
        (panels.start * width).min(columns)..(panels.end * width).min(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_somebodys() {
        for columns in [1, 7, 8, 64, 100, 513] {
            for partition in [1, 2, 3, 8].map(Partition) {
                let mut next = 0;
                for thread in 0..partition.0 {
                    let local = partition.columns(columns, thread);
                    assert_eq!(local.start, next);
                    next = local.end;
                }
                assert_eq!(next, columns);
                assert!(
                    !partition
                        .columns(columns, partition.coordinator())
                        .is_empty()
                );
            }
        }
    }
}
