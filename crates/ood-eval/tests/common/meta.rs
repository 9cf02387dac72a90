//! Decisions of a meta classifier, and the classifier.

use std::path::Path;

use anyhow::Result;
use artifacts::classes::ClassSet;
use artifacts::model_file::{Classifier, FORMAT_VERSION, Linear, Model, SegmentOrigin};
use artifacts::tables::features::segment_features;
use artifacts::tables::schema;

use super::columns::Columns;
use super::scenes::{CLASSES, PredictedSegment, noise, overlap, scenes};

/// Writes decisions for all segments and a linear model into `dir`, an output of `meta-clf`.
pub(crate) fn write_meta(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    let mut decisions = Columns::default();
    for (scene, predicted) in scenes().iter().zip(predicted) {
        for (number, segment) in (1..).zip(predicted) {
            let mut objects = scene.objects.iter();
            let is_false_positive = objects.all(|&o| overlap(segment.rect, o) == 0);
            decisions.text("sample_id", scene.id);
            decisions.u32("segment_id", number);
            decisions.bool("is_false_positive", is_false_positive);
            decisions.bool("is_rejected", segment.false_positive_prob > 0.5);
            decisions.f64("false_positive_prob", segment.false_positive_prob);
        }
    }
    decisions.write(dir, &schema::decisions())?;
    model().write(dir)
}

fn model() -> Model {
    let features = segment_features(CLASSES).into_iter().map(|f| f.name);
    let features: Vec<_> = features.collect();
    let coefficients = (0..features.len()).map(|i| f64::from(noise(i)) * 2.0 - 1.0);
    Model {
        format_version: FORMAT_VERSION,
        classes: ClassSet::implied(CLASSES).ok(),
        mean: vec![0.0; features.len()],
        std: vec![1.0; features.len()],
        classifier: Classifier::Linear(Linear {
            coefficients: coefficients.collect(),
            intercept: -0.25,
        }),
        features,
        regression: None,
        threshold: 0.5,
        n_segments: 5,
        n_false_positives: 2,
        training_tables: Vec::new(),
        origin: SegmentOrigin::default(),
    }
}
