//! True objects that segments meet, and those that are lost with the rejected segments.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::Result;
use artifacts::tables::{read_table, schema};

/// The segments that meet each object; objects without any are not here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundObjects {
    segments: BTreeMap<(String, u32), Vec<u32>>,
}

impl FoundObjects {
    /// Reads `overlaps.parquet` of each of `folders`.
    ///
    /// # Errors
    /// If a table is missing or damaged.
    pub fn read(folders: &[impl AsRef<Path>]) -> Result<Self> {
        let table = schema::overlaps();
        let mut all = Self::default();
        for folder in folders {
            let frame = read_table(&folder.as_ref().join(table.file_name()), &table)?;
            let samples = frame.column("sample_id")?.str()?.iter().flatten();
            let objects = frame.column("object_id")?.u32()?.iter().flatten();
            let segments = frame.column("segment_id")?.u32()?.iter().flatten();
            for ((sample, object), segment) in samples.zip(objects).zip(segments) {
                let key = (sample.to_owned(), object);
                all.segments.entry(key).or_default().push(segment);
            }
        }
        Ok(all)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.segments.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many have no segment but rejected ones, which are given by sample and number.
    pub fn lost(&self, rejected: &HashSet<(&str, u32)>) -> u64 {
        let is_lost = |((sample, _), segments): &(&(String, u32), &Vec<u32>)| {
            segments.iter().all(|&s| rejected.contains(&(sample, s)))
        };
        self.segments.iter().filter(is_lost).count() as u64
    }
}
