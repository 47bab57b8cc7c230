//! Drawing of the generated pictures.

use crate::preprocess::{DecodedImage, PreprocessError};

pub(super) type Colour = [u8; 3];
pub(super) const WHITE: Colour = [255, 255, 255];
pub(super) const BLACK: Colour = [20, 20, 20];

/// RGB pixels; what lies outside is not drawn.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    pub fn new(width: usize, height: usize, colour: Colour) -> Self {
        Self {
            width,
            height,
            pixels: colour.repeat(width * height),
        }
    }

    fn dot(&mut self, x: usize, y: usize, colour: Colour) {
        if x < self.width && y < self.height {
            self.pixels[(y * self.width + x) * 3..][..3].copy_from_slice(&colour);
        }
    }

    pub fn rectangle(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        for row in y..y.saturating_add(height).min(self.height) {
            for column in x..x.saturating_add(width).min(self.width) {
                self.dot(column, row, colour);
            }
        }
    }

    pub fn disc(&mut self, (x, y): (usize, usize), radius: usize, colour: Colour) {
        for row in y.saturating_sub(radius)..=y + radius {
            for column in x.saturating_sub(radius)..=x + radius {
                if row.abs_diff(y).pow(2) + column.abs_diff(x).pow(2) <= radius * radius {
                    self.dot(column, row, colour);
                }
            }
        }
    }

    /// A copy of an image on white, three channels.
    pub fn of(image: &DecodedImage) -> Self {
        let mut canvas = Self::new(image.width() as usize, image.height() as usize, WHITE);
        let from = image.samples().chunks_exact(image.channels());
        for (to, from) in canvas.pixels.chunks_exact_mut(3).zip(from) {
            match *from {
                [red, green, blue, ..] => to.copy_from_slice(&[red, green, blue]),
                [grey, ..] => to.fill(grey),
                [] => {}
            }
        }
        canvas
    }

    /// Changes every pixel by itself.
    pub fn map(mut self, change: impl Fn(Colour) -> Colour) -> Self {
        let (pixels, _) = self.pixels.as_chunks_mut::<3>();
        pixels.iter_mut().for_each(|pixel| *pixel = change(*pixel));
        self
    }

    /// The pixel at `x, y`; of those outside, the nearest one.
    pub fn at(&self, x: usize, y: usize) -> Colour {
        let (x, y) = (x.min(self.width - 1), y.min(self.height - 1));
        let from = (y * self.width + x) * 3;
        [
            self.pixels[from],
            self.pixels[from + 1],
            self.pixels[from + 2],
        ]
    }

    /// Another picture of the same size, pixel by pixel from this one.
    pub fn redrawn(&self, pixel: impl Fn(&Self, usize, usize) -> Colour) -> Self {
        let mut canvas = Self::new(self.width, self.height, WHITE);
        for y in 0..self.height {
            for x in 0..self.width {
                canvas.dot(x, y, pixel(self, x, y));
            }
        }
        canvas
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// A smooth pen stroke of `radius` through `points`, in pixels (Catmull-Rom).
    pub fn stroke(&mut self, points: &[(f64, f64)], radius: usize, colour: Colour) {
        const STEPS: usize = 40;
        let point = |index: isize| points[index.clamp(0, points.len() as isize - 1) as usize];
        for segment in 0..points.len().saturating_sub(1) as isize {
            let [a, b, c, d] = [-1, 0, 1, 2].map(|offset| point(segment + offset));
            for step in 0..=STEPS {
                let t = step as f64 / STEPS as f64;
                let along = |a: f64, b: f64, c: f64, d: f64| {
                    0.5 * (2.0 * b
                        + (c - a) * t
                        + (2.0 * a - 5.0 * b + 4.0 * c - d) * t * t
                        + (3.0 * b - a - 3.0 * c + d) * t * t * t)
                };
                let at = (along(a.0, b.0, c.0, d.0), along(a.1, b.1, c.1, d.1));
                if at.0 >= 0.0 && at.1 >= 0.0 {
                    self.disc((at.0 as usize, at.1 as usize), radius, colour);
                }
            }
        }
    }

    /// Letters without accents and digits; anything else is a gap.
    pub fn word(&mut self, word: &str, (x, y): (usize, usize), dot: usize, colour: Colour) {
        for (place, letter) in word.chars().enumerate() {
            let Some(rows) = glyph(letter) else {
                continue;
            };
            for (row, bits) in rows.iter().enumerate() {
                for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                    let left = x + (6 * place + column) * dot;
                    self.rectangle(left, y + row * dot, dot, dot, colour);
                }
            }
        }
    }

    pub fn picture(self) -> Result<DecodedImage, PreprocessError> {
        DecodedImage::new(self.width as u32, self.height as u32, 3, self.pixels)
    }
}

/// Seven rows of five dots, the highest bit left.
fn glyph(letter: char) -> Option<[u8; 7]> {
    const LETTERS: [[u8; 7]; 26] = [
        [0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
        [0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e],
        [0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e],
        [0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e],
        [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f],
        [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10],
        [0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f],
        [0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
        [0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e],
        [0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0c],
        [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11],
        [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f],
        [0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11],
        [0x11, 0x11, 0x19, 0x15, 0x13, 0x11, 0x11],
        [0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
        [0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10],
        [0x0e, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0d],
        [0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11],
        [0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e],
        [0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04],
        [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
        [0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04],
        [0x11, 0x11, 0x11, 0x15, 0x15, 0x1b, 0x11],
        [0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11],
        [0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04],
        [0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f],
    ];
    const DIGITS: [[u8; 7]; 10] = [
        [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e],
        [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e],
        [0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f],
        [0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e],
        [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02],
        [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e],
        [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e],
        [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08],
        [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e],
        [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c],
    ];
    match letter {
        'a'..='z' | 'A'..='Z' => {
            let letter = letter.to_ascii_lowercase();
            LETTERS.get(letter as usize - 'a' as usize).copied()
        }
        '0'..='9' => DIGITS.get(letter as usize - '0' as usize).copied(),
        _ => None,
    }
}
