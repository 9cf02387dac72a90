//! 8-bit label masks and 16-bit component maps, written as grayscale PNG.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, ImageBuffer, ImageReader, Luma};

use crate::atomic::write_whole;

/// One label per pixel, row-major `[height, width]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// `height * width` labels.
    pub labels: Vec<u8>,
}

impl Mask {
    /// A mask with the same `label` everywhere.
    pub fn filled(width: usize, height: usize, label: u8) -> Self {
        Self {
            width,
            height,
            labels: vec![label; width * height],
        }
    }

    /// Writes the mask as 8-bit grayscale PNG, as [`write_whole`] does.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_luma::<u8>(path, self.width, self.height, &self.labels)
    }

    /// Nearest-neighbor resize, see [`nearest`].
    #[must_use]
    pub fn resize_nearest(&self, width: usize, height: usize) -> Self {
        let columns: Vec<usize> = (0..width).map(|x| nearest(x, self.width, width)).collect();
        let mut labels = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = &self.labels[nearest(y, self.height, height) * self.width..][..self.width];
            labels.extend(columns.iter().map(|&x| row[x]));
        }
        Self {
            width,
            height,
            labels,
        }
    }
}

/// The position among `n_in` that is under the center of position `i` among `n_out`: `floor((i + 0.5) * n_in / n_out)`.
///
/// This is the nearest-neighbor sampling of Pillow, and of `PyTorch`'s mode `nearest-exact`.
pub fn nearest(i: usize, n_in: usize, n_out: usize) -> usize {
    ((2 * i + 1) * n_in / (2 * n_out)).min(n_in - 1)
}

/// Segment numbers per pixel, 0 outside, row-major; `components/<sample_id>.png`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentMap {
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// `height * width` segment numbers; segments are numbered from 1 by their first pixel in row-major order.
    pub ids: Vec<u16>,
}

impl ComponentMap {
    /// Reads a 16-bit grayscale PNG.
    ///
    /// # Errors
    /// Returns an error if the file cannot be decoded or is not 16-bit grayscale.
    pub fn read(path: &Path) -> Result<Self> {
        let unusable = || format!("{} is damaged or not an image", path.display());
        let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
        let picture = reader.with_context(unusable)?.decode();
        match picture.with_context(unusable)? {
            DynamicImage::ImageLuma16(map) => Ok(Self {
                width: map.width() as usize,
                height: map.height() as usize,
                ids: map.into_raw(),
            }),
            other => bail!(
                "{} is {:?}, but a component map is 16-bit grayscale",
                path.display(),
                other.color()
            ),
        }
    }

    /// Writes a 16-bit grayscale PNG, as [`write_whole`] does.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_luma::<u16>(path, self.width, self.height, &self.ids)
    }
}

fn write_luma<P>(path: &Path, width: usize, height: usize, values: &[P]) -> Result<()>
where
    P: image::Primitive,
    Luma<P>: image::PixelWithColorType<Subpixel = P>,
    [P]: image::EncodableLayout,
{
    ensure!(
        values.len() == width * height,
        "{} values do not fill a {width}x{height} mask for {}",
        values.len(),
        path.display()
    );
    let picture = ImageBuffer::<Luma<P>, &[P]>::from_raw(width as u32, height as u32, values)
        .context("a buffer of the right length")?;
    write_whole(path, |w| {
        // rows of labels mostly repeat the row above, which leaves runs of zeros
        let encoder = PngEncoder::new_with_quality(w, CompressionType::Fast, FilterType::Up);
        Ok(picture.write_with_encoder(encoder)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::MaskKind;

    #[test]
    fn masks_survive_the_file_and_wrong_values_are_placed() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("m.png");
        let mask = Mask {
            width: 3,
            height: 2,
            labels: vec![0, 18, 255, 1, 77, 2],
        };
        mask.write(&path)?;
        assert_eq!(Mask::read_raw(&path)?, mask);
        let text = format!(
            "{:#}",
            Mask::read(&path, MaskKind::TrainId, 19).unwrap_err()
        );
        assert!(text.contains("77 at row 1, column 1"), "{text}");
        let map = ComponentMap {
            width: 2,
            height: 1,
            ids: vec![0, 65_535],
        };
        map.write(&path)?;
        assert_eq!(ComponentMap::read(&path)?, map);
        assert!(Mask::read_raw(&path).is_err());
        Ok(())
    }

    #[test]
    fn nearest_takes_the_pixel_under_the_center() {
        let row = Mask {
            width: 5,
            height: 1,
            labels: vec![0, 1, 2, 3, 4],
        };
        assert_eq!(row.resize_nearest(2, 1).labels, [1, 3]);
        assert_eq!(
            row.resize_nearest(10, 1).labels,
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        );
    }
}
