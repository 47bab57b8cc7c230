//! Drawings to training pictures: a random square crop as in the paper, and
//! mild changes that keep a drawing what it is (turn, colour, ink, ground).

use rand::RngExt;
use rand::rngs::StdRng;

/// A drawing with premultiplied alpha, so that sampling between a drawn and an
/// empty pixel brings in no colour of the empty one.
#[derive(Clone)]
pub struct Sprite {
    width: usize,
    height: usize,
    /// `[height, width, 4]`, premultiplied.
    pixels: Vec<[u8; 4]>,
}

impl Sprite {
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
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Augment {
    /// The picture with random changes, normalised, `[3, image_size, image_size]`.
    pub fn random(&self, sprite: &Sprite, rng: &mut StdRng) -> Vec<f32> {
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
        self.draw(sprite, &place, |at, ink| {
            let ink = colour.change(ink);
            let ground = ground.at(at);
            std::array::from_fn(|i| ink[i] + ground[i] * (255.0 - ink[3]) / 255.0)
        })
    }

    /// The picture as it is, on white, normalised: for measuring.
    pub fn plain(&self, sprite: &Sprite) -> Vec<f32> {
        self.draw(sprite, &Place::PLAIN, |_, ink| {
            std::array::from_fn(|i| ink[i] + 255.0 - ink[3])
        })
    }

    fn draw(
        &self,
        sprite: &Sprite,
        place: &Place,
        paint: impl Fn([f32; 2], [f32; 4]) -> [f32; 3],
    ) -> Vec<f32> {
        const SUB: usize = 2; // samples per pixel and axis, against jagged edges
        let size = self.image_size;
        let mut out = vec![0.0; 3 * size * size];
        for y in 0..size {
            for x in 0..size {
                let mut ink = [0.0f32; 4];
                for sub in 0..SUB * SUB {
                    let offset = |i: usize| (i as f32 + 0.5) / SUB as f32;
                    let [u, v] = place.source([
                        (x as f32 + offset(sub % SUB)) / size as f32,
                        (y as f32 + offset(sub / SUB)) / size as f32,
                    ]);
                    let sample = sprite.sample(u * sprite.width as f32, v * sprite.height as f32);
                    (0..4).for_each(|i| ink[i] += sample[i] / (SUB * SUB) as f32);
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

/// Where a drawing lies in the picture, and how it is bent. Sets differ in the
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
    const PLAIN: Self = Self {
        sin_cos: (0.0, 1.0),
        zoom: [1.0; 2],
        shift: [0.0; 2],
        waves: [[0.0; 3]; 2],
    };

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

/// A change of colours: hue turned, saturation and contrast scaled.
struct Colour([[f32; 3]; 3]);

impl Colour {
    fn random(rng: &mut StdRng) -> Self {
        let saturation: f32 = match rng.random_bool(0.12) {
            true => 0.0,
            false => rng.random_range(0.6..1.4),
        };
        let hue: f32 = match rng.random_bool(0.15) {
            true => rng.random_range(-0.5..0.5),
            false => rng.random_range(-0.1..0.1),
        };
        let bright: f32 = rng.random_range(0.75..1.2);
        // Turn about the grey axis (Rodrigues), scale what is off that axis.
        let (sin, cos) = hue.sin_cos();
        let third: f32 = 1.0 / 3.0;
        let root = third.sqrt();
        Self(std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                let turn = match (3 + j - i) % 3 {
                    0 => cos + (1.0 - cos) * third,
                    1 => (1.0 - cos) * third - root * sin,
                    _ => (1.0 - cos) * third + root * sin,
                };
                bright * (third + saturation * (turn - third))
            })
        }))
    }

    fn change(&self, ink: [f32; 4]) -> [f32; 4] {
        let [r, g, b, a] = ink;
        let row = |m: &[f32; 3]| (m[0] * r + m[1] * g + m[2] * b).clamp(0.0, a);
        [row(&self.0[0]), row(&self.0[1]), row(&self.0[2]), a]
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
        let draw = |seed| augment.random(&sprite, &mut StdRng::seed_from_u64(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|v| (-2.0..=2.0).contains(v)));
    }

    #[test]
    fn colours_unturned_and_unscaled_stay() {
        // Turning by nothing is the identity whatever the formula's form.
        let third = 1.0f32 / 3.0;
        let identity = Colour(std::array::from_fn(|i| {
            std::array::from_fn(|j| third + (if i == j { 1.0 - third } else { -third }))
        }));
        let ink = identity.change([200.0, 40.0, 90.0, 255.0]);
        assert!((ink[0] - 200.0).abs() < 1e-3 && (ink[1] - 40.0).abs() < 1e-3);
    }
}
