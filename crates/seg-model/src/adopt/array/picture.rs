//! Pictures of scores: TIFF with one channel of any numbers, and 16-bit gray PNG.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, Limits};
use tiff::ColorType as TiffColor;
use tiff::decoder::{Decoder, DecodingResult};

use super::{Accept, Array, Number};

/// Reads the first picture of a TIFF file.
///
/// # Errors
/// Returns an error if it is no such file, is damaged, compressed like a photograph, or has several channels.
pub(super) fn read_tiff(path: &Path, accept: Accept) -> Result<Array> {
    let mut decoder =
        Decoder::new(BufReader::new(File::open(path)?)).context("it is no TIFF file")?;
    let (width, height) = decoder.dimensions()?;
    let color = decoder.colortype()?;
    ensure!(
        matches!(color, TiffColor::Gray(_)),
        "its pixels are {color:?}: scores have one channel"
    );
    let shape = vec![height as usize, width as usize];
    accept(&shape)?;
    let decoded = decoder
        .read_image()
        .context("it is damaged, or compressed in a way that is not read (deflate and LZW are)")?;
    let (number, values) = match decoded {
        DecodingResult::F32(values) => (Number::F32, values),
        DecodingResult::F64(v) => (Number::F64, v.iter().map(|&v| v as f32).collect()),
        DecodingResult::F16(v) => (Number::F16, v.iter().map(|v| v.to_f32()).collect()),
        DecodingResult::U16(v) => (Number::U16, v.iter().map(|&v| f32::from(v)).collect()),
        _ => bail!("its pixels are {color:?}, not floats: save them as 32-bit floats"),
    };
    Ok(Array::in_c_order(shape, number, values))
}

/// Reads a PNG of 16-bit gray levels, as levels divided by 65535.
///
/// # Errors
/// Returns an error if it is no such file, is damaged, or has other pixels.
pub(super) fn read_png(path: &Path, accept: Accept) -> Result<Array> {
    let bytes = std::fs::read(path)?;
    let decoder = PngDecoder::with_limits(Cursor::new(&bytes), Limits::default());
    let decoder = decoder.context("it is no PNG file")?;
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    ensure!(
        color == ColorType::L16,
        "its pixels are {color:?}: scores in PNG are 16-bit gray"
    );
    let shape = vec![height as usize, width as usize];
    accept(&shape)?;
    // in the byte order of the machine
    let mut levels = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut levels).context("it is damaged")?;
    let (levels, _) = levels.as_chunks();
    let levels = levels.iter().map(|&level| u16::from_ne_bytes(level));
    let values = levels.map(|level| f32::from(level) / 65535.0);
    Ok(Array::in_c_order(shape, Number::F32, values.collect()))
}
