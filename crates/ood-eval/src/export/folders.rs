//! Where the files of each format are written to.

use std::path::PathBuf;

use anyhow::Result;
use artifacts::stage_dir::StageDir;

use super::args::{ExportArgs, Format};

/// The folder of each format.
pub(super) struct Folders(Vec<(Format, PathBuf)>);

impl Folders {
    /// Creates the folders in `dir`. `dataset` is the name of the data set in the folders of the benchmark.
    ///
    /// # Errors
    /// Returns an error if a folder cannot be created.
    pub(super) fn create(dir: &StageDir, args: &ExportArgs, dataset: &str) -> Result<Self> {
        let mut folders = Vec::new();
        for &format in &args.format {
            let name = folder_name(format, &args.method, dataset);
            folders.push((format, dir.subdir(&name)?));
        }
        Ok(Self(folders))
    }

    /// The files of a sample that do not exist yet. Files that exist are complete.
    pub(super) fn missing(&self, sample_id: &str) -> Vec<(Format, PathBuf)> {
        let mut missing = Vec::new();
        for (format, folder) in &self.0 {
            let path = folder.join(format!("{sample_id}.{}", extension(*format)));
            if !path.exists() {
                missing.push((*format, path));
            }
        }
        missing
    }
}

fn folder_name(format: Format, method: &str, dataset: &str) -> String {
    match format {
        Format::Smiyc => format!("anomaly_p/{method}/{dataset}"),
        Format::Npy => "npy".to_owned(),
        Format::Tiff => "tiff".to_owned(),
        Format::Png => "png".to_owned(),
        Format::Overlay => "overlay".to_owned(),
    }
}

fn extension(format: Format) -> &'static str {
    match format {
        Format::Smiyc => "hdf5",
        Format::Npy => "npy",
        Format::Tiff => "tiff",
        Format::Png | Format::Overlay => "png",
    }
}
