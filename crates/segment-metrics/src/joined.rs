//! One table out of many: those of single samples, or of shards of them, never in memory as a whole.

use std::path::PathBuf;

use anyhow::{Context, Result};
use artifacts::tables::schema::Table;
use artifacts::tables::{read_table, read_table_parts, threshold_folder};
use polars::prelude::DataFrame;

/// Parts of a table, one below the other.
pub type Parts<'a> = Box<dyn Iterator<Item = Result<DataFrame>> + 'a>;

/// Folders with the same tables of different samples.
#[derive(Clone, Debug)]
pub enum Folders {
    /// One folder for each sample, sorted by it.
    OfSamples(Vec<PathBuf>),
    /// One folder for each shard, with tables sorted by sample.
    OfShards(Vec<PathBuf>),
}

impl Folders {
    /// The folders of a further threshold in these.
    #[must_use]
    pub fn at_threshold(&self, threshold: f64) -> Self {
        let further = |folders: &[PathBuf]| {
            let folders = folders.iter().map(|f| threshold_folder(f, threshold));
            folders.collect()
        };
        match self {
            Self::OfSamples(folders) => Self::OfSamples(further(folders)),
            Self::OfShards(folders) => Self::OfShards(further(folders)),
        }
    }

    /// Parts of `table` in all folders, sorted by `sample_id`.
    ///
    /// # Errors
    /// If a table of a shard cannot be read; of the others, when their part is due.
    pub fn parts(&self, table: &Table) -> Result<Parts<'_>> {
        let (Self::OfSamples(folders) | Self::OfShards(folders)) = self;
        let (table, name) = (table.clone(), table.file_name());
        let paths = folders.iter().map(move |folder| folder.join(&name));
        if matches!(self, Self::OfSamples(_)) {
            return Ok(Box::new(paths.map(move |path| read_table(&path, &table))));
        }
        let tables = paths.map(|path| {
            let parts = read_table_parts(&path, &table)?;
            Cursor::new(Box::new(parts))
        });
        let tables: Vec<_> = tables.collect::<Result<_>>()?;
        Ok(Box::new(Interleaved { tables }))
    }
}

/// Merges sorted tables into one: its parts are the rows of one sample.
struct Interleaved {
    tables: Vec<Option<Cursor>>,
}

impl Iterator for Interleaved {
    type Item = Result<DataFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        let with_rows = self.tables.iter_mut().filter(|t| t.is_some());
        let first = with_rows.min_by(|a, b| {
            let sample = |t: &Option<Cursor>| t.as_ref().map(|t| t.sample.clone());
            sample(a).cmp(&sample(b))
        })?;
        let cursor = first.take()?;
        match cursor.take_sample() {
            Ok((rows, rest)) => {
                *first = rest;
                Some(Ok(rows))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// A place in a table that is read in parts, before the first row of a sample.
struct Cursor {
    /// Sample of the first row.
    sample: String,
    /// The rows from there to the end of the part, at least one.
    rows: DataFrame,
    /// What follows.
    parts: Parts<'static>,
}

impl Cursor {
    /// The place before the next row, if there is one.
    fn new(mut parts: Parts<'static>) -> Result<Option<Self>> {
        let with_rows = |part: &Result<DataFrame>| part.as_ref().map_or(true, |p| p.height() > 0);
        parts
            .find(with_rows)
            .map(|rows| Self::at(rows?, parts))
            .transpose()
    }

    fn at(rows: DataFrame, parts: Parts<'static>) -> Result<Self> {
        let sample = rows.column("sample_id")?.str()?.first();
        let sample = sample.context("a row has no sample")?.to_owned();
        Ok(Self {
            sample,
            rows,
            parts,
        })
    }

    /// The rows of the sample that are in the part, and the place after them.
    fn take_sample(self) -> Result<(DataFrame, Option<Self>)> {
        let samples = self.rows.column("sample_id")?.str()?.iter();
        let n = samples
            .take_while(|s| *s == Some(self.sample.as_str()))
            .count();
        let (rows, rest) = self.rows.split_at(n as i64);
        let rest = if rest.height() == 0 {
            Self::new(self.parts)?
        } else {
            Some(Self::at(rest, self.parts)?)
        };
        Ok((rows, rest))
    }
}

#[cfg(test)]
mod tests {
    use artifacts::tables::{schema, write_table};
    use polars::prelude::{Column, IntoColumn, NamedFrom, Series};

    use super::*;

    /// Overlaps of the samples of these numbers, the second of them in so many rows.
    fn overlaps(samples: &[u32], n_second: u32) -> Result<DataFrame> {
        let rows = samples.iter().enumerate().flat_map(|(i, &sample)| {
            let n = if i == 1 { n_second } else { 1 };
            (0..n).map(move |k| (format!("{sample:03}"), k))
        });
        let (ids, numbers): (Vec<_>, Vec<_>) = rows.unzip();
        let pixels: Vec<u64> = numbers.iter().map(|&k| u64::from(k)).collect();
        Ok(DataFrame::new_infer_height(vec![
            Series::new("sample_id".into(), ids).into_column(),
            Column::new("segment_id".into(), &numbers),
            Column::new("object_id".into(), &numbers),
            Column::new("n_pixels".into(), pixels),
        ])?)
    }

    #[test]
    fn shards_are_merged_by_sample() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let table = schema::overlaps();
        // the second sample of the first shard is longer than a part of its table; the third shard has no rows
        let n_rows = 70_000;
        let shards = [vec![0, 3, 9], vec![1, 4], vec![], vec![2, 5, 7]];
        let mut folders = Vec::new();
        for (i, samples) in shards.iter().enumerate() {
            let folder = dir.path().join(i.to_string());
            std::fs::create_dir(&folder)?;
            let n_second = if i == 0 { n_rows } else { 2 };
            write_table(
                &folder.join(table.file_name()),
                &table,
                &overlaps(samples, n_second)?,
            )?;
            folders.push(folder);
        }
        let folders = Folders::OfShards(folders);
        let (mut samples, mut n) = (Vec::<String>::new(), 0);
        for part in folders.parts(&table)? {
            let part = part?;
            for sample in part.column("sample_id")?.str()?.iter().flatten() {
                n += 1;
                if samples.last().is_none_or(|last| last != sample) {
                    samples.push(sample.to_owned());
                }
            }
        }
        let expected = [0, 1, 2, 3, 4, 5, 7, 9].map(|i| format!("{i:03}"));
        assert_eq!(samples, expected);
        assert_eq!(n, 1 + n_rows + 1 + 1 + 2 + 1 + 2 + 1);
        Ok(())
    }
}
