//! The bins of `pixel_counts.parquet`: a fixed, mergeable partition of all f32 scores.
//!
//! Bins are intervals between neighboring floats of [`MANTISSA_BITS`] mantissa bits: their relative width is
//! `2^-12` everywhere, so that AUPRC and FPR95 from bins agree with those of an exact sort to some 1e-5 (4e-5 at most on
//! simulated scores), whatever the range of a score.
//! Magnitudes below `2^-24` count as 0, those above `2^16` as `2^16`.

use anyhow::{Result, ensure};

/// Bits of the mantissa that distinguish bins.
pub const MANTISSA_BITS: u32 = 12;

const MIN_EXPONENT: i32 = -24;
const MAX_EXPONENT: i32 = 16;
const PER_SIGN: u32 = ((MAX_EXPONENT - MIN_EXPONENT) as u32) << MANTISSA_BITS;

/// Number of bins; bins are ordered as the scores in them.
pub const NUM_BINS: u32 = 2 * PER_SIGN + 1;

/// Bin of `score`: bins grow with scores.
///
/// # Errors
/// If `score` is not a number; infinities are in the outermost bins.
pub fn bin_of(score: f32) -> Result<u32> {
    ensure!(!score.is_nan(), "a score is not a number");
    Ok(bin_of_number(score))
}

/// As [`bin_of`] for a score that is known to be a number (NaN lands in the outermost bins).
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
pub fn bin_of_number(score: f32) -> u32 {
    let smallest = ((127 + MIN_EXPONENT) as u32) << 23;
    let magnitude = score.abs().to_bits();
    if magnitude < smallest {
        return PER_SIGN;
    }
    let step = ((magnitude - smallest) >> (23 - MANTISSA_BITS)).min(PER_SIGN - 1);
    if score.is_sign_positive() {
        PER_SIGN + 1 + step
    } else {
        PER_SIGN - 1 - step
    }
}

/// The score of least magnitude in `bin`, which stands for all in it.
///
/// # Errors
/// If there is no such bin.
pub fn score_of(bin: u32) -> Result<f32> {
    ensure!(
        bin < NUM_BINS,
        "bin {bin} does not exist: there are {NUM_BINS}"
    );
    let magnitude = |step: u32| {
        f32::from_bits((((127 + MIN_EXPONENT) as u32) << 23) + (step << (23 - MANTISSA_BITS)))
    };
    Ok(match bin.cmp(&PER_SIGN) {
        std::cmp::Ordering::Less => -magnitude(PER_SIGN - 1 - bin),
        std::cmp::Ordering::Equal => 0.0,
        std::cmp::Ordering::Greater => magnitude(bin - PER_SIGN - 1),
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
        assert_eq!(bin_of(f32::INFINITY)?, NUM_BINS - 1);
        assert_eq!(bin_of(f32::NEG_INFINITY)?, 0);
        assert_eq!(bin_of(1e-9)?, bin_of(-0.0)?);
        assert!(bin_of(f32::NAN).is_err() && score_of(NUM_BINS).is_err());
        Ok(())
    }
}
