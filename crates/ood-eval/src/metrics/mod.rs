//! Metrics of pixels and segments, computed from what was read.
//!
//! [`metric`] lists all metrics, each with its name, direction and formula.

pub mod bootstrap;
pub mod distance_bands;
pub mod froc;
pub mod intervals;
pub mod metric;
pub mod paired;
pub mod pixel_resamples;
pub mod reference;
pub mod segment_scores;
pub mod segment_totals;
pub mod size_bands;
