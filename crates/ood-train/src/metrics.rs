//! The metrics of a validation run.

use std::fmt;

/// Metrics of the network on the validation data sets, all in [0, 1]; `None` where a data set is missing or has no such pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    /// Mean intersection over union of the known classes.
    pub(crate) mean_iou: Option<f64>,
    /// Share of pixels of known classes that are predicted correctly.
    pub(crate) pixel_accuracy: Option<f64>,
    /// Mean normalized softmax entropy of in-distribution pixels: those of `--val-ood` if it is given, else those of `--val`.
    pub(crate) entropy_in: Option<f64>,
    /// Mean normalized softmax entropy of out-of-distribution pixels.
    pub(crate) entropy_out: Option<f64>,
    /// Area under the ROC curve of the entropy.
    pub(crate) auroc: Option<f64>,
    /// Average precision of the entropy.
    pub(crate) auprc: Option<f64>,
    /// False positive rate of the entropy where 95 % of the out-of-distribution pixels are found.
    pub(crate) fpr95: Option<f64>,
}

/// The metrics after some steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValidationRun {
    /// Optimizer steps done.
    pub(crate) step: u32,
    /// The data set; `None` for the means over all data sets.
    pub(crate) dataset: Option<String>,
    /// Metrics of the network at this step.
    pub(crate) metrics: Metrics,
}

impl Metrics {
    /// Names in tables, charts and log lines, in the order of [`Metrics::values`].
    pub(crate) const NAMES: [&'static str; 7] = [
        "mean_iou",
        "pixel_accuracy",
        "entropy_in",
        "entropy_out",
        "auroc",
        "auprc",
        "fpr95",
    ];

    /// Values in the order of [`Metrics::NAMES`].
    pub(crate) fn values(&self) -> [Option<f64>; 7] {
        [
            self.mean_iou,
            self.pixel_accuracy,
            self.entropy_in,
            self.entropy_out,
            self.auroc,
            self.auprc,
            self.fpr95,
        ]
    }

    /// The inverse of [`Metrics::values`].
    pub(crate) fn from_values(values: [Option<f64>; 7]) -> Self {
        let [
            mean_iou,
            pixel_accuracy,
            entropy_in,
            entropy_out,
            auroc,
            auprc,
            fpr95,
        ] = values;
        Self {
            mean_iou,
            pixel_accuracy,
            entropy_in,
            entropy_out,
            auroc,
            auprc,
            fpr95,
        }
    }

    /// Names and values of the metrics that there are.
    pub(crate) fn available(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = Self::NAMES.into_iter().zip(self.values());
        all.filter_map(|(name, value)| Some((name, value?)))
    }

    /// Means of each metric over the data sets that have it.
    pub(crate) fn means(all: &[Self]) -> Self {
        let mut means = [None; Self::NAMES.len()];
        for (i, mean) in means.iter_mut().enumerate() {
            let values = all.iter().filter_map(|metrics| metrics.values()[i]);
            let (sum, count) = values.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
            *mean = (count > 0).then(|| sum / f64::from(count));
        }
        Self::from_values(means)
    }

    /// What the best weights are chosen by: average precision of the entropy, or mean `IoU` without unknown objects.
    pub(crate) fn quality(&self) -> Option<f64> {
        self.auprc.or(self.mean_iou)
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.available() {
            write!(f, " {name} {value:.4}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_the_data_sets_that_have_the_metric() {
        let known = |mean_iou| Metrics {
            mean_iou: Some(mean_iou),
            ..Metrics::default()
        };
        let unknown = Metrics {
            auprc: Some(0.25),
            ..Metrics::default()
        };
        let expected = Metrics {
            mean_iou: Some(0.625),
            ..unknown
        };
        assert_eq!(
            Metrics::means(&[known(0.5), unknown, known(0.75)]),
            expected
        );
        assert_eq!(Metrics::means(&[]), Metrics::default());
    }

    #[test]
    fn names_and_values_have_one_order() {
        let values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7].map(Some);
        let metrics = Metrics::from_values(values);
        assert_eq!(metrics.values(), values);
        let expected = Metrics {
            mean_iou: Some(0.1),
            auprc: Some(0.6),
            ..metrics
        };
        assert_eq!(metrics, expected);
        let named: Vec<_> = metrics.available().collect();
        assert_eq!((named[0], named[5]), (("mean_iou", 0.1), ("auprc", 0.6)));
        assert_eq!(metrics.quality(), Some(0.6));
    }
}
