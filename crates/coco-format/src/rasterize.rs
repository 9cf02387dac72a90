//! From annotations to object pixels: the union of an image's instances.

use anyhow::{Context, Result, ensure};
use hotcoco::types::{Rle, Segmentation};

use crate::dataset::{Annotation, Dataset};
use crate::objects::Objects;
use crate::shape;

/// Sets `objects` to the union of all annotations of an image of `width` x `height` pixels, crowds included. Polygons are
/// rasterized, and compressed and plain run lengths are decoded, as pycocotools 2.0 does it.
///
/// Source: reference `prepare_coco_segmentation`: `np.maximum(annToMask(a) * 254, mask)`.
///
/// # Errors
/// Returns the error of [`check`] for the first annotation without a valid shape.
pub fn unite(
    objects: &mut Objects,
    dataset: &Dataset,
    annotations: &[&Annotation],
    width: u32,
    height: u32,
) -> Result<()> {
    objects.reset(width, height);
    for annotation in annotations {
        let segmentation = dataset.segmentation(annotation);
        segmentation
            .and_then(|segmentation| add(objects, &segmentation, width, height))
            .with_context(|| invalid(annotation))?;
    }
    Ok(())
}

fn add(objects: &mut Objects, segmentation: &Segmentation, width: u32, height: u32) -> Result<()> {
    match segmentation {
        Segmentation::Polygon(parts) => {
            check_polygons(parts)?;
            for part in parts {
                objects.add_polygon(part);
            }
        }
        runs => objects.add_runs(&decode(runs, width, height)?.counts),
    }
    Ok(())
}

/// Checks that an annotation has a shape within an image of `width` x `height` pixels, without rasterizing it. Returns whether
/// the shape is one of another place or scale, see `shape::is_off`.
///
/// # Errors
/// Returns an error if there is no segmentation, its list of polygons is empty or its first polygon has fewer than three
/// points (pycocotools raises for these; a later polygon with fewer points covers nothing), or if run lengths are for
/// another image size or do not add up to it (pycocotools reads or leaves uninitialized memory for these).
pub fn check(dataset: &Dataset, annotation: &Annotation, width: u32, height: u32) -> Result<bool> {
    let segmentation = dataset.segmentation(annotation);
    segmentation
        .and_then(|segmentation| check_shape(&segmentation, width, height))
        .with_context(|| invalid(annotation))
}

fn check_shape(segmentation: &Segmentation, width: u32, height: u32) -> Result<bool> {
    match segmentation {
        Segmentation::Polygon(parts) => {
            check_polygons(parts)?;
            Ok(shape::is_off(parts, width, height))
        }
        runs => {
            let runs = decode(runs, width, height)?;
            Ok(runs.counts.iter().skip(1).step_by(2).all(|&n| n == 0))
        }
    }
}

fn invalid(annotation: &Annotation) -> String {
    format!(
        "annotation {} of image {} has no valid shape: repair or remove it",
        annotation.id, annotation.image_id
    )
}

fn check_polygons(parts: &[Vec<f64>]) -> Result<()> {
    let first = parts.first().context("its list of polygons is empty")?;
    // pycocotools accepts five numbers, which are two points and a half, and rasterizes them to nothing
    ensure!(
        first.len() > 4,
        "its first polygon has {} points, at least 3 are needed",
        first.len() / 2
    );
    Ok(())
}

/// The run lengths of a segmentation that does not consist of polygons.
fn decode(segmentation: &Segmentation, width: u32, height: u32) -> Result<Rle> {
    if let Segmentation::CompressedRle { size, .. } | Segmentation::UncompressedRle { size, .. } =
        segmentation
    {
        ensure!(
            *size == [height, width],
            "its run lengths are for {}x{} pixels, but the image has {width}x{height}",
            size[1],
            size[0]
        );
    }
    let rle = segmentation.to_rle(height, width)?;
    Ok(Rle::new(rle.h, rle.w, rle.counts)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde::Deserialize;
    use sha2::{Digest, Sha256};
    use stage_testing::data::golden;

    fn dataset(segmentations: &[&str]) -> Result<Dataset> {
        let annotation = |segmentation: &&str| {
            format!(r#"{{"id":7,"image_id":3,"category_id":1,"segmentation":{segmentation}}}"#)
        };
        let annotations: Vec<String> = segmentations.iter().map(annotation).collect();
        let annotations = annotations.join(",");
        let text = format!(
            r#"{{"images":[{{"id":3,"file_name":"3.jpg"}}],"annotations":[{annotations},{}]}}"#,
            annotation(&"[[0,0,1,0,1,1]]") // a file without any shape is refused
        );
        let mut dataset = crate::dataset::parse(text.into_bytes())?;
        dataset.annotations.pop();
        Ok(dataset)
    }

    fn united(dataset: &Dataset, width: u32, height: u32) -> Result<Objects> {
        let mut objects = Objects::default();
        let annotations: Vec<&Annotation> = dataset.annotations.iter().collect();
        unite(&mut objects, dataset, &annotations, width, height)?;
        Ok(objects)
    }

    #[test]
    fn parts_and_annotations_are_united() -> Result<()> {
        // pycocotools 2.0.2: the box [1, 0, 2, 1] as polygon, and column-major runs from the third pixel
        let polygon = "[[1,0,3,0,3,1,1,1]]";
        let plain = r#"{"size":[2,4],"counts":[0,1,7]}"#;
        let objects = united(&dataset(&[polygon, plain])?, 4, 2)?;
        assert_eq!(objects.rows().collect::<Vec<_>>(), [[0b111], [0]]);
        let mut empty = dataset(&[polygon])?;
        empty.annotations.clear();
        assert_eq!(united(&empty, 2, 1)?.count(), 0);
        Ok(())
    }

    #[test]
    fn invalid_shapes_are_refused() -> Result<()> {
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
            let dataset = dataset(&[segmentation])?;
            let error = check(&dataset, &dataset.annotations[0], 4, 2).expect_err(segmentation);
            let text = format!("{error:#}");
            assert!(united(&dataset, 4, 2).is_err());
            assert!(text.contains("annotation 7 of image 3"), "{text}");
            assert!(text.contains(expected), "{segmentation}: {text}");
        }
        let dataset = dataset(&["[[0,0,1,0,1,1],[1,1,2,2]]"])?;
        assert!(!check(&dataset, &dataset.annotations[0], 4, 2)?);
        Ok(())
    }

    #[test]
    fn slivers_are_told_from_coordinates_of_another_scale() -> Result<()> {
        for (segmentation, is_off) in [
            ("[[10,10,20,10.1,20,10]]", false),
            ("[[0.5,0.5,0.6,0.5,0.6,0.6]]", true),
            ("[[640,480,900,480,900,900]]", true),
            ("[[-9,10,-1,10,-1,30]]", true),
            (r#"{"size":[60,80],"counts":[4800]}"#, true),
        ] {
            let dataset = dataset(&[segmentation])?;
            let found = check(&dataset, &dataset.annotations[0], 80, 60)?;
            assert_eq!(found, is_off, "{segmentation}");
            assert_eq!(united(&dataset, 80, 60)?.count(), 0);
        }
        // one part within the image is enough, and one around it
        let dataset = dataset(&["[[-9,10,-1,10,-1,30],[-100,-100,200,-100,200,200,-100,200]]"])?;
        assert!(!check(&dataset, &dataset.annotations[0], 80, 60)?);
        Ok(())
    }

    fn json<T: serde::de::DeserializeOwned>(name: &str) -> Result<T> {
        artifacts::atomic::read_json(&golden("coco").join(name))
    }

    #[derive(Deserialize)]
    struct RasterCase {
        h: u32,
        w: u32,
        segmentation: serde_json::Value,
    }

    #[derive(Deserialize)]
    struct Raster {
        counts: Vec<u32>,
    }

    /// 0 or 1 for each pixel, down the columns (`[width, height]`) or along the rows (`[height, width]`).
    fn pixels(objects: &Objects, down: bool) -> Vec<u8> {
        let rows: Vec<&[u64]> = objects.rows().collect();
        let pixel = |x: usize, y: usize| (rows[y][x / 64] >> (x % 64) & 1) as u8;
        let (w, h) = (objects.width(), rows.len());
        let place = |i: usize| if down { (i / h, i % h) } else { (i % w, i / w) };
        (0..w * h).map(place).map(|(x, y)| pixel(x, y)).collect()
    }

    /// Lengths of runs down the columns, the first of background.
    fn runs(objects: &Objects) -> Vec<u32> {
        let mut counts = vec![0];
        let mut last = 0;
        for pixel in pixels(objects, true) {
            if pixel != last {
                counts.push(0);
                last = pixel;
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
            let dataset = dataset(&[&case.segmentation.to_string()])?;
            let objects = united(&dataset, case.w, case.h)?;
            assert_eq!(runs(&objects), expected.counts, "case {i}");
        }
        Ok(())
    }

    #[derive(Deserialize)]
    struct Expected {
        annotations: std::collections::BTreeMap<String, ExpectedMask>,
    }

    #[derive(Deserialize)]
    struct ExpectedMask {
        area: u64,
        counts_sha: String,
    }

    #[test]
    fn golden_annotations_have_the_same_pixels() -> Result<()> {
        let expected: Expected = json("expected/expected.json")?;
        let dataset = crate::dataset::read(&golden("coco").join("instances_train2017.json"))?;
        let mut n_checked = 0;
        for annotation in &dataset.annotations {
            let Some(expected) = expected.annotations.get(&annotation.id.to_string()) else {
                continue;
            };
            let image = dataset.images.iter().find(|i| i.id == annotation.image_id);
            let image = image.context("every annotation has an image")?;
            let (width, height) = image.size.context("a size")?;
            let mut objects = Objects::default();
            unite(&mut objects, &dataset, &[annotation], width, height)?;
            let start = Sha256::digest(pixels(&objects, false))[..8].try_into()?;
            let hash = format!("{:016x}", u64::from_be_bytes(start));
            assert_eq!(
                (objects.count(), &hash),
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
