//! What the page shows of the known classes of a data set.

use std::collections::BTreeSet;

use anyhow::Result;
use artifacts::classes::ClassSet;
use serde::Serialize;

use super::chart::Chart;
use super::charts::known_classes::{confusion, reliability};
use super::text::slug;
use crate::read::known_classes::KnownClasses;
use crate::read::runs::Run;
use crate::tables::class_table;
use crate::tables::table::Table;

/// Known classes of one data set, for runs with the same classes.
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

/// What a run knows of a data set; the number is its place among the runs.
type Known<'a> = ((usize, &'a Run), &'a KnownClasses);

/// Table and charts of each data set with known classes, by name; those of runs with other classes stand apart.
///
/// # Errors
/// Returns an error if a chart cannot be drawn.
pub(super) fn views(runs: &[Run]) -> Result<Vec<KnownClassesView>> {
    let names: BTreeSet<_> = runs.iter().flat_map(|r| r.closed_set.keys()).collect();
    let mut views = Vec::new();
    for dataset in names {
        let of_run = |(index, run)| Some(((index, run), Run::known(run, dataset)?));
        let groups = by_classes(runs.iter().enumerate().filter_map(of_run));
        for (number, group) in groups.iter().enumerate() {
            let of_several = (groups.len() > 1).then_some(number);
            views.push(view(dataset, of_several, group)?);
        }
    }
    Ok(views)
}

/// Runs with the same classes together, in their order.
fn by_classes<'a>(all: impl Iterator<Item = Known<'a>>) -> Vec<Vec<Known<'a>>> {
    let mut groups: Vec<Vec<Known<'a>>> = Vec::new();
    for known in all {
        let classes: &ClassSet = &known.1.classes;
        let same = groups
            .iter_mut()
            .find(|group| group[0].1.classes.ensure_same(classes).is_ok());
        match same {
            Some(group) => group.push(known),
            None => groups.push(vec![known]),
        }
    }
    groups
}

/// The view of runs with the same classes; `of_several`: the number of their class set, if there are several.
fn view(dataset: &str, of_several: Option<usize>, group: &[Known<'_>]) -> Result<KnownClassesView> {
    let classes = &group[0].1.classes;
    let (mut columns, mut confusions, mut reliabilities) = (Vec::new(), Vec::new(), Vec::new());
    for &((index, run), known) in group {
        columns.push((run.name.as_str(), &known.confusion));
        confusions.push(confusion(dataset, (index, run), known)?);
        if let Some(calibration) = &known.calibration {
            reliabilities.push(reliability(dataset, (index, run), calibration)?);
        }
    }
    let (title, anchor) = match of_several {
        None => (dataset.to_owned(), slug(dataset)),
        Some(number) => (
            format!("{dataset}, classes of {}", classes.name),
            format!("{}-{number}", slug(dataset)),
        ),
    };
    Ok(KnownClassesView {
        anchor: format!("known-{anchor}"),
        table: Table {
            title,
            ..class_table(classes, &columns)
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
