//! True objects that segments overlap, and those that are missed once segments are rejected.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::tables::columns::{OBJECT_ID, SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::{read_table_parts, schema};
use polars::prelude::DataFrame;

use crate::predictions::Predictions;
use crate::segments::{Segments, same_length};

/// The segments that overlap each object. Objects that no segment overlaps are not included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectedObjects {
    /// Rows of the segments of each object, by sample and number of the object.
    rows: BTreeMap<(String, u32), Vec<usize>>,
}

impl DetectedObjects {
    /// Reads `overlaps.parquet` of each of `folders`, in which `segments` are. No objects are known if the truth is not.
    ///
    /// # Errors
    /// Returns an error if a table is missing or damaged, or names a segment that does not exist.
    pub fn read(folders: &[impl AsRef<Path>], segments: &Segments) -> Result<Self> {
        let mut all = Self::default();
        if !segments.has_truth {
            return Ok(all);
        }
        let table = schema::overlaps();
        for folder in folders {
            let path = folder.as_ref().join(table.file_name());
            let mut last = None;
            for part in read_table_parts(&path, &table)? {
                all.append(&part?, segments, &mut last)
                    .with_context(|| format!("{} cannot be used", path.display()))?;
            }
        }
        Ok(all)
    }

    /// Appends consecutive rows of a table; `last` is the segment and the object of the row before.
    fn append(
        &mut self,
        part: &DataFrame,
        segments: &Segments,
        last: &mut Option<(usize, u32)>,
    ) -> Result<()> {
        let samples = part.column(SAMPLE_ID)?.str()?;
        let objects = part.column(OBJECT_ID)?.u32()?;
        let ids = part.column(SEGMENT_ID)?.u32()?;
        same_length(part, [samples.len(), objects.len(), ids.len()])?;
        let keys = samples.iter().flatten().zip(objects.iter().flatten());
        for ((sample, object), id) in keys.zip(ids.iter().flatten()) {
            let row = segments.row_of(sample, id).with_context(|| {
                format!(
                    "it names segment {id} of {sample}, which segments.parquet lacks: run `segment-metrics` again with --force"
                )
            })?;
            ensure!(
                *last < Some((row, object)),
                "object {object} and segment {id} of {sample} occur twice, or the rows are not sorted: run `segment-metrics` again with --force"
            );
            *last = Some((row, object));
            let rows = self.rows.entry((sample.to_owned(), object)).or_default();
            rows.push(row);
        }
        Ok(())
    }

    /// Number of objects that at least one segment overlaps.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Whether there are no such objects.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Number of objects that only rejected segments overlap, given for each segment whether it is rejected.
    pub fn lost(&self, is_rejected: &[bool]) -> u64 {
        let is_lost = |rows: &&Vec<usize>| rows.iter().all(|&row| is_rejected[row]);
        self.rows.values().filter(is_lost).count() as u64
    }

    /// The sample of each object, and the lowest probability of the segments that overlap it: a threshold below that rejects them
    /// all. Segments that are kept without a prediction count as below any threshold.
    pub fn lowest_probs(&self, predictions: &Predictions) -> Vec<(String, f64)> {
        let objects = self.rows.iter();
        objects
            .map(|((sample, _), rows)| {
                let probs = rows.iter().map(|&row| prob_of(predictions, row));
                (sample.clone(), probs.fold(f64::INFINITY, f64::min))
            })
            .collect()
    }
}

fn prob_of(predictions: &Predictions, row: usize) -> f64 {
    if predictions.is_learned[row] {
        predictions.probs[row]
    } else {
        f64::NEG_INFINITY
    }
}
