//! What the page shows of the known classes of a data set.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;

use super::chart::Chart;
use super::charts::known_classes::{confusion, reliability};
use super::text::slug;
use crate::read::runs::Run;
use crate::tables::class_table;
use crate::tables::table::Table;

/// Known classes of one data set.
#[derive(Clone, Debug, Serialize)]
pub(super) struct KnownClassesView {
    /// Target of links within the page.
    anchor: String,
    /// `IoU` of each class and run.
    table: Table,
    /// Confusion matrix of each run.
    pub(super) confusions: Vec<Chart>,
    /// Reliability diagram of each run whose calibration was measured.
    pub(super) reliabilities: Vec<Chart>,
}

/// Table and charts of each data set with known classes, by name.
///
/// # Errors
/// Returns an error if a chart cannot be drawn.
pub(super) fn views(runs: &[Run]) -> Result<Vec<KnownClassesView>> {
    let names: BTreeSet<_> = runs.iter().flat_map(|r| r.closed_set.keys()).collect();
    names.into_iter().map(|name| view(runs, name)).collect()
}

fn view(runs: &[Run], dataset: &str) -> Result<KnownClassesView> {
    let (mut columns, mut confusions, mut reliabilities) = (Vec::new(), Vec::new(), Vec::new());
    for (index, run) in runs.iter().enumerate() {
        if let Some(counts) = run.closed_set.get(dataset) {
            columns.push((run.name.as_str(), counts));
            confusions.push(confusion(dataset, (index, run), counts)?);
            if let Some(calibration) = run.calibration.get(dataset) {
                reliabilities.push(reliability(dataset, (index, run), calibration)?);
            }
        }
    }
    Ok(KnownClassesView {
        anchor: format!("known-{}", slug(dataset)),
        table: Table {
            title: dataset.to_owned(),
            ..class_table(&columns)
        },
        confusions,
        reliabilities,
    })
}

impl KnownClassesView {
    /// The same with drawings that fit into the page.
    pub(super) fn inlined(self) -> Self {
        Self {
            confusions: self.confusions.into_iter().map(Chart::inlined).collect(),
            reliabilities: self.reliabilities.into_iter().map(Chart::inlined).collect(),
            ..self
        }
    }
}
