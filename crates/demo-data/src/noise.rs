//! Random numbers and textures that are the same on every platform.
//!
//! Only the four basic operations, `floor` and `sqrt` are used, whose results IEEE 754 defines to the last bit. It does not
//! define sines, which therefore are approximated here.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random choices of one image.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The choices of image `number` of `set`. They are independent of all other images, so that the order in which threads
    /// draw images does not matter.
    pub(crate) fn new(seed: u64, set: &str, number: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&number.to_le_bytes());
        for (slot, byte) in key[16..].iter_mut().zip(set.bytes()) {
            *slot = byte;
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in [low, high).
    pub(crate) fn range(&mut self, low: f64, high: f64) -> f64 {
        // 53 bits, as many as the mantissa has
        let unit = (self.0.random::<u64>() >> 11) as f64 / (1u64 << 53) as f64;
        low + unit * (high - low)
    }

    /// Random in [low, high), with small values more frequent: the square of a uniform number.
    pub(crate) fn skewed(&mut self, low: f64, high: f64) -> f64 {
        let unit = self.range(0.0, 1.0);
        low + unit * unit * (high - low)
    }

    /// Uniform whole number, both ends included.
    pub(crate) fn count(&mut self, low: usize, high: usize) -> usize {
        (self.range(low as f64, (high + 1) as f64) as usize).min(high)
    }

    /// True with the given probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.range(0.0, 1.0) < probability
    }

    /// 1 or -1.
    pub(crate) fn sign(&mut self) -> f64 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    /// One of `items`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.count(0, items.len() - 1)]
    }

    /// A seed for a texture.
    pub(crate) fn seed(&mut self) -> u32 {
        self.0.random()
    }

    /// A color near `color`: brighter or darker by up to `spread` (of 255), each channel by another third of it.
    pub(crate) fn near(&mut self, color: Rgb, spread: f64) -> Rgb {
        let light = self.range(-spread, spread) as f32;
        color
            .map(|c| (c + light + self.range(-spread / 3.0, spread / 3.0) as f32).clamp(0.0, 255.0))
    }

    /// A bright and saturated color.
    pub(crate) fn saturated(&mut self) -> Rgb {
        let hue = self.range(0.0, 6.0) as f32;
        let high = self.range(150.0, 250.0) as f32;
        let low = high * self.range(0.05, 0.45) as f32;
        // distance on the color circle to red, green and blue
        [0.0, 2.0, 4.0].map(|center: f32| {
            let apart = (hue - center).abs();
            let near = (2.0 - apart.min(6.0 - apart)).clamp(0.0, 1.0);
            low + (high - low) * near
        })
    }
}

/// Red, green and blue in [0, 255].
pub(crate) type Rgb = [f32; 3];

/// Linear interpolation from `a` at `t` = 0 to `b` at `t` = 1.
pub(crate) fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

/// All channels times `factor`.
pub(crate) fn scale(color: Rgb, factor: f32) -> Rgb {
    color.map(|c| c * factor)
}

/// Sine of the angle of `t` full turns, with an error of about 0.001.
pub(crate) fn sine(t: f64) -> f64 {
    let x = t - (t + 0.5).floor();
    let y = 8.0 * x - 16.0 * x * x.abs();
    y + 0.225 * (y * y.abs() - y)
}

/// Cosine of the angle of `t` full turns, with the same error.
pub(crate) fn cosine(t: f64) -> f64 {
    sine(t + 0.25)
}

/// 32 random bits for a point of the integer lattice.
pub(crate) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

/// A uniform random number in [0, 1) for a lattice point.
pub(crate) fn cell(x: i32, y: i32, seed: u32) -> f32 {
    (hash(x, y, seed) >> 8) as f32 / (1 << 24) as f32
}

/// A roughly normal random number of mean 0 and variance 1 for a lattice point: the sum of four random bytes.
pub(crate) fn grain(x: i32, y: i32, seed: u32) -> f32 {
    let bytes = hash(x, y, seed).to_le_bytes();
    (bytes.iter().map(|&b| f32::from(b)).sum::<f32>() - 510.0) / 147.8
}

/// Smooth noise in [0, 1) with bumps about one unit wide: the numbers of lattice points, interpolated.
pub(crate) fn bumps(x: f32, y: f32, seed: u32) -> f32 {
    let (x0, y0) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (smooth(x - x0), smooth(y - y0));
    let at = |dx, dy| cell(x0 as i32 + dx, y0 as i32 + dy, seed);
    let row = |dy| at(0, dy) + (at(1, dy) - at(0, dy)) * tx;
    row(0) + (row(1) - row(0)) * ty
}

/// Noise in [0, 1) with details of three sizes, the largest about one unit wide.
pub(crate) fn fractal(x: f32, y: f32, seed: u32) -> f32 {
    let [a, b, c] = [0, 1, 2].map(|k| octave(x, y, seed, k));
    (a + b + c) / 1.75
}

/// Bumps 2^k times smaller and lower.
fn octave(x: f32, y: f32, seed: u32, k: u32) -> f32 {
    let f = (1 << k) as f32;
    bumps(x * f, y * f, seed.wrapping_add(k)) / f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_is_near_the_sine() {
        for i in -100..100 {
            let t = f64::from(i) / 37.0;
            let exact = (t * std::f64::consts::TAU).sin();
            assert!((sine(t) - exact).abs() < 2e-3, "{t}");
        }
    }

    #[test]
    fn images_are_independent_and_repeatable() {
        let draw = |seed, set, number| Dice::new(seed, set, number).range(0.0, 1.0);
        assert_eq!(draw(1, "train", 2), draw(1, "train", 2));
        assert_ne!(draw(1, "train", 2), draw(1, "val", 2));
        assert_ne!(draw(1, "train", 2), draw(1, "train", 3));
        assert_ne!(draw(1, "train", 2), draw(2, "train", 2));
    }

    #[test]
    fn noise_is_centered() {
        let mean = |f: &dyn Fn(i32) -> f32| (0..4000).map(f).sum::<f32>() / 4000.0;
        assert!(mean(&|i| grain(i, 3, 7)).abs() < 0.1);
        assert!((mean(&|i| fractal(i as f32 * 0.7, 0.3, 7)) - 0.5).abs() < 0.05);
    }
}
