//! Small tables of segments.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use artifacts::basis::Basis;
use artifacts::classes::ClassSet;
use artifacts::tables::features::features_of;
use artifacts::tables::schema::{self, overlaps, samples, segments_of};
use artifacts::tables::write_table;
use polars::prelude::{Column, DataFrame};
use serde_json::{Value, json};
use stage_testing::toy::stage_output_of;

/// What `segment-metrics` would have written.
pub(crate) struct Table {
    pub(crate) sample_ids: Vec<String>,
    pub(crate) is_false_positive: Vec<bool>,
    /// Metrics by name; a metric that is not here is 0 in all segments.
    pub(crate) features: BTreeMap<String, Vec<f64>>,
    /// What `classes.json` names; files of earlier versions, with 19 classes, without it.
    pub(crate) classes: Option<ClassSet>,
    /// What the segments are measured from.
    pub(crate) basis: Basis,
    /// Whether the images have labels.
    pub(crate) has_truth: bool,
}

impl Table {
    /// `n` segments, four in each image. Some of the metrics are larger for false positives.
    pub(crate) fn toy(n: usize, is_false_positive: impl Fn(usize) -> bool) -> Self {
        Self::toy_of(None, n, is_false_positive)
    }

    /// The same with the metrics of these classes.
    pub(crate) fn toy_of(
        classes: Option<ClassSet>,
        n: usize,
        is_false_positive: impl Fn(usize) -> bool,
    ) -> Self {
        let basis = Basis::logits(classes.as_ref().map_or(19, ClassSet::len));
        Self::of_basis(basis, classes, n, is_false_positive)
    }

    /// The same with the metrics that `basis` gives.
    pub(crate) fn of_basis(
        basis: Basis,
        classes: Option<ClassSet>,
        n: usize,
        is_false_positive: impl Fn(usize) -> bool,
    ) -> Self {
        let truth: Vec<bool> = (0..n).map(is_false_positive).collect();
        let features = features_of(basis).into_iter().enumerate();
        let column = |k: usize| {
            let shift = |i: usize| f64::from(u8::from(truth[i])) * (k % 5) as f64 / 40.0;
            (0..n).map(|i| noise(i, k) + shift(i)).collect()
        };
        Self {
            sample_ids: (0..n).map(|i| format!("image_{:03}", i / 4)).collect(),
            features: features.map(|(k, f)| (f.name, column(k))).collect(),
            is_false_positive: truth,
            classes,
            basis,
            has_truth: true,
        }
    }

    /// 0 for false positives, linear in one metric for the others.
    pub(crate) fn adjusted_ious(&self) -> Vec<f64> {
        let iou = |i: usize| match self.features.get("entropy_mean") {
            Some(column) if !self.is_false_positive[i] => 0.3 + column[i] / 4.0,
            _ => 0.0,
        };
        (0..self.sample_ids.len()).map(iou).collect()
    }

    /// Writes a complete output of `segment-metrics`, as far as it is read here.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        self.write_as(dir, &usual_arguments(), &[], [2048, 1024])
    }

    /// The same with these arguments and inputs in the manifest, and images of this width and height.
    pub(crate) fn write_as(
        &self,
        dir: &Path,
        arguments: &Value,
        inputs: &[(&str, &Path)],
        size: [u32; 2],
    ) -> Result<()> {
        stage_output_of(dir, "segment-metrics", arguments, inputs, |dir| {
            self.write_segments(dir)?;
            self.write_samples(dir, size)?;
            if let Some(classes) = &self.classes {
                classes.write(dir)?;
            }
            if self.has_truth {
                self.write_overlaps(dir)?;
            }
            Ok(())
        })
    }

    fn write_samples(&self, dir: &Path, [width, height]: [u32; 2]) -> Result<()> {
        let mut ids: Vec<&str> = self.sample_ids.iter().map(String::as_str).collect();
        ids.dedup();
        let n = ids.len();
        let mut columns = vec![
            Column::new("sample_id".into(), ids),
            Column::new("height".into(), vec![height; n]),
            Column::new("width".into(), vec![width; n]),
        ];
        for name in ["n_in", "n_out", "n_ignored"] {
            columns.push(Column::new(name.into(), vec![0_u64; n]));
        }
        for name in ["n_segments", "n_objects"] {
            columns.push(Column::new(name.into(), vec![0_u32; n]));
        }
        self.write_known(dir, samples(), DataFrame::new(n, columns)?)
    }

    /// Writes a table, without what labels tell if there are none.
    fn write_known(
        &self,
        dir: &Path,
        mut table: schema::Table,
        mut frame: DataFrame,
    ) -> Result<()> {
        if !self.has_truth {
            let of_truth = table.columns.iter().filter(|field| field.needs_truth());
            frame = frame.drop_many(of_truth.map(|field| field.name.as_str()));
            table = table.without_truth();
        }
        write_table(&dir.join(table.file_name()), &table, &frame)
    }

    fn write_segments(&self, dir: &Path) -> Result<()> {
        let n = self.sample_ids.len();
        let mut columns = vec![
            Column::new("sample_id".into(), &self.sample_ids[..]),
            Column::new("segment_id".into(), (1..).take(n).collect::<Vec<u32>>()),
            Column::new("adjusted_iou".into(), self.adjusted_ious()),
            Column::new("is_false_positive".into(), &self.is_false_positive[..]),
        ];
        for feature in features_of(self.basis) {
            let zeros = vec![0.0; n];
            let values = self.features.get(&feature.name).unwrap_or(&zeros);
            columns.push(Column::new(feature.name.into(), &values[..]));
        }
        self.write_known(dir, segments_of(self.basis), DataFrame::new(n, columns)?)
    }

    /// Object 1 of each image is overlapped by all true segments in it.
    fn write_overlaps(&self, dir: &Path) -> Result<()> {
        let rows: Vec<usize> = (0..self.sample_ids.len())
            .filter(|&i| !self.is_false_positive[i])
            .collect();
        let samples: Vec<&str> = rows.iter().map(|&i| &*self.sample_ids[i]).collect();
        let segments: Vec<u32> = rows.iter().map(|&i| i as u32 + 1).collect();
        let columns = vec![
            Column::new("sample_id".into(), samples),
            Column::new("segment_id".into(), segments),
            Column::new("object_id".into(), vec![1_u32; rows.len()]),
            Column::new("n_pixels".into(), vec![9_u64; rows.len()]),
        ];
        let (table, frame) = (overlaps(), DataFrame::new(rows.len(), columns)?);
        write_table(&dir.join(table.file_name()), &table, &frame)
    }
}

/// Arguments of `segment-metrics` that say how segments are made.
pub(crate) fn usual_arguments() -> Value {
    json!({ "score": "entropy", "entropy_threshold": 0.7, "min_size": null })
}

/// A number in [0, 1) for each segment and metric, by the finalizer of splitmix64.
fn noise(i: usize, k: usize) -> f64 {
    let z = ((i * 100 + k) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) as f64 / 2_f64.powi(32)
}
