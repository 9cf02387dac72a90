//! Objects found at budgets of false alarms per image (FROC): two tables and `froc.csv`.

use artifacts::score::Score;

use super::csv::{csv_line, csv_number, csv_text};
use super::table::{Cell, Table};
use super::text::{UNDEFINED, score_name};
use crate::metrics::froc::{FrocPoint, Ranking};
use crate::results::{DatasetResults, FrocResults, Results, RowResults};

/// Objects found at each budget, with their share of all objects in percent; `None` without curves.
pub fn froc_table(dataset: &DatasetResults) -> Option<Table> {
    let title = format!(
        "{}: FROC, objects found over false alarms per image",
        dataset.dataset
    );
    let cell = |p: &FrocPoint| format!("{} ({})", p.n_found, percent(p.share));
    let table = points_table(dataset, title, cell);
    Some(table).filter(|t| !t.rows.is_empty())
}

/// Intervals of the share of found objects at each budget, in percent; `None` without intervals.
pub fn froc_interval_table(dataset: &DatasetResults) -> Option<Table> {
    let title = format!("{}: FROC, 95 % intervals over images", dataset.dataset);
    let mut points = dataset.froc.iter().flat_map(|f| &f.points);
    let has_any = points.any(|p| p.interval.is_some());
    has_any.then(|| points_table(dataset, title, interval_cell))
}

fn interval_cell(point: &FrocPoint) -> String {
    match point.interval {
        Some(i) => format!("{} to {}", percent(Some(i.low)), percent(Some(i.high))),
        None => UNDEFINED.to_owned(),
    }
}

/// A table with a row for each curve and a column for each budget.
fn points_table(
    dataset: &DatasetResults,
    title: String,
    cell: impl Fn(&FrocPoint) -> String,
) -> Table {
    let budgets = dataset.froc.first().map(|f| &f.points);
    let budgets = budgets.into_iter().flatten().map(budget_text);
    let first = ["run, ranking", "objects"].map(str::to_owned);
    let mut rows = Vec::new();
    for froc in &dataset.froc {
        let first = [curve_name(dataset, froc), froc.n_objects.to_string()];
        let cells = first.into_iter().chain(froc.points.iter().map(&cell));
        rows.push(cells.map(Cell::plain).collect());
    }
    Table {
        title,
        columns: first.into_iter().chain(budgets).collect(),
        rows,
    }
}

/// A share in percent with one decimal: more would be noise for some hundred objects, and leave no room for all budgets.
fn percent(share: Option<f64>) -> String {
    share.map_or(UNDEFINED.to_owned(), |s| format!("{:.1}", 100.0 * s))
}

fn budget_text(point: &FrocPoint) -> String {
    point.budget.map_or("all".to_owned(), |b| b.to_string())
}

/// Name of a curve: the run and what its segments are ranked by.
fn curve_name(dataset: &DatasetResults, froc: &FrocResults) -> String {
    let row = dataset.rows.iter().find(|r| r.run == froc.run);
    format!("{}, {}", froc.run, ranking_text(froc.ranking, row))
}

/// A ranking in words; `row` says which score gave the segments.
fn ranking_text(ranking: Ranking, row: Option<&RowResults>) -> String {
    let method = row.and_then(|r| r.method.as_deref());
    match ranking {
        Ranking::Meta => "meta classifier".to_owned(),
        Ranking::MeanScore => match row.map(|r| r.score) {
            Some(score @ Score::Adopted) => {
                format!("mean {}", score_name(score, method))
            }
            _ => "mean entropy".to_owned(),
        },
        Ranking::Size => "size".to_owned(),
    }
}

const CSV_COLUMNS: &str = "dataset,run,ranking,budget,threshold,n_kept,false_positives,false_positives_per_image,n_found,n_objects,share,share_low,share_high";

/// `froc.csv`: one line per data set, run, ranking and budget.
pub fn froc_csv(results: &Results) -> String {
    let mut text = format!("{CSV_COLUMNS}\n");
    for dataset in &results.datasets {
        for froc in &dataset.froc {
            for point in &froc.points {
                text += &csv_line(fields(&dataset.dataset, froc, point));
            }
        }
    }
    text
}

fn fields(dataset: &str, froc: &FrocResults, point: &FrocPoint) -> [String; 13] {
    let per_image = point.false_positives as f64 / froc.n_images.max(1) as f64;
    [
        csv_text(dataset),
        csv_text(&froc.run),
        froc.ranking.name().to_owned(),
        budget_text(point),
        csv_number(point.threshold),
        point.n_kept.to_string(),
        point.false_positives.to_string(),
        per_image.to_string(),
        point.n_found.to_string(),
        froc.n_objects.to_string(),
        csv_number(point.share),
        csv_number(point.interval.map(|i| i.low)),
        csv_number(point.interval.map(|i| i.high)),
    ]
}
