//! The executable on tiny samples: its tables, and what it says about unusable inputs.

mod context;
mod failures;
mod foreign;
mod in_memory;
mod interrupted;
mod keep_going;
mod killed;
mod merge;
mod scores;
mod tables;
mod toy;
mod track;
mod without_labels;
