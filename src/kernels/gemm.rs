//! GEMM with a packed right-hand side: weights are packed once, when a model is loaded.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use half::f16;

use super::Activation;
use super::math;
use super::parallel::{for_each, for_each_index, threads};
use super::simd::{SimdF32, SimdJob, dispatch, tile_width};
use super::uninit::{DisjointWriter, vec_init_with};

/// Packed right-hand side `[depth, columns]`, stored as panels of tile width: `[panels,
/// depth, NR]`, the last panel padded with zeros. A micro-tile reads it sequentially.
pub struct Packed<'a, N: GemmElement = f32> {
    pub values: N::Storage<'a>,
    pub depth: usize,
    /// Range of rows (along the depth) to multiply with.
    pub part: Range<usize>,
    pub columns: usize,
}

impl<'a, N: GemmElement> Packed<'a, N> {
    /// The whole matrix.
    pub fn new(values: N::Storage<'a>, depth: usize, columns: usize) -> Self {
        Self {
            values,
            depth,
            part: 0..depth,
            columns,
        }
    }
}

/// Element type of the left-hand side, with the matching storage and accumulator types.
pub trait GemmElement: Copy + Default + Send + Sync + 'static {
    /// Element of the right-hand side as a micro-tile reads it.
    type Rhs: Copy;
    /// Right-hand side as stored.
    type Storage<'a>: Copy + Sync;
    type RhsVector<V: SimdF32>: Copy;
    type Accumulator<V: SimdF32>: Copy;

    /// Range of the right-hand side as a micro-tile reads it, converted into `scratch` if
    /// stored otherwise.
    fn rhs<'a>(
        values: &'a Self::Storage<'_>,
        part: Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> &'a [Self::Rhs];

    // SAFETY: as in [`SimdF32`].
    unsafe fn zero<V: SimdF32>() -> Self::Accumulator<V>;
    unsafe fn load<V: SimdF32>(from: *const Self::Rhs) -> Self::RhsVector<V>;
    unsafe fn mul_add<V: SimdF32>(
        sums: Self::Accumulator<V>,
        a: Self,
        b: Self::RhsVector<V>,
    ) -> Self::Accumulator<V>;
    unsafe fn to_f32<V: SimdF32>(sums: Self::Accumulator<V>) -> V;
}

#[derive(Clone, Copy)]
pub enum PackedData<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> PackedData<'a> {
    pub fn part(self, part: Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[part]),
            Self::F16(values) => Self::F16(&values[part]),
        }
    }
}

impl GemmElement for f32 {
    type Rhs = f32;
    type Storage<'a> = PackedData<'a>;
    type RhsVector<V: SimdF32> = V;
    type Accumulator<V: SimdF32> = V;

    #[inline(always)]
    fn rhs<'a>(values: &'a PackedData, part: Range<usize>, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        match *values {
            PackedData::F32(values) => &values[part],
            PackedData::F16(values) => {
                scratch.resize(part.len(), 0.0);
                for (to, from) in scratch.iter_mut().zip(&values[part]) {
                    *to = math::from_f16(from.to_bits());
                }
                scratch
            }
        }
    }
    #[inline(always)]
    unsafe fn zero<V: SimdF32>() -> V {
        unsafe { V::zero() }
    }
    #[inline(always)]
    unsafe fn load<V: SimdF32>(from: *const f32) -> V {
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn mul_add<V: SimdF32>(sums: V, a: f32, b: V) -> V {
        unsafe { sums.mul_add(a, b) }
    }
    #[inline(always)]
    unsafe fn to_f32<V: SimdF32>(sums: V) -> V {
        sums
    }
}

/// Two adjacent quantised values of a row: see [`super::int8`].
pub type Pair = [i16; 2];

impl GemmElement for Pair {
    type Rhs = [i8; 2];
    type Storage<'a> = &'a [[i8; 2]];
    type RhsVector<V: SimdF32> = V::Pairs;
    type Accumulator<V: SimdF32> = V::Ints;

    #[inline(always)]
    fn rhs<'a>(
        values: &'a &[[i8; 2]],
        part: Range<usize>,
        _room: &'a mut Vec<f32>,
    ) -> &'a [[i8; 2]] {
        &values[part]
    }
    #[inline(always)]
    unsafe fn zero<V: SimdF32>() -> V::Ints {
        unsafe { V::zero_ints() }
    }
    #[inline(always)]
    unsafe fn load<V: SimdF32>(from: *const [i8; 2]) -> V::Pairs {
        unsafe { V::load_pairs(from) }
    }
    #[inline(always)]
    unsafe fn mul_add<V: SimdF32>(sums: V::Ints, a: Pair, b: V::Pairs) -> V::Ints {
        unsafe { V::add_pairs(sums, a, b) }
    }
    #[inline(always)]
    unsafe fn to_f32<V: SimdF32>(sums: V::Ints) -> V {
        unsafe { V::to_floats(sums) }
    }
}

/// Packs a matrix `[depth, columns]` with row stride `stride` into panels.
pub fn pack<T: Copy + Default>(
    matrix: &[T],
    depth: usize,
    columns: usize,
    stride: usize,
    packed: &mut Vec<T>,
) {
    let width = tile_width();
    packed.clear();
    packed.reserve_exact(columns.div_ceil(width) * width * depth);
    for first in (0..columns).step_by(width) {
        let count = width.min(columns - first);
        for row in 0..depth {
            let start = row * stride + first;
            packed.extend_from_slice(&matrix[start..start + count]);
            packed.extend(std::iter::repeat_n(T::default(), width - count));
        }
    }
}

/// Epilogue fused into a GEMM: `activation(x * row_scale * scale + bias + residual)`.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// Per-row scale, `[rows]`
    pub row_scale: Option<&'a [f32]>,
    /// `[columns]`
    pub scale: Option<&'a [f32]>,
    /// `[columns]`
    pub bias: Option<&'a [f32]>,
    /// `[rows, columns]`
    pub residual: Option<&'a [f32]>,
    pub activation: Activation,
}

impl Epilogue<'_> {
    pub const NONE: Self = Self {
        row_scale: None,
        scale: None,
        bias: None,
        residual: None,
        activation: Activation::Identity,
    };

    #[inline(always)]
    pub fn apply_scalar(&self, row: &mut [f32], first: usize, offset: usize) {
        let columns = first..first + row.len();
        if let Some(scale) = self.scale {
            let scale = &scale[columns.clone()];
            row.iter_mut().zip(scale).for_each(|(x, s)| *x *= s);
        }
        if let Some(bias) = self.bias {
            let bias = &bias[columns];
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
        if let Some(residual) = self.residual {
            let residual = &residual[offset..offset + row.len()];
            row.iter_mut().zip(residual).for_each(|(x, a)| *x += a);
        }
        math::activate(self.activation, row);
    }

    /// [`Self::apply_scalar`] on registers: adjacent vectors, such as the two of a full
    /// tile.
    #[inline(always)]
    pub unsafe fn apply_simd<V: SimdF32, const N: usize>(
        &self,
        mut sums: [V; N],
        first: usize,
        offset: usize,
    ) -> [V; N] {
        #[inline(always)]
        unsafe fn load<V: SimdF32, const N: usize>(values: &[f32], first: usize) -> [V; N] {
            let values = &values[first..first + N * V::LANES];
            // SAFETY: the slice has N vectors, as just checked.
            unsafe {
                let mut loaded = [V::zero(); N];
                for (i, vector) in loaded.iter_mut().enumerate() {
                    *vector = V::load(values.as_ptr().add(i * V::LANES));
                }
                loaded
            }
        }
        // SAFETY: the caller guarantees V's instructions.
        unsafe {
            if let Some(scale) = self.scale {
                let scale: [V; N] = load(scale, first);
                for (sum, scale) in sums.iter_mut().zip(scale) {
                    *sum = sum.multiply(scale);
                }
            }
            if let Some(bias) = self.bias {
                let bias: [V; N] = load(bias, first);
                for (sum, bias) in sums.iter_mut().zip(bias) {
                    *sum = sum.add(bias);
                }
            }
            if let Some(residual) = self.residual {
                let residual: [V; N] = load(residual, offset);
                for (sum, residual) in sums.iter_mut().zip(residual) {
                    *sum = sum.add(residual);
                }
            }
            match self.activation {
                Activation::Identity => {}
                Activation::Relu => {
                    for sum in &mut sums {
                        *sum = sum.max(V::zero());
                    }
                }
                Activation::QuickGelu | Activation::Gelu => {
                    let mut row = [0.0f32; 32];
                    let row = &mut row[..N * V::LANES];
                    for (i, sum) in sums.into_iter().enumerate() {
                        sum.store(row.as_mut_ptr().add(i * V::LANES));
                    }
                    math::activate(self.activation, row);
                    sums = load(row, 0);
                }
            }
        }
        sums
    }
}

/// Left-hand side of a GEMM: rows of `depth` values, each made of contiguous segments of
/// equal length.
pub trait LhsSource<N = f32>: Sync {
    fn count(&self) -> usize;
    /// Segments per row.
    fn segments(&self) -> usize;
    /// Visits the segments of a row in order, with their index.
    fn row(&self, row: usize, visit: impl FnMut(usize, &[N]));
}

/// Strided matrix view.
pub struct Matrix<'a, N = f32> {
    pub values: &'a [N],
    pub rows: usize,
    pub depth: usize,
    pub stride: usize,
}

impl<N: GemmElement> LhsSource<N> for Matrix<'_, N> {
    fn count(&self) -> usize {
        self.rows
    }

    fn segments(&self) -> usize {
        1
    }

    fn row(&self, row: usize, mut visit: impl FnMut(usize, &[N])) {
        let start = row * self.stride;
        visit(0, &self.values[start..start + self.depth]);
    }
}

/// Writes a row into column `i` of a block of `width` columns.
pub fn transpose_row<N: Copy>(row: &[N], width: usize, i: usize, block: &mut [N]) {
    let column = block[i..].iter_mut().step_by(width);
    column.zip(row).for_each(|(to, from)| *to = *from);
}

/// Rows of the left-hand side as micro-tiles read them, in blocks of tile height.
enum Lhs<N> {
    /// Packed: `[depth, height]` for each block.
    Packed(Vec<N>),
    /// Pointers to the segments, `[segments, height]` for each block, and the segment
    /// length.
    Indirect(Vec<SegmentPtr<N>>, usize),
}

#[derive(Clone, Copy)]
struct SegmentPtr<N>(*const N);

// SAFETY: only read from, while the rows are borrowed.
unsafe impl<N: Sync> Send for SegmentPtr<N> {}
unsafe impl<N: Sync> Sync for SegmentPtr<N> {}

/// Packing heuristic: is it worth packing rows of `bytes` bytes for this many panels?
fn should_pack_lhs(bytes: usize, panels: usize) -> bool {
    // Rows at a multiple of this distance map to the same few L1 cache sets and evict
    // each other.
    let crowded = bytes.is_multiple_of(4096);
    // WebAssembly spends an instruction on every element's address.
    let costly = cfg!(target_arch = "wasm32") && panels >= 8;
    crowded || costly
}

impl<N: GemmElement> Lhs<N> {
    /// Rows from `first` on, split into `blocks` of `(start, end)`.
    fn new(
        rows: &impl LhsSource<N>,
        [depth, panels]: [usize; 2],
        first: usize,
        blocks: &[(usize, usize)],
        parallel: bool,
    ) -> Self {
        let segments = rows.segments();
        let count = blocks.last().map_or(0, |block| block.1);
        if segments == 1 && should_pack_lhs(depth * size_of::<N>(), panels) {
            let mut packed_lhs = vec![N::default(); count * depth];
            let mut free = packed_lhs.as_mut_slice();
            let mut tasks = Vec::with_capacity(blocks.len());
            for &(from, to) in blocks {
                let (block, rest) = free.split_at_mut((to - from) * depth);
                tasks.push((from, to, block));
                free = rest;
            }
            for_each(tasks, parallel, |(from, to, block)| {
                for i in 0..to - from {
                    rows.row(first + from + i, |_, row| {
                        transpose_row(&row[..depth], to - from, i, block)
                    });
                }
            });
            return Self::Packed(packed_lhs);
        }
        let segment_len = depth / segments;
        let mut pointers = vec![SegmentPtr(std::ptr::null()); count * segments];
        for &(from, to) in blocks {
            let block = &mut pointers[from * segments..to * segments];
            for i in 0..to - from {
                rows.row(first + from + i, |segment, values| {
                    block[segment * (to - from) + i] = SegmentPtr(values[..segment_len].as_ptr());
                });
            }
        }
        Self::Indirect(pointers, segment_len)
    }
}

/// Elements of the left-hand side per chunk: they stay in L2 while the panels of the
/// right-hand side stream by.
const CHUNK: usize = 64 * 1024;

/// `rows` times `packed`, `[rows, columns]`, on all threads.
pub fn gemm<N: GemmElement>(
    rows: &impl LhsSource<N>,
    packed: &Packed<N>,
    epilogue: &Epilogue,
) -> Vec<f32> {
    gemm_alloc(rows, packed, epilogue, threads())
}

/// [`gemm`] on the current thread.
pub fn gemm_serial<N: GemmElement>(
    rows: &impl LhsSource<N>,
    packed: &Packed<N>,
    epilogue: &Epilogue,
) -> Vec<f32> {
    gemm_alloc(rows, packed, epilogue, 1)
}

/// [`gemm_serial`] without epilogue, into `out`.
pub fn gemm_serial_into(rows: &impl LhsSource, packed: &Packed, out: &mut [MaybeUninit<f32>]) {
    gemm_into(rows, packed, &Epilogue::NONE, 1, out);
}

fn gemm_alloc<N: GemmElement>(
    rows: &impl LhsSource<N>,
    packed: &Packed<N>,
    epilogue: &Epilogue,
    threads: usize,
) -> Vec<f32> {
    vec_init_with(rows.count() * packed.columns, |out| {
        gemm_into(rows, packed, epilogue, threads, out);
    })
}

fn gemm_into<N: GemmElement>(
    rows: &impl LhsSource<N>,
    packed: &Packed<N>,
    epilogue: &Epilogue,
    threads: usize,
    out: &mut [MaybeUninit<f32>],
) {
    if out.is_empty() {
        return;
    }
    let (total, depth) = (rows.count(), packed.part.len());
    let max_rows = max_tile_rows();
    let panels = packed.columns.div_ceil(tile_width());
    // Parallel over rows if there are enough of them, else over panels.
    let by_chunk = threads > 1 && total >= 4 * threads * max_rows;
    let by_panel = threads > 1 && !by_chunk;
    // Rows are processed in chunks that fit the cache but are large enough to amortise
    // reading all weights.
    let chunk = (CHUNK / depth.max(1)).max(4 * max_rows);
    let mut chunks = total.div_ceil(chunk);
    if by_chunk {
        chunks = chunks.next_multiple_of(2 * threads);
    }
    let writer = DisjointWriter::new(out, packed.columns);
    for_each_index(chunks, by_chunk, |index| {
        // Blocks of nearly equal height: 50 rows as 13, 13, 12 and 12 rather than 14, 14,
        // 14 and 8.
        let part = |count: usize, of: usize, index: usize| index * count / of;
        let first = part(total, chunks, index);
        let count = part(total, chunks, index + 1) - first;
        let block_count = count.div_ceil(max_rows);
        let blocks: Vec<(usize, usize)> = (0..block_count)
            .map(|block| {
                (
                    part(count, block_count, block),
                    part(count, block_count, block + 1),
                )
            })
            .collect();
        let lhs = Lhs::new(rows, [depth, panels], first, &blocks, by_panel);
        for_each_index(panels, by_panel, |panel| {
            dispatch(Panel {
                packed,
                panel,
                lhs: &lhs,
                blocks: &blocks,
                first,
                epilogue,
                out: &writer,
            })
        });
    });
}

thread_local! {
    /// A panel of f16 weights converted to f32.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Maximum height of a micro-tile (MR).
pub fn max_tile_rows() -> usize {
    struct TileRows;
    impl SimdJob for TileRows {
        type Output = usize;
        #[inline(always)]
        unsafe fn run<V: SimdF32>(self) -> usize {
            V::ROWS
        }
    }
    dispatch(TileRows)
}

/// One panel of the right-hand side times every block of the left-hand side.
struct Panel<'a, 'w, N: GemmElement> {
    packed: &'a Packed<'w, N>,
    panel: usize,
    lhs: &'a Lhs<N>,
    blocks: &'a [(usize, usize)],
    first: usize,
    epilogue: &'a Epilogue<'a>,
    out: &'a DisjointWriter<'a>,
}

impl<N: GemmElement> SimdJob for Panel<'_, '_, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: SimdF32>(self) {
        let Packed { values, part, .. } = self.packed;
        let first = self.panel * self.packed.depth;
        let width = 2 * V::LANES;
        let part = (first + part.start) * width..(first + part.end) * width;
        let mut scratch = SCRATCH.take();
        let rhs = N::rhs(values, part, &mut scratch);
        for &(from, to) in self.blocks {
            // SAFETY: the caller guarantees V's instructions.
            unsafe { self.block::<V>(rhs, from, to - from) };
        }
        SCRATCH.set(scratch);
    }
}

impl<N: GemmElement> Panel<'_, '_, N> {
    /// Dispatches to the micro-tile of the block's height.
    #[inline(always)]
    unsafe fn block<V: SimdF32>(&self, rhs: &[N::Rhs], from: usize, height: usize) {
        macro_rules! heights {
            ($($height:literal)*) => {
                // Heights above V's register count never occur, and the condition is
                // resolved at compile time.
                match height {
                    $($height if $height <= V::ROWS => unsafe {
                        self.tile::<V, $height>(rhs, from)
                    },)*
                    _ => unreachable!("a block higher than a tile"),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    }

    #[inline(always)]
    unsafe fn tile<V: SimdF32, const H: usize>(&self, rhs: &[N::Rhs], from: usize) {
        let width = 2 * V::LANES;
        let depth = self.packed.part.len();
        assert!(rhs.len() == width * depth);
        // SAFETY: the caller guarantees V's instructions.
        let mut sums = [[unsafe { N::zero::<V>() }; 2]; H];
        let mut b = rhs.as_ptr();
        // A macro and no closure: a closure would not be compiled for V's instructions.
        macro_rules! step {
            ($row:ident of $rows:expr, $value:expr) => {
                // SAFETY: there are `depth` steps, and both matrices have that many.
                unsafe {
                    let (b0, b1) = (N::load::<V>(b), N::load::<V>(b.add(V::LANES)));
                    for ($row, sums) in $rows.iter().zip(&mut sums) {
                        let a = $value;
                        sums[0] = N::mul_add::<V>(sums[0], a, b0);
                        sums[1] = N::mul_add::<V>(sums[1], a, b1);
                    }
                    b = b.add(width);
                }
            };
        }
        match self.lhs {
            Lhs::Packed(packed_lhs) => {
                let (steps, _) = packed_lhs[from * depth..(from + H) * depth].as_chunks::<H>();
                for values in steps {
                    step!(value of values, *value);
                }
            }
            Lhs::Indirect(pointers, segment_len) => {
                let segments = depth / (*segment_len).max(1);
                let (segments, _) =
                    pointers[from * segments..(from + H) * segments].as_chunks::<H>();
                for pointers in segments {
                    for k in 0..*segment_len {
                        step!(start of pointers, *start.0.add(k));
                    }
                }
            }
        }
        let first = self.panel * width;
        let count = width.min(self.packed.columns - first);
        for (i, sums) in sums.into_iter().enumerate() {
            let row = self.first + from + i;
            let offset = row * self.packed.columns + first;
            // SAFETY: `tail` and a full tile are two vectors wide, and `ptr_at` checks
            // the bounds.
            unsafe {
                let mut sums = [N::to_f32::<V>(sums[0]), N::to_f32::<V>(sums[1])];
                if let Some(scale) = self.epilogue.row_scale {
                    let [a, b] = sums;
                    let zero = V::zero();
                    sums = [zero.mul_add(scale[row], a), zero.mul_add(scale[row], b)];
                }
                if count == width {
                    let sums = self.epilogue.apply_simd(sums, first, offset);
                    let to = self.out.ptr_at(row, first, width);
                    sums[0].store(to);
                    sums[1].store(to.add(V::LANES));
                } else {
                    let mut tail = [0.0f32; 32];
                    sums[0].store(tail.as_mut_ptr());
                    sums[1].store(tail.as_mut_ptr().add(V::LANES));
                    self.epilogue
                        .apply_scalar(&mut tail[..count], first, offset);
                    self.out.write(row, first, &tail[..count]);
                }
            }
        }
    }
}
