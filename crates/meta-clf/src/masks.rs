//! `masks/<sample_id>.png`: the segments that are kept, as masks for other tools.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::mask::{ComponentMap, Mask};
use rayon::prelude::*;

use crate::decisions::Decisions;

/// Value of pixels of segments that are kept; other pixels are 0.
pub const KEPT: u8 = 255;

/// Writes a mask into `output` for each component map in `folders`, outputs of `segment-metrics`.
///
/// # Errors
/// Returns an error if there are no component maps, one is damaged, or a mask cannot be written.
pub fn write_masks(output: &Path, folders: &[PathBuf], decisions: &Decisions) -> Result<()> {
    let rejected: HashSet<(&str, u32)> = decisions.rejected().collect();
    for folder in folders {
        let folder = folder.join("components");
        let maps = std::fs::read_dir(&folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .with_context(|| {
                format!(
                    "could not read the component maps in {}: run `segment-metrics` again",
                    folder.display()
                )
            })?;
        maps.par_iter().try_for_each(|entry| {
            let mask = mask(&entry.path(), &rejected)?;
            mask.write(&output.join(entry.file_name()))
        })?;
    }
    Ok(())
}

/// The mask for the component map at `path`, whose name is the sample id, without the segments in `rejected`.
fn mask(path: &Path, rejected: &HashSet<(&str, u32)>) -> Result<Mask> {
    let id = path.file_stem().unwrap_or_default().to_string_lossy();
    let map = ComponentMap::read(path)?;
    let is_kept = |segment: u16| segment > 0 && !rejected.contains(&(&*id, segment.into()));
    let labels = map.ids.iter().map(|&s| if is_kept(s) { KEPT } else { 0 });
    Ok(Mask {
        width: map.width,
        height: map.height,
        labels: labels.collect(),
    })
}
