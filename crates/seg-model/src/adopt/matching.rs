//! Which file is that of which sample, by their names.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::index::{Sample, plain_sample_id};
use walkdir::{DirEntry, WalkDir};

use super::array::ENDINGS;
use super::pattern::Pattern;

/// The files of a folder by the samples that they belong to.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// Files by sample id, relative to the folder.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// Files that belong to no sample, sorted.
    pub(super) others: Vec<String>,
}

/// Files below `folder` that an array could be in, relative to it and sorted. Hidden ones and those below `output` are left out.
///
/// # Errors
/// Returns an error if the folder cannot be listed, or has no such files.
pub(super) fn list(folder: &Path, output: &Path) -> Result<Vec<String>> {
    ensure!(
        folder.is_dir(),
        "--from {} is not a folder: name the one that holds the files",
        folder.display()
    );
    let output = output.canonicalize().ok();
    let walk = WalkDir::new(folder).follow_links(true).into_iter();
    let mut files = Vec::new();
    for entry in walk.filter_entry(|entry| !is_left_out(entry, output.as_deref())) {
        let entry = entry.with_context(|| format!("could not list {}", folder.display()))?;
        let path = entry.path().strip_prefix(folder)?;
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        if entry.file_type().is_file() && ENDINGS.contains(&&*ending.to_lowercase()) {
            let path = path.to_str().with_context(|| {
                let path = entry.path().display();
                format!("the name of {path} is not Unicode: rename it")
            })?;
            files.push(path.replace(std::path::MAIN_SEPARATOR, "/"));
        }
    }
    ensure!(
        !files.is_empty(),
        "{} has no files that could be adopted ({})",
        folder.display(),
        ENDINGS.map(|ending| format!(".{ending}")).join(", ")
    );
    files.sort();
    Ok(files)
}

/// Whether a file or folder below the listed one is hidden, or is the output.
fn is_left_out(entry: &DirEntry, output: Option<&Path>) -> bool {
    if entry.depth() == 0 {
        return false;
    }
    let is_output = || {
        let path = entry.path().canonicalize().ok();
        entry.file_type().is_dir() && output.is_some() && path.as_deref() == output
    };
    entry.file_name().to_string_lossy().starts_with('.') || is_output()
}

/// Finds the files of `samples` among `files`.
///
/// # Errors
/// Returns an error if no file belongs to a sample, or two belong to the same one.
pub(super) fn find<'a>(
    samples: impl IntoIterator<Item = &'a Sample>,
    files: &[String],
    pattern: Option<&Pattern>,
    folder: &Path,
) -> Result<Matches> {
    let names = Names::of(samples);
    let mut matches = Matches::default();
    for file in files {
        let key = match pattern {
            Some(pattern) => pattern.find(file),
            None => file.rsplit_once('.').map(|(name, _)| name),
        };
        let Some(id) = key.and_then(|key| names.sample(key)) else {
            matches.others.push(file.clone());
            continue;
        };
        if let Some(other) = matches.files.insert(id.to_owned(), file.into()) {
            bail!(
                "{} and {file} in {} are both named as files of sample {id}: say which are meant with --pattern, such as {:?}",
                other.display(),
                folder.display(),
                format!("{{id}}.{}", file.rsplit('.').next().unwrap_or_default())
            );
        }
    }
    if matches.files.is_empty() {
        bail!("{}", names.nothing_matches(files, pattern, folder));
    }
    Ok(matches)
}

/// The names under which samples are looked for.
struct Names<'a> {
    /// Sample ids by the names that stand for them: the id, and the name of the image with and without its folders. `None` if a
    /// name stands for several samples.
    samples: HashMap<String, Option<&'a str>>,
    ids: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn of(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let samples: Vec<&Sample> = samples.into_iter().collect();
        let ids: Vec<&str> = samples.iter().map(|s| s.sample_id.as_str()).collect();
        let mut names = HashMap::new();
        for sample in &samples {
            let id = sample.sample_id.as_str();
            let image = sample.image.with_extension("");
            let stem = image.file_name().unwrap_or_default().to_string_lossy();
            let path = image.to_string_lossy().replace('\\', "/");
            for name in [stem.into_owned(), path] {
                let entry = names.entry(name).or_insert(Some(id));
                *entry = entry.filter(|other| *other == id);
            }
        }
        // an id stands for its sample, whatever the images of others are called
        names.extend(ids.iter().map(|&id| (id.to_owned(), Some(id))));
        Self {
            samples: names,
            ids,
        }
    }

    /// The sample for which a name stands: as a whole, as an id would be made of it, or its last part.
    fn sample(&self, name: &str) -> Option<&'a str> {
        let find = |name: &str| self.samples.get(name).copied().flatten();
        let last = name.rsplit('/').next()?;
        find(name)
            .or_else(|| find(&plain_sample_id(name)))
            .or_else(|| find(last))
            .or_else(|| find(&plain_sample_id(last)))
    }

    /// What is said if no file is that of a sample.
    fn nothing_matches(
        &self,
        files: &[String],
        pattern: Option<&Pattern>,
        folder: &Path,
    ) -> String {
        let first = self.ids.first().copied().unwrap_or_default();
        let start = format!(
            "none of the {} files in {} (the first is {}) is named as one of the {} samples (the first is {first})",
            files.len(),
            folder.display(),
            files[0],
            self.ids.len()
        );
        match (self.suggestion(files), pattern) {
            (Some(suggested), _) => format!("{start}: pass --pattern \"{suggested}\""),
            (None, Some(pattern)) => format!("{start} by --pattern \"{pattern}\""),
            (None, None) => {
                format!("{start}: rename them, or say with --pattern what stands around the id")
            }
        }
    }

    /// The pattern by which most files are those of samples, among those by which a file is that of a sample whose name it contains.
    fn suggestion(&self, files: &[String]) -> Option<Pattern> {
        /// So many files and samples are looked at.
        const LOOKED_AT: usize = 1_000;
        /// So many patterns are compared.
        const COMPARED: usize = 100;
        let mut names: Vec<&str> = self.samples.keys().map(String::as_str).collect();
        names.sort_unstable_by_key(|name| (std::cmp::Reverse(name.len()), *name));
        let names = &names[..names.len().min(LOOKED_AT)];
        let files = &files[..files.len().min(LOOKED_AT)];
        let pairs = files
            .iter()
            .flat_map(|file| names.iter().map(move |name| (file, name)));
        let patterns = pairs.filter_map(|(file, name)| Pattern::suggest(file, name));
        let mut best: Option<(usize, Pattern)> = None;
        for pattern in patterns.take(COMPARED) {
            let found = files.iter().filter_map(|file| pattern.find(file));
            let n_found = found.filter(|id| self.samples.contains_key(*id)).count();
            if best.as_ref().is_none_or(|(most, _)| n_found > *most) {
                best = Some((n_found, pattern));
            }
        }
        best.map(|(_, pattern)| pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: &str, image: &str) -> Sample {
        Sample {
            sample_id: id.into(),
            image: image.into(),
            image_bytes: 1,
            image_width: 1,
            image_height: 1,
            mask: None,
            mask_blake3: None,
            width: 1,
            height: 1,
            proxy: None,
        }
    }

    fn find_all(files: &[&str], pattern: Option<&str>) -> Result<Vec<(String, String)>> {
        let samples = [
            sample("a", "val/one_leftImg8bit.png"),
            sample("b", "val/two.png"),
            sample("x_c", "x/three.png"),
            sample("y_d", "y/three.png"),
        ];
        let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
        let pattern = pattern.map(str::parse).transpose()?;
        let found = find(&samples, &files, pattern.as_ref(), Path::new("from"))?;
        let names = found.files.into_iter();
        Ok(names
            .map(|(id, file)| (id, file.display().to_string()))
            .collect())
    }

    #[test]
    fn files_are_found_by_id_and_by_image() -> Result<()> {
        for (file, pattern, id) in [
            ("a.npy", None, "a"),
            ("deep/a.npy", None, "a"),
            ("one_leftImg8bit.npz", None, "a"),
            ("val/two.npy", None, "b"),
            ("x/three.npy", None, "x_c"),
            ("x/c.npy", None, "x_c"),
            ("a_logits.npy", Some("{id}_logits.npy"), "a"),
            ("two.png.npy", Some("{id}.png.npy"), "b"),
        ] {
            assert_eq!(find_all(&[file], pattern)?, [(id.into(), file.into())]);
        }
        Ok(())
    }

    #[test]
    fn what_does_not_match_is_said() {
        let fails = |files: &[&str], pattern, words: &str| {
            let error = format!("{:#}", find_all(files, pattern).expect_err(words));
            assert!(error.contains(words), "{error}");
        };
        fails(&["three.npy"], None, "none of the 1 files");
        fails(&["b_logits.npy"], None, "--pattern \"{id}_logits.npy\"");
        // by "{id}b.npy" only one of them would be named as a sample
        fails(&["ab.npy", "aa.npy"], None, "--pattern \"a{id}.npy\"");
        fails(
            &["q.npy"],
            Some("{id}_x.npy"),
            "by --pattern \"{id}_x.npy\"",
        );
        fails(&["a.npy", "a.npz"], None, "both named as files of sample a");
        fails(&["a.npy", "x/a.npy"], None, "both named");
    }
}
