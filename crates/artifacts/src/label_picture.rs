//! Label images: PNG files whose pixels are numbers, and those whose pixels are colors.
//!
//! Reading gives the numbers that are stored, as Pillow with `NumPy` does: the indices of a palette, not its colors. The
//! common kind of PNG is decoded by the faster reader in `label_png`, all others by the `png` library here. Color-coded masks are
//! read by [`read_colors`], which gives the colors of a palette, not its indices.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::{ImageFormat, RgbImage};
use png::{BitDepth, ColorType};

use crate::label_png;
use crate::labels::MaskKind;
use crate::mask::Mask;
use crate::picture::{Orientation, decode_rgb, ensure_pixels, read_bytes};

impl Mask {
    /// Reads a label image with any values, as [`read_labels`] does.
    ///
    /// # Errors
    /// Returns an error if the file cannot be decoded or is not a label image.
    pub fn read_raw(path: &Path) -> Result<Self> {
        read_labels(path)
    }

    /// Reads a mask and checks that all its values belong to `kind`; `num_classes` is the size of the class set of train ids.
    ///
    /// # Errors
    /// Returns the errors of [`Mask::read_raw`], and an error that names the first pixel whose value `kind` does not have.
    pub fn read(path: &Path, kind: MaskKind, num_classes: usize) -> Result<Self> {
        let mask = Self::read_raw(path)?;
        if let Some(at) = mask
            .labels
            .iter()
            .position(|&v| !kind.allows(v, num_classes))
        {
            bail!(
                "{} has the value {} at row {}, column {}, which no {kind:?} mask{} has",
                path.display(),
                mask.labels[at],
                at / mask.width,
                at % mask.width,
                match kind {
                    MaskKind::TrainId => format!(" of {num_classes} classes"),
                    _ => String::new(),
                }
            );
        }
        Ok(mask)
    }
}

/// Decodes a label image to the numbers that are stored.
///
/// Palette images give their indices. Gray of 16 bits must be within 0 to 255; gray of 1 bit gives 0 and 1, of 2
/// and 4 bits 0 to 255 in equal steps (as Pillow does). Color images must be gray everywhere; one channel is taken.
///
/// # Errors
/// Returns an error if the file cannot be read, is damaged or cut off, is a JPEG (which blurs labels), or holds colors or
/// greater numbers, naming their first place.
pub fn read_labels(path: &Path) -> Result<Mask> {
    read_bytes(path)
        .and_then(|bytes| decode_labels(&bytes))
        .with_context(|| format!("{} cannot be used as labels", path.display()))
}

/// Decodes the bytes of a label image as [`read_labels`] does.
///
/// # Errors
/// Returns the errors of [`read_labels`].
pub fn decode_labels(bytes: &[u8]) -> Result<Mask> {
    match image::guess_format(bytes).context("it is damaged or not an image")? {
        ImageFormat::Png => label_png::decode(bytes).map_or_else(|| png_labels(bytes), Ok),
        ImageFormat::Jpeg => bail!("it is a JPEG, which blurs labels: get the PNG"),
        _ => {
            let picture = decode_rgb(bytes, Orientation::Stored)?;
            let (width, height) = picture.dimensions();
            gray_of_colors(picture.as_raw(), width as usize, height as usize, 3)
        }
    }
}

/// Decodes a color-coded mask: one color for each pixel, that of the palette in indexed PNGs.
///
/// # Errors
/// Returns an error if the file cannot be read, is damaged or cut off, is a JPEG (which mixes colors at their borders), has 16 bits
/// for each channel, or has pixels that are not opaque, naming the first.
pub fn read_colors(path: &Path) -> Result<RgbImage> {
    read_bytes(path)
        .and_then(|bytes| decode_colors(&bytes))
        .with_context(|| format!("{} cannot be used as color-coded labels", path.display()))
}

/// Decodes the bytes of a color-coded mask as [`read_colors`] does.
///
/// # Errors
/// Returns the errors of [`read_colors`].
pub fn decode_colors(bytes: &[u8]) -> Result<RgbImage> {
    match image::guess_format(bytes).context("it is damaged or not an image")? {
        ImageFormat::Png => png_colors(bytes),
        ImageFormat::Jpeg => {
            bail!("it is a JPEG, which mixes colors at their borders: get the PNG")
        }
        _ => decode_rgb(bytes, Orientation::Stored),
    }
}

fn png_colors(bytes: &[u8]) -> Result<RgbImage> {
    let Decoded {
        width,
        height,
        color,
        depth,
        samples,
        ..
    } = decode_png(bytes, png::Transformations::EXPAND)?;
    if depth != BitDepth::Eight {
        bail!("it has 16 bits for each channel, so that its colors are no #RRGGBB");
    }
    let channels = color.samples();
    let has_alpha = matches!(color, ColorType::GrayscaleAlpha | ColorType::Rgba);
    let pixels = samples.chunks_exact(channels);
    let is_clear = |pixel: &[u8]| has_alpha && pixel[channels - 1] != u8::MAX;
    if let Some(at) = pixels.clone().position(is_clear) {
        bail!(
            "it is not opaque at row {}, column {}, so that its color there is not certain: save it without transparency",
            at / width,
            at % width
        );
    }
    let colors = pixels.flat_map(|p| {
        if channels < 3 {
            [p[0]; 3]
        } else {
            [p[0], p[1], p[2]]
        }
    });
    RgbImage::from_raw(width as u32, height as u32, colors.collect()).context("it is damaged")
}

/// What a PNG holds.
struct Decoded {
    width: usize,
    height: usize,
    color: ColorType,
    depth: BitDepth,
    /// Bytes in a row.
    stride: usize,
    samples: Vec<u8>,
}

fn decode_png(bytes: &[u8], transformations: png::Transformations) -> Result<Decoded> {
    let limits = png::Limits {
        bytes: 1 << 30, // 16-bit RGBA of as many pixels as are read is half of that
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(transformations);
    let mut reader = decoder.read_info().context("it is a damaged PNG")?;
    let (width, height) = reader.info().size();
    ensure_pixels((width, height))?;
    let (color, depth) = reader.output_color_type();
    let stride = reader
        .output_line_size(width)
        .context("its rows are too long")?;
    let mut samples = vec![0; reader.output_buffer_size().context("it is too large")?];
    reader
        .next_frame(&mut samples)
        .context("it is a damaged PNG")?;
    // the chunks after the pixels show whether the file was cut off
    reader.finish().context("it is a damaged PNG")?;
    Ok(Decoded {
        width: width as usize,
        height: height as usize,
        color,
        depth,
        stride,
        samples,
    })
}

fn png_labels(bytes: &[u8]) -> Result<Mask> {
    let Decoded {
        width,
        height,
        color,
        depth,
        stride,
        samples,
    } = decode_png(bytes, png::Transformations::IDENTITY)?;
    let labels = match (color, depth) {
        (ColorType::Grayscale | ColorType::Indexed, BitDepth::Eight) => samples,
        (ColorType::Grayscale, BitDepth::Sixteen) => narrow(&samples, width)?,
        (ColorType::Grayscale | ColorType::Indexed, _) => {
            // Pillow scales 2 and 4 bits of gray to 0..=255, but keeps 1 bit as 0 and 1
            let factor = match (color, depth) {
                (ColorType::Grayscale, BitDepth::Two) => 85,
                (ColorType::Grayscale, BitDepth::Four) => 17,
                _ => 1,
            };
            let rows = samples.chunks_exact(stride.max(1));
            rows.flat_map(|row| unpack(row, width, depth as usize, factor))
                .collect()
        }
        (_, BitDepth::Eight) => {
            return gray_of_colors(&samples, width, height, color.samples());
        }
        _ => bail!("it is a 16-bit color image, not a label image"),
    };
    Ok(Mask {
        width,
        height,
        labels,
    })
}

/// The numbers in a row of packed bits, multiplied by `factor`.
fn unpack(row: &[u8], width: usize, bits: usize, factor: u8) -> impl Iterator<Item = u8> + '_ {
    let per_byte = 8 / bits;
    (0..width).map(move |x| {
        let shift = 8 - bits * (x % per_byte + 1);
        factor * ((row[x / per_byte] >> shift) & ((1 << bits) - 1))
    })
}

/// 16-bit numbers, high byte first, that fit into 8 bits.
fn narrow(samples: &[u8], width: usize) -> Result<Vec<u8>> {
    let (pairs, _) = samples.as_chunks::<2>();
    if let Some(at) = pairs.iter().position(|pair| pair[0] != 0) {
        bail!(
            "it has the value {} at row {}, column {}, but labels are 0 to 255",
            u16::from_be_bytes(pairs[at]),
            at / width,
            at % width
        );
    }
    Ok(pairs.iter().map(|pair| pair[1]).collect())
}

/// One channel of an image whose color channels are equal everywhere; a fourth channel is transparency.
fn gray_of_colors(samples: &[u8], width: usize, height: usize, channels: usize) -> Result<Mask> {
    let colors = if channels < 3 { 1 } else { 3 };
    let mut pixels = samples.chunks_exact(channels).map(|p| &p[..colors]);
    if let Some(at) = pixels.position(|p| p.iter().any(|&v| v != p[0])) {
        bail!(
            "it has the color {:?} at row {}, column {}: a color image is not a label image, get the label file, or say what its colors mean",
            &samples[at * channels..][..3],
            at / width,
            at % width
        );
    }
    Ok(Mask {
        width,
        height,
        labels: samples.iter().copied().step_by(channels).collect(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PNG of the given kind; `palette` for indexed ones.
    pub(crate) fn png(
        size: (u32, u32),
        color: ColorType,
        depth: BitDepth,
        data: &[u8],
    ) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette((0..48).collect::<Vec<u8>>());
        }
        encoder.write_header()?.write_image_data(data)?;
        Ok(bytes)
    }

    // Pillow 13: numpy.asarray(Image.open(...)) of the same pictures
    #[test]
    fn labels_are_the_numbers_that_are_stored() -> Result<()> {
        use BitDepth::{Eight, Four, One, Sixteen, Two};
        use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        let cases: [(ColorType, BitDepth, &[u8], [u8; 3]); 10] = [
            (Grayscale, Eight, &[7, 0, 255], [7, 0, 255]),
            (Indexed, Eight, &[3, 0, 15], [3, 0, 15]),
            (Indexed, Four, &[0x3A, 0xF0], [3, 10, 15]),
            (Indexed, Two, &[0b11_00_01_00], [3, 0, 1]),
            (Indexed, One, &[0b1010_0000], [1, 0, 1]),
            (Grayscale, One, &[0b1010_0000], [1, 0, 1]),
            (Grayscale, Four, &[0x1F, 0x20], [17, 255, 34]),
            (Grayscale, Sixteen, &[0, 7, 0, 255, 0, 1], [7, 255, 1]),
            (GrayscaleAlpha, Eight, &[7, 255, 9, 0, 1, 1], [7, 9, 1]),
            (Rgb, Eight, &[7, 7, 7, 0, 0, 0, 255, 255, 255], [7, 0, 255]),
        ];
        for (color, depth, data, expected) in cases {
            let mask = decode_labels(&png((3, 1), color, depth, data)?)?;
            assert_eq!(mask.labels, expected, "{color:?} {depth:?}");
            assert_eq!((mask.width, mask.height), (3, 1));
        }
        let refused: [(ColorType, BitDepth, &[u8], &str); 3] = [
            (Grayscale, Sixteen, &[0, 7, 1, 0], "value 256 at row 1"),
            (Rgba, Eight, &[5, 5, 5, 0, 5, 6, 5, 0], "[5, 6, 5] at row 1"),
            (Rgb, Sixteen, &[0; 12], "16-bit color"),
        ];
        for (color, depth, data, reason) in refused {
            let error = decode_labels(&png((1, 2), color, depth, data)?);
            let text = format!("{:#}", error.expect_err(reason));
            assert!(text.contains(reason), "{text}");
        }
        Ok(())
    }

    #[test]
    fn colors_are_those_of_the_palette_or_of_the_pixels() -> Result<()> {
        use BitDepth::{Eight, Four, Sixteen};
        use ColorType::{Grayscale, Indexed, Rgb, Rgba};
        let cases: [(ColorType, BitDepth, &[u8], [u8; 6]); 5] = [
            (Indexed, Eight, &[1, 15], [3, 4, 5, 45, 46, 47]),
            (Indexed, Four, &[0x1F], [3, 4, 5, 45, 46, 47]),
            (Grayscale, Eight, &[0, 7], [0, 0, 0, 7, 7, 7]),
            (Rgb, Eight, &[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]),
            (
                Rgba,
                Eight,
                &[1, 2, 3, 255, 4, 5, 6, 255],
                [1, 2, 3, 4, 5, 6],
            ),
        ];
        for (color, depth, data, expected) in cases {
            let colors = decode_colors(&png((2, 1), color, depth, data)?)?;
            assert_eq!(colors.as_raw()[..], expected, "{color:?} {depth:?}");
        }
        let mut jpeg = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new(&mut jpeg);
        RgbImage::new(2, 1).write_with_encoder(encoder)?;
        let clear = png((2, 1), Rgba, Eight, &[1, 2, 3, 255, 4, 5, 6, 254])?;
        let deep = png((2, 1), Rgb, Sixteen, &[0; 12])?;
        for (bytes, reason) in [
            (&jpeg, "it is a JPEG, which mixes colors"),
            (&clear, "not opaque at row 0, column 1"),
            (&deep, "16 bits"),
            (&clear[..clear.len() - 5].to_vec(), "damaged"),
        ] {
            let error = decode_colors(bytes).expect_err(reason);
            assert!(format!("{error:#}").contains(reason), "{error:#}");
        }
        Ok(())
    }
}
