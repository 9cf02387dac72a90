//! The table of known classes.

use artifacts::labels::{CLASS_NAMES, NUM_CLASSES};
use measures::confusion::Confusion;

use super::columns::{Column, build};
use super::table::Table;
use crate::metrics::metric::Better;

/// `IoU` of every class, one column per confusion, in percent.
pub fn class_table(confusions: &[(&str, &Confusion)]) -> Table {
    let column = |&(name, c): &(&str, &Confusion)| {
        let ious = (0..NUM_CLASSES).map(|class| c.iou(class).filter(|_| c.true_pixels(class) > 0));
        let values = ious.chain([c.mean_iou(), c.pixel_accuracy()]).collect();
        Column::share(name, Better::Higher, values)
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
