//! The table of known classes.

use artifacts::classes::ClassSet;
use measures::confusion::Confusion;

use super::columns::{Column, build};
use super::table::Table;
use crate::metrics::metric::Better;

/// `IoU` of every class, one column per confusion of these classes, in percent.
pub fn class_table(classes: &ClassSet, confusions: &[(&str, &Confusion)]) -> Table {
    let columns = confusions.iter().map(|(name, c)| column(name, c));
    let columns: Vec<_> = columns.collect();
    let names = classes.names().chain(["mean IoU", "pixel accuracy"]);
    let mut table = build("known classes", "class", names.map(str::to_owned), &columns);
    // other tables mark the best of a column, but here each run is a column
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

fn column(name: &str, confusion: &Confusion) -> Column {
    let ious = (0..confusion.num_classes()).map(|class| iou(confusion, class));
    let means = [confusion.mean_iou(), confusion.pixel_accuracy()];
    Column::share(name, Better::Higher, ious.chain(means).collect())
}

/// `IoU` of a class that has true pixels.
fn iou(confusion: &Confusion, class: usize) -> Option<f64> {
    let has_pixels = confusion.true_pixels(class) > 0;
    confusion.iou(class).filter(|_| has_pixels)
}
