//! The files of one sample: logits and, if asked for, pictures.

use std::path::PathBuf;

use anyhow::Result;
use artifacts::index::{Index, Sample};
use artifacts::logits::{Logits, Precision, logits_path};
use artifacts::reuse::PerSample;
use artifacts::stage_dir::StageDir;
use image::RgbImage;

use super::args::OutputArgs;
use super::overlay;

/// Folder of the pictures inside the output directory.
const OVERLAYS: &str = "overlays";

/// Where the files of samples go, and which ones are written.
pub(super) struct Output {
    folder: PathBuf,
    /// Whether pictures are written.
    overlays: bool,
    /// Number format of the logits, if they are written.
    precision: Option<Precision>,
}

impl Output {
    pub(super) fn new(args: &OutputArgs, dir: &StageDir) -> Result<Self> {
        if args.save_overlay {
            dir.subdir(OVERLAYS)?;
        }
        Ok(Self {
            folder: dir.path().to_owned(),
            overlays: args.save_overlay,
            precision: args.logits_precision(),
        })
    }

    /// Writes the files of a sample. `image`, at the size of the upsampled logits, is needed for the pictures only.
    pub(super) fn write(&self, logits: &Logits, image: Option<&RgbImage>) -> Result<()> {
        let sample_id = &logits.info.sample_id;
        if let Some(image) = image.filter(|_| self.overlays) {
            let overlays = self.folder.join(OVERLAYS);
            let paths = overlay::names(sample_id).map(|name| overlays.join(name));
            overlay::write(logits, image, &paths)?;
        }
        match self.precision {
            Some(precision) => logits.write(&logits_path(&self.folder, sample_id), precision),
            None => Ok(()),
        }
    }
}

impl PerSample for Output {
    /// The logits come last, so that they stand for the pictures too.
    fn files(&self, sample_id: &str) -> Vec<String> {
        let mut files = Vec::new();
        if self.overlays {
            files.extend(overlay::names(sample_id).map(|name| format!("{OVERLAYS}/{name}")));
        }
        if self.precision.is_some() {
            files.push(format!("{sample_id}.safetensors"));
        }
        files
    }

    fn sources(&self, index: &Index, sample: &Sample) -> Vec<PathBuf> {
        vec![index.image_root.join(&sample.image)]
    }
}
