//! The polygon files `*_polygons.json` of Cityscapes become label ids.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::json_error_byte;
use artifacts::cityscapes::label_of_name;
use artifacts::mask::Mask;
use artifacts::picture::MAX_PIXELS;
use serde::Deserialize;

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
    let bytes =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let annotation = parse(&bytes, path)?;
    rasterize(&annotation).with_context(|| unusable(path))
}

fn unusable(path: &Path) -> String {
    format!("{} cannot be used", path.display())
}

/// Parses an annotation file. Tools for Windows begin files with a byte order mark, and some write UTF-16.
fn parse(bytes: &[u8], path: &Path) -> Result<Annotation> {
    const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";
    let utf16;
    let (bytes, n_before) = if let Some(rest) = bytes.strip_prefix(UTF8_MARK) {
        (rest, UTF8_MARK.len())
    } else if let Some(rest) = bytes.strip_prefix(b"\xFF\xFE") {
        utf16 = decode_utf16(rest, u16::from_le_bytes).with_context(|| unusable(path))?;
        (utf16.as_bytes(), 0)
    } else if let Some(rest) = bytes.strip_prefix(b"\xFE\xFF") {
        utf16 = decode_utf16(rest, u16::from_be_bytes).with_context(|| unusable(path))?;
        (utf16.as_bytes(), 0)
    } else {
        (bytes, 0)
    };
    serde_json::from_slice(bytes).map_err(|error| {
        let byte = n_before + json_error_byte(bytes, &error);
        anyhow::Error::new(error).context(format!("{} is damaged at byte {byte}", path.display()))
    })
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    ensure!(rest.is_empty(), "it was cut off: get the file again");
    let units: Vec<u16> = units.iter().map(|&u| unit(u)).collect();
    String::from_utf16(&units).context("it is damaged: its text is not UTF-16")
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

    #[test]
    fn byte_order_marks_are_no_damage() -> Result<()> {
        let text = r#"{"imgWidth":2,"imgHeight":1,"objects":[]}"#;
        let units = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        let little: Vec<u8> = units(u16::to_le_bytes);
        let big: Vec<u8> = units(u16::to_be_bytes);
        for (mark, bytes) in [
            (&b""[..], text.as_bytes()),
            (b"\xEF\xBB\xBF", text.as_bytes()),
            (b"\xFF\xFE", &little),
            (b"\xFE\xFF", &big),
        ] {
            let annotation = parse(&[mark, bytes].concat(), Path::new("a.json"))?;
            assert_eq!((annotation.img_width, annotation.img_height), (2, 1));
        }
        let error = parse(b"\xEF\xBB\xBF{", Path::new("a.json")).err();
        let error = error.context("is damaged")?;
        assert!(
            format!("{error:#}").contains("a.json is damaged at byte 4"),
            "{error:#}"
        );
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
