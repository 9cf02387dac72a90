//! Drawings of numbers as SVG. Nothing here knows what the numbers mean.
//!
//! Every drawing has a transparent background and is twice as large as it is shown, because coordinates are whole numbers.

pub(super) mod bars;
mod canvas;
pub(super) mod lines;
pub(super) mod matrix;
pub(super) mod pdf;
pub(super) mod raster;
pub(super) mod svg;
pub(super) mod tree;
