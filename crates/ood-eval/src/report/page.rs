//! The page: views of the results for the template, and its rendering.

use anyhow::{Context, Result};
use artifacts::labels::{CLASS_COLORS, CLASS_NAMES, NUM_CLASSES};
use minijinja::{Environment, value::Serde};
use serde::Serialize;

use super::charts::Chart;
use super::colors::{INK, css, heat_gradient, is_dashed, run_color};
use super::gallery::SampleView;
use super::known::KnownView;
use super::provenance::StageView;
use super::published::{PublishedFile, PublishedView};
use super::text::{grouped, millions, share};
use crate::metrics::metric::{
    AUPRC, Better, Definition, F1, FALSE_NEGATIVES, FALSE_POSITIVES, FPR95, METRICS, Unit,
};
use crate::read::runs::Run;
use crate::results::{DatasetResults, Results, RowResults, row_name};
use crate::tables::table::Table;
use crate::tables::{
    benchmark_tables, distance_table, interval_table, main_table, score_table, size_table,
};

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
    known: Vec<KnownView>,
    benchmarks: Vec<Table>,
    /// Labels of the metrics, and what they mean.
    metrics: Vec<(&'a str, &'a str)>,
    /// Names and colours.
    classes: Vec<(&'a str, String)>,
    /// Colour bar of the entropy.
    heat: String,
    provenance: Vec<StageView>,
}

/// Everything that is shown of one data set.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DatasetView {
    name: String,
    anchor: String,
    summary: String,
    /// Names of the rows that `changes` compares.
    compared: [String; 2],
    changes: Vec<Change>,
    main: Table,
    published: PublishedView,
    scores: Table,
    intervals: Option<Table>,
    sizes: Table,
    distances: Table,
    figures: Vec<Chart>,
    samples: Vec<SampleView>,
    gallery_note: Option<String>,
}

/// A figure of the first row against the last row.
#[derive(Clone, Debug, Serialize)]
struct Change {
    title: &'static str,
    before: String,
    after: String,
    /// `better`, `worse` or `equal`.
    verdict: &'static str,
}

/// A run in the page's legend.
#[derive(Clone, Debug, Serialize)]
struct RunView {
    name: String,
    path: String,
    color: String,
    is_dashed: bool,
}

impl DatasetView {
    /// The tables of a data set.
    pub(super) fn new(
        results: &Results,
        dataset: &DatasetResults,
        published: &PublishedFile,
    ) -> Self {
        let main = main_table(results, dataset);
        let name = |row: &RowResults| row_name(&row.run, row.with_meta);
        let ends = [dataset.rows.first(), dataset.rows.last()];
        Self {
            name: dataset.dataset.clone(),
            anchor: super::member::slug(&dataset.dataset),
            summary: summary(dataset),
            compared: ends.map(|row| row.map_or_else(String::new, name)),
            changes: changes(&dataset.rows),
            published: published.view(&dataset.dataset, &main),
            main,
            scores: score_table(dataset),
            intervals: interval_table(dataset),
            sizes: size_table(dataset),
            distances: distance_table(dataset),
            figures: Vec::new(),
            samples: Vec::new(),
            gallery_note: None,
        }
    }

    pub(super) fn with_pictures(
        self,
        figures: Vec<Chart>,
        samples: Vec<SampleView>,
        gallery_note: Option<String>,
    ) -> Self {
        Self {
            figures: inlined(figures),
            samples,
            gallery_note,
            ..self
        }
    }
}

fn inlined(figures: Vec<Chart>) -> Vec<Chart> {
    let inline = |figure: Chart| Chart {
        svg: inline(&figure.svg, &figure.title),
        ..figure
    };
    figures.into_iter().map(inline).collect()
}

/// The page as one file.
pub(super) fn render(
    title: &str,
    runs: &[Run],
    results: &Results,
    datasets: Vec<DatasetView>,
    known: Vec<KnownView>,
    provenance: Vec<StageView>,
) -> Result<String> {
    let mut environment = Environment::new();
    // the name ends in .html, so values are escaped
    environment.add_template("report.html", TEMPLATE)?;
    let template = environment.get_template("report.html")?;
    let known = known.into_iter().map(|view| KnownView {
        confusions: inlined(view.confusions),
        reliabilities: inlined(view.reliabilities),
        ..view
    });
    let page = Page {
        title,
        style: STYLE,
        script: SCRIPT,
        version: env!("CARGO_PKG_VERSION"),
        skip_without_ood: results.skip_without_ood,
        runs: runs.iter().enumerate().map(run_view).collect(),
        has_pictures: datasets.iter().any(|d| !d.samples.is_empty()),
        has_meta: results
            .datasets
            .iter()
            .flat_map(|d| &d.rows)
            .any(|r| r.with_meta),
        datasets,
        known: known.collect(),
        benchmarks: benchmark_tables(results),
        metrics: METRICS.iter().map(|d| (d.label, d.meaning)).collect(),
        classes: (0..NUM_CLASSES)
            .map(|c| (CLASS_NAMES[c], css(CLASS_COLORS[c])))
            .collect(),
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

fn summary(dataset: &DatasetResults) -> String {
    let Some(row) = dataset.rows.first() else {
        return String::new();
    };
    let part = row.n_out as f64 / (row.n_in + row.n_out).max(1) as f64;
    format!(
        "{} images, {} unknown objects; {} pixels rated, {} of them unknown.",
        grouped(dataset.n_samples),
        grouped(row.segments.n_objects),
        millions(row.n_in + row.n_out),
        share(part)
    )
}

/// Metrics that are compared above the main table, with their names for readers who do not know the abbreviations.
static CHANGES: [(&str, &Definition); 5] = [
    ("AUPRC", &AUPRC),
    ("FPR95", &FPR95),
    ("false alarms", &FALSE_POSITIVES),
    ("missed objects", &FALSE_NEGATIVES),
    ("F1*", &F1),
];

/// How some metrics changed from the first row to the last.
fn changes(rows: &[RowResults]) -> Vec<Change> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Vec::new();
    };
    let change = |(title, definition)| {
        let values = [first, last].map(|row| row.main_value(definition));
        Change::of(title, definition, values)
    };
    CHANGES.into_iter().map(change).collect()
}

impl Change {
    fn of(title: &'static str, definition: &Definition, values: [Option<f64>; 2]) -> Self {
        let verdict = match values {
            [Some(before), Some(after)] if after != before => {
                if (after > before) == (definition.better == Better::Higher) {
                    "better"
                } else {
                    "worse"
                }
            }
            _ => "equal",
        };
        let text = |value| match (value, definition.unit) {
            (None, _) => "–".to_owned(),
            (Some(v), Unit::Count) => format!("{v:.0}"),
            (Some(v), Unit::Share) => format!("{:.1} %", 100.0 * v),
        };
        let [before, after] = values.map(text);
        Self {
            title,
            before,
            after,
            verdict,
        }
    }
}

/// A drawing inside the page: as wide as its place, in the page's own text colour, named for screen readers.
fn inline(svg: &str, title: &str) -> String {
    let svg = svg.replace(&css(INK), "currentColor");
    let Some((tag, rest)) = svg.split_once('>') else {
        return svg;
    };
    let view_box = tag
        .split("viewBox=\"")
        .nth(1)
        .and_then(|t| t.split('"').next());
    let title = minijinja::HtmlEscape(title);
    let open = format!(
        "<svg viewBox=\"{}\" role=\"img\" aria-label=\"{title}\">",
        view_box.unwrap_or("")
    );
    open + rest
}

/// A drawing as a file of its own, on white.
pub(super) fn stand_alone(svg: &str) -> String {
    match svg.split_once('>') {
        Some((tag, rest)) => {
            format!("{tag}>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>{rest}")
        }
        None => svg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_take_the_color_of_the_page() {
        let svg = format!(
            "<svg width=\"1\" viewBox=\"0 0 4 2\" xmlns=\"x\"><g fill=\"{}\"/></svg>",
            css(INK)
        );
        let inline = inline(&svg, "a \"b\"");
        assert!(
            inline.starts_with("<svg viewBox=\"0 0 4 2\" role"),
            "{inline}"
        );
        assert!(
            inline.contains("currentColor") && !inline.contains("\"b\""),
            "{inline}"
        );
        assert!(stand_alone(&svg).contains("xmlns"));
    }
}
