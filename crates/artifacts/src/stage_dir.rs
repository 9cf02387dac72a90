//! The output directory of a stage: new, interrupted and to be continued, or complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::atomic::sync_folder;
use crate::manifest::{FILE_NAME, Input, Manifest};

/// The manifest of work in progress; `manifest.json` takes its place when all is written.
const IN_PROGRESS: &str = "manifest.in-progress.json";

/// The output directory of a stage that is at work.
#[derive(Debug)]
pub struct StageDir {
    path: PathBuf,
    manifest: Manifest,
    started: Instant,
}

/// The state of an output directory.
#[derive(Debug)]
pub enum Opened {
    /// It is complete and was made by the same work.
    Done(Box<Manifest>),
    /// It is to be written. Samples that are already there were made by the same work and can be kept.
    Work(StageDir),
}

impl StageDir {
    /// Opens `path` for the work that `stage`, `arguments` and `inputs` describe.
    ///
    /// If it is complete and was made by the same work, this is [`Opened::Done`]. If the same work was interrupted, its files
    /// stay, so that the stage continues with what is missing. If it was made by other work, or with `force`, it is emptied
    /// first.
    ///
    /// `inputs` are pairs of argument name and path; a directory is represented by its manifest.
    /// Arguments that do not change the result (threads, verbosity, force) must not be serialized.
    ///
    /// # Errors
    /// Returns an error if an input is missing or incomplete, or `path` holds files that no stage wrote.
    pub fn open(
        path: &Path,
        stage: &str,
        arguments: &impl Serialize,
        inputs: &[(&str, &Path)],
        force: bool,
    ) -> Result<Opened> {
        let inputs = inputs
            .iter()
            .map(|&(name, file)| {
                let input = Input::of(file).with_context(|| format!("--{name} cannot be used"))?;
                Ok((name.to_owned(), input))
            })
            .collect::<Result<BTreeMap<_, _>>>()?;
        let manifest = Manifest::new(stage, serde_json::to_value(arguments)?, inputs);
        Self::open_for(path, manifest, force)
    }

    /// Opens `path` for the work of a manifest without counts, as [`open`](Self::open) does; the manifest's inputs are not
    /// read.
    ///
    /// # Errors
    /// Returns an error if `path` holds files that no stage wrote.
    pub fn open_for(path: &Path, manifest: Manifest, force: bool) -> Result<Opened> {
        let (complete, partial) = (path.join(FILE_NAME), path.join(IN_PROGRESS));
        if complete.exists() && !force {
            // a manifest of another version counts as other work
            if let Some(old) = Manifest::read_file(&complete)
                .ok()
                .filter(|m| m.same_work(&manifest))
            {
                return Ok(Opened::Done(Box::new(old)));
            }
        }
        let continued =
            !force && Manifest::read_file(&partial).is_ok_and(|m| m.same_work(&manifest));
        if continued {
            remove_temporaries(path)?;
        } else {
            clear(path, complete.exists() || partial.exists())?;
            create_dir(path)?;
            manifest.write_file(&partial)?;
        }
        Ok(Opened::Work(Self {
            path: path.to_owned(),
            manifest,
            started: Instant::now(),
        }))
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a subfolder and returns its path.
    pub fn subdir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.path.join(name);
        create_dir(&dir)?;
        Ok(dir)
    }

    /// Writes the manifest, which declares the directory complete. `counts`: numbers of things written, by name.
    pub fn finish(mut self, counts: &[(&str, u64)]) -> Result<Manifest> {
        self.manifest.counts = counts.iter().map(|&(k, v)| (k.to_owned(), v)).collect();
        // a power failure must not leave a manifest without the files that it declares complete
        sync_folder(&self.path)?;
        self.manifest.seconds = self.started.elapsed().as_secs_f64();
        self.manifest.write_file(&self.path.join(FILE_NAME))?;
        fs::remove_file(self.path.join(IN_PROGRESS))
            .context("could not remove the manifest of the work in progress")?;
        Ok(self.manifest)
    }
}

/// Creates a folder, and its parents where they are missing.
///
/// # Errors
/// Returns an error that names the folder if it cannot be created.
pub fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))
}

/// Removes the temporary files that [`write_atomic`](crate::atomic::write_atomic) leaves when the process is killed.
fn remove_temporaries(dir: &Path) -> Result<()> {
    let list = || format!("could not clean {}", dir.display());
    for entry in fs::read_dir(dir).with_context(list)? {
        let entry = entry.with_context(list)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().with_context(list)?.is_dir() {
            remove_temporaries(&entry.path())?;
        } else if name.starts_with('.') && name.ends_with(".tmp") {
            fs::remove_file(entry.path()).with_context(list)?;
        }
    }
    Ok(())
}

/// Removes a directory that a stage wrote, and refuses to remove any other.
fn clear(path: &Path, is_ours: bool) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let entries = fs::read_dir(path)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("could not list {}", path.display()))?;
    ensure!(
        entries.is_empty() || is_ours,
        "{} holds files that no stage wrote: choose another --output or remove it yourself",
        path.display()
    );
    // the manifests go first, so that an interruption here never leaves a directory that looks complete
    for name in [FILE_NAME, IN_PROGRESS] {
        let _ = fs::remove_file(path.join(name));
    }
    fs::remove_dir_all(path).with_context(|| format!("could not empty {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, input: &Path, argument: u32, force: bool) -> Result<Opened> {
        StageDir::open(dir, "toy", &argument, &[("input", input)], force)
    }

    fn work(opened: Opened) -> StageDir {
        match opened {
            Opened::Work(dir) => dir,
            Opened::Done(_) => panic!("should not be done"),
        }
    }

    #[test]
    fn done_continued_and_redone() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let (out, input) = (scratch.path().join("out"), scratch.path().join("in"));
        fs::write(&input, "1")?;
        let dir = work(open(&out, &input, 1, false)?);
        fs::write(dir.path().join("sample"), "a")?;
        fs::write(dir.subdir("more")?.join(".half.tmp"), "h")?;
        drop(dir); // killed
        let dir = work(open(&out, &input, 1, false)?);
        assert!(out.join("sample").exists(), "the same work goes on");
        assert!(!out.join("more/.half.tmp").exists(), "halves do not stay");
        dir.finish(&[("samples", 1)])?;
        assert!(matches!(open(&out, &input, 1, false)?, Opened::Done(_)));
        drop(work(open(&out, &input, 2, false)?));
        assert!(!out.join("sample").exists(), "other arguments start anew");
        work(open(&out, &input, 2, false)?).finish(&[])?;
        fs::write(&input, "2")?;
        work(open(&out, &input, 2, false)?).finish(&[])?;
        drop(work(open(&out, &input, 2, true)?));
        Ok(())
    }

    #[test]
    fn foreign_files_are_not_deleted() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let input = scratch.path().join("in");
        fs::write(&input, "1")?;
        let text = format!("{:#}", open(scratch.path(), &input, 1, true).unwrap_err());
        assert!(text.contains("no stage wrote") && input.exists(), "{text}");
        let text = format!(
            "{:#}",
            open(&scratch.path().join("o"), Path::new("nope"), 1, false).unwrap_err()
        );
        assert!(text.contains("--input") && text.contains("nope"), "{text}");
        Ok(())
    }
}
