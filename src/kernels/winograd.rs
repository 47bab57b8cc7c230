//! Convolutions of 3 x 3 by squares of 2 x 2 places. A square of the result costs 16
//! multiplications for each pair of channels instead of 36, for some additions before
//! and after: Winograd's minimal filtering, F(2 x 2, 3 x 3) of Lavin & Gray 2016
//! (arXiv:1509.09308, section 4.1).

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::conv::Places;
use super::gemm::{self, Finish, Matrix, Packed, Values, for_all, for_each, threads};
use super::room::{Shared, as_room, filled};
use super::simd::{Lanes, Work, dispatch};

/// Places in a line of the kernel, of a square, and of what a square reads.
pub const KERNEL: usize = 3;
const SIDE: usize = 2;
const READ: usize = SIDE + KERNEL - 1;
/// Matrix products that a convolution becomes.
pub const PRODUCTS: usize = READ * READ;

/// Numbers between the matrices of different products, as many as the longest vector has.
/// Without them they would begin a power of two apart, and drive each other out of the cache.
const APART: usize = 16;

/// Weights `[3, 3, channels, columns]` to `[16, channels, columns]`, `part` numbers each: at
/// least as many as a vector has.
pub fn weights(matrix: &[f32], part: usize) -> Vec<f32> {
    filled(PRODUCTS * part, |out| {
        dispatch(Widen { matrix, part, out });
    })
}

struct Widen<'a> {
    matrix: &'a [f32],
    part: usize,
    out: &'a mut [MaybeUninit<f32>],
}

impl Work for Widen<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let part = self.part;
        assert!(self.matrix.len() == KERNEL * KERNEL * part && part >= V::LANES);
        assert!(self.out.len() == PRODUCTS * part);
        for first in (0..part).step_by(V::LANES) {
            // The last vector begins where it still fits.
            let from = first.min(part - V::LANES);
            // SAFETY: a vector fits into every part from there on.
            unsafe {
                let matrix = self.matrix.as_ptr().add(from);
                let to = self.out.as_mut_ptr().cast::<f32>().add(from);
                let mut lines = [[V::zero(); READ]; KERNEL];
                for (y, line) in lines.iter_mut().enumerate() {
                    let matrix = matrix.add(y * KERNEL * part);
                    let [a, b, c] = [matrix, matrix.add(part), matrix.add(2 * part)];
                    *line = widen([V::load(a), V::load(b), V::load(c)]);
                }
                let [a, b, c] = lines;
                for x in 0..READ {
                    for (y, value) in widen([a[x], b[x], c[x]]).into_iter().enumerate() {
                        value.store(to.add((y * READ + x) * part));
                    }
                }
            }
        }
    }
}

/// A line of the kernel as what is read is multiplied with it.
#[inline(always)]
unsafe fn widen<V: Lanes>([a, b, c]: [V; KERNEL]) -> [V; READ] {
    // SAFETY: the caller's.
    unsafe {
        let ends = V::zero().add_product(0.5, a.add(c));
        let middle = V::zero().add_product(0.5, b);
        [a, ends.add(middle), ends.subtract(middle), c]
    }
}

/// The squares of some lines of a convolution's result.
struct Squares<'a> {
    /// Those of the pictures' lines that the wanted ones read.
    picture: &'a [f32],
    read: Range<usize>,
    places: Places,
    lines: Range<usize>,
    /// The first line of each row of squares, and how many lines of it are wanted.
    rows: Vec<(usize, usize)>,
    across: usize,
    /// The channels of what is beyond a picture's edge.
    outside: Vec<f32>,
}

impl<'a> Squares<'a> {
    fn new(picture: &'a [f32], places: Places, lines: Range<usize>) -> Self {
        let [height, width] = places.size();
        let mut rows = Vec::new();
        let mut line = lines.start;
        while line < lines.end {
            let end = (line / height + 1) * height;
            let count = SIDE.min(end.min(lines.end) - line);
            rows.push((line, count));
            line += count;
        }
        Self {
            picture,
            read: places.reads(&lines),
            places,
            lines,
            rows,
            across: width.div_ceil(SIDE),
            outside: vec![0.0; places.channels],
        }
    }

    fn count(&self) -> usize {
        self.rows.len() * self.across
    }

    /// Where a square is: its first line and column, and how many of each it has.
    fn place(&self, square: usize) -> [(usize, usize); 2] {
        let x = square % self.across * SIDE;
        let [_, width] = self.places.size();
        [self.rows[square / self.across], (x, SIDE.min(width - x))]
    }

    /// The channels of what a square reads, from left to right and down.
    #[inline(always)]
    fn read(&self, square: usize) -> [&[f32]; PRODUCTS] {
        let Places {
            height,
            width,
            channels,
            ..
        } = self.places;
        let [(line, _), (x, _)] = self.place(square);
        let (batch, y) = (line / height, line % height);
        let mut read = [self.outside.as_slice(); PRODUCTS];
        for (i, read) in read.iter_mut().enumerate() {
            // A margin of one place is around every picture.
            let (down, across) = (y + i / READ, x + i % READ);
            let inside = (1..=height).contains(&down) && (1..=width).contains(&across);
            // What only lines read that are not wanted may be missing.
            if inside && batch * height + down <= self.read.end {
                let line = batch * height + down - 1 - self.read.start;
                let place = (line * width + across - 1) * channels;
                *read = &self.picture[place..place + channels];
            }
        }
        read
    }
}

/// What is read, in one direction, as it is multiplied with the weights;
#[inline(always)]
unsafe fn before<V: Lanes>([a, b, c, d]: [V; READ]) -> [V; READ] {
    // SAFETY: the caller's.
    unsafe { [a.subtract(c), b.add(c), c.subtract(b), b.subtract(d)] }
}

/// and the products as sums.
#[inline(always)]
unsafe fn after<V: Lanes>([a, b, c, d]: [V; READ]) -> [V; SIDE] {
    // SAFETY: the caller's.
    unsafe { [a.add(b).add(c), b.subtract(c).subtract(d)] }
}

/// Some squares, what they read made ready to be multiplied: `[16, squares, channels]`.
struct Gather<'a, 'p> {
    squares: &'a Squares<'p>,
    part: Range<usize>,
    out: &'a mut [f32],
}

impl Work for Gather<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let channels = self.squares.places.channels;
        let product = self.part.len() * channels + APART;
        assert!(self.out.len() == PRODUCTS * product && channels >= V::LANES);
        for (i, square) in self.part.enumerate() {
            let read = self.squares.read(square);
            let mut first = 0;
            while first < channels {
                // The last vector begins where it still fits.
                let from = first.min(channels - V::LANES);
                first += V::LANES;
                // SAFETY: a vector fits into the channels from there on, and into
                // each product's matrix.
                unsafe {
                    let mut d = [[V::zero(); READ]; READ];
                    for (i, read) in read.iter().enumerate() {
                        d[i / READ][i % READ] = V::load(read.as_ptr().add(from));
                    }
                    let mut lines = [[V::zero(); READ]; READ];
                    for x in 0..READ {
                        let column = before([d[0][x], d[1][x], d[2][x], d[3][x]]);
                        for y in 0..READ {
                            lines[y][x] = column[y];
                        }
                    }
                    let to = self.out.as_mut_ptr().add(i * channels + from);
                    for (y, line) in lines.into_iter().enumerate() {
                        for (x, value) in before(line).into_iter().enumerate() {
                            value.store(to.add((y * READ + x) * product));
                        }
                    }
                }
            }
        }
    }
}

/// The products, `[16, squares, columns]`, to places of the result.
struct Scatter<'a, 'p> {
    squares: &'a Squares<'p>,
    part: Range<usize>,
    products: &'a [f32],
    columns: usize,
    finish: &'a Finish<'a>,
    out: &'a Shared<'a>,
}

impl Work for Scatter<'_, '_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let columns = self.columns;
        let product = self.part.len() * columns + APART;
        assert!(self.products.len() == PRODUCTS * product && V::LANES <= APART);
        let [_, width] = self.squares.places.size();
        for (i, square) in self.part.enumerate() {
            let [(line, down), (x, across)] = self.squares.place(square);
            let place = (line - self.squares.lines.start) * width + x;
            for from in (0..columns).step_by(V::LANES) {
                let count = V::LANES.min(columns - from);
                // SAFETY: what is loaded lies between the products of two matrices if not
                // in one, and what is stored is as long as a vector or as a row of it.
                unsafe {
                    let products = self.products.as_ptr().add(i * columns + from);
                    let mut lines = [[V::zero(); SIDE]; READ];
                    for (y, line) in lines.iter_mut().enumerate() {
                        let mut sums = [V::zero(); READ];
                        for (x, sum) in sums.iter_mut().enumerate() {
                            *sum = V::load(products.add((y * READ + x) * product));
                        }
                        *line = after(sums);
                    }
                    let [a, b, c, d] = lines;
                    for x in 0..across {
                        let column = after([a[x], b[x], c[x], d[x]]);
                        for (y, sum) in column.into_iter().enumerate().take(down) {
                            let place = place + y * width + x;
                            let number = place * columns + from;
                            if count == V::LANES {
                                let [sum] = self.finish.vectors([sum], from, number);
                                sum.store(self.out.place_of(place, from, V::LANES));
                            } else {
                                let mut row = [0.0; APART];
                                sum.store(row.as_mut_ptr());
                                self.finish.apply(&mut row[..count], from, number);
                                self.out.write(place, from, &row[..count]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Numbers, before and after the products, that are worked on at a time.
const CHUNK: usize = 128 * 1024;

thread_local! {
    static ROOM: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Some lines of a convolution's result; `picture` is what they read and `values`
/// packed [`weights`].
pub fn conv(
    picture: &[f32],
    places: Places,
    lines: Range<usize>,
    values: Values,
    columns: usize,
    finish: &Finish,
) -> Vec<f32> {
    let [_, width] = places.size();
    let length = lines.len() * width * columns;
    if length == 0 {
        return Vec::new();
    }
    let channels = places.channels;
    let squares = Squares::new(picture, places, lines);
    let (total, threads) = (squares.count(), threads());
    // Fewer at a time than two tiles' rows would read all weights for little.
    let at_once = (CHUNK / (PRODUCTS * (channels + columns))).max(2 * gemm::most_rows());
    let mut chunks = total.div_ceil(at_once);
    // Threads share the squares where there are enough of them, else the products.
    let by_chunk = threads > 1 && total >= threads * gemm::most_rows();
    if by_chunk {
        chunks = chunks.next_multiple_of(threads);
    }
    filled(length, |out| {
        let result = Shared::new(out, columns);
        for_each(chunks, by_chunk, |chunk| {
            let part = chunk * total / chunks..(chunk + 1) * total / chunks;
            let count = part.len();
            let (before, after) = (count * channels + APART, count * columns + APART);
            let mut room = ROOM.take();
            room.resize(room.len().max(PRODUCTS * (before + after)), 0.0);
            let (read, rest) = room.split_at_mut(PRODUCTS * before);
            let products = &mut rest[..PRODUCTS * after];
            dispatch(Gather {
                squares: &squares,
                part: part.clone(),
                out: read,
            });
            let parts = (read.chunks_exact(before)).zip(products.chunks_exact_mut(after));
            let parts = parts.enumerate().collect();
            for_all(parts, threads > 1 && !by_chunk, |(index, (read, out))| {
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
                gemm::product_into(&rows, &packed, as_room(&mut out[..count * columns]));
            });
            dispatch(Scatter {
                squares: &squares,
                part,
                products,
                columns,
                finish,
                out: &result,
            });
            ROOM.set(room);
        });
    })
}
