//! Inputs that cannot be used: the first one ends a stage, or they are listed in `failed.csv` and the others are worked on.
//!
//! One broken image among thousands would otherwise cost a night. What failed stays visible: in a file of the result, in the
//! number `failed` of its manifest, and in an exit status of its own, also when the finished stage is called again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Error, Result, anyhow, bail};
use artifacts::atomic::write_bytes;
use artifacts::index::Index;
use artifacts::stage_dir::StageDir;
use clap::Args;
use serde::Serialize;

use crate::one_line;

/// File in the output that lists what failed: a header, then `input,error` in the order of the inputs' names.
pub const FAILED_CSV: &str = "failed.csv";

/// Exit status of a stage that finished without some of its inputs.
pub const EXIT_SOME_FAILED: u8 = 3;

/// What to do about an input that failed.
const ADVICE: &str = "--keep-going leaves out images that cannot be used, and lists them";

/// Name of the count in the manifest.
pub(crate) const COUNT: &str = "failed";

/// Whether a stage goes on after an input that cannot be used. It does not change what is made of the other inputs.
#[derive(Args, Clone, Copy, Debug, Default, Serialize)]
pub struct KeepGoing {
    /// Go on after an image that cannot be used. Such images are listed in failed.csv in the output, and the exit status
    /// is 3. Without it the first one ends the stage; finished images are kept either way.
    #[arg(long)]
    #[serde(skip)]
    pub keep_going: bool,
}

impl KeepGoing {
    /// Reads the index in a label stage's directory. That an image changed is an error here, unless the stage goes on: it then
    /// finds out by [`Index::check_image`] which one it is.
    ///
    /// # Errors
    /// Returns the errors of [`Index::read`], or of [`Index::read_alone`] if the stage goes on.
    pub fn read_index(self, labels: &Path) -> Result<Index> {
        if self.keep_going {
            Index::read_alone(labels)
        } else {
            Index::read(labels)
        }
    }
}

/// The inputs that failed so far; may be used from several threads.
#[derive(Debug)]
pub struct Failures {
    keep_going: bool,
    errors: Mutex<BTreeMap<String, String>>,
}

impl Failures {
    /// No failures yet.
    pub fn new(args: KeepGoing) -> Self {
        Self {
            keep_going: args.keep_going,
            errors: Mutex::default(),
        }
    }

    /// The result for the input of this name, or `None` if it failed and the stage goes on.
    ///
    /// # Errors
    /// Returns the error of the input if the stage does not go on after errors.
    pub fn check<T>(&self, input: &str, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.keep_going => {
                self.add(input, &error);
                Ok(None)
            }
            Err(error) => Err(anyhow!("{}; {ADVICE}", one_line(&error))),
        }
    }

    /// What passed a check of all inputs before the work, so that a broken one is found in seconds rather than after hours. Each
    /// is given with its name.
    ///
    /// # Errors
    /// Returns an error that says how many failed, and the first one's error, if the stage does not go on after errors.
    pub fn check_all<T>(
        &self,
        inputs: impl IntoIterator<Item = (String, Result<T>)>,
    ) -> Result<Vec<T>> {
        let (mut usable, mut n_failed, mut first) = (Vec::new(), 0, None);
        for (name, result) in inputs {
            match result {
                Ok(value) => usable.push(value),
                Err(error) if self.keep_going => self.add(&name, &error),
                Err(error) => {
                    n_failed += 1;
                    first.get_or_insert(error);
                }
            }
        }
        let Some(first) = first else {
            return Ok(usable);
        };
        let total = usable.len() + n_failed;
        let first = one_line(&first);
        match n_failed {
            1 => bail!("{first}; {ADVICE}"),
            _ => bail!("{n_failed} of {total} images cannot be used, the first: {first}; {ADVICE}"),
        }
    }

    fn add(&self, input: &str, error: &Error) {
        let error = one_line(error);
        tracing::warn!("{input} failed: {error}");
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.insert(input.to_owned(), error);
    }

    /// The inputs that failed so far with their errors, by name.
    pub fn so_far(&self) -> BTreeMap<String, String> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.clone()
    }

    /// Leaves the samples that failed so far out of `index`.
    pub fn leave_out(&self, index: &mut Index) {
        let failed = self.so_far();
        let samples = &mut index.samples;
        samples.retain(|sample| !failed.contains_key(&sample.sample_id));
    }

    /// Finishes the output as [`StageDir::finish`] does, with [`FAILED_CSV`] if there were failures.
    ///
    /// # Errors
    /// Returns the errors of [`StageDir::finish`]; and [`SomeFailed`], after the output is complete, if there were failures.
    pub fn finish(&self, dir: StageDir, counts: &[(&str, u64)]) -> Result<()> {
        let errors = self.so_far();
        let path = dir.path().join(FAILED_CSV);
        if errors.is_empty() {
            // of a call that was interrupted at its end, after which the inputs were mended
            let _ = std::fs::remove_file(path);
            dir.finish(counts)?;
            return Ok(());
        }
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["input", "error"])?;
        for (input, error) in &errors {
            table.write_record([input, error])?;
        }
        let table = table
            .into_inner()
            .context("could not format the failures")?;
        write_bytes(&path, &table)?;
        let failed = errors.len() as u64;
        let output = dir.output().to_owned();
        dir.finish(&[counts, &[(COUNT, failed)]].concat())?;
        Err(SomeFailed::new(&output, failed, errors.into_iter().next()).into())
    }
}

/// The inputs that [`FAILED_CSV`] in the directory `output` lists, with their errors; none if there is no such file.
///
/// # Errors
/// Returns an error that names the file if it cannot be read.
pub fn listed_failures(output: &Path) -> Result<BTreeMap<String, String>> {
    let list = output.join(FAILED_CSV);
    if !list.exists() {
        return Ok(BTreeMap::new());
    }
    let table = csv::Reader::from_path(&list).map(csv::Reader::into_deserialize);
    let read = table.and_then(Iterator::collect);
    read.with_context(|| format!("could not read {}", list.display()))
}

/// The error of a stage whose output is complete but for inputs that failed; [`crate::main`] turns it into [`EXIT_SOME_FAILED`].
#[derive(Debug)]
pub struct SomeFailed(String);

impl SomeFailed {
    /// `first` is the first of the inputs by name, and its error.
    fn new(output: &Path, failed: u64, first: Option<(String, String)>) -> Self {
        let first = first.map_or_else(String::new, |(input, error)| {
            format!("; the first, {input}: {error}")
        });
        Self(format!(
            "{} is complete but for {failed} of its inputs, which are listed with their errors in {}{first}; mend them and call again (--force makes everything again)",
            output.display(),
            output.join(FAILED_CSV).display()
        ))
    }

    /// The error of an output that an earlier call finished.
    pub(crate) fn of_earlier(output: &Path, failed: u64) -> Self {
        let listed = listed_failures(output).unwrap_or_default();
        Self::new(output, failed, listed.into_iter().next())
    }
}

impl std::fmt::Display for SomeFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SomeFailed {}
