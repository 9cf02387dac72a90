//! Reading and writing of checked tables.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use polars::prelude::{
    Column, DataFrame, KeyValueMetadata, ParquetCompression, ParquetReader, ParquetWriter,
    SerReader,
};

use super::schema::Table;
use crate::atomic::write_atomic;

/// Writes `frame` atomically as zstd-compressed parquet, with the table's name and version in the metadata.
///
/// # Errors
/// If the frame lacks a column of the table or has one of another type, or the disk fails.
pub fn write_table(path: &Path, table: &Table, frame: &mut DataFrame) -> Result<()> {
    check(table, frame).with_context(|| format!("refused to write {}", path.display()))?;
    let metadata = vec![
        ("oodseg.table".to_owned(), table.name.to_owned()),
        ("oodseg.format_version".to_owned(), "1".to_owned()),
        ("oodseg.columns".to_owned(), table.description()),
    ];
    write_atomic(path, |w| {
        ParquetWriter::new(w)
            .with_compression(ParquetCompression::Zstd(None))
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
            .with_row_group_size(Some(1 << 18))
            .set_parallel(false)
            .finish(frame)?;
        Ok(())
    })
}

/// Columns of older tables and their present names.
const RENAMED: [(&str, &str); 1] = [("siou", "adjusted_iou")];

/// Reads and checks a table.
///
/// # Errors
/// If the file is absent (naming the stage that writes it), damaged, or lacks a column.
pub fn read_table(path: &Path, table: &Table) -> Result<DataFrame> {
    let file = File::open(path).with_context(|| {
        format!(
            "could not read {}: run `{}` first",
            path.display(),
            table.written_by
        )
    })?;
    let mut frame = ParquetReader::new(file).finish().with_context(|| {
        format!(
            "{} is damaged: run `{}` again",
            path.display(),
            table.written_by
        )
    })?;
    for (old, new) in RENAMED {
        if frame.column(old).is_ok() && table.columns.iter().any(|c| c.name == new) {
            frame.rename(old, new.into())?;
        }
    }
    check(table, &frame).with_context(|| {
        format!(
            "{} cannot be used: run `{}` again with --force",
            path.display(),
            table.written_by
        )
    })?;
    Ok(frame)
}

fn check(table: &Table, frame: &DataFrame) -> Result<()> {
    for field in &table.columns {
        let column: &Column = frame
            .column(&field.name)
            .ok()
            .with_context(|| format!("table {} has no column {:?}", table.name, field.name))?;
        ensure!(
            *column.dtype() == field.dtype,
            "column {:?} of table {} is {}, not {}",
            field.name,
            table.name,
            column.dtype(),
            field.dtype
        );
        ensure!(
            column.null_count() == 0 || field.nullable,
            "column {:?} of table {} has {} missing values",
            field.name,
            table.name,
            column.null_count()
        );
    }
    Ok(())
}
