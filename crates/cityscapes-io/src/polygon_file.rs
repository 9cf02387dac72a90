//! The polygon files `*_polygons.json` of Cityscapes become label ids.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::cityscapes::label_of_name;
use artifacts::mask::Mask;
use artifacts::picture::MAX_PIXELS;
use serde::Deserialize;

use crate::json_file;
use crate::pillow_polygon::fill_polygon;

/// The fields of an annotation file that are needed to rasterize it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    img_width: usize,
    img_height: usize,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    label: String,
    polygon: Vec<[f64; 2]>,
    /// `true` or 1 if the annotators removed the object; files have both spellings.
    #[serde(default)]
    deleted: serde_json::Value,
}

impl Object {
    fn is_deleted(&self) -> bool {
        self.deleted.as_bool().unwrap_or(false) || self.deleted.as_f64().is_some_and(|v| v != 0.0)
    }
}

/// Rasterizes the objects of an annotation file in their order, so that later objects cover earlier ones.
///
/// Returns label ids as in `*_labelIds.png`; pixels that no object covers are `unlabeled` (0). Deleted objects and license
/// plates (id -1) are left out.
///
/// Source: cityscapesScripts, `json2labelImg.createLabelImage`.
///
/// # Errors
/// Returns an error if the file is damaged, its size is not one that an image could have, or an object has an unknown label
/// or fewer than two corners.
pub fn read_label_ids(path: &Path) -> Result<Mask> {
    let annotation: Annotation = json_file::read(path)?;
    rasterize(&annotation).with_context(|| json_file::unusable(path))
}

fn rasterize(annotation: &Annotation) -> Result<Mask> {
    let (width, height) = (annotation.img_width, annotation.img_height);
    let n_pixels = (width as u64).checked_mul(height as u64);
    ensure!(
        n_pixels.is_some_and(|n| (1..=MAX_PIXELS).contains(&n)),
        "its size is {width}x{height} pixels, which no image has"
    );
    let mut mask = Mask::filled(width, height, 0);
    for (number, object) in (1..).zip(&annotation.objects) {
        if object.is_deleted() {
            continue;
        }
        let label = label_of_name(&object.label)
            .with_context(|| format!("object {number} has the unknown label {:?}", object.label))?;
        ensure!(
            object.polygon.len() >= 2,
            "object {number} ({}) has {} corners, at least 2 are needed",
            object.label,
            object.polygon.len()
        );
        let Ok(id) = u8::try_from(label.id) else {
            continue;
        };
        fill_polygon(&object.polygon, width, height, |row, columns| {
            mask.labels[row * width..][columns].fill(id);
        });
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::cityscapes::{LABELS, train_id};
    use stage_testing::data::golden_or_committed;

    fn read(text: &str) -> Result<Mask> {
        rasterize(&serde_json::from_str(text)?)
    }

    #[test]
    fn later_objects_cover_earlier_ones_and_deleted_ones_do_not() -> Result<()> {
        let object = |label: &str, right: u32, more: &str| {
            format!(r#"{{"label":"{label}","polygon":[[0,0],[{right},0]]{more}}}"#)
        };
        let file = |objects: &[String]| {
            let objects = objects.join(",");
            format!(r#"{{"imgWidth":4,"imgHeight":1,"objects":[{objects}]}}"#)
        };
        let mask = read(&file(&[
            object("road", 2, ""),
            object("cargroup", 1, r#","id":3"#),
            object("sky", 3, r#","deleted":1"#),
            object("license plate", 3, r#","deleted":false"#),
            object("person", 0, ""),
        ]))?;
        assert_eq!(mask.labels, [24, 26, 7, 0]);
        let error = read(&file(&[object("dragon", 1, "")])).expect_err("no label");
        assert!(error.to_string().contains("object 1"), "{error}");
        assert!(read(r#"{"imgWidth":0,"imgHeight":1,"objects":[]}"#).is_err());
        assert!(read(r#"{"imgWidth":1e9,"imgHeight":1,"objects":[]}"#).is_err());
        Ok(())
    }

    /// The folder has label images that cityscapesScripts rasterized with Pillow.
    #[test]
    fn golden_polygons_have_the_same_pixels() -> Result<()> {
        let folder = golden_or_committed("polygons");
        let mut n_cases = 0;
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let mask = read_label_ids(&path)?;
            let expected = Mask::read_raw(&path.with_extension("labelIds.png"))?;
            let n_different = mask.labels.iter().zip(&expected.labels);
            let n_different = n_different.filter(|(a, b)| a != b).count();
            assert_eq!(n_different, 0, "{}", path.display());
            let train_ids = Mask::read_raw(&path.with_extension("labelTrainIds.png"))?;
            let ours = mask.labels.iter().map(|&id| train_id(id));
            assert!(ours.eq(train_ids.labels.iter().map(|&id| Some(id))));
            n_cases += 1;
        }
        assert!(n_cases > 0, "no cases in {}", folder.display());
        Ok(())
    }

    #[test]
    fn all_labels_are_found_by_name() {
        for label in LABELS {
            assert_eq!(label_of_name(label.name).map(|l| l.id), Some(label.id));
        }
    }
}
