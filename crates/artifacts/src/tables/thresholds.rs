//! Tables at additional thresholds are in `thresholds/<T>/` of a stage's directory, with `<T>` the shortest decimal number.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folder that has one folder for each additional threshold.
pub const THRESHOLDS: &str = "thresholds";

/// Folder of the tables at `threshold` in the stage directory `dir`.
pub fn threshold_folder(dir: &Path, threshold: f64) -> PathBuf {
    dir.join(THRESHOLDS).join(threshold.to_string())
}

/// Additional thresholds for which the stage directory `dir` has tables, ascending; none if it has no such folder.
///
/// # Errors
/// Returns an error if the folder cannot be listed.
pub fn thresholds_in(dir: &Path) -> Result<Vec<f64>> {
    let folder = dir.join(THRESHOLDS);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let list = || format!("could not list {}", folder.display());
    let mut thresholds = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(list)? {
        let name = entry.with_context(list)?.file_name();
        let number = name.to_str().and_then(|n| n.parse::<f64>().ok());
        // folders that are named otherwise, such as `0.30` or `partial`, were not made by `threshold_folder`
        thresholds.extend(number.filter(|n| n.to_string().as_str() == name));
    }
    thresholds.sort_by(f64::total_cmp);
    Ok(thresholds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_numbers_in_order() -> Result<()> {
        let dir = tempfile::tempdir()?;
        assert!(thresholds_in(dir.path())?.is_empty());
        for t in [0.7, -2.5, 0.25, 10.0] {
            std::fs::create_dir_all(threshold_folder(dir.path(), t))?;
        }
        for other in ["0.30", "x", "partial"] {
            std::fs::create_dir(dir.path().join(THRESHOLDS).join(other))?;
        }
        assert_eq!(thresholds_in(dir.path())?, [-2.5, 0.25, 0.7, 10.0]);
        assert!(dir.path().join("thresholds/10").is_dir());
        Ok(())
    }
}
