//! The directory that a stage writes: started, continued after an interruption, or already done.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::atomic::sync_folder;
use crate::manifest::{FILE_NAME, Input, Manifest};

/// Names the work in progress; becomes `manifest.json` when all is written.
const IN_PROGRESS: &str = "manifest.in-progress.json";

/// A stage's output directory while it is being written.
#[derive(Debug)]
pub struct StageDir {
    path: PathBuf,
    manifest: Manifest,
    started: Instant,
}

/// What to do with an output directory.
#[derive(Debug)]
pub enum Opened {
    /// It is complete and made by the same work.
    Done(Box<Manifest>),
    /// It is to be written; samples that are already there belong to the same work and can be kept.
    Work(StageDir),
}

impl StageDir {
    /// Opens `path` for the work that `stage`, `arguments` and `inputs` describe.
    ///
    /// Complete and made by the same work: [`Opened::Done`]. Interrupted in the same work: what is there stays,
    /// so that the stage goes on with what is missing. Made by other work, or `force`: emptied first.
    ///
    /// `inputs` are pairs of argument name and path; directories stand for their manifest.
    /// Arguments that do not change the result (threads, verbosity, force) must not be serialized.
    ///
    /// # Errors
    /// If an input is missing or incomplete, or `path` holds files that no stage wrote.
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
    /// looked at.
    ///
    /// # Errors
    /// If `path` holds files that no stage wrote.
    pub fn open_for(path: &Path, manifest: Manifest, force: bool) -> Result<Opened> {
        let (complete, partial) = (path.join(FILE_NAME), path.join(IN_PROGRESS));
        if complete.exists() && !force {
            // a manifest of another version is other work
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

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates and returns a sub-folder.
    pub fn subdir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.path.join(name);
        create_dir(&dir)?;
        Ok(dir)
    }

    /// Declares the directory complete.
    pub fn finish(mut self, counts: &[(&str, u64)]) -> Result<Manifest> {
        self.manifest.counts = counts.iter().map(|&(k, v)| (k.to_owned(), v)).collect();
        // a power cut must not leave a manifest without what it declares complete
        sync_folder(&self.path)?;
        self.manifest.seconds = self.started.elapsed().as_secs_f64();
        self.manifest.write_file(&self.path.join(FILE_NAME))?;
        fs::remove_file(self.path.join(IN_PROGRESS))
            .context("could not end the work in progress")?;
        Ok(self.manifest)
    }
}

/// Creates a folder and those it is in, as far as they are not there.
///
/// # Errors
/// If the disk fails, naming the folder.
pub fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))
}

/// Removes what [`write_atomic`](crate::atomic::write_atomic) was writing when the stage was killed.
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

/// Empties a directory that a stage wrote; refuses any other.
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
