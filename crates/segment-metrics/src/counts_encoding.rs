//! Pixel counts as bytes, for the files from which an interrupted call goes on (see [`checkpoint`](crate::checkpoint)).
//!
//! The counts of an image are those of 50 million bins, of which some hundred thousand have pixels. Only these are written, each
//! as its distance from the one before, and its two numbers of pixels. Distances and counts are mostly below 128, so all numbers are
//! LEB128: seven bits a byte, the lowest first, and an eighth bit that says whether more follow. Bins of images of 1024x2048 pixels
//! take 3.0 bytes on average, 1 MB or 2 for the image; 32-bit numbers would take four times as much.
//!
//! ```text
//! number of bins that exist, which tells whether they are the bins of this program
//! for each score:     number of bins that have pixels
//!     for each bin:   number of the bin − that of the one before (from 0)   n_in   n_out
//! ```
//!
//! No length is trusted when the bytes are read: bins are added one by one to counts of a fixed size, which refuse bins that do not
//! exist, so that a damaged file cannot ask for memory.

use anyhow::{Context, Result, bail, ensure};
use artifacts::score::Score;
use measures::pixel_counts::{BinCount, Count, ScoreCounts};
use measures::score_bins::NUM_BINS;

/// Appends the counts of all scores.
pub(crate) fn encode<N: Count>(counts: &ScoreCounts<N>, bytes: &mut Vec<u8>) {
    put(bytes, NUM_BINS.into());
    for (_, counts) in counts.each() {
        put(bytes, counts.non_empty().count() as u64);
        let mut last = 0;
        for b in counts.non_empty() {
            put(bytes, u64::from(b.bin - last));
            put(bytes, b.n_in);
            put(bytes, b.n_out);
            last = b.bin;
        }
    }
}

/// Takes what [`encode`] has written, for these scores, from the front of `bytes`.
///
/// # Errors
/// Returns an error if the bytes end too early, were written with other bins, or name a bin that does not exist.
pub(crate) fn decode(bytes: &mut &[u8], scores: &'static [Score]) -> Result<ScoreCounts<u64>> {
    ensure!(
        take(bytes)? == u64::from(NUM_BINS),
        "it was written with other score bins"
    );
    let mut all = ScoreCounts::<u64>::of_scores(scores);
    for (_, counts) in all.each_mut() {
        let mut last = 0_u64;
        for _ in 0..take(bytes)? {
            last = last.saturating_add(take(bytes)?);
            let bin = u32::try_from(last).context("there is no such bin")?;
            let (n_in, n_out) = (take(bytes)?, take(bytes)?);
            counts.add_bin(BinCount { bin, n_in, n_out }, 1)?;
        }
    }
    Ok(all)
}

/// Appends a number.
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number from the front of `bytes`.
///
/// # Errors
/// Returns an error if the bytes end within a number, or it has more than 64 bits.
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().context("a number ends too early")?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    bail!("a number is too long")
}

#[cfg(test)]
mod tests {
    use measures::pixel_row::PixelRow;

    use super::*;

    #[test]
    fn counts_are_the_same_after_writing() -> Result<()> {
        let mut row = PixelRow::new(2, 4);
        row.fill_from_logits(&[1.0, -2.0, 0.0, 9e9, 0.0, 2.0, 5.0, 9.0]);
        let mut image = ScoreCounts::<u32>::new();
        image.add_row(&row, &[0, 1, 1, 0], &mut Vec::new());
        let mut sums = ScoreCounts::<u64>::new();
        for _ in 0..200 {
            sums.add(&image);
        }
        let mut bytes = Vec::new();
        encode(&sums, &mut bytes);
        bytes.push(7);
        let mut rest = bytes.as_slice();
        let scores = &Score::OF_LOGITS;
        assert!(decode(&mut rest, scores)? == sums);
        assert_eq!(rest, [7]);
        for end in 0..bytes.len() - 1 {
            assert!(decode(&mut &bytes[..end], scores).is_err(), "{end}");
        }
        assert!(decode(&mut &[0xFF; 99][..], scores).is_err());
        Ok(())
    }
}
