//! The mean loss over the steps since the last row of the log.
//!
//! The loss of one step is that of a few crops, so that it says more about these than about the training. The sums are a part of the
//! training's state: a training that was interrupted between two rows logs the same means as one that was not.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

use crate::objective::Losses;

/// Names in the metadata of a checkpoint: number of steps, and sums of the parts of the loss.
const STEPS: &str = "loss_steps";
const SUMS: [&str; 3] = ["loss_in", "loss_out", "loss_distilled"];

/// The losses since the last row of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LossMean {
    sums: Losses,
    steps: u64,
}

impl LossMean {
    /// Adds the loss of a batch that is this share of a step.
    pub(crate) fn add(&mut self, batch: Losses, share: f64) {
        self.sums.known += share * batch.known;
        self.sums.unknown += share * batch.unknown;
        self.sums.distilled += share * batch.distilled;
    }

    /// Counts a step, all batches of which were added.
    pub(crate) fn end_step(&mut self) {
        self.steps += 1;
    }

    /// The mean over the steps so far, with which the next ones begin anew; 0 without any step.
    pub(crate) fn take(&mut self) -> Losses {
        let Self { sums, steps } = std::mem::take(self);
        let steps = steps.max(1) as f64;
        Losses {
            known: sums.known / steps,
            unknown: sums.unknown / steps,
            distilled: sums.distilled / steps,
        }
    }

    /// Entries of the metadata of a checkpoint. The decimal numbers are those from which the same bits are read.
    pub(crate) fn metadata(&self) -> [(&'static str, String); 4] {
        let sums = [self.sums.known, self.sums.unknown, self.sums.distilled];
        let [known, unknown, distilled] = sums.map(|sum| sum.to_string());
        let [known_name, unknown_name, distilled_name] = SUMS;
        [
            (STEPS, self.steps.to_string()),
            (known_name, known),
            (unknown_name, unknown),
            (distilled_name, distilled),
        ]
    }

    /// Reads what [`LossMean::metadata`] wrote. Checkpoints of earlier versions have no sums: the first row after these is the mean over
    /// the steps since.
    ///
    /// # Errors
    /// Returns an error if an entry is not a number, or only some of them are there.
    pub(crate) fn restore(metadata: &BTreeMap<String, String>) -> Result<Self> {
        if !metadata.contains_key(STEPS) {
            return Ok(Self::default());
        }
        let mut sums = [0.0; SUMS.len()];
        for (sum, key) in sums.iter_mut().zip(SUMS) {
            *sum = number::<f64>(metadata, key)?;
            ensure!(sum.is_finite(), "its {key} is {sum}");
        }
        let [known, unknown, distilled] = sums;
        Ok(Self {
            sums: Losses {
                known,
                unknown,
                distilled,
            },
            steps: number(metadata, STEPS)?,
        })
    }
}

/// A number in a checkpoint's metadata.
///
/// # Errors
/// Returns an error if the entry is missing or no such number.
pub(crate) fn number<T: FromStr>(metadata: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let text = metadata
        .get(key)
        .with_context(|| format!("it has no {key}"))?;
    let number = text.parse().ok();
    number.with_context(|| format!("its {key} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Losses = Losses {
        known: 0.1,
        unknown: 0.7,
        distilled: 1e-7,
    };

    fn after(steps: u32) -> LossMean {
        let mut mean = LossMean::default();
        for step in 0..steps {
            let known = 0.1 * f64::from(step);
            mean.add(Losses { known, ..BATCH }, 0.5);
            mean.add(Losses { known, ..BATCH }, 0.5);
            mean.end_step();
        }
        mean
    }

    #[test]
    fn means_are_over_the_steps_since_the_last() {
        let mut mean = after(4);
        let losses = mean.take();
        assert!((losses.known - 0.15).abs() < 1e-12 && (losses.unknown - 0.7).abs() < 1e-12);
        mean.add(BATCH, 1.0);
        mean.end_step();
        assert_eq!(mean.take(), BATCH);
        assert_eq!(mean.take(), Losses::default());
    }

    #[test]
    fn a_checkpoint_keeps_every_bit() -> Result<()> {
        for steps in [0, 1, 3, 7] {
            let mean = after(steps);
            let entries = mean.metadata().map(|(key, text)| (key.to_owned(), text));
            let mut metadata = BTreeMap::from(entries);
            assert_eq!(LossMean::restore(&metadata)?, mean);
            metadata.insert("loss_out".into(), "much".into());
            assert!(LossMean::restore(&metadata).is_err());
            metadata.remove("loss_out");
            assert!(LossMean::restore(&metadata).is_err());
        }
        assert_eq!(LossMean::restore(&BTreeMap::new())?, LossMean::default());
        Ok(())
    }
}
