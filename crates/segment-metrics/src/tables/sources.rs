//! Where the parts of a table are: in a folder for each sample, or in a folder for each shard. Either way they come sorted by
//! sample, and a table is never in memory as a whole.

use std::path::PathBuf;

use anyhow::{Context, Result};
use artifacts::tables::columns::SAMPLE_ID;
use artifacts::tables::schema::Table;
use artifacts::tables::{read_table, read_table_parts, threshold_folder};
use polars::prelude::DataFrame;

/// Parts of a table, from top to bottom.
pub type Parts<'a> = Box<dyn Iterator<Item = Result<DataFrame>> + 'a>;

/// Folders with the same tables of different samples.
#[derive(Clone, Debug)]
pub enum Sources {
    /// One folder for each sample, in the order of the samples.
    Samples(Vec<PathBuf>),
    /// One folder for each shard, whose tables are sorted by sample.
    Shards(Vec<PathBuf>),
}

impl Sources {
    /// The folders inside these with the tables at an additional threshold.
    #[must_use]
    pub fn at_threshold(&self, threshold: f64) -> Self {
        match self {
            Self::Samples(folders) => Self::Samples(threshold_folders(folders, threshold)),
            Self::Shards(folders) => Self::Shards(threshold_folders(folders, threshold)),
        }
    }

    /// Parts of `table` in all folders, sorted by `sample_id`.
    ///
    /// # Errors
    /// Returns an error if a table of a shard cannot be opened. Other errors are items of the result.
    pub fn parts(&self, table: &Table) -> Result<Parts<'_>> {
        let (Self::Samples(folders) | Self::Shards(folders)) = self;
        let (table, name) = (table.clone(), table.file_name());
        let paths = folders.iter().map(move |folder| folder.join(&name));
        if matches!(self, Self::Samples(_)) {
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

fn threshold_folders(folders: &[PathBuf], threshold: f64) -> Vec<PathBuf> {
    let folders = folders.iter();
    folders.map(|f| threshold_folder(f, threshold)).collect()
}

/// Merges tables that are sorted by sample into one: each of its parts has rows of one sample.
struct Interleaved {
    /// Where the rows are that have not been returned yet; `None` for tables without such rows.
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

/// A position in a table that is read in parts: before the first row of a sample.
struct Cursor {
    /// Sample of the next row.
    sample: String,
    /// The rows from the position to the end of the part, at least one.
    rows: DataFrame,
    /// The parts that follow.
    parts: Parts<'static>,
}

impl Cursor {
    /// The position before the next row of `parts`, if there is one.
    fn new(mut parts: Parts<'static>) -> Result<Option<Self>> {
        // errors count as rows, so that they are returned
        let has_rows = |part: &Result<DataFrame>| part.as_ref().map_or(true, |p| p.height() > 0);
        let rows = parts.find(has_rows);
        rows.map(|rows| Self::at(rows?, parts)).transpose()
    }

    /// The position before `rows`, at least one, which `parts` follow.
    fn at(rows: DataFrame, parts: Parts<'static>) -> Result<Self> {
        let sample = rows.column(SAMPLE_ID)?.str()?.first();
        let sample = sample.context("a row has no sample")?.to_owned();
        Ok(Self {
            sample,
            rows,
            parts,
        })
    }

    /// The rows of the sample that are in the current part, and the position after them.
    fn take_sample(self) -> Result<(DataFrame, Option<Self>)> {
        let samples = self.rows.column(SAMPLE_ID)?.str()?.iter();
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

    /// Overlaps of the samples with these numbers: `n_second` rows of the second of them, one row of each other.
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
        let sources = Sources::Shards(folders);
        let (mut samples, mut n) = (Vec::<String>::new(), 0);
        for part in sources.parts(&table)? {
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
