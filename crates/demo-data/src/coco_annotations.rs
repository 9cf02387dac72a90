//! The annotation file of the COCO-like images.

use serde::Serialize;

use crate::polygon::{Point, rasterize_polygon};

/// The categories of COCO that occur: id, name and supercategory.
const CATEGORIES: [(u64, &str, &str); 28] = [
    (1, "person", "person"),
    (2, "bicycle", "vehicle"),
    (3, "car", "vehicle"),
    (4, "motorcycle", "vehicle"),
    (6, "bus", "vehicle"),
    (7, "train", "vehicle"),
    (8, "truck", "vehicle"),
    (10, "traffic light", "outdoor"),
    (13, "stop sign", "outdoor"),
    (16, "bird", "animal"),
    (17, "cat", "animal"),
    (18, "dog", "animal"),
    (19, "horse", "animal"),
    (21, "cow", "animal"),
    (22, "elephant", "animal"),
    (24, "zebra", "animal"),
    (25, "giraffe", "animal"),
    (28, "umbrella", "accessory"),
    (33, "suitcase", "accessory"),
    (37, "sports ball", "sports"),
    (38, "kite", "sports"),
    (52, "banana", "food"),
    (59, "pizza", "food"),
    (60, "donut", "food"),
    (62, "chair", "furniture"),
    (84, "book", "indoor"),
    (86, "vase", "indoor"),
    (88, "teddy bear", "indoor"),
];

/// The content of `instances_train2017.json`.
#[derive(Serialize)]
pub(crate) struct Instances {
    info: Info,
    licenses: [License; 1],
    images: Vec<ImageEntry>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

impl Instances {
    pub(crate) fn new(images: Vec<ImageEntry>, annotations: Vec<Annotation>) -> Self {
        Self {
            info: Info {
                description: "Procedural pictures in the format of COCO 2017",
                version: "1.0",
                year: 2026,
            },
            licenses: [License {
                id: 1,
                name: "CC0 1.0",
                url: "https://creativecommons.org/publicdomain/zero/1.0/",
            }],
            images,
            annotations,
            categories: CATEGORIES.into_iter().map(Category::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct Info {
    description: &'static str,
    version: &'static str,
    year: u32,
}

#[derive(Serialize)]
struct License {
    id: u64,
    name: &'static str,
    url: &'static str,
}

/// The record of an image.
#[derive(Serialize)]
pub(crate) struct ImageEntry {
    pub(crate) id: u64,
    pub(crate) license: u64,
    pub(crate) file_name: String,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

#[derive(Serialize)]
struct Category {
    id: u64,
    name: &'static str,
    supercategory: &'static str,
}

impl From<(u64, &'static str, &'static str)> for Category {
    fn from((id, name, supercategory): (u64, &'static str, &'static str)) -> Self {
        Self {
            id,
            name,
            supercategory,
        }
    }
}

/// The record of an instance.
#[derive(Serialize)]
pub(crate) struct Annotation {
    id: u64,
    image_id: u64,
    category_id: u64,
    segmentation: Segmentation,
    area: u64,
    bbox: [u64; 4],
    iscrowd: u8,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Segmentation {
    Polygons(Vec<Vec<f64>>),
    Runs { counts: Vec<u32>, size: [usize; 2] },
    Compressed { counts: String, size: [usize; 2] },
}

/// Something in an image.
pub(crate) struct Instance {
    /// Id of its category.
    pub(crate) category: u64,
    /// Outlines of its parts, in pixels.
    pub(crate) polygons: Vec<Vec<Point>>,
    /// Whether it is several things, which are annotated as one by run lengths.
    pub(crate) is_crowd: bool,
}

/// The annotation of the part of an instance that is inside the image; `None` if it is outside.
pub(crate) fn annotate(
    instance: &Instance,
    image_id: u64,
    k: u64,
    width: usize,
    height: usize,
) -> Option<Annotation> {
    let parts = instance.polygons.iter().map(|p| clip(p, width, height));
    let parts: Vec<_> = parts.filter(|p| p.len() > 2).collect();
    // column by column, as COCO's run lengths are
    let mut covered = vec![false; width * height];
    for part in &parts {
        rasterize_polygon(part, width, height, |row, columns| {
            for column in columns {
                covered[column * height + row] = true;
            }
        });
    }
    let pixels: Vec<usize> = (0..covered.len()).filter(|&at| covered[at]).collect();
    let (left, right) = (pixels.first()? / height, pixels.last()? / height);
    let rows = pixels.iter().map(|at| at % height);
    let (top, bottom) = (rows.clone().min()?, rows.max()?);
    let size = [height, width];
    let segmentation = match (instance.is_crowd, image_id % 2) {
        (false, _) => Segmentation::Polygons(parts.iter().map(|p| p.concat()).collect()),
        (true, 0) => Segmentation::Runs {
            counts: runs(&covered),
            size,
        },
        (true, _) => Segmentation::Compressed {
            counts: compress(&runs(&covered)),
            size,
        },
    };
    Some(Annotation {
        id: image_id * 100 + k,
        image_id,
        category_id: instance.category,
        segmentation,
        area: pixels.len() as u64,
        bbox: [left, top, right + 1 - left, bottom + 1 - top].map(|v| v as u64),
        iscrowd: u8::from(instance.is_crowd),
    })
}

/// The part of a polygon inside the image, by clipping it at one border after the other (Sutherland and Hodgman 1974).
fn clip(polygon: &[Point], width: usize, height: usize) -> Vec<Point> {
    let borders = [
        (0, 1.0, 0.0),
        (0, -1.0, width as f64),
        (1, 1.0, 0.0),
        (1, -1.0, height as f64),
    ]; // axis, direction to the inside, place
    let mut points = polygon.to_vec();
    for (axis, sign, at) in borders {
        let inside = |p: &Point| sign * (p[axis] - at);
        let mut clipped = Vec::with_capacity(points.len() + 4);
        for (i, b) in points.iter().enumerate() {
            let a = points[(i + points.len() - 1) % points.len()];
            let (da, db) = (inside(&a), inside(b));
            if (da < 0.0) != (db < 0.0) {
                let t = da / (da - db);
                let mut crossing =
                    [0, 1].map(|k| ((a[k] + t * (b[k] - a[k])) * 100.0).round() / 100.0);
                crossing[axis] = at;
                clipped.push(crossing);
            }
            if db >= 0.0 {
                clipped.push(*b);
            }
        }
        points = clipped;
    }
    points
}

/// Lengths of the runs of equal values, the first one of uncovered pixels.
fn runs(covered: &[bool]) -> Vec<u32> {
    let mut counts = vec![0];
    let mut current = false;
    for &c in covered {
        if c != current {
            counts.push(0);
            current = c;
        }
        if let Some(last) = counts.last_mut() {
            *last += 1;
        }
    }
    counts
}

/// COCO's compressed run lengths. From the fourth one on, a length is written as its difference to the length two before it. Each
/// number becomes groups of five bits, the lowest first, with a sixth bit that says whether more groups follow, and each
/// group a character, counted from `0`.
///
/// Source: `rleToString` of pycocotools.
fn compress(counts: &[u32]) -> String {
    let mut text = String::new();
    for (i, &count) in counts.iter().enumerate() {
        let base = if i > 2 { counts[i - 2] } else { 0 };
        let mut rest = i64::from(count) - i64::from(base);
        loop {
            let group = (rest & 0x1f) as u8;
            rest >>= 5;
            let is_last = if group & 0x10 == 0 {
                rest == 0
            } else {
                rest == -1
            };
            text.push(char::from(48 + group + if is_last { 0 } else { 0x20 }));
            if is_last {
                break;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polygon::quad;

    // from pycocotools import mask; import numpy as np
    // m = np.zeros((5, 4), np.uint8, order="F"); m[1:4, 1:3] = 1; mask.encode(m)["counts"]  # b'63204'
    // runs 6 3 2 3 6: the fourth is 3 - 3, the fifth 6 - 2
    #[test]
    fn runs_are_compressed_as_in_pycocotools() {
        let mut covered = vec![false; 20];
        for column in 1..3 {
            covered[column * 5 + 1..column * 5 + 4].fill(true);
        }
        assert_eq!(runs(&covered), [6, 3, 2, 3, 6]);
        assert_eq!(compress(&runs(&covered)), "63204");
        // more than five bits, and a negative difference
        assert_eq!(compress(&[100, 40, 7, 3]), "T3X17kN");
    }

    #[test]
    fn annotations_measure_what_they_cover() {
        let instance = Instance {
            category: 18,
            polygons: vec![quad(2.0, 1.0, 5.0, 3.0), quad(4.0, 2.0, 30.0, 4.0)],
            is_crowd: true,
        };
        let annotation = annotate(&instance, 4, 0, 10, 6).expect("is inside");
        assert_eq!(annotation.bbox, [2, 1, 8, 3]);
        assert_eq!(annotation.area, 6 + 12 - 1);
        let Segmentation::Runs { counts, size } = annotation.segmentation else {
            panic!("even ids have runs");
        };
        assert_eq!(size, [6, 10]);
        assert_eq!(counts.iter().sum::<u32>(), 60);
    }
}
