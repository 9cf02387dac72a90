//! COCO-like images: proxies in surroundings other than streets, and images that the selection of proxies has to leave out.

use std::path::Path;

use anyhow::Result;
use image::ImageEncoder;
use rayon::prelude::*;
use stage_cli::Progress;

use crate::canvas::{Canvas, UNKNOWN};
use crate::coco_annotations::{Annotation, ImageEntry, Instance, Instances, annotate};
use crate::files::write_file;
use crate::forms::Form;
use crate::ids;
use crate::noise::{Dice, bumps, fractal, mix, scale};
use crate::paint::street;
use crate::polygon::quad;
use crate::settings::NOISE;
use crate::things::{Surface, Thing};

const JPEG_QUALITY: u8 = 90;

/// Ids of the categories of proxies, with the forms in which they are drawn.
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

/// Sizes of images that qualify: width and height.
const SIZES: [[usize; 2]; 4] = [[640, 480], [480, 640], [640, 512], [500, 500]];
/// Sizes of images that are too small.
const SMALL_SIZES: [[usize; 2]; 3] = [[640, 427], [427, 640], [320, 240]];

/// Number of images of each kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amounts {
    /// Images that are large enough and do not contain classes of Cityscapes.
    pub(crate) qualifying: u64,
    /// Images with classes of Cityscapes.
    pub(crate) excluded: u64,
    /// Images that are too small.
    pub(crate) small: u64,
}

impl Amounts {
    pub(crate) fn total(self) -> u64 {
        self.qualifying + self.excluded + self.small
    }
}

/// Writes `train2017/*.jpg` and `annotations/instances_train2017.json` below `root`.
pub(crate) fn write(root: &Path, seed: u64, amounts: Amounts, progress: &Progress) -> Result<()> {
    let written = (0..amounts.total())
        .into_par_iter()
        .map(|number| {
            progress.advance(1);
            write_image(root, seed, amounts, number)
        })
        .collect::<Result<Vec<_>>>()?;
    let (images, annotations): (Vec<_>, Vec<_>) = written.into_iter().unzip();
    let instances = Instances::new(images, annotations.into_iter().flatten().collect());
    let path = root.join("annotations/instances_train2017.json");
    write_file(&path, &serde_json::to_vec(&instances)?)
}

fn write_image(
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
    // ids have gaps, as in COCO
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

/// One to four proxies, and sometimes a crowd, before random surroundings such as a meadow, a beach or a wall.
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
            thing.surface = Surface::Stripes;
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

/// A train in the distance, which is a class of Cityscapes that the published selection of proxies forgot to leave out.
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
        ids::PERSON | ids::RIDER => Some(1),
        ids::BICYCLE => Some(2),
        ids::CAR => Some(3),
        ids::MOTORCYCLE => Some(4),
        ids::BUS => Some(6),
        ids::TRUCK => Some(8),
        ids::TRAFFIC_LIGHT => Some(10),
        ids::TRAFFIC_SIGN => Some(13),
        _ => None,
    }
}
