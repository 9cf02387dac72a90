//! What the numbers of an array are, as far as they tell.

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::scaled::Scaled;
use super::sums::sums;

/// What the numbers of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Outputs of a network before the softmax, one for each class.
    Logits,
    /// Outputs of the softmax: in [0, 1], with a sum of 1 over the channels.
    Probabilities,
    /// Natural logarithms of probabilities.
    LogProbabilities,
    /// One number for each pixel: larger is more suspicious, or with --negate smaller.
    Score,
}

impl Kind {
    /// Name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
            Self::LogProbabilities => "log-probabilities",
            Self::Score => "scores",
        }
    }

    /// Whether the numbers are what a softmax gave, or the logarithms of that.
    pub(crate) fn is_of_softmax(self) -> bool {
        matches!(self, Self::Probabilities | Self::LogProbabilities)
    }
}

/// How far sums of probabilities may be from 1: half precision rounds each of some hundred. Logits files with sums this close to 1
/// are refused by their readers.
const TOLERANCE: f32 = 0.01;

/// How far beyond its range rounding can take a probability.
const ROUNDING: f32 = 1e-3;

/// What the numbers of all pixels have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    /// Certainly.
    Probabilities,
    /// Certainly.
    LogProbabilities,
    /// Certainly, since they are not in the range of probabilities or their logarithms.
    Logits,
    /// Probabilities times 100 or 255, by their sums.
    Scaled(Scaled),
    /// They are in [0, 1], but the sum over the channels of this pixel is another.
    OtherSums {
        /// Number of the pixel.
        pixel: usize,
        /// The sum.
        sum: f32,
    },
}

/// Looks at all values `[channels, n_pixels]`.
///
/// # Errors
/// Returns an error that names the place if a value is not a number, or infinite, except for the logarithm of 0.
pub(super) fn examine(values: &[f32], channels: usize, width: usize) -> Result<Found> {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    let mut has_bad = false;
    for &value in values {
        low = low.min(value);
        high = high.max(value);
        has_bad |= value.is_nan();
    }
    let found = if has_bad || high == f32::INFINITY {
        Found::Logits
    } else if low >= 0.0 && high <= 1.0 + ROUNDING {
        let other = other_sum(values, channels, |value| value);
        other.map_or(Found::Probabilities, |(pixel, sum)| Found::OtherSums {
            pixel,
            sum,
        })
    } else if low >= 0.0
        && let Some(scaled) = Scaled::find(values, channels, high)
    {
        Found::Scaled(scaled)
    } else if high <= ROUNDING && other_sum(values, channels, f32::exp).is_none() {
        Found::LogProbabilities
    } else {
        Found::Logits
    };
    let allowed = |value: f32| value.is_finite() || found == Found::LogProbabilities;
    if let Some(at) = values.iter().position(|&value| !allowed(value)) {
        let n_pixels = values.len() / channels;
        bail!(
            "its value of channel {}, row {}, column {} is {}",
            at / n_pixels,
            at % n_pixels / width,
            at % width,
            values[at]
        );
    }
    Ok(found)
}

/// The first pixel whose sum over the channels is not 1, and the sum.
fn other_sum(values: &[f32], channels: usize, of: impl Fn(f32) -> f32) -> Option<(usize, f32)> {
    let mut sums = sums(values, channels, of).enumerate();
    sums.find(|(_, sum)| (sum - 1.0).abs() > TOLERANCE)
}

/// The kind of an array of classes that is found to be `found`, where `said` was said.
///
/// # Errors
/// Returns an error if the numbers contradict what was said, or do not tell and nothing was said.
pub(super) fn resolve(found: Found, said: Option<Kind>, width: usize) -> Result<Kind> {
    match (said, found) {
        (None | Some(Kind::Probabilities), Found::Probabilities) => Ok(Kind::Probabilities),
        (None | Some(Kind::LogProbabilities), Found::LogProbabilities) => {
            Ok(Kind::LogProbabilities)
        }
        // logarithms of probabilities are logits
        (None | Some(Kind::Logits), Found::Logits)
        | (Some(Kind::Logits), Found::LogProbabilities | Found::OtherSums { .. }) => {
            Ok(Kind::Logits)
        }
        (Some(Kind::Logits), Found::Scaled(scaled)) if !scaled.is_everywhere => Ok(Kind::Logits),
        (Some(Kind::Logits), Found::Scaled(scaled)) => bail!(
            "{}, and pass --kind probabilities; logits, which --kind or the first file says they are, do not have the same sum at every pixel",
            scaled.describe()
        ),
        (None | Some(Kind::Probabilities), Found::Scaled(scaled)) => bail!(scaled.describe()),
        (Some(Kind::Logits), Found::Probabilities) => bail!(
            "its values are {}, but those of the first file, or by --kind, are logits: pass --kind probabilities",
            found.describe(width)
        ),
        (None, Found::OtherSums { pixel, sum }) => bail!(
            "all its values are in [0, 1], but those of row {}, column {} sum to {sum:.3}: they are not the probabilities of all channels; pass --kind logits if they are logits all the same",
            pixel / width,
            pixel % width
        ),
        (Some(said), found) => {
            ensure!(
                said != Kind::Score,
                "it has several channels, which are no scores"
            );
            bail!(
                "its values are {}, but those of the first file, or by --kind, are {}",
                found.describe(width),
                said.name()
            )
        }
    }
}

impl Found {
    fn describe(self, width: usize) -> String {
        match self {
            Self::Probabilities => "probabilities (in [0, 1], with sums of 1)".to_owned(),
            Self::LogProbabilities => "logarithms of probabilities".to_owned(),
            Self::Scaled(scaled) => format!("no such numbers ({})", scaled.describe()),
            Self::Logits => {
                "logits (not in the range of probabilities or their logarithms, or with other sums)"
                    .to_owned()
            }
            Self::OtherSums { pixel, sum } => format!(
                "no probabilities of all channels (those of row {}, column {} sum to {sum:.3})",
                pixel / width,
                pixel % width
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found() -> Result<()> {
        let ln = |p: [f32; 4]| p.map(f32::ln);
        let sums = [0.25, 1.0, 0.75, 0.0];
        assert_eq!(examine(&sums, 2, 2)?, Found::Probabilities);
        assert_eq!(examine(&ln(sums), 2, 2)?, Found::LogProbabilities);
        assert_eq!(examine(&[-1.0, 2.0, 0.5, 0.5], 2, 2)?, Found::Logits);
        assert_eq!(examine(&[-1.0, -2.0, -0.5, -0.5], 2, 2)?, Found::Logits);
        let other = Found::OtherSums { pixel: 1, sum: 0.5 };
        assert_eq!(examine(&[0.25, 0.0, 0.75, 0.5], 2, 2)?, other);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = examine(&[0.0, 1.0, 3.0, bad], 2, 1).expect_err("not finite");
            let error = error.to_string();
            assert!(error.contains("channel 1, row 1, column 0"), "{error}");
        }
        Ok(())
    }

    #[test]
    fn contradictions_are_errors() {
        let other = Found::OtherSums { pixel: 1, sum: 0.5 };
        let is = |said, found, kind| {
            let resolved = resolve(found, said, 1).ok();
            assert_eq!(resolved, kind, "{said:?} {found:?}");
        };
        is(None, Found::Probabilities, Some(Kind::Probabilities));
        is(None, other, None);
        is(Some(Kind::Logits), other, Some(Kind::Logits));
        is(Some(Kind::Logits), Found::Probabilities, None);
        is(
            Some(Kind::Logits),
            Found::LogProbabilities,
            Some(Kind::Logits),
        );
        is(Some(Kind::Probabilities), Found::Logits, None);
        is(Some(Kind::Probabilities), other, None);
        is(Some(Kind::LogProbabilities), Found::Logits, None);
        for is_everywhere in [true, false] {
            let scaled = Found::Scaled(Scaled {
                factor: 100.0,
                mean_sum: 99.9,
                is_everywhere,
            });
            is(None, scaled, None);
            is(Some(Kind::Probabilities), scaled, None);
            is(Some(Kind::LogProbabilities), scaled, None);
            let logits = (!is_everywhere).then_some(Kind::Logits);
            is(Some(Kind::Logits), scaled, logits);
        }
    }
}
