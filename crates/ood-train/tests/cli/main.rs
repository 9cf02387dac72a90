//! The executable on tiny images: the same bytes however it runs, also when it is killed on the way, and its error messages
//! for unusable inputs.

mod classes;
mod data_sets;
mod errors;
mod interruption;
mod output;
mod toy;
mod training;
