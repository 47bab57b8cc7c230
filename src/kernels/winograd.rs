//! Winograd convolution, F(2 x 2, 3 x 3) (Lavin & Gray 2016, arXiv:1509.09308, section
//! 4.1). An output tile of 2 x 2 takes 16 multiplications per pair of channels instead of
//! 36, at the cost of transforms before and after.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::conv::ConvGeometry;
use super::gemm::{self, Epilogue, Matrix, Packed, PackedData};
use super::parallel::{for_each, for_each_index, threads};
use super::simd::{SimdF32, SimdJob, dispatch};
use super::uninit::{DisjointWriter, vec_init_with};

/// Sides of the kernel, of an output tile, and of an input tile.
pub const KERNEL: usize = 3;
const OUTPUT_TILE: usize = 2;
const INPUT_TILE: usize = OUTPUT_TILE + KERNEL - 1;
/// GEMMs per convolution: one for each element of a transformed tile.
pub const PRODUCTS: usize = INPUT_TILE * INPUT_TILE;

/// Padding between the GEMMs' matrices, the length of the longest vector. Without it they
/// would start a power of two apart and evict each other from the cache.
const MATRIX_PADDING: usize = 16;

/// Transforms weights `[3, 3, channels, columns]` to `[16, channels, columns]`, `part`
/// values each: at least a vector.
pub fn transform_weights(matrix: &[f32], part: usize) -> Vec<f32> {
    let write = |out: &mut [MaybeUninit<f32>]| dispatch(TransformKernel { matrix, part, out });
    // SAFETY: `TransformKernel` writes every vector of each of the sixteen parts.
    unsafe { vec_init_with(PRODUCTS * part, write) }
}

struct TransformKernel<'a> {
    matrix: &'a [f32],
    part: usize,
    out: &'a mut [MaybeUninit<f32>],
}

impl SimdJob for TransformKernel<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let part = self.part;
        assert!(self.matrix.len() == KERNEL * KERNEL * part && part >= V::LANES);
        assert!(self.out.len() == PRODUCTS * part);
        for first in (0..part).step_by(V::LANES) {
            // The last vector overlaps the one before.
            let from = first.min(part - V::LANES);
            // SAFETY: `from` is at most a vector before the end of a part, and the matrix
            // has nine parts, the output sixteen, as asserted. The caller guarantees V's
            // instructions.
            unsafe {
                let matrix = self.matrix.as_ptr().add(from);
                let to = self.out.as_mut_ptr().cast::<f32>().add(from);
                let mut transformed = [[V::zero(); INPUT_TILE]; KERNEL];
                for (y, row) in transformed.iter_mut().enumerate() {
                    let matrix = matrix.add(y * KERNEL * part);
                    let [a, b, c] = [matrix, matrix.add(part), matrix.add(2 * part)];
                    *row = transform_kernel([V::load(a), V::load(b), V::load(c)]);
                }
                let [a, b, c] = transformed;
                for x in 0..INPUT_TILE {
                    for (y, value) in transform_kernel([a[x], b[x], c[x]]).into_iter().enumerate() {
                        value.store(to.add((y * INPUT_TILE + x) * part));
                    }
                }
            }
        }
    }
}

/// Kernel transform of one row, `G g`.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn transform_kernel<V: SimdF32>([a, b, c]: [V; KERNEL]) -> [V; INPUT_TILE] {
    // SAFETY: the caller guarantees V's instructions.
    unsafe {
        let ends = V::zero().mul_add(0.5, a.add(c));
        let middle = V::zero().mul_add(0.5, b);
        [a, ends.add(middle), ends.subtract(middle), c]
    }
}

/// Tiles of a range of output rows.
struct Tiles<'a> {
    /// Input rows that are available.
    input: &'a [f32],
    read: Range<usize>,
    geometry: ConvGeometry,
    output_rows: Range<usize>,
    /// First output row of each row of tiles, and how many of its rows to compute.
    rows: Vec<(usize, usize)>,
    across: usize,
    /// A zero pixel, for the padding.
    padding: Vec<f32>,
}

impl<'a> Tiles<'a> {
    fn new(input: &'a [f32], geometry: ConvGeometry, output_rows: Range<usize>) -> Self {
        let [height, width] = geometry.output_size();
        let mut rows = Vec::new();
        let mut row = output_rows.start;
        while row < output_rows.end {
            let end = (row / height + 1) * height;
            let count = OUTPUT_TILE.min(end.min(output_rows.end) - row);
            rows.push((row, count));
            row += count;
        }
        Self {
            input,
            read: geometry.input_rows(&output_rows),
            geometry,
            output_rows,
            rows,
            across: width.div_ceil(OUTPUT_TILE),
            padding: vec![0.0; geometry.channels],
        }
    }

    fn count(&self) -> usize {
        self.rows.len() * self.across
    }

    /// Position of a tile: first row and column, with the number of each.
    fn position(&self, tile: usize) -> [(usize, usize); 2] {
        let x = tile % self.across * OUTPUT_TILE;
        let [_, width] = self.geometry.output_size();
        [
            self.rows[tile / self.across],
            (x, OUTPUT_TILE.min(width - x)),
        ]
    }

    /// Input pixels of a tile, row by row.
    #[inline(always)]
    fn read(&self, tile: usize) -> [&[f32]; PRODUCTS] {
        let ConvGeometry {
            height,
            width,
            channels,
            ..
        } = self.geometry;
        let [(row, _), (x, _)] = self.position(tile);
        let (batch, y) = (row / height, row % height);
        let mut read = [self.padding.as_slice(); PRODUCTS];
        for (i, read) in read.iter_mut().enumerate() {
            // Padding of one pixel around every image.
            let (down, across) = (y + i / INPUT_TILE, x + i % INPUT_TILE);
            let inside = (1..=height).contains(&down) && (1..=width).contains(&across);
            // Input that only rows beyond the range need may be missing.
            if inside && batch * height + down <= self.read.end {
                let row = batch * height + down - 1 - self.read.start;
                let pixel = (row * width + across - 1) * channels;
                *read = &self.input[pixel..pixel + channels];
            }
        }
        read
    }
}

/// Input transform in one direction, `Bᵀ d`.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn transform_input<V: SimdF32>([a, b, c, d]: [V; INPUT_TILE]) -> [V; INPUT_TILE] {
    // SAFETY: the caller guarantees V's instructions.
    unsafe { [a.subtract(c), b.add(c), c.subtract(b), b.subtract(d)] }
}

/// Output transform in one direction, `Aᵀ m`.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn transform_output<V: SimdF32>([a, b, c, d]: [V; INPUT_TILE]) -> [V; OUTPUT_TILE] {
    // SAFETY: the caller guarantees V's instructions.
    unsafe { [a.add(b).add(c), b.subtract(c).subtract(d)] }
}

/// Input transform of a range of tiles: `[16, tiles, channels]`.
struct TransformInput<'a, 'p> {
    tiles: &'a Tiles<'p>,
    part: Range<usize>,
    out: &'a mut [f32],
}

impl SimdJob for TransformInput<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let channels = self.tiles.geometry.channels;
        let product = self.part.len() * channels + MATRIX_PADDING;
        assert!(self.out.len() == PRODUCTS * product && channels >= V::LANES);
        for (i, tile) in self.part.enumerate() {
            let read = self.tiles.read(tile);
            let mut first = 0;
            while first < channels {
                // The last vector overlaps the one before.
                let from = first.min(channels - V::LANES);
                first += V::LANES;
                // SAFETY: `from` is at most a vector before the end of the channels, which
                // each of the sixteen slices has, and `out` for every tile and product, as
                // asserted. The caller guarantees V's instructions.
                unsafe {
                    let mut d = [[V::zero(); INPUT_TILE]; INPUT_TILE];
                    for (i, read) in read.iter().enumerate() {
                        d[i / INPUT_TILE][i % INPUT_TILE] = V::load(read.as_ptr().add(from));
                    }
                    let mut transformed = [[V::zero(); INPUT_TILE]; INPUT_TILE];
                    for x in 0..INPUT_TILE {
                        let column = transform_input([d[0][x], d[1][x], d[2][x], d[3][x]]);
                        for y in 0..INPUT_TILE {
                            transformed[y][x] = column[y];
                        }
                    }
                    let to = self.out.as_mut_ptr().add(i * channels + from);
                    for (y, row) in transformed.into_iter().enumerate() {
                        for (x, value) in transform_input(row).into_iter().enumerate() {
                            value.store(to.add((y * INPUT_TILE + x) * product));
                        }
                    }
                }
            }
        }
    }
}

/// Output transform of a range of tiles, from `[16, tiles, columns]`, with the epilogue.
struct TransformOutput<'a, 'p> {
    tiles: &'a Tiles<'p>,
    part: Range<usize>,
    products: &'a [f32],
    columns: usize,
    epilogue: &'a Epilogue<'a>,
    out: &'a DisjointWriter<'a>,
}

impl SimdJob for TransformOutput<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let columns = self.columns;
        let product = self.part.len() * columns + MATRIX_PADDING;
        assert!(self.products.len() == PRODUCTS * product && V::LANES <= MATRIX_PADDING);
        let [_, width] = self.tiles.geometry.output_size();
        for (i, tile) in self.part.enumerate() {
            let [(row, down), (x, across)] = self.tiles.position(tile);
            let pixel = (row - self.tiles.output_rows.start) * width + x;
            for from in (0..columns).step_by(V::LANES) {
                let count = V::LANES.min(columns - from);
                // SAFETY: a load starts within a product's matrix and ends in it or in the
                // padding after it, which is as long as a vector, as asserted; so is `tail`.
                // `ptr_at` checks the bounds of the output, and no other tile has these
                // pixels. The caller guarantees V's instructions.
                unsafe {
                    let products = self.products.as_ptr().add(i * columns + from);
                    let mut transformed = [[V::zero(); OUTPUT_TILE]; INPUT_TILE];
                    for (y, row) in transformed.iter_mut().enumerate() {
                        let mut sums = [V::zero(); INPUT_TILE];
                        for (x, sum) in sums.iter_mut().enumerate() {
                            *sum = V::load(products.add((y * INPUT_TILE + x) * product));
                        }
                        *row = transform_output(sums);
                    }
                    let [a, b, c, d] = transformed;
                    for x in 0..across {
                        let column = transform_output([a[x], b[x], c[x], d[x]]);
                        for (y, sum) in column.into_iter().enumerate().take(down) {
                            let pixel = pixel + y * width + x;
                            let offset = pixel * columns + from;
                            if count == V::LANES {
                                let [sum] = self.epilogue.apply_simd([sum], from, offset);
                                sum.store(self.out.ptr_at(pixel, from, V::LANES));
                            } else {
                                let mut tail = [0.0; MATRIX_PADDING];
                                sum.store(tail.as_mut_ptr());
                                self.epilogue.apply_scalar(&mut tail[..count], from, offset);
                                self.out.write(pixel, from, &tail[..count]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Values before and after the GEMMs per chunk.
const CHUNK: usize = 128 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Output rows of a convolution; `input` holds the input rows they need, `values` packed
/// [`transform_weights`].
pub fn conv(
    input: &[f32],
    geometry: ConvGeometry,
    output_rows: Range<usize>,
    values: PackedData,
    columns: usize,
    epilogue: &Epilogue,
) -> Vec<f32> {
    let [_, width] = geometry.output_size();
    let length = output_rows.len() * width * columns;
    if length == 0 {
        return Vec::new();
    }
    let channels = geometry.channels;
    let tiles = Tiles::new(input, geometry, output_rows);
    let (total, threads) = (tiles.count(), threads());
    // Fewer than two tiles' rows would read all weights for little work.
    let chunk_len =
        (CHUNK / (PRODUCTS * (channels + columns))).max(2 * gemm::max_tile_rows::<f32>());
    let mut chunks = total.div_ceil(chunk_len);
    // Parallel over tiles if there are enough of them, else over GEMMs.
    let by_chunk = threads > 1 && total >= threads * gemm::max_tile_rows::<f32>();
    if by_chunk {
        chunks = chunks.next_multiple_of(threads);
    }
    let write = |out: &mut [MaybeUninit<f32>]| {
        let writer = DisjointWriter::new(out, columns);
        for_each_index(chunks, by_chunk, |chunk| {
            let part = chunk * total / chunks..(chunk + 1) * total / chunks;
            let count = part.len();
            let (input_len, output_len) = (
                count * channels + MATRIX_PADDING,
                count * columns + MATRIX_PADDING,
            );
            let mut scratch = SCRATCH.take();
            scratch.resize(scratch.len().max(PRODUCTS * (input_len + output_len)), 0.0);
            let (read, rest) = scratch.split_at_mut(PRODUCTS * input_len);
            let products = &mut rest[..PRODUCTS * output_len];
            dispatch(TransformInput {
                tiles: &tiles,
                part: part.clone(),
                out: read,
            });
            let parts = (read.chunks_exact(input_len)).zip(products.chunks_exact_mut(output_len));
            let parts = parts.enumerate().collect();
            for_each(parts, threads > 1 && !by_chunk, |(index, (read, out))| {
                let rows = Matrix {
                    values: read,
                    rows: count,
                    depth: channels,
                    stride: channels,
                };
                let packed = Packed {
                    values,
                    depth: PRODUCTS * channels,
                    part: index * channels..(index + 1) * channels,
                    columns,
                };
                gemm::gemm_serial_into(&rows, &packed, &mut out[..count * columns]);
            });
            dispatch(TransformOutput {
                tiles: &tiles,
                part,
                products,
                columns,
                epilogue,
                out: &writer,
            });
            SCRATCH.set(scratch);
        });
    };
    // SAFETY: the chunks have all tiles, which cover all pixels of the output rows, and
    // `TransformOutput` writes all columns of each.
    unsafe { vec_init_with(length, write) }
}
