//! A toy world: street scenes with unknown objects, and runs that find some of them, written with `artifacts` alone.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses only some of this"
)]

mod columns;
mod labels;
mod meta;
mod pixels;
mod runs;
mod scenes;
mod segments;
mod unlabeled;

use std::path::Path;

use anyhow::Result;

pub(crate) use columns::Columns;
pub(crate) use labels::write_labels;
pub(crate) use runs::{write_benchmark, write_decisions, write_run};
pub(crate) use scenes::{CLASSES, HEIGHT, Scene, WIDTH, area, baseline, retrained, scenes};
pub(crate) use segments::component_map;
pub(crate) use unlabeled::{write_unlabeled, write_unlabeled_scores};

/// Writes labels, and the runs `base` without and `retrained` with a meta classifier.
pub(crate) fn write_world(root: &Path) -> Result<()> {
    write_labels(root)?;
    write_run(&root.join("base"), &baseline(), false)?;
    write_run(&root.join("retrained"), &retrained(), true)
}
