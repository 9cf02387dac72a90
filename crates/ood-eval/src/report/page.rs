//! The page: what the template shows, and its rendering.

use anyhow::Result;
use artifacts::classes::ClassSet;
use serde::Serialize;

use super::dataset_view::DatasetView;
use super::found::FoundView;
use super::gallery::{SampleView, Weight};
use super::known_classes::KnownClassesView;
use super::provenance::StageView;
use crate::args::ReportArgs;
use crate::colors::{FALSE_SEGMENT, TRUE_SEGMENT, css, heat_gradient, is_dashed, run_color};
use crate::metrics::metric::METRICS;
use crate::metrics::size_bands::{MIN_SIZES, band_text};
use crate::page;
use crate::read::missing::OnlyBenchmark;
use crate::read::runs::Run;
use crate::results::Results;
use crate::tables::benchmark_tables;
use crate::tables::table::Table;

const TEMPLATE: &str = include_str!("report.html");
const SCRIPT: &str = include_str!("report.js");

/// What the template shows.
#[derive(Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the template asks for each of them by name"
)]
struct Page<'a> {
    title: &'a str,
    /// Most megabytes of pictures.
    max_megabytes: usize,
    style: &'a str,
    script: &'a str,
    version: &'a str,
    skip_without_ood: bool,
    runs: Vec<RunView>,
    /// Whether there are pictures of samples, or a note why there are none.
    has_gallery: bool,
    /// What all pictures take.
    pictures: PicturesView,
    /// Texts of the size bands of objects, small ones first.
    bands: Vec<String>,
    /// Whether some samples have scores of segments.
    has_scores: bool,
    /// Colors of segments that overlap an unknown object, and of those that do not.
    segment_colors: [String; 2],
    has_meta: bool,
    /// Whether there are pictures of samples.
    has_samples: bool,
    datasets: Vec<DatasetView>,
    found: Vec<FoundView>,
    known: Vec<KnownClassesView>,
    benchmarks: Vec<Table>,
    /// Which runs have nothing but the benchmark of a data set, and what makes the rest.
    only_benchmarks: Vec<OnlyBenchmark>,
    /// Labels of the metrics, and what they mean.
    metrics: Vec<(&'a str, &'a str)>,
    /// Names and colors of the classes that pictures show, one legend for each class set.
    legends: Vec<Legend>,
    /// Color bar of the entropy as a CSS gradient.
    heat: String,
    provenance: Vec<StageView>,
}

/// Number of the pictures and their megabytes in the page.
#[derive(Clone, Debug, Serialize)]
struct PicturesView {
    n: usize,
    megabytes: String,
}

impl PicturesView {
    fn of(datasets: &[DatasetView], found: &[FoundView]) -> Self {
        let samples = datasets.iter().flat_map(|d| &d.samples);
        let of_samples = samples.map(SampleView::weight);
        let weights = of_samples.chain(found.iter().map(FoundView::weight));
        let all = weights.fold(Weight::default(), Weight::plus);
        Self {
            n: all.pictures,
            megabytes: format!("{:.1}", all.bytes as f64 / 1e6),
        }
    }
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

/// The parts of the page that are made one by one.
pub(super) struct Parts {
    pub(super) datasets: Vec<DatasetView>,
    pub(super) found: Vec<FoundView>,
    pub(super) known: Vec<KnownClassesView>,
    pub(super) provenance: Vec<StageView>,
}

/// The page as one file.
///
/// # Errors
/// Returns an error if the folders of a run cannot be read, or if the template does not fit what it is given, which is a mistake in
/// the program.
pub(super) fn render(
    args: &ReportArgs,
    runs: &[Run],
    results: &Results,
    parts: Parts,
) -> Result<String> {
    let Parts {
        datasets,
        found,
        known,
        provenance,
    } = parts;
    let only_benchmarks = runs
        .iter()
        .map(|run| OnlyBenchmark::all(&run.name, &run.path));
    let only_benchmarks = only_benchmarks.collect::<Result<Vec<_>>>()?;
    let mut rows = results.datasets.iter().flat_map(|d| &d.rows);
    let known = known.into_iter().map(KnownClassesView::inlined);
    let legends = legends(&datasets);
    let samples = || datasets.iter().flat_map(|d| &d.samples);
    let view = Page {
        title: &args.title,
        max_megabytes: args.page_megabytes,
        style: page::STYLE,
        script: SCRIPT,
        version: env!("CARGO_PKG_VERSION"),
        skip_without_ood: results.skip_without_ood,
        runs: runs.iter().enumerate().map(run_view).collect(),
        has_gallery: datasets.iter().any(DatasetView::has_gallery),
        pictures: PicturesView::of(&datasets, &found),
        bands: (0..MIN_SIZES.len()).map(band_text).collect(),
        has_scores: samples().any(SampleView::has_scores),
        segment_colors: [TRUE_SEGMENT, FALSE_SEGMENT].map(css),
        has_meta: rows.any(|r| r.with_meta),
        has_samples: samples().next().is_some(),
        datasets,
        found,
        known: known.collect(),
        benchmarks: benchmark_tables(results),
        only_benchmarks: only_benchmarks.concat(),
        metrics: METRICS.iter().map(|d| (d.label, d.meaning)).collect(),
        legends,
        heat: heat_gradient(),
        provenance,
    };
    page::render("report.html", TEMPLATE, &view)
}

fn run_view((index, run): (usize, &Run)) -> RunView {
    RunView {
        name: run.name.clone(),
        path: run.path.display().to_string(),
        color: css(run_color(index)),
        is_dashed: is_dashed(index),
    }
}
