//! The bytes of each format.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_bytes;
use artifacts::look::colors::{blend, heat};
use artifacts::picture;
use half::f16;
use hdf5_pure::{Datatype, DatatypeByteOrder, FileBuilder, FloatingPointLayout};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, imageops};
use tiff::encoder::{TiffEncoder, colortype};

use super::args::Format;
use super::samples::Image;
use super::score_map::ScoreMap;

/// Share of the heat's color in an overlay; the rest is the image.
const OPACITY: f32 = 0.6;

/// Rows that HDF5 compresses together.
const CHUNK_ROWS: usize = 64;

/// Writes one file. `image` is used by overlays.
pub(super) fn write(
    format: Format,
    path: &Path,
    map: &ScoreMap,
    image: Option<&Image>,
) -> Result<()> {
    let bytes = match format {
        Format::Smiyc => hdf5(map)?,
        Format::Npy => npy(map),
        Format::Tiff => tiff(map)?,
        Format::Png => png(map)?,
        Format::Overlay => overlay(map, image.context("there is no image to lay it over")?)?,
    };
    write_bytes(path, &bytes)
}

/// Data set `value`, `[H, W]` of half floats, gzip at level 9: what `ChannelLoaderHDF5` of road-anomaly-benchmark writes.
fn hdf5(map: &ScoreMap) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2 * map.values.len());
    for &value in &map.values {
        let half = f16::from_f32(value);
        ensure!(
            half.is_finite(),
            "score {value} exceeds 16-bit floats: choose another --score or --format npy"
        );
        bytes.extend(half.to_le_bytes());
    }
    let half = Datatype::FloatingPoint {
        size: 2,
        byte_order: DatatypeByteOrder::LittleEndian,
        layout: FloatingPointLayout {
            bit_offset: 0,
            bit_precision: 16,
            exponent_location: 10,
            exponent_size: 5,
            mantissa_location: 0,
            mantissa_size: 10,
            exponent_bias: 15,
        },
    };
    let shape = [map.height as u64, map.width as u64];
    let mut file = FileBuilder::new();
    file.create_dataset("value")
        .with_raw_data(half, bytes, map.values.len() as u64)
        .with_shape(&shape)
        .with_chunks(&[CHUNK_ROWS.min(map.height) as u64, shape[1]])
        .with_deflate(9);
    file.finish().context("HDF5 cannot hold the scores")
}

/// Version 1.0 of the format, C order, little-endian.
fn npy(map: &ScoreMap) -> Vec<u8> {
    let shape = format!("({}, {})", map.height, map.width);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // magic, version, length and header with a final newline fill blocks of 64 bytes
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<0$}\n", length - 1).bytes());
    bytes.extend(map.values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

fn tiff(map: &ScoreMap) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (map.width as u32, map.height as u32);
    TiffEncoder::new(&mut bytes)
        .and_then(|mut tiff| tiff.write_image::<colortype::Gray32Float>(width, height, &map.values))
        .context("TIFF cannot hold the scores")?;
    Ok(bytes.into_inner())
}

fn png(map: &ScoreMap) -> Result<Vec<u8>> {
    // a uniform pixel's entropy may exceed 1 by rounding
    let gray = |v: &f32| (f64::from(v.clamp(0.0, 1.0)) * 65535.0).round() as u16;
    // the encoder takes 16-bit values in the machine's order
    let values = map.values.iter().map(gray).flat_map(u16::to_ne_bytes);
    encode_png(map, &values.collect::<Vec<_>>(), ExtendedColorType::L16)
}

/// Scores in [0, 1] have the same color in every image; others are spread over the range of their image.
fn overlay(map: &ScoreMap, image: &Image) -> Result<Vec<u8>> {
    let photo = picture::read_rgb(&image.path)?;
    let (width, height) = (map.width as u32, map.height as u32);
    let mut photo = imageops::resize(&photo, width, height, imageops::FilterType::Triangle);
    let (low, high) = if map.score.is_signed() {
        let fold = |(low, high): (f32, f32), &v: &f32| (low.min(v), high.max(v));
        map.values.iter().fold((f32::MAX, f32::MIN), fold)
    } else {
        (0.0, 1.0)
    };
    let range = (high - low).max(f32::MIN_POSITIVE);
    for (pixel, value) in photo.pixels_mut().zip(&map.values) {
        pixel.0 = blend(pixel.0, heat((value - low) / range), OPACITY);
    }
    encode_png(map, photo.as_raw(), ExtendedColorType::Rgb8)
}

fn encode_png(map: &ScoreMap, values: &[u8], color: ExtendedColorType) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (map.width as u32, map.height as u32);
    PngEncoder::new(&mut bytes).write_image(values, width, height, color)?;
    Ok(bytes.into_inner())
}
