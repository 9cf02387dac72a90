//! Numbers that several stages compute, each with one definition.
//!
//! From logits to scores of pixels ([`pixel_row`], with its logarithms and exponentials in [`vector`] and [`entropy_terms`]),
//! from scores to counts of pixels per bin ([`score_bins`], [`pixel_counts`]), from counts to the areas under curves
//! ([`curves`], [`reference_curves`] as the paper's implementation computes them, [`ranking`] for scores at hand), and what
//! follows from predicted classes ([`confusion`], [`calibration`]). [`resampling`] says how uncertain any of them is.
//!
//! This crate works on slices in memory: no files, no tables, no command line, no candle.

pub mod calibration;
pub mod confusion;
pub mod curves;
pub mod entropy_terms;
pub mod pixel_counts;
pub mod pixel_row;
pub mod ranking;
pub mod reference_curves;
pub mod resampling;
pub mod score_bins;
pub mod vector;
