//! True objects that segments overlap, and those that are missed once segments are rejected.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::Result;
use artifacts::tables::columns::{OBJECT_ID, SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::{read_table, schema};

/// The segments that overlap each object. Objects that no segment overlaps are not included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectedObjects {
    segments: BTreeMap<(String, u32), Vec<u32>>,
}

impl DetectedObjects {
    /// Reads `overlaps.parquet` of each of `folders`.
    ///
    /// # Errors
    /// Returns an error if a table is missing or damaged.
    pub fn read(folders: &[impl AsRef<Path>]) -> Result<Self> {
        let table = schema::overlaps();
        let mut all = Self::default();
        for folder in folders {
            let frame = read_table(&folder.as_ref().join(table.file_name()), &table)?;
            let samples = frame.column(SAMPLE_ID)?.str()?.iter().flatten();
            let objects = frame.column(OBJECT_ID)?.u32()?.iter().flatten();
            let segments = frame.column(SEGMENT_ID)?.u32()?.iter().flatten();
            for ((sample, object), segment) in samples.zip(objects).zip(segments) {
                let key = (sample.to_owned(), object);
                all.segments.entry(key).or_default().push(segment);
            }
        }
        Ok(all)
    }

    /// Number of objects that at least one segment overlaps.
    pub fn len(&self) -> u64 {
        self.segments.len() as u64
    }

    /// Whether there are no such objects.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Number of objects that only rejected segments overlap; these are given by sample and segment number.
    pub fn lost(&self, rejected: &HashSet<(&str, u32)>) -> u64 {
        let is_lost = |((sample, _), segments): &(&(String, u32), &Vec<u32>)| {
            segments.iter().all(|&s| rejected.contains(&(sample, s)))
        };
        self.segments.iter().filter(is_lost).count() as u64
    }
}
