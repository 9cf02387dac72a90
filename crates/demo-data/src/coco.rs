//! COCO-like pictures: proxies in surroundings that are no street, and pictures that the proxy must leave out.

use std::path::Path;

use anyhow::Result;
use image::ImageEncoder;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::Progress;

use crate::canvas::{Canvas, UNKNOWN};
use crate::files::write_file;
use crate::noise::{Dice, bumps, fractal, mix, scale};
use crate::paint::street;
use crate::polygon::{Point, rasterize_polygon};
use crate::settings::NOISE;
use crate::street::id;
use crate::things::{Form, Thing, quad};

const JPEG_QUALITY: u8 = 90;

/// Category ids and names of COCO that occur, with their groups.
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

/// Categories of proxies and the forms they are drawn in.
const PROXIES: [(u64, Form); 18] = [
    (16, Form::Bird),
    (17, Form::Dog),
    (18, Form::Dog),
    (19, Form::Cow),
    (21, Form::Cow),
    (22, Form::Elephant),
    (24, Form::Cow),
    (25, Form::Giraffe),
    (28, Form::Umbrella),
    (33, Form::Box),
    (37, Form::Disc),
    (38, Form::Kite),
    (52, Form::Crescent),
    (59, Form::Disc),
    (62, Form::Chair),
    (84, Form::Box),
    (86, Form::Vase),
    (88, Form::Bear),
];

/// Sizes of pictures that qualify, and of some that are too small.
const SIZES: [[usize; 2]; 4] = [[640, 480], [480, 640], [640, 512], [500, 500]];
const SMALL_SIZES: [[usize; 2]; 3] = [[640, 427], [427, 640], [320, 240]];

/// How many pictures of which kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    /// Large enough, without classes of Cityscapes.
    pub(crate) qualifying: u64,
    /// With classes of Cityscapes.
    pub(crate) excluded: u64,
    /// Too small.
    pub(crate) small: u64,
}

impl Amounts {
    pub(crate) fn total(self) -> u64 {
        self.qualifying + self.excluded + self.small
    }
}

#[derive(Serialize)]
struct Instances {
    info: Info,
    licenses: [License; 1],
    images: Vec<ImageEntry>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
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

#[derive(Serialize)]
struct ImageEntry {
    id: u64,
    license: u64,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Serialize)]
struct Category {
    id: u64,
    name: &'static str,
    supercategory: &'static str,
}

#[derive(Serialize)]
struct Annotation {
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

/// Something in a picture.
struct Instance {
    category: u64,
    polygons: Vec<Vec<Point>>,
    /// Several things annotated as one, by runs.
    is_crowd: bool,
}

/// Writes `train2017/*.jpg` and `annotations/instances_train2017.json` below `root`.
pub(crate) fn write(root: &Path, seed: u64, amounts: Amounts, progress: &Progress) -> Result<()> {
    let pictures = (0..amounts.total())
        .into_par_iter()
        .map(|number| {
            progress.advance(1);
            write_picture(root, seed, amounts, number)
        })
        .collect::<Result<Vec<_>>>()?;
    let (images, annotations): (Vec<_>, Vec<_>) = pictures.into_iter().unzip();
    let category = |(id, name, supercategory)| Category {
        id,
        name,
        supercategory,
    };
    let instances = Instances {
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
        annotations: annotations.into_iter().flatten().collect(),
        categories: CATEGORIES.into_iter().map(category).collect(),
    };
    let path = root.join("annotations/instances_train2017.json");
    write_file(&path, &serde_json::to_vec(&instances)?)
}

fn write_picture(
    root: &Path,
    seed: u64,
    amounts: Amounts,
    number: u64,
) -> Result<(ImageEntry, Vec<Annotation>)> {
    let dice = &mut Dice::new(seed, "coco", number);
    let is_small = number >= amounts.qualifying + amounts.excluded;
    let [width, height] = if is_small {
        dice.pick(&SMALL_SIZES)
    } else {
        dice.pick(&SIZES)
    };
    let is_street = (amounts.qualifying..amounts.qualifying + amounts.excluded).contains(&number);
    let (canvas, instances) = if is_street {
        known_classes(dice, width, height)
    } else {
        proxies(dice, width, height)
    };
    // ids with gaps, as COCO's
    let image_id = 1000 + 37 * number;
    let file_name = format!("{image_id:012}.jpg");
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).write_image(
        &canvas.photograph(dice, NOISE * 1.5),
        width as u32,
        height as u32,
        image::ExtendedColorType::Rgb8,
    )?;
    write_file(&root.join("train2017").join(&file_name), &bytes)?;
    let entry = ImageEntry {
        id: image_id,
        license: 1,
        file_name,
        width,
        height,
    };
    let annotations = instances
        .into_iter()
        .enumerate()
        .filter_map(|(k, instance)| annotate(&instance, image_id, k as u64, width, height));
    Ok((entry, annotations.collect()))
}

/// Proxies before a meadow, a beach, a wall, a carpet or water.
fn proxies(dice: &mut Dice, width: usize, height: usize) -> (Canvas, Vec<Instance>) {
    let mut canvas = Canvas::new(width, height, 100.0);
    paint_surroundings(&mut canvas, dice);
    let mut instances = Vec::new();
    let (w, h) = (width as f64, height as f64);
    if dice.chance(0.2) {
        let (category, form) = dice.pick(&[(16, Form::Bird), (84, Form::Box), (38, Form::Kite)]);
        let polygons = (0..dice.count(6, 12)).flat_map(|_| {
            let thing = Thing::usual(form, dice);
            let base = [dice.range(0.05, 0.95) * w, dice.range(0.15, 0.6) * h];
            let size = dice.range(0.06, 0.12) * h;
            thing.draw(&mut canvas, base, size, UNKNOWN)
        });
        let polygons = polygons.collect();
        instances.push(Instance {
            category,
            polygons,
            is_crowd: true,
        });
    }
    let mut bases: Vec<f64> = (0..dice.count(1, 4))
        .map(|_| dice.range(0.45, 0.98) * h)
        .collect();
    bases.sort_by(f64::total_cmp);
    for base in bases {
        let (category, form) = dice.pick(&PROXIES);
        let mut thing = Thing::usual(form, dice);
        if category == 24 {
            thing.surface = crate::things::Surface::Stripes;
            thing.colors = [[235.0, 232.0, 226.0], [30.0, 28.0, 28.0]];
        }
        let size = dice.range(0.18, 0.62) * h;
        let place = [dice.range(0.12, 0.88) * w, base];
        let polygons = thing.draw(&mut canvas, place, size, UNKNOWN);
        instances.push(Instance {
            category,
            polygons,
            is_crowd: false,
        });
    }
    if dice.chance(0.04) {
        instances.push(paint_train(&mut canvas, dice));
    }
    (canvas, instances)
}

fn paint_surroundings(canvas: &mut Canvas, dice: &mut Dice) {
    let (w, h) = (canvas.width as f64, canvas.height as f64);
    let horizon = h * dice.range(0.2, 0.5);
    let back = dice.pick(&[
        [170.0, 200.0, 230.0],
        [215.0, 205.0, 185.0],
        [185.0, 150.0, 130.0],
        [96.0, 122.0, 70.0],
        [150.0, 175.0, 170.0],
    ]);
    let front = dice.pick(&[
        [112.0, 140.0, 66.0],
        [205.0, 185.0, 145.0],
        [150.0, 100.0, 70.0],
        [90.0, 130.0, 150.0],
        [165.0, 160.0, 175.0],
        [225.0, 225.0, 230.0],
    ]);
    let (back, front, seed) = (dice.near(back, 20.0), dice.near(front, 20.0), dice.seed());
    let rough = dice.range(0.1, 0.5) as f32;
    let bar = dice.range(20.0, 90.0) as f32;
    let striped = dice.chance(0.3);
    canvas.object(0, &quad(0.0, 0.0, w, h), |x, y, _| {
        let texture =
            1.0 + rough * (fractal(x / 60.0, y / 60.0, seed) + bumps(x / 7.0, y / 7.0, seed) - 1.0);
        let wallpaper = striped && (x / bar).rem_euclid(1.0) < 0.5;
        let shade = 0.85 + 0.3 * y / h as f32;
        scale(back, shade * texture * if wallpaper { 0.9 } else { 1.0 })
    });
    canvas.object(0, &quad(0.0, horizon, w, h), |x, y, _| {
        let depth = (y - horizon as f32 + 20.0) / h as f32;
        let texture = fractal(x / 200.0 / depth, 14.0 / depth, seed ^ 2)
            + 0.6 * bumps(x / 6.0, y / 6.0, seed ^ 3);
        scale(
            mix(front, back, (0.3 - depth).max(0.0)),
            1.0 + rough * (texture - 0.8),
        )
    });
}

/// A train in the distance: a class of Cityscapes that the published selection of proxies does not leave out.
fn paint_train(canvas: &mut Canvas, dice: &mut Dice) -> Instance {
    let (w, h) = (canvas.width as f64, canvas.height as f64);
    let (y, high) = (h * dice.range(0.3, 0.45), h * 0.14);
    let (paint, seed) = (dice.saturated(), dice.seed());
    let outline = quad(0.05 * w, y, 0.8 * w, y + high);
    canvas.object(UNKNOWN, &outline, |x, row, _| {
        let up = (row - y as f32) / high as f32;
        let window = (0.2..0.5).contains(&up) && (x / 26.0).rem_euclid(1.0) < 0.7;
        if window {
            [50.0, 58.0, 66.0]
        } else {
            scale(paint, 0.9 + 0.15 * bumps(x / 9.0, row / 9.0, seed))
        }
    });
    Instance {
        category: 7,
        polygons: vec![outline],
        is_crowd: false,
    }
}

/// A street with people and vehicles, and sometimes a dog.
fn known_classes(dice: &mut Dice, width: usize, height: usize) -> (Canvas, Vec<Instance>) {
    let mut street = street(dice, width, height, 0.0);
    let mut instances: Vec<Instance> = street
        .canvas
        .objects
        .iter()
        .filter_map(|object| {
            Some(Instance {
                category: category_of(object.label)?,
                polygons: vec![object.polygon.clone()],
                is_crowd: false,
            })
        })
        .collect();
    if dice.chance(0.5) {
        let thing = Thing::usual(Form::Dog, dice);
        let base = [width as f64 * 0.5, height as f64 * 0.9];
        let polygons = thing.draw(&mut street.canvas, base, height as f64 * 0.2, UNKNOWN);
        instances.push(Instance {
            category: 18,
            polygons,
            is_crowd: false,
        });
    }
    (street.canvas, instances)
}

fn category_of(label: u8) -> Option<u64> {
    match label {
        id::PERSON | id::RIDER => Some(1),
        id::BICYCLE => Some(2),
        id::CAR => Some(3),
        id::MOTORCYCLE => Some(4),
        id::BUS => Some(6),
        id::TRUCK => Some(8),
        id::TRAFFIC_LIGHT => Some(10),
        id::TRAFFIC_SIGN => Some(13),
        _ => None,
    }
}

/// The annotation of what is inside the picture; nothing if that is nothing.
fn annotate(
    instance: &Instance,
    image_id: u64,
    k: u64,
    width: usize,
    height: usize,
) -> Option<Annotation> {
    let parts = instance.polygons.iter().map(|p| clip(p, width, height));
    let parts: Vec<_> = parts.filter(|p| p.len() > 2).collect();
    // column-major, as COCO's runs are
    let mut covered = vec![false; width * height];
    for part in &parts {
        rasterize_polygon(part, width, height, |row, columns| {
            for column in columns {
                covered[column * height + row] = true;
            }
        });
    }
    let pixels = || {
        covered
            .iter()
            .enumerate()
            .filter(|(_, c)| **c)
            .map(|(at, _)| at)
    };
    let (left, right) = (pixels().next()? / height, pixels().next_back()? / height);
    let (top, bottom) = (
        pixels().map(|at| at % height).min()?,
        pixels().map(|at| at % height).max()?,
    );
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
        area: pixels().count() as u64,
        bbox: [left, top, right + 1 - left, bottom + 1 - top].map(|v| v as u64),
        iscrowd: u8::from(instance.is_crowd),
    })
}

/// The part of a polygon inside the picture, by cutting at one border after the other (Sutherland and Hodgman 1974).
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
        let mut cut = Vec::with_capacity(points.len() + 4);
        for (i, b) in points.iter().enumerate() {
            let a = points[(i + points.len() - 1) % points.len()];
            let (da, db) = (inside(&a), inside(b));
            if (da < 0.0) != (db < 0.0) {
                let t = da / (da - db);
                let mut crossing =
                    [0, 1].map(|k| ((a[k] + t * (b[k] - a[k])) * 100.0).round() / 100.0);
                crossing[axis] = at;
                cut.push(crossing);
            }
            if db >= 0.0 {
                cut.push(*b);
            }
        }
        points = cut;
    }
    points
}

/// Lengths of the runs, the first one of uncovered pixels.
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

/// COCO's text form of run lengths: from the fourth on the difference to the one two before, in groups of five bits,
/// the lowest first, each with a sixth bit that says whether more follow, as characters from `0` on.
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
