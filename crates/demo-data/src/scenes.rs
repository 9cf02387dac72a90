//! The scenes of the drawn Cityscapes, `LostAndFound` and Fishyscapes, and their files.

use std::path::Path;

use anyhow::Result;
use artifacts::cityscapes::{label_of_id, train_id};
use artifacts::labels::IGNORE;
use image::ExtendedColorType;
use serde::Serialize;

use crate::canvas::{Canvas, Object, UNKNOWN};
use crate::files::{write_file, write_png};
use crate::forms::Form;
use crate::ids;
use crate::noise::Dice;
use crate::paint::street;
use crate::settings::{ALIEN_SHARE, NOISE, OBJECT_ROWS, TEST_AMBIGUITY, TRAIN_AMBIGUITY};
use crate::things::Thing;

/// Cities of the split train.
const TRAIN_CITIES: [&str; 4] = ["adorf", "bedorf", "cedorf", "dedorf"];
/// Cities of the split val.
const VAL_CITIES: [&str; 2] = ["edorf", "fdorf"];
/// Sequences of `LostAndFound`.
const SEQUENCES: [&str; 3] = ["01_Demo_Lane_1", "02_Demo_Lane_2", "03_Demo_Square"];

/// A polygon file as cityscapesScripts reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotation<'a> {
    img_height: usize,
    img_width: usize,
    objects: Vec<AnnotatedObject<'a>>,
}

/// An object of a polygon file.
#[derive(Serialize)]
struct AnnotatedObject<'a> {
    label: &'a str,
    polygon: Vec<[i64; 2]>,
}

/// Writes scene `number` of a split of Cityscapes: the image, and its label ids and polygons. `size`: width and height.
pub(crate) fn cityscapes(
    root: &Path,
    split: &str,
    number: u64,
    seed: u64,
    size: [usize; 2],
) -> Result<()> {
    let is_train = split == "train";
    let ambiguity = if is_train {
        TRAIN_AMBIGUITY
    } else {
        TEST_AMBIGUITY
    };
    let dice = &mut Dice::new(seed, split, number);
    let mut street = street(dice, size[0], size[1], ambiguity);
    street.paint_void(dice);
    let cities: &[&str] = if is_train { &TRAIN_CITIES } else { &VAL_CITIES };
    let city = cities[number as usize % cities.len()];
    let name = format!("{city}_000000_{number:06}");
    let folder = |kind: &str| root.join(kind).join(split).join(city);
    let canvas = &street.canvas;
    let image = folder("leftImg8bit").join(format!("{name}_leftImg8bit.png"));
    write_photograph(&image, canvas, dice)?;
    let fine = folder("gtFine");
    let labels = fine.join(format!("{name}_gtFine_labelIds.png"));
    write_png(&labels, &canvas.labels, canvas.width, ExtendedColorType::L8)?;
    let annotation = Annotation {
        img_height: canvas.height,
        img_width: canvas.width,
        objects: canvas.objects.iter().map(annotate).collect(),
    };
    let text = serde_json::to_vec(&annotation)?;
    write_file(&fine.join(format!("{name}_gtFine_polygons.json")), &text)
}

fn annotate(object: &Object) -> AnnotatedObject<'static> {
    AnnotatedObject {
        label: label_of_id(object.label).map_or("unlabeled", |l| l.name),
        polygon: object.polygon.iter().map(|p| p.map(|v| v as i64)).collect(),
    }
}

/// Writes scene `number` of `LostAndFound`, with obstacles on the road: the image, and its label ids and train ids.
pub(crate) fn lost_and_found(root: &Path, number: u64, seed: u64, size: [usize; 2]) -> Result<()> {
    let dice = &mut Dice::new(seed, "lost_and_found", number);
    let mut street = street(dice, size[0], size[1], TEST_AMBIGUITY);
    let mut hazards = vec![0; street.canvas.labels.len()];
    for _ in 0..dice.count(1, 3) {
        let thing = Thing::unknown(dice, ALIEN_SHARE);
        let rows = object_rows(dice, size[1]);
        let before = street.canvas.labels.clone();
        street.put_on_road(dice, &thing, rows);
        for ((hazard, old), new) in hazards.iter_mut().zip(before).zip(&street.canvas.labels) {
            if old != UNKNOWN && *new == UNKNOWN {
                *hazard = hazard_id(thing.form);
            }
        }
    }
    street.paint_void(dice);
    let sequence = SEQUENCES[number as usize % SEQUENCES.len()];
    let name = format!("{sequence}_000000_{number:06}");
    let folder = |kind: &str| root.join(kind).join("test").join(sequence);
    let canvas = &street.canvas;
    let image = folder("leftImg8bit").join(format!("{name}_leftImg8bit.png"));
    write_photograph(&image, canvas, dice)?;
    let pixels = canvas.labels.iter().zip(&hazards);
    let label_ids: Vec<u8> = pixels.map(|(&l, &h)| lost_and_found_id(l, h)).collect();
    let train_ids: Vec<u8> = label_ids
        .iter()
        .map(|&id| if (2..IGNORE).contains(&id) { 2 } else { id })
        .collect();
    for (kind, values) in [("labelIds", label_ids), ("labelTrainIds", train_ids)] {
        let path = folder("gtCoarse").join(format!("{name}_gtCoarse_{kind}.png"));
        write_png(&path, &values, canvas.width, ExtendedColorType::L8)?;
    }
    Ok(())
}

/// Label id in `LostAndFound` of a pixel with a Cityscapes label; `hazard` is the id of a pixel that is [`UNKNOWN`].
fn lost_and_found_id(label: u8, hazard: u8) -> u8 {
    match label {
        ids::ROAD => 1,
        UNKNOWN => hazard,
        label if is_void(label) => IGNORE,
        _ => 0,
    }
}

/// Label id of the hazard of `LostAndFound` that is most similar to a form.
fn hazard_id(form: Form) -> u8 {
    match form {
        Form::Lump => 8,
        Form::Box | Form::Chair => 10,
        Form::Tube => 14,
        Form::Plank => 16,
        Form::Cone => 17,
        Form::Tire => 21,
        Form::Disc => 22,
        Form::Dog | Form::Cow | Form::Elephant | Form::Giraffe | Form::Bird => 24,
        Form::Bear => 26,
        Form::Umbrella | Form::Kite | Form::Debris => 32,
        Form::Crescent | Form::Vase => 35,
    }
}

/// Writes scene `number` of Fishyscapes, with pasted objects: the image and its mask. One scene in twenty has no object.
pub(crate) fn fishyscapes(root: &Path, number: u64, seed: u64, size: [usize; 2]) -> Result<()> {
    let dice = &mut Dice::new(seed, "fishyscapes", number);
    let mut street = street(dice, size[0], size[1], TEST_AMBIGUITY);
    let is_empty = number % 20 == 19;
    let n_objects = if is_empty { 0 } else { dice.count(1, 2) };
    for _ in 0..n_objects {
        let thing = Thing::unknown(dice, ALIEN_SHARE);
        let rows = object_rows(dice, size[1]);
        street.paste(dice, &thing, rows);
    }
    street.paint_void(dice);
    let canvas = &street.canvas;
    let name = format!("{number}.png");
    write_photograph(&root.join("images").join(&name), canvas, dice)?;
    let values: Vec<u8> = canvas.labels.iter().copied().map(eval_label).collect();
    let path = root.join("labels_masks").join(name);
    write_png(&path, &values, canvas.width, ExtendedColorType::L8)
}

/// Value of a pixel in the masks of Fishyscapes.
fn eval_label(label: u8) -> u8 {
    match label {
        UNKNOWN => 1,
        label if is_void(label) => IGNORE,
        _ => 0,
    }
}

/// Whether training and evaluation ignore a Cityscapes label.
fn is_void(label: u8) -> bool {
    train_id(label).is_none_or(|class| class == IGNORE)
}

/// A random height of an unknown object in an image of `height` rows.
fn object_rows(dice: &mut Dice, height: usize) -> f64 {
    dice.skewed(OBJECT_ROWS[0], OBJECT_ROWS[1]) * height as f64 / 128.0
}

/// Writes what the camera makes of a scene.
fn write_photograph(path: &Path, canvas: &Canvas, dice: &mut Dice) -> Result<()> {
    let image = canvas.photograph(dice, NOISE);
    write_png(path, &image, canvas.width, ExtendedColorType::Rgb8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polygon::{Point, rasterize_polygon};

    #[test]
    fn polygons_painted_in_order_give_the_labels() {
        let dice = &mut Dice::new(3, "train", 5);
        let mut street = street(dice, 192, 96, 1.0);
        street.paint_void(dice);
        let mut labels = vec![0; 192 * 96];
        for object in &street.canvas.objects {
            let points = annotate(object).polygon;
            let points: Vec<Point> = points.iter().map(|p| p.map(|v| v as f64)).collect();
            rasterize_polygon(&points, 192, 96, |row, columns| {
                labels[row * 192..][columns].fill(object.label);
            });
        }
        assert_eq!(labels, street.canvas.labels);
    }

    #[test]
    fn training_scenes_have_most_classes() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..40 {
            let street = street(&mut Dice::new(0, "train", number), 192, 96, TRAIN_AMBIGUITY);
            seen.extend(street.canvas.labels.iter().filter_map(|&l| train_id(l)));
        }
        assert!(seen.len() >= 14, "{seen:?}");
    }
}
