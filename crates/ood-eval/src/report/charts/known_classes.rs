//! Confusion matrix and reliability diagram of the known classes.

use anyhow::Result;
use measures::calibration::Calibration;
use measures::confusion::Confusion;

use crate::colors::run_color;
use crate::read::known_classes::KnownClasses;
use crate::read::runs::Run;
use crate::report::chart::Chart;
use crate::report::drawing::lines::{self, Dot, Line, LineChart};
use crate::report::drawing::matrix::{self, Titles};

use crate::report::text::{percent, slug};

/// The confusion matrix of the run at `index`.
pub(crate) fn confusion(
    dataset: &str,
    (index, run): (usize, &Run),
    known: &KnownClasses,
) -> Result<Chart> {
    let titles = Titles {
        rows: "true class",
        columns: "predicted class",
    };
    let names: Vec<&str> = known.classes.names().collect();
    Ok(Chart {
        file: file(dataset, "confusion", (index, run)),
        title: format!("Confusion of known classes, {}", run.name),
        caption: "Each row shows which classes are predicted for the pixels of one true class, in percent of the row. Correct predictions are on the diagonal. The row of a class that does not occur in the ground truth is empty.".into(),
        svg: matrix::draw(&names, &titles, |truth, predicted| {
            share_of_row(&known.confusion, truth, predicted)
        })?,
    })
}

/// Share of the pixels of class `truth` that are predicted to be of class `predicted`; `None` if there are none of `truth`.
fn share_of_row(confusion: &Confusion, truth: usize, predicted: usize) -> Option<f64> {
    let n = confusion.true_pixels(truth);
    (n > 0).then(|| confusion.pixels(truth, predicted) as f64 / n as f64)
}

/// The reliability diagram of the run at `index`.
pub(crate) fn reliability(
    dataset: &str,
    (index, run): (usize, &Run),
    calibration: &Calibration,
) -> Result<Chart> {
    let points = calibration.reliability();
    let color = run_color(index);
    let dots = points.iter().map(|&at| Dot { at, color }).collect();
    let lines = vec![
        Line::reference((0.0, 0.0), (1.0, 1.0)),
        Line::new("", color, points),
    ];
    let chart = LineChart {
        dots,
        ..LineChart::of_rates("mean confidence", "accuracy", lines)
    };
    Ok(Chart {
        file: file(dataset, "reliability", (index, run)),
        title: format!("Reliability on known classes, {}", run.name),
        caption: format!(
            "Accuracy over mean confidence (the largest softmax probability), with one dot for each of 15 bins of confidence that contains pixels. On the dashed diagonal the network is as accurate as it is confident; below, it is overconfident. The expected calibration error (ECE), the mean distance from the diagonal over all pixels, is {}.",
            percent(calibration.error(), 2)
        ),
        svg: lines::draw(&chart)?,
    })
}

/// Name of a chart's files. The name of a data set is the name of a folder, so it can be used as it is.
fn file(dataset: &str, what: &str, (index, run): (usize, &Run)) -> String {
    let name = slug(&format!("{what} {index} {}", run.name));
    format!("{dataset}_{name}")
}
