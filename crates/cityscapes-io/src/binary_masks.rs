//! Masks of 0 and 255, as most drawing tools write them, whose 255 would silently be void.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use artifacts::labels::{IGNORE, MaskKind, OOD_PROXY};
use artifacts::mask::Mask;
use rayon::prelude::*;

use crate::discover::discover;
use crate::label_reader::LabelSource;
use crate::manifest::DatasetManifest;

/// Refuses masks that have no values but 0 and 255, if nobody said what 255 means.
///
/// One other value in any mask is enough to believe them, so that only unusual data sets are read to the end.
///
/// # Errors
/// Returns an error with the flag that says what the values mean, or the error of [`discover`].
pub(crate) fn refuse(manifest: &DatasetManifest, root: &Path) -> Result<()> {
    let found = discover(manifest, root)?;
    let labels = found.samples.iter().filter_map(|s| s.labels.as_ref());
    let labels: Vec<&LabelSource> = labels.collect();
    let has_void = AtomicBool::new(false);
    let has_others = labels.par_iter().any(|labels| {
        // files that cannot be read are refused where they are used
        let Ok(mask) = Mask::read_raw(&labels.path) else {
            return true;
        };
        if mask.labels.contains(&IGNORE) {
            has_void.store(true, Ordering::Relaxed);
        }
        mask.labels
            .iter()
            .any(|&value| !matches!(value, 0 | IGNORE))
    });
    if !has_others && has_void.into_inner() {
        bail!("{}", message(root, manifest.mask_kind));
    }
    Ok(())
}

/// Whether masks of `kind` with these values say nothing but which pixels are void. Train ids are not among them, since a
/// picture of nothing but road has such masks.
pub(crate) fn are_all_void(kind: MaskKind, values: impl Iterator<Item = u8>) -> bool {
    let values: Vec<u8> = values.collect();
    kind != MaskKind::TrainId
        && values.contains(&IGNORE)
        && values.iter().all(|&value| matches!(value, 0 | IGNORE))
}

/// What is wrong with masks of 0 and 255 in `root`, and what to do.
pub(crate) fn message(root: &Path, kind: MaskKind) -> String {
    let (unknown, object) = match kind {
        MaskKind::TrainId => ("class other than 0", 1),
        MaskKind::Proxy => ("object", OOD_PROXY),
        MaskKind::Object => ("object", 1),
        MaskKind::Eval => ("unknown object", 1),
    };
    format!(
        "all masks in {} have only the values 0 and 255, and 255 means void: no pixel would be of any {unknown}; if 255 marks \
         the objects, use `cityscapes-io index` with --values 0=0,255={object}; if it is void indeed, with --values \
         0=0,255=255",
        root.display()
    )
}
