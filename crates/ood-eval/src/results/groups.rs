//! Mean and standard deviation of metrics over runs that differ only in their seed.

use serde::{Deserialize, Serialize};

use super::dataset::RowResults;
use crate::args::RunSpec;
use crate::metrics::metric::Metric;

/// Runs that differ only in their seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Names of its runs, at least two.
    pub runs: Vec<String>,
}

/// A metric over the runs of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupMetric {
    /// Name of the group.
    pub group: String,
    /// Whether segments that the meta classifier rejects are dropped.
    pub with_meta: bool,
    /// The metric.
    #[serde(rename = "figure")]
    pub metric: Metric,
    /// Over the runs where it is defined.
    pub spread: Spread,
}

/// Mean and standard deviation of a metric over several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Runs where the metric is defined.
    pub n_runs: u64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the sample, with n − 1; `None` of a single run.
    pub deviation: Option<f64>,
}

impl Group {
    /// The groups among runs as given on the command line.
    pub fn of_specs(specs: &[RunSpec]) -> Vec<Self> {
        let several = specs.iter().filter(|spec| spec.paths.len() > 1);
        several
            .map(|spec| Self {
                name: spec.name.clone(),
                runs: spec.members().map(|(name, _)| name).collect(),
            })
            .collect()
    }
}

impl Spread {
    /// Of the values that are defined; `None` if none is.
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values.flatten().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        (n > 0.0).then(|| Self {
            n_runs: values.len() as u64,
            mean,
            deviation: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()),
        })
    }
}

/// All metrics of all groups over the rows of a data set, first without, then with meta classifier.
pub(super) fn group_metrics(groups: &[Group], rows: &[RowResults]) -> Vec<GroupMetric> {
    let mut all = Vec::new();
    for (group, with_meta) in groups.iter().flat_map(|g| [(g, false), (g, true)]) {
        let is_member = |r: &&RowResults| r.with_meta == with_meta && group.runs.contains(&r.run);
        for metric in Metric::all() {
            let members = rows.iter().filter(is_member);
            let spread = Spread::of(members.map(|r| r.value(metric)));
            all.extend(spread.map(|spread| GroupMetric {
                group: group.name.clone(),
                with_meta,
                metric,
                spread,
            }));
        }
    }
    all
}
