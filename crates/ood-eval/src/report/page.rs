//! The page: what the template shows, and its rendering.

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use minijinja::{Environment, value::Serde};
use serde::Serialize;

use super::dataset_view::DatasetView;
use super::gallery::SampleView;
use super::known_classes::KnownClassesView;
use super::provenance::StageView;
use crate::colors::{css, heat_gradient, is_dashed, run_color};
use crate::metrics::metric::METRICS;
use crate::read::runs::Run;
use crate::results::Results;
use crate::tables::benchmark_tables;
use crate::tables::table::Table;

const TEMPLATE: &str = include_str!("report.html");
const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// What the template shows.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    style: &'a str,
    script: &'a str,
    version: &'a str,
    skip_without_ood: bool,
    runs: Vec<RunView>,
    has_pictures: bool,
    has_meta: bool,
    datasets: Vec<DatasetView>,
    known: Vec<KnownClassesView>,
    benchmarks: Vec<Table>,
    /// Labels of the metrics, and what they mean.
    metrics: Vec<(&'a str, &'a str)>,
    /// Names and colors of the classes that pictures show, one legend for each class set.
    legends: Vec<Legend>,
    /// Color bar of the entropy as a CSS gradient.
    heat: String,
    provenance: Vec<StageView>,
}

/// The classes of a class set with their colors.
#[derive(Clone, Debug, Serialize)]
struct Legend {
    /// Name of the class set.
    name: String,
    /// Name and color of each class.
    classes: Vec<(String, String)>,
}

impl Legend {
    fn of(set: &ClassSet) -> Self {
        let classes = set.classes.iter();
        Self {
            name: set.name.clone(),
            classes: classes
                .map(|class| (class.name.clone(), css(class.color.0)))
                .collect(),
        }
    }
}

/// The class sets of all predictions in the galleries, each once.
fn legends(datasets: &[DatasetView]) -> Vec<Legend> {
    let samples = datasets.iter().flat_map(|d| &d.samples);
    let mut sets: Vec<&ClassSet> = Vec::new();
    for set in samples.flat_map(SampleView::classes) {
        if !sets.iter().any(|other| other.classes == set.classes) {
            sets.push(set);
        }
    }
    sets.into_iter().map(Legend::of).collect()
}

/// A run in the legend of the page.
#[derive(Clone, Debug, Serialize)]
struct RunView {
    name: String,
    path: String,
    color: String,
    is_dashed: bool,
}

/// The page as one file.
///
/// # Errors
/// Returns an error if the template does not fit what it is given, which is a mistake in the program.
pub(super) fn render(
    title: &str,
    runs: &[Run],
    results: &Results,
    datasets: Vec<DatasetView>,
    known: Vec<KnownClassesView>,
    provenance: Vec<StageView>,
) -> Result<String> {
    let mut environment = Environment::new();
    // values are escaped because the name ends in .html
    environment.add_template("report.html", TEMPLATE)?;
    let template = environment.get_template("report.html")?;
    let mut rows = results.datasets.iter().flat_map(|d| &d.rows);
    let known = known.into_iter().map(KnownClassesView::inlined);
    let legends = legends(&datasets);
    let page = Page {
        title,
        style: STYLE,
        script: SCRIPT,
        version: env!("CARGO_PKG_VERSION"),
        skip_without_ood: results.skip_without_ood,
        runs: runs.iter().enumerate().map(run_view).collect(),
        has_pictures: datasets.iter().any(|d| !d.samples.is_empty()),
        has_meta: rows.any(|r| r.with_meta),
        datasets,
        known: known.collect(),
        benchmarks: benchmark_tables(results),
        metrics: METRICS.iter().map(|d| (d.label, d.meaning)).collect(),
        legends,
        heat: heat_gradient(),
        provenance,
    };
    template
        .render(Serde(&page))
        .context("could not render the report")
}

fn run_view((index, run): (usize, &Run)) -> RunView {
    RunView {
        name: run.name.clone(),
        path: run.path.display().to_string(),
        color: css(run_color(index)),
        is_dashed: is_dashed(index),
    }
}
