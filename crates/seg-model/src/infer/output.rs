//! The files of one sample: logits or scores and, if asked for, pictures.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::index::{Index, Sample};
use artifacts::logits::{Precision, logits_path};
use artifacts::reuse::PerSample;
use artifacts::stage_dir::StageDir;
use image::RgbImage;

use super::args::OutputArgs;
use super::overlay;
use super::sink::{Maps, Picture, Sink};

/// Folder of the pictures inside the output directory.
const OVERLAYS: &str = "overlays";

/// The pictures of a sample in a complete output: prediction and entropy.
pub(super) fn pictures(output: &Path, sample_id: &str) -> [PathBuf; 2] {
    overlay::names(sample_id).map(|name| output.join(OVERLAYS).join(name))
}

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
    fn write(&self, maps: &Maps, image: Option<&RgbImage>) -> Result<()> {
        let logits = match maps {
            Maps::Scores(map) => return map.write(&logits_path(&self.folder, &map.sample_id)),
            Maps::Logits(logits) => logits,
        };
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

impl Sink for Output {
    fn name(&self) -> &'static str {
        "infer"
    }

    fn picture(&self) -> Option<Picture> {
        self.overlays.then_some(Picture::OfOutput)
    }

    /// Logits must not exceed the number format of their file. Other errors of writing are those of the disk.
    fn check(&self, maps: &Maps) -> Result<()> {
        let Maps::Logits(logits) = maps else {
            return Ok(()); // scores are f32
        };
        let checked = self.precision.map(|precision| logits.check_fits(precision));
        checked.unwrap_or(Ok(())).context("pass --precision f32")
    }

    fn take(&self, maps: Maps, picture: Option<RgbImage>) -> Result<()> {
        self.write(&maps, picture.as_ref())
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
