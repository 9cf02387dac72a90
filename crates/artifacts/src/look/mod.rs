//! Pictures for people to look at: color maps, contact sheets and outlines.

pub mod colors;
pub mod sheet;
