//! Predictions of the classifiers that are more than a weighted sum. Their parameters are in [`artifacts::model_file`].

pub mod network;
pub mod trees;
