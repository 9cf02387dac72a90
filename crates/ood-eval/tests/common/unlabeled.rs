//! The pictures of the toy world as a user has them who does not know what is in them: no table says what is true.

use std::fs;
use std::path::Path;

use anyhow::Result;
use artifacts::basis::Basis;
use artifacts::index::Index;
use artifacts::tables::schema::{self, Table};
use stage_testing::toy::{stage_output, stage_output_of};

use super::columns::Columns;
use super::scenes::{CLASSES, HEIGHT, PredictedSegment, WIDTH, area, scenes};
use super::segments::component_map;

/// Columns that only labels can fill.
const TRUTH: [&str; 6] = [
    "adjusted_iou",
    "is_false_positive",
    "n_in",
    "n_out",
    "n_ignored",
    "n_objects",
];

/// Writes `logits` (only its index), `segments` and `meta` into `root`; pictures and labels of the toy world are there.
pub(crate) fn write_unlabeled(root: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    stage_output(&root.join("logits"), "seg-model infer", |dir| {
        let mut index = Index::read(&root.join("labels/lost"))?;
        for sample in &mut index.samples {
            sample.mask = None;
        }
        index.write(dir)
    })?;
    let segments = root.join("segments");
    stage_output(&segments, "segment-metrics", |dir| {
        write_segments(dir, predicted, &schema::segments(CLASSES))
    })?;
    stage_output(&root.join("meta"), "meta-clf apply", |dir| {
        let mut decisions = Columns::default();
        for_each_segment(predicted, |id, number, segment| {
            decisions.text("sample_id", id);
            decisions.u32("segment_id", number);
            decisions.bool("is_rejected", segment.false_positive_prob > 0.5);
            decisions.f64("false_positive_prob", segment.false_positive_prob);
        });
        decisions.write(dir, &without_truth(schema::decisions()))
    })
}

/// Replaces `segments` in `root` by segments of the score maps of `RbA`, which are between −5 and −1.
pub(crate) fn write_unlabeled_scores(
    root: &Path,
    predicted: &[Vec<PredictedSegment>],
) -> Result<()> {
    let arguments = serde_json::json!({"score": "adopted", "method": "RbA"});
    let table = schema::segments_of(Basis::adopted());
    stage_output_of(
        &root.join("segments"),
        "segment-metrics",
        &arguments,
        &[],
        |dir| write_segments(dir, predicted, &table),
    )
}

/// Writes the segments into a table of the columns of `segments`.
fn write_segments(dir: &Path, predicted: &[Vec<PredictedSegment>], table: &Table) -> Result<()> {
    fs::create_dir_all(dir.join("components"))?;
    let (mut segments, mut samples) = (Columns::default(), Columns::default());
    for_each_segment(predicted, |id, number, segment| {
        segments.text("sample_id", id);
        segments.u32("segment_id", number);
        segments.f64("size", area(segment.rect) as f64);
        segments.f64("entropy_mean", segment.false_positive_prob / 2.0);
        segments.f64("adopted_mean", 4.0 * segment.false_positive_prob - 5.0);
    });
    for (scene, predicted) in scenes().iter().zip(predicted) {
        samples.text("sample_id", scene.id);
        samples.u32("height", HEIGHT as u32);
        samples.u32("width", WIDTH as u32);
        samples.u32("n_segments", predicted.len() as u32);
        let path = dir.join(format!("components/{}.png", scene.id));
        component_map(predicted).write(&path)?;
    }
    segments.write(dir, &without_truth(table.clone()))?;
    samples.write(dir, &without_truth(schema::samples()))
}

fn for_each_segment(
    predicted: &[Vec<PredictedSegment>],
    mut visit: impl FnMut(&str, u32, &PredictedSegment),
) {
    for (scene, predicted) in scenes().iter().zip(predicted) {
        for (number, segment) in (1..).zip(predicted) {
            visit(scene.id, number, segment);
        }
    }
}

fn without_truth(mut table: Table) -> Table {
    table.columns.retain(|field| !TRUTH.contains(&&*field.name));
    table
}
