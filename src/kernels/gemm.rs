//! GEMM with a packed right-hand side: weights are packed once, when a model is loaded.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use half::f16;

use super::ActivationFunction;
use super::math;
use super::parallel::{for_each, for_each_index, threads};
use super::simd::{SimdF32, SimdJob, dispatch, tile_width};
use super::strassen;
use super::uninit::{DisjointWriter, as_uninit_mut, vec_init_with};

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
///
/// # Safety
/// As for [`SimdF32`], every unsafe function requires the instructions of `V`; pointers
/// must be valid for reads of `V::LANES` elements.
#[allow(clippy::missing_safety_doc, reason = "said once, above")]
pub trait GemmElement: Copy + Default + Send + Sync + 'static {
    /// Element of the right-hand side as a micro-tile reads it.
    type Rhs: Copy;
    /// Right-hand side as stored.
    type Storage<'a>: Copy + Sync;
    type RhsVector<V: SimdF32>: Copy;
    type Accumulator<V: SimdF32>: Copy;

    /// Maximum height of a micro-tile (MR).
    fn max_rows<V: SimdF32>() -> usize;

    /// Range of the right-hand side as a micro-tile reads it, converted into `scratch` if
    /// stored otherwise.
    fn rhs<'a>(
        values: &'a Self::Storage<'_>,
        part: Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> &'a [Self::Rhs];

    /// Computes the GEMM by [`super::strassen`], if that suits it. False if it does not.
    fn strassen(
        _rows: &impl LhsSource<Self>,
        _packed: &Packed<Self>,
        _epilogue: &Epilogue,
        _threads: usize,
        _out: &mut [MaybeUninit<f32>],
    ) -> bool {
        false
    }

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
    fn max_rows<V: SimdF32>() -> usize {
        V::ROWS
    }

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

    fn strassen(
        rows: &impl LhsSource,
        packed: &Packed,
        epilogue: &Epilogue,
        threads: usize,
        out: &mut [MaybeUninit<f32>],
    ) -> bool {
        let suits = strassen::suits(rows, packed);
        if suits {
            strassen::gemm_into(rows, packed, epilogue, threads, out);
        }
        suits
    }

    #[inline(always)]
    unsafe fn zero<V: SimdF32>() -> V {
        // SAFETY: the caller guarantees V's instructions.
        unsafe { V::zero() }
    }
    #[inline(always)]
    unsafe fn load<V: SimdF32>(from: *const f32) -> V {
        // SAFETY: the caller guarantees V's instructions, and that many elements.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn mul_add<V: SimdF32>(sums: V, a: f32, b: V) -> V {
        // SAFETY: the caller guarantees V's instructions.
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
    fn max_rows<V: SimdF32>() -> usize {
        V::INT_ROWS
    }

    #[inline(always)]
    fn rhs<'a>(
        values: &'a &[[i8; 2]],
        part: Range<usize>,
        _scratch: &'a mut Vec<f32>,
    ) -> &'a [[i8; 2]] {
        &values[part]
    }
    #[inline(always)]
    unsafe fn zero<V: SimdF32>() -> V::Ints {
        // SAFETY: the caller guarantees V's instructions.
        unsafe { V::zero_ints() }
    }
    #[inline(always)]
    unsafe fn load<V: SimdF32>(from: *const [i8; 2]) -> V::Pairs {
        // SAFETY: the caller guarantees V's instructions, and that many elements.
        unsafe { V::load_pairs(from) }
    }
    #[inline(always)]
    unsafe fn mul_add<V: SimdF32>(sums: V::Ints, a: Pair, b: V::Pairs) -> V::Ints {
        // SAFETY: the caller guarantees V's instructions.
        unsafe { V::add_pairs(sums, a, b) }
    }
    #[inline(always)]
    unsafe fn to_f32<V: SimdF32>(sums: V::Ints) -> V {
        // SAFETY: the caller guarantees V's instructions.
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

/// [`pack`] of the transpose of a matrix.
pub fn pack_transposed<T: Copy + Default>(matrix: &Matrix<T>) -> Vec<T> {
    let (width, depth) = (tile_width(), matrix.depth);
    let mut packed = vec![T::default(); matrix.rows.div_ceil(width) * width * depth];
    for row in 0..matrix.rows {
        let panel = &mut packed[row / width * width * depth..][..width * depth];
        let values = &matrix.values[row * matrix.stride..][..depth];
        transpose_row(values, width, row % width, panel);
    }
    packed
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
    pub activation: ActivationFunction,
}

impl Epilogue<'_> {
    pub const NONE: Self = Self {
        row_scale: None,
        scale: None,
        bias: None,
        residual: None,
        activation: ActivationFunction::Identity,
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
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub unsafe fn apply_simd<V: SimdF32, const N: usize>(
        &self,
        mut sums: [V; N],
        first: usize,
        offset: usize,
    ) -> [V; N] {
        /// # Safety
        /// The processor has the instructions of `V`.
        #[inline(always)]
        unsafe fn load<V: SimdF32, const N: usize>(values: &[f32], first: usize) -> [V; N] {
            let values = &values[first..first + N * V::LANES];
            // SAFETY: the slice has N vectors, as just checked; the caller guarantees V's
            // instructions.
            unsafe {
                let mut loaded = [V::zero(); N];
                for (i, vector) in loaded.iter_mut().enumerate() {
                    *vector = V::load(values.as_ptr().add(i * V::LANES));
                }
                loaded
            }
        }
        // SAFETY: the caller guarantees V's instructions; `row` has N vectors.
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
                ActivationFunction::Identity => {}
                ActivationFunction::Relu => {
                    for sum in &mut sums {
                        *sum = sum.max(V::zero());
                    }
                }
                ActivationFunction::QuickGelu
                | ActivationFunction::Gelu
                | ActivationFunction::GeluTanh => {
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
    /// The segments of a row, in order.
    fn row<'a>(&'a self, row: usize) -> impl Iterator<Item = &'a [N]>
    where
        N: 'a;
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

    fn row<'a>(&'a self, row: usize) -> impl Iterator<Item = &'a [N]>
    where
        N: 'a,
    {
        let start = row * self.stride;
        std::iter::once(&self.values[start..start + self.depth])
    }
}

/// Writes a row into column `i` of a block of `width` columns.
pub fn transpose_row<N: Copy>(row: &[N], width: usize, i: usize, block: &mut [N]) {
    let column = block[i..].iter_mut().step_by(width);
    column.zip(row).for_each(|(to, from)| *to = *from);
}

/// Rows of the left-hand side as micro-tiles read them, in blocks of tile height.
enum Lhs<'a, N> {
    /// Packed: `[depth, height]` for each block.
    Packed(Vec<N>),
    /// Pointers to the segments, `[segments, height]` for each block, and the segment
    /// length.
    Indirect(Vec<SegmentPtr<'a, N>>, usize),
}

/// Borrowed segment without its length, which is the same for all.
#[derive(Clone, Copy)]
struct SegmentPtr<'a, N>(*const N, PhantomData<&'a [N]>);

// SAFETY: it stands for a shared borrow, which may move to another thread if `N` is `Sync`.
unsafe impl<N: Sync> Send for SegmentPtr<'_, N> {}
// SAFETY: as above; a shared borrow of a shared borrow gives no more access.
unsafe impl<N: Sync> Sync for SegmentPtr<'_, N> {}

/// Packing heuristic: is it worth packing rows of `bytes` bytes for this many panels?
fn should_pack_lhs(bytes: usize, panels: usize) -> bool {
    // Rows at a multiple of this distance map to the same few L1 cache sets and evict
    // each other.
    let crowded = bytes.is_multiple_of(4096);
    // WebAssembly spends an instruction on every element's address.
    let costly = cfg!(target_arch = "wasm32") && panels >= 8;
    crowded || costly
}

impl<'a, N: GemmElement> Lhs<'a, N> {
    /// Rows from `first` on, split into `blocks` of `(start, end)`.
    fn new(
        rows: &'a impl LhsSource<N>,
        [depth, panels]: [usize; 2],
        first: usize,
        blocks: &[(usize, usize)],
        parallel: bool,
    ) -> Self {
        let segments = rows.segments();
        let count = blocks.last().map_or(0, |block| block.1);
        if segments == 1 && depth > 0 && should_pack_lhs(depth * size_of::<N>(), panels) {
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
                    for row in rows.row(first + from + i) {
                        transpose_row(&row[..depth], to - from, i, block);
                    }
                }
            });
            return Self::Packed(packed_lhs);
        }
        let segment_len = depth / segments;
        let mut pointers = vec![SegmentPtr(std::ptr::null(), PhantomData); count * segments];
        for &(from, to) in blocks {
            let block = &mut pointers[from * segments..to * segments];
            for i in 0..to - from {
                let mut filled = 0;
                for values in rows.row(first + from + i) {
                    let segment: &'a [N] = &values[..segment_len];
                    block[filled * (to - from) + i] = SegmentPtr(segment.as_ptr(), PhantomData);
                    filled += 1;
                }
                // No pointer may be left null.
                assert!(filled == segments);
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
pub fn gemm_serial_into(rows: &impl LhsSource, packed: &Packed, out: &mut [f32]) {
    // SAFETY: `gemm_into` writes sums of products.
    let out = unsafe { as_uninit_mut(out) };
    gemm_into(rows, packed, &Epilogue::NONE, 1, out);
}

fn gemm_alloc<N: GemmElement>(
    rows: &impl LhsSource<N>,
    packed: &Packed<N>,
    epilogue: &Epilogue,
    threads: usize,
) -> Vec<f32> {
    let write = |out: &mut [MaybeUninit<f32>]| gemm_into(rows, packed, epilogue, threads, out);
    // SAFETY: `gemm_into` writes all of its output.
    unsafe { vec_init_with(rows.count() * packed.columns, write) }
}

/// `rows` times `packed` into all of `out`, `[rows, columns]`.
fn gemm_into<N: GemmElement>(
    rows: &impl LhsSource<N>,
    packed: &Packed<N>,
    epilogue: &Epilogue,
    threads: usize,
    out: &mut [MaybeUninit<f32>],
) {
    if out.is_empty() || N::strassen(rows, packed, epilogue, threads, out) {
        return;
    }
    let (total, depth) = (out.len() / packed.columns, packed.part.len());
    assert!(total * packed.columns == out.len());
    let max_rows = max_tile_rows::<N>();
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
    let output = Output {
        out: &DisjointWriter::new(out, packed.columns),
        columns: packed.columns,
        epilogue,
    };
    for_each_index(chunks, by_chunk, |index| {
        let (first, end) = (index * total / chunks, (index + 1) * total / chunks);
        let blocks = blocks(end - first, max_rows);
        let lhs = Lhs::new(rows, [depth, panels], first, &blocks, by_panel);
        for_each_index(panels, by_panel, |panel| {
            dispatch(Panel {
                packed,
                panel,
                lhs: &lhs,
                blocks: &blocks,
                first,
                out: &output,
            })
        });
    });
}

/// Splits `count` rows into blocks of nearly equal height, as `(start, end)`: 50 rows as 13, 13,
/// 12 and 12 rather than 14, 14, 14 and 8.
pub(super) fn blocks(count: usize, max_rows: usize) -> Vec<(usize, usize)> {
    let blocks = count.div_ceil(max_rows);
    (0..blocks)
        .map(|block| (block * count / blocks, (block + 1) * count / blocks))
        .collect()
}

thread_local! {
    /// A panel of f16 weights converted to f32.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// [`GemmElement::max_rows`] of the processor's vectors.
pub fn max_tile_rows<N: GemmElement>() -> usize {
    struct TileRows<N>(PhantomData<N>);
    impl<N: GemmElement> SimdJob for TileRows<N> {
        type Output = usize;
        #[inline(always)]
        unsafe fn run<V: SimdF32>(self) -> usize {
            N::max_rows::<V>()
        }
    }
    dispatch(TileRows::<N>(PhantomData))
}

/// Code with the height of a block as a constant.
macro_rules! with_height {
    ($height:expr, $max_rows:expr, |$constant:ident| $code:expr) => {
        $crate::kernels::gemm::with_height!(
            $height, $max_rows, $constant, $code, 1 2 3 4 5 6 7 8 9 10 11 12 13 14
        )
    };
    ($height:expr, $max_rows:expr, $constant:ident, $code:expr, $($value:literal)*) => {
        // Greater heights never occur, and the condition is resolved at compile time.
        match $height {
            $($value if $value <= $max_rows => {
                const $constant: usize = $value;
                $code
            })*
            _ => unreachable!("a block higher than a tile"),
        }
    };
}
pub(super) use with_height;

/// One panel of the right-hand side times every block of the left-hand side.
struct Panel<'a, 'w, N: GemmElement> {
    packed: &'a Packed<'w, N>,
    panel: usize,
    lhs: &'a Lhs<'a, N>,
    blocks: &'a [(usize, usize)],
    first: usize,
    out: &'a Output<'a>,
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
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn block<V: SimdF32>(&self, rhs: &[N::Rhs], from: usize, height: usize) {
        with_height!(height, N::max_rows::<V>(), |H| {
            // SAFETY: the caller guarantees V's instructions.
            unsafe { self.tile::<V, H>(rhs, from) }
        });
    }

    /// Multiplies a block of `H` rows.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn tile<V: SimdF32, const H: usize>(&self, rhs: &[N::Rhs], from: usize) {
        let (width, depth) = (2 * V::LANES, self.packed.part.len());
        assert!(rhs.len() == width * depth);
        // SAFETY: the caller guarantees V's instructions.
        let mut sums = [[unsafe { N::zero::<V>() }; 2]; H];
        match self.lhs {
            Lhs::Packed(packed_lhs) => {
                let lhs = &packed_lhs[from * depth..(from + H) * depth];
                // SAFETY: the caller guarantees V's instructions.
                sums = unsafe { accumulate::<N, V, H>(sums, lhs, rhs) };
            }
            Lhs::Indirect(pointers, segment_len) => {
                let segments = depth / (*segment_len).max(1);
                let (segments, _) =
                    pointers[from * segments..(from + H) * segments].as_chunks::<H>();
                let rhs = rhs.chunks(width * (*segment_len).max(1));
                for (pointers, rhs) in segments.iter().zip(rhs) {
                    // SAFETY: a segment has `segment_len` elements, and the part of `rhs` a row
                    // of the panel for each. The caller guarantees V's instructions.
                    sums = unsafe { accumulate_rows::<N, V, H>(sums, pointers, rhs) };
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            // SAFETY: panels are disjoint columns and chunks are disjoint rows, so that no other
            // thread writes there. The caller guarantees V's instructions.
            unsafe {
                let sums = [N::to_f32::<V>(sums[0]), N::to_f32::<V>(sums[1])];
                self.out.write(self.first + from + i, self.panel, sums);
            }
        }
    }
}

/// Adds the product of a block of `H` rows, packed as `[depth, H]`, and a panel
/// `[depth, NR]` to `sums`.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn accumulate<N: GemmElement, V: SimdF32, const H: usize>(
    mut sums: Sums<N, V, H>,
    lhs: &[N],
    rhs: &[N::Rhs],
) -> Sums<N, V, H> {
    let width = 2 * V::LANES;
    let (steps, _) = lhs.as_chunks::<H>();
    assert!(rhs.len() == width * steps.len());
    let mut b = rhs.as_ptr();
    for values in steps {
        // SAFETY: `rhs` has `width` elements for each step, as asserted. The caller guarantees
        // V's instructions.
        unsafe {
            sums = step::<N, V, H>(sums, values, b);
            b = b.add(width);
        }
    }
    sums
}

/// [`accumulate`] with a pointer to each row of the block.
///
/// # Safety
/// A row has as many elements as the panel rows, and the processor has the instructions of `V`.
#[inline(always)]
unsafe fn accumulate_rows<N: GemmElement, V: SimdF32, const H: usize>(
    mut sums: Sums<N, V, H>,
    rows: &[SegmentPtr<N>; H],
    rhs: &[N::Rhs],
) -> Sums<N, V, H> {
    let width = 2 * V::LANES;
    let mut b = rhs.as_ptr();
    for k in 0..rhs.len() / width {
        // SAFETY: there is an element of each row and `width` elements of `rhs` for every step.
        // The caller guarantees the rest.
        unsafe {
            let column = rows.map(|row| *row.0.add(k));
            sums = step::<N, V, H>(sums, &column, b);
            b = b.add(width);
        }
    }
    sums
}

/// Accumulators of a micro-tile: two vectors for each row.
type Sums<N, V, const H: usize> = [[<N as GemmElement>::Accumulator<V>; 2]; H];

/// Adds the products of a column of the left-hand side and a row of a panel.
///
/// # Safety
/// `b` is valid for reads of two vectors, and the processor has the instructions of `V`.
#[inline(always)]
unsafe fn step<N: GemmElement, V: SimdF32, const H: usize>(
    mut sums: Sums<N, V, H>,
    column: &[N; H],
    b: *const N::Rhs,
) -> Sums<N, V, H> {
    // SAFETY: the caller guarantees it.
    unsafe {
        let (b0, b1) = (N::load::<V>(b), N::load::<V>(b.add(V::LANES)));
        for (a, sums) in column.iter().zip(&mut sums) {
            sums[0] = N::mul_add::<V>(sums[0], *a, b0);
            sums[1] = N::mul_add::<V>(sums[1], *a, b1);
        }
        sums
    }
}

/// Result of a GEMM, which takes sums of products tile by tile.
pub(super) struct Output<'a> {
    pub out: &'a DisjointWriter<'a>,
    pub columns: usize,
    pub epilogue: &'a Epilogue<'a>,
}

impl Output<'_> {
    /// Writes the sums of a row in a panel.
    ///
    /// # Safety
    /// No other thread accesses these elements at the same time, and the processor has the
    /// instructions of `V`.
    #[inline(always)]
    pub unsafe fn write<V: SimdF32>(&self, row: usize, panel: usize, mut sums: [V; 2]) {
        const MAX_WIDTH: usize = 32;
        const { assert!(2 * V::LANES <= MAX_WIDTH) };
        let width = 2 * V::LANES;
        let first = panel * width;
        let count = width.min(self.columns - first);
        let offset = row * self.columns + first;
        // SAFETY: `tail` has space for two vectors, and `ptr_at` checks it for a full tile. The
        // caller guarantees the rest.
        unsafe {
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
                let mut tail = [0.0f32; MAX_WIDTH];
                sums[0].store(tail.as_mut_ptr());
                sums[1].store(tail.as_mut_ptr().add(V::LANES));
                self.epilogue
                    .apply_scalar(&mut tail[..count], first, offset);
                self.out.write(row, first, &tail[..count]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::conv::{ConvGeometry, ConvParams, Patches};
    use super::super::simd::level::at_every_level;
    use super::super::{test_values, winograd};
    use super::*;

    /// Product and all of [`Epilogue`] in f64.
    fn reference(
        [rows, depth, columns]: [usize; 3],
        a: impl Fn(usize, usize) -> f32,
        b: &[f32],
        epilogue: &Epilogue,
    ) -> Vec<f32> {
        let value = |place: usize| {
            let (row, column) = (place / columns, place % columns);
            let product = |i: usize| f64::from(a(row, i)) * f64::from(b[i * columns + column]);
            let mut sum = (0..depth).map(product).sum::<f64>() as f32;
            sum *= epilogue.row_scale.map_or(1.0, |scale| scale[row]);
            let mut sum = [sum];
            let scalar = Epilogue {
                row_scale: None,
                ..*epilogue
            };
            scalar.apply_scalar(&mut sum, column, place);
            sum[0]
        };
        (0..rows * columns).map(value).collect()
    }

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            let distance = (found - expected).abs();
            assert!(distance < 1e-4, "{place}: {found} instead of {expected}");
        }
    }

    #[test]
    fn a_product_is_that_of_the_definition() {
        // Depths with and without packed rows, tiles and panels with and without remainder.
        for [rows, depth, columns] in [[1, 3, 1], [5, 16, 33], [15, 7, 64], [3, 1024, 5], [4, 0, 9]]
        {
            at_every_level(|| {
                let (a, b) = (
                    test_values(rows * depth, 1),
                    test_values(depth * columns, 2),
                );
                let (scale, bias) = (test_values(columns, 3), test_values(columns, 4));
                let (row_scale, residual) = (test_values(rows, 5), test_values(rows * columns, 6));
                let epilogues = [
                    Epilogue::NONE,
                    Epilogue {
                        row_scale: Some(&row_scale),
                        scale: Some(&scale),
                        bias: Some(&bias),
                        residual: Some(&residual),
                        activation: ActivationFunction::QuickGelu,
                    },
                ];
                let mut packed = Vec::new();
                pack(&b, depth, columns, columns, &mut packed);
                let halves: Vec<f16> = packed.iter().map(|x| f16::from_f32(*x)).collect();
                let rounded: Vec<f32> = b.iter().map(|x| f16::from_f32(*x).to_f32()).collect();
                let lhs = Matrix {
                    values: &a,
                    rows,
                    depth,
                    stride: depth,
                };
                for epilogue in &epilogues {
                    for (storage, b) in [
                        (PackedData::F32(&packed), &b),
                        (PackedData::F16(&halves), &rounded),
                    ] {
                        let packed = Packed::new(storage, depth, columns);
                        let found = gemm_serial(&lhs, &packed, epilogue);
                        let a = |row: usize, i: usize| a[row * depth + i];
                        assert_close(&found, &reference([rows, depth, columns], a, b, epilogue));
                    }
                }
            });
        }
    }

    #[test]
    fn a_product_on_all_threads_is_that_on_one() {
        for [rows, depth, columns] in [[3, 20, 200], [600, 8, 20]] {
            let (a, b) = (
                test_values(rows * depth, 1),
                test_values(depth * columns, 2),
            );
            let mut packed = Vec::new();
            pack(&b, depth, columns, columns, &mut packed);
            let packed = Packed::new(PackedData::F32(&packed), depth, columns);
            let lhs = Matrix {
                values: &a,
                rows,
                depth,
                stride: depth,
            };
            let serial = gemm_serial(&lhs, &packed, &Epilogue::NONE);
            assert_eq!(gemm(&lhs, &packed, &Epilogue::NONE), serial);
        }
    }

    #[test]
    fn a_convolution_is_that_of_the_definition() {
        let [batch, height, width, channels, out] = [2, 5, 7, 16, 9];
        for stride in [1, 2] {
            let params = ConvParams {
                kernel: 3,
                stride,
                out,
            };
            let x = test_values(batch * height * width * channels, 1);
            let weights = test_values(9 * channels * out, 2);
            let bias = test_values(out, 3);
            let epilogue = Epilogue {
                bias: Some(&bias),
                activation: ActivationFunction::Relu,
                ..Epilogue::NONE
            };
            let geometry = ConvGeometry::new([batch, height, width, channels], params, false);
            let [down, across] = geometry.output_size();
            let at = |row: usize, i: usize| {
                let (picture, place) = (row / (down * across), row % (down * across));
                let (kernel, channel) = (i / channels, i % channels);
                let y = (place / across * stride + kernel / 3).checked_sub(1)?;
                let x_ = (place % across * stride + kernel % 3).checked_sub(1)?;
                let inside = y < height && x_ < width;
                inside.then(|| x[((picture * height + y) * width + x_) * channels + channel])
            };
            let expected = reference(
                [batch * down * across, 9 * channels, out],
                |row, i| at(row, i).unwrap_or(0.0),
                &weights,
                &epilogue,
            );
            at_every_level(|| {
                let mut packed = Vec::new();
                pack(&weights, 9 * channels, out, out, &mut packed);
                let packed = Packed::new(PackedData::F32(&packed), 9 * channels, out);
                let patches = Patches::new(&x, geometry, geometry.output_rows());
                assert_close(&gemm_serial(&patches, &packed, &epilogue), &expected);
            });
            if stride == 1 {
                let transformed = winograd::transform_weights(&weights, channels * out);
                let mut packed = Vec::new();
                pack(
                    &transformed,
                    winograd::PRODUCTS * channels,
                    out,
                    out,
                    &mut packed,
                );
                let geometry = ConvGeometry::new([batch, height, width, channels], params, true);
                let (rows, packed) = (geometry.output_rows(), PackedData::F32(&packed));
                let found = winograd::conv(&x, geometry, rows, packed, out, &epilogue);
                assert_close(&found, &expected);
            }
        }
    }
}
