//! The annotation file of a call: one of instances, since regions of stuff are no objects.

use std::path::Path;

use anyhow::{Context, Result, bail};
use coco_format::dataset::{self, Dataset};

/// Categories of COCO's files of stuff, which have no objects.
const STUFF: [&str; 3] = ["sky-other", "building-other", "wall-other"];

/// Reads an annotation file of objects.
///
/// # Errors
/// Returns the errors of [`dataset::read`], and one if the categories are those of stuff.
pub(crate) fn read(path: &Path) -> Result<Dataset> {
    let dataset = dataset::read(path)?;
    let categories = dataset.categories.iter().map(|c| c.name.as_str());
    ensure_no_stuff(categories)
        .with_context(|| format!("{} is not a valid COCO annotation file", path.display()))?;
    Ok(dataset)
}

/// Checks that the categories are not those of COCO's files of stuff, whose regions are no objects.
///
/// # Errors
/// Returns an error that names the file that is needed.
fn ensure_no_stuff<'a>(mut categories: impl Iterator<Item = &'a str>) -> Result<()> {
    match categories.find(|name| STUFF.contains(name)) {
        Some(name) => {
            bail!(
                "it is a file of stuff (with the category {name}), not of objects: use instances_*.json, which has the outlines"
            )
        }
        None => Ok(()),
    }
}
