//! Which pixels of an image belong to objects, one bit per pixel.
//!
//! A shape is added by the parity rule that COCO's run lengths follow as well. Down each column, a bit is toggled at the
//! first pixel inside of the shape and at the first pixel outside again (`Objects::edges`). The parity of all bits down to
//! a pixel then says whether the pixel is inside. One exclusive or per word of 64 columns and row computes that parity for
//! 64 columns at once, and the result is united with what is there by an inclusive or.

use crate::outline;

/// A bitmap of `height` x `width` pixels to which shapes are added. Its buffers are reused from image to image.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    width: usize,
    height: usize,
    /// Words per row; pixel `x` is bit `x % 64` of word `x / 64`.
    stride: usize,
    /// The pixels of objects; `height * stride` words.
    pixels: Vec<u64>,
    /// The shape being added: a bit at the first pixel inside and at the first one outside, down each column. `height * stride`
    /// words, which are all zero between shapes.
    edges: Vec<u64>,
    /// Range of rows that have edges: the first one, and the one after the last.
    rows: (usize, usize),
    /// The same for the words of a row.
    words: (usize, usize),
    /// Which columns are inside of the shape, in the row that is being filled.
    inside: Vec<u64>,
}

/// An empty range, to be extended.
const EMPTY: (usize, usize) = (usize::MAX, 0);

impl Objects {
    /// Removes all objects and sets the size in pixels; each side is at most 65,535.
    pub fn reset(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width as usize, height as usize);
        self.stride = self.width.div_ceil(64);
        for words in [&mut self.pixels, &mut self.edges] {
            words.clear();
            words.resize(self.height * self.stride, 0);
        }
        (self.rows, self.words) = (EMPTY, EMPTY);
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rows from top to bottom, each of `width` bits in words of 64, the first column in the lowest bit.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.pixels.chunks_exact(self.stride.max(1))
    }

    /// Number of pixels of objects.
    pub fn count(&self) -> u64 {
        self.pixels.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// Adds the inside of a polygon `[x0, y0, x1, y1, ...]` in pixels: the same pixels as `rleFrPoly` of pycocotools.
    pub fn add_polygon(&mut self, xy: &[f64]) {
        let size = (self.width as u32, self.height as u32);
        outline::crossings(xy, size, |x, y| self.toggle_edge(x, y));
        self.fill();
    }

    /// Adds the pixels of COCO's run lengths, which go down the columns from the left: runs of background and object pixels
    /// in turn, the first of background. Together they have to cover the whole image.
    pub fn add_runs(&mut self, counts: &[u32]) {
        let mut at = 0;
        for pair in counts.chunks(2) {
            at += pair[0] as usize;
            let end = at + pair.get(1).map_or(0, |&n| n as usize);
            while at < end {
                let (x, y) = (at / self.height, at % self.height);
                let n = (end - at).min(self.height - y);
                self.toggle_edge(x, y);
                self.toggle_edge(x, y + n);
                at += n;
            }
        }
        self.fill();
    }

    /// Toggles between inside and outside at the upper side of pixel (`x`, `y`); `y` may be the height, below all pixels.
    fn toggle_edge(&mut self, x: usize, y: usize) {
        let word = x / 64;
        if y < self.height {
            self.edges[y * self.stride + word] ^= 1 << (x % 64);
        }
        self.rows = extended(self.rows, y);
        self.words = extended(self.words, word);
    }

    /// Adds the pixels between edges, and removes the edges.
    fn fill(&mut self) {
        let (top, bottom) = std::mem::replace(&mut self.rows, EMPTY);
        let (left, right) = std::mem::replace(&mut self.words, EMPTY);
        self.inside.clear();
        self.inside.resize(right.saturating_sub(left), 0);
        for y in top..bottom.min(self.height) {
            let row = y * self.stride + left..y * self.stride + right;
            let (edges, pixels) = (&mut self.edges[row.clone()], &mut self.pixels[row]);
            for ((edge, pixel), inside) in edges.iter_mut().zip(pixels).zip(&mut self.inside) {
                *inside ^= std::mem::take(edge);
                *pixel |= *inside;
            }
        }
    }
}

/// The range that `place` has been added to.
fn extended((first, end): (usize, usize), place: usize) -> (usize, usize) {
    (first.min(place), end.max(place + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    use hotcoco::mask::{decode, fr_poly};

    /// One value per pixel, column by column.
    fn pixels(objects: &Objects) -> Vec<u8> {
        let rows: Vec<&[u64]> = objects.rows().collect();
        let pixel = |x: usize, row: &[u64]| (row[x / 64] >> (x % 64) & 1) as u8;
        (0..objects.width)
            .flat_map(|x| rows.iter().map(move |row| pixel(x, row)))
            .collect()
    }

    /// Pseudorandom numbers in [0, 1).
    fn numbers() -> impl FnMut() -> f64 {
        let mut state = 1_u64;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005);
            state = state.wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1 << 24) as f64
        }
    }

    #[test]
    fn polygons_are_those_of_hotcoco() {
        let mut number = numbers();
        let mut objects = Objects::default();
        for case in 0..20_000 {
            let (width, height) = (1 + (number() * 150.0) as u32, 1 + (number() * 90.0) as u32);
            let n_points = (number() * 9.0) as usize;
            // inside, over the border, far away; whole and half pixels, steps, anything
            let (low, high) = [(0.0, 1.0), (-0.5, 1.5), (-40.0, 40.0), (-1e7, 1e7)][case % 4];
            let unit = [1.0, 0.5, 0.2, 1e-9][case / 4 % 4];
            let mut point = |side: u32| {
                let v = f64::from(side) * (low + (high - low) * number());
                (v / unit).round() * unit
            };
            let mut xy: Vec<f64> = (0..n_points)
                .flat_map(|_| [point(width), point(height)])
                .collect();
            if case % 7 == 0 {
                xy.push(1.0); // half a point
            }
            let runs = fr_poly(&xy, height, width).expect("small");
            let expected = decode(&runs);
            objects.reset(width, height);
            objects.add_polygon(&xy);
            assert_eq!(pixels(&objects), expected, "{width}x{height} {xy:?}");
            let n_pixels = expected.iter().filter(|v| **v > 0).count();
            assert_eq!(objects.count(), n_pixels as u64);
            // a second time from its runs, over what is there
            objects.add_runs(&runs.counts);
            assert_eq!(pixels(&objects), expected, "{width}x{height} {runs:?}");
        }
    }

    #[test]
    fn runs_go_down_the_columns() {
        let mut objects = Objects::default();
        objects.reset(70, 2);
        objects.add_runs(&[0, 1, 2, 2, 135]);
        let rows: Vec<&[u64]> = objects.rows().collect();
        assert_eq!(rows, [[0b101, 0], [0b010, 0]]);
        objects.add_runs(&[0, 140]);
        assert_eq!(objects.count(), 140);
        objects.reset(3, 1);
        assert_eq!(objects.count(), 0);
    }
}
