//! Matrix products with weights that are laid out once, when a model is loaded.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use half::f16;

use super::Curve;
use super::math;
use super::room::{Shared, filled};
use super::simd::{Lanes, Work, dispatch, tile_width};

/// A matrix `[depth, columns]` in panels as wide as a tile: `[panels, depth,
/// width]`, the last panel filled up with zeros. A tile reads it from front to back.
pub struct Packed<'a, N: Number = f32> {
    pub values: N::Values<'a>,
    pub depth: usize,
    /// The rows that are multiplied.
    pub part: Range<usize>,
    pub columns: usize,
}

impl<'a, N: Number> Packed<'a, N> {
    /// All of it.
    pub fn new(values: N::Values<'a>, depth: usize, columns: usize) -> Self {
        Self {
            values,
            depth,
            part: 0..depth,
            columns,
        }
    }
}

/// What a product's left matrix consists of, which decides how it is computed.
pub trait Number: Copy + Default + Send + Sync + 'static {
    /// What the right matrix consists of, as a tile reads it,
    type Right: Copy;
    /// and as it lies in memory.
    type Values<'a>: Copy + Sync;
    type RightVector<V: Lanes>: Copy;
    type Sums<V: Lanes>: Copy;

    /// Part of the right matrix as a tile reads it, in `room` if it lies otherwise.
    fn right<'a>(
        values: &'a Self::Values<'_>,
        part: Range<usize>,
        room: &'a mut Vec<f32>,
    ) -> &'a [Self::Right];

    // SAFETY of all: as with [`Lanes`].
    unsafe fn zero<V: Lanes>() -> Self::Sums<V>;
    unsafe fn load<V: Lanes>(from: *const Self::Right) -> Self::RightVector<V>;
    unsafe fn add_product<V: Lanes>(
        sums: Self::Sums<V>,
        a: Self,
        b: Self::RightVector<V>,
    ) -> Self::Sums<V>;
    unsafe fn floats<V: Lanes>(sums: Self::Sums<V>) -> V;
}

#[derive(Clone, Copy)]
pub enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> Values<'a> {
    pub fn part(self, part: Range<usize>) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[part]),
            Self::F16(values) => Self::F16(&values[part]),
        }
    }
}

impl Number for f32 {
    type Right = f32;
    type Values<'a> = Values<'a>;
    type RightVector<V: Lanes> = V;
    type Sums<V: Lanes> = V;

    #[inline(always)]
    fn right<'a>(values: &'a Values, part: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        match *values {
            Values::F32(values) => &values[part],
            Values::F16(values) => {
                room.resize(part.len(), 0.0);
                for (to, from) in room.iter_mut().zip(&values[part]) {
                    *to = math::from_f16(from.to_bits());
                }
                room
            }
        }
    }
    #[inline(always)]
    unsafe fn zero<V: Lanes>() -> V {
        unsafe { V::zero() }
    }
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32) -> V {
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn add_product<V: Lanes>(sums: V, a: f32, b: V) -> V {
        unsafe { sums.add_product(a, b) }
    }
    #[inline(always)]
    unsafe fn floats<V: Lanes>(sums: V) -> V {
        sums
    }
}

/// Two neighbours in a row, as whole numbers: see [`super::int8`].
pub type Pair = [i16; 2];

impl Number for Pair {
    type Right = [i8; 2];
    type Values<'a> = &'a [[i8; 2]];
    type RightVector<V: Lanes> = V::Pairs;
    type Sums<V: Lanes> = V::Ints;

    #[inline(always)]
    fn right<'a>(
        values: &'a &[[i8; 2]],
        part: Range<usize>,
        _room: &'a mut Vec<f32>,
    ) -> &'a [[i8; 2]] {
        &values[part]
    }
    #[inline(always)]
    unsafe fn zero<V: Lanes>() -> V::Ints {
        unsafe { V::zero_ints() }
    }
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const [i8; 2]) -> V::Pairs {
        unsafe { V::load_pairs(from) }
    }
    #[inline(always)]
    unsafe fn add_product<V: Lanes>(sums: V::Ints, a: Pair, b: V::Pairs) -> V::Ints {
        unsafe { V::add_pairs(sums, a, b) }
    }
    #[inline(always)]
    unsafe fn floats<V: Lanes>(sums: V::Ints) -> V {
        unsafe { V::to_floats(sums) }
    }
}

/// Lays out a matrix `[depth, columns]`, its rows `stride` apart.
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

/// What becomes of a product: `curve(x * rows * scale + bias + add)`.
#[derive(Clone, Copy)]
pub struct Finish<'a> {
    /// A scale for each row of the product.
    pub rows: Option<&'a [f32]>,
    /// `[columns]`
    pub scale: Option<&'a [f32]>,
    /// `[columns]`
    pub bias: Option<&'a [f32]>,
    /// `[rows, columns]`
    pub add: Option<&'a [f32]>,
    pub curve: Curve,
}

impl Finish<'_> {
    pub const NOTHING: Self = Self {
        rows: None,
        scale: None,
        bias: None,
        add: None,
        curve: Curve::Straight,
    };

    #[inline(always)]
    pub fn apply(&self, row: &mut [f32], first: usize, place: usize) {
        let columns = first..first + row.len();
        if let Some(scale) = self.scale {
            let scale = &scale[columns.clone()];
            row.iter_mut().zip(scale).for_each(|(x, s)| *x *= s);
        }
        if let Some(bias) = self.bias {
            let bias = &bias[columns];
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
        if let Some(add) = self.add {
            let add = &add[place..place + row.len()];
            row.iter_mut().zip(add).for_each(|(x, a)| *x += a);
        }
        math::bend(self.curve, row);
    }

    /// The same for vectors side by side, such as the two of a full tile.
    #[inline(always)]
    pub unsafe fn vectors<V: Lanes, const N: usize>(
        &self,
        mut sums: [V; N],
        first: usize,
        place: usize,
    ) -> [V; N] {
        #[inline(always)]
        unsafe fn load<V: Lanes, const N: usize>(values: &[f32], first: usize) -> [V; N] {
            let values = &values[first..first + N * V::LANES];
            // SAFETY: so many vectors long, as just checked.
            unsafe {
                let mut loaded = [V::zero(); N];
                for (i, vector) in loaded.iter_mut().enumerate() {
                    *vector = V::load(values.as_ptr().add(i * V::LANES));
                }
                loaded
            }
        }
        // SAFETY: the caller's: V's instructions are there.
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
            if let Some(add) = self.add {
                let add: [V; N] = load(add, place);
                for (sum, add) in sums.iter_mut().zip(add) {
                    *sum = sum.add(add);
                }
            }
            match self.curve {
                Curve::Straight => {}
                Curve::Relu => {
                    for sum in &mut sums {
                        *sum = sum.max(V::zero());
                    }
                }
                Curve::QuickGelu | Curve::Gelu => {
                    let mut row = [0.0f32; 32];
                    let row = &mut row[..N * V::LANES];
                    for (i, sum) in sums.into_iter().enumerate() {
                        sum.store(row.as_mut_ptr().add(i * V::LANES));
                    }
                    math::bend(self.curve, row);
                    sums = load(row, 0);
                }
            }
        }
        sums
    }
}

/// Where the left matrix comes from: any number of rows, `depth` numbers long, that
/// lie in memory as runs of one length.
pub trait Rows<N = f32>: Sync {
    fn count(&self) -> usize;
    /// How many runs a row is.
    fn runs(&self) -> usize;
    /// Shows every run of a row in turn, with its number.
    fn row(&self, row: usize, see: impl FnMut(usize, &[N]));
}

/// A matrix as it lies: rows `stride` apart.
pub struct Matrix<'a, N = f32> {
    pub values: &'a [N],
    pub rows: usize,
    pub depth: usize,
    pub stride: usize,
}

impl<N: Number> Rows<N> for Matrix<'_, N> {
    fn count(&self) -> usize {
        self.rows
    }

    fn runs(&self) -> usize {
        1
    }

    fn row(&self, row: usize, mut see: impl FnMut(usize, &[N])) {
        let start = row * self.stride;
        see(0, &self.values[start..start + self.depth]);
    }
}

/// A row into the column `i` of a block of `width` columns.
pub fn transpose_row<N: Copy>(row: &[N], width: usize, i: usize, block: &mut [N]) {
    let column = block[i..].iter_mut().step_by(width);
    column.zip(row).for_each(|(to, from)| *to = *from);
}

/// Some rows of the left matrix as tiles read them, in blocks as high as a tile.
enum Left<N> {
    /// What one step of a tile reads side by side: `[depth, height]` for each block.
    Laid(Vec<N>),
    /// Where the rows' runs begin: `[runs, height]` for each block.
    Where(Vec<Start<N>>, usize),
}

#[derive(Clone, Copy)]
struct Start<N>(*const N);

// SAFETY: they are read from and nothing else, while the rows are borrowed.
unsafe impl<N: Sync> Send for Start<N> {}
unsafe impl<N: Sync> Sync for Start<N> {}

/// Whether it pays to lay rows of `bytes` bytes out anew for so many panels.
fn worth_laying_out(bytes: usize, panels: usize) -> bool {
    // Rows whose beginnings are a multiple of this apart fall on the same few places
    // of the first cache, and drive each other out.
    let crowded = bytes.is_multiple_of(4096);
    // WebAssembly works out the place of every number by an instruction of its own.
    let costly = cfg!(target_arch = "wasm32") && panels >= 8;
    crowded || costly
}

impl<N: Number> Left<N> {
    /// Of the rows from `first` on, in blocks between `places`.
    fn new(
        rows: &impl Rows<N>,
        [depth, panels]: [usize; 2],
        first: usize,
        places: &[(usize, usize)],
        parallel: bool,
    ) -> Self {
        let runs = rows.runs();
        let count = places.last().map_or(0, |place| place.1);
        if runs == 1 && worth_laying_out(depth * size_of::<N>(), panels) {
            let mut laid = vec![N::default(); count * depth];
            let mut free = laid.as_mut_slice();
            let mut blocks = Vec::with_capacity(places.len());
            for &(from, to) in places {
                let (block, rest) = free.split_at_mut((to - from) * depth);
                blocks.push((from, to, block));
                free = rest;
            }
            for_all(blocks, parallel, |(from, to, block)| {
                for i in 0..to - from {
                    rows.row(first + from + i, |_, row| {
                        transpose_row(&row[..depth], to - from, i, block)
                    });
                }
            });
            return Self::Laid(laid);
        }
        let length = depth / runs;
        let mut starts = vec![Start(std::ptr::null()); count * runs];
        for &(from, to) in places {
            let block = &mut starts[from * runs..to * runs];
            for i in 0..to - from {
                rows.row(first + from + i, |run, numbers| {
                    block[run * (to - from) + i] = Start(numbers[..length].as_ptr());
                });
            }
        }
        Self::Where(starts, length)
    }
}

/// Numbers of the left matrix that are read at a time: they stay in the second cache
/// while the panels of the right one pass by.
const CHUNK: usize = 64 * 1024;

/// `rows` times `packed`, `[rows, columns]`, on all threads.
pub fn product<N: Number>(rows: &impl Rows<N>, packed: &Packed<N>, finish: &Finish) -> Vec<f32> {
    multiply(rows, packed, finish, threads())
}

/// The same on this thread alone.
pub fn product_here<N: Number>(
    rows: &impl Rows<N>,
    packed: &Packed<N>,
    finish: &Finish,
) -> Vec<f32> {
    multiply(rows, packed, finish, 1)
}

/// The same with nothing that follows, into `out`.
pub fn product_into(rows: &impl Rows, packed: &Packed, out: &mut [MaybeUninit<f32>]) {
    fill(rows, packed, &Finish::NOTHING, 1, out);
}

fn multiply<N: Number>(
    rows: &impl Rows<N>,
    packed: &Packed<N>,
    finish: &Finish,
    threads: usize,
) -> Vec<f32> {
    filled(rows.count() * packed.columns, |out| {
        fill(rows, packed, finish, threads, out);
    })
}

fn fill<N: Number>(
    rows: &impl Rows<N>,
    packed: &Packed<N>,
    finish: &Finish,
    threads: usize,
    out: &mut [MaybeUninit<f32>],
) {
    if out.is_empty() {
        return;
    }
    let (total, depth) = (rows.count(), packed.part.len());
    let most = most_rows();
    let panels = packed.columns.div_ceil(tile_width());
    // Threads share the rows where there are enough of them, else the panels.
    let by_chunk = threads > 1 && total >= 4 * threads * most;
    let by_panel = threads > 1 && !by_chunk;
    // Many rows go by chunks, each as large as the cache likes but large enough
    // to make it worth while to read all of the weights for it.
    let chunk = (CHUNK / depth.max(1)).max(4 * most);
    let mut chunks = total.div_ceil(chunk);
    if by_chunk {
        chunks = chunks.next_multiple_of(2 * threads);
    }
    let result = Shared::new(out, packed.columns);
    for_each(chunks, by_chunk, |index| {
        // Parts of nearly the same height: of 50 rows blocks of 13, 13, 12 and 12
        // rather than three of 14 and one of 8.
        let part = |count: usize, of: usize, index: usize| index * count / of;
        let first = part(total, chunks, index);
        let count = part(total, chunks, index + 1) - first;
        let blocks = count.div_ceil(most);
        let places: Vec<(usize, usize)> = (0..blocks)
            .map(|block| (part(count, blocks, block), part(count, blocks, block + 1)))
            .collect();
        let left = Left::new(rows, [depth, panels], first, &places, by_panel);
        for_each(panels, by_panel, |panel| {
            dispatch(Panel {
                packed,
                panel,
                left: &left,
                places: &places,
                first,
                finish,
                out: &result,
            })
        });
    });
}

thread_local! {
    /// Room for a panel of f16 weights as f32.
    static WIDENED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// How high a tile is at most.
pub fn most_rows() -> usize {
    struct Rows;
    impl Work for Rows {
        type Output = usize;
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) -> usize {
            V::ROWS
        }
    }
    dispatch(Rows)
}

/// One panel of the right matrix with every block of the left one.
struct Panel<'a, 'w, N: Number> {
    packed: &'a Packed<'w, N>,
    panel: usize,
    left: &'a Left<N>,
    places: &'a [(usize, usize)],
    first: usize,
    finish: &'a Finish<'a>,
    out: &'a Shared<'a>,
}

impl<N: Number> Work for Panel<'_, '_, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Packed { values, part, .. } = self.packed;
        let first = self.panel * self.packed.depth;
        let width = 2 * V::LANES;
        let part = (first + part.start) * width..(first + part.end) * width;
        let mut room = WIDENED.take();
        let right = N::right(values, part, &mut room);
        for &(from, to) in self.places {
            // SAFETY: the caller's.
            unsafe { self.block::<V>(right, from, to - from) };
        }
        WIDENED.set(room);
    }
}

impl<N: Number> Panel<'_, '_, N> {
    /// Picks the tile that is as high as the block.
    #[inline(always)]
    unsafe fn block<V: Lanes>(&self, right: &[N::Right], from: usize, height: usize) {
        macro_rules! heights {
            ($($height:literal)*) => {
                // What is higher than V's registers allow is never asked for,
                // and the condition is known when this is compiled.
                match height {
                    $($height if $height <= V::ROWS => unsafe {
                        self.tile::<V, $height>(right, from)
                    },)*
                    _ => unreachable!("a block higher than a tile"),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    }

    #[inline(always)]
    unsafe fn tile<V: Lanes, const H: usize>(&self, right: &[N::Right], from: usize) {
        let width = 2 * V::LANES;
        let depth = self.packed.part.len();
        assert!(right.len() == width * depth);
        // SAFETY: the caller's.
        let mut sums = [[unsafe { N::zero::<V>() }; 2]; H];
        let mut b = right.as_ptr();
        // No closure: it would not be compiled for V's instructions.
        macro_rules! step {
            ($row:ident of $rows:expr, $number:expr) => {
                // SAFETY: there are `depth` steps, and so much of both matrices.
                unsafe {
                    let (b0, b1) = (N::load::<V>(b), N::load::<V>(b.add(V::LANES)));
                    for ($row, sums) in $rows.iter().zip(&mut sums) {
                        let a = $number;
                        sums[0] = N::add_product::<V>(sums[0], a, b0);
                        sums[1] = N::add_product::<V>(sums[1], a, b1);
                    }
                    b = b.add(width);
                }
            };
        }
        match self.left {
            Left::Laid(laid) => {
                let (steps, _) = laid[from * depth..(from + H) * depth].as_chunks::<H>();
                for numbers in steps {
                    step!(number of numbers, *number);
                }
            }
            Left::Where(starts, length) => {
                let runs = depth / (*length).max(1);
                let (runs, _) = starts[from * runs..(from + H) * runs].as_chunks::<H>();
                for starts in runs {
                    for k in 0..*length {
                        step!(start of starts, *start.0.add(k));
                    }
                }
            }
        }
        let first = self.panel * width;
        let count = width.min(self.packed.columns - first);
        for (i, sums) in sums.into_iter().enumerate() {
            let line = self.first + from + i;
            let place = line * self.packed.columns + first;
            // SAFETY: as wide as two vectors is what `row` and a full tile are,
            // and `place_of` looks whether it is inside.
            unsafe {
                let mut sums = [N::floats::<V>(sums[0]), N::floats::<V>(sums[1])];
                if let Some(rows) = self.finish.rows {
                    let [a, b] = sums;
                    let nothing = V::zero();
                    sums = [
                        nothing.add_product(rows[line], a),
                        nothing.add_product(rows[line], b),
                    ];
                }
                if count == width {
                    let sums = self.finish.vectors(sums, first, place);
                    let to = self.out.place_of(line, first, width);
                    sums[0].store(to);
                    sums[1].store(to.add(V::LANES));
                } else {
                    let mut row = [0.0f32; 32];
                    sums[0].store(row.as_mut_ptr());
                    sums[1].store(row.as_mut_ptr().add(V::LANES));
                    self.finish.apply(&mut row[..count], first, place);
                    self.out.write(line, first, &row[..count]);
                }
            }
        }
    }
}

/// `work` for every number below `count`, on all threads where `parallel` is asked
/// for and there are threads.
pub fn for_each(count: usize, parallel: bool, work: impl Fn(usize) + Sync + Send) {
    for_all((0..count).collect(), parallel, work);
}

/// The same for every one of `items`.
pub fn for_all<T: Send>(items: Vec<T>, parallel: bool, work: impl Fn(T) + Sync + Send) {
    #[cfg(not(target_arch = "wasm32"))]
    if parallel && items.len() > 1 && threads() > 1 {
        use rayon::prelude::*;
        items.into_par_iter().for_each(work);
        return;
    }
    let _ = parallel;
    items.into_iter().for_each(work);
}

pub fn threads() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    return rayon::current_num_threads();
    #[cfg(target_arch = "wasm32")]
    1
}
