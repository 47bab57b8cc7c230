//! What the boss tells the hands, and who does which part of it.

use std::borrow::Cow;
use std::ops::Range;

use half::f16;
use serde::{Deserialize, Serialize};

use super::super::Curve;
use super::super::conv::Places;
use super::super::gemm::Finish;
use super::super::simd::tile_width;

#[derive(Serialize, Deserialize)]
pub enum Order {
    /// Some words of everybody's part of a matrix `[depth, columns]` are laid out, one
    /// hand's after the other's; if everybody has the whole of it, once for all.
    Keep {
        matrix: u32,
        shape: [usize; 2],
        kind: Kind,
        whole: bool,
        words: Range<usize>,
    },
    Forget {
        matrix: u32,
    },
    /// A matrix `[rows, depth]` is laid out.
    Linear {
        matrix: u32,
        shape: [usize; 2],
        then: Then,
    },
    /// What some lines of a convolution's result read of a picture is laid out.
    Conv {
        matrix: u32,
        places: Places,
        lines: Range<usize>,
        then: Then,
    },
}

/// What a packed matrix consists of: in 8 bits of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    F32,
    F16,
    Int8,
}

impl Kind {
    /// How many numbers four bytes hold.
    pub fn in_a_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::F16 | Self::Int8 => 2,
        }
    }
}

/// Numbers that are handed over as words of four bytes, none of which a panel cuts.
pub trait Word: Copy {
    const KIND: Kind;
    fn to_words(numbers: &[Self]) -> Cow<'_, [f32]>;
    fn from_words(words: Vec<f32>) -> Vec<Self>;
}

impl Word for f32 {
    const KIND: Kind = Kind::F32;
    fn to_words(numbers: &[Self]) -> Cow<'_, [f32]> {
        numbers.into()
    }
    fn from_words(words: Vec<f32>) -> Vec<Self> {
        words
    }
}

impl Word for f16 {
    const KIND: Kind = Kind::F16;
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

/// A pair of 8-bit weights.
impl Word for [i8; 2] {
    const KIND: Kind = Kind::Int8;
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

/// What follows a product at once. The scale and the bias of all columns are laid
/// out behind the numbers.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Then {
    pub scale: bool,
    pub bias: bool,
    curve: Curve,
}

impl Then {
    /// What is to be added comes later, and so does what comes after that.
    pub fn of(finish: &Finish) -> Self {
        Self {
            scale: finish.scale.is_some(),
            bias: finish.bias.is_some(),
            curve: match finish.add {
                Some(_) => Curve::Straight,
                None => finish.curve,
            },
        }
    }

    pub fn finish<'a>(self, scale: Option<&'a [f32]>, bias: Option<&'a [f32]>) -> Finish<'a> {
        Finish {
            scale,
            bias,
            curve: self.curve,
            ..Finish::NOTHING
        }
    }
}

/// Matrices of fewer numbers are kept whole by everybody: little memory, and where
/// there are few columns there are many rows to share. In 8 bits, where pictures
/// cannot be cut, columns are always shared.
pub fn is_whole(numbers: usize, kind: Kind) -> bool {
    const FEW: usize = if cfg!(test) { 5000 } else { 300_000 };
    kind != Kind::Int8 && numbers <= FEW
}

/// How many there are: the hands first, the boss last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members(pub usize);

impl Members {
    pub fn boss(self) -> usize {
        self.0 - 1
    }

    /// A member's part of a number of things.
    pub fn part(self, count: usize, member: usize) -> Range<usize> {
        count * member / self.0..count * (member + 1) / self.0
    }

    /// The columns that a member keeps of a matrix, which may be the whole of it.
    pub fn keeps(self, columns: usize, whole: bool, member: usize) -> Range<usize> {
        match whole {
            true => 0..columns,
            false => self.columns(columns, member),
        }
    }

    /// Which of a packed matrix's numbers a member has, of columns that begin a panel.
    pub fn numbers(depth: usize, columns: &Range<usize>) -> Range<usize> {
        let width = tile_width();
        columns.start * depth..columns.end.next_multiple_of(width) * depth
    }

    /// A member's part of a matrix's columns: whole panels. If there is only one,
    /// the boss has it.
    pub fn columns(self, columns: usize, member: usize) -> Range<usize> {
        let width = tile_width();
        let panels = self.part(columns.div_ceil(width), member);
        (panels.start * width).min(columns)..(panels.end * width).min(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_somebodys() {
        for columns in [1, 7, 8, 64, 100, 513] {
            for members in [1, 2, 3, 8].map(Members) {
                let mut next = 0;
                for member in 0..members.0 {
                    let mine = members.columns(columns, member);
                    assert_eq!(mine.start, next);
                    next = mine.end;
                }
                assert_eq!(next, columns);
                assert!(!members.columns(columns, members.boss()).is_empty());
            }
        }
    }
}
