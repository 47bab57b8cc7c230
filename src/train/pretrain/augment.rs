//! Augmentation for pre-training. Photographs: random resized crop, flip, colour, blur, borders.
//! Drawings: mild changes that keep a drawing what it is (turn, bend, colour, ink, ground).

use rand::RngExt;
use rand::rngs::StdRng;

use super::ImageKind;

/// An image with premultiplied alpha, so that sampling between a drawn and an
/// empty pixel brings in no colour of the empty one.
#[derive(Clone)]
pub struct Sprite {
    width: usize,
    height: usize,
    /// `[height, width, 4]`, premultiplied.
    pixels: Vec<[u8; 4]>,
}

impl Sprite {
    /// Sprite of a picture, with its alpha.
    pub fn new(picture: &image::RgbaImage) -> Self {
        let pixels = picture.pixels().map(|p| {
            let [r, g, b, a] = p.0;
            let by_alpha = |c: u8| ((c as u32 * a as u32 + 127) / 255) as u8;
            [by_alpha(r), by_alpha(g), by_alpha(b), a]
        });
        Self {
            width: picture.width() as usize,
            height: picture.height() as usize,
            pixels: pixels.collect(),
        }
    }

    fn pixel(&self, x: isize, y: isize) -> [f32; 4] {
        if x < 0 || y < 0 || x >= self.width as isize || y >= self.height as isize {
            return [0.0; 4];
        }
        self.pixels[y as usize * self.width + x as usize].map(f32::from)
    }

    /// Bilinear, pixel centres at halves.
    fn sample(&self, x: f32, y: f32) -> [f32; 4] {
        let (x, y) = (x - 0.5, y - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let (x0, y0) = (x0 as isize, y0 as isize);
        let (a, b) = (self.pixel(x0, y0), self.pixel(x0 + 1, y0));
        let (c, d) = (self.pixel(x0, y0 + 1), self.pixel(x0 + 1, y0 + 1));
        std::array::from_fn(|i| {
            let top = a[i] + (b[i] - a[i]) * fx;
            let bottom = c[i] + (d[i] - c[i]) * fx;
            top + (bottom - top) * fy
        })
    }

    /// A black line of `radius` pixels around the drawing and along the edges
    /// of its colours, as hand-drawn sets have it.
    fn inked(&self, radius: isize, threshold: f32) -> Self {
        let mut pixels = self.pixels.clone();
        for y in 0..self.height as isize {
            for x in 0..self.width as isize {
                let here = self.pixel(x, y);
                let edge = [(radius, 0), (-radius, 0), (0, radius), (0, -radius)]
                    .iter()
                    .map(|(dx, dy)| {
                        let there = self.pixel(x + dx, y + dy);
                        (0..4)
                            .map(|i| (here[i] - there[i]).abs())
                            .fold(0.0, f32::max)
                    })
                    .fold(0.0, f32::max);
                if edge > threshold {
                    pixels[y as usize * self.width + x as usize] = [0, 0, 0, 255];
                }
            }
        }
        Self { pixels, ..*self }
    }
}

/// Makes training pictures of one size.
#[derive(Clone, Copy, Debug)]
pub struct Augment {
    /// Side of the result, pixels.
    pub image_size: usize,
    /// Mean of red, green and blue, subtracted.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue, divided by.
    pub std: [f32; 3],
}

impl Augment {
    /// The image with random changes, normalised, `[3, image_size, image_size]`.
    pub fn random(&self, sprite: &Sprite, kind: ImageKind, rng: &mut StdRng) -> Vec<f32> {
        match kind {
            ImageKind::Drawing => self.drawing(sprite, rng),
            ImageKind::Photo => self.photo(sprite, rng),
        }
    }

    /// A part of a photograph, as one would have taken it: nearer, from further left, in other light,
    /// less sharp, now and then with a border.
    fn photo(&self, sprite: &Sprite, rng: &mut StdRng) -> Vec<f32> {
        let place = Place::crop(sprite, rng);
        let colour = Colour::light(rng);
        let border = [rng.random_range(0.0..255.0f32); 3];
        let border = match rng.random_range(0..4) {
            0 => [0.0; 3],
            1 => border,
            _ => [255.0; 3],
        };
        // Drawn smaller and enlarged: what a small or blurred picture looks like.
        let size = match rng.random_bool(0.12) {
            true => rng.random_range(self.image_size * 3 / 8..self.image_size),
            false => self.image_size,
        };
        let paint = |_: [f32; 2], ink: [f32; 4]| -> [f32; 3] {
            let ink = colour.change(ink);
            std::array::from_fn(|i| ink[i] + border[i] * (255.0 - ink[3]) / 255.0)
        };
        let samples = if place.reduction(sprite, size) > 1.25 {
            2
        } else {
            1
        };
        let smaller = Self {
            image_size: size,
            ..*self
        };
        let drawn = smaller.draw(sprite, &place, samples, paint);
        match size == self.image_size {
            true => drawn,
            false => enlarge(&drawn, size, self.image_size),
        }
    }

    fn drawing(&self, sprite: &Sprite, rng: &mut StdRng) -> Vec<f32> {
        let inked;
        let sprite = match rng.random_bool(0.4) {
            true => {
                inked = sprite.inked(
                    rng.random_range(1i32..=3) as isize,
                    rng.random_range(60.0..140.0),
                );
                &inked
            }
            false => sprite,
        };
        let place = Place::random(rng);
        let colour = Colour::random(rng);
        let ground = Ground::random(rng);
        self.draw(sprite, &place, 2, |at, ink| {
            let ink = colour.change(ink);
            let ground = ground.at(at);
            std::array::from_fn(|i| ink[i] + ground[i] * (255.0 - ink[3]) / 255.0)
        })
    }

    /// `samples` of a pixel along each axis, against jagged edges.
    fn draw(
        &self,
        sprite: &Sprite,
        place: &Place,
        samples: usize,
        paint: impl Fn([f32; 2], [f32; 4]) -> [f32; 3],
    ) -> Vec<f32> {
        let size = self.image_size;
        let mut out = vec![0.0; 3 * size * size];
        for y in 0..size {
            for x in 0..size {
                let mut ink = [0.0f32; 4];
                for sub in 0..samples * samples {
                    let offset = |i: usize| (i as f32 + 0.5) / samples as f32;
                    let [u, v] = place.source([
                        (x as f32 + offset(sub % samples)) / size as f32,
                        (y as f32 + offset(sub / samples)) / size as f32,
                    ]);
                    let sample = sprite.sample(u * sprite.width as f32, v * sprite.height as f32);
                    (0..4).for_each(|i| ink[i] += sample[i] / (samples * samples) as f32);
                }
                let at = [x as f32 / size as f32, y as f32 / size as f32];
                let rgb = paint(at, ink);
                for channel in 0..3 {
                    let value = rgb[channel].clamp(0.0, 255.0) / 255.0;
                    out[(channel * size + y) * size + x] =
                        (value - self.mean[channel]) / self.std[channel];
                }
            }
        }
        out
    }
}

/// Bilinear enlargement of `[3, from, from]` to `[3, to, to]`.
fn enlarge(image: &[f32], from: usize, to: usize) -> Vec<f32> {
    let steps: Vec<(usize, usize, f32)> = (0..to)
        .map(|i| {
            let at =
                ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(from - 1), at - low as f32)
        })
        .collect();
    let mut out = Vec::with_capacity(3 * to * to);
    for channel in image.chunks(from * from) {
        for &(top, bottom, fy) in &steps {
            for &(left, right, fx) in &steps {
                let row = |y: usize| {
                    let (a, b) = (channel[y * from + left], channel[y * from + right]);
                    a + (b - a) * fx
                };
                let (a, b) = (row(top), row(bottom));
                out.push(a + (b - a) * fy);
            }
        }
    }
    out
}

/// Where an image lies in the result, and how it is bent. Sets differ in the
/// margins that they leave and in the proportions of what they show.
struct Place {
    sin_cos: (f32, f32),
    zoom: [f32; 2],
    shift: [f32; 2],
    /// A slow wave across: how far, how often, and where it begins; along x by
    /// y and along y by x.
    waves: [[f32; 3]; 2],
}

impl Place {
    /// Random resized crop and flip of a photograph, sometimes turned a little or with a border.
    fn crop(sprite: &Sprite, rng: &mut StdRng) -> Self {
        let (width, height) = (sprite.width as f32, sprite.height as f32);
        let (area, ratio) = match rng.random_range(0..20) {
            // With a border.
            0 => (
                rng.random_range(1.0..2.0),
                rng.random_range(-0.2..0.2f32).exp(),
            ),
            // Nearly all of it, as it will be seen.
            1..7 => (rng.random_range(0.9..1.0), 1.0),
            _ => (
                rng.random_range(0.3..1.0),
                rng.random_range(-0.25..0.25f32).exp(),
            ),
        };
        let side =
            (area * width.min(height) * (0.5 * width.min(height) + 0.5 * width.max(height))).sqrt();
        let cut = [side * ratio.sqrt() / width, side / ratio.sqrt() / height];
        let cut = if area <= 1.0 {
            cut.map(|cut| cut.min(1.0))
        } else {
            cut
        };
        let flip = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
        let angle: f32 = match rng.random_bool(0.1) {
            true => rng.random_range(-0.2..0.2),
            false => 0.0,
        };
        let zoom = [flip / cut[0], 1.0 / cut[1]];
        Self {
            sin_cos: angle.sin_cos(),
            zoom,
            // How far the middle of what is seen lies from the image's middle.
            shift: std::array::from_fn(|i| {
                let room = (1.0 - cut[i]) / 2.0;
                rng.random_range(-1.0..=1.0f32) * room * zoom[i]
            }),
            waves: [[0.0; 3]; 2],
        }
    }

    /// Pixels of the image that one of a result of `size` covers along an axis.
    fn reduction(&self, sprite: &Sprite, size: usize) -> f32 {
        let [x, y] = self.zoom.map(f32::abs);
        (sprite.width as f32 / x).max(sprite.height as f32 / y) / size as f32
    }

    fn random(rng: &mut StdRng) -> Self {
        let angle: f32 = match rng.random_bool(0.5) {
            true => rng.random_range(-0.2..0.2),
            false => 0.0,
        };
        let zoom: f32 = rng.random_range(0.68..1.12);
        let aspect: f32 = rng.random_range(0.86..1.16);
        let wave = |rng: &mut StdRng| match rng.random_bool(0.5) {
            true => [
                rng.random_range(0.0..0.035),
                rng.random_range(2.0..8.0),
                rng.random_range(0.0..std::f32::consts::TAU),
            ],
            false => [0.0; 3],
        };
        Self {
            sin_cos: angle.sin_cos(),
            zoom: [zoom * aspect.sqrt(), zoom / aspect.sqrt()],
            shift: std::array::from_fn(|_| rng.random_range(-0.06..0.06)),
            waves: [wave(rng), wave(rng)],
        }
    }

    /// The place in the drawing, 0 to 1, that is seen at `x, y` of the picture.
    fn source(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (sin, cos) = self.sin_cos;
        let (u, v) = (x - 0.5 - self.shift[0], y - 0.5 - self.shift[1]);
        let (u, v) = (u * cos + v * sin, v * cos - u * sin);
        let bend = |[far, often, begin]: [f32; 3], at: f32| match far > 0.0 {
            true => far * (often * at + begin).sin(),
            false => 0.0,
        };
        let (u, v) = (u + bend(self.waves[0], v), v + bend(self.waves[1], u));
        [u / self.zoom[0] + 0.5, v / self.zoom[1] + 0.5]
    }
}

/// A change of colours: hue turned, saturation, brightness and contrast scaled.
struct Colour {
    matrix: [[f32; 3]; 3],
    offset: f32,
}

impl Colour {
    /// Other light on a photograph.
    fn light(rng: &mut StdRng) -> Self {
        let saturation: f32 = match rng.random_bool(0.12) {
            true => 0.0,
            false => rng.random_range(0.7..1.3),
        };
        let hue: f32 = rng.random_range(-0.1..0.1);
        let contrast: f32 = rng.random_range(0.75..1.25);
        let bright: f32 = rng.random_range(0.75..1.25);
        Self {
            offset: 128.0 * (1.0 - contrast),
            ..Self::new(hue, saturation, bright * contrast)
        }
    }

    fn random(rng: &mut StdRng) -> Self {
        let saturation: f32 = match rng.random_bool(0.12) {
            true => 0.0,
            false => rng.random_range(0.6..1.4),
        };
        let hue: f32 = match rng.random_bool(0.15) {
            true => rng.random_range(-0.5..0.5),
            false => rng.random_range(-0.1..0.1),
        };
        Self::new(hue, saturation, rng.random_range(0.75..1.2))
    }

    fn new(hue: f32, saturation: f32, bright: f32) -> Self {
        // Turn about the grey axis (Rodrigues), scale what is off that axis.
        let (sin, cos) = hue.sin_cos();
        let third: f32 = 1.0 / 3.0;
        let root = third.sqrt();
        let matrix = std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                let turn = match (3 + j - i) % 3 {
                    0 => cos + (1.0 - cos) * third,
                    1 => (1.0 - cos) * third - root * sin,
                    _ => (1.0 - cos) * third + root * sin,
                };
                bright * (third + saturation * (turn - third))
            })
        });
        Self {
            matrix,
            offset: 0.0,
        }
    }

    fn change(&self, ink: [f32; 4]) -> [f32; 4] {
        let [r, g, b, a] = ink;
        let offset = self.offset * a / 255.0;
        let row = |m: &[f32; 3]| (m[0] * r + m[1] * g + m[2] * b + offset).clamp(0.0, a);
        let [red, green, blue] = &self.matrix;
        [row(red), row(green), row(blue), a]
    }
}

/// What a drawing lies on: mostly white paper, sometimes a colour or a wash.
struct Ground {
    from: [f32; 3],
    to: [f32; 3],
}

impl Ground {
    fn random(rng: &mut StdRng) -> Self {
        let mut pale = || std::array::from_fn(|_| rng.random_range(150.0..255.0));
        let (from, to) = (pale(), pale());
        match rng.random_range(0..10) {
            0..7 => Self {
                from: [255.0; 3],
                to: [255.0; 3],
            },
            7..9 => Self { from, to: from },
            _ => Self { from, to },
        }
    }

    fn at(&self, [_, y]: [f32; 2]) -> [f32; 3] {
        std::array::from_fn(|i| self.from[i] + (self.to[i] - self.from[i]) * y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_same_seed_gives_the_same_picture() {
        let picture = image::RgbaImage::from_fn(8, 8, |x, y| {
            image::Rgba([
                (x * 30) as u8,
                (y * 30) as u8,
                90,
                if x > 2 { 255 } else { 0 },
            ])
        });
        let augment = Augment {
            image_size: 16,
            mean: [0.5; 3],
            std: [0.25; 3],
        };
        let sprite = Sprite::new(&picture);
        for kind in [ImageKind::Drawing, ImageKind::Photo] {
            let draw = |seed| augment.random(&sprite, kind, &mut StdRng::seed_from_u64(seed));
            assert_eq!(draw(1), draw(1));
            assert_ne!(draw(1), draw(2));
            for seed in 0..50 {
                let drawn = draw(seed);
                assert_eq!(drawn.len(), 3 * 16 * 16);
                assert!(drawn.iter().all(|v| (-2.0..=2.0).contains(v)));
            }
        }
    }

    #[test]
    fn a_crop_without_a_border_lies_within_the_photograph() {
        let picture = image::RgbaImage::from_pixel(30, 20, image::Rgba([9, 9, 9, 255]));
        let sprite = Sprite::new(&picture);
        let mut rng = StdRng::seed_from_u64(4);
        let crops: Vec<Place> = (0..200).map(|_| Place::crop(&sprite, &mut rng)).collect();
        let inside = crops.iter().filter(|crop| {
            [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
                .into_iter()
                .flat_map(|corner| crop.source(corner))
                .all(|at| (-1e-4..=1.0001).contains(&at))
        });
        // All but those with a border or turned.
        assert!(inside.count() > 130);
        assert!(crops.iter().any(|crop| crop.zoom[0] < 0.0));
        assert!(crops.iter().any(|crop| crop.zoom[0] > 0.0));
    }

    #[test]
    fn enlarging_keeps_a_gradient() {
        let image: Vec<f32> = (0..3 * 16).map(|i| (i % 4) as f32).collect();
        let larger = enlarge(&image, 4, 8);
        assert_eq!(larger.len(), 3 * 64);
        let row = [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0];
        assert_eq!(larger[64..72], row);
    }

    #[test]
    fn colours_unturned_and_unscaled_stay() {
        let ink = Colour::new(0.0, 1.0, 1.0).change([200.0, 40.0, 90.0, 255.0]);
        assert!((ink[0] - 200.0).abs() < 1e-3 && (ink[1] - 40.0).abs() < 1e-3);
    }
}
