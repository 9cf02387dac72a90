//! The bins of `pixel_counts.parquet`: a fixed partition of all f32 scores.
//!
//! An exact curve needs all scores sorted, which is impossible for thousands of images of two million pixels. Counts per bin
//! need a fixed memory, and because the partition is fixed (it does not depend on the data), counts of images, shards and
//! machines add up.
//!
//! Scores are of very different scales: an entropy is in [0, 1], and near 10⁻⁹ or 10⁻³⁰ for the pixels of a network that is very
//! sure; a logit is anywhere between −100 and 100. The bits of a positive float, read as an integer, grow with its value, and the
//! leading bits of the mantissa divide every octave into equal steps. So a bin is the set of floats that agree in sign, exponent
//! and the leading bits of the mantissa. How many of these bits count depends on the magnitude, so that a bin is always narrow
//! beside the spread of the scores found there:
//!
//! | magnitude | bits | scores found there |
//! |---|---|---|
//! | below 2³ | 15 | entropies and probabilities, also those of sure networks: they are like e^−lead, and a bin is a step of 3·10⁻⁵ of the lead |
//! | 2³ to 2⁶ | 19 | logits and energies, whose spread does not grow with their magnitude: steps of 1.5·10⁻⁵ to 6·10⁻⁵ |
//! | 2⁶ to 2⁷ | 20 | large logits: steps of 6·10⁻⁵ |
//! | above 2⁷ | 15 | everything else |
//!
//! The number of a bin follows from shifts and subtractions, without a branch and without a search. There are millions of bins,
//! of which counts keep in memory only those near a pixel (see [`pixel_counts`](crate::pixel_counts)).
//!
//! AUROC, AUPRC and FPR95 from these bins agree with those of an exact sort to 1e-5 for leads of up to 80, unless many scores
//! lie in one bin (FPR95: or one pixel is more than that) (`tests/curves.rs`). Magnitudes below 2⁻¹⁴¹ count as 0, those above 2¹⁶ as 2¹⁶.

use anyhow::{Result, ensure};

/// The bits of 2^`exponent` as a float.
const fn bits_of_power(exponent: i32) -> u32 {
    ((127 + exponent) as u32) << 23
}

/// A range of magnitudes in which equally many bits of the mantissa tell bins apart.
#[derive(Clone, Copy)]
struct Zone {
    /// Bits of the smallest magnitude.
    from: u32,
    /// Bits of the magnitude after the largest.
    to: u32,
    /// Bits that do not count.
    shift: u32,
}

const fn zone(from: u32, to: u32, leading_bits: u32) -> Zone {
    let shift = 23 - leading_bits;
    Zone { from, to, shift }
}

impl Zone {
    /// Number of steps.
    const fn len(self) -> u32 {
        (self.to - self.from) >> self.shift
    }
}

const LOGITS: u32 = bits_of_power(3);
const LARGE_LOGITS: u32 = bits_of_power(6);
const LARGE: u32 = bits_of_power(7);
const END: u32 = bits_of_power(16);

/// Larger magnitudes count as this one: bins do not tell them apart.
pub const LARGEST: f32 = f32::from_bits(END);

/// From small to large magnitudes.
const ZONES: [Zone; 4] = [
    zone(0, LOGITS, 15),
    zone(LOGITS, LARGE_LOGITS, 19),
    zone(LARGE_LOGITS, LARGE, 20),
    zone(LARGE, END, 15),
];

/// Steps away from zero: step 0 is zero itself.
const NUM_STEPS: u32 = ZONES[0].len() + ZONES[1].len() + ZONES[2].len() + ZONES[3].len();

/// The bin of 0.
pub const ZERO_BIN: u32 = NUM_STEPS - 1;

/// Number of bins. Bins are numbered in the order of their scores.
pub const NUM_BINS: u32 = 2 * NUM_STEPS - 1;

/// Number of neighboring bins that are joined in the histograms of single images, `sample_pixels.parquet`.
pub const BINS_PER_COARSE_BIN: u32 = 512;

/// The number of the bin of `score`.
///
/// # Errors
/// Returns an error if `score` is NaN. Infinities are in the outermost bins.
pub fn bin_of(score: f32) -> Result<u32> {
    ensure!(!score.is_nan(), "a score is not a number");
    Ok(bin_of_number(score))
}

/// As [`bin_of`], for a score that is known not to be NaN (NaN would be in one of the outermost bins).
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
pub fn bin_of_number(score: f32) -> u32 {
    let magnitude = score.abs().to_bits().min(END - 1);
    // the steps in each zone below the magnitude: clamping in place of branches keeps the loop vectorized
    let mut step = 0;
    for zone in ZONES {
        step += (magnitude.clamp(zone.from, zone.to) - zone.from) >> zone.shift;
    }
    if score.is_sign_positive() {
        ZERO_BIN + step
    } else {
        ZERO_BIN - step
    }
}

/// The score of least magnitude in `bin`, which represents all of its scores.
///
/// # Errors
/// Returns an error if there is no such bin.
pub fn score_of(bin: u32) -> Result<f32> {
    ensure!(
        bin < NUM_BINS,
        "bin {bin} does not exist: there are {NUM_BINS}"
    );
    Ok(if bin < ZERO_BIN {
        -magnitude(ZERO_BIN - bin)
    } else {
        magnitude(bin - ZERO_BIN)
    })
}

/// The smallest magnitude of a step away from zero.
fn magnitude(mut step: u32) -> f32 {
    for zone in ZONES {
        if step < zone.len() {
            return f32::from_bits(zone.from + (step << zone.shift));
        }
        step -= zone.len();
    }
    f32::from_bits(END)
}

/// The smallest score in `bin`: as a threshold, it flags the pixels of this bin and of all following ones.
///
/// # Errors
/// Returns an error if there is no such bin.
pub fn smallest_of(bin: u32) -> Result<f32> {
    let nearest_to_zero = score_of(bin)?;
    Ok(match bin.cmp(&ZERO_BIN) {
        std::cmp::Ordering::Greater => nearest_to_zero,
        _ if bin == 0 => f32::NEG_INFINITY,
        // the number before the one with which the next larger magnitudes begin
        _ => -f32::from_bits((-score_of(bin - 1)?).to_bits() - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_grow_with_scores_and_their_own_score_is_in_them() -> Result<()> {
        let mut last = -1;
        for bin in (0..NUM_BINS).step_by(7) {
            let score = score_of(bin)?;
            assert_eq!(bin_of(score)?, bin, "{score}");
            assert_eq!(bin_of(score * 1.000_000_2)?, bin, "{score}");
            assert!(i64::from(bin) > last);
            last = i64::from(bin);
        }
        for bin in (1..NUM_BINS)
            .step_by(7)
            .chain([ZERO_BIN, ZERO_BIN + 1, NUM_BINS - 1])
        {
            let smallest = smallest_of(bin)?;
            assert_eq!(bin_of(smallest)?, bin);
            assert_eq!(bin_of(smallest.next_down())?, bin - 1);
        }
        assert_eq!(smallest_of(0)?, f32::NEG_INFINITY);
        assert_eq!(bin_of(f32::INFINITY)?, NUM_BINS - 1);
        assert_eq!((LARGEST, bin_of(LARGEST)?), (65536.0, NUM_BINS - 1));
        assert_eq!(bin_of(f32::NEG_INFINITY)?, 0);
        assert_eq!(bin_of(1e-43)?, bin_of(-0.0)?);
        assert!(bin_of(1e-38)? < bin_of(1.001e-38)? && bin_of(-1e-38)? < ZERO_BIN);
        assert!(bin_of(f32::NAN).is_err() && score_of(NUM_BINS).is_err());
        Ok(())
    }
}
