//! What is known of the known classes: `classes.json`, `confusion.parquet` and `calibration.parquet`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::tables::{read_table_parts, schema, write_table};
use measures::calibration::{Bin, Calibration, NUM_BINS};
use measures::confusion::Confusion;
use polars::prelude::{Column, DataFrame, IntoColumn, IntoSeries, UInt8Chunked};

use super::checks::same_lengths;

/// Counts of the pixels of a data set with known classes.
#[derive(Clone, Debug)]
pub struct KnownClasses {
    /// The classes, of the labels and of the network.
    pub classes: ClassSet,
    /// Pixels for each pair of a true and a predicted class.
    pub confusion: Confusion,
    /// Pixels by confidence; older outputs lack it.
    pub calibration: Option<Calibration>,
}

impl KnownClasses {
    /// Reads an output of `ood-eval closed-set`.
    ///
    /// # Errors
    /// Returns an error if a file is absent or damaged.
    pub fn read(dir: &Path) -> Result<Self> {
        let classes = ClassSet::read(dir)?;
        Ok(Self {
            confusion: read_confusion(dir, &classes)?,
            calibration: read_calibration(dir)?,
            classes,
        })
    }

    /// Writes the files into `dir`.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        self.classes.write(dir)?;
        write_confusion(dir, &self.confusion)?;
        let calibration = self.calibration.as_ref();
        calibration.map_or(Ok(()), |calibration| write_calibration(dir, calibration))
    }
}

/// Writes `confusion.parquet` into `dir`.
fn write_confusion(dir: &Path, confusion: &Confusion) -> Result<()> {
    let table = schema::confusion();
    let classes = 0..confusion.num_classes();
    let pairs = classes
        .clone()
        .flat_map(|t| classes.clone().map(move |p| (t, p)));
    let pixels: Vec<u64> = pairs.clone().map(|(t, p)| confusion.pixels(t, p)).collect();
    let (truth, predicted): (Vec<u8>, Vec<u8>) = pairs.map(|(t, p)| (t as u8, p as u8)).unzip();
    let frame = DataFrame::new_infer_height(vec![
        byte_column("true_class", truth),
        byte_column("predicted_class", predicted),
        Column::new("n_pixels".into(), &pixels),
    ])?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

fn byte_column(name: &str, values: Vec<u8>) -> Column {
    UInt8Chunked::from_vec(name.into(), values)
        .into_series()
        .into_column()
}

/// Reads `confusion.parquet` of `dir`; a class that does not exist is an error.
fn read_confusion(dir: &Path, classes: &ClassSet) -> Result<Confusion> {
    let table = schema::confusion();
    let path = dir.join(table.file_name());
    let frame = read_short_table(&path, &table, classes.len() * classes.len())?;
    let column = |name: &str| -> Result<Vec<u8>> {
        Ok(frame.column(name)?.u8()?.into_no_null_iter().collect())
    };
    let pixels = frame.column("n_pixels")?.u64()?.into_no_null_iter();
    let pairs = column("true_class")?
        .into_iter()
        .zip(column("predicted_class")?);
    let mut confusion = Confusion::new(classes.len());
    for ((t, p), n) in pairs.zip(pixels) {
        let added = confusion.add(usize::from(t), usize::from(p), n);
        added.with_context(|| {
            let path = path.display();
            format!("{path} cannot be used: run `{}` again", table.written_by)
        })?;
    }
    Ok(confusion)
}

/// Writes `calibration.parquet` into `dir`.
fn write_calibration(dir: &Path, calibration: &Calibration) -> Result<()> {
    let table = schema::calibration();
    let frame = DataFrame::new_infer_height(vec![
        Column::new("bin".into(), (0..NUM_BINS as u32).collect::<Vec<_>>()),
        bin_column(calibration, "n_pixels", |b| b.n_pixels),
        bin_column(calibration, "n_right", |b| b.n_right),
        bin_column(calibration, "confidence", |b| b.confidence),
    ])?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

fn bin_column(calibration: &Calibration, name: &str, of: fn(&Bin) -> u64) -> Column {
    let values: Vec<u64> = calibration.bins.iter().map(of).collect();
    Column::new(name.into(), values)
}

/// Reads `calibration.parquet` of `dir`; `None` if it does not exist: older directories lack it.
fn read_calibration(dir: &Path) -> Result<Option<Calibration>> {
    let table = schema::calibration();
    let path = dir.join(table.file_name());
    if !path.exists() {
        return Ok(None);
    }
    let frame = read_short_table(&path, &table, NUM_BINS)?;
    let bins = frame.column("bin")?.u32()?.into_no_null_iter();
    ensure!(
        bins.eq(0..NUM_BINS as u32),
        "{} does not have {NUM_BINS} bins: run `{}` again",
        path.display(),
        table.written_by
    );
    let column = |name: &str| -> Result<Vec<u64>> {
        Ok(frame.column(name)?.u64()?.into_no_null_iter().collect())
    };
    let (pixels, right) = (column("n_pixels")?, column("n_right")?);
    let confidence = column("confidence")?;
    let bins = std::array::from_fn(|i| Bin {
        n_pixels: pixels[i],
        n_right: right[i],
        confidence: confidence[i],
    });
    Ok(Some(Calibration { bins }))
}

/// Reads a table that has at most so many rows: a longer one is refused before it is in memory.
fn read_short_table(path: &Path, table: &schema::Table, n_rows: usize) -> Result<DataFrame> {
    let mut parts = read_table_parts(path, table)?;
    let first = parts.next().context("a table without parts")??;
    same_lengths(&first)?;
    ensure!(
        first.height() <= n_rows && parts.next().is_none(),
        "{} has more than {n_rows} rows: run `{}` again with --force",
        path.display(),
        table.written_by
    );
    Ok(first)
}
