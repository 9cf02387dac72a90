//! Runs the executable: the masks of the reference, toy data, and what it refuses.

mod arguments;
mod failed_images;
mod faults;
mod files_of_others;
mod masks;
mod objects;
mod outputs;
mod shapes;
mod toy;
