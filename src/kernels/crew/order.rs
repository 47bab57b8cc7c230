//! What the boss tells the hands, and who does which part of it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::Curve;
use super::super::conv::Places;
use super::super::gemm::Finish;
use super::super::simd::tile_width;

#[derive(Serialize, Deserialize)]
pub enum Order {
    /// Some rows of a matrix `[depth, columns]` are laid out: keep what is yours.
    Keep {
        matrix: u32,
        shape: [usize; 2],
        rows: Range<usize>,
        whole: bool,
        f16: bool,
        int8: bool,
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
pub fn is_whole(numbers: usize, int8: bool) -> bool {
    const FEW: usize = if cfg!(test) { 1000 } else { 160_000 };
    !int8 && numbers <= FEW
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
