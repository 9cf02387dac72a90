//! What labels become: tables from the values, colors or names in a label file to the values of a mask.

pub(crate) mod colors;
pub(crate) mod label_values;
pub(crate) mod legend_file;
pub mod meaning;
pub(crate) mod names;
pub mod remap;
pub(crate) mod table;
pub mod without_meaning;
