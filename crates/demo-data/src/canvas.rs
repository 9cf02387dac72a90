//! An image with one label per pixel, painted polygon over polygon.

use image::RgbImage;

use crate::noise::{Dice, Rgb, grain, scale};
use crate::polygon::{Point, rasterize_polygon};

/// Label of pixels of unknown objects; no Cityscapes label.
pub(crate) const UNKNOWN: u8 = 254;

/// A polygon that was painted with a label.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) label: u8,
    /// Corners, rounded as in the files.
    pub(crate) polygon: Vec<Point>,
}

/// Colors and labels of all pixels, row by row.
#[derive(Clone)]
pub(crate) struct Canvas {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) colors: Vec<Rgb>,
    pub(crate) labels: Vec<u8>,
    /// Everything that was painted with a label, in this order.
    pub(crate) objects: Vec<Object>,
    /// Corners of polygons are rounded to multiples of one over this number of pixels, as in the files.
    per_pixel: f64,
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize, per_pixel: f64) -> Self {
        Self {
            width,
            height,
            colors: vec![[0.0; 3]; width * height],
            labels: vec![0; width * height],
            objects: Vec::new(),
            per_pixel,
        }
    }

    /// Paints a polygon and its label; `paint` maps column, row and the color below to the new color.
    pub(crate) fn object(
        &mut self,
        label: u8,
        polygon: &[Point],
        paint: impl Fn(f32, f32, Rgb) -> Rgb,
    ) {
        let polygon: Vec<Point> = polygon.iter().map(|p| p.map(|v| self.snap(v))).collect();
        let (colors, labels, width) = (&mut self.colors, &mut self.labels, self.width);
        rasterize_polygon(&polygon, width, self.height, |y, columns| {
            for x in columns {
                let at = y * width + x;
                colors[at] = paint(x as f32, y as f32, colors[at]);
                labels[at] = label;
            }
        });
        self.objects.push(Object { label, polygon });
    }

    /// Paints a polygon without changing labels, where the label below is one of `on`, or everywhere if `on` is empty.
    pub(crate) fn detail(
        &mut self,
        on: &[u8],
        polygon: &[Point],
        paint: impl Fn(f32, f32, Rgb) -> Rgb,
    ) {
        let (colors, labels, width) = (&mut self.colors, &self.labels, self.width);
        rasterize_polygon(polygon, width, self.height, |y, columns| {
            for x in columns {
                let at = y * width + x;
                if on.is_empty() || on.contains(&labels[at]) {
                    colors[at] = paint(x as f32, y as f32, colors[at]);
                }
            }
        });
    }

    /// Changes every color; `change` maps column, row, label and color to the new color.
    pub(crate) fn adjust(&mut self, change: impl Fn(usize, usize, u8, Rgb) -> Rgb) {
        for (at, color) in self.colors.iter_mut().enumerate() {
            *color = change(at % self.width, at / self.width, self.labels[at], *color);
        }
    }

    /// The label at a point, `None` outside of the image.
    pub(crate) fn label_at(&self, point: Point) -> Option<u8> {
        let inside = point[0] >= 0.0 && point[1] >= 0.0;
        let (x, y) = (point[0] as usize, point[1] as usize);
        (inside && x < self.width && y < self.height).then(|| self.labels[y * self.width + x])
    }

    fn snap(&self, value: f64) -> f64 {
        (value * self.per_pixel).round() / self.per_pixel
    }

    /// What a camera makes of the scene: 8-bit colors with random exposure, tint, slight blur and noise. `noise`: standard
    /// deviation of the noise, of 255.
    pub(crate) fn photograph(&self, dice: &mut Dice, noise: f64) -> RgbImage {
        let exposure = dice.range(0.8, 1.15) as f32;
        let warmth = dice.range(-0.09, 0.09) as f32;
        let slope = dice.range(-0.18, 0.18) as f32;
        let blur = dice.range(0.04, 0.16) as f32;
        let noise = (noise * dice.range(0.6, 1.6)) as f32;
        let seed = dice.seed();
        let soft = blurred(&self.colors, self.width, blur);
        RgbImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            let across = x as f32 / self.width as f32 - 0.5;
            let light = exposure * (1.0 + slope * across);
            let color = scale(soft[y as usize * self.width + x as usize], light);
            let tint = [1.0 + warmth, 1.0, 1.0 - warmth];
            image::Rgb([0, 1, 2].map(|i| {
                let gray = grain(x as i32, y as i32, seed);
                let own = grain(x as i32, y as i32, seed ^ (i as u32 + 1));
                (color[i] * tint[i] + noise * (0.8 * gray + 0.6 * own))
                    .round()
                    .clamp(0.0, 255.0) as u8
            }))
        })
    }
}

/// Mixes each color with its four neighbors, each by `amount`.
fn blurred(colors: &[Rgb], width: usize, amount: f32) -> Vec<Rgb> {
    (0..colors.len())
        .map(|i| blurred_at(colors, width, amount, [i % width, i / width]))
        .collect()
}

fn blurred_at(colors: &[Rgb], width: usize, amount: f32, [x, y]: [usize; 2]) -> Rgb {
    let height = colors.len() / width;
    let at = |x: usize, y: usize| colors[y.min(height - 1) * width + x.min(width - 1)];
    let (left, right) = (at(x.saturating_sub(1), y), at(x + 1, y));
    let (above, below) = (at(x, y.saturating_sub(1)), at(x, y + 1));
    let own = at(x, y);
    [0, 1, 2].map(|c| {
        own[c] * (1.0 - 4.0 * amount) + amount * (left[c] + right[c] + above[c] + below[c])
    })
}
