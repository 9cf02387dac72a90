//! The outlines or run lengths of an annotation, read from JSON.

use anyhow::{Result, bail};
use hotcoco::types::Segmentation;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What is wrong with a shape that [`is_off`].
pub const OFF: &str =
    "coordinates have to be in pixels of the image, not from 0 to 1 and not outside of it";

#[derive(Deserialize)]
struct RunLengths<'a> {
    size: [f64; 2],
    #[serde(borrow)]
    counts: &'a RawValue,
}

/// Reads the JSON of a segmentation: a list of polygons, or an object of run lengths, compressed or not.
///
/// # Errors
/// Returns an error that says in which way it is neither.
pub(crate) fn parse(json: &[u8]) -> Result<Segmentation> {
    match json.first() {
        Some(b'[') => match serde_json::from_slice(json) {
            Ok(polygons) => Ok(Segmentation::Polygon(polygons)),
            Err(_) => bail!("{}", wrong_polygons(json)),
        },
        Some(b'{') => run_lengths(json),
        _ => bail!("its segmentation is neither a list of polygons nor run lengths"),
    }
}

fn run_lengths(json: &[u8]) -> Result<Segmentation> {
    let Ok(found) = serde_json::from_slice::<RunLengths>(json) else {
        bail!("its run lengths do not have `size` (height and width) and `counts`");
    };
    let size = found.size.map(count);
    let [Some(height), Some(width)] = size else {
        bail!("the size of its run lengths is not one in pixels");
    };
    let size = [height, width];
    let counts = found.counts.get();
    if let Ok(counts) = serde_json::from_str(counts) {
        return Ok(Segmentation::CompressedRle { size, counts });
    }
    // some tools write whole numbers as 7.0
    let counts: Option<Vec<f64>> = serde_json::from_str(counts).ok();
    let counts = counts.and_then(|counts| counts.into_iter().map(count).collect());
    match counts {
        Some(counts) => Ok(Segmentation::UncompressedRle { size, counts }),
        None => bail!("its `counts` are neither a text nor a list of run lengths"),
    }
}

/// A number of pixels, if it is whole.
fn count(number: f64) -> Option<u32> {
    let is_count = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    is_count.then_some(number as u32)
}

/// What is wrong with a list that is not one of polygons.
fn wrong_polygons(json: &[u8]) -> &'static str {
    let Ok(Value::Array(parts)) = serde_json::from_slice(json) else {
        return "its segmentation is nested too deep, or has a coordinate out of range";
    };
    if parts.iter().all(Value::is_number) {
        return "its segmentation is one flat list of numbers: it has to be a list of polygons, [[x, y, ...]]";
    }
    let numbers = parts.iter().filter_map(Value::as_array).flatten();
    if numbers.clone().any(Value::is_array) {
        return "its polygons are lists of points: each has to be one list of numbers, [x, y, x, y, ...]";
    }
    if parts.iter().any(|part| !part.is_array()) {
        return "its segmentation is not a list of polygons, [[x, y, ...]]";
    }
    "a coordinate of its segmentation is not a number"
}

/// Whether polygons cover no pixel of an image of `width` x `height` pixels because they are in another place, or because their
/// coordinates are from 0 to 1. Polygons that are merely thinner than a pixel are not.
pub fn is_off(parts: &[Vec<f64>], width: u32, height: u32) -> bool {
    let (width, height) = (f64::from(width), f64::from(height));
    parts.iter().all(|part| {
        let (points, _) = part.as_chunks::<2>();
        let outside = points.iter().all(|p| p[0] <= 0.0)
            || points.iter().all(|p| p[0] >= width)
            || points.iter().all(|p| p[1] <= 0.0)
            || points.iter().all(|p| p[1] >= height);
        outside || points.iter().flatten().all(|v| (0.0..=1.0).contains(v))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_all_spellings_are_read() -> Result<()> {
        let parsed =
            |json: &str| -> Result<String> { Ok(serde_json::to_string(&parse(json.as_bytes())?)?) };
        for (json, expected) in [
            ("[[1,2.5,3]]", "[[1.0,2.5,3.0]]"),
            ("[]", "[]"),
            (
                r#"{"size":[2.0,4],"counts":[8]}"#,
                r#"{"size":[2,4],"counts":[8]}"#,
            ),
            (
                r#"{"counts":[3.0,5],"size":[2,4]}"#,
                r#"{"size":[2,4],"counts":[3,5]}"#,
            ),
            (
                r#"{"counts":"8","size":[2,4],"area":1}"#,
                r#"{"size":[2,4],"counts":"8"}"#,
            ),
        ] {
            assert_eq!(parsed(json)?, expected);
        }
        for (json, expected) in [
            ("[1,2,3,4,5,6]", "one flat list"),
            ("[[[1,2],[3,4],[5,6]]]", "lists of points"),
            (r#"[[1,"a",3]]"#, "not a number"),
            ("[[1,null,3]]", "not a number"),
            (r#"[[1,2,3,4,5,6],{"x":1}]"#, "not a list of polygons"),
            ("[[1e999]]", "out of range"),
            (r#"{"size":[2,4]}"#, "do not have `size`"),
            (r#"{"size":[2.5,4],"counts":[8]}"#, "not one in pixels"),
            (r#"{"size":[2,4],"counts":[-8]}"#, "neither a text nor"),
            (r#"{"size":[2,4],"counts":[7.5]}"#, "neither a text nor"),
            ("\"x\"", "neither a list"),
            ("7", "neither a list"),
        ] {
            let text = parse(json.as_bytes()).expect_err(json).to_string();
            assert!(text.contains(expected), "{json}: {text}");
        }
        Ok(())
    }
}
