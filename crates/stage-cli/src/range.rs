//! Ranges of numbers on the command line.

use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};
use serde::Serialize;

/// Numbers from `low` to `high`, both included, with 0 ≤ `low` ≤ `high`; written `LOW:HIGH`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// Smallest number in the range.
    pub low: f64,
    /// Largest number in the range.
    pub high: f64,
}

impl FromStr for Range {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (low, high) = text.split_once(':').context("a range is LOW:HIGH")?;
        let (low, high) = (number(low)?, number(high)?);
        ensure!(
            0.0 <= low && low <= high && high.is_finite(),
            "a range is LOW:HIGH with 0 <= LOW <= HIGH"
        );
        Ok(Self { low, high })
    }
}

fn number(text: &str) -> Result<f64> {
    text.parse()
        .with_context(|| format!("{text:?} is not a number"))
}

impl Range {
    /// Whether `value` lies in the range.
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}
