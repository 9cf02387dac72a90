//! Pages of files that have no checksum of ours: numbers for which the parquet reader would ask for all memory there is.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Result, ensure};
use polars_parquet::parquet::metadata::{ColumnChunkMetadata, RowGroupMetadata};
use polars_parquet::parquet::page::CompressedPage;
use polars_parquet::parquet::read::{get_page_iterator, read_metadata};

/// The most rows of a row group, and values of a column in it; other programs write a million.
const MAX_VALUES: usize = 1 << 28;

/// Reads the header of every page of a file.
///
/// # Errors
/// Returns an error if a page claims to hold more values than its column does, or the file cannot be read.
pub(super) fn check_pages(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path)?;
    let metadata = read_metadata(&mut Cursor::new(&bytes))?;
    let reader = Cursor::new(bytes.into());
    for group in &metadata.row_groups {
        for column in group.parquet_columns() {
            let most = check_column(group, column)?;
            for page in get_page_iterator(column, reader.clone(), Vec::new(), usize::MAX)? {
                let n = match page? {
                    CompressedPage::Data(page) => page.num_values(),
                    CompressedPage::Dict(_) => 0,
                };
                ensure!(n <= most, "a page has {n} values, its column {most}");
            }
        }
    }
    Ok(())
}

/// The number of values of a column, those of lists included.
fn check_column(group: &RowGroupMetadata, column: &ColumnChunkMetadata) -> Result<usize> {
    let (n_rows, n_values) = (group.num_rows(), column.num_values());
    let n_values = usize::try_from(n_values).unwrap_or(usize::MAX);
    ensure!(
        n_rows <= MAX_VALUES && n_values <= MAX_VALUES,
        "it claims to have {n_rows} rows and {n_values} values"
    );
    Ok(n_values)
}
