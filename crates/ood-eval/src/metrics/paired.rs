//! Two runs on the same images: the difference of a metric, its interval, and what that tells.

use anyhow::Result;
use measures::resampling::Interval;
use serde::{Deserialize, Serialize};

use super::bootstrap::resampled;
use super::intervals::metric_values;
use super::metric::{Better, Definition, Metric};
use crate::args::Bootstrap;
use crate::read::dataset::RunDataset;

/// A run on a data set, with or without its meta classifier.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Tables of the data set.
    pub data: &'a RunDataset,
    /// Whether segments that the meta classifier rejects are dropped.
    pub with_meta: bool,
}

/// A metric of both runs. Intervals contain 95 % of the resamples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// Values on the data set as it is.
    pub values: [Option<f64>; 2],
    /// Interval of each run.
    pub intervals: [Option<Interval>; 2],
    /// Value of the second run minus that of the first.
    pub difference: Option<f64>,
    /// Interval of the differences on the same resamples.
    pub difference_interval: Option<Interval>,
    /// What the interval of the difference tells.
    pub verdict: Verdict,
}

/// What the interval of the difference tells about the second run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval is on the better side of 0.
    Better,
    /// The whole interval is on the worse side of 0.
    Worse,
    /// The interval contains 0: on other images, the difference could have the other sign. Files of earlier versions say `open`.
    #[serde(alias = "open")]
    NoClearDifference,
}

impl Verdict {
    /// The interval counts as it is shown, so that a difference that nobody sees is none.
    fn of(interval: Option<Interval>, definition: &Definition) -> Self {
        let shown = |v: f64| definition.unit.shown(v);
        let interval = interval.map(|i| Interval {
            low: shown(i.low),
            high: shown(i.high),
        });
        match (interval, definition.better) {
            (Some(i), Better::Higher) if i.low > 0.0 => Self::Better,
            (Some(i), Better::Lower) if i.high < 0.0 => Self::Better,
            (Some(i), _) if i.low > 0.0 || i.high < 0.0 => Self::Worse,
            _ => Self::NoClearDifference,
        }
    }

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoClearDifference => "no_clear_difference",
        }
    }

    /// Name for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoClearDifference => "no clear difference",
            other => other.name(),
        }
    }
}

/// Whether both runs have the same images, so that resamples of one are resamples of the other.
pub fn have_same_images(sides: [Side<'_>; 2]) -> bool {
    let [first, second] = sides.map(|side| &side.data.detections.sample_ids);
    first == second
}

/// Compares two runs, which must have the same images, by pairs of metrics: the metric of the first run, and that of the second.
/// The two of a pair may be of different scores.
///
/// # Errors
/// Returns an error if the pixels of single images cannot be read.
pub fn paired(
    metrics: &[[Metric; 2]],
    sides: [Side<'_>; 2],
    bootstrap: Bootstrap,
) -> Result<Vec<Paired>> {
    let of_side = |side: usize| {
        let metrics: Vec<Metric> = metrics.iter().map(|pair| pair[side]).collect();
        SideValues::of(&metrics, sides[side], bootstrap)
    };
    let both = [of_side(0)?, of_side(1)?];
    let minus = |[first, second]: [Option<f64>; 2]| Some(second? - first?);
    let mut all = Vec::new();
    for (i, [metric, _]) in metrics.iter().enumerate() {
        let pairs = both[0].resamples.iter().zip(&both[1].resamples);
        let difference_interval = Interval::of(pairs.map(|(a, b)| minus([a[i], b[i]])));
        let of_run = |run: &SideValues| Interval::of(run.resamples.iter().map(|r| r[i]));
        let values = [both[0].values[i], both[1].values[i]];
        all.push(Paired {
            values,
            intervals: [of_run(&both[0]), of_run(&both[1])],
            difference: minus(values),
            difference_interval,
            verdict: Verdict::of(difference_interval, metric.definition),
        });
    }
    Ok(all)
}

/// Metrics of one side of the pairs.
struct SideValues {
    /// On the data set as it is.
    values: Vec<Option<f64>>,
    /// Of all resamples: `[resample][metric]`.
    resamples: Vec<Vec<Option<f64>>>,
}

impl SideValues {
    fn of(metrics: &[Metric], side: Side<'_>, bootstrap: Bootstrap) -> Result<Self> {
        let values = metric_values(side.data, side.with_meta, metrics);
        let resamples = resampled(side.data, side.with_meta, metrics, &values, bootstrap)?;
        Ok(Self { values, resamples })
    }
}

#[cfg(test)]
mod tests {
    use super::super::metric::{AUROC, FALSE_POSITIVES, FPR95};
    use super::*;

    #[test]
    fn intervals_decide() {
        let interval = |low, high| Some(Interval { low, high });
        for (interval, definition, expected) in [
            (interval(0.1, 0.3), &AUROC, Verdict::Better),
            (interval(0.1, 0.3), &FPR95, Verdict::Worse),
            (interval(-2.0, -1.0), &FALSE_POSITIVES, Verdict::Better),
            (interval(-2.0, -1.0), &AUROC, Verdict::Worse),
            // tables show hundredths of a percent, and whole numbers
            (interval(0.00004, 0.3), &AUROC, Verdict::NoClearDifference),
            (interval(0.00006, 0.3), &AUROC, Verdict::Better),
            (
                interval(-9.0, -0.4),
                &FALSE_POSITIVES,
                Verdict::NoClearDifference,
            ),
            (interval(-1.0, 2.0), &AUROC, Verdict::NoClearDifference),
            (interval(0.0, 2.0), &AUROC, Verdict::NoClearDifference),
            (None, &FPR95, Verdict::NoClearDifference),
        ] {
            assert_eq!(Verdict::of(interval, definition), expected, "{interval:?}");
        }
    }

    #[test]
    fn files_have_the_names_of_verdicts() -> Result<()> {
        for verdict in [Verdict::Better, Verdict::Worse, Verdict::NoClearDifference] {
            assert_eq!(serde_json::to_value(verdict)?, verdict.name());
        }
        let earlier: Verdict = serde_json::from_str("\"open\"")?;
        assert_eq!(earlier.text(), "no clear difference");
        Ok(())
    }
}
