//! The segments of one or more tables `segments.parquet`, joined and sorted.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::labels::NUM_CLASSES;
use artifacts::tables::columns::{ADJUSTED_IOU, IS_FALSE_POSITIVE, SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::features::{num_classes, segment_features};
use artifacts::tables::read_table_parts;
use artifacts::tables::schema::{self, Table};
use polars::prelude::DataFrame;

/// Segments with their metrics, sorted by sample and segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segments {
    /// Sample of each segment.
    pub sample_ids: Vec<String>,
    /// Number of each segment within its sample.
    pub segment_ids: Vec<u32>,
    /// The truth: whether no pixel of the segment is out-of-distribution.
    pub is_false_positive: Vec<bool>,
    /// Adjusted `IoU` with the true objects, in [0, 1].
    pub adjusted_iou: Vec<f64>,
    /// Metrics, row-major `[n, n_features]`.
    pub features: Vec<f64>,
    /// Names of the metrics, in the order of the columns.
    pub names: Vec<String>,
}

/// The schema of the table that is read.
pub fn table() -> Table {
    schema::segments(NUM_CLASSES)
}

/// Refuses a table with the metrics of another number of classes than the models have.
fn check_classes(frame: &DataFrame) -> Result<()> {
    let n_classes = num_classes(frame);
    ensure!(
        n_classes == NUM_CLASSES,
        "its segments have the metrics of {n_classes} classes, not of the {NUM_CLASSES} classes of Cityscapes"
    );
    Ok(())
}

impl Segments {
    /// Reads and joins the tables of `folders`.
    ///
    /// # Errors
    /// Returns an error if a table is missing, damaged or not sorted, has the metrics of another number of classes, a value is out
    /// of range, or a segment occurs twice.
    pub fn read(folders: &[impl AsRef<Path>]) -> Result<Self> {
        let names: Vec<String> = segment_features(NUM_CLASSES)
            .into_iter()
            .map(|f| f.name)
            .collect();
        let mut all = Self {
            names,
            ..Self::default()
        };
        for folder in folders {
            let path = folder.as_ref().join(table().file_name());
            let first = all.len();
            // columns of classes are left to the next check, whose message names the number of classes
            for part in read_table_parts(&path, &schema::segments(0))? {
                let part = part?;
                check_classes(&part)
                    .and_then(|()| all.append(&part, first))
                    .with_context(|| format!("{} cannot be used", path.display()))?;
            }
        }
        all.sorted()
    }

    /// The number of segments.
    pub fn len(&self) -> usize {
        self.segment_ids.len()
    }

    /// Whether there are no segments.
    pub fn is_empty(&self) -> bool {
        self.segment_ids.is_empty()
    }

    /// The metrics of each segment, one slice of `n_features` values after the other.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> + Clone {
        self.features.chunks_exact(self.names.len().max(1))
    }

    /// The row of a segment, if there is one with this key. The segments must be sorted.
    pub fn row_of(&self, sample_id: &str, segment_id: u32) -> Option<usize> {
        let from = self
            .sample_ids
            .partition_point(|id| id.as_str() < sample_id);
        let n = self.sample_ids[from..].partition_point(|id| id == sample_id);
        let found = self.segment_ids[from..from + n].binary_search(&segment_id);
        found.ok().map(|at| from + at)
    }

    /// Appends consecutive rows of a table whose first row is number `first`.
    fn append(&mut self, frame: &DataFrame, first: usize) -> Result<()> {
        let samples = frame.column(SAMPLE_ID)?.str()?;
        let ids = frame.column(SEGMENT_ID)?.u32()?;
        let truth = frame.column(IS_FALSE_POSITIVE)?.bool()?;
        let ious = frame.column(ADJUSTED_IOU)?.f64()?;
        same_length(frame, [samples.len(), ids.len(), truth.len(), ious.len()])?;
        let (n_before, n_new) = (self.len(), frame.height());
        self.sample_ids
            .extend(samples.iter().flatten().map(str::to_owned));
        self.segment_ids.extend(ids.iter().flatten());
        self.is_false_positive.extend(truth.iter().flatten());
        self.adjusted_iou.extend(ious.iter().flatten());
        self.check_new(first, n_before)?;
        let width = self.names.len();
        self.features.resize((n_before + n_new) * width, 0.0);
        let rows = &mut self.features[n_before * width..];
        for (j, name) in self.names.iter().enumerate() {
            let column = frame.column(name)?.f64()?;
            same_length(frame, [column.len()])?;
            for (i, value) in column.iter().flatten().enumerate() {
                if !value.is_finite() {
                    bail!(
                        "{name} of segment {} of {} is {value}: run `segment-metrics` again",
                        self.segment_ids[n_before + i],
                        self.sample_ids[n_before + i]
                    );
                }
                rows[i * width + j] = value;
            }
        }
        Ok(())
    }

    /// Checks the keys of the table that begins at row `first`, and the values of the rows from `n_before` on.
    fn check_new(&self, first: usize, n_before: usize) -> Result<()> {
        let key = |i: usize| (&self.sample_ids[i], self.segment_ids[i]);
        for i in n_before..self.len() {
            let (sample, segment) = key(i);
            // equal rows are left to the last check if they are of two tables
            ensure!(
                i == first || key(i - 1) < key(i),
                "segment {segment} of {sample} occurs twice, or the rows are not sorted: run `segment-metrics` again with --force"
            );
            let iou = self.adjusted_iou[i];
            ensure!(
                (0.0..=1.0).contains(&iou),
                "{ADJUSTED_IOU} of segment {segment} of {sample} is {iou}, not in [0, 1]: run `segment-metrics` again with --force"
            );
        }
        Ok(())
    }

    /// Sorts by sample and segment; refuses duplicates.
    fn sorted(self) -> Result<Self> {
        let key = |i: usize| (&self.sample_ids[i], self.segment_ids[i]);
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&i| key(i));
        if let Some(pair) = order.windows(2).find(|p| key(p[0]) == key(p[1])) {
            let (sample, segment) = key(pair[0]);
            bail!(
                "segment {segment} of {sample} occurs twice: name each table once, and no two of the same data set"
            );
        }
        let width = self.names.len();
        let row = |&i: &usize| self.features[i * width..][..width].iter().copied();
        Ok(Self {
            sample_ids: order.iter().map(|&i| self.sample_ids[i].clone()).collect(),
            segment_ids: order.iter().map(|&i| self.segment_ids[i]).collect(),
            is_false_positive: order.iter().map(|&i| self.is_false_positive[i]).collect(),
            adjusted_iou: order.iter().map(|&i| self.adjusted_iou[i]).collect(),
            features: order.iter().flat_map(row).collect(),
            names: self.names.clone(),
        })
    }
}

/// Checks that columns have as many values as the table has rows, which those of a damaged file may not.
pub(crate) fn same_length<const N: usize>(frame: &DataFrame, lengths: [usize; N]) -> Result<()> {
    let height = frame.height();
    ensure!(
        lengths.iter().all(|&n| n == height),
        "its columns have different numbers of rows: run `segment-metrics` again with --force"
    );
    Ok(())
}
