//! Matrix products with weights that are laid out once, when a model is loaded.

use half::f16;

use super::super::Curve;
use super::math;
use super::simd::{Lanes, Work, dispatch, tile_width};

/// A matrix `[depth, columns]` in panels as wide as a tile: `[panels, depth,
/// width]`, the last panel filled up with zeros. A tile reads it from front to back.
pub struct Packed<'a> {
    pub values: Values<'a>,
    pub depth: usize,
    pub columns: usize,
}

#[derive(Clone, Copy)]
pub enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
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

/// What becomes of a product: `curve(x * scale + bias + add)`.
#[derive(Clone, Copy)]
pub struct Finish<'a> {
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
        scale: None,
        bias: None,
        add: None,
        curve: Curve::Straight,
    };

    #[inline(always)]
    fn apply(&self, row: &mut [f32], first: usize, place: usize) {
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

    /// The same for the two vectors of a full tile.
    #[inline(always)]
    unsafe fn vectors<V: Lanes>(&self, sums: [V; 2], first: usize, place: usize) -> [V; 2] {
        #[inline(always)]
        unsafe fn load<V: Lanes>(values: &[f32], first: usize) -> [V; 2] {
            let values = &values[first..first + 2 * V::LANES];
            // SAFETY: two vectors long, as just checked.
            unsafe {
                [
                    V::load(values.as_ptr()),
                    V::load(values.as_ptr().add(V::LANES)),
                ]
            }
        }
        let [mut a, mut b] = sums;
        // SAFETY: the caller's: V's instructions are there.
        unsafe {
            if let Some(scale) = self.scale {
                let [c, d] = load(scale, first);
                (a, b) = (a.multiply(c), b.multiply(d));
            }
            if let Some(bias) = self.bias {
                let [c, d] = load(bias, first);
                (a, b) = (a.add(c), b.add(d));
            }
            if let Some(add) = self.add {
                let [c, d] = load(add, place);
                (a, b) = (a.add(c), b.add(d));
            }
            match self.curve {
                Curve::Straight => {}
                Curve::Relu => (a, b) = (a.max(V::zero()), b.max(V::zero())),
                Curve::QuickGelu | Curve::Gelu => {
                    let mut row = [0.0f32; 32];
                    a.store(row.as_mut_ptr());
                    b.store(row.as_mut_ptr().add(V::LANES));
                    math::bend(self.curve, &mut row[..2 * V::LANES]);
                    [a, b] = load(&row, 0);
                }
            }
        }
        [a, b]
    }
}

/// Where the left matrix comes from: any number of rows, `depth` numbers long.
pub trait Rows: Sync {
    fn count(&self) -> usize;

    /// Writes number `index` of every row of `rows` side by side, index by
    /// index: `[depth, rows]`.
    fn gather(&self, rows: std::ops::Range<usize>, block: &mut [f32]);
}

/// A matrix as it lies: rows `stride` apart.
pub struct Matrix<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub depth: usize,
    pub stride: usize,
}

impl Rows for Matrix<'_> {
    fn count(&self) -> usize {
        self.rows
    }

    fn gather(&self, rows: std::ops::Range<usize>, block: &mut [f32]) {
        let width = rows.len();
        for (i, row) in rows.enumerate() {
            let start = row * self.stride;
            transpose_row(&self.values[start..start + self.depth], width, i, block);
        }
    }
}

/// A row into the column `i` of a block of `width` columns.
pub fn transpose_row(row: &[f32], width: usize, i: usize, block: &mut [f32]) {
    let column = block[i..].iter_mut().step_by(width);
    column.zip(row).for_each(|(to, from)| *to = *from);
}

/// Numbers of the left matrix that are laid out at a time: they stay in the
/// second cache while the panels of the right one pass by.
const CHUNK: usize = 64 * 1024;

/// `rows` times `packed` into `out`, `[rows, columns]`, on all threads.
pub fn product(rows: &impl Rows, packed: &Packed, finish: &Finish, out: &mut [f32]) {
    multiply(rows, packed, finish, out, true);
}

/// The same on this thread alone.
pub fn product_here(rows: &impl Rows, packed: &Packed, finish: &Finish, out: &mut [f32]) {
    multiply(rows, packed, finish, out, false);
}

fn multiply(rows: &impl Rows, packed: &Packed, finish: &Finish, out: &mut [f32], parallel: bool) {
    let (total, depth) = (rows.count(), packed.depth);
    if total == 0 || packed.columns == 0 {
        return;
    }
    let most = most_rows();
    // Many rows go by chunks, each as large as the cache likes but large enough
    // to make it worth while to read all of the weights for it.
    let chunk = (CHUNK / depth.max(1)).max(4 * most);
    let chunks = total.div_ceil(chunk);
    let chunk = total.div_ceil(chunks);
    let out = Shared::new(out, packed.columns);
    let by_chunk = chunks >= 2 * threads();
    let by_panel = parallel && !by_chunk;
    for_each(chunks, parallel && by_chunk, |index| {
        let first = index * chunk;
        let count = chunk.min(total - first);
        // Blocks of nearly the same height: 50 rows are 13, 13, 12, 12 rather
        // than three of 14 and one of 8.
        let blocks = count.div_ceil(most);
        let places: Vec<(usize, usize)> = (0..blocks)
            .map(|b| (b * count / blocks, (b + 1) * count / blocks))
            .collect();
        let mut left = vec![0.0; count * depth];
        for &(from, to) in &places {
            let block = &mut left[from * depth..to * depth];
            rows.gather(first + from..first + to, block);
        }
        let panels = packed.columns.div_ceil(tile_width());
        for_each(panels, by_panel, |panel| {
            dispatch(Panel {
                packed,
                panel,
                left: &left,
                places: &places,
                first,
                finish,
                out: &out,
            })
        });
    });
}

fn most_rows() -> usize {
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
struct Panel<'a> {
    packed: &'a Packed<'a>,
    panel: usize,
    left: &'a [f32],
    places: &'a [(usize, usize)],
    first: usize,
    finish: &'a Finish<'a>,
    out: &'a Shared<'a>,
}

impl Work for Panel<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let width = 2 * V::LANES;
        let depth = self.packed.depth;
        let range = self.panel * width * depth..(self.panel + 1) * width * depth;
        let mut widened;
        let right = match self.packed.values {
            Values::F32(values) => &values[range],
            Values::F16(values) => {
                widened = vec![0.0; width * depth];
                for (to, from) in widened.iter_mut().zip(&values[range]) {
                    *to = math::from_f16(from.to_bits());
                }
                &widened[..]
            }
        };
        for &(from, to) in self.places {
            let left = &self.left[from * depth..to * depth];
            // SAFETY: the caller's.
            unsafe { self.block::<V>(left, right, from, to - from) };
        }
    }
}

impl Panel<'_> {
    /// Picks the tile that is as high as the block.
    #[inline(always)]
    unsafe fn block<V: Lanes>(&self, left: &[f32], right: &[f32], from: usize, height: usize) {
        macro_rules! heights {
            ($($height:literal)*) => {
                // What is higher than V's registers allow is never asked for,
                // and the condition is known when this is compiled.
                match height {
                    $($height if $height <= V::ROWS => unsafe {
                        self.tile::<V, $height>(left, right, from)
                    },)*
                    _ => unreachable!("a block higher than a tile"),
                }
            };
        }
        heights!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    }

    #[inline(always)]
    unsafe fn tile<V: Lanes, const H: usize>(&self, left: &[f32], right: &[f32], from: usize) {
        let width = 2 * V::LANES;
        let depth = self.packed.depth;
        assert!(left.len() == H * depth && right.len() == width * depth);
        // SAFETY: the lengths were just checked; the rest is the caller's.
        let mut sums = [[unsafe { V::zero() }; 2]; H];
        let (mut a, mut b) = (left.as_ptr(), right.as_ptr());
        for _ in 0..depth {
            unsafe {
                let (b0, b1) = (V::load(b), V::load(b.add(V::LANES)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let a = *a.add(i);
                    sums[0] = sums[0].add_product(a, b0);
                    sums[1] = sums[1].add_product(a, b1);
                }
                a = a.add(H);
                b = b.add(width);
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

/// A matrix that several threads write different places of.
pub struct Shared<'a> {
    start: *mut f32,
    len: usize,
    stride: usize,
    _matrix: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: `write` is called for each place once: panels and heads are different
// columns, chunks different rows.
unsafe impl Send for Shared<'_> {}
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub fn new(matrix: &'a mut [f32], stride: usize) -> Self {
        Self {
            start: matrix.as_mut_ptr(),
            len: matrix.len(),
            stride,
            _matrix: std::marker::PhantomData,
        }
    }

    #[inline(always)]
    pub fn write(&self, row: usize, column: usize, values: &[f32]) {
        let to = self.place_of(row, column, values.len());
        // SAFETY: inside, and no other thread's.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) }
    }

    /// Where `count` numbers of a row begin, all of them inside the matrix.
    #[inline(always)]
    fn place_of(&self, row: usize, column: usize, count: usize) -> *mut f32 {
        let place = row * self.stride + column;
        assert!(place + count <= self.len);
        // SAFETY: inside, as just checked.
        unsafe { self.start.add(place) }
    }
}

/// `work` for every number below `count`, on all threads where `parallel` is asked
/// for and there are threads.
pub fn for_each(count: usize, parallel: bool, work: impl Fn(usize) + Sync + Send) {
    #[cfg(not(target_arch = "wasm32"))]
    if parallel && count > 1 && threads() > 1 {
        use rayon::prelude::*;
        (0..count).into_par_iter().for_each(work);
        return;
    }
    let _ = parallel;
    (0..count).for_each(work);
}

fn threads() -> usize {
    #[cfg(not(target_arch = "wasm32"))]
    return rayon::current_num_threads();
    #[cfg(target_arch = "wasm32")]
    1
}
