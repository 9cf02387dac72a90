//! Pictures as the input of a network, and its output as planes.

use anyhow::{Result, ensure};
use half::f16;
use image::RgbImage;
use serde::Deserialize;

use super::layout::Layout;
use crate::input::Normalization;

/// Order of the colors of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ColorOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red, as `OpenCV` reads images.
    Bgr,
}

/// Numbers of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pixels {
    /// Normalized, in single precision.
    F32(Normalization),
    /// Normalized, in half precision.
    F16(Normalization),
    /// From 0 to 255, as they are in the image.
    Bytes,
}

/// How pictures become numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct InputFormat {
    pub(super) layout: Layout,
    pub(super) colors: ColorOrder,
    pub(super) pixels: Pixels,
}

/// Numbers of a batch of pictures.
#[derive(Debug, PartialEq)]
pub(super) enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    U8(Vec<u8>),
}

/// An output as the network gives it, in C order.
#[derive(Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl InputFormat {
    /// Shape of the input for `n` pictures of `width` x `height` pixels.
    pub(super) fn shape(self, n: usize, (width, height): (u32, u32)) -> [usize; 4] {
        let (width, height) = (width as usize, height as usize);
        match self.layout {
            Layout::Nchw => [n, 3, height, width],
            Layout::Nhwc => [n, height, width, 3],
        }
    }

    /// The numbers of pictures of equal size.
    pub(super) fn values(self, pictures: &[&RgbImage]) -> Values {
        match self.pixels {
            Pixels::Bytes => Values::U8(self.arranged(pictures, |_, sample| sample)),
            Pixels::F32(norm) => Values::F32(self.arranged(pictures, |color, sample| {
                (f32::from(sample) / 255.0 - norm.mean[color]) / norm.std[color]
            })),
            Pixels::F16(norm) => Values::F16(self.arranged(pictures, |color, sample| {
                f16::from_f32((f32::from(sample) / 255.0 - norm.mean[color]) / norm.std[color])
            })),
        }
    }

    /// One number `of(color, sample)` for each sample of the pictures, where color 0 is red, in the order of the input.
    fn arranged<T: Copy + Default>(
        self,
        pictures: &[&RgbImage],
        of: impl Fn(usize, u8) -> T,
    ) -> Vec<T> {
        let mut all = Vec::new();
        for picture in pictures {
            let samples = picture.as_raw();
            let n_pixels = samples.len() / 3;
            let mut values = vec![T::default(); samples.len()];
            for position in 0..3 {
                let color = match self.colors {
                    ColorOrder::Rgb => position,
                    ColorOrder::Bgr => 2 - position,
                };
                let (start, step) = match self.layout {
                    Layout::Nchw => (position * n_pixels, 1),
                    Layout::Nhwc => (position, 3),
                };
                let places = values.iter_mut().skip(start).step_by(step);
                for (value, &sample) in places.zip(samples.iter().skip(color).step_by(3)) {
                    *value = of(color, sample);
                }
            }
            all.append(&mut values);
        }
        all
    }
}

impl Array {
    /// The planes of `n` maps of `channels` channels each, `[n, channels, rows, columns]`, with their rows and columns. One channel
    /// need have no axis, and neither need a batch of one.
    ///
    /// # Errors
    /// Returns an error if the array is not such maps in this layout.
    pub(super) fn into_planes(
        mut self,
        n: usize,
        channels: usize,
        layout: Layout,
    ) -> Result<(Vec<f32>, [usize; 2])> {
        let shape = self.with_all_axes(n, channels, layout);
        let (rows, columns) = layout.sides();
        let fits = |shape: &[usize; 4]| shape[0] == n && shape[layout.channels()] == channels;
        let Some(shape) = shape.filter(fits) else {
            anyhow::bail!(
                "its output has the shape {:?}, which is not {n} maps of {channels} channels in the order {}: say its order with --layout (or output_layout in FILE.toml), and its channels with --classes and --void",
                self.shape,
                layout.name()
            );
        };
        let sides = [shape[rows], shape[columns]];
        let n_pixels = sides[0] * sides[1];
        ensure!(
            self.values.len() == n * channels * n_pixels && n_pixels > 0,
            "its output has {} values of the shape {:?}",
            self.values.len(),
            self.shape
        );
        if layout == Layout::Nhwc && channels > 1 {
            let mut planes = vec![0.0; self.values.len()];
            let maps = planes.chunks_exact_mut(channels * n_pixels);
            for (map, values) in maps.zip(self.values.chunks_exact(channels * n_pixels)) {
                for (channel, plane) in map.chunks_exact_mut(n_pixels).enumerate() {
                    let values = values.iter().skip(channel).step_by(channels);
                    plane
                        .iter_mut()
                        .zip(values)
                        .for_each(|(to, from)| *to = *from);
                }
            }
            self.values = planes;
        }
        Ok((self.values, sides))
    }

    /// The shape with four axes.
    fn with_all_axes(&self, n: usize, channels: usize, layout: Layout) -> Option<[usize; 4]> {
        let mut shape = self.shape.clone();
        if shape.len() == 3 && channels == 1 && shape[0] == n {
            shape.insert(layout.channels(), 1);
        } else if shape.len() == 3 && n == 1 {
            shape.insert(0, 1);
        } else if shape.len() == 2 && n == 1 && channels == 1 {
            shape.insert(0, 1);
            shape.insert(layout.channels(), 1);
        }
        shape.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn pictures_are_arranged_as_the_input_wants_them() -> Result<()> {
        let picture =
            RgbImage::from_raw(2, 1, vec![0, 51, 102, 255, 204, 153]).context("a size")?;
        let format = |layout, colors| InputFormat {
            layout,
            colors,
            pixels: Pixels::Bytes,
        };
        for (layout, colors, expected) in [
            (Layout::Nchw, ColorOrder::Rgb, [0, 255, 51, 204, 102, 153]),
            (Layout::Nchw, ColorOrder::Bgr, [102, 153, 51, 204, 0, 255]),
            (Layout::Nhwc, ColorOrder::Rgb, [0, 51, 102, 255, 204, 153]),
            (Layout::Nhwc, ColorOrder::Bgr, [102, 51, 0, 153, 204, 255]),
        ] {
            let format = format(layout, colors);
            let twice = [expected, expected].concat();
            assert_eq!(format.values(&[&picture, &picture]), Values::U8(twice));
        }
        let normalization = Normalization {
            mean: [0.0, 0.2, 0.0],
            std: [1.0, 1.0, 2.0],
        };
        let normalized = InputFormat {
            pixels: Pixels::F32(normalization),
            ..format(Layout::Nchw, ColorOrder::Bgr)
        };
        let planes = normalization.planar(&picture);
        let bgr = [&planes[4..], &planes[2..4], &planes[..2]].concat();
        assert_eq!(normalized.values(&[&picture]), Values::F32(bgr));
        assert_eq!(normalized.shape(2, (2, 1)), [2, 3, 1, 2]);
        Ok(())
    }

    fn planes(shape: &[usize], n: usize, channels: usize, layout: Layout) -> Result<Vec<f32>> {
        let len = shape.iter().product::<usize>();
        let array = Array {
            shape: shape.to_vec(),
            values: (0..len).map(|i| i as f32).collect(),
        };
        array
            .into_planes(n, channels, layout)
            .map(|(values, _)| values)
    }

    #[test]
    fn outputs_become_planes() -> Result<()> {
        use Layout::{Nchw, Nhwc};
        let in_order: Vec<f32> = (0..8).map(|i| i as f32).collect();
        for (shape, n, channels, layout) in [
            (&[1, 2, 2, 2][..], 1, 2, Nchw),
            (&[2, 2, 2], 1, 2, Nchw),
            (&[2, 1, 2, 2], 2, 1, Nchw),
            (&[2, 2, 2, 1], 2, 1, Nhwc),
            (&[2, 2, 2], 2, 1, Nchw),
            (&[2, 2, 2], 2, 1, Nhwc),
            (&[2, 4], 1, 1, Nchw),
        ] {
            assert_eq!(planes(shape, n, channels, layout)?, in_order, "{shape:?}");
        }
        let swapped = [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0];
        assert_eq!(planes(&[1, 2, 2, 2], 1, 2, Nhwc)?, swapped);
        for (shape, n, channels, layout) in [
            (&[1, 2, 2, 3][..], 1, 2, Nhwc),
            (&[2, 2, 2, 2], 1, 2, Nchw),
            (&[2, 2], 1, 2, Nchw),
            (&[2, 2], 2, 1, Nchw),
        ] {
            let error = planes(shape, n, channels, layout).expect_err("another shape");
            assert!(error.to_string().contains("--layout"), "{error}");
        }
        Ok(())
    }
}
