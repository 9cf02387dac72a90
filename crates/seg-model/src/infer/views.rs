//! Several views of a picture (scales, mirror image, overlapping windows), and the mean of their logits.
//!
//! Logits are averaged, not probabilities, as in `eval.py` of the `DeepLabV3+` that the paper starts from: scores that are
//! computed from logits (energy, largest logit) keep their meaning.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use image::{RgbImage, imageops};
use rayon::prelude::*;
use seg_ops::upsample_bilinear2d;

use super::model::Model;

/// Logits of a picture in main memory.
pub(super) struct Volume {
    pub(super) values: Vec<f32>,
    /// Channels, rows, columns.
    pub(super) shape: [usize; 3],
}

impl Volume {
    /// Copies a tensor `[C, H, W]` to main memory.
    pub(super) fn of(logits: &Tensor) -> Result<Self> {
        Ok(Self {
            shape: logits.dims3()?.into(),
            values: logits.flatten_all()?.to_vec1()?,
        })
    }
}

/// Which views are taken of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Views {
    /// Whether each view is also taken of the mirror image.
    pub(super) flip: bool,
    /// Width and height of windows in pixels, and the fraction of a window that overlaps the next one.
    pub(super) windows: Option<(u32, u32, f64)>,
    /// Views that the network processes at once.
    pub(super) batch: usize,
}

/// One view: a window of the picture, or its mirror image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct View {
    left: u32,
    top: u32,
    is_mirrored: bool,
}

impl Views {
    /// Whether there is one view only: the picture itself.
    pub(super) fn is_one(self) -> bool {
        !self.flip && self.windows.is_none()
    }

    /// The mean logits of all views of one picture, at its size.
    pub(super) fn mean(self, model: &Model, picture: &RgbImage) -> Result<Volume> {
        let (width, height) = picture.dimensions();
        let (w, h) = match self.windows {
            Some((w, h, _)) => (w.min(width), h.min(height)),
            None => (width, height),
        };
        let views = self.all((width, height), (w, h));
        let mut mean: Option<Mean> = None;
        for views in views.chunks(self.batch) {
            let cropped: Vec<_> = views.iter().map(|v| v.crop(picture, w, h)).collect();
            let logits = model
                .forward(&cropped.iter().collect::<Vec<_>>())?
                .at_picture_size()?;
            for (view, logits) in views.iter().zip(logits) {
                let channels = logits.dim(0)?;
                let mean = mean.get_or_insert_with(|| Mean::new(channels, width, height));
                mean.add(&Volume::of(&logits)?.values, *view, w as usize);
            }
        }
        Ok(mean.context("the picture has no pixels")?.finish())
    }

    /// All views of a picture of `size`, window by window. Sizes are (columns, rows).
    fn all(self, size: (u32, u32), window: (u32, u32)) -> Vec<View> {
        let overlap = self.windows.map_or(0.0, |(_, _, overlap)| overlap);
        let mirrored: &[bool] = if self.flip { &[false, true] } else { &[false] };
        let mut views = Vec::new();
        for top in starts(size.1, window.1, overlap) {
            for left in starts(size.0, window.0, overlap) {
                views.extend(mirrored.iter().map(|&is_mirrored| View {
                    left,
                    top,
                    is_mirrored,
                }));
            }
        }
        views
    }
}

impl View {
    /// The `w` x `h` pixels of the picture that this view shows.
    fn crop(self, picture: &RgbImage, w: u32, h: u32) -> RgbImage {
        let cropped = imageops::crop_imm(picture, self.left, self.top, w, h).to_image();
        if self.is_mirrored {
            imageops::flip_horizontal(&cropped)
        } else {
            cropped
        }
    }
}

/// First pixels of the windows along an axis of `len` pixels: at even distances, and the last window ends at the picture's border.
fn starts(len: u32, window: u32, overlap: f64) -> Vec<u32> {
    let step = (f64::from(window) * (1.0 - overlap)).ceil().max(1.0) as u32;
    let last = len - window;
    let mut starts: Vec<_> = (0..last).step_by(step as usize).collect();
    starts.push(last);
    starts
}

/// A running mean of views: the sum of their logits, and how many views cover each pixel.
struct Mean {
    /// `[channels, H, W]`.
    sums: Vec<f32>,
    /// `[H, W]`.
    counts: Vec<u16>,
    channels: usize,
    width: usize,
}

impl Mean {
    fn new(channels: usize, width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self {
            sums: vec![0.0; channels * width * height],
            counts: vec![0; width * height],
            channels,
            width,
        }
    }

    /// Adds the logits of a view that is `w` pixels wide.
    fn add(&mut self, logits: &[f32], view: View, w: usize) {
        let (left, top, width) = (view.left as usize, view.top as usize, self.width);
        let (plane, view_plane) = (self.counts.len(), logits.len() / self.channels);
        let mut sums: Vec<_> = self.sums.chunks_exact_mut(plane).collect();
        sums.par_iter_mut()
            .zip(logits.par_chunks_exact(view_plane))
            .for_each(|(sums, logits)| {
                let rows = sums[top * width..].chunks_mut(width);
                for (sums, logits) in rows.zip(logits.chunks_exact(w)) {
                    let sums = &mut sums[left..left + w];
                    if view.is_mirrored {
                        add(sums, logits.iter().rev());
                    } else {
                        add(sums, logits.iter());
                    }
                }
            });
        let rows = self.counts[top * width..].chunks_mut(width);
        for row in rows.take(view_plane / w) {
            for count in &mut row[left..left + w] {
                *count += 1;
            }
        }
    }

    /// Divides the sums by the counts.
    fn finish(mut self) -> Volume {
        let plane = self.counts.len();
        for sums in self.sums.chunks_exact_mut(plane) {
            for (sum, &count) in sums.iter_mut().zip(&self.counts) {
                *sum /= f32::from(count);
            }
        }
        Volume {
            values: self.sums,
            shape: [self.channels, plane / self.width, self.width],
        }
    }
}

fn add<'a>(sums: &mut [f32], logits: impl Iterator<Item = &'a f32>) {
    for (sum, logit) in sums.iter_mut().zip(logits) {
        *sum += logit;
    }
}

/// The mean of the logits of several scales, each upsampled to `size` (rows, columns).
pub(super) fn mean_of_scales(
    scales: impl Iterator<Item = Result<Volume>>,
    size: (usize, usize),
) -> Result<Volume> {
    let plane = size.0 * size.1;
    let mut mean: Option<Volume> = None;
    let mut n = 0.0;
    for logits in scales {
        let Volume { values, shape } = logits?;
        let [channels, h, w] = shape;
        let mean = mean.get_or_insert_with(|| Volume {
            values: vec![0.0; channels * plane],
            shape: [channels, size.0, size.1],
        });
        // channel by channel, so that there is no second volume of this size in memory
        let sums = mean.values.par_chunks_exact_mut(plane);
        sums.zip(values.par_chunks_exact(h * w))
            .try_for_each(|(sums, logits)| -> Result<()> {
                let logits = Tensor::from_slice(logits, (1, 1, h, w), &Device::Cpu)?;
                // the pictures were resized with the edges of the image fixed, not the centers of its corner pixels
                let logits = upsample_bilinear2d(&logits, size, false)?.flatten_all()?;
                add(sums, logits.to_vec1::<f32>()?.iter());
                Ok(())
            })?;
        n += 1.0;
    }
    let mut mean = mean.context("there is no scale")?;
    mean.values.par_iter_mut().for_each(|sum| *sum /= n);
    Ok(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything() {
        assert_eq!(starts(10, 10, 0.5), [0]);
        assert_eq!(starts(11, 10, 0.0), [0, 1]);
        assert_eq!(starts(20, 10, 0.5), [0, 5, 10]);
        assert_eq!(starts(2048, 713, 1.0 / 3.0), [0, 476, 952, 1335]);
        for (len, window, overlap) in [(7, 3, 0.9), (100, 7, 0.3), (5, 1, 0.0), (9, 9, 0.99)] {
            let starts = starts(len, window, overlap);
            assert!(
                starts
                    .windows(2)
                    .all(|s| s[0] < s[1] && s[1] - s[0] <= window)
            );
            assert_eq!(starts.last(), Some(&(len - window)));
        }
    }

    #[test]
    fn views_are_put_back_where_they_were() {
        let views = Views {
            flip: true,
            windows: Some((3, 2, 0.5)),
            batch: 1,
        };
        let (width, height) = (5, 3);
        let picture = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let mut mean = Mean::new(2, width, height);
        for view in views.all((width, height), (3, 2)) {
            // a network whose logits are red and green
            let cropped = view.crop(&picture, 3, 2);
            let plane = |c: usize| cropped.pixels().map(move |p| f32::from(p.0[c]));
            let logits: Vec<_> = plane(0).chain(plane(1)).collect();
            mean.add(&logits, view, 3);
        }
        let mean = mean.finish();
        assert_eq!(mean.shape, [2, 3, 5]);
        for (i, (x, y)) in mean.values[..15].iter().zip(&mean.values[15..]).enumerate() {
            assert_eq!((*x, *y), ((i % 5) as f32, (i / 5) as f32));
        }
    }
}
