//! `manifest.json`: which stage made a directory, with which arguments, from which inputs.
//!
//! It is written last, so its presence means that the directory is complete.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::atomic::{read_json, write_json};
use crate::file_hash::FileHash;
use crate::index::check_inside;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "manifest.json";

const FORMAT_VERSION: u32 = 2;

/// The provenance of a directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format_version: u32,
    /// Executable and subcommand, e.g. `seg-model infer`.
    pub stage: String,
    /// Version of the tool.
    pub tool_version: String,
    /// The stage's resolved arguments.
    pub arguments: serde_json::Value,
    /// Inputs by the name of their argument. A directory is represented by its own manifest.
    pub inputs: BTreeMap<String, Input>,
    /// Numbers of things written, e.g. `samples`.
    pub counts: BTreeMap<String, u64>,
    /// Files that the stage wrote, relative to the directory, with their sizes in bytes.
    pub files: BTreeMap<String, u64>,
    /// Wall-clock time of the call that completed the directory, in seconds.
    pub seconds: f64,
}

/// One input and the hash of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Path as given.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 hash of the content, hexadecimal.
    pub blake3: String,
}

impl Input {
    /// Hashes a file, or the manifest of a stage's directory, which in turn holds the hashes of its inputs.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or the directory has no manifest because its stage did not finish.
    pub fn of(path: &Path) -> Result<Self> {
        Self::of_any(path, true)
    }

    /// As [`Self::of`], but files of a stage's directory that are gone, or are not as large as the stage wrote them, are no error:
    /// what is there counts as the content. For stages that list inputs that cannot be used and go on.
    ///
    /// # Errors
    /// Returns the other errors of [`Self::of`].
    pub fn as_found(path: &Path) -> Result<Self> {
        Self::of_any(path, false)
    }

    fn of_any(path: &Path, is_strict: bool) -> Result<Self> {
        ensure!(
            path.exists(),
            "could not read {}: it does not exist; run the stage that writes it first, or name another",
            path.display()
        );
        if path.is_dir() {
            return Self::of_stage(path, is_strict);
        }
        Self::of_file(path)
    }

    /// Hashes the manifest of a finished directory without the time it took, so that the same work has the same hash.
    ///
    /// The manifest stands for the files that it lists, so these must still have their sizes. A file that was modified after
    /// the manifest was written (by another program, or by copying) is hashed too: reading it costs time, but taking it for
    /// unchanged could give wrong results in silence.
    fn of_stage(dir: &Path, is_strict: bool) -> Result<Self> {
        ensure!(
            dir.join(FILE_NAME).exists(),
            "{} has no {FILE_NAME}: the stage that writes it did not finish; run it again",
            dir.display()
        );
        let manifest = Manifest::read(dir)?;
        let mut content = manifest.content()?;
        for (file, hash) in manifest.modified_files(dir, is_strict)? {
            content.extend_from_slice(format!("\n{file} {hash}").as_bytes());
        }
        Ok(Self {
            path: dir.to_owned(),
            bytes: content.len() as u64,
            blake3: blake3::hash(&content).to_hex().to_string(),
        })
    }

    /// What all items in a stage's directory have in common: the work that made them, but for the inputs of these names, which list
    /// the items. Its path is that of the manifest.
    ///
    /// # Errors
    /// Returns an error if the directory is incomplete or of another version.
    pub fn of_work(dir: &Path, listings: &[&str]) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        let inputs = manifest
            .contents()
            .filter(|(name, _)| !listings.contains(name));
        let inputs: Vec<_> = inputs.collect();
        let work = (
            &manifest.stage,
            &manifest.tool_version,
            &manifest.arguments,
            inputs,
        );
        let content = serde_json::to_vec(&work)?;
        Ok(Self {
            path: dir.join(FILE_NAME),
            bytes: content.len() as u64,
            blake3: blake3::hash(&content).to_hex().to_string(),
        })
    }

    /// The manifest of the directory that this input was, if it is still there and as it was; `None` if not, or if this was a file.
    pub fn manifest(&self) -> Option<Manifest> {
        let manifest = Manifest::read(&self.path).ok()?;
        let content = manifest.content().ok()?;
        (*blake3::hash(&content).to_hex() == *self.blake3).then_some(manifest)
    }

    fn of_file(path: &Path) -> Result<Self> {
        let FileHash { bytes, blake3 } = FileHash::of(path)?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            blake3,
        })
    }
}

impl Manifest {
    /// A manifest of the present version, without counts and files.
    pub fn new(stage: &str, arguments: serde_json::Value, inputs: BTreeMap<String, Input>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            stage: stage.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            arguments,
            inputs,
            counts: BTreeMap::new(),
            files: BTreeMap::new(),
            seconds: 0.0,
        }
    }

    /// Reads a manifest file.
    ///
    /// # Errors
    /// Returns an error if it is absent, damaged or of another version.
    pub fn read_file(path: &Path) -> Result<Self> {
        let manifest: Self = read_json(path)?;
        ensure!(
            manifest.format_version == FORMAT_VERSION,
            "{} has format version {}, this tool reads {FORMAT_VERSION}",
            path.display(),
            manifest.format_version
        );
        Ok(manifest)
    }

    /// Reads `dir/manifest.json`.
    ///
    /// # Errors
    /// Returns an error if the directory is incomplete or of another version.
    pub fn read(dir: &Path) -> Result<Self> {
        Self::read_file(&dir.join(FILE_NAME))
            .with_context(|| format!("{} is not the output of a finished stage", dir.display()))
    }

    /// What is hashed: everything but the time that the work took.
    fn content(&self) -> Result<Vec<u8>> {
        let timeless = Self {
            seconds: 0.0,
            ..self.clone()
        };
        Ok(serde_json::to_vec(&timeless)?)
    }

    /// Writes the manifest to `path`.
    pub fn write_file(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }

    /// Files of a finished directory that were modified after its manifest was written, with the hashes of their content.
    /// With `is_strict`, files that are gone or not as large as they were written are an error.
    fn modified_files(&self, dir: &Path, is_strict: bool) -> Result<Vec<(&str, String)>> {
        let path = dir.join(FILE_NAME);
        let written = modified(&path)?;
        let mut all = Vec::new();
        for (file, &bytes) in &self.files {
            check_inside(Path::new(file))?;
            let path = dir.join(file);
            let found = path.metadata().map(|m| m.len()).ok();
            let is_whole = found == Some(bytes);
            ensure!(
                is_whole || !is_strict,
                "{} {}: run `{}` again",
                path.display(),
                found.map_or("is gone".to_owned(), |n| format!(
                    "has {n} bytes, but its stage wrote {bytes}"
                )),
                self.stage
            );
            if found.is_none() {
                all.push((file.as_str(), "is gone".to_owned()));
            } else if !is_whole || modified(&path)? > written {
                all.push((file.as_str(), FileHash::of(&path)?.blake3));
            }
        }
        Ok(all)
    }

    /// Names of the inputs with the hashes of their contents.
    fn contents(&self) -> impl Iterator<Item = (&str, &str)> {
        let inputs = self.inputs.iter();
        inputs.map(|(name, input)| (name.as_str(), input.blake3.as_str()))
    }

    /// Whether `other` is of the same stage and version, with the same arguments and inputs.
    pub fn same_work(&self, other: &Self) -> bool {
        self.same_arguments(other) && self.contents().eq(other.contents())
    }

    /// Whether `other` is the same work but for the inputs of these names.
    pub fn same_work_but(&self, other: &Self, names: &[&str]) -> bool {
        let but = |(name, _): &(&str, &str)| !names.contains(name);
        let [ours, theirs] = [self, other].map(Self::contents);
        self.same_arguments(other) && ours.filter(but).eq(theirs.filter(but))
    }

    /// Whether `other` is of the same stage and version, with the same arguments, whatever its inputs are.
    pub fn same_arguments(&self, other: &Self) -> bool {
        self.stage == other.stage
            && self.tool_version == other.tool_version
            && self.arguments == other.arguments
    }
}

/// When a file was last modified.
fn modified(path: &Path) -> Result<SystemTime> {
    let modified = path.metadata().and_then(|m| m.modified());
    modified.with_context(|| format!("could not read {}", path.display()))
}
