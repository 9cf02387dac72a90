//! What was found in one image, with its overlay: what the files of all images are made of.

use std::path::Path;

use anyhow::{Result, ensure};
use artifacts::atomic::{read_json, write_bytes};
use artifacts::index::Sample;
use artifacts::mask::ComponentMap;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::detection::{FoundImage, Length};
use super::overlay::Overlay;
use crate::read::found::FoundSample;

/// Version of the file that [`FoundInSample::write`] writes.
const FORMAT_VERSION: u32 = 1;

/// The segments of an image as boxes and polygons, and its overlay, which is a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundInSample {
    pub(super) image: FoundImage,
    pub(super) overlay: Overlay,
}

/// The file of one image.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format_version: u32,
    image: FoundImage,
    /// The rings of each segment for annotation tools, which `image` does not have.
    rings: Vec<Vec<Vec<[Length; 2]>>>,
    overlay: Overlay,
}

impl FoundInSample {
    /// Traces the segments of a sample in its component map, and paints them over the image file `photo` into
    /// `output/overlays`, a folder that exists.
    ///
    /// # Errors
    /// Returns an error if the map has another size or other segments than `found` says, or the picture cannot be written.
    pub fn new(
        output: &Path,
        found: &FoundSample,
        sample: &Sample,
        (map, photo): (&ComponentMap, &RgbImage),
    ) -> Result<Self> {
        Ok(Self {
            image: FoundImage::new(found, sample, map)?,
            overlay: Overlay::write(output, found, map, photo)?,
        })
    }

    /// Writes everything but the picture into a file, so that the image need not be looked at again.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let rings = self.image.detections.iter().map(|d| d.rings.clone());
        let record = Record {
            format_version: FORMAT_VERSION,
            image: self.image.clone(),
            rings: rings.collect(),
            overlay: self.overlay.clone(),
        };
        write_bytes(path, &serde_json::to_vec(&record)?)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// Returns an error that names the file if it is absent, damaged or of another version.
    pub fn read(path: &Path) -> Result<Self> {
        let Record {
            format_version,
            mut image,
            rings,
            overlay,
        } = read_json(path)?;
        ensure!(
            format_version == FORMAT_VERSION && rings.len() == image.detections.len(),
            "{} is of another version: remove it",
            path.display()
        );
        for (detection, rings) in image.detections.iter_mut().zip(rings) {
            detection.rings = rings;
        }
        Ok(Self { image, overlay })
    }
}
