//! Reading and writing of checked tables.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use polars::prelude::{
    Column, CompatLevel, DataFrame, KeyValueMetadata, ParquetCompression, ParquetReader,
    ParquetWriter, Schema, SchemaExt, SerReader,
};
use polars_parquet::write::schema_to_metadata_key;

use super::checksum::{self, Sealing};
use super::columns::ADJUSTED_IOU;
use super::guard::without_panics;
use super::pages::check_pages;
use super::schema::{Field, Table, Truth};
use crate::atomic::write_atomic;

/// Rows in a row group: this much of a table is in memory when it is written or read in parts.
///
/// Rows of tables with lists are far larger than others, so their row groups have fewer rows.
fn rows_per_group(table: &Table) -> usize {
    if table.columns.iter().any(Field::is_list) {
        1 << 9
    } else {
        1 << 16
    }
}

/// Key of the version in a file's metadata.
const FORMAT_VERSION: &str = "oodseg.format_version";

/// Key and value of the Arrow schema in a file's metadata, which tells readers by which Arrow types to represent the columns.
///
/// Polars would write its own types, strings as `Utf8View`, which pyarrow up to 14 cannot read and later versions cannot filter.
/// How values are stored does not depend on it; with strings as `LargeUtf8` and lists as `LargeList` all readers work.
fn arrow_schema(schema: &Schema) -> (String, String) {
    let entry = schema_to_metadata_key(&schema.to_arrow(CompatLevel::oldest()));
    (entry.key, entry.value.unwrap_or_default())
}

/// Writes `frame` atomically as zstd-compressed parquet, with the table's name and version in the metadata and a checksum before
/// them.
///
/// # Errors
/// Returns an error if the frame lacks a column of the table or has one of another type, or if the file cannot be written.
pub fn write_table(path: &Path, table: &Table, frame: &DataFrame) -> Result<()> {
    write_table_parts(path, table, [Ok(frame.clone())])
}

/// Writes a table like [`write_table`] from consecutive `parts`, of which only a few are in memory at a time.
///
/// The bytes of the file depend on the rows only, not on how they are divided into parts: rows are collected until a row group is
/// full.
///
/// # Errors
/// Returns an error if there is no part, if a part is an error, has other columns than the first or lacks one of the table, or if
/// the file cannot be written.
pub fn write_table_parts(
    path: &Path,
    table: &Table,
    parts: impl IntoIterator<Item = Result<DataFrame>>,
) -> Result<()> {
    let rows_per_group = rows_per_group(table);
    let refused = || format!("refused to write {}", path.display());
    let mut parts = parts.into_iter().map(|part| {
        let part = part?;
        check_columns(table, &part).with_context(refused)?;
        Ok::<_, anyhow::Error>(part)
    });
    let mut metadata = vec![
        ("oodseg.table".to_owned(), table.name.to_owned()),
        (FORMAT_VERSION.to_owned(), table.format_version().to_owned()),
        ("oodseg.columns".to_owned(), table.description()),
    ];
    write_atomic(path, |w| {
        let mut rows = parts.next().context("there is no part")??;
        metadata.insert(0, arrow_schema(rows.schema()));
        let is_footer = AtomicBool::new(false);
        let mut sealing = Sealing::new(w, &is_footer);
        let mut writer = ParquetWriter::new(&mut sealing)
            .with_compression(ParquetCompression::Zstd(None))
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(metadata)))
            .set_parallel(false)
            .batched(rows.schema())?;
        let mut write = |mut group: DataFrame| -> Result<()> {
            group.rechunk_mut();
            Ok(writer.write_batch(&group)?)
        };
        for part in parts {
            rows.vstack_mut_owned(part?).with_context(refused)?;
            while rows.height() >= rows_per_group {
                let (group, rest) = rows.split_at(rows_per_group as i64);
                write(group)?;
                rows = rest;
            }
        }
        while rows.height() > 0 {
            let (group, rest) = rows.split_at(rows_per_group.min(rows.height()) as i64);
            write(group)?;
            rows = rest;
        }
        is_footer.store(true, Ordering::Relaxed);
        writer.finish()?;
        drop(writer);
        sealing.finish()
    })
}

/// Columns of older tables with their present names.
const RENAMED: [(&str, &str); 1] = [("siou", ADJUSTED_IOU)];

/// Reads a table and checks its columns: their names, types and missing values.
///
/// # Errors
/// Returns an error if the file does not exist (the message names the stage that writes it), is damaged, has another format version,
/// or lacks a column.
pub fn read_table(path: &Path, table: &Table) -> Result<DataFrame> {
    verify(path, table)?;
    read_rows(path, table, None)
}

/// Reads a table like [`read_table`], but in consecutive parts, so that the whole table is never in memory.
///
/// A table without rows gives one part, which has the columns.
///
/// # Errors
/// Returns an error if the file does not exist, is damaged, or has another format version. Each part is an error if it lacks a column.
pub fn read_table_parts(
    path: &Path,
    table: &Table,
) -> Result<impl Iterator<Item = Result<DataFrame>> + use<>> {
    verify(path, table)?;
    let mut reader = reader(path, table)?;
    let n_rows = without_panics(|| Ok(reader.num_rows()?));
    let n_rows = n_rows.with_context(|| damaged(path, table))?;
    let (path, table, step) = (path.to_owned(), table.clone(), rows_per_group(table));
    // a table without rows still has columns to be checked
    let parts = (0..n_rows.max(1)).step_by(step);
    Ok(parts.map(move |from| read_rows(&path, &table, Some((from, step)))))
}

/// Reads and checks the rows of `slice` (first row and number of rows), or all rows.
fn read_rows(path: &Path, table: &Table, slice: Option<(usize, usize)>) -> Result<DataFrame> {
    let reader = reader(path, table)?.with_slice(slice);
    let rows = without_panics(|| {
        let frame = reader.finish()?;
        check_lengths(&frame)?;
        Ok(frame)
    });
    let mut frame = rows.with_context(|| damaged(path, table))?;
    for (old, new) in RENAMED {
        if frame.column(old).is_ok() && table.columns.iter().any(|c| c.name == new) {
            frame.rename(old, new.into())?;
        }
    }
    for field in table.columns.iter().filter(|field| field.is_added) {
        if frame.column(&field.name).is_err() {
            let missing = Column::full_null((&field.name).into(), frame.height(), &field.dtype);
            frame.with_column(missing)?;
        }
    }
    check_columns(table, &frame).with_context(|| {
        format!(
            "{} cannot be used: run `{}` again with --force",
            path.display(),
            table.written_by
        )
    })?;
    Ok(frame)
}

/// Refuses files whose content is not as it was written.
fn verify(path: &Path, table: &Table) -> Result<()> {
    open(path, table)?;
    without_panics(|| {
        if checksum::verify(path)? {
            return Ok(());
        }
        check_pages(path)
    })
    .with_context(|| damaged(path, table))
}

fn open(path: &Path, table: &Table) -> Result<File> {
    File::open(path).with_context(|| {
        format!(
            "could not read {}: run `{}` first",
            path.display(),
            table.written_by
        )
    })
}

fn reader(path: &Path, table: &Table) -> Result<ParquetReader<File>> {
    let mut reader = ParquetReader::new(open(path, table)?);
    let version = without_panics(|| format_version(&mut reader));
    let version = version.with_context(|| damaged(path, table))?;
    ensure!(
        version == table.format_version(),
        "{} has format version {version}, and this program reads version {}: run `{}` again with --force",
        path.display(),
        table.format_version(),
        table.written_by
    );
    Ok(reader)
}

/// The version in a file's metadata; files that another program wrote have none, and count as the first.
fn format_version(reader: &mut ParquetReader<File>) -> Result<String> {
    let metadata = reader.get_metadata()?.key_value_metadata().iter().flatten();
    let mut entries = metadata.filter(|entry| entry.key == FORMAT_VERSION);
    let version = entries.find_map(|entry| entry.value.clone());
    Ok(version.unwrap_or_else(|| "1".to_owned()))
}

fn damaged(path: &Path, table: &Table) -> String {
    format!(
        "{} is damaged: run `{}` again with --force",
        path.display(),
        table.written_by
    )
}

/// Refuses tables of which a column has fewer rows than others, as damaged files have.
fn check_lengths(frame: &DataFrame) -> Result<()> {
    for column in frame.columns() {
        ensure!(
            column.len() == frame.height(),
            "column {:?} has {} of {} rows",
            column.name(),
            column.len(),
            frame.height()
        );
    }
    Ok(())
}

/// Checks that a frame has the columns of a table, of their types, with values wherever they must be.
///
/// # Errors
/// Returns an error that names the first column that is not so.
pub fn check_columns(table: &Table, frame: &DataFrame) -> Result<()> {
    let is_there = |field: &Field| frame.column(&field.name).is_ok();
    let is_optional = |field: &Field| field.truth == Truth::Optional;
    let mut optional = table.columns.iter().filter(|field| is_optional(field));
    let has_truth = optional.any(is_there);
    for field in &table.columns {
        if is_optional(field) && !has_truth {
            continue;
        }
        let column: &Column = frame
            .column(&field.name)
            .ok()
            .with_context(|| missing_column(table, field))?;
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

fn missing_column(table: &Table, field: &Field) -> String {
    let reason = if field.needs_truth() {
        ", which only images with labels have"
    } else {
        ""
    };
    let (table, column) = (table.name, &field.name);
    format!("table {table} has no column {column:?}{reason}")
}

#[cfg(test)]
mod tests {
    use polars::prelude::Series;

    use super::super::schema;
    use super::*;

    /// Rows number `from` to `from + n - 1` of an endless table.
    fn rows(from: usize, n: usize) -> Result<DataFrame> {
        let numbers = || from..from + n;
        let names: Vec<_> = numbers().map(|i| format!("sample {}", i / 3)).collect();
        let counts: Vec<_> = numbers().map(|i| i as u64).collect();
        let rates: Vec<_> = numbers().map(|i| (i % 4 > 0).then_some(i as f64)).collect();
        let lists = |of: fn(usize) -> Series| numbers().map(of).collect::<Vec<_>>();
        Ok(DataFrame::new_infer_height(vec![
            Column::new("sample_id".into(), &names),
            Column::new("score".into(), &names),
            Column::new("n_in".into(), &counts),
            Column::new("n_out".into(), &counts),
            Column::new("auroc".into(), &rates),
            Column::new("auprc".into(), &rates),
            Column::new("fpr95".into(), &rates),
            Column::new("max_score".into(), &rates),
            Column::new("mean_score".into(), &rates),
            Column::new("coarse_bins".into(), lists(|i| (0..i as u32 % 5).collect())),
            Column::new("bins_in".into(), lists(|i| (0..i as u64 % 5).collect())),
            Column::new("bins_out".into(), lists(|i| (0..i as u64 % 5).collect())),
        ])?)
    }

    #[test]
    fn files_do_not_depend_on_the_parts_and_are_read_in_parts() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let table = schema::sample_pixels();
        let path = dir.path().join(table.file_name());
        let n = 2 * rows_per_group(&table) + 77;
        write_table(&path, &table, &rows(0, n)?)?;
        let whole = std::fs::read(&path)?;
        for size in [1, 100, n - 1] {
            let parts = (0..n).step_by(size);
            let parts = parts.map(|from| rows(from, size.min(n - from)));
            write_table_parts(&path, &table, parts)?;
            assert!(std::fs::read(&path)? == whole, "parts of {size} rows");
        }
        let mut from = 0;
        for part in read_table_parts(&path, &table)? {
            let part = part?;
            assert!(part.equals_missing(&rows(from, part.height())?));
            from += part.height();
        }
        assert_eq!(from, n);
        Ok(())
    }

    /// The types that pyarrow and pandas take from a file: `tests/bench/open_tables.py` is the check with pyarrow itself.
    #[test]
    fn no_column_is_of_a_type_that_older_readers_refuse() -> Result<()> {
        use polars_parquet::read::read_metadata;

        let dir = tempfile::tempdir()?;
        let table = schema::sample_pixels();
        let path = dir.path().join(table.file_name());
        let rows = rows(0, 5)?;
        let types = rows.schema().to_arrow(CompatLevel::oldest());
        let types = types.iter_values().map(|f| format!("{:?}", f.dtype));
        let types: Vec<_> = types.collect();
        assert!(types.iter().all(|t| !t.contains("View")), "{types:?}");
        assert_eq!(&types[..3], ["LargeUtf8", "LargeUtf8", "UInt64"]);
        assert!(types[9].starts_with("LargeList"), "{types:?}");
        for frame in [rows.clone(), rows.clear()] {
            write_table(&path, &table, &frame)?;
            let metadata = read_metadata(&mut File::open(&path)?)?;
            let entries = metadata.key_value_metadata().iter().flatten();
            let of_types = entries.filter(|entry| entry.key == "ARROW:schema");
            let found: Vec<_> = of_types.map(|entry| entry.value.clone()).collect();
            assert_eq!(found, [Some(arrow_schema(rows.schema()).1)]);
        }
        Ok(())
    }

    /// Every byte of a small table is changed in some way, with the checksum in the file and without.
    #[test]
    fn damage_is_an_error_or_changes_nothing() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let table = schema::sample_pixels();
        let path = dir.path().join(table.file_name());
        write_table(&path, &table, &rows(0, 30)?)?;
        let whole = read_table(&path, &table)?;
        let sealed = std::fs::read(&path)?;
        let unsealed = without_checksum(&sealed)?;
        std::fs::write(&path, &unsealed)?;
        assert!(read_table(&path, &table)?.equals_missing(&whole));
        let (mut n_errors, mut n_changed) = (0, 0);
        for (file, is_sealed) in [(&sealed, true), (&unsealed, false)] {
            for (at, change) in (0..file.len()).zip([0x01, 0xFF, 0x40, 0x80].iter().cycle()) {
                let mut damaged = file.clone();
                damaged[at] ^= change;
                std::fs::write(&path, damaged)?;
                let parts = read_table_parts(&path, &table).and_then(Iterator::collect);
                let parts: Result<Vec<_>> = parts;
                match read_table(&path, &table) {
                    Ok(frame) if frame.equals_missing(&whole) => assert!(parts.is_ok()),
                    Ok(_) => {
                        n_changed += 1;
                        assert!(!is_sealed, "byte {at}");
                    }
                    Err(error) => {
                        n_errors += 1;
                        let text = format!("{error:#}");
                        assert!(text.contains("again with --force"), "byte {at}: {text}");
                    }
                }
            }
        }
        // the test means something: without a checksum, there is damage that no reader notices
        assert!(
            n_errors > sealed.len() && n_changed > 0,
            "{n_errors} {n_changed}"
        );
        Ok(())
    }

    /// The bytes of a file as another program would write it.
    fn without_checksum(file: &[u8]) -> Result<Vec<u8>> {
        let (_, tail) = file.split_last_chunk::<8>().context("a footer")?;
        let footer = 8 + u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
        let at = file.len() - footer;
        assert_eq!(&file[at - 40..at - 32], b"oodseghx");
        Ok([&file[..at - 40], &file[at..]].concat())
    }

    #[test]
    fn tables_of_another_version_are_refused() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut table = schema::sample_pixels();
        let path = dir.path().join(table.file_name());
        table.name = "segments"; // of version 1
        write_table(&path, &table, &rows(0, 5)?)?;
        let table = schema::sample_pixels();
        let parts = read_table_parts(&path, &table).map(|_| ());
        for error in [read_table(&path, &table).map(|_| ()), parts] {
            let error = error.unwrap_err().to_string();
            let words = "has format version 1, and this program reads version 2: run `segment-metrics` again with --force";
            assert!(error.contains(words), "{error}");
        }
        Ok(())
    }

    #[test]
    fn tables_without_rows_have_columns() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let table = schema::sample_pixels();
        let path = dir.path().join(table.file_name());
        write_table(&path, &table, &rows(0, 5)?.clear())?;
        let parts: Vec<_> = read_table_parts(&path, &table)?.collect::<Result<_>>()?;
        assert_eq!((parts.len(), parts[0].height()), (1, 0));
        assert!(write_table_parts(&path, &table, []).is_err());
        Ok(())
    }

    #[test]
    fn columns_that_older_files_lack_have_no_values() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let old = schema::sample_pixels();
        let path = dir.path().join(old.file_name());
        write_table(&path, &old, &rows(0, 5)?)?;
        let mut new = old.clone();
        let rate = new.columns.iter().find(|field| field.nullable);
        let mut added = rate.context("there are rates")?.clone();
        (added.name, added.is_added) = ("later".to_owned(), true);
        new.columns.push(added);
        let frame = read_table(&path, &new)?;
        assert_eq!(frame.column("later")?.null_count(), 5);
        assert!(write_table(&path, &new, &rows(0, 5)?).is_err());
        Ok(())
    }

    #[test]
    fn parts_that_differ_are_refused_and_the_file_before_stays() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let table = schema::sample_pixels();
        let path = dir.path().join(table.file_name());
        write_table(&path, &table, &rows(0, 5)?)?;
        let whole = std::fs::read(&path)?;
        let broken = [rows(0, 2), Ok(rows(2, 2)?.drop("bins_in")?)];
        let error = write_table_parts(&path, &table, broken).unwrap_err();
        assert!(format!("{error:#}").contains("bins_in"), "{error:#}");
        assert!(std::fs::read(&path)? == whole);
        Ok(())
    }
}
