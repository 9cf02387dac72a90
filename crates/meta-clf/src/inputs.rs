//! The input folders of `fit` and `apply`: outputs of `segment-metrics`, with their tables at several thresholds.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use artifacts::manifest::Input;
use artifacts::model_file;
use artifacts::tables::{read_table_parts, schema, threshold_folder, thresholds_in};

use crate::segments;

/// Names of `n_folders` folders in the manifest: `segments`, or `segments[0]` and so on if there are several.
pub fn names(n_folders: usize) -> Vec<String> {
    match n_folders {
        1 => vec!["segments".to_owned()],
        n => (0..n).map(|i| format!("segments[{i}]")).collect(),
    }
}

/// Folders with their names in the manifest.
pub fn named<'a>(names: &'a [String], folders: &'a [PathBuf]) -> Vec<(&'a str, &'a Path)> {
    let names = names.iter().map(String::as_str);
    names.zip(folders.iter().map(PathBuf::as_path)).collect()
}

/// Thresholds that all folders have segments at, besides the main one.
///
/// # Errors
/// Returns an error if the folders have different thresholds.
pub fn other_thresholds(folders: &[PathBuf]) -> Result<Vec<f64>> {
    let all = folders.iter().map(|folder| thresholds_in(folder));
    let all = all.collect::<Result<Vec<_>>>()?;
    for (folder, thresholds) in folders.iter().zip(&all) {
        ensure!(
            *thresholds == all[0],
            "{} and {} have segments at different thresholds: run `segment-metrics` with the same --thresholds",
            folders[0].display(),
            folder.display()
        );
    }
    Ok(all.into_iter().next().unwrap_or_default())
}

/// The subfolder of each folder that has the segments at `threshold`.
pub fn at_threshold(folders: &[PathBuf], threshold: f64) -> Vec<PathBuf> {
    let folders = folders.iter();
    folders.map(|f| threshold_folder(f, threshold)).collect()
}

/// The models that were fitted at these thresholds beside `model`, if they exist, with their names in the manifest.
pub fn models_at(model: &Path, thresholds: &[f64]) -> Vec<(String, PathBuf)> {
    let folder = model.parent().unwrap_or(Path::new(""));
    let models = thresholds.iter().map(|&threshold| {
        let path = threshold_folder(folder, threshold).join(model_file::FILE_NAME);
        (format!("model at {threshold}"), path)
    });
    models.filter(|(_, path)| path.exists()).collect()
}

/// Number of images that the segments in `folders` were looked for in, those without segments included.
///
/// # Errors
/// Returns an error if a table of samples cannot be read.
pub fn count_images(folders: &[PathBuf]) -> Result<usize> {
    let table = schema::samples().without_truth();
    let mut n_images = 0;
    for folder in folders {
        for part in read_table_parts(&folder.join(table.file_name()), &table)? {
            n_images += part?.height();
        }
    }
    Ok(n_images)
}

/// BLAKE3 of the table of segments in each folder.
///
/// # Errors
/// Returns an error if a table cannot be read.
pub fn table_hashes(folders: &[PathBuf]) -> Result<Vec<String>> {
    let file_name = segments::table().file_name();
    let inputs = folders.iter().map(|f| Input::of(&f.join(&file_name)));
    inputs.map(|input| Ok(input?.blake3)).collect()
}
