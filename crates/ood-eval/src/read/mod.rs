//! The tables of a run, checked and in memory.

pub mod benchmark;
mod checks;
pub mod dataset;
pub mod detections;
mod finished;
pub mod found;
pub mod known_classes;
mod mean_scores;
pub mod missing;
pub mod own_score;
pub mod pixel_counts;
pub mod runs;
pub mod sample_pixels;
pub mod thresholds;
