//! What runs lack, and the calls that make it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::index::{self, Index};
use artifacts::labels::MaskKind;
use artifacts::manifest::Manifest;
use artifacts::run_dir::RunFolder;
use artifacts::score::Score;
use artifacts::track::Threshold;
use serde::Serialize;

use super::finished::is_finished;
use super::own_score::OwnScore;

/// A data set of which a run has a benchmark without the segments that false alarms, missed objects and meta classification need.
#[derive(Clone, Debug, Serialize)]
pub struct OnlyBenchmark {
    /// Name of the run.
    pub run: String,
    /// Name of the data set.
    pub dataset: String,
    /// The call that makes the segments.
    pub call: String,
}

impl OnlyBenchmark {
    /// All such data sets of the run `name` in the directory `run`.
    ///
    /// # Errors
    /// Returns an error if a folder cannot be listed, or the manifest of a benchmark is damaged.
    pub fn all(name: &str, run: &Path) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for dataset in RunFolder::Benchmark.datasets(run)? {
            let benchmark = RunFolder::Benchmark.dataset(run, &dataset);
            let segments = RunFolder::Segments.dataset(run, &dataset);
            if is_finished(&benchmark) && !is_finished(&segments) {
                all.push(Self {
                    run: name.to_owned(),
                    call: call_like(&benchmark, &segments)?,
                    dataset,
                });
            }
        }
        Ok(all)
    }

    /// What is missing, and what to do.
    pub fn sentence(&self) -> String {
        let Self { run, dataset, call } = self;
        format!(
            "run {run:?} has only the benchmark of {dataset}; false alarms, missed objects and the other tables need segments, which `{call}` makes"
        )
    }
}

/// Says that the run `name` in the directory `run` has no segments, and what makes them.
///
/// # Errors
/// Returns an error if a folder cannot be listed, or the manifest of the logits is damaged.
pub fn nothing_to_evaluate(name: &str, run: &Path) -> Result<String> {
    let advice = call_for_logits(run)?;
    let advice = advice.map_or("run it first".to_owned(), |call| {
        format!("`{call}` makes one")
    });
    Ok(format!(
        "run {name:?} has nothing to evaluate: there is no finished output of `segment-metrics` in {}; {advice}",
        RunFolder::Segments.dataset(run, "<dataset>").display()
    ))
}

/// The call of `segment-metrics` that makes segments of the first data set whose logits are in the directory `run`, unless its labels
/// are known classes; `None` without such logits.
fn call_for_logits(run: &Path) -> Result<Option<String>> {
    for dataset in RunFolder::Logits.datasets(run)? {
        let logits = RunFolder::Logits.dataset(run, &dataset);
        if !is_finished(&logits) {
            continue;
        }
        let labels = Manifest::read(&logits)?.inputs.remove("labels");
        let labels = labels.map(|input| folder_of_index(input.path));
        let labels = labels.unwrap_or_else(|| Path::new("labels").join(&dataset));
        // labels that are not there now do not speak against it
        let is_of_known = Index::read(&labels).is_ok_and(|i| i.mask_kind == MaskKind::TrainId);
        if !is_of_known {
            let output = RunFolder::Segments.dataset(run, &dataset);
            let paths = [("logits", logits), ("labels", labels), ("output", output)];
            return Ok(Some(call(&paths)));
        }
    }
    Ok(None)
}

/// The call that made the directory `benchmark`, without its track and with another output. Scores that have no usual threshold get
/// that of the benchmark.
fn call_like(benchmark: &Path, output: &Path) -> Result<String> {
    let manifest = Manifest::read(benchmark)?;
    let score = OwnScore::read(benchmark)?.score;
    let inputs = ["logits", "scores", "labels", "region"].into_iter();
    let inputs = inputs.filter_map(|name| Some((name, manifest.inputs.get(name)?.path.clone())));
    let output = ("output", output.to_owned());
    let call = call(&inputs.chain([output]).collect::<Vec<_>>());
    if score == Score::Entropy {
        return Ok(call);
    }
    let threshold = Threshold::read(benchmark)?.threshold;
    Ok(format!(
        "{call} --score {} --threshold {threshold}",
        score.name()
    ))
}

/// `segment-metrics` with flags that name paths.
fn call(paths: &[(&str, PathBuf)]) -> String {
    let flags = paths.iter();
    let flags = flags.map(|(name, path)| format!(" --{name} {}", quoted(path)));
    format!("oodseg segment-metrics{}", flags.collect::<String>())
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The folder of labels whose index this is.
fn folder_of_index(path: PathBuf) -> PathBuf {
    let is_index = path
        .file_name()
        .is_some_and(|name| name == index::FILE_NAME);
    match path.parent() {
        Some(folder) if is_index => folder.to_owned(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_shell() {
        for (path, expected) in [
            ("runs/a-1/x_2.png", "runs/a-1/x_2.png"),
            ("my runs/a", "'my runs/a'"),
            ("it's", r"'it'\''s'"),
            ("a$b", "'a$b'"),
        ] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }

    #[test]
    fn labels_are_the_folder_of_their_index() {
        for (path, expected) in [
            ("labels/a/index.json", "labels/a"),
            ("labels/a", "labels/a"),
        ] {
            assert_eq!(folder_of_index(path.into()), Path::new(expected));
        }
    }
}
