//! Comparison tables: built once, shown on the terminal, as Markdown, as LaTeX and in the report.

use std::fmt::Write;

use artifacts::labels::{CLASS_NAMES, NUM_CLASSES};
use artifacts::score::Score;
use comfy_table::{CellAlignment, presets};
use serde::Serialize;

use crate::benchmark::Benchmark;
use crate::bootstrap::Figure;
use crate::results::{ClosedSetResults, DatasetResults, Group, Results, Spread, row_name};
use measures::confusion::Confusion;
use measures::resampling::Interval;

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

impl Cell {
    pub(crate) fn plain(text: String) -> Self {
        Self {
            text,
            is_best: false,
        }
    }
}

/// A count, or a share in percent; `–` if it is not defined.
pub(crate) fn figure_text(value: Option<f64>, is_count: bool) -> String {
    match value {
        None => "–".to_owned(),
        Some(v) if is_count => format!("{v:.0}"),
        Some(v) => format!("{:.2}", 100.0 * v),
    }
}

/// An interval of counts, or of shares in percent.
pub(crate) fn interval_text(interval: Option<Interval>, is_count: bool) -> String {
    let text = |v| figure_text(Some(v), is_count);
    interval.map_or("–".to_owned(), |i| {
        format!("{} to {}", text(i.low), text(i.high))
    })
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

    /// Mean and spread of some rows.
    fn spread(&self, rows: &[usize]) -> Cell {
        let spread = Spread::of(rows.iter().map(|&row| self.values[row]));
        let text = spread.map_or("–".to_owned(), |s| {
            let scale = if self.is_count { 1.0 } else { 100.0 };
            let deviation = s.deviation.unwrap_or(0.0);
            format!("{:.2} ± {:.2}", scale * s.mean, scale * deviation)
        });
        Cell::plain(text)
    }

    fn cell(&self, row: usize) -> Cell {
        let value = self.values[row];
        let text = figure_text(value, self.is_count);
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
    let closed = |figure: fn(&ClosedSetResults) -> Option<f64>| -> Vec<_> {
        let of_run = |run| {
            results
                .closed_set_of(run, &dataset.dataset)
                .and_then(figure)
        };
        rows.iter().map(|r| of_run(&r.run)).collect()
    };
    for (title, better, values) in [
        ("mIoU ↑", Better::Higher, closed(|c| c.mean_iou)),
        ("ECE ↓", Better::Lower, closed(|c| c.calibration_error)),
    ] {
        if values.iter().any(Option::is_some) {
            columns.push(Column::percent(title, better, values));
        }
    }
    let names = rows.iter().map(|r| row_name(&r.run, r.with_meta));
    let mut table = build(&dataset.dataset, "run", names, &columns);
    for with_meta in [false, true] {
        let is_member = |row: usize, group: &Group| {
            rows[row].with_meta == with_meta && group.runs.contains(&rows[row].run)
        };
        for (group, n, cells) in group_rows(results, &columns, rows.len(), is_member) {
            let name = row_name(&group.name, with_meta);
            table
                .rows
                .push(named(format!("{name}, mean of {n}"), cells));
        }
    }
    table
}

/// A row of a table.
fn named(name: String, cells: impl IntoIterator<Item = Cell>) -> Vec<Cell> {
    std::iter::once(Cell::plain(name)).chain(cells).collect()
}

/// How many of the `n_rows` rows are members, and mean and spread over these, of each group that has any.
fn group_rows<'a>(
    results: &'a Results,
    columns: &[Column],
    n_rows: usize,
    is_member: impl Fn(usize, &Group) -> bool,
) -> Vec<(&'a Group, usize, Vec<Cell>)> {
    let of_group = |group: &'a Group| {
        let members: Vec<usize> = (0..n_rows).filter(|&row| is_member(row, group)).collect();
        let cells = columns.iter().map(|c| c.spread(&members)).collect();
        (!members.is_empty()).then_some((group, members.len(), cells))
    };
    results.groups.iter().filter_map(of_group).collect()
}

/// Bootstrap intervals of the figures of [`main_table`]; `None` if there are none.
pub fn interval_table(dataset: &DatasetResults) -> Option<Table> {
    let entropy = [Figure::Auroc, Figure::Fpr95, Figure::Auprc].map(|of| of(Score::Entropy));
    let figures: Vec<Figure> = entropy.into_iter().chain(Figure::OF_SEGMENTS).collect();
    let rows = dataset.rows.iter().map(|r| {
        let intervals = figures.iter().map(|&f| r.interval(f)).collect();
        (row_name(&r.run, r.with_meta), intervals)
    });
    intervals_of(&dataset.dataset, &figures, rows.collect())
}

/// A table of rows with an interval of each figure; `None` if there is no interval at all.
fn intervals_of(
    name: &str,
    figures: &[Figure],
    rows: Vec<(String, Vec<Option<Interval>>)>,
) -> Option<Table> {
    let has_any = rows
        .iter()
        .any(|(_, of_row)| of_row.iter().any(Option::is_some));
    let titles = figures.iter().map(|f| f.label().to_owned());
    let row = |(name, intervals): (String, Vec<Option<Interval>>)| {
        let cells = intervals.into_iter().zip(figures);
        named(
            name,
            cells.map(|(i, f)| Cell::plain(interval_text(i, f.is_count()))),
        )
    };
    has_any.then(|| Table {
        title: format!("{name}: 95 % intervals over images"),
        columns: std::iter::once("run".to_owned()).chain(titles).collect(),
        rows: rows.into_iter().map(row).collect(),
    })
}

/// Segment errors by size of the objects and segments.
pub fn size_table(dataset: &DatasetResults) -> Table {
    let of_row = |r: &crate::results::RowResults| -> Vec<Vec<Cell>> {
        let name = row_name(&r.run, r.with_meta);
        let cells = |b: &crate::size_bands::SizeBand| {
            let count = |n: u64| n.to_string();
            let texts = [
                format!("{name}, from {} px", b.min_size),
                count(b.n_objects),
                count(b.false_negatives),
                figure_text(b.siou, false),
                count(b.n_kept),
                count(b.false_positives),
            ];
            texts.map(Cell::plain).to_vec()
        };
        r.sizes.iter().map(cells).collect()
    };
    let columns = ["run, size", "objects", "FN ↓", "sIoU ↑", "segments", "FP ↓"];
    Table {
        title: format!("{}: by size", dataset.dataset),
        columns: columns.map(str::to_owned).to_vec(),
        rows: dataset.rows.iter().flat_map(of_row).collect(),
    }
}

/// Missed objects by how far away they seem to be, see [`crate::distance_bands`].
pub fn distance_table(dataset: &DatasetResults) -> Table {
    let of_row = |r: &crate::results::RowResults| -> Vec<Vec<Cell>> {
        let name = row_name(&r.run, r.with_meta);
        let cells = |b: &crate::distance_bands::DistanceBand| {
            let texts = [
                format!("{name}, {}", b.distance.name()),
                b.n_objects.to_string(),
                b.false_negatives.to_string(),
                figure_text(b.siou, false),
            ];
            texts.map(Cell::plain).to_vec()
        };
        r.distances.iter().map(cells).collect()
    };
    Table {
        title: format!(
            "{}: by distance, from the row in the image",
            dataset.dataset
        ),
        columns: ["run, distance", "objects", "FN ↓", "sIoU ↑"]
            .map(str::to_owned)
            .to_vec(),
        rows: dataset.rows.iter().flat_map(of_row).collect(),
    }
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

/// `SegmentMeIfYouCan`'s figures of the runs on a data set, in percent; `None` if there are none.
pub fn benchmark_table(results: &Results, dataset: &str) -> Option<Table> {
    let rows = results.benchmark.iter().filter(|b| b.dataset == dataset);
    let rows: Vec<_> = rows.map(|b| (&b.run, &b.figures)).collect();
    let values =
        |of: fn(&Benchmark) -> Option<f64>| rows.iter().map(|(_, figures)| of(figures)).collect();
    let columns = [
        Column::percent("AUPRC ↑", Better::Higher, values(|b| b.auprc)),
        Column::percent("FPR95 ↓", Better::Lower, values(|b| b.fpr95)),
        Column::percent("sIoU ↑", Better::Higher, values(|b| b.segments.siou)),
        Column::percent("PPV ↑", Better::Higher, values(|b| b.segments.ppv)),
        Column::percent("F1* ↑", Better::Higher, values(|b| b.segments.f1)),
    ];
    let title = format!("{dataset}: SegmentMeIfYouCan");
    let names = rows.iter().map(|(run, _)| (*run).clone());
    let mut table = build(&title, "run", names, &columns);
    let is_member = |row: usize, group: &Group| group.runs.contains(rows[row].0);
    for (group, n, cells) in group_rows(results, &columns, rows.len(), is_member) {
        let name = format!("{}, mean of {n}", group.name);
        table.rows.push(named(name, cells));
    }
    let cuts = rows.iter().map(|(_, figures)| Some(&figures.threshold));
    for (cells, cut) in table
        .rows
        .iter_mut()
        .zip(cuts.chain(std::iter::repeat(None)))
    {
        let threshold = cut.map(|c| format!("{} ≥ {:.4}", score_name(c.score), c.threshold));
        let texts = [cut.map(|c| c.track.name().to_owned()), threshold];
        let cut = texts.map(|text| Cell::plain(text.unwrap_or("–".to_owned())));
        cells.splice(1..1, cut);
    }
    table
        .columns
        .splice(1..1, ["track", "threshold"].map(str::to_owned));
    (!rows.is_empty()).then_some(table)
}

/// Bootstrap intervals of the figures of [`benchmark_table`]; `None` if there are none.
pub fn benchmark_interval_table(results: &Results, dataset: &str) -> Option<Table> {
    let of_dataset = || results.benchmark.iter().filter(|b| b.dataset == dataset);
    // the score has the same label whichever it is
    let figures = Benchmark::figures(of_dataset().next()?.figures.threshold.score);
    let rows = of_dataset().map(|b| {
        let found = |f: &Figure| {
            b.figures
                .intervals
                .iter()
                .find(|i| i.figure.name() == f.name())
        };
        let intervals = figures.iter().map(|f| Some(found(f)?.interval));
        (b.run.clone(), intervals.collect())
    });
    let name = format!("{dataset}: SegmentMeIfYouCan");
    intervals_of(&name, &figures, rows.collect())
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

    /// As a LaTeX table for the package `booktabs`; the best of a column is bold.
    pub fn latex(&self) -> String {
        let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
        let header = self.columns.iter().map(|c| latex_text(c)).collect();
        let cell = |c: &Cell| {
            let text = latex_text(&c.text);
            if c.is_best {
                format!("\\textbf{{{text}}}")
            } else {
                text
            }
        };
        let rows: String = self
            .rows
            .iter()
            .map(|row| line(row.iter().map(cell).collect()))
            .collect();
        format!(
            "\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \\begin{{tabular}}{{l{}}}\n    \\toprule\n{}    \\midrule\n{rows}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n\n",
            latex_text(&self.title),
            "r".repeat(self.columns.len() - 1),
            line(header),
        )
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

/// A text with everything escaped that LaTeX would take for a command.
fn latex_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped += "\\textbackslash{}",
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '↑' => escaped += "$\\uparrow$",
            '↓' => escaped += "$\\downarrow$",
            '±' => escaped += "$\\pm$",
            '–' => escaped += "--",
            '−' => escaped += "$-$",
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_valid_latex() {
        let best = Cell {
            text: "91.42".to_owned(),
            is_best: true,
        };
        let table = Table {
            title: "lost_and_found: 100 %".to_owned(),
            columns: vec!["run".to_owned(), "AUROC ↑".to_owned()],
            rows: vec![vec![Cell::plain("a & b \\ {c} ±–".to_owned()), best]],
        };
        let expected = r"\begin{table}
  \centering
  \caption{lost\_and\_found: 100 \%}
  \begin{tabular}{lr}
    \toprule
    run & AUROC $\uparrow$ \\
    \midrule
    a \& b \textbackslash{} \{c\} $\pm$-- & \textbf{91.42} \\
    \bottomrule
  \end{tabular}
\end{table}

";
        assert_eq!(table.latex(), expected);
    }
}
