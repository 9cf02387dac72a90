//! Ranges on the command line.

use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};
use serde::Serialize;

/// Numbers from `low` to `high`, both included: `LOW:HIGH`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

impl FromStr for Interval {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (low, high) = text.split_once(':').context("a range is LOW:HIGH")?;
        let number = |text: &str| -> Result<f64> {
            text.parse()
                .with_context(|| format!("{text:?} is no number"))
        };
        let (low, high) = (number(low)?, number(high)?);
        ensure!(
            0.0 <= low && low <= high && high.is_finite(),
            "a range is LOW:HIGH with 0 <= LOW <= HIGH"
        );
        Ok(Self { low, high })
    }
}

impl Interval {
    /// Whether `value` is inside.
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}
