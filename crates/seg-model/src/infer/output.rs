//! The files of one sample: logits and, if asked for, pictures.

use std::path::PathBuf;

use anyhow::Result;
use artifacts::logits::{Logits, Precision, logits_path};
use artifacts::stage_dir::StageDir;
use image::RgbImage;

use super::args::OutputArgs;
use super::overlay;

/// Folder of the pictures inside the output directory.
const OVERLAYS: &str = "overlays";

/// Where the files of samples go, and which ones are written.
pub(super) struct Output {
    folder: PathBuf,
    /// Folder of the pictures, if they are written.
    overlays: Option<PathBuf>,
    /// Number format of the logits, if they are written.
    precision: Option<Precision>,
}

impl Output {
    pub(super) fn new(args: &OutputArgs, dir: &StageDir) -> Result<Self> {
        let overlays = args.save_overlay.then(|| dir.subdir(OVERLAYS));
        Ok(Self {
            folder: dir.path().to_owned(),
            overlays: overlays.transpose()?,
            precision: args.logits_precision(),
        })
    }

    /// Whether all files of a sample exist. The logits are written last, so that they stand for the pictures too.
    pub(super) fn is_done(&self, sample_id: &str) -> bool {
        match (&self.precision, &self.overlays) {
            (None, Some(overlays)) => overlay::paths(overlays, sample_id)
                .iter()
                .all(|path| path.exists()),
            _ => logits_path(&self.folder, sample_id).exists(),
        }
    }

    /// Writes the files of a sample. `image`, at the size of the upsampled logits, is needed for the pictures only.
    pub(super) fn write(&self, logits: &Logits, image: Option<&RgbImage>) -> Result<()> {
        let sample_id = &logits.info.sample_id;
        if let (Some(overlays), Some(image)) = (&self.overlays, image) {
            overlay::write(logits, image, &overlay::paths(overlays, sample_id))?;
        }
        match self.precision {
            Some(precision) => logits.write(&logits_path(&self.folder, sample_id), precision),
            None => Ok(()),
        }
    }
}
