//! Writing the drawn files.

use std::path::Path;

use anyhow::{Context, Result};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// Writes a file, and creates its folder.
///
/// Files are written in place and not synced one by one: an interrupted call starts again from the beginning.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .with_context(|| format!("could not write {}", path.display()))
}

/// Writes an image of `width` columns as PNG.
pub(crate) fn write_png(
    path: &Path,
    pixels: &[u8],
    width: usize,
    color: ExtendedColorType,
) -> Result<()> {
    let height = pixels.len() / width / usize::from(color.bits_per_pixel() / 8);
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(pixels, width as u32, height as u32, color)?;
    write_file(path, &bytes)
}
