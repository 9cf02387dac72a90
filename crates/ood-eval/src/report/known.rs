//! What the report shows of the known classes of a data set.

use anyhow::Result;
use artifacts::labels::{CLASS_NAMES, NUM_CLASSES};
use serde::Serialize;

use super::charts::Chart;
use super::colors::run_color;
use super::lines::{self, Line, LineChart};
use super::matrix;
use super::member::slug;
use crate::read::runs::Run;
use crate::tables::class_table;
use crate::tables::table::Table;
use measures::calibration::Calibration;
use measures::confusion::Confusion;

/// Known classes of one data set.
#[derive(Clone, Debug, Serialize)]
pub(super) struct KnownView {
    pub(super) anchor: String,
    pub(super) table: Table,
    pub(super) confusions: Vec<Chart>,
    pub(super) reliabilities: Vec<Chart>,
}

/// Table and figures of each data set with known classes.
pub(super) fn views(runs: &[Run]) -> Result<Vec<KnownView>> {
    let names = runs.iter().flat_map(|r| r.closed_set.keys());
    let names: std::collections::BTreeSet<_> = names.collect();
    names.into_iter().map(|name| view(runs, name)).collect()
}

fn view(runs: &[Run], dataset: &str) -> Result<KnownView> {
    let members = runs.iter().enumerate();
    let members = members.filter_map(|(i, run)| Some((i, run, run.closed_set.get(dataset)?)));
    let columns: Vec<_> = members
        .clone()
        .map(|(_, run, confusion)| (run.name.as_str(), confusion))
        .collect();
    let (mut confusions, mut reliabilities) = (Vec::new(), Vec::new());
    for (index, run, confusion) in members {
        confusions.push(matrix_figure(dataset, (index, run), confusion)?);
        if let Some(calibration) = run.calibration.get(dataset) {
            reliabilities.push(reliability_figure(dataset, (index, run), calibration)?);
        }
    }
    Ok(KnownView {
        anchor: format!("known-{}", slug(dataset)),
        table: Table {
            title: dataset.to_owned(),
            ..class_table(&columns)
        },
        confusions,
        reliabilities,
    })
}

/// File stem of a figure: the name of a data set is a folder's already.
fn file(dataset: &str, what: &str, (index, run): (usize, &Run)) -> String {
    format!(
        "{dataset}_{}",
        slug(&format!("{what} {index} {}", run.name))
    )
}

fn matrix_figure(dataset: &str, run: (usize, &Run), confusion: &Confusion) -> Result<Chart> {
    let share = |truth: usize, predicted: usize| {
        let n = confusion.true_pixels(truth);
        (n > 0).then(|| confusion.pixels(truth, predicted) as f64 / n as f64)
    };
    let names = &CLASS_NAMES[..NUM_CLASSES];
    Ok(Chart {
        file: file(dataset, "confusion", run),
        title: format!("Confusion of known classes, {}", run.1.name),
        caption: "Each row: what the pixels of a class are taken for, in percent of the row. The diagonal is right; a class that the images lack has no row.".into(),
        svg: matrix::draw(names, ("true class", "predicted class"), share)?,
    })
}

fn reliability_figure(
    dataset: &str,
    run: (usize, &Run),
    calibration: &Calibration,
) -> Result<Chart> {
    let points = calibration.reliability();
    let color = run_color(run.0);
    let dots = points.iter().map(|&at| (at, color)).collect();
    let line = |color, is_dashed, points| Line {
        name: String::new(),
        color,
        is_dashed,
        is_filled: false,
        points,
    };
    let svg = lines::draw(&LineChart {
        x_title: "mean confidence",
        y_title: "share of right pixels",
        x: 0.0..1.0,
        y: 0.0..1.0,
        is_log_y: false,
        lines: vec![
            line([140, 140, 140], true, vec![(0.0, 0.0), (1.0, 1.0)]),
            line(color, false, points),
        ],
        dots,
    })?;
    let error = calibration.error();
    let error = error.map_or("–".to_owned(), |e| format!("{:.2} %", 100.0 * e));
    Ok(Chart {
        file: file(dataset, "reliability", run),
        title: format!("Reliability on known classes, {}", run.1.name),
        caption: format!(
            "Share of right pixels over mean confidence (largest softmax probability), one dot for each of 15 bins of confidence that has pixels. On the dashed diagonal the network is as sure as it is right; below it is too sure. Expected calibration error (ECE), the mean distance over pixels: {error}."
        ),
        svg,
    })
}
