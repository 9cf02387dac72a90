//! A picture, encoded for a page and as a file.

use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_bytes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use serde::Serialize;

/// One picture inside of the page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Picture {
    caption: String,
    /// What it shows, for readers who go from picture to picture; several runs have pictures of the same kind.
    kind: &'static str,
    /// Description for readers who cannot see the picture.
    alt: String,
    /// The JPEG file as a `data:` URL.
    data: String,
    /// Number of columns.
    width: u32,
    /// Number of rows.
    height: u32,
}

/// JPEG quality that keeps outlines sharp.
const QUALITY: u8 = 88;

/// A picture as a JPEG file.
///
/// # Errors
/// Returns an error if the picture is too large for the format.
pub(crate) fn jpeg(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(picture)?;
    Ok(bytes)
}

/// A JPEG file as the address of a picture in a page.
pub(crate) fn data_url(jpeg: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg))
}

impl Picture {
    /// Number of bytes in the page.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The same with another caption than its kind.
    pub(crate) fn with_caption(self, caption: String) -> Self {
        Self { caption, ..self }
    }

    /// Encodes `picture` as JPEG, and writes it to `path` too.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn write(
        picture: &RgbImage,
        path: &Path,
        kind: &'static str,
        alt: String,
    ) -> Result<Self> {
        let bytes = jpeg(picture)?;
        write_bytes(path, &bytes)?;
        Ok(Self::of(picture, &bytes, kind, alt))
    }

    /// Encodes `picture` as JPEG for a page only.
    ///
    /// # Errors
    /// Returns an error if the picture is too large for the format.
    pub(crate) fn inside(picture: &RgbImage, kind: &'static str, alt: String) -> Result<Self> {
        Ok(Self::of(picture, &jpeg(picture)?, kind, alt))
    }

    fn of(picture: &RgbImage, jpeg: &[u8], kind: &'static str, alt: String) -> Self {
        Self {
            caption: kind.to_owned(),
            kind,
            alt,
            data: data_url(jpeg),
            width: picture.width(),
            height: picture.height(),
        }
    }
}
