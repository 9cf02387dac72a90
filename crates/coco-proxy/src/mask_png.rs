//! Masks of objects as PNG files, encoded straight from bitmaps.
//!
//! A general PNG encoder would be given a mask of one byte per pixel, filter it, search each position for repetitions of
//! earlier bytes, and compute a table of codes for every file. A mask of a few objects needs none of that:
//!
//! 1. **Filter.** PNG may store a row as its difference to the row above (the filter *Up*). Down a mask this difference is zero
//!    nearly everywhere: only where the border of an object moves is it different, by one of two values. The exclusive or
//!    of two rows of the bitmap gives these places 64 pixels at a time, so that no byte per pixel is ever made.
//! 2. **Runs.** What is left is a few runs of equal bytes per row. A run is written as its first byte and repetitions of the
//!    byte before, which deflate has codes for. Repetitions over a longer distance are not searched for.
//! 3. **Codes.** At most five different byte values and the lengths of runs occur, with much the same frequencies in all
//!    masks. One table of Huffman codes, made once for the masks of COCO, serves every file, see `deflate.rs`.
//!
//! The files are ordinary PNG files: 8-bit grayscale, one `IDAT` chunk.

use std::io::Write;

use anyhow::{Result, ensure};
use artifacts::labels::OOD_PROXY;
use png::{BitDepth, ColorType, Encoder, chunk};

use crate::deflate::Deflate;
use coco_format::objects::Objects;

/// PNG's filter type *None*: the row follows as it is.
const FILTER_NONE: u8 = 0;

/// PNG's filter type *Up*: the difference to the row above follows, modulo 256.
const FILTER_UP: u8 = 2;

/// Writes a mask of [`OOD_PROXY`] on objects and `background`, 0 or 255, elsewhere as 8-bit grayscale PNG.
///
/// # Errors
/// Returns an error if there are no pixels, or `writer` fails.
pub fn write(writer: &mut impl Write, objects: &Objects, background: u8) -> Result<()> {
    let (width, height) = (objects.width(), objects.rows().len());
    ensure!(
        width * height > 0,
        "a mask without pixels cannot be written"
    );
    let mut encoder = Encoder::new(writer, width as u32, height as u32);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_chunk(chunk::IDAT, &compress(objects, background))?;
    Ok(writer.finish()?)
}

/// The filtered rows as a zlib stream.
fn compress(objects: &Objects, background: u8) -> Vec<u8> {
    let width = objects.width();
    let mut output = Deflate::new();
    let mut above: Option<&[u64]> = None;
    for row in objects.rows() {
        match above {
            None => push_first_row(&mut output, row, width, background),
            Some(above) => push_difference(&mut output, row, above, width, background),
        }
        above = Some(row);
    }
    output.finish()
}

fn push_first_row(output: &mut Deflate, row: &[u64], width: usize, background: u8) {
    output.push(FILTER_NONE, 1);
    for x in 0..width {
        let is_object = row[x / 64] >> (x % 64) & 1 == 1;
        output.push(if is_object { OOD_PROXY } else { background }, 1);
    }
}

/// The row minus the row above it: zeros up to each pixel that changed from background to object or back.
fn push_difference(output: &mut Deflate, row: &[u64], above: &[u64], width: usize, background: u8) {
    let to_object = OOD_PROXY.wrapping_sub(background);
    let to_background = background.wrapping_sub(OOD_PROXY);
    output.push(FILTER_UP, 1);
    let mut n_done = 0;
    for (i, (word, above)) in row.iter().zip(above).enumerate() {
        let mut changed = word ^ above;
        while changed != 0 {
            let bit = changed.trailing_zeros();
            let x = 64 * i + bit as usize;
            let is_object = word >> bit & 1 == 1;
            output.push(0, x - n_done);
            output.push(if is_object { to_object } else { to_background }, 1);
            n_done = x + 1;
            changed &= changed - 1; // clears the lowest bit
        }
    }
    output.push(0, width - n_done);
}

#[cfg(test)]
mod tests {
    use super::*;

    use artifacts::label_picture::decode_labels;

    fn check(objects: &Objects, background: u8) -> Result<()> {
        let mut file = Vec::new();
        write(&mut file, objects, background)?;
        let label = |row: &[u64], x: usize| {
            let is_object = row[x / 64] >> (x % 64) & 1 == 1;
            if is_object { OOD_PROXY } else { background }
        };
        let width = objects.width();
        let labels: Vec<u8> = objects
            .rows()
            .flat_map(|row| (0..width).map(move |x| label(row, x)))
            .collect();
        assert_eq!(decode_labels(&file)?.labels, labels);
        // as another reader has it, which compares all checksums
        assert_eq!(
            image::load_from_memory(&file)?.into_luma8().as_raw(),
            &labels
        );
        Ok(())
    }

    #[test]
    fn masks_survive() -> Result<()> {
        let mut objects = Objects::default();
        for (width, height) in [(1, 1), (64, 3), (65, 40), (640, 480), (3000, 2000)] {
            objects.reset(width, height);
            let (w, h) = (f64::from(width), f64::from(height));
            for background in [0, 255] {
                check(&objects, background)?;
            }
            for i in 0..12 {
                let i = f64::from(i);
                let (x, y) = (w * (0.37 * i).fract(), h * (0.73 * i).fract());
                objects.add_polygon(&[x, y, x + i * 3.3, y + w / 9.0, x - i * i, y + 5.0]);
                check(&objects, 0)?;
                check(&objects, 255)?;
            }
            objects.add_polygon(&[0.0, 0.0, w, 0.0, w, h, 0.0, h]);
            assert_eq!(objects.count(), u64::from(width * height));
            check(&objects, 255)?;
        }
        Ok(())
    }

    #[test]
    fn repetitions_of_every_length_survive() -> Result<()> {
        let mut objects = Objects::default();
        for width in 1..1100 {
            objects.reset(width, 4);
            objects.add_runs(&[4 * (width / 3), 2, 1, 1, 4 * (width - width / 3) - 4]);
            check(&objects, 255)?;
        }
        Ok(())
    }
}
