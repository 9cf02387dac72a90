//! Annotations to masks: the union of an image's instances.

use anyhow::{Context, Result, ensure};
use artifacts::labels::OOD_PROXY;
use artifacts::mask::Mask;
use hotcoco::mask::fr_poly;
use hotcoco::types::{Annotation, Rle, Segmentation};

/// Marks every pixel of any annotation, crowds included.
///
/// Returns a `[height, width]` mask of [`OOD_PROXY`] on objects and `background` elsewhere.
///
/// Source: reference `prepare_coco_segmentation`: `np.maximum(annToMask(a) * 254, mask)`.
///
/// # Errors
/// As [`check`].
pub fn union_mask(
    annotations: &[&Annotation],
    width: u32,
    height: u32,
    background: u8,
) -> Result<Mask> {
    let (w, h) = (width as usize, height as usize);
    // COCO's runs go down the columns, where each is one stretch of memory
    let mut columns = vec![background; w * h];
    for annotation in annotations {
        paint(&mut columns, annotation, width, height).with_context(|| invalid(annotation))?;
    }
    Ok(Mask {
        width: w,
        height: h,
        labels: transpose(&columns, h, w),
    })
}

/// Checks that an annotation has a shape, without drawing it.
///
/// # Errors
/// If there is no segmentation or its list of polygons is empty, the first polygon has fewer than three points
/// (pycocotools raises for these; a later polygon of fewer covers nothing), or run lengths belong to another
/// size or do not add up to it (pycocotools reads or leaves memory that is not the mask's).
pub fn check(annotation: &Annotation, width: u32, height: u32) -> Result<()> {
    let check = || match segmentation(annotation)? {
        Segmentation::Polygon(parts) => check_polygons(parts),
        runs => decode(runs, width, height).map(drop),
    };
    check().with_context(|| invalid(annotation))
}

fn invalid(annotation: &Annotation) -> String {
    format!(
        "annotation {} of image {} has no valid shape: repair or remove it",
        annotation.id, annotation.image_id
    )
}

fn segmentation(annotation: &Annotation) -> Result<&Segmentation> {
    let segmentation = annotation.segmentation.as_ref();
    segmentation.context("it has no segmentation")
}

fn check_polygons(parts: &[Vec<f64>]) -> Result<()> {
    let first = parts.first().context("its list of polygons is empty")?;
    // five numbers are two points and a half, which pycocotools takes and draws nothing
    ensure!(
        first.len() > 4,
        "its first polygon has {} points, at least 3 are needed",
        first.len() / 2
    );
    Ok(())
}

/// The runs of anything but polygons.
fn decode(segmentation: &Segmentation, width: u32, height: u32) -> Result<Rle> {
    if let Segmentation::CompressedRle { size, .. } | Segmentation::UncompressedRle { size, .. } =
        segmentation
    {
        ensure!(
            *size == [height, width],
            "its run lengths are for {}x{} pixels, the image has {width}x{height}",
            size[1],
            size[0]
        );
    }
    let rle = segmentation.to_rle(height, width)?;
    Ok(Rle::new(rle.h, rle.w, rle.counts)?)
}

/// Labels the pixels of one annotation, as pycocotools 2.0 draws polygons (parts united) and decodes compressed and
/// plain run lengths.
fn paint(columns: &mut [u8], annotation: &Annotation, width: u32, height: u32) -> Result<()> {
    match segmentation(annotation)? {
        Segmentation::Polygon(parts) => {
            check_polygons(parts)?;
            for part in parts {
                paint_runs(columns, &fr_poly(part, height, width)?.counts);
            }
        }
        runs => paint_runs(columns, &decode(runs, width, height)?.counts),
    }
    Ok(())
}

/// Labels every second run; together they are as long as `columns`.
fn paint_runs(columns: &mut [u8], counts: &[u32]) {
    let mut rest = columns;
    for pair in counts.chunks(2) {
        rest = &mut rest[pair[0] as usize..];
        if let Some(&n_labeled) = pair.get(1) {
            let (labeled, others) = rest.split_at_mut(n_labeled as usize);
            labeled.fill(OOD_PROXY);
            rest = others;
        }
    }
}

/// `[n_rows, n_columns]` of a buffer in which the columns follow each other.
fn transpose(columns: &[u8], n_rows: usize, n_columns: usize) -> Vec<u8> {
    let mut rows = vec![0; columns.len()];
    // squares of eight by eight are turned in registers, the rest one by one
    let (whole_rows, whole_columns) = (n_rows / 8 * 8, n_columns / 8 * 8);
    for left in (0..whole_columns).step_by(8) {
        for top in (0..whole_rows).step_by(8) {
            let column = |i: usize| eight(&columns[(left + i) * n_rows + top..]);
            let turned = turn(std::array::from_fn(column));
            for (i, row) in turned.into_iter().enumerate() {
                rows[(top + i) * n_columns + left..][..8].copy_from_slice(&row.to_le_bytes());
            }
        }
    }
    for y in 0..n_rows {
        let begin = if y < whole_rows { whole_columns } else { 0 };
        for x in begin..n_columns {
            rows[y * n_columns + x] = columns[x * n_rows + y];
        }
    }
    rows
}

fn eight(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(first)
}

/// Turns eight columns of eight bytes into rows: swaps the squares off the diagonal, of 4, 2 and 1 bytes.
fn turn(mut lines: [u64; 8]) -> [u64; 8] {
    for (side, mask) in [
        (4, 0x0000_0000_FFFF_FFFF),
        (2, 0x0000_FFFF_0000_FFFF),
        (1, 0x00FF_00FF_00FF_00FF),
    ] {
        for i in (0..8).filter(|i| i & side == 0) {
            let swapped = ((lines[i] >> (8 * side)) ^ lines[i + side]) & mask;
            lines[i] ^= swapped << (8 * side);
            lines[i + side] ^= swapped;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::PathBuf;

    use serde::Deserialize;
    use sha2::{Digest, Sha256};

    fn annotation(segmentation: &str) -> Result<Annotation> {
        let text =
            format!(r#"{{"id":7,"image_id":3,"category_id":1,"segmentation":{segmentation}}}"#);
        Ok(serde_json::from_str(&text)?)
    }

    #[test]
    fn parts_and_annotations_are_united() -> Result<()> {
        // pycocotools 2.0.2: the box [1, 0, 2, 1] as polygon, and column-major runs from the third pixel
        let polygon = annotation("[[1,0,3,0,3,1,1,1]]")?;
        let plain = annotation(r#"{"size":[2,4],"counts":[0,1,7]}"#)?;
        let mask = union_mask(&[&polygon, &plain], 4, 2, 0)?;
        assert_eq!(mask.labels, [254, 254, 254, 0, 0, 0, 0, 0]);
        assert_eq!(union_mask(&[], 2, 1, 255)?.labels, [255, 255]);
        Ok(())
    }

    #[test]
    fn columns_become_rows() {
        for (h, w) in [(1, 1), (8, 8), (19, 26), (7, 16), (24, 3)] {
            let columns: Vec<u8> = (0..h * w).map(|i| (i * 7 % 251) as u8).collect();
            let rows = transpose(&columns, h, w);
            for (at, &value) in rows.iter().enumerate() {
                let (x, y) = (at % w, at / w);
                assert_eq!(value, columns[x * h + y], "{h}x{w} {x} {y}");
            }
        }
    }

    #[test]
    fn shapes_that_are_none_are_refused() -> Result<()> {
        let cases = [
            ("null", "no segmentation"),
            ("[]", "list of polygons is empty"),
            ("[[]]", "0 points"),
            ("[[1,1,2,2]]", "2 points"),
            (r#"{"size":[2,4],"counts":[1,6]}"#, "sum to h*w"),
            (r#"{"size":[2,4],"counts":[1,8]}"#, "9"),
            (r#"{"size":[4,2],"counts":[8]}"#, "2x4 pixels"),
            (r#"{"size":[2,4],"counts":"16"}"#, "sum to h*w"),
            (r#"{"size":[2,4],"counts":"~~"}"#, ""),
        ];
        for (segmentation, expected) in cases {
            let annotation = annotation(segmentation)?;
            let error = check(&annotation, 4, 2).expect_err(segmentation);
            let text = format!("{error:#}");
            assert!(union_mask(&[&annotation], 4, 2, 0).is_err());
            assert!(text.contains("annotation 7 of image 3"), "{text}");
            assert!(text.contains(expected), "{segmentation}: {text}");
        }
        check(&annotation("[[0,0,1,0,1,1],[1,1,2,2]]")?, 4, 2)?;
        Ok(())
    }

    /// Folder with the reference's numbers.
    fn golden() -> PathBuf {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
        let root = std::env::var_os("OODSEG_GOLDEN").map_or_else(|| default.into(), PathBuf::from);
        root.join("coco")
    }

    fn json<T: serde::de::DeserializeOwned>(name: &str) -> Result<T> {
        artifacts::atomic::read_json(&golden().join(name))
    }

    #[derive(Deserialize)]
    struct RasterCase {
        h: u32,
        w: u32,
        segmentation: Segmentation,
    }

    #[derive(Deserialize)]
    struct Raster {
        counts: Vec<u32>,
    }

    /// Lengths of runs down the columns, the first of background.
    fn runs(mask: &Mask) -> Vec<u32> {
        let mut counts = vec![0];
        let mut last = 0;
        for label in transpose(&mask.labels, mask.width, mask.height) {
            if label != last {
                counts.push(0);
                last = label;
            }
            *counts.last_mut().expect("never empty") += 1;
        }
        counts
    }

    #[test]
    fn golden_rasters_have_the_same_runs() -> Result<()> {
        let cases: Vec<RasterCase> = json("raster_cases.json")?;
        let expected: Vec<Raster> = json("expected/raster_expected.json")?;
        assert!(!cases.is_empty() && cases.len() == expected.len());
        for (i, (case, expected)) in cases.into_iter().zip(expected).enumerate() {
            let mut annotation = annotation("null")?;
            annotation.segmentation = Some(case.segmentation);
            let mask = union_mask(&[&annotation], case.w, case.h, 0)?;
            assert_eq!(runs(&mask), expected.counts, "case {i}");
        }
        Ok(())
    }

    #[derive(Deserialize)]
    struct Expected {
        annotations: std::collections::BTreeMap<u64, ExpectedMask>,
    }

    #[derive(Deserialize)]
    struct ExpectedMask {
        area: usize,
        counts_sha: String,
    }

    #[test]
    fn golden_annotations_have_the_same_pixels() -> Result<()> {
        let expected: Expected = json("expected/expected.json")?;
        let dataset: hotcoco::types::Dataset = json("instances_train2017.json")?;
        let mut n_checked = 0;
        for annotation in &dataset.annotations {
            let Some(expected) = expected.annotations.get(&annotation.id) else {
                continue;
            };
            let image = dataset.images.iter().find(|i| i.id == annotation.image_id);
            let image = image.context("every annotation has an image")?;
            let mask = union_mask(&[annotation], image.width, image.height, 0)?;
            let bits: Vec<u8> = mask.labels.iter().map(|&v| u8::from(v > 0)).collect();
            let area: usize = bits.iter().map(|&v| usize::from(v)).sum();
            let start = Sha256::digest(&bits)[..8].try_into()?;
            let hash = format!("{:016x}", u64::from_be_bytes(start));
            assert_eq!(
                (area, &hash),
                (expected.area, &expected.counts_sha),
                "annotation {}",
                annotation.id
            );
            n_checked += 1;
        }
        assert!(n_checked > 0 && n_checked == expected.annotations.len());
        Ok(())
    }
}
