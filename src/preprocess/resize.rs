//! Resizing as in Pillow 13: a separable antialiased filter whose support grows with the
//! reduction, with 22-bit fixed-point weights and 8-bit samples between the two passes.
//!
//! Only the crop is computed: every sample depends on its own weights alone.

use std::ops::Range;

use super::Interpolation;

/// Source rows, `[width * channels]` each, produced one at a time.
pub(super) trait Rows {
    fn width(&self) -> u32;
    fn height(&self) -> u32;
    fn channels(&self) -> usize;
    /// Row `y`, from 0 to `height - 1`; `buffer` is scratch for it.
    fn row<'b>(&'b self, y: usize, buffer: &'b mut Vec<u8>) -> &'b [u8];
}

/// Region of the resized picture to compute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    pub left: u64,
    pub top: u64,
    pub width: usize,
    pub height: usize,
}

/// Fractional bits of a weight: 32 minus 8 for a sample and 2 for weights above 1 and
/// below 0.
const PRECISION: u32 = 22;

/// Initial value of a sum, so that truncation rounds.
const HALF: i32 = 1 << (PRECISION - 1);

/// Filter taps of each output sample: source range and weights.
struct FilterTaps {
    first: usize,
    weights: Vec<i32>,
}

/// 0.54 and 0.46, in single precision as in Pillow.
const HAMMING: (f64, f64) = (0.54_f32 as f64, 0.46_f32 as f64);

impl Interpolation {
    /// Support of the filter, in samples of the larger picture.
    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| {
            let x = x * std::f64::consts::PI;
            if x == 0.0 { 1.0 } else { x.sin() / x }
        };
        let distance = x.abs();
        match self {
            Self::Nearest => 0.0,
            Self::Box => f64::from(u8::from(-0.5 < x && x <= 0.5)),
            Self::Bilinear => (1.0 - distance).max(0.0),
            Self::Hamming if distance < 1.0 => {
                sinc(distance) * (HAMMING.0 + HAMMING.1 * (distance * std::f64::consts::PI).cos())
            }
            // Keys' cubic with a = -0.5.
            Self::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * -0.5
            }
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Hamming | Self::Bicubic | Self::Lanczos => 0.0,
        }
    }
}

/// Filter taps for the samples `start..start + count` of `new`, resized from `old`
/// samples.
fn weights(filter: Interpolation, old: u32, new: u64, start: u64, count: usize) -> Vec<FilterTaps> {
    let scale = f64::from(old) / new as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    (start..)
        .take(count)
        .map(|index| {
            let centre = (index as f64 + 0.5) * scale;
            // Casts truncate; negative values become zero.
            let first = (centre - support + 0.5) as usize;
            let last = ((centre + support + 0.5) as usize).min(old as usize);
            let raw: Vec<f64> = (first..last)
                .map(|x| filter.weight((x as f64 - centre + 0.5) * (1.0 / stretch)))
                .collect();
            let sum: f64 = raw.iter().sum();
            let norm = if sum == 0.0 { 1.0 } else { sum };
            let fixed = |weight: f64| {
                let scaled = weight / norm * f64::from(1 << PRECISION);
                (scaled + 0.5_f64.copysign(scaled)) as i32
            };
            FilterTaps {
                first,
                weights: raw.into_iter().map(fixed).collect(),
            }
        })
        .collect()
}

fn to_sample(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Region of the picture resized to `size`, width and height: `[height, width,
/// channels]`.
pub(super) fn resample(
    rows: &impl Rows,
    size: (u64, u64),
    region: Region,
    filter: Interpolation,
) -> Vec<u8> {
    match rows.channels() {
        1 => resample_channels::<1>(rows, size, region, filter),
        2 => resample_channels::<2>(rows, size, region, filter),
        3 => resample_channels::<3>(rows, size, region, filter),
        _ => resample_channels::<4>(rows, size, region, filter),
    }
}

fn resample_channels<const CHANNELS: usize>(
    rows: &impl Rows,
    size: (u64, u64),
    region: Region,
    filter: Interpolation,
) -> Vec<u8> {
    let columns = weights(filter, rows.width(), size.0, region.left, region.width);
    let lines = weights(filter, rows.height(), size.1, region.top, region.height);
    let mut out: Vec<[u8; CHANNELS]> = Vec::with_capacity(region.width * region.height);
    let mut buffer = Vec::new();
    if height_first((rows.width(), rows.height()), size) {
        let needed = span(&columns);
        let mut sums = vec![0; needed.len() * CHANNELS];
        let mut line = Vec::new();
        for FilterTaps { first, weights } in &lines {
            sums.fill(HALF);
            for (y, &weight) in (*first..).zip(weights) {
                let row = rows.row(y, &mut buffer);
                add(
                    &mut sums,
                    &row[needed.start * CHANNELS..needed.end * CHANNELS],
                    weight,
                );
            }
            line.clear();
            line.extend(sums.iter().copied().map(to_sample));
            across(line.as_chunks().0, needed.start, &columns, &mut out);
        }
        return out.into_flattened();
    }

    let needed = span(&lines);
    let mut narrow: Vec<[u8; CHANNELS]> = Vec::with_capacity(needed.len() * region.width);
    for y in needed.clone() {
        across(
            rows.row(y, &mut buffer).as_chunks().0,
            0,
            &columns,
            &mut narrow,
        );
    }
    let narrow = narrow.as_flattened();
    let length = region.width * CHANNELS;
    let mut sums = vec![0; length];
    for FilterTaps { first, weights } in &lines {
        sums.fill(HALF);
        let rows = narrow[(first - needed.start) * length..].chunks_exact(length.max(1));
        for (row, &weight) in rows.zip(weights) {
            add(&mut sums, row, weight);
        }
        let line: Vec<u8> = sums.iter().copied().map(to_sample).collect();
        out.extend_from_slice(line.as_chunks().0);
    }
    out.into_flattened()
}

/// The order of the passes shows in the rounding between them. Since version 13 Pillow
/// starts with the height if that removes more than twice as many pixels as the width, as
/// in pictures more than twice as tall as wide; before, it always started with the width.
/// Pixels differ by a step or two.
fn height_first(old: (u32, u32), new: (u64, u64)) -> bool {
    let shrinks = |old: u32, new: u64| i128::from(old) - i128::from(new);
    let (width, height) = (shrinks(old.0, new.0), shrinks(old.1, new.1));
    height > 0 && height > 2 * width
}

/// Range of source samples in use.
fn span(weights: &[FilterTaps]) -> Range<usize> {
    let start = weights.first().map_or(0, |w| w.first);
    let end = weights.last().map_or(0, |w| w.first + w.weights.len());
    start..end
}

/// Resamples a row that starts at column `offset` of the picture.
fn across<const CHANNELS: usize>(
    row: &[[u8; CHANNELS]],
    offset: usize,
    columns: &[FilterTaps],
    out: &mut Vec<[u8; CHANNELS]>,
) {
    out.extend(columns.iter().map(|FilterTaps { first, weights }| {
        let mut sums = [HALF; CHANNELS];
        for (pixel, &weight) in row[first - offset..].iter().zip(weights) {
            add(&mut sums, pixel, weight);
        }
        sums.map(to_sample)
    }));
}

fn add(sums: &mut [i32], samples: &[u8], weight: i32) {
    for (sum, &sample) in sums.iter_mut().zip(samples) {
        *sum += i32::from(sample) * weight;
    }
}

/// Nearest-neighbour resampling.
pub(super) fn nearest(
    rows: &impl Rows,
    (new_width, new_height): (u64, u64),
    region: Region,
) -> Vec<u8> {
    let channels = rows.channels();
    let columns = nearest_indices(rows.width(), new_width, region.left, region.width);
    let lines = nearest_indices(rows.height(), new_height, region.top, region.height);
    let mut out = Vec::with_capacity(columns.len() * lines.len() * channels);
    let mut buffer = Vec::new();
    for line in lines {
        let row = rows.row(line, &mut buffer);
        for &column in &columns {
            out.extend_from_slice(&row[column * channels..(column + 1) * channels]);
        }
    }
    out
}

fn nearest_indices(old: u32, new: u64, start: u64, count: usize) -> Vec<usize> {
    // Pillow accumulates the steps with their rounding errors; not worth the time beyond
    // any real picture.
    let step = f64::from(old) / new as f64;
    let mut place = step * 0.5;
    if start > 1 << 24 {
        place += step * start as f64;
    } else {
        for _ in 0..start {
            place += step;
        }
    }
    let mut indices = Vec::with_capacity(count);
    for _ in 0..count {
        indices.push((place as usize).min(old.saturating_sub(1) as usize));
        place += step;
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up() {
        for filter in Interpolation::ALL
            .into_iter()
            .filter(|f| *f != Interpolation::Nearest)
        {
            for (old, new) in [(1, 1), (10, 3), (3, 10), (1000, 7), (5, 4)] {
                for FilterTaps { first, weights } in weights(filter, old, new, 0, new as usize) {
                    let sum: i32 = weights.iter().sum();
                    assert!((sum - (1 << PRECISION)).abs() <= weights.len() as i32);
                    assert!(first + weights.len() <= old as usize);
                }
            }
        }
    }

    #[test]
    fn the_order_is_pillows() {
        assert!(!height_first((500, 333), (336, 224)));
        assert!(!height_first((200, 400), (100, 200)));
        assert!(height_first((200, 401), (100, 200)));
        assert!(height_first((10, 30), (20, 29)));
        assert!(!height_first((10, 30), (20, 30)));
        assert!(!height_first((1, 100_000_000), (224, 22_400_000_000)));
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        for filter in Interpolation::ALL
            .into_iter()
            .filter(|f| *f != Interpolation::Nearest)
        {
            for (index, w) in weights(filter, 9, 9, 0, 9).iter().enumerate() {
                for (offset, &weight) in w.weights.iter().enumerate() {
                    assert_eq!(weight, i32::from(w.first + offset == index) << PRECISION);
                }
            }
        }
    }
}
