//! GEMM by one step of Strassen's algorithm in Winograd's form (Winograd 1971): seven products of
//! halves of the matrices instead of eight, at a few additions, which are made tile by tile.
//!
//! With the quarters of the left-hand side `A` (rows halved, depth halved), of the right-hand side
//! `B` (depth halved, columns halved) and of the result `C`:
//!
//! ```text
//! S1 = A21 + A22    S2 = S1 - A11    S3 = A11 - A21    S4 = A12 - S2
//! T1 = B12 - B11    T2 = B22 - T1    T3 = B22 - B12    T4 = B21 - T2
//!
//! U2  = A11 B11 + S2 T2              C11 = A11 B11 + A12 B21
//! U3  = U2 + S3 T3                   C12 = U2 + S1 T1 + S4 B22
//!                                    C21 = U3 + A22 T4
//!                                    C22 = U3 + S1 T1
//! ```
//!
//! Errors are a few times those of the plain sum of products, and far below what f32 features are
//! compared to.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::gemm::{self, Epilogue, GemmElement, LhsSource, Output, Packed, accumulate};
use super::parallel::for_each_index;
use super::simd::{SimdF32, SimdJob, dispatch, tile_width};
use super::uninit::DisjointWriter;

/// Products of halves.
const PRODUCTS: usize = 7;

/// Most rows of a half of the right-hand side at a time: a panel of them and a block of the
/// left-hand side stay in L1. Larger depths are summed in parts.
const MAX_DEPTH: usize = 384;

/// Elements of the left-hand side per chunk, all products together.
const CHUNK: usize = 512 * 1024;

/// Fewest rows with which it saves time (`gemm` and `strassen` at three sizes on an AMD EPYC, Zen 4):
/// wide vectors multiply faster, but do not load faster what the additions need.
const MIN_ROWS: usize = if cfg!(target_arch = "wasm32") {
    96
} else {
    384
};

/// Whether the matrices are large enough for it to save time, and have halves.
pub fn suits(rows: &impl LhsSource, packed: &Packed) -> bool {
    let depth = packed.part.len();
    rows.segments() == 1
        && rows.count() >= MIN_ROWS
        && depth >= 256
        && depth.is_multiple_of(2)
        && packed.columns.is_multiple_of(2 * tile_width())
}

/// `rows` times `packed` into all of `out`, `[rows, columns]`.
pub fn gemm_into(
    rows: &impl LhsSource,
    packed: &Packed,
    epilogue: &Epilogue,
    threads: usize,
    out: &mut [MaybeUninit<f32>],
) {
    let columns = packed.columns;
    let (max_rows, panels) = (gemm::max_tile_rows::<f32>(), columns / tile_width() / 2);
    // Of an odd number of rows, the last has a row of zeros as its other half.
    let pairs = rows.count().div_ceil(2);
    let half = packed.part.len() / 2;
    let parts = half.div_ceil(MAX_DEPTH);
    let by_chunk = threads > 1 && pairs >= 4 * threads * max_rows;
    let by_panel = threads > 1 && !by_chunk;
    let mut chunks = pairs.div_ceil(CHUNK / (PRODUCTS * half.div_ceil(parts)));
    if by_chunk {
        chunks = chunks.next_multiple_of(2 * threads);
    }
    let writer = DisjointWriter::new(out, columns);
    for part in 0..parts {
        let (from, to) = (part * half / parts, (part + 1) * half / parts);
        let output = Output {
            out: &writer,
            columns,
            epilogue: if part + 1 == parts {
                epilogue
            } else {
                &Epilogue::NONE
            },
        };
        for_each_index(chunks, by_chunk, |index| {
            let (first, end) = (index * pairs / chunks, (index + 1) * pairs / chunks);
            let blocks = gemm::blocks(end - first, max_rows);
            let lhs = pack_lhs(rows, first, &blocks, [from..to, half + from..half + to]);
            for_each_index(panels, by_panel, |panel| {
                dispatch(PanelPair {
                    packed,
                    halves: [from, half + from].map(|start| packed.part.start + start),
                    depth: to - from,
                    panels: [panel, panels + panel],
                    lhs: &lhs,
                    blocks: &blocks,
                    rows: [first, pairs + first],
                    total: rows.count(),
                    continued: part > 0,
                    output: &output,
                })
            });
        });
    }
}

/// The left-hand sides of the products, `[products, depth, height]` for each block of pairs of
/// rows from `first` on: `A11`, `A12`, `S2`, `S3`, `A22`, `S1`, `S4`.
fn pack_lhs(
    rows: &impl LhsSource,
    first: usize,
    blocks: &[(usize, usize)],
    [left, right]: [Range<usize>; 2],
) -> Vec<f32> {
    let depth = left.len();
    let pairs = rows.count().div_ceil(2);
    let count = blocks.last().map_or(0, |block| block.1);
    let zeros = vec![0.0; right.end];
    let row = |row: usize| {
        let values = (row < rows.count()).then(|| rows.row(row).next()).flatten();
        let values = values.unwrap_or(&zeros);
        [&values[left.clone()], &values[right.clone()]]
    };
    let size = PRODUCTS * depth;
    let mut operands = vec![0.0; size];
    let mut packed = vec![0.0; count * size];
    for &(from, to) in blocks {
        let block = &mut packed[from * size..to * size];
        for i in 0..to - from {
            let pair = first + from + i;
            let quarters = [row(pair), row(pairs + pair)];
            let operands = &mut operands;
            dispatch(LhsOperands { quarters, operands });
            gemm::transpose_row(operands, to - from, i, block);
        }
    }
    packed
}

/// The left-hand sides of the products for a pair of rows, `[products, depth]`.
struct LhsOperands<'a> {
    /// Left and right half of the upper and the lower row.
    quarters: [[&'a [f32]; 2]; 2],
    operands: &'a mut [f32],
}

impl SimdJob for LhsOperands<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let [[upper_left, upper_right], [lower_left, lower_right]] = self.quarters;
        let depth = upper_left.len();
        let (a11, rest) = self.operands.split_at_mut(depth);
        let (a12, rest) = rest.split_at_mut(depth);
        let (s2, rest) = rest.split_at_mut(depth);
        let (s3, rest) = rest.split_at_mut(depth);
        let (a22, rest) = rest.split_at_mut(depth);
        let (s1, s4) = rest.split_at_mut(depth);
        a11.copy_from_slice(upper_left);
        a12.copy_from_slice(upper_right);
        a22.copy_from_slice(lower_right);
        for (s1, (a21, a22)) in s1.iter_mut().zip(lower_left.iter().zip(&*a22)) {
            *s1 = a21 + a22;
        }
        for (s2, (s1, a11)) in s2.iter_mut().zip(s1.iter().zip(&*a11)) {
            *s2 = s1 - a11;
        }
        for (s3, (a11, a21)) in s3.iter_mut().zip(a11.iter().zip(lower_left)) {
            *s3 = a11 - a21;
        }
        for (s4, (a12, s2)) in s4.iter_mut().zip(a12.iter().zip(&*s2)) {
            *s4 = a12 - s2;
        }
    }
}

thread_local! {
    /// A panel of each quarter of the right-hand side, if converted, and the sums of them.
    static SCRATCH: RefCell<[Vec<f32>; 5]> = const { RefCell::new([const { Vec::new() }; 5]) };
}

/// A panel of the left half of the columns and its counterpart of the right half, times every
/// block of pairs of rows.
struct PanelPair<'a, 'w> {
    packed: &'a Packed<'w>,
    /// First rows of the upper and the lower half of the right-hand side.
    halves: [usize; 2],
    depth: usize,
    panels: [usize; 2],
    /// See [`pack_lhs`].
    lhs: &'a [f32],
    blocks: &'a [(usize, usize)],
    /// Rows of the first pair.
    rows: [usize; 2],
    /// All rows.
    total: usize,
    /// Whether the output has the sums of a part before.
    continued: bool,
    output: &'a Output<'a>,
}

impl SimdJob for PanelPair<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let (width, depth) = (2 * V::LANES, self.depth);
        let quarter = |half: usize, panel: usize| {
            let start = self.panels[panel] * self.packed.depth + self.halves[half];
            start * width..(start + depth) * width
        };
        let mut scratch = SCRATCH.take();
        let [s11, s12, s21, s22, sums] = &mut scratch;
        let b11 = f32::rhs(&self.packed.values, quarter(0, 0), s11);
        let b12 = f32::rhs(&self.packed.values, quarter(0, 1), s12);
        let b21 = f32::rhs(&self.packed.values, quarter(1, 0), s21);
        let b22 = f32::rhs(&self.packed.values, quarter(1, 1), s22);
        // SAFETY: the caller guarantees V's instructions.
        let [t1, t2, t3, t4] = unsafe { rhs_sums::<V>([b11, b12, b21, b22], sums) };
        let rhs = [b11, b21, t2, t3, t4, t1, b22];
        for &(from, to) in self.blocks {
            // SAFETY: the caller guarantees V's instructions.
            unsafe { self.block::<V>(rhs, from, to - from) };
        }
        SCRATCH.set(scratch);
    }
}

/// `T1` to `T4` of the quarters of the right-hand side, in `scratch`.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn rhs_sums<'a, V: SimdF32>(
    quarters: [&[f32]; 4],
    scratch: &'a mut Vec<f32>,
) -> [&'a [f32]; 4] {
    let length = quarters[0].len();
    assert!(length.is_multiple_of(V::LANES) && quarters.iter().all(|q| q.len() == length));
    scratch.resize(4 * length, 0.0);
    let to = scratch.as_mut_ptr();
    for i in (0..length).step_by(V::LANES) {
        // SAFETY: quarters and sums have `length` elements, a multiple of a vector's, as asserted.
        // The caller guarantees V's instructions.
        unsafe {
            let [b11, b12, b21, b22] = quarters.map(|quarter| V::load(quarter.as_ptr().add(i)));
            let t1 = b12.subtract(b11);
            let t2 = b22.subtract(t1);
            t1.store(to.add(i));
            t2.store(to.add(length + i));
            b22.subtract(b12).store(to.add(2 * length + i));
            b21.subtract(t2).store(to.add(3 * length + i));
        }
    }
    let part = |index: usize| &scratch[index * length..(index + 1) * length];
    [part(0), part(1), part(2), part(3)]
}

impl PanelPair<'_, '_> {
    /// Dispatches to the micro-tile of the block's height.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn block<V: SimdF32>(&self, rhs: [&[f32]; PRODUCTS], from: usize, height: usize) {
        gemm::with_height!(height, V::ROWS, |H| {
            // SAFETY: the caller guarantees V's instructions.
            unsafe { self.tiles::<V, H>(rhs, from) }
        });
    }

    /// Computes four tiles of the output, of `H` rows each.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn tiles<V: SimdF32, const H: usize>(&self, rhs: [&[f32]; PRODUCTS], from: usize) {
        let depth = self.depth;
        let lhs = &self.lhs[PRODUCTS * from * depth..PRODUCTS * (from + H) * depth];
        // SAFETY: the caller guarantees V's instructions.
        unsafe {
            let zeros = [[V::zero(); 2]; H];
            let (mut sums, mut kept, mut u3) = (zeros, zeros, zeros);
            // A loop, so that there is one copy of the micro-kernel.
            for (product, rhs) in rhs.into_iter().enumerate() {
                let block = &lhs[product * H * depth..(product + 1) * H * depth];
                sums = accumulate::<f32, V, H>(sums, block, rhs);
                match product {
                    0 => kept = sums,
                    1 => {
                        self.write(sums, from, [0, 0]);
                        sums = kept;
                    }
                    2 => kept = sums,
                    3 => u3 = sums,
                    4 => {
                        self.write(sums, from, [1, 0]);
                        sums = zeros;
                    }
                    5 => {
                        self.write(add(sums, u3), from, [1, 1]);
                        sums = add(sums, kept);
                    }
                    _ => self.write(sums, from, [0, 1]),
                }
            }
        }
    }

    /// Writes a tile of a quarter of the output.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn write<V: SimdF32, const H: usize>(
        &self,
        sums: [[V; 2]; H],
        from: usize,
        [half, panel]: [usize; 2],
    ) {
        let (first, panel) = (self.rows[half] + from, self.panels[panel]);
        let width = 2 * V::LANES;
        for (row, mut sums) in (first..self.total).zip(sums) {
            // SAFETY: `ptr_at` checks for two vectors, which the part before has written. Panels
            // are disjoint columns and chunks are disjoint rows, so that no other thread accesses
            // them. The caller guarantees V's instructions.
            unsafe {
                if self.continued {
                    let before = self.output.out.ptr_at(row, panel * width, width);
                    sums[0] = sums[0].add(V::load(before));
                    sums[1] = sums[1].add(V::load(before.add(V::LANES)));
                }
                self.output.write(row, panel, sums);
            }
        }
    }
}

/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn add<V: SimdF32, const H: usize>(a: [[V; 2]; H], b: [[V; 2]; H]) -> [[V; 2]; H] {
    let mut sums = a;
    for (sums, b) in sums.iter_mut().zip(b) {
        // SAFETY: the caller guarantees V's instructions.
        unsafe {
            sums[0] = sums[0].add(b[0]);
            sums[1] = sums[1].add(b[1]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::super::gemm::{Matrix, PackedData, pack};
    use super::super::simd::level::at_every_level;
    use super::super::uninit::vec_init_with;
    use super::super::{dot, test_values};
    use super::*;

    #[test]
    fn a_product_is_that_of_the_definition() {
        // An odd number of rows, one part of the depth and three, whose lengths differ.
        let shapes = match cfg!(miri) {
            true => vec![[3, 10, 64]],
            false => vec![
                [3, 10, 64],
                [40, 256, 128],
                [37, 2 * (2 * MAX_DEPTH + 7), 64],
            ],
        };
        for [rows, depth, columns] in shapes {
            let (a, b) = (
                test_values(rows * depth, 1),
                test_values(depth * columns, 2),
            );
            let (bias, residual) = (test_values(columns, 3), test_values(rows * columns, 4));
            let halves: Vec<f32> = b.iter().map(|x| f16::from_f32(*x).to_f32()).collect();
            let epilogue = Epilogue {
                bias: Some(&bias),
                residual: Some(&residual),
                ..Epilogue::NONE
            };
            let expected = |b: &[f32]| -> Vec<f64> {
                let column =
                    |j: usize| -> Vec<f32> { b.iter().skip(j).step_by(columns).copied().collect() };
                let columns: Vec<_> = (0..columns).map(column).collect();
                let added = (0..).map(|i: usize| bias[i % columns.len()] + residual[i]);
                let products = a
                    .chunks(depth)
                    .flat_map(|row| columns.iter().map(move |column| dot(row, column)));
                products
                    .zip(added)
                    .map(|(product, added)| product + f64::from(added))
                    .collect()
            };
            let (exact, rounded) = (expected(&b), expected(&halves));
            at_every_level(|| {
                let lhs = Matrix {
                    values: &a,
                    rows,
                    depth,
                    stride: depth,
                };
                let mut packed = Vec::new();
                pack(&b, depth, columns, columns, &mut packed);
                let packed_f16: Vec<f16> = packed.iter().map(|x| f16::from_f32(*x)).collect();
                for (storage, expected) in [
                    (PackedData::F32(&packed), &exact),
                    (PackedData::F16(&packed_f16), &rounded),
                ] {
                    let packed = Packed::new(storage, depth, columns);
                    let [serial, parallel] = [1, 4].map(|threads| {
                        // SAFETY: `gemm_into` writes all of its output.
                        unsafe {
                            vec_init_with(rows * columns, |out| {
                                gemm_into(&lhs, &packed, &epilogue, threads, out)
                            })
                        }
                    });
                    assert_eq!(serial, parallel);
                    for (found, expected) in serial.iter().zip(expected) {
                        let distance = (f64::from(*found) - expected).abs();
                        assert!(distance < 5e-4, "{found} instead of {expected}");
                    }
                }
            });
        }
    }
}
