//! The picture of an image with its segments.

use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_bytes;
use artifacts::mask::ComponentMap;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::colors::{FALSE_SEGMENT, TRUE_SEGMENT};
use crate::pictures::paint::Look;
use crate::pictures::{PictureSize, jpeg, paint, resize_photo, shrink_components};
use crate::read::found::FoundSample;

/// Largest width of a picture in pixels.
const MAX_WIDTH: usize = 1280;

/// Folder of the pictures.
pub const FOLDER: &str = "overlays";

/// A picture that was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Overlay {
    /// The file, relative to the output.
    pub(super) file: String,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Overlay {
    /// Paints the segments of a sample over its photo, and writes the picture into the folder `output`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(super) fn write(
        output: &Path,
        found: &FoundSample,
        map: &ComponentMap,
        photo: &RgbImage,
    ) -> Result<Self> {
        let size = PictureSize::of_sample(photo.width(), (map.width, map.height), MAX_WIDTH);
        // sorted, as segments are sorted by number
        let rejected: Vec<u16> = found
            .segments
            .iter()
            .filter(|segment| !segment.is_kept)
            .filter_map(|segment| u16::try_from(segment.id).ok())
            .collect();
        let picture = paint::segments(
            &resize_photo(photo, size),
            &shrink_components(map, size),
            None,
            |id| look(rejected.binary_search(&id).is_err()),
        );
        let file = format!("{FOLDER}/{}.jpg", found.sample_id);
        write_bytes(&output.join(&file), &jpeg(&picture)?)?;
        Ok(Self {
            file,
            width: size.width,
            height: size.height,
        })
    }
}

/// Without labels, the decision alone says what a segment seems to be.
fn look(is_kept: bool) -> Look {
    Look {
        color: if is_kept { TRUE_SEGMENT } else { FALSE_SEGMENT },
        is_kept,
    }
}
