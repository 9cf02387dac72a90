//! Runs the executable: help, drawn data sets, labels of other tools, and everything that can be wrong with a data set.

mod annotation_files;
mod arguments;
mod color_masks;
mod farm;
mod faults;
mod outputs;
mod prepare;
mod toy;
mod wrong_folders;
