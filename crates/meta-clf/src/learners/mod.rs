//! Training algorithms: how the parameters of each kind of classifier are found.

pub mod kinds;
pub mod l1;
pub mod learner;
pub mod logistic;
pub mod network;
pub mod trees;
