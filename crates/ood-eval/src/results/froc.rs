//! Objects found at budgets of false alarms per image.

use serde::{Deserialize, Serialize};

use crate::args::Bootstrap;
use crate::metrics::froc::{Froc, FrocPoint, Ranking};
use crate::read::runs::Run;

/// Budgets of the tables: false alarms per image. Besides, all segments are kept.
pub const BUDGETS: [f64; 7] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The FROC curve of one run by one ranking of its segments, at the budgets of the tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrocResults {
    /// Name of the run.
    pub run: String,
    /// What the segments are ranked by.
    pub ranking: Ranking,
    /// Images, also those without objects.
    pub n_images: u64,
    /// True objects.
    pub n_objects: u64,
    /// One point for each of [`BUDGETS`], then one with all segments.
    pub points: Vec<FrocPoint>,
}

/// Curves of all runs on a data set, in the order of the runs, by all rankings that a run has.
pub(super) fn froc_results(runs: &[Run], dataset: &str, bootstrap: Bootstrap) -> Vec<FrocResults> {
    let budgets: Vec<f64> = BUDGETS.into_iter().chain([f64::INFINITY]).collect();
    let mut all = Vec::new();
    for run in runs {
        let Some(data) = run.datasets.get(dataset) else {
            continue;
        };
        for ranking in Ranking::ALL {
            let froc = Froc::of(data, ranking);
            all.extend(froc.map(|froc| FrocResults {
                run: run.name.clone(),
                ranking,
                n_images: froc.n_images() as u64,
                n_objects: froc.n_objects(),
                points: froc.points(&budgets, bootstrap),
            }));
        }
    }
    all
}
