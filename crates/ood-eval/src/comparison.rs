//! Comparison tables: built once, shown on the terminal, as Markdown and in the report.

use std::fmt::Write;

use artifacts::labels::{CLASS_NAMES, NUM_CLASSES};
use artifacts::scores::Score;
use comfy_table::{CellAlignment, presets};
use serde::Serialize;

use crate::confusion::Confusion;
use crate::results::{DatasetResults, Results, row_name};

/// A table of texts; the first column is its rows' names.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// What the table shows.
    pub title: String,
    /// Column titles.
    pub columns: Vec<String>,
    /// Rows of cells.
    pub rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// What stands there; `–` for a figure that is not defined.
    pub text: String,
    /// Whether no other row is better in this column.
    pub is_best: bool,
}

/// What is better in a column.
#[derive(Clone, Copy, PartialEq)]
enum Better {
    Higher,
    Lower,
}

struct Column {
    title: String,
    better: Better,
    is_count: bool,
    values: Vec<Option<f64>>,
}

impl Column {
    fn percent(title: &str, better: Better, values: Vec<Option<f64>>) -> Self {
        Self {
            title: title.to_owned(),
            better,
            is_count: false,
            values,
        }
    }

    fn count(title: &str, values: impl Iterator<Item = u64>) -> Self {
        Self {
            title: title.to_owned(),
            better: Better::Lower,
            is_count: true,
            values: values.map(|v| Some(v as f64)).collect(),
        }
    }

    fn cell(&self, row: usize) -> Cell {
        let value = self.values[row];
        let text = match (value, self.is_count) {
            (None, _) => "–".to_owned(),
            (Some(v), true) => format!("{v:.0}"),
            (Some(v), false) => format!("{:.2}", 100.0 * v),
        };
        let beats = |v: f64, other: f64| match self.better {
            Better::Higher => v >= other,
            Better::Lower => v <= other,
        };
        let others = || self.values.iter().flatten();
        let differ = others().any(|&o| Some(o) != value);
        let is_best = differ && value.is_some_and(|v| others().all(|&o| beats(v, o)));
        Cell { text, is_best }
    }
}

/// The main table of a data set: every run, with and without its meta classifier. Rates are in percent.
pub fn main_table(results: &Results, dataset: &DatasetResults) -> Table {
    let rows = &dataset.rows;
    let entropy = |figure: fn(&crate::results::PixelResults) -> Option<f64>| {
        let value = |r: &crate::results::RowResults| r.pixels_of(Score::Entropy).and_then(figure);
        rows.iter().map(value).collect()
    };
    let segments = |figure: fn(&crate::segment_scores::SegmentScores) -> Option<f64>| {
        rows.iter().map(|r| figure(&r.segments)).collect()
    };
    let mut columns = vec![
        Column::percent("AUROC ↑", Better::Higher, entropy(|p| p.auroc)),
        Column::percent("FPR95 ↓", Better::Lower, entropy(|p| p.fpr95)),
        Column::percent("AUPRC ↑", Better::Higher, entropy(|p| p.auprc)),
        Column::count("FP ↓", rows.iter().map(|r| r.segments.false_positives)),
        Column::count("FN ↓", rows.iter().map(|r| r.segments.false_negatives)),
        Column::percent("sIoU ↑", Better::Higher, segments(|s| s.siou)),
        Column::percent("PPV ↑", Better::Higher, segments(|s| s.ppv)),
        Column::percent("F1* ↑", Better::Higher, segments(|s| s.f1)),
    ];
    let closed = rows.iter().map(|r| {
        let closed = results.closed_set_of(&r.run, &dataset.dataset);
        closed.and_then(|c| c.mean_iou)
    });
    let closed: Vec<_> = closed.collect();
    if closed.iter().any(Option::is_some) {
        columns.push(Column::percent("mIoU ↑", Better::Higher, closed));
    }
    let names = rows.iter().map(|r| row_name(&r.run, r.with_meta));
    build(&dataset.dataset, "run", names, &columns)
}

/// Pixel figures of all scores and runs of a data set, in percent.
pub fn score_table(dataset: &DatasetResults) -> Table {
    let rows: Vec<_> = dataset
        .rows
        .iter()
        .filter(|r| !r.with_meta)
        .flat_map(|r| r.pixels.iter().map(move |p| (r, p)))
        .collect();
    let values = |figure: fn(&crate::results::PixelResults) -> Option<f64>| {
        rows.iter().map(|(_, p)| figure(p)).collect()
    };
    let columns = [
        Column::percent("AUROC ↑", Better::Higher, values(|p| p.auroc)),
        Column::percent("FPR95 ↓", Better::Lower, values(|p| p.fpr95)),
        Column::percent("AUPRC ↑", Better::Higher, values(|p| p.auprc)),
    ];
    let names = rows
        .iter()
        .map(|(r, p)| format!("{}, {}", r.run, score_name(p.score)));
    build(
        &format!("{}: all scores", dataset.dataset),
        "run, score",
        names,
        &columns,
    )
}

/// `IoU` of every class, one column per confusion, in percent.
pub fn class_table(confusions: &[(&str, &Confusion)]) -> Table {
    let column = |&(name, c): &(&str, &Confusion)| {
        let ious = (0..NUM_CLASSES).map(|class| c.iou(class).filter(|_| c.true_pixels(class) > 0));
        let values = ious.chain([c.mean_iou(), c.pixel_accuracy()]).collect();
        Column::percent(name, Better::Higher, values)
    };
    let columns: Vec<_> = confusions.iter().map(column).collect();
    let names = CLASS_NAMES
        .into_iter()
        .chain(["mean IoU", "pixel accuracy"]);
    let mut table = build("known classes", "class", names.map(str::to_owned), &columns);
    // here the runs to compare stand beside each other, not below
    for (row, cells) in table.rows.iter_mut().enumerate() {
        let values: Vec<_> = columns.iter().map(|c| c.values[row]).collect();
        let best = values.iter().flatten().copied().fold(f64::MIN, f64::max);
        let differ = values.iter().flatten().any(|&v| v != best);
        for (cell, value) in cells[1..].iter_mut().zip(values) {
            cell.is_best = differ && value == Some(best);
        }
    }
    table
}

/// Name of a score for people.
pub fn score_name(score: Score) -> &'static str {
    match score {
        Score::Entropy => "entropy",
        Score::MaxSoftmax => "max softmax",
        Score::MaxLogit => "max logit",
        Score::Energy => "energy",
        Score::Margin => "margin",
    }
}

fn build(
    title: &str,
    first: &str,
    names: impl Iterator<Item = String>,
    columns: &[Column],
) -> Table {
    let titles = columns.iter().map(|c| c.title.clone());
    let row = |(i, name): (usize, String)| {
        let name = Cell {
            text: name,
            is_best: false,
        };
        let cells = columns.iter().map(|c| c.cell(i));
        std::iter::once(name).chain(cells).collect()
    };
    Table {
        title: title.to_owned(),
        columns: std::iter::once(first.to_owned()).chain(titles).collect(),
        rows: names.enumerate().map(row).collect(),
    }
}

impl Table {
    /// As text with lines; `*` marks the best of a column.
    pub fn terminal(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(&self.columns);
        for row in &self.rows {
            table.add_row(row.iter().map(|c| {
                if c.is_best {
                    format!("{}*", c.text)
                } else {
                    c.text.clone()
                }
            }));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{}\n{table}", self.title)
    }

    /// As Markdown; the best of a column is bold.
    pub fn markdown(&self) -> String {
        let escape = |text: &str| text.replace('|', "\\|");
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("## {}\n\n", self.title);
        text += &line(self.columns.iter().map(|c| escape(c)).collect());
        let _ = writeln!(text, "|---|{}", "---:|".repeat(self.columns.len() - 1));
        for row in &self.rows {
            text += &line(
                row.iter()
                    .map(|c| {
                        if c.is_best {
                            format!("**{}**", escape(&c.text))
                        } else {
                            escape(&c.text)
                        }
                    })
                    .collect(),
            );
        }
        text
    }
}
