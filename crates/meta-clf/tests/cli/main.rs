//! Runs the executable: what it fits and applies, what it writes, what it refuses, and the reference's numbers.

mod adopted;
mod apply;
mod classes;
mod classifiers;
mod context;
mod fit;
mod golden;
mod origin;
mod outputs;
mod results;
mod run;
mod toy;
mod without_labels;
