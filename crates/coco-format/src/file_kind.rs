//! Which kind of annotation file it is: all but COCO's instances are refused with the name of the one that is needed.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Result, bail, ensure};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

const USE: &str = "use instances_*.json, which has the outlines";

/// Checks by the names of its members that a file can be one of instances.
///
/// # Errors
/// Returns an error that says what it is instead.
pub(crate) fn ensure_lists_images<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let names: Vec<&str> = names.collect();
    let has = |name: &str| names.contains(&name);
    if has("images") {
        return Ok(());
    }
    let found = if has("shapes") && has("imagePath") {
        "it is a LabelMe file of one image, convert the folder to COCO instances"
    } else if names.iter().any(|name| name.starts_with("_via")) {
        "it is a VIA project, export it as COCO"
    } else if has("items") {
        "it is a Datumaro project, export it as COCO"
    } else if has("imgWidth") && has("objects") {
        "it is a polygon file of Cityscapes, which `cityscapes-io prepare` reads"
    } else if has("annotation") || has("annotations") {
        "`images` is missing"
    } else {
        "it is not a COCO annotation file"
    };
    bail!("it lists no images: {found}")
}

/// How many annotations have which members.
#[derive(Default)]
pub(crate) struct Census {
    shapes: AtomicUsize,
    segments_info: AtomicUsize,
    captions: AtomicUsize,
    keypoints: AtomicUsize,
    boxes: AtomicUsize,
}

/// The members that tell the annotations of other kinds of files apart, as far as an annotation has them.
pub(crate) struct Marks<'a> {
    pub(crate) segmentation: Option<&'a RawValue>,
    pub(crate) segments_info: Option<IgnoredAny>,
    pub(crate) caption: Option<IgnoredAny>,
    pub(crate) keypoints: Option<IgnoredAny>,
    pub(crate) bbox: Option<IgnoredAny>,
}

impl Census {
    /// Counts an annotation; may be called from several threads.
    pub(crate) fn count(&self, marks: &Marks) {
        for (counter, has) in [
            (&self.shapes, marks.segmentation.is_some_and(is_shape)),
            (&self.segments_info, marks.segments_info.is_some()),
            (&self.captions, marks.caption.is_some()),
            (&self.keypoints, marks.keypoints.is_some()),
            (&self.boxes, marks.bbox.is_some()),
        ] {
            if has {
                counter.fetch_add(1, Relaxed);
            }
        }
    }

    /// Checks that annotations have shapes.
    ///
    /// # Errors
    /// Returns an error that says what they have instead.
    pub(crate) fn ensure_instances(&self, n_annotations: usize) -> Result<()> {
        let has = |counter: &AtomicUsize| counter.load(Relaxed) > 0;
        ensure!(
            n_annotations > 0,
            "it has no annotations, as the files of test images: {USE}"
        );
        if has(&self.segments_info) {
            bail!(
                "it is a panoptic file (annotations with `segments_info`), whose masks are in PNG files: {USE}"
            );
        }
        if has(&self.shapes) {
            return Ok(());
        }
        if has(&self.captions) {
            bail!("it is a file of captions, without outlines: {USE}");
        }
        if has(&self.keypoints) {
            bail!("it is a file of keypoints, without outlines: {USE}");
        }
        if has(&self.boxes) {
            bail!("it is a file of boxes (every `segmentation` is absent or empty): {USE}");
        }
        Ok(())
    }
}

/// Whether a segmentation is neither an empty list nor an empty object.
fn is_shape(segmentation: &RawValue) -> bool {
    let inside = segmentation.get().get(1..).unwrap_or_default();
    !inside.trim_start().starts_with([']', '}'])
}
