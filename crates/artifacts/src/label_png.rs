//! A fast reader of the usual label PNG: 8 bits a pixel, one channel, not interlaced.
//!
//! PNG stores each row as differences from a prediction. Encoders choose the Paeth predictor for most rows of a label image:
//! of the neighbors to the left, above, and above left it takes the one nearest to left + above − above left. Undoing it is a
//! chain of dependent operations, because every byte needs the decoded byte before it; libraries go through this chain byte by
//! byte, and that was half of the time of preparing a data set.
//!
//! Labels come in areas of equal values, so most differences are zero, and then eight bytes can be decoded at once:
//!
//! - If left equals above left at the start of the eight bytes, the predictor is `above` (left + above − above left = above).
//!   With a zero difference the byte is `above`, which makes the same true of the next byte. So all eight bytes are those
//!   above.
//! - If the eight bytes above are all equal to the above-left one, the predictor is `left` for the same reason. With zero
//!   differences all eight bytes are the one to the left.
//!
//! All other groups of eight are decoded byte by byte. Whatever is unusual or damaged is left to the library, which also
//! reports what is wrong with it.

use crate::mask::Mask;
use crate::picture::MAX_PIXELS;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Decodes a usual label PNG: gray values, or the indices of a palette. `None` if it is unusual, damaged or cut off.
pub(crate) fn decode(bytes: &[u8]) -> Option<Mask> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    let (kind, header) = chunk(&mut rest)?;
    let (width, rest_of_header) = header.split_first_chunk::<4>()?;
    let (height, form) = rest_of_header.split_first_chunk::<4>()?;
    // 8 bits; gray or palette; the only compression and filters; not interlaced
    if &kind != b"IHDR" || !matches!(form, [8, 0 | 3, 0, 0, 0]) {
        return None;
    }
    let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
    if !(1..=MAX_PIXELS).contains(&(u64::from(width) * u64::from(height))) {
        return None;
    }
    let mut compressed = Vec::with_capacity(rest.len());
    loop {
        match chunk(&mut rest)? {
            (kind, data) if &kind == b"IDAT" => compressed.extend_from_slice(data),
            (kind, _) if &kind == b"IEND" => break,
            _ => {}
        }
    }
    let (width, height) = (width as usize, height as usize);
    let n_bytes = (width + 1) * height;
    // the checksum of the zlib stream is compared; the ones of the chunks cover the same bytes
    let rows = fdeflate::decompress_to_vec_bounded(&compressed, n_bytes + 1).ok()?;
    if rows.len() != n_bytes {
        return None;
    }
    Some(Mask {
        width,
        height,
        labels: unfilter(&rows, width, height)?,
    })
}

/// Type and content of the next chunk.
fn chunk<'a>(rest: &mut &'a [u8]) -> Option<([u8; 4], &'a [u8])> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (kind, after) = after.split_first_chunk::<4>()?;
    let (data, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after.get(4..)?; // skips its checksum
    Some((*kind, data))
}

/// Decodes rows of differences, each of which begins with a byte that names its predictor.
fn unfilter(rows: &[u8], width: usize, height: usize) -> Option<Vec<u8>> {
    let mut labels = vec![0; width * height];
    let first = vec![0; width];
    let mut above: &[u8] = &first;
    for (row, filtered) in labels
        .chunks_exact_mut(width)
        .zip(rows.chunks_exact(width + 1))
    {
        let (filter, differences) = filtered.split_first()?;
        match filter {
            0 => row.copy_from_slice(differences),
            1 => add_left(differences, row),
            2 => {
                for ((label, difference), above) in row.iter_mut().zip(differences).zip(above) {
                    *label = difference.wrapping_add(*above);
                }
            }
            3 => add_average(differences, above, row),
            4 => add_paeth(differences, above, row),
            _ => return None,
        }
        above = row;
    }
    Some(labels)
}

fn add_left(differences: &[u8], row: &mut [u8]) {
    let mut left = 0_u8;
    for (label, difference) in row.iter_mut().zip(differences) {
        left = left.wrapping_add(*difference);
        *label = left;
    }
}

fn add_average(differences: &[u8], above: &[u8], row: &mut [u8]) {
    let mut left = 0_u8;
    for ((label, difference), above) in row.iter_mut().zip(differences).zip(above) {
        left = difference.wrapping_add(left.midpoint(*above));
        *label = left;
    }
}

fn add_paeth(differences: &[u8], above: &[u8], row: &mut [u8]) {
    // the decoded byte to the left, and the one above it
    let (mut left, mut corner) = (0, 0);
    let pieces = row
        .chunks_mut(8)
        .zip(differences.chunks(8))
        .zip(above.chunks(8));
    for ((row, differences), above) in pieces {
        if differences == [0; 8] && left == corner {
            row.copy_from_slice(above);
            (left, corner) = (above[7], above[7]);
        } else if differences == [0; 8] && above == [corner; 8] {
            row.fill(left);
        } else {
            for ((label, difference), &above) in row.iter_mut().zip(differences).zip(above) {
                left = difference.wrapping_add(paeth(left, above, corner));
                corner = above;
                *label = left;
            }
        }
    }
}

/// The Paeth predictor: the neighbor nearest to left + above − corner, and of equally near ones the first.
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let to_left = above.abs_diff(corner);
    let to_above = left.abs_diff(corner);
    let to_corner = (i16::from(left) + i16::from(above) - 2 * i16::from(corner)).unsigned_abs();
    if to_left <= to_above && u16::from(to_left) <= to_corner {
        left
    } else if u16::from(to_above) <= to_corner {
        above
    } else {
        corner
    }
}

#[cfg(test)]
mod tests {
    use png::{BitDepth, ColorType, Filter};

    use super::*;

    /// Areas with some noise.
    fn labels(width: u32, height: u32, noise: u32) -> Vec<u8> {
        let label = |i: u32| {
            let (x, y) = (i % width, i / width);
            let area = (x / 13 + y / 5) % 4 * 30;
            let is_noise = noise > 0 && i.wrapping_mul(2_654_435_761) >> 16 < noise;
            (area + if is_noise { i % 251 } else { 0 }) as u8
        };
        (0..width * height).map(label).collect()
    }

    fn png(width: u32, height: u32, color: ColorType, filter: Filter, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_filter(filter);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![0; 768]);
        }
        let mut writer = encoder.write_header().expect("memory");
        writer.write_image_data(data).expect("memory");
        drop(writer);
        bytes
    }

    #[test]
    fn every_filter_is_undone() {
        use Filter::{Adaptive, Avg, NoFilter, Paeth, Sub, Up};
        for filter in [NoFilter, Sub, Up, Avg, Paeth, Adaptive] {
            for (width, height, noise) in [(1, 1, 0), (64, 40, 0), (61, 33, 900), (8, 9, 65_535)] {
                let data = labels(width, height, noise);
                for color in [ColorType::Grayscale, ColorType::Indexed] {
                    let mask = decode(&png(width, height, color, filter, &data));
                    let mask = mask.map(|m| (m.width, m.height, m.labels));
                    let expected = (width as usize, height as usize, data.clone());
                    assert_eq!(mask, Some(expected), "{filter:?} {width}x{height} {noise}");
                }
            }
        }
    }

    #[test]
    fn the_unusual_and_the_damaged_are_left_to_the_library() {
        let good = png(
            64,
            40,
            ColorType::Grayscale,
            Filter::Paeth,
            &labels(64, 40, 300),
        );
        for end in [0, 7, 20, good.len() / 2, good.len() - 12] {
            assert!(decode(&good[..end]).is_none(), "{end} bytes");
        }
        for at in 41..good.len() - 16 {
            let mut changed = good.clone();
            changed[at] ^= 0x10;
            let same = decode(&changed).is_none_or(|m| m.labels == labels(64, 40, 300));
            assert!(same, "a change of byte {at} went unnoticed");
        }
        let color = png(4, 2, ColorType::Rgb, Filter::Sub, &[7; 24]);
        assert!(decode(&color).is_none());
    }
}
