//! Labels and logits of three tiny samples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::logits::{Logits, LogitsInfo, Precision};
use artifacts::mask::Mask;
use artifacts::tables::read_table;
use artifacts::tables::schema::Table;
use polars::prelude::DataFrame;
use stage_testing::command::{fail, succeed};
use stage_testing::toy::{change_output, sample, stage_output};
use tempfile::TempDir;

pub(crate) const WIDTH: usize = 12;
pub(crate) const HEIGHT: usize = 8;
pub(crate) const CLASSES: usize = 3;

/// Labels and logits of the samples `a` (an object), `b` (none) and `c` (an object).
pub(crate) struct Toy(TempDir);

impl Toy {
    pub(crate) fn new() -> Result<Self> {
        let toy = Self(tempfile::tempdir()?);
        toy.write_labels(MaskKind::Eval)?;
        stage_output(&toy.path("logits"), "toy", |dir| {
            for id in ["a", "b", "c"] {
                logits(id, HEIGHT, WIDTH)?.write(&dir.join(file_name(id)), Precision::F16)?;
            }
            Ok(())
        })?;
        Ok(toy)
    }

    pub(crate) fn write_labels(&self, kind: MaskKind) -> Result<()> {
        stage_output(&self.path("labels"), "toy", |dir| {
            fs::create_dir_all(dir.join("masks"))?;
            let mut samples = Vec::new();
            for id in ["a", "b", "c"] {
                let mask = PathBuf::from(format!("masks/{id}.png"));
                labels(id).write(&dir.join(&mask))?;
                samples.push(sample(id, WIDTH as u32, HEIGHT as u32, Some(mask)));
            }
            let mut index = Index::new("toy", "val", kind, Path::new("/nowhere"), samples)?;
            if kind == MaskKind::TrainId {
                index = index.with_classes(ClassSet::unnamed(CLASSES)?);
            }
            index.write(dir)
        })
    }

    /// Makes `a` the only sample, of another size and all in-distribution.
    pub(crate) fn write_one_label(&self, width: usize, height: usize) -> Result<()> {
        stage_output(&self.path("labels"), "toy", |dir| {
            Mask::filled(width, height, 0).write(&dir.join("a.png"))?;
            let sample = sample("a", width as u32, height as u32, Some("a.png".into()));
            let folder = Path::new("/nowhere");
            Index::new("toy", "val", MaskKind::Eval, folder, vec![sample])?.write(dir)
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Path of the logits of a sample.
    pub(crate) fn logits(&self, id: &str) -> PathBuf {
        self.path("logits").join(file_name(id))
    }

    /// Lists the files of an input anew after a test changed them, as if a stage had written them so.
    pub(crate) fn relist(&self, name: &str) -> Result<()> {
        change_output(&self.path(name), |_| Ok(()))
    }

    /// The command that measures all samples.
    pub(crate) fn command(&self, output: &str, more: &[&str]) -> Command {
        let mut command = executable();
        command
            .arg("--logits")
            .arg(self.path("logits"))
            .arg("--labels")
            .arg(self.path("labels"))
            .arg("--output")
            .arg(self.path(output))
            .args(more);
        command
    }

    /// Measures all samples.
    pub(crate) fn run(&self, output: &str, more: &[&str]) -> Result<()> {
        succeed(&mut self.command(output, more)).map(drop)
    }

    /// Measures all samples; what is printed must have all of `lines`.
    pub(crate) fn check_prints(&self, output: &str, more: &[&str], lines: &[&str]) -> Result<()> {
        let text = succeed(&mut self.command(output, more))?.stdout;
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "{more:?}: {text}");
        }
        Ok(())
    }

    /// Runs and expects failure with one error line that has all `words`, and no complete output.
    pub(crate) fn check_fails(&self, more: &[&str], words: &[&str]) -> Result<()> {
        fail(self.command("out", more).arg("--quiet"), words)?;
        let out = self.path("out");
        assert!(!out.join("manifest.json").exists());
        assert!(!out.join("segments.parquet").exists());
        Ok(())
    }

    /// Reads a table of an output.
    pub(crate) fn table(&self, output: &str, table: &Table) -> Result<DataFrame> {
        read_table(&self.path(output).join(table.file_name()), table)
    }
}

pub(crate) fn executable() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segment-metrics"));
    command.env_remove("OODSEG_THREADS");
    command
}

/// Values of a column of floats without missing ones.
pub(crate) fn floats(frame: &DataFrame, column: &str) -> Result<Vec<f64>> {
    let values = frame.column(column)?.f64()?.iter();
    values.map(|v| v.context("a value")).collect()
}

/// Values of a column of counts.
pub(crate) fn counts(frame: &DataFrame, column: &str) -> Result<Vec<u64>> {
    let values = frame.column(column)?.u64()?.iter();
    values.map(|v| v.context("a value")).collect()
}

fn file_name(id: &str) -> String {
    format!("{id}.safetensors")
}

/// Void in the first row; in `a` and `c` an object of 2x3 pixels from row 2, column 2.
pub(crate) fn labels(id: &str) -> Mask {
    let mut mask = Mask::filled(WIDTH, HEIGHT, 0);
    mask.labels[..WIDTH].fill(255);
    if id != "b" {
        for y in 2..4 {
            mask.labels[y * WIDTH + 2..][..3].fill(1);
        }
    }
    mask
}

/// Certain of class 1, but uniform at rows 2 to 3 and columns 3 to 6, and at row 6, column 9.
pub(crate) fn logits(id: &str, height: usize, width: usize) -> Result<Logits> {
    let mut values = vec![0.0; CLASSES * height * width];
    let class = &mut values[height * width..2 * height * width];
    for (at, value) in class.iter_mut().enumerate() {
        let (y, x) = (at / width, at % width);
        let is_uniform = ((2..4).contains(&y) && (3..7).contains(&x)) || (y, x) == (6, 9);
        *value = if is_uniform { 0.0 } else { 12.0 };
    }
    Logits::new(info(id, height, width)?, [CLASSES, height, width], values)
}

/// Certain of class 0, but uniform where `is_uniform(y, x)`.
pub(crate) fn flagged_logits(
    id: &str,
    height: usize,
    width: usize,
    is_uniform: impl Fn(usize, usize) -> bool,
) -> Result<Logits> {
    let mut values = vec![0.0; CLASSES * height * width];
    for (at, value) in values[..height * width].iter_mut().enumerate() {
        if !is_uniform(at / width, at % width) {
            *value = 12.0;
        }
    }
    Logits::new(info(id, height, width)?, [CLASSES, height, width], values)
}

fn info(id: &str, height: usize, width: usize) -> Result<LogitsInfo> {
    Ok(LogitsInfo {
        sample_id: id.into(),
        network: "toy".into(),
        output_height: height,
        output_width: width,
        align_corners: false,
        classes: ClassSet::unnamed(CLASSES)?,
    })
}
