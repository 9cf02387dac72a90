//! A run among those that are shown together.

use super::model::LinearModel;
use crate::read::dataset::RunDataset;
use crate::read::runs::Run;

/// A run that has the data set, with its place among all runs, which fixes its color.
pub(super) struct Member<'a> {
    pub(super) index: usize,
    pub(super) run: &'a Run,
    pub(super) data: &'a RunDataset,
    pub(super) model: Option<LinearModel>,
}

/// Letters and digits of `text`, in lower case, the rest as `_`: a file name anywhere.
pub(super) fn slug(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    text.chars().map(plain).collect()
}
