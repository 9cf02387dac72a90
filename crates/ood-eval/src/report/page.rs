//! The page: views of the results for the template, and its rendering.

use anyhow::{Context, Result};
use artifacts::labels::{CLASS_COLORS, CLASS_NAMES, NUM_CLASSES};
use artifacts::score::Score;
use minijinja::{Environment, value::Serde};
use serde::Serialize;

use super::colors::{INK, css, heat_gradient, is_dashed, run_color};
use super::figures::Figure;
use super::gallery::SampleView;
use super::known::KnownView;
use super::provenance::StageView;
use super::published::{PublishedFile, PublishedView};
use crate::comparison::{
    Table, distance_table, interval_table, main_table, score_table, size_table,
};
use crate::evaluate::benchmark_tables;
use crate::results::{DatasetResults, Results, RowResults, row_name};
use crate::runs::Run;

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
    figures: Vec<Figure>,
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
            anchor: super::figures::slug(&dataset.dataset),
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
        figures: Vec<Figure>,
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

fn inlined(figures: Vec<Figure>) -> Vec<Figure> {
    let inline = |figure: Figure| Figure {
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

/// A large count in words.
fn millions(n: u64) -> String {
    if n < 1_000_000 {
        return grouped(n);
    }
    format!("{:.1} million", n as f64 / 1e6)
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A share as a percentage that is not rounded to 0.
pub(super) fn share(share: f64) -> String {
    let percent = 100.0 * share;
    if percent > 0.0 && percent < 0.1 {
        format!("{percent:.3} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// What became of the main figures from the first row to the last.
fn changes(rows: &[RowResults]) -> Vec<Change> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Vec::new();
    };
    let pixel = |row: &RowResults, figure: fn(&crate::results::PixelResults) -> Option<f64>| {
        row.pixels_of(Score::Entropy).and_then(figure)
    };
    let percent = |v: f64| format!("{:.1} %", 100.0 * v);
    let count = |v: f64| format!("{v:.0}");
    let change = |title,
                  before: Option<f64>,
                  after: Option<f64>,
                  more_is_better: bool,
                  text: &dyn Fn(f64) -> String| {
        let verdict = match (before, after) {
            (Some(b), Some(a)) if a != b => {
                if (a > b) == more_is_better {
                    "better"
                } else {
                    "worse"
                }
            }
            _ => "equal",
        };
        let show = |v: Option<f64>| v.map_or("–".to_owned(), text);
        Change {
            title,
            before: show(before),
            after: show(after),
            verdict,
        }
    };
    let both =
        |figure: fn(&RowResults) -> u64| (Some(figure(first) as f64), Some(figure(last) as f64));
    let (fp, fn_) = (
        both(|r| r.segments.false_positives),
        both(|r| r.segments.false_negatives),
    );
    vec![
        change(
            "AUPRC",
            pixel(first, |p| p.auprc),
            pixel(last, |p| p.auprc),
            true,
            &percent,
        ),
        change(
            "FPR95",
            pixel(first, |p| p.fpr95),
            pixel(last, |p| p.fpr95),
            false,
            &percent,
        ),
        change("false alarms", fp.0, fp.1, false, &count),
        change("missed objects", fn_.0, fn_.1, false, &count),
        change("F1*", first.segments.f1, last.segments.f1, true, &percent),
    ]
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
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            (grouped(12), grouped(123)),
            ("12".to_owned(), "123".to_owned())
        );
        assert_eq!(
            (share(0.000_12), share(0.12)),
            ("0.012 %".to_owned(), "12.0 %".to_owned())
        );
    }

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
