//! `objects.csv`: which object went where.

use std::path::Path;

use anyhow::{Context, Result};
use artifacts::atomic::write_bytes;
use serde::{Deserialize, Serialize};

/// File name inside the stage's directory.
pub(crate) const FILE_NAME: &str = "objects.csv";

/// An object in an image. Places and sizes are in pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The image that it is in.
    pub(crate) sample_id: String,
    /// Its number there, from 1 on, from far to near.
    pub(crate) number: u8,
    /// Its category.
    pub(crate) category: String,
    /// Split that it comes from.
    pub(crate) source_split: String,
    /// Image that it comes from.
    pub(crate) source_sample: String,
    /// Annotation that it is.
    pub(crate) annotation: String,
    /// Whether it is mirrored.
    pub(crate) mirrored: bool,
    /// First column.
    pub(crate) left: u32,
    /// First row.
    pub(crate) top: u32,
    /// Columns.
    pub(crate) width: u32,
    /// Rows.
    pub(crate) height: u32,
    /// Pixels that are labeled as object.
    pub(crate) area: u64,
    /// Whether it stands on the ground.
    pub(crate) on_ground: bool,
}

/// Names of the columns.
const COLUMNS: [&str; 13] = [
    "sample_id",
    "number",
    "category",
    "source_split",
    "source_sample",
    "annotation",
    "mirrored",
    "left",
    "top",
    "width",
    "height",
    "area",
    "on_ground",
];

/// Writes the table.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub(crate) fn write(dir: &Path, records: &[Record]) -> Result<()> {
    // the header is written by hand, because there may be no rows
    let mut table = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    table.write_record(COLUMNS)?;
    for record in records {
        table.serialize(record)?;
    }
    let table = table.into_inner().context("could not format the objects")?;
    write_bytes(&dir.join(FILE_NAME), &table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_the_fields() -> Result<()> {
        let dir = tempfile::tempdir()?;
        write(dir.path(), &[])?;
        let header = std::fs::read_to_string(dir.path().join(FILE_NAME))?;
        let record = Record {
            sample_id: "a".to_owned(),
            number: 1,
            category: "dog".to_owned(),
            source_split: "val2017".to_owned(),
            source_sample: "000000000001".to_owned(),
            annotation: "7".to_owned(),
            mirrored: true,
            left: 1,
            top: 2,
            width: 3,
            height: 4,
            area: 5,
            on_ground: true,
        };
        let mut table = csv::Writer::from_writer(Vec::new());
        table.serialize(&record)?;
        let expected = String::from_utf8(table.into_inner()?)?;
        assert!(expected.starts_with(&header), "{header}");
        write(dir.path(), &[record])?;
        assert_eq!(
            std::fs::read_to_string(dir.path().join(FILE_NAME))?,
            expected
        );
        Ok(())
    }
}
