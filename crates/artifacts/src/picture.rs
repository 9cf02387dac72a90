//! Picture files as people hand them around: told by their content, whatever their names say.
//!
//! Photographs become upright 8-bit RGB. Label pictures become the numbers that are stored, as Pillow with numpy
//! reads them: a palette's indices, not its colors. Both readers refuse files that were cut off, which decoders of
//! JPEG fill with gray without a word.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};
use png::{BitDepth, ColorType};

use crate::label_png;
use crate::mask::Mask;

/// More pixels than any photograph; a guard against headers that only exhaust the memory.
pub const MAX_PIXELS: u64 = 1 << 28;

const JPEG_END: [u8; 2] = [0xFF, 0xD9];

/// Width and height of a picture when it is upright. Of most files only the header is read; a JPEG must have its
/// end.
///
/// # Errors
/// If the file cannot be read, is no picture, is a JPEG that was cut off, or names an absurd size.
pub fn size(path: &Path) -> Result<(u32, u32)> {
    /// The header of most JPEGs is not longer.
    const HEAD: usize = 1 << 14;
    let size = || -> Result<(u32, u32)> {
        let mut file = File::open(path)?;
        let mut head = Vec::with_capacity(HEAD);
        file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        if !is_jpeg(&head) {
            file.rewind()?;
            let reader = ImageReader::new(BufReader::new(file)).with_guessed_format()?;
            return Ok(upright(reader)?.1);
        }
        let mut end = [0; 2];
        file.seek(SeekFrom::End(-2))?;
        file.read_exact(&mut end)?;
        if end == JPEG_END
            && let Some(size) = jpeg_size(&head)
        {
            return Ok(size);
        }
        Ok(open(Cursor::new(read_whole(path)?))?.1)
    };
    size().with_context(|| unusable(path))
}

/// Decodes a picture to upright 8-bit RGB: 16-bit values are scaled, gray is repeated, palettes are looked up,
/// transparency is dropped.
///
/// # Errors
/// As [`size()`], and if the content is damaged.
pub fn read_rgb(path: &Path) -> Result<RgbImage> {
    read_whole(path)
        .and_then(|bytes| decode_rgb(&bytes))
        .with_context(|| unusable(path))
}

/// Decodes the bytes of a picture file as [`read_rgb`] does.
///
/// # Errors
/// If they are no whole picture.
pub fn decode_rgb(bytes: &[u8]) -> Result<RgbImage> {
    ensure_whole(bytes)?;
    let (decoder, _, orientation) = open(Cursor::new(bytes))?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// Decodes a label picture to the numbers that are stored.
///
/// Palette pictures give their indices; gray of 16 bits must be within 0 to 255; gray of 1 bit gives 0 and 1, of 2
/// and 4 bits 0 to 255 in even steps (all as Pillow does); colors must be gray, of which one channel is taken.
///
/// # Errors
/// If the file cannot be read, is damaged or cut off, is a JPEG (which blurs labels), or holds colors or greater
/// numbers, naming their first place.
pub fn read_labels(path: &Path) -> Result<Mask> {
    std::fs::read(path)
        .map_err(anyhow::Error::from)
        .and_then(|bytes| decode_labels(&bytes))
        .with_context(|| format!("{} cannot be used as labels", path.display()))
}

/// Decodes the bytes of a label picture as [`read_labels`] does.
///
/// # Errors
/// As [`read_labels`].
pub fn decode_labels(bytes: &[u8]) -> Result<Mask> {
    match image::guess_format(bytes).context("it is damaged or no picture")? {
        ImageFormat::Png => label_png::decode(bytes).map_or_else(|| png_labels(bytes), Ok),
        ImageFormat::Jpeg => bail!("it is a JPEG, which blurs labels: get the PNG"),
        _ => {
            let picture = decode_rgb(bytes)?;
            let (width, height) = picture.dimensions();
            gray_of_colors(picture.as_raw(), width as usize, height as usize, 3)
        }
    }
}

fn unusable(path: &Path) -> String {
    format!("{} is damaged or no picture", path.display())
}

fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    ensure_whole(&bytes)?;
    Ok(bytes)
}

fn ensure_whole(bytes: &[u8]) -> Result<()> {
    ensure!(
        !is_jpeg(bytes) || jpeg_ends(bytes),
        "it was cut off after {} bytes: get the file again",
        bytes.len()
    );
    Ok(())
}

fn is_jpeg(bytes: &[u8]) -> bool {
    image::guess_format(bytes).is_ok_and(|f| f == ImageFormat::Jpeg)
}

/// Width and height of an upright JPEG by its first bytes, without the tables of codes that a decoder would build.
/// Nothing if they do not say it, or anything is unusual.
fn jpeg_size(head: &[u8]) -> Option<(u32, u32)> {
    let mut rest = head.strip_prefix(&[0xFF, 0xD8])?;
    let mut orientation = None;
    loop {
        let ([0xFF, marker, high, low], _) = rest.split_first_chunk()? else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let segment = rest.get(4..2 + length)?;
        match (marker, segment) {
            // baseline and progressive, of eight bits
            (0xC0..=0xC2, [8, h0, h1, w0, w1, ..]) => {
                let [h, w] = [[*h0, *h1], [*w0, *w1]]
                    .map(u16::from_be_bytes)
                    .map(u32::from);
                let size = oriented((w, h), orientation.unwrap_or(Orientation::NoTransforms));
                return (h > 0 && w > 0).then_some(size);
            }
            (0xE1, [b'E', b'x', b'i', b'f', 0, 0, note @ ..]) => {
                let found = Orientation::from_exif_chunk(note);
                if orientation.replace(found?).is_some() {
                    return None;
                }
            }
            // notes, and the tables that come before
            (0xDB | 0xC4 | 0xDD | 0xE0..=0xEF | 0xFE, _) => {}
            _ => return None,
        }
        rest = &rest[2 + length..];
    }
}

/// Whether the end marker of a JPEG is there: as its last bytes, or before something else that was appended.
/// Segments are skipped then, as the small pictures in them have ends too.
fn jpeg_ends(bytes: &[u8]) -> bool {
    if bytes.ends_with(&JPEG_END) {
        return true;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&b| b == 0xFF) {
        rest = &rest[at + 1..];
        match rest.first() {
            Some(0xD9) => return true,
            // filled up, a literal 0xFF of the compressed data, restart and start markers stand alone
            Some(0xFF | 0 | 1 | 0xD0..=0xD8) => {}
            Some(_) => {
                let Some(&[_, high, low]) = rest.first_chunk::<3>() else {
                    return false;
                };
                let length = usize::from(u16::from_be_bytes([high, low]));
                rest = rest.get(1 + length..).unwrap_or_default();
            }
            None => return false,
        }
    }
    false
}

fn open<'a, R: BufRead + Seek + 'a>(
    reader: R,
) -> Result<(impl ImageDecoder + 'a, (u32, u32), Orientation)> {
    upright(ImageReader::new(reader).with_guessed_format()?)
}

/// A decoder, the picture's size when it is upright, and how it is turned.
fn upright<'a, R: BufRead + Seek + 'a>(
    reader: ImageReader<R>,
) -> Result<(impl ImageDecoder + 'a, (u32, u32), Orientation)> {
    let mut decoder = reader.into_decoder()?;
    // damaged notes on the camera are no reason to refuse a picture
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    ensure!(
        (1..=MAX_PIXELS).contains(&pixels),
        "its header says {width}x{height} pixels"
    );
    let size = oriented((width, height), orientation);
    Ok((decoder, size, orientation))
}

/// The size of an upright picture, given the one that is stored.
fn oriented((width, height): (u32, u32), orientation: Orientation) -> (u32, u32) {
    match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => (height, width),
        _ => (width, height),
    }
}

fn png_labels(bytes: &[u8]) -> Result<Mask> {
    let limits = png::Limits {
        bytes: 1 << 30, // 16-bit RGBA of MAX_PIXELS would be 2 GiB; labels are not
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().context("it is a damaged PNG")?;
    let (width, height) = reader.info().size();
    ensure!(
        u64::from(width) * u64::from(height) <= MAX_PIXELS,
        "its header says {width}x{height} pixels"
    );
    let (color, depth) = reader.output_color_type();
    let stride = reader
        .output_line_size(width)
        .context("its rows are too long")?;
    let mut samples = vec![0; reader.output_buffer_size().context("it is too large")?];
    reader
        .next_frame(&mut samples)
        .context("it is a damaged PNG")?;
    // what follows the pixels tells whether the file was cut off
    reader.finish().context("it is a damaged PNG")?;
    let (width, height) = (width as usize, height as usize);
    let labels = match (color, depth) {
        (ColorType::Grayscale | ColorType::Indexed, BitDepth::Eight) => samples,
        (ColorType::Grayscale, BitDepth::Sixteen) => narrow(&samples, width)?,
        (ColorType::Grayscale | ColorType::Indexed, _) => {
            // 2 and 4 bits of gray are shades, 1 bit tells no from yes
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
        _ => bail!("it is a 16-bit color picture, not labels"),
    };
    Ok(Mask {
        width,
        height,
        labels,
    })
}

/// The numbers in a row of packed bits, times `factor`.
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

/// One channel of a picture whose color channels are the same everywhere; the fourth is transparency.
fn gray_of_colors(samples: &[u8], width: usize, height: usize, channels: usize) -> Result<Mask> {
    let colors = if channels < 3 { 1 } else { 3 };
    let mut pixels = samples.chunks_exact(channels).map(|p| &p[..colors]);
    if let Some(at) = pixels.position(|p| p.iter().any(|&v| v != p[0])) {
        bail!(
            "it has the color {:?} at row {}, column {}: a color picture is no labels, get the label file",
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
mod tests {
    use super::*;

    use image::Rgb;
    use image::codecs::jpeg::JpegEncoder;

    /// A PNG of the given kind; `palette` for indexed ones.
    fn png(size: (u32, u32), color: ColorType, depth: BitDepth, data: &[u8]) -> Result<Vec<u8>> {
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

    fn jpeg(picture: &DynamicImage) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 95))?;
        Ok(bytes)
    }

    /// A JPEG with a note of the camera that it was turned.
    fn turned(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut note = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        note.extend([orientation, 0, 0, 0, 0, 0, 0]);
        let length = (note.len() as u16 + 2).to_be_bytes();
        let marker = [0xFF, 0xE1, length[0], length[1]];
        [&jpeg[..2], &marker, &note, &jpeg[2..]].concat()
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
    fn files_that_were_cut_off_are_refused() -> Result<()> {
        let noise = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 37 + y * 91) as u8, 5, 9]));
        let photo = jpeg(&noise.clone().into())?;
        decode_rgb(&photo)?;
        decode_rgb(&turned(&photo, 1))?;
        let text = format!(
            "{:#}",
            decode_rgb(&photo[..photo.len() / 2]).expect_err("half")
        );
        assert!(text.contains("cut off"), "{text}");
        // with a small picture inside, whose end is not the photograph's
        let inside = [&[0xFF, 0xE2, 0, 6][..], &[0xFF, 0xD9, 1, 1]].concat();
        let half = [&photo[..2], &inside, &photo[2..photo.len() / 2]].concat();
        assert!(!jpeg_ends(&half));
        assert!(jpeg_ends(
            &[&photo[..2], &inside, &photo[2..], b"more"].concat()
        ));
        let labels = png(
            (40, 30),
            ColorType::Grayscale,
            BitDepth::Eight,
            &noise.as_raw()[..1200],
        )?;
        for end in [labels.len() / 2, labels.len() - 12] {
            assert!(decode_labels(&labels[..end]).is_err(), "{end} bytes");
        }
        assert!(decode_labels(&photo).is_err());
        assert!(decode_labels(b"no picture").is_err() && decode_rgb(b"").is_err());
        Ok(())
    }

    #[test]
    fn sizes_are_read_off_short_and_long_headers() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("photo.jpg");
        let photo = jpeg(&RgbImage::new(40, 30).into())?;
        let note = [vec![0xFF, 0xE2, 0x7F, 0xFF], vec![0; 0x7FFD]].concat();
        let long = [&photo[..2], &note, &photo[2..]].concat();
        assert_eq!(jpeg_size(&photo), Some((40, 30)));
        assert_eq!(jpeg_size(&turned(&photo, 8)), Some((30, 40)));
        for end in 0..photo.len() {
            assert!(jpeg_size(&photo[..end]).is_none_or(|size| size == (40, 30)));
        }
        for whole in [photo.clone(), long.clone(), [&long, &b"more"[..]].concat()] {
            std::fs::write(&path, whole)?;
            assert_eq!(size(&path)?, (40, 30));
        }
        for half in [&photo[..photo.len() / 2], &long[..200], b"\xFF\xD8\xFF"] {
            std::fs::write(&path, half)?;
            let text = format!("{:#}", size(&path).expect_err("half"));
            assert!(text.contains("cut off"), "{text}");
        }
        Ok(())
    }

    #[test]
    fn photographs_become_upright_rgb() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("photo.png"); // the name says nothing
        let gray =
            image::GrayImage::from_fn(16, 8, |x, _| image::Luma([if x < 8 { 0 } else { 240 }]));
        let photo = jpeg(&gray.into())?;
        std::fs::write(&path, &photo)?;
        assert_eq!(size(&path)?, (16, 8));
        let lying = read_rgb(&path)?;
        assert!(lying.get_pixel(0, 0).0[0] < 20 && lying.get_pixel(15, 0).0[2] > 220);
        std::fs::write(&path, turned(&photo, 6))?; // to be turned right by a quarter
        assert_eq!(size(&path)?, (8, 16));
        let upright = read_rgb(&path)?;
        assert_eq!(upright.dimensions(), (8, 16));
        assert!(upright.get_pixel(7, 0).0[0] < 20 && upright.get_pixel(0, 15).0[0] > 220);
        let wide = png((1, 1), ColorType::Grayscale, BitDepth::Sixteen, &[255, 255])?;
        assert_eq!(decode_rgb(&wide)?.as_raw(), &[255; 3]);
        let colors = png((2, 1), ColorType::Indexed, BitDepth::Eight, &[1, 0])?;
        assert_eq!(decode_rgb(&colors)?.as_raw(), &[3, 4, 5, 0, 1, 2]);
        Ok(())
    }
}
