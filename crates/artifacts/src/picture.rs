//! Photographs of any origin, recognized by their content, whatever their names say.
//!
//! They become 8-bit RGB, in the [`Orientation`] that the caller asks for. Files that were cut off are refused: JPEG decoders
//! would fill the missing part with gray and say nothing. Label pictures are read by [`label_picture`](crate::label_picture).

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::metadata::Orientation as ExifOrientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use serde::{Deserialize, Serialize};

/// More pixels than any frame of a street has (8192 x 8192): a guard against damaged headers and pictures that would exhaust the
/// memory, since several are decoded at once.
pub const MAX_PIXELS: u64 = 1 << 26;

/// More bytes than a picture of [`MAX_PIXELS`] takes, even if it is not compressed.
const MAX_BYTES: u64 = 1 << 30;

/// Most memory in bytes for what a PNG holds besides its pixels, such as color profiles, which can expand a thousandfold.
const MAX_EXTRAS: u64 = 1 << 25;

/// Most chunks of a PNG that are looked through for its end.
const MAX_CHUNKS: usize = 1 << 20;

const JPEG_END: [u8; 2] = [0xFF, 0xD9];

/// Which pixels of an image file are meant, if its EXIF data say that the camera was turned.
///
/// The stage that lists images decides, records it in [`Index::orientation`](crate::index::Index::orientation), and all
/// stages that read them follow, so that sizes and pixels agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// The pixels as they are stored: what Pillow, `OpenCV` with `IMREAD_IGNORE_ORIENTATION`, `PyTorch` data loaders and
    /// COCO's annotations see. Images with labels are read like this, because the labels belong to the stored pixels.
    #[default]
    Stored,
    /// Turned upright, as viewers show a photograph. Folders of photographs without labels are read like this.
    Upright,
}

impl Orientation {
    /// What to do with the stored pixels, given what their EXIF data say.
    fn transform(self, exif: ExifOrientation) -> ExifOrientation {
        match self {
            Self::Stored => ExifOrientation::NoTransforms,
            Self::Upright => exif,
        }
    }
}

/// Width and height of an image in an orientation.
///
/// Only the header is read, except that a JPEG or PNG must have its end marker and a WebP the length that it says.
///
/// # Errors
/// Returns an error if the file cannot be read, is empty, is not an image, was cut off, or has more than [`MAX_PIXELS`]
/// pixels.
pub fn size(path: &Path, orientation: Orientation) -> Result<(u32, u32)> {
    let found = read_size(path).and_then(|found| ensure_pixels(found.0).map(|()| found));
    let (stored, exif) = found.with_context(|| unusable(path))?;
    Ok(oriented(stored, orientation.transform(exif)))
}

/// Whether the EXIF data of an image say that it has to be turned or mirrored to be upright.
///
/// # Errors
/// Returns the errors of [`size()`].
pub fn is_turned(path: &Path) -> Result<bool> {
    let (_, exif) = read_size(path).with_context(|| unusable(path))?;
    Ok(exif != ExifOrientation::NoTransforms)
}

/// The stored size, and the orientation that the EXIF data say.
fn read_size(path: &Path) -> Result<((u32, u32), ExifOrientation)> {
    /// Bytes in which the header of most JPEGs ends.
    const HEAD: usize = 1 << 14;
    let mut file = File::open(path)?;
    let mut head = Vec::with_capacity(HEAD);
    file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    ensure_bytes(file.metadata()?.len())?;
    if !is_jpeg(&head) {
        ensure_end(&mut file, &head)?;
        file.rewind()?;
        let reader = ImageReader::new(BufReader::new(file)).with_guessed_format()?;
        let (_, size, exif) = decoder(reader)?;
        return Ok((size, exif));
    }
    let mut end = [0; 2];
    file.seek(SeekFrom::End(-2))?;
    file.read_exact(&mut end)?;
    if end == JPEG_END
        && let Some(found) = jpeg_size(&head)
    {
        return Ok(found);
    }
    let (_, size, exif) = open(Cursor::new(read_whole(path)?))?;
    Ok((size, exif))
}

/// Checks that a file other than a JPEG was not cut off, as far as its end or its length can tell.
fn ensure_end(file: &mut File, head: &[u8]) -> Result<()> {
    let n_bytes = file.metadata()?.len();
    let is_whole = match image::guess_format(head) {
        Ok(ImageFormat::Png) => png_ends(file, n_bytes)?,
        // RIFF, the length of what follows, WEBP
        Ok(ImageFormat::WebP) => head[4..]
            .first_chunk()
            .is_some_and(|length| 8 + u64::from(u32::from_le_bytes(*length)) <= n_bytes),
        _ => true,
    };
    ensure!(is_whole, cut_off(n_bytes));
    Ok(())
}

/// Whether a PNG has its end chunk, of which only the length, name and checksum exist: as the last bytes, or before other
/// data that was appended.
fn png_ends(file: &mut File, n_bytes: u64) -> Result<bool> {
    const SIGNATURE: u64 = 8;
    const END: [u8; 12] = *b"\0\0\0\0IEND\xAE\x42\x60\x82";
    let mut end = [0; END.len()];
    file.seek(SeekFrom::Start(n_bytes.saturating_sub(END.len() as u64)))?;
    if file.read_exact(&mut end).is_ok() && end == END {
        return Ok(true);
    }
    let mut at = SIGNATURE;
    for _ in 0..MAX_CHUNKS {
        if at + 12 > n_bytes {
            break;
        }
        let mut chunk = [0; 8];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut chunk)?;
        let [l0, l1, l2, l3, name @ ..] = chunk;
        if name == *b"IEND" {
            return Ok(true);
        }
        at += 12 + u64::from(u32::from_be_bytes([l0, l1, l2, l3]));
    }
    Ok(false)
}

/// Decodes an image to 8-bit RGB: 16-bit values are scaled, gray is repeated, palettes are looked up, transparency is
/// dropped.
///
/// # Errors
/// Returns the errors of [`size()`], and an error if the content is damaged.
pub fn read_rgb(path: &Path, orientation: Orientation) -> Result<RgbImage> {
    read_whole(path)
        .and_then(|bytes| decode_rgb(&bytes, orientation))
        .with_context(|| unusable(path))
}

/// Decodes the bytes of an image file as [`read_rgb`] does.
///
/// # Errors
/// Returns an error if they are not a whole image.
pub fn decode_rgb(bytes: &[u8], orientation: Orientation) -> Result<RgbImage> {
    ensure_whole(bytes)?;
    let (decoder, _, exif) = open(Cursor::new(bytes))?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation.transform(exif));
    Ok(picture.into_rgb8())
}

fn unusable(path: &Path) -> String {
    format!("{} is damaged or not an image", path.display())
}

fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_bytes(path)?;
    ensure_whole(&bytes)?;
    Ok(bytes)
}

/// Reads a file that is no larger than pictures are.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    ensure_bytes(std::fs::metadata(path)?.len())?;
    Ok(std::fs::read(path)?)
}

fn ensure_bytes(n_bytes: u64) -> Result<()> {
    ensure!(n_bytes > 0, "it is empty: get the file again");
    ensure!(
        n_bytes <= MAX_BYTES,
        "it has {n_bytes} bytes, more than a picture can have"
    );
    Ok(())
}

/// Checks a size (width, height) in pixels.
pub(crate) fn ensure_pixels((width, height): (u32, u32)) -> Result<()> {
    let n_pixels = u64::from(width) * u64::from(height);
    ensure!(n_pixels > 0, "its header says {width}x{height} pixels");
    ensure!(
        n_pixels <= MAX_PIXELS,
        "its header says {width}x{height} pixels, and {MAX_PIXELS} are the most that are read: make it smaller"
    );
    Ok(())
}

fn ensure_whole(bytes: &[u8]) -> Result<()> {
    ensure!(!bytes.is_empty(), "it is empty: get the file again");
    ensure!(
        !is_jpeg(bytes) || jpeg_ends(bytes),
        cut_off(bytes.len() as u64)
    );
    Ok(())
}

fn cut_off(n_bytes: u64) -> String {
    format!("it was cut off after {n_bytes} bytes: get the file again")
}

fn is_jpeg(bytes: &[u8]) -> bool {
    image::guess_format(bytes).is_ok_and(|f| f == ImageFormat::Jpeg)
}

/// Stored width and height of a JPEG and the orientation that its EXIF data say, from its first bytes, without building the
/// code tables of a decoder. `None` if they do not contain the size, or anything is unusual.
fn jpeg_size(head: &[u8]) -> Option<((u32, u32), ExifOrientation)> {
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
                let exif = orientation.unwrap_or(ExifOrientation::NoTransforms);
                return (h > 0 && w > 0).then_some(((w, h), exif));
            }
            (0xE1, [b'E', b'x', b'i', b'f', 0, 0, note @ ..]) => {
                let found = ExifOrientation::from_exif_chunk(note);
                if orientation.replace(found?).is_some() {
                    return None;
                }
            }
            // comments and other application data, and tables that precede the frame
            (0xDB | 0xC4 | 0xDD | 0xE0..=0xEF | 0xFE, _) => {}
            _ => return None,
        }
        rest = &rest[2 + length..];
    }
}

/// Whether a JPEG has its end marker: as the last bytes, or before other data that was appended.
/// Segments are skipped, because the thumbnails in them have end markers of their own.
fn jpeg_ends(bytes: &[u8]) -> bool {
    if bytes.ends_with(&JPEG_END) {
        return true;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&b| b == 0xFF) {
        rest = &rest[at + 1..];
        match rest.first() {
            Some(0xD9) => return true,
            // padding, a literal 0xFF in the compressed data, restart and start markers have no length
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
) -> Result<(impl ImageDecoder + 'a, (u32, u32), ExifOrientation)> {
    decoder(ImageReader::new(reader).with_guessed_format()?)
}

/// A decoder, the stored size, and the orientation that the EXIF data say.
fn decoder<'a, R: BufRead + Seek + 'a>(
    mut reader: ImageReader<R>,
) -> Result<(impl ImageDecoder + 'a, (u32, u32), ExifOrientation)> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_EXTRAS); // pixels do not count
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    // damaged EXIF data is no reason to refuse an image
    let exif = decoder
        .orientation()
        .unwrap_or(ExifOrientation::NoTransforms);
    let size = decoder.dimensions();
    ensure_pixels(size)?;
    Ok((decoder, size, exif))
}

/// The size after a transformation, given the stored size.
fn oriented((width, height): (u32, u32), transform: ExifOrientation) -> (u32, u32) {
    match transform {
        ExifOrientation::Rotate90
        | ExifOrientation::Rotate270
        | ExifOrientation::Rotate90FlipH
        | ExifOrientation::Rotate270FlipH => (height, width),
        _ => (width, height),
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use image::codecs::jpeg::JpegEncoder;
    use png::{BitDepth, ColorType};

    use super::Orientation::{Stored, Upright};
    use super::*;
    use crate::label_picture::tests::png;
    use crate::label_picture::{decode_labels, read_labels};

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

    #[test]
    fn files_that_were_cut_off_are_refused() -> Result<()> {
        let noise = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 37 + y * 91) as u8, 5, 9]));
        let photo = jpeg(&noise.clone().into())?;
        decode_rgb(&photo, Upright)?;
        decode_rgb(&turned(&photo, 1), Upright)?;
        let text = format!(
            "{:#}",
            decode_rgb(&photo[..photo.len() / 2], Stored).expect_err("half")
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
        assert!(decode_labels(b"no picture").is_err() && decode_rgb(b"", Stored).is_err());
        Ok(())
    }

    #[test]
    fn sizes_are_read_off_short_and_long_headers() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("photo.jpg");
        let photo = jpeg(&RgbImage::new(40, 30).into())?;
        let note = [vec![0xFF, 0xE2, 0x7F, 0xFF], vec![0; 0x7FFD]].concat();
        let long = [&photo[..2], &note, &photo[2..]].concat();
        let (straight, turned_left) = (ExifOrientation::NoTransforms, ExifOrientation::Rotate270);
        assert_eq!(jpeg_size(&photo), Some(((40, 30), straight)));
        assert_eq!(jpeg_size(&turned(&photo, 8)), Some(((40, 30), turned_left)));
        for end in 0..photo.len() {
            assert!(jpeg_size(&photo[..end]).is_none_or(|(size, _)| size == (40, 30)));
        }
        for whole in [photo.clone(), long.clone(), [&long, &b"more"[..]].concat()] {
            std::fs::write(&path, whole)?;
            assert_eq!(size(&path, Upright)?, (40, 30));
        }
        for half in [&photo[..photo.len() / 2], &long[..200], b"\xFF\xD8\xFF"] {
            std::fs::write(&path, half)?;
            let text = format!("{:#}", size(&path, Upright).expect_err("half"));
            assert!(text.contains("cut off"), "{text}");
        }
        Ok(())
    }

    #[test]
    fn broken_files_are_found_by_their_headers_and_ends() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("photo");
        let photo = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 37 + y * 91) as u8, 5, 9]));
        for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Jpeg] {
            let mut bytes = Cursor::new(Vec::new());
            photo.write_to(&mut bytes, format)?;
            let whole = bytes.into_inner();
            for more in [&b""[..], b"more"] {
                std::fs::write(&path, [&whole, more].concat())?;
                assert_eq!(size(&path, Stored)?, (40, 30), "{format:?}");
            }
            for (n_bytes, expected) in [
                (whole.len() - 1, "cut off"),
                (whole.len() / 2, "cut off"),
                (0, "it is empty"),
            ] {
                std::fs::write(&path, &whole[..n_bytes])?;
                let text = format!("{:#}", size(&path, Stored).expect_err("cut off"));
                assert!(text.contains(expected), "{format:?} {n_bytes}: {text}");
            }
        }
        Ok(())
    }

    #[test]
    fn pictures_that_would_exhaust_the_memory_are_refused() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("photo");
        let mut photo = jpeg(&RgbImage::new(40, 30).into())?;
        let frame = photo.windows(2).position(|w| w == [0xFF, 0xC0]);
        let at = frame.context("a frame")? + 5;
        photo[at..at + 4].copy_from_slice(&[0x40, 0, 0x40, 0]); // 16384 x 16384
        let mut wide = png((40, 30), ColorType::Rgb, BitDepth::Eight, &[0; 3600])?;
        wide[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
        let checksum = checksum_of(&wide[12..29]);
        wide[29..33].copy_from_slice(&checksum.to_be_bytes());
        for bytes in [&photo, &wide] {
            std::fs::write(&path, bytes)?;
            for error in [
                size(&path, Stored).map(drop),
                read_rgb(&path, Stored).map(drop),
                decode_labels(bytes).map(drop),
            ] {
                let text = format!("{:#}", error.expect_err("too large"));
                let is_label = text.contains("JPEG");
                assert!(is_label || text.contains("16384x16384 pixels"), "{text}");
            }
        }
        File::create(&path)?.set_len(1 << 40)?;
        for error in [
            size(&path, Stored).map(drop),
            read_rgb(&path, Stored).map(drop),
            read_labels(&path).map(drop),
        ] {
            let text = format!("{:#}", error.expect_err("too large"));
            assert!(text.contains("1099511627776 bytes"), "{text}");
        }
        Ok(())
    }

    /// The checksum of a chunk of a PNG.
    fn checksum_of(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for &byte in bytes {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            }
        }
        !crc
    }

    #[test]
    fn photographs_become_upright_rgb() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("photo.png"); // the name says nothing
        let gray =
            image::GrayImage::from_fn(16, 8, |x, _| image::Luma([if x < 8 { 0 } else { 240 }]));
        let photo = jpeg(&gray.into())?;
        std::fs::write(&path, &photo)?;
        assert_eq!(size(&path, Upright)?, (16, 8));
        let lying = read_rgb(&path, Upright)?;
        assert!(lying.get_pixel(0, 0).0[0] < 20 && lying.get_pixel(15, 0).0[2] > 220);
        std::fs::write(&path, turned(&photo, 6))?; // to be turned right by a quarter
        assert_eq!(size(&path, Upright)?, (8, 16));
        let upright = read_rgb(&path, Upright)?;
        assert_eq!(upright.dimensions(), (8, 16));
        assert!(upright.get_pixel(7, 0).0[0] < 20 && upright.get_pixel(0, 15).0[0] > 220);
        assert!(is_turned(&path)?);
        assert_eq!(size(&path, Stored)?, (16, 8));
        assert_eq!(read_rgb(&path, Stored)?, lying);
        let wide = png((1, 1), ColorType::Grayscale, BitDepth::Sixteen, &[255, 255])?;
        assert_eq!(decode_rgb(&wide, Stored)?.as_raw(), &[255; 3]);
        let colors = png((2, 1), ColorType::Indexed, BitDepth::Eight, &[1, 0])?;
        assert_eq!(decode_rgb(&colors, Stored)?.as_raw(), &[3, 4, 5, 0, 1, 2]);
        Ok(())
    }
}
