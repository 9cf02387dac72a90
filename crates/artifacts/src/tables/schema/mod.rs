//! The tables: what their rows are, their columns, and which stage writes them; one file for each stage.
//!
//! docs/ARTIFACTS.md shows the same: `tests/documentation.rs` compares it with these schemas and rewrites it on demand.

mod meta_clf;
mod ood_eval;
mod ood_train;
mod segment_metrics;
mod table;

pub use meta_clf::{coefficients, contributions, correlations, decisions, l1_path, regression};
pub use ood_eval::{calibration, confusion, images, ranked_images};
pub use ood_train::{train_log, train_validation};
pub use segment_metrics::{
    objects, overlaps, pixel_counts, sample_pixels, samples, segments, segments_of,
};
pub use table::{Field, Table, Truth};

/// Every table, for `num_classes` classes and the given metrics of segments (`features`), in the order of the stages.
pub fn all(num_classes: usize, features: &[String]) -> Vec<Table> {
    vec![
        segments(num_classes),
        objects(),
        overlaps(),
        samples(),
        pixel_counts(),
        sample_pixels(),
        decisions(),
        coefficients(),
        correlations(),
        contributions(features, None),
        l1_path(),
        regression(),
        confusion(),
        calibration(),
        images(),
        ranked_images(),
        train_log(),
        train_validation(),
    ]
}
