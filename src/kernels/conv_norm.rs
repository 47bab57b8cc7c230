//! A convolution with the batch normalisation after it, there and back. Channels
//! come last, and a picture is worked on from end to end while it is in the cache.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::conv::{ConvShape, side_after};
use super::gemm::{self, for_all};
use super::room::{as_room, filled};
use super::share::{PARTS, add_up, divide, filled_in_parts, parts, repeated, shares, total};
use super::simd::{Lanes, Work, dispatch, tile_width};
use super::strip::{Left, Right, Strip};

#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub shape: ConvShape,
}

/// Places that are worth a product of their own.
const PLACES: usize = 128;

impl Sizes {
    pub fn new([batch, height, width, channels]: [usize; 4], shape: ConvShape) -> Self {
        Self {
            batch,
            height,
            width,
            channels,
            shape,
        }
    }

    /// Height and width of the result.
    fn after(&self) -> [usize; 2] {
        let ConvShape { kernel, stride, .. } = self.shape;
        [self.height, self.width].map(|side| side_after(side, kernel, stride))
    }

    pub fn result(&self) -> [usize; 4] {
        let [height, width] = self.after();
        [self.batch, height, width, self.shape.out]
    }

    /// Numbers of a picture, and of its result.
    fn lengths(&self) -> [usize; 2] {
        let [height, width] = self.after();
        let before = self.height * self.width * self.channels;
        [before, height * width * self.shape.out]
    }

    /// The same convolution with the places of several pictures as those of one,
    /// where they have nothing to do with each other.
    fn joined(self) -> Self {
        let places = self.height * self.width;
        if self.shape.kernel > 1 || self.shape.stride > 1 || places == 0 {
            return self;
        }
        let count = PLACES.div_ceil(places).clamp(1, self.batch.max(1));
        Self {
            batch: self.batch.div_ceil(count),
            height: 1,
            width: places * count,
            ..self
        }
    }

    /// The convolution that leads a gradient from this one's result to its input:
    /// for a stride of 1.
    fn back(self) -> Self {
        let [height, width] = self.after();
        Self {
            height,
            width,
            channels: self.shape.out,
            shape: ConvShape {
                out: self.channels,
                ..self.shape
            },
            ..self
        }
    }

    /// Room for one picture with a margin of zeros, and for a vector that is read past
    /// the end.
    fn room(&self) -> Vec<f32> {
        let margin = 2 * (self.shape.kernel / 2);
        let places = (self.height + margin) * (self.width + margin);
        vec![0.0; places * self.channels + tile_width()]
    }

    /// From line to line of a picture with a margin.
    fn line(&self) -> usize {
        (self.width + 2 * (self.shape.kernel / 2)) * self.channels
    }

    /// Where line `y` of a picture begins in [`Self::room`].
    fn start(&self, y: usize) -> usize {
        let margin = self.shape.kernel / 2;
        (y + margin) * self.line() + margin * self.channels
    }

    /// Numbers side by side that a place reads.
    fn run(&self) -> usize {
        self.shape.kernel * self.channels
    }

    /// `picture` with a margin of zeros around it, in `room`.
    fn frame(&self, picture: &[f32], room: &mut [f32]) {
        let width = self.width * self.channels;
        for (y, line) in picture.chunks_exact(width).enumerate() {
            room[self.start(y)..][..width].copy_from_slice(line);
        }
    }

    /// Convolves a picture in its frame with `panels` (see [`panels`]).
    fn convolve(&self, framed: &[f32], panels: &[f32], out: &mut [MaybeUninit<f32>]) {
        let ConvShape {
            kernel,
            stride,
            out: columns,
        } = self.shape;
        let [height, width] = self.after();
        let (run, tile) = (self.run(), tile_width());
        let panel = kernel * run * tile;
        for (index, first) in (0..columns).step_by(tile).enumerate() {
            for y in 0..height {
                let place = y * width * columns + first;
                Strip {
                    left: Left {
                        values: &framed[y * stride * self.line()..],
                        row: stride * self.channels,
                        steps: [self.line(), 1],
                    },
                    right: Right {
                        values: &panels[index * panel..][..panel],
                        steps: [run * tile, tile],
                    },
                    counts: [kernel, run],
                    rows: width,
                    columns: tile.min(columns - first),
                    out: &mut out[place..],
                    stride: columns,
                    on_top: false,
                }
                .run();
            }
        }
    }

    /// Adds to `sums`, `[out, kernel, run]`, the products of what a place reads with what is
    /// `asked` of it. Both are framed.
    fn correlate(&self, framed: &[f32], asked: &[f32], sums: &mut [MaybeUninit<f32>]) {
        let ConvShape {
            kernel,
            stride,
            out,
        } = self.shape;
        let (run, tile, back) = (self.run(), tile_width(), self.back());
        let [height, width] = self.after();
        for k in 0..kernel {
            for first in (0..run).step_by(tile) {
                Strip {
                    left: Left {
                        values: &asked[back.start(0)..],
                        row: 1,
                        steps: [back.line(), out],
                    },
                    right: Right {
                        values: &framed[k * self.line() + first..],
                        steps: [stride * self.line(), stride * self.channels],
                    },
                    counts: [height, width],
                    rows: out,
                    columns: tile.min(run - first),
                    out: &mut sums[k * run + first..],
                    stride: kernel * run,
                    on_top: true,
                }
                .run();
            }
        }
    }
}

/// Weights `[out, in, kernel, kernel]` as [`Sizes::convolve`] reads them; `turned`
/// for the way back, where input and output change places and the kernel is seen
/// from the other side.
fn panels(weight: &[f32], sizes: Sizes, turned: bool) -> Vec<f32> {
    let (kernel, input, out) = (sizes.shape.kernel, sizes.channels, sizes.shape.out);
    let area = kernel * kernel;
    let mut matrix = Vec::with_capacity(weight.len());
    for place in 0..area {
        match turned {
            false => (0..input).for_each(|i| {
                matrix.extend((0..out).map(|o| weight[(o * input + i) * area + place]));
            }),
            true => (0..out).for_each(|o| {
                let from = o * input * area + area - 1 - place;
                matrix.extend((0..input).map(|i| weight[from + i * area]));
            }),
        }
    }
    let columns = if turned { input } else { out };
    let mut packed = Vec::new();
    gemm::pack(
        &matrix,
        weight.len() / columns,
        columns,
        columns,
        &mut packed,
    );
    packed
}

/// `[out, kernel, kernel, in]` to `[out, in, kernel, kernel]`.
fn as_weight(sums: &[f32], sizes: Sizes) -> Vec<f32> {
    let area = sizes.shape.kernel * sizes.shape.kernel;
    let depth = area * sizes.channels;
    let mut weight = Vec::with_capacity(sums.len());
    for sums in sums.chunks_exact(depth) {
        for i in 0..sizes.channels {
            weight.extend((0..area).map(|place| sums[place * sizes.channels + i]));
        }
    }
    weight
}

/// Mean and variance of every channel, of `count` numbers each.
#[derive(Clone, Debug)]
pub struct Moments {
    pub count: usize,
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

impl Moments {
    fn none(channels: usize) -> Self {
        Self {
            count: 0,
            mean: vec![0.0; channels],
            variance: vec![0.0; channels],
        }
    }

    /// Those of both together (Chan et al. 1979).
    fn join(&mut self, other: &Self) {
        let total = (self.count + other.count) as f64;
        let share = other.count as f64 / total;
        let theirs = other.mean.iter().zip(&other.variance);
        for ((mean, variance), (mean2, variance2)) in
            self.mean.iter_mut().zip(&mut self.variance).zip(theirs)
        {
            let apart = mean2 - *mean;
            *mean += apart * share;
            *variance += (variance2 - *variance) * share + apart * apart * share * (1.0 - share);
        }
        self.count += other.count;
    }

    /// Of rows as long as there are channels.
    fn of(rows: &[f32], channels: usize) -> Self {
        // Away from one of the numbers, whose square may be far larger than what
        // they differ by.
        let origin = &rows[..channels];
        let cycle = repeated(origin);
        let mut sums = [vec![0.0; cycle.len()], vec![0.0; cycle.len()]];
        dispatch(Spread {
            rows,
            origin: &cycle,
            sums: &mut sums,
        });
        let count = rows.len() / channels;
        let [sum, squares] = sums.map(|sums| total(&sums, channels));
        let away = |c: usize| sum[c] / count as f64;
        Self {
            count,
            mean: (0..channels)
                .map(|c| f64::from(origin[c]) + away(c))
                .collect(),
            variance: (0..channels)
                .map(|c| (squares[c] / count as f64 - away(c).powi(2)).max(0.0))
                .collect(),
        }
    }
}

/// Sums of what is `origin` less, and of its squares.
struct Spread<'a> {
    rows: &'a [f32],
    origin: &'a [f32],
    sums: &'a mut [Vec<f32>; 2],
}

impl Work for Spread<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let [sum, squares] = self.sums;
        for part in self.rows.chunks(self.origin.len()) {
            let sums = sum.iter_mut().zip(squares.iter_mut());
            for ((x, origin), (sum, squares)) in part.iter().zip(self.origin).zip(sums) {
                let away = x - origin;
                *sum += away;
                *squares += away * away;
            }
        }
    }
}

/// `x scale + shift + add`, and of that what is above zero if `relu`.
struct Affine<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    add: Option<&'a [f32]>,
    relu: bool,
    out: &'a mut [MaybeUninit<f32>],
}

impl Work for Affine<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let length = self.scale.len();
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        // What is no number stays so: a run that diverges is to be seen.
        let above = |x: f32| if x < floor { floor } else { x };
        let parts = self.x.chunks(length).zip(self.out.chunks_mut(length));
        for (index, (x, out)) in parts.enumerate() {
            let line = x.iter().zip(self.scale.iter().zip(self.shift));
            match self.add {
                None => {
                    for (out, (x, (scale, shift))) in out.iter_mut().zip(line) {
                        out.write(above(x * scale + shift));
                    }
                }
                Some(add) => {
                    let line = line.zip(&add[index * length..]);
                    for (out, ((x, (scale, shift)), add)) in out.iter_mut().zip(line) {
                        out.write(above(x * scale + shift + add));
                    }
                }
            }
        }
    }
}

/// A picture as [`Sizes::convolve`] and [`Sizes::correlate`] read it: where it lies if there is
/// no margin to it, else in a frame.
struct Frame {
    sizes: Sizes,
    room: Option<Vec<f32>>,
}

impl Frame {
    fn new(sizes: Sizes) -> Self {
        // Whole vectors are read of a place's channels.
        let as_it_lies = sizes.shape.kernel == 1 && sizes.channels.is_multiple_of(tile_width() / 2);
        Self {
            sizes,
            room: (!as_it_lies).then(|| sizes.room()),
        }
    }

    /// `picture` as it is read, and its sizes: the last of joined ones may be smaller.
    fn take<'a>(&'a mut self, picture: &'a [f32]) -> (Sizes, &'a [f32]) {
        let mut sizes = self.sizes;
        sizes.width = picture.len() / (sizes.height * sizes.channels).max(1);
        let framed = match &mut self.room {
            Some(room) => {
                sizes.frame(picture, room);
                room
            }
            None => picture,
        };
        (sizes, framed)
    }
}

/// Convolves pictures, and tells every channel's mean and variance.
pub fn convolve(x: &[f32], weight: &[f32], sizes: Sizes) -> (Vec<f32>, Moments) {
    let channels = sizes.shape.out;
    let panels = panels(weight, sizes, false);
    let joined = sizes.joined();
    let [before, after] = joined.lengths();
    let shares = shares(joined.batch);
    let mut moments = vec![Moments::none(channels); shares.len()];
    let z = filled(sizes.batch * sizes.lengths()[1], |out| {
        let out = divide(out, &shares, after);
        let parts = shares.iter().zip(out).zip(&mut moments).collect();
        for_all(parts, true, |((share, out), moments)| {
            let mut frame = Frame::new(joined);
            let pictures = x[share.start * before..].chunks(before);
            for (picture, out) in pictures.zip(out.chunks_mut(after)) {
                let (sizes, framed) = frame.take(picture);
                sizes.convolve(framed, &panels, out);
                // SAFETY: just written.
                let out = unsafe { out.assume_init_ref() };
                moments.join(&Moments::of(out, channels));
            }
        });
    });
    let mut all = Moments::none(channels);
    moments.iter().for_each(|moments| all.join(moments));
    (z, all)
}

/// `z scale + shift + add` by channels, and of that what is above zero if `relu`.
pub fn affine(z: &[f32], [scale, shift]: [&[f32]; 2], add: Option<&[f32]>, relu: bool) -> Vec<f32> {
    let [scale, shift] = [scale, shift].map(repeated);
    filled_in_parts(z.len(), scale.len(), |part, out| {
        dispatch(Affine {
            x: &z[part.clone()],
            scale: &scale,
            shift: &shift,
            add: add.map(|add| &add[part]),
            relu,
            out,
        });
    })
}

/// What the way back reads.
pub struct Kept<'a> {
    pub sizes: Sizes,
    pub x: &'a [f32],
    pub weight: &'a [f32],
    pub gamma: &'a [f32],
    /// The convolution's result,
    pub z: &'a [f32],
    /// and the whole operation's, where only what is above zero was let through.
    pub y: Option<&'a [f32]>,
    /// What `z` was normalised with,
    pub mean: &'a [f32],
    pub inverse: &'a [f32],
    /// and whether that came from `z` itself.
    pub by_batch: bool,
}

/// What is asked of what went in, as far as it was wanted.
pub struct Asked {
    pub x: Option<Vec<f32>>,
    pub weight: Option<Vec<f32>>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    /// Of what was added, if not the same as of the result.
    pub add: Option<Vec<f32>>,
}

impl Kept<'_> {
    /// What is asked of everything, by what is `asked` of the result. Of the input
    /// only for a stride of 1.
    pub fn back(&self, asked: &[f32], x: bool, weight: bool, add: bool) -> Asked {
        let sizes = self.sizes;
        let joined = sizes.joined();
        let [before, after] = joined.lengths();
        // Each has sums of its own of all weights' gradients, of which there is not to be
        // too much at a time.
        const ROOM: usize = 1 << 20;
        let shares = parts(joined.batch, (ROOM / self.weight.len()).clamp(1, PARTS));
        let [beta, gamma] = self.sums(asked, &shares, after);
        let line = self.line([&beta, &gamma]);
        let turned = match x {
            true => panels(self.weight, sizes, true),
            false => Vec::new(),
        };
        let add = add && self.y.is_some();
        let length = |wanted: bool, length: usize| if wanted { length } else { 0 };
        let mut sums = vec![vec![0.0; length(weight, self.weight.len())]; shares.len()];
        let mut to_add = Vec::new();
        let to_x = filled(length(x, self.x.len()), |to_x| {
            to_add = filled(length(add, self.z.len()), |to_add| {
                let parts = (shares.iter().zip(&mut sums))
                    .zip(divide(to_x, &shares, before))
                    .zip(divide(to_add, &shares, after))
                    .collect();
                for_all(parts, true, |(((share, sums), to_x), to_add)| {
                    let (mut to_x, mut to_add) =
                        (to_x.chunks_mut(before), to_add.chunks_mut(after));
                    let (mut frame, mut room) = (Frame::new(joined), joined.back().room());
                    for picture in share.clone() {
                        let x = &self.x[picture * before..];
                        let (sizes, framed) = frame.take(&x[..before.min(x.len())]);
                        let back = sizes.back();
                        let to_add = to_add.next().unwrap_or_default();
                        self.place(&line, asked, picture * after, back, &mut room, to_add);
                        if weight {
                            sizes.correlate(framed, &room, as_room(sums));
                        }
                        if let Some(to_x) = to_x.next() {
                            back.convolve(&room, &turned, to_x);
                        }
                    }
                });
            });
        });
        let weights = sums.into_iter().reduce(|mut all, sums| {
            all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            all
        });
        let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Asked {
            x: x.then_some(to_x),
            weight: weights
                .filter(|_| weight)
                .map(|sums| as_weight(&sums, sizes)),
            gamma: single(gamma),
            beta: single(beta),
            add: add.then_some(to_add),
        }
    }

    /// What is asked of every channel's bias and gain.
    fn sums(&self, asked: &[f32], shares: &[Range<usize>], length: usize) -> [Vec<f64>; 2] {
        let channels = self.sizes.shape.out;
        let mean = repeated(self.mean);
        let nothing = || [vec![0.0; channels], vec![0.0; channels]];
        let mut found: Vec<[Vec<f64>; 2]> = shares.iter().map(|_| nothing()).collect();
        for_all(
            shares.iter().zip(&mut found).collect(),
            true,
            |(share, all)| {
                for picture in share.clone() {
                    let part = picture * length..((picture + 1) * length).min(self.z.len());
                    let mut sums = [vec![0.0; mean.len()], vec![0.0; mean.len()]];
                    dispatch(Sums {
                        asked: &asked[part.clone()],
                        z: &self.z[part.clone()],
                        y: self.y.map(|y| &y[part]),
                        mean: &mean,
                        sums: &mut sums,
                    });
                    for (all, sums) in all.iter_mut().zip(&sums) {
                        add_up(all, &total(sums, channels));
                    }
                }
            },
        );
        let [mut beta, mut gamma] = nothing();
        for [more_beta, more_gamma] in &found {
            add_up(&mut beta, more_beta);
            add_up(&mut gamma, more_gamma);
        }
        let scaled = gamma.iter_mut().zip(self.inverse);
        scaled.for_each(|(sum, inverse)| *sum *= f64::from(*inverse));
        [beta, gamma]
    }

    /// What is asked of the convolution's result is, by channels, `a asked + b z + c`,
    /// since its mean and variance follow it.
    fn line(&self, [beta, gamma]: [&[f64]; 2]) -> [Vec<f32>; 3] {
        let channels = self.sizes.shape.out;
        let share = match self.by_batch {
            true => channels as f64 / self.z.len() as f64,
            false => 0.0,
        };
        let each = |of: &dyn Fn(f64, f64, usize) -> f64| {
            let of = |c: usize| {
                let inverse = f64::from(self.inverse[c]);
                of(f64::from(self.gamma[c]) * inverse, inverse, c) as f32
            };
            repeated(&(0..channels).map(of).collect::<Vec<f32>>())
        };
        [
            each(&|a, _, _| a),
            each(&|a, inverse, c| -a * inverse * gamma[c] * share),
            each(&|a, inverse, c| {
                let mean = f64::from(self.mean[c]);
                a * share * (mean * inverse * gamma[c] - beta[c])
            }),
        ]
    }

    /// Puts what is asked of the convolution's result from number `first` on into its frame,
    /// and what is asked of the sum into `to_add`, if there is place for it.
    fn place(
        &self,
        line: &[Vec<f32>; 3],
        asked: &[f32],
        first: usize,
        sizes: Sizes,
        room: &mut [f32],
        mut to_add: &mut [MaybeUninit<f32>],
    ) {
        let width = sizes.width * sizes.channels;
        for y in 0..sizes.height {
            let part = first + y * width..first + (y + 1) * width;
            let (here, rest) = to_add.split_at_mut(width.min(to_add.len()));
            to_add = rest;
            dispatch(Place {
                asked: &asked[part.clone()],
                z: &self.z[part.clone()],
                y: self.y.map(|y| &y[part]),
                line,
                out: &mut room[sizes.start(y)..][..width],
                to_add: here,
            });
        }
    }
}

/// Sums of what is `asked`, and of its products with `z - mean`. Where there is `y`,
/// nothing is asked but where it is above zero.
struct Sums<'a> {
    asked: &'a [f32],
    z: &'a [f32],
    y: Option<&'a [f32]>,
    mean: &'a [f32],
    sums: &'a mut [Vec<f32>; 2],
}

impl Work for Sums<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let length = self.mean.len();
        let [sum, products] = self.sums;
        let parts = self.asked.chunks(length).zip(self.z.chunks(length));
        for (index, (asked, z)) in parts.enumerate() {
            let line = z.iter().zip(self.mean);
            let line = line.zip(sum.iter_mut().zip(products.iter_mut()));
            let add = |asked: f32, z: f32, mean: f32, sum: &mut f32, products: &mut f32| {
                *sum += asked;
                *products += asked * (z - mean);
            };
            match self.y {
                None => {
                    for (asked, ((z, mean), (sum, products))) in asked.iter().zip(line) {
                        add(*asked, *z, *mean, sum, products);
                    }
                }
                Some(y) => {
                    let asked = asked.iter().zip(&y[index * length..]);
                    for ((asked, y), ((z, mean), (sum, products))) in asked.zip(line) {
                        let asked = if *y > 0.0 { *asked } else { 0.0 };
                        add(asked, *z, *mean, sum, products);
                    }
                }
            }
        }
    }
}

/// See [`Kept::place`].
struct Place<'a> {
    asked: &'a [f32],
    z: &'a [f32],
    y: Option<&'a [f32]>,
    line: &'a [Vec<f32>; 3],
    out: &'a mut [f32],
    to_add: &'a mut [MaybeUninit<f32>],
}

impl Work for Place<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let [a, b, c] = self.line;
        let length = a.len();
        let parts = self.asked.chunks(length).zip(self.z.chunks(length));
        for (index, ((asked, z), out)) in parts.zip(self.out.chunks_mut(length)).enumerate() {
            let line = z.iter().zip(a.iter().zip(b.iter().zip(c)));
            let line = out.iter_mut().zip(line);
            match self.y {
                None => {
                    for (asked, (out, (z, (a, (b, c))))) in asked.iter().zip(line) {
                        *out = a * asked + (b * z + c);
                    }
                }
                Some(y) => {
                    let asked = asked.iter().zip(&y[index * length..]);
                    for ((asked, y), (out, (z, (a, (b, c))))) in asked.zip(line) {
                        let asked = if *y > 0.0 { *asked } else { 0.0 };
                        *out = a * asked + (b * z + c);
                    }
                }
            }
        }
        if let Some(y) = self.y {
            for (to, (asked, y)) in self.to_add.iter_mut().zip(self.asked.iter().zip(y)) {
                to.write(if *y > 0.0 { *asked } else { 0.0 });
            }
        }
    }
}
