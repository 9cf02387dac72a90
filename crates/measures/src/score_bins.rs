//! The bins of `pixel_counts.parquet`: a fixed partition of all f32 scores.
//!
//! An exact curve needs all scores sorted, which is impossible for thousands of images of two million pixels. Counts per bin
//! need a fixed memory, and because the partition is fixed (it does not depend on the data), counts of images, shards and
//! machines add up.
//!
//! Scores are of very different scales: an entropy is in [0, 1] and most interesting near 0 and near 1, a logit is anywhere
//! between −50 and 50. Equal bins would be too coarse for one or too many for the other. The bits of a positive float, read as
//! an integer, grow with its value, and the leading bits of the mantissa divide every octave into equal steps. So a bin is the
//! set of floats that agree in sign, exponent and the leading bits of the mantissa: [`FINE_BITS`] of them for magnitudes from
//! 2⁻⁹ to 2⁵, where scores of unknown objects lie close together, and 11 elsewhere. The number of a bin follows from a shift
//! and a subtraction, without a branch and without a search.
//!
//! AUROC and AUPRC from these bins agree with those of an exact sort to 1e-5, and FPR95 to 1e-4 unless many scores are equal at
//! its threshold (`tests/curves.rs`). Magnitudes below 2⁻²⁴ count as 0, those above 2¹⁶ as 2¹⁶.

use anyhow::{Result, ensure};

/// Leading bits of the mantissa that tell bins apart, for usual scores.
pub const FINE_BITS: u32 = 15;

/// Leading bits of the mantissa that tell bins apart, for very small and very large scores.
const COARSE_BITS: u32 = 11;

/// The bits of 2^`exponent` as a float.
const fn bits_of_power(exponent: i32) -> u32 {
    ((127 + exponent) as u32) << 23
}

const SMALLEST: u32 = bits_of_power(-24);
const FINE_FROM: u32 = bits_of_power(-9);
const FINE_TO: u32 = bits_of_power(5);
const LARGEST: u32 = bits_of_power(16);

const COARSE_SHIFT: u32 = 23 - COARSE_BITS;
const FINE_SHIFT: u32 = 23 - FINE_BITS;
/// First step of the fine bins.
const FINE_STEP: u32 = (FINE_FROM - SMALLEST) >> COARSE_SHIFT;
/// First step of the coarse bins after them.
const LARGE_STEP: u32 = FINE_STEP + ((FINE_TO - FINE_FROM) >> FINE_SHIFT);
const PER_SIGN: u32 = LARGE_STEP + ((LARGEST - FINE_TO) >> COARSE_SHIFT);

/// The bin of 0.
pub const ZERO_BIN: u32 = PER_SIGN;

/// Number of bins. Bins are numbered in the order of their scores.
pub const NUM_BINS: u32 = 2 * PER_SIGN + 1;

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
    let magnitude = score.abs().to_bits();
    if magnitude < SMALLEST {
        return PER_SIGN;
    }
    // steps below, inside and above the range of fine bins; clamping in place of branches keeps the loop vectorized
    let below = (magnitude.min(FINE_FROM) - SMALLEST) >> COARSE_SHIFT;
    let fine = (magnitude.clamp(FINE_FROM, FINE_TO) - FINE_FROM) >> FINE_SHIFT;
    let above = (magnitude.clamp(FINE_TO, LARGEST - 1) - FINE_TO) >> COARSE_SHIFT;
    let step = below + fine + above;
    if score.is_sign_positive() {
        PER_SIGN + 1 + step
    } else {
        PER_SIGN - 1 - step
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
    Ok(match bin.cmp(&PER_SIGN) {
        std::cmp::Ordering::Less => -magnitude(PER_SIGN - 1 - bin),
        std::cmp::Ordering::Equal => 0.0,
        std::cmp::Ordering::Greater => magnitude(bin - PER_SIGN - 1),
    })
}

/// The smallest magnitude of a step away from zero.
fn magnitude(step: u32) -> f32 {
    f32::from_bits(if step < FINE_STEP {
        SMALLEST + (step << COARSE_SHIFT)
    } else if step < LARGE_STEP {
        FINE_FROM + ((step - FINE_STEP) << FINE_SHIFT)
    } else {
        FINE_TO + ((step - LARGE_STEP) << COARSE_SHIFT)
    })
}

/// The smallest score in `bin`: as a threshold, it flags the pixels of this bin and of all following ones.
///
/// # Errors
/// Returns an error if there is no such bin.
pub fn smallest_of(bin: u32) -> Result<f32> {
    let nearest_to_zero = score_of(bin)?;
    Ok(match bin.cmp(&PER_SIGN) {
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
            assert!(bin_of(score * 1.000_01)? == bin);
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
        assert_eq!(bin_of(f32::NEG_INFINITY)?, 0);
        assert_eq!(bin_of(1e-9)?, bin_of(-0.0)?);
        assert!(bin_of(f32::NAN).is_err() && score_of(NUM_BINS).is_err());
        Ok(())
    }
}
