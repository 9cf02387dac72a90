//! The output directory of a stage: what is in it at every moment, and what a crash at any step leaves.
//!
//! A stage writes everything into `OUTPUT/in-progress/`. When all of it is on the disk, its files are moved to `OUTPUT/` and take the
//! place of an earlier result, which stays whole until then. The manifest lists the files of the stage with their sizes;
//! nothing else is ever removed or overwritten, and `OUTPUT` itself never is, so it may be a mount point or a symbolic link.
//!
//! | state | what is on the disk | the next call for the same work | the next call for other work |
//! |---|---|---|---|
//! | new | `OUTPUT/` is absent or empty | starts | starts |
//! | begun | `in-progress/` with temporary files at the most | starts | starts |
//! | at work | `in-progress/work.json`, some files | continues with the files that are there | discards `in-progress/` and starts, or refuses (see [`Replacing`]); continues if nothing but [`Request::listings`] changed |
//! | discarded | `in-progress/discarded.json` | removes the rest of `in-progress/` and starts | the same |
//! | ready | `in-progress/manifest.json`, all files | moves the files (below) | moves the files, then as if complete |
//! | complete | `manifest.json`, all files | has nothing to do | starts beside the result, or refuses (see [`Replacing`]) |
//!
//! An earlier complete result may be beside every state but the first; it stays complete until "ready". From there the steps are:
//!
//! 1. `manifest.json` of the earlier result becomes `in-progress/replaced.json`. From here on `OUTPUT/` does not count as complete.
//! 2. The files that `replaced.json` lists are removed, and then `replaced.json`: from here on files of the same names are new.
//! 3. The files and folders of `in-progress/` are renamed to `OUTPUT/`.
//! 4. `in-progress/manifest.json` is renamed to `manifest.json`. From here on `OUTPUT/` counts as complete.
//! 5. `work.json` is renamed to `discarded.json`, and `in-progress/` is removed, with the work in `partial/`; `discarded.json` goes
//!    last, so that what is left after a crash is known to be of no use. Work that is given up is removed in the same way.
//!
//! Every step can be repeated, and each is on the disk before the next begins. After a crash between them the next call goes on from
//! step 1; after a crash in step 5 it removes what is left. So there is no moment at which neither result is whole.
//!
//! One call at a time works in a directory: it holds a lock on `OUTPUT/.lock`, which ends with the process. Whatever else is
//! in `OUTPUT/` is not the stage's: [`StageDir::open`] refuses to work there and says which files these are.

mod differences;
mod listing;
mod lock;
mod swap;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::atomic::{sync_folder, write_whole};
use crate::manifest::{FILE_NAME, Input, Manifest};
use differences::differences;
use listing::{foreign_files, listed_files, missing_file, remove_temporaries};
use lock::Lock;

/// Folder inside the output in which a stage works.
pub const IN_PROGRESS: &str = "in-progress";

/// Manifest of the work in progress, without files and counts.
const WORK: &str = "work.json";

/// What [`WORK`] is renamed to when the files beside it are of no use.
const DISCARDED: &str = "discarded.json";

/// Folder inside [`IN_PROGRESS`] for files that only an interrupted call needs, such as checkpoints. It is not part of the result.
const PARTIAL: &str = "partial";

/// Manifest of the result that is being replaced.
const REPLACED: &str = "replaced.json";

/// When a finished result may be replaced by that of other work without `--force`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacing {
    /// Always, but that of another shard: the stage is cheap, and users try it with several arguments. Says what it replaces.
    Freely,
    /// If it was made with the same arguments from inputs that changed since. Other arguments could be those of another shard or
    /// format, whose files are as valuable.
    SameArguments,
    /// Never: the result took hours, such as the weights of a training. The same holds for interrupted work.
    WithForce,
}

/// The output directory of a stage that is at work.
#[derive(Debug)]
pub struct StageDir {
    output: PathBuf,
    work: PathBuf,
    manifest: Manifest,
    earlier: Option<Manifest>,
    grown_from: Option<Manifest>,
    interrupted: Option<Manifest>,
    reads: Vec<PathBuf>,
    started: Instant,
    _lock: Lock,
}

/// The state of an output directory.
#[derive(Debug)]
pub enum Opened {
    /// It is complete and was made by the same work.
    Done(Box<Manifest>),
    /// It is to be written. Files that are already in [`StageDir::path`] were made by the same work and can be kept.
    Work(Box<StageDir>),
}

/// What a stage is about to do.
#[derive(Debug)]
pub struct Request<'a> {
    /// The directory to be written.
    pub output: &'a Path,
    /// The work, as [`Manifest::new`] describes it.
    pub work: Manifest,
    /// Files and folders that are read, none of which may be inside of the output or around it.
    pub reads: Vec<PathBuf>,
    /// Whether the work is to be done again even if its result is there.
    pub force: bool,
    /// Whether the result of other work may be replaced.
    pub replacing: Replacing,
    /// Names of the inputs that list items, such as the images of a folder, each of which has files of its own in the result.
    /// Work that differs in nothing else goes on from what there is: see [`StageDir::grown_from`] and [`StageDir::interrupted`].
    pub listings: &'a [&'a str],
}

impl<'a> Request<'a> {
    /// A request for the work that `stage`, `arguments` and `inputs` describe, which may be replaced freely.
    ///
    /// `inputs` are pairs of argument name and path; a directory is represented by its manifest.
    /// Arguments that do not change the result (threads, verbosity, force) must not be serialized.
    ///
    /// # Errors
    /// Returns an error if an input is missing or incomplete.
    pub fn new(
        output: &'a Path,
        stage: &str,
        arguments: &impl Serialize,
        inputs: &[(&str, &Path)],
        force: bool,
    ) -> Result<Self> {
        Self::of_inputs(output, stage, arguments, inputs, force, Input::of)
    }

    /// The same for a stage that goes on after inputs that cannot be used: see [`Input::as_found`].
    ///
    /// # Errors
    /// Returns an error if an input is missing or incomplete.
    pub fn as_found(
        output: &'a Path,
        stage: &str,
        arguments: &impl Serialize,
        inputs: &[(&str, &Path)],
        force: bool,
    ) -> Result<Self> {
        Self::of_inputs(output, stage, arguments, inputs, force, Input::as_found)
    }

    fn of_inputs(
        output: &'a Path,
        stage: &str,
        arguments: &impl Serialize,
        inputs: &[(&str, &Path)],
        force: bool,
        of: fn(&Path) -> Result<Input>,
    ) -> Result<Self> {
        let hashed = inputs.iter().map(|&(name, file)| {
            let input = of(file).with_context(|| format!("--{name} cannot be used"))?;
            Ok((name.to_owned(), input))
        });
        let hashed = hashed.collect::<Result<BTreeMap<_, _>>>()?;
        Ok(Self {
            output,
            work: Manifest::new(stage, serde_json::to_value(arguments)?, hashed),
            reads: inputs.iter().map(|&(_, path)| path.to_owned()).collect(),
            force,
            replacing: Replacing::Freely,
            listings: &[],
        })
    }
}

impl StageDir {
    /// Opens the output of a request; see the table of the [module](self).
    ///
    /// # Errors
    /// Returns an error if the output holds files that no stage wrote, is inside of an input or around it, is being written by
    /// another call, or holds a result that may not be replaced. Nothing is removed then.
    pub fn open(request: Request<'_>) -> Result<Opened> {
        let Request {
            output,
            work,
            reads,
            force,
            replacing,
            listings,
        } = request;
        for input in &reads {
            ensure_apart(output, input)?;
        }
        if !force && let Some(manifest) = finished(output, &work)? {
            remove_leftovers(output, &work)?;
            return Ok(Opened::Done(Box::new(manifest)));
        }
        create_dir(output)?;
        let lock = Lock::acquire(output)?;
        let in_progress = output.join(IN_PROGRESS);
        if in_progress.join(FILE_NAME).exists() {
            swap::swap(output)?;
        }
        // the swap may have finished this very work
        if !force && let Some(manifest) = finished(output, &work)? {
            return Ok(Opened::Done(Box::new(manifest)));
        }
        let earlier = read_earlier(output)?;
        let foreign = foreign_files(output, earlier.as_ref())?;
        ensure!(
            foreign.is_empty(),
            "{} holds files that no stage wrote ({}): move them away, or choose another --output",
            output.display(),
            some_of(&foreign)
        );
        if let Some(earlier) = &earlier {
            // work that has begun was allowed to, with `force` if need be, which would start it anew
            let is_agreed = force || has_begun(&in_progress, &work);
            may_replace(output, earlier, &work, is_agreed, replacing)?;
        }
        let interrupted = prepare_work(&in_progress, &work, force, replacing, listings)?;
        let grown_from = earlier.as_ref().filter(|earlier| {
            !force && !listings.is_empty() && earlier.same_work_but(&work, listings)
        });
        Ok(Opened::Work(Box::new(Self {
            output: output.to_owned(),
            work: in_progress,
            manifest: work,
            grown_from: grown_from.cloned(),
            earlier,
            interrupted,
            reads,
            started: Instant::now(),
            _lock: lock,
        })))
    }

    /// The folder in which the stage writes its files, which [`finish`](Self::finish) moves to the output.
    pub fn path(&self) -> &Path {
        &self.work
    }

    /// The work, as the manifest of the result will describe it.
    pub fn work(&self) -> &Manifest {
        &self.manifest
    }

    /// The directory that is written when the stage is finished, for messages.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// The earlier result, if nothing but [`Request::listings`] changed since (or files of it are gone): what was made of items
    /// that are still the same can be taken over. `None` if everything is to be made again, with `--force`.
    pub fn grown_from(&self) -> Option<&Manifest> {
        self.grown_from.as_ref()
    }

    /// The work whose files are in [`path`](Self::path), if it was interrupted and nothing but [`Request::listings`] changed
    /// since. The stage removes the files of items that are not the same; all others can be kept.
    pub fn interrupted(&self) -> Option<&Manifest> {
        self.interrupted.as_ref()
    }

    /// Whether the earlier result lists a file that is still there in its size.
    pub fn is_whole(&self, file: &str) -> bool {
        let listed = self.earlier.as_ref().and_then(|e| e.files.get(file));
        let found = fs::metadata(self.output.join(file)).map(|m| m.len());
        listed.is_some_and(|&bytes| found.is_ok_and(|found| found == bytes))
    }

    /// Takes a file of the earlier result over into the new one, under the same name relative to the directory. Nothing is copied
    /// where the file system has hard links. A file that the work already has is kept.
    ///
    /// # Errors
    /// Returns an error if the earlier result does not list the file, or it cannot be linked or copied.
    pub fn take_over(&self, file: &str) -> Result<()> {
        let listed = self.earlier.as_ref();
        ensure!(
            listed.is_some_and(|earlier| earlier.files.contains_key(file)),
            "{} has no {file}",
            self.output.display()
        );
        self.take_from(&self.output, file)
    }

    /// Takes a file of another complete result over, under the same name relative to the directory, as [`Self::take_over`] does.
    ///
    /// # Errors
    /// Returns an error if the file cannot be linked or copied.
    pub fn take_from(&self, folder: &Path, file: &str) -> Result<()> {
        let (from, to) = (folder.join(file), self.work.join(file));
        if to.exists() {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            create_dir(folder)?;
        }
        if fs::hard_link(&from, &to).is_ok() {
            return Ok(());
        }
        write_whole(&to, |writer| {
            std::io::copy(&mut fs::File::open(&from)?, writer)?;
            Ok(())
        })
    }

    /// Creates a subfolder of [`path`](Self::path) and returns it.
    pub fn subdir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.work.join(name);
        create_dir(&dir)?;
        Ok(dir)
    }

    /// Creates the folder for files that only an interrupted call needs, and returns it. It is removed after the manifest is written.
    pub fn partial(&self) -> Result<PathBuf> {
        self.subdir(PARTIAL)
    }

    /// Declares the work done: lists its files, moves them to the output and writes the manifest. `counts`: numbers of things
    /// written, by name.
    ///
    /// # Errors
    /// Returns an error if an input changed while the stage was at work, or a file cannot be written or moved. The next call
    /// for the same work then goes on from there.
    pub fn finish(mut self, counts: &[(&str, u64)]) -> Result<Manifest> {
        self.ensure_inputs_are_the_same()?;
        self.manifest.counts = counts.iter().map(|&(k, v)| (k.to_owned(), v)).collect();
        remove_temporaries(&self.work)?;
        self.manifest.files = listed_files(&self.work)?;
        // a power failure must not leave a manifest without the files that it declares complete
        sync_folder(&self.work)?;
        self.manifest.seconds = self.started.elapsed().as_secs_f64();
        self.manifest.write_file(&self.work.join(FILE_NAME))?;
        swap::swap(&self.output)?;
        Ok(self.manifest)
    }

    fn ensure_inputs_are_the_same(&self) -> Result<()> {
        let read = |input: &&Input| self.reads.contains(&input.path);
        for (name, input) in self.manifest.inputs.iter().filter(|(_, input)| read(input)) {
            // files that were damaged before the work began are no change
            let now = Input::as_found(&input.path).with_context(|| format!("--{name} is gone"))?;
            ensure!(
                now.blake3 == input.blake3,
                "{} changed while it was read: call again with --force",
                input.path.display()
            );
        }
        Ok(())
    }
}

/// Where the manifests of an output directory may be: of its result, of work in progress, and of work that is ready.
pub(crate) fn manifests(output: &Path) -> impl Iterator<Item = PathBuf> {
    let in_progress = output.join(IN_PROGRESS);
    [
        output.join(FILE_NAME),
        in_progress.join(WORK),
        in_progress.join(FILE_NAME),
    ]
    .into_iter()
}

/// The manifest of `output` if it is complete, was made by the same work, and its files are still there.
fn finished(output: &Path, work: &Manifest) -> Result<Option<Manifest>> {
    let path = output.join(FILE_NAME);
    if !path.exists() || output.join(IN_PROGRESS).join(FILE_NAME).exists() {
        return Ok(None);
    }
    let Ok(manifest) = Manifest::read_file(&path) else {
        return Ok(None); // reported when the directory is about to be written
    };
    if !manifest.same_work(work) {
        return Ok(None);
    }
    if let Some((file, why)) = missing_file(output, &manifest)? {
        tracing::warn!("{} {why}: making it again", output.join(file).display());
        return Ok(None);
    }
    Ok(Some(manifest))
}

/// Removes what a crash in step 5 left of work that is complete. The interrupted work of other calls stays.
fn remove_leftovers(output: &Path, work: &Manifest) -> Result<()> {
    let in_progress = output.join(IN_PROGRESS);
    let is_discarded = in_progress.join(DISCARDED).exists();
    if is_discarded || has_begun(&in_progress, work) {
        // a call that has the lock is doing this work again, with --force
        if let Ok(_lock) = Lock::acquire(output) {
            swap::discard(&in_progress)?;
        }
    }
    Ok(())
}

/// The manifest of the result in `output`, if there is one.
fn read_earlier(output: &Path) -> Result<Option<Manifest>> {
    let path = output.join(FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    let manifest = Manifest::read_file(&path).with_context(|| {
        format!(
            "{} holds a {FILE_NAME} that this version did not write: move it away, or choose another --output",
            output.display()
        )
    })?;
    Ok(Some(manifest))
}

/// Whether `dir` holds files of the same work, which was interrupted.
fn has_begun(dir: &Path, work: &Manifest) -> bool {
    Manifest::read_file(&dir.join(WORK)).is_ok_and(|begun| begun.same_work(work))
}

/// Says what the result in `output` differs by from that of the work, if it may be replaced.
fn may_replace(
    output: &Path,
    earlier: &Manifest,
    work: &Manifest,
    is_agreed: bool,
    replacing: Replacing,
) -> Result<()> {
    if earlier.same_work(work) {
        return Ok(());
    }
    let differences = differences(earlier, work);
    let is_other_shard = earlier.arguments.get("shard") != work.arguments.get("shard");
    let is_allowed = match replacing {
        _ if is_agreed => true,
        _ if is_other_shard => false,
        Replacing::Freely => true,
        Replacing::SameArguments => earlier.same_arguments(work),
        Replacing::WithForce => false,
    };
    ensure!(
        is_allowed,
        "{} was finished with {}: choose another --output, or replace it with --force",
        output.display(),
        differences.join("; ")
    );
    tracing::info!(
        "replacing the result in {}, which was finished with {}",
        output.display(),
        differences.join("; ")
    );
    Ok(())
}

/// Leaves in `dir` the files of the same work and its `work.json`. Returns the interrupted work that goes on although its
/// listings changed.
fn prepare_work(
    dir: &Path,
    work: &Manifest,
    force: bool,
    replacing: Replacing,
    listings: &[&str],
) -> Result<Option<Manifest>> {
    let path = dir.join(WORK);
    let begun = Manifest::read_file(&path);
    if let Ok(begun) = begun
        && !force
    {
        if begun.same_work(work) {
            return remove_temporaries(dir).map(|()| None);
        }
        if !listings.is_empty() && begun.same_work_but(work, listings) {
            remove_temporaries(dir)?;
            work.write_file(&path)?;
            return Ok(Some(begun));
        }
        let differences = differences(&begun, work).join("; ");
        ensure!(
            replacing != Replacing::WithForce,
            "{} was interrupted with {differences}: finish it with the same arguments, choose another --output, or discard it with --force",
            dir.display()
        );
        tracing::info!("discarding work that was interrupted with {differences}");
    }
    swap::discard(dir)?;
    create_dir(dir)?;
    work.write_file(&path)?;
    Ok(None)
}

/// Refuses an output that is an input, or inside of one, or around one.
fn ensure_apart(output: &Path, input: &Path) -> Result<()> {
    ensure_not_around(output, input)?;
    ensure!(
        !(resolve(output)?.starts_with(resolve(input)?) && input.is_dir()),
        "the output {} is inside of a folder that is read ({}): choose another --output",
        output.display(),
        input.display()
    );
    Ok(())
}

/// Refuses an output that is an input or contains one. An output inside of an input is allowed where the stage leaves it out, such
/// as a folder of images.
///
/// # Errors
/// Returns an error that names both paths.
pub fn ensure_not_around(output: &Path, input: &Path) -> Result<()> {
    let (output_path, input_path) = (resolve(output)?, resolve(input)?);
    let relation = if output_path == input_path {
        "is also read"
    } else if input_path.starts_with(&output_path) {
        "contains a file or folder that is read"
    } else {
        return Ok(());
    };
    bail!(
        "the output {} {relation} ({}): choose another --output",
        output.display(),
        input.display()
    );
}

/// The path without links, also of something that does not exist yet below something that does.
fn resolve(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let existing = path.ancestors().find(|p| p.exists()).context("no root")?;
    let mut resolved = existing.canonicalize()?;
    for part in path.strip_prefix(existing)?.components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            part => resolved.push(part),
        }
    }
    Ok(resolved)
}

fn some_of(files: &[PathBuf]) -> String {
    const SHOWN: usize = 3;
    let shown = files.iter().take(SHOWN).map(|f| f.display().to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    match files.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Creates a folder, and its parents where they are missing.
///
/// # Errors
/// Returns an error that names the folder if it cannot be created.
pub fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))
}

#[cfg(test)]
mod tests;
