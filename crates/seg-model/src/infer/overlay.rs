//! Pictures of a prediction: the classes over the image, and the entropy.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::atomic::write_bytes;
use artifacts::classes::ClassSet;
use artifacts::logits::Logits;
use artifacts::look::colors::{blend, heat};
use image::codecs::png::PngEncoder;
use image::{ImageEncoder, RgbImage};
use measures::pixel_row::PixelRow;
use rayon::prelude::*;

/// Opacity of the class colors over the image, in [0, 1].
const OPACITY: f32 = 0.5;

/// Names of a sample's pictures of the prediction and of the entropy.
pub(super) fn names(sample_id: &str) -> [String; 2] {
    ["prediction", "entropy"].map(|kind| format!("{sample_id}.{kind}.png"))
}

/// Writes both pictures. `image` must have the size of the upsampled logits.
pub(super) fn write(logits: &Logits, image: &RgbImage, paths: &[PathBuf; 2]) -> Result<()> {
    let (prediction, entropy) = draw(logits, image);
    write_png(&paths[0], &prediction)?;
    write_png(&paths[1], &entropy)
}

/// The pictures of the prediction and of the entropy, at the size of `image`.
fn draw(logits: &Logits, image: &RgbImage) -> (RgbImage, RgbImage) {
    let (width, classes) = (logits.info.output_width, logits.info.num_classes());
    let palette: Vec<_> = (0..classes)
        .map(|class| color(&logits.info.classes, class))
        .collect();
    let (mut prediction, mut entropy) = (image.clone(), image.clone());
    let rows = prediction.par_chunks_exact_mut(3 * width).enumerate();
    rows.zip(entropy.par_chunks_exact_mut(3 * width))
        .for_each_init(
            || {
                let (row, pixels) = (vec![0.0; classes * width], PixelRow::new(classes, width));
                (logits.row_reader(), row, pixels)
            },
            |(reader, row, pixels), ((y, prediction), entropy)| {
                reader.read(y, row);
                pixels.fill_from_logits(row);
                let colors = prediction.as_chunks_mut::<3>().0.iter_mut();
                for (color, &class) in colors.zip(&pixels.class) {
                    *color = blend(*color, palette[usize::from(class)], OPACITY);
                }
                for (color, &value) in entropy
                    .as_chunks_mut::<3>()
                    .0
                    .iter_mut()
                    .zip(&pixels.entropy)
                {
                    *color = heat(value);
                }
            },
        );
    (prediction, entropy)
}

/// The display color of a class; black if the set has none for it.
fn color(classes: &ClassSet, class: usize) -> [u8; 3] {
    classes.color(class).unwrap_or_default()
}

fn write_png(path: &Path, picture: &RgbImage) -> Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = picture.dimensions();
    let encoder = PngEncoder::new(&mut bytes);
    encoder.write_image(picture, width, height, image::ExtendedColorType::Rgb8)?;
    write_bytes(path, bytes.get_ref())
}

#[cfg(test)]
mod tests {
    use artifacts::logits::LogitsInfo;

    use super::*;

    #[test]
    fn pictures_show_class_colors_and_entropy() -> Result<()> {
        let info = LogitsInfo {
            sample_id: "a".into(),
            network: "toy".into(),
            output_height: 1,
            output_width: 2,
            align_corners: false,
            classes: ClassSet::unnamed(2)?,
        };
        // certain of class 1 on the left, undecided on the right
        let logits = Logits::new(info, [2, 1, 2], vec![-50.0, 0.0, 50.0, 0.0])?;
        let (prediction, entropy) = draw(&logits, &RgbImage::from_pixel(2, 1, image::Rgb([0; 3])));
        assert_eq!(
            prediction.get_pixel(0, 0).0,
            blend([0; 3], [255; 3], OPACITY)
        );
        assert_eq!(entropy.get_pixel(0, 0).0, heat(0.0));
        assert_eq!(entropy.get_pixel(1, 0).0, heat(1.0));
        Ok(())
    }
}
