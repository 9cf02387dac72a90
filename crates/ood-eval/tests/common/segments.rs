//! Tables of segments, true objects and their overlaps, and the component maps.

use std::fs;
use std::path::Path;

use anyhow::Result;
use artifacts::mask::ComponentMap;
use artifacts::tables::schema;

use super::columns::Columns;
use super::scenes::{
    CLASSES, HEIGHT, PredictedSegment, Scene, WIDTH, area, inside, overlap, scenes,
};

/// Writes the tables of all scenes into `dir`, an output of `segment-metrics`.
pub(crate) fn write_segments(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    let mut segments = Columns::default();
    let mut objects = Columns::default();
    let mut overlaps = Columns::default();
    let mut samples = Columns::default();
    fs::create_dir_all(dir.join("components"))?;
    for (scene, predicted) in scenes().iter().zip(predicted) {
        for (number, segment) in (1..).zip(predicted) {
            add_segment(&mut segments, scene, number, segment);
            add_overlaps(&mut overlaps, scene, number, segment);
        }
        add_objects(&mut objects, scene, predicted);
        add_sample(&mut samples, scene, predicted);
        let path = dir.join(format!("components/{}.png", scene.id));
        component_map(predicted).write(&path)?;
    }
    segments.write(dir, &schema::segments(CLASSES))?;
    objects.write(dir, &schema::objects())?;
    overlaps.write(dir, &schema::overlaps())?;
    samples.write(dir, &schema::samples())
}

fn add_segment(table: &mut Columns, scene: &Scene, number: u32, segment: &PredictedSegment) {
    let mut objects = scene.objects.iter();
    let is_false_positive = objects.all(|&o| overlap(segment.rect, o) == 0);
    table.text("sample_id", scene.id);
    table.u32("segment_id", number);
    table.bool("is_false_positive", is_false_positive);
    table.f64("size", area(segment.rect) as f64);
}

fn add_overlaps(table: &mut Columns, scene: &Scene, number: u32, segment: &PredictedSegment) {
    for (object, &rect) in (1..).zip(&scene.objects) {
        let n_pixels = overlap(segment.rect, rect);
        if n_pixels > 0 {
            table.text("sample_id", scene.id);
            table.u32("segment_id", number);
            table.u32("object_id", object);
            table.u64("n_pixels", n_pixels);
        }
    }
}

fn add_objects(table: &mut Columns, scene: &Scene, predicted: &[PredictedSegment]) {
    for (number, &rect) in (1..).zip(&scene.objects) {
        let is_missed = predicted.iter().all(|s| overlap(s.rect, rect) == 0);
        let (_, top, _, height) = rect;
        table.text("sample_id", scene.id);
        table.u32("object_id", number);
        table.u64("size", area(rect));
        table.f64("centroid_row", top as f64 + (height as f64 - 1.0) / 2.0);
        table.bool("is_false_negative", is_missed);
    }
}

fn add_sample(table: &mut Columns, scene: &Scene, predicted: &[PredictedSegment]) {
    table.text("sample_id", scene.id);
    for name in ["n_in", "n_out", "n_ignored"] {
        table.u64(name, 0);
    }
    table.u32("height", HEIGHT as u32);
    table.u32("width", WIDTH as u32);
    table.u32("n_segments", predicted.len() as u32);
    table.u32("n_objects", scene.objects.len() as u32);
}

/// Numbers of the segments at each pixel.
pub(crate) fn component_map(predicted: &[PredictedSegment]) -> ComponentMap {
    let mut ids = vec![0; WIDTH * HEIGHT];
    for (at, id) in ids.iter_mut().enumerate() {
        for (number, segment) in (1..).zip(predicted) {
            if inside(segment.rect, at % WIDTH, at / WIDTH) {
                *id = number;
            }
        }
    }
    ComponentMap {
        width: WIDTH,
        height: HEIGHT,
        ids,
    }
}
