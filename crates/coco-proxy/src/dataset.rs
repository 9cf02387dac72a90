//! Reading a COCO annotation file, and checking its records of images.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use artifacts::atomic::json_error_byte;
use artifacts::index::check_inside;
use artifacts::picture::{self, MAX_PIXELS, Orientation};
use hotcoco::COCO;
use hotcoco::types::{Dataset, Image};

/// The longest side that a JPEG can have, in pixels.
const MAX_SIDE: u32 = 65_535;

/// Reads a COCO annotation file.
///
/// # Errors
/// Returns an error if the file does not exist, is not valid COCO JSON (with the byte of the mistake), or lists no
/// images.
pub fn read(path: &Path) -> Result<Dataset> {
    ensure!(
        path.is_file(),
        "annotations {} do not exist: download COCO's annotations_trainval2017.zip, or name another file with \
         --annotations",
        path.display()
    );
    let coco = COCO::new(path).map_err(|error| {
        let place = match (&error, std::fs::read(path)) {
            (hotcoco::Error::Json(error), Ok(bytes)) => {
                format!(" at byte {}", json_error_byte(&bytes, error))
            }
            _ => String::new(),
        };
        anyhow!(error).context(format!(
            "{} is not a valid COCO annotation file{place}",
            path.display()
        ))
    });
    let dataset = std::mem::take(&mut coco?.dataset);
    ensure!(
        !dataset.images.is_empty(),
        "{} lists no images: it is not a COCO annotation file",
        path.display()
    );
    Ok(dataset)
}

/// Checks the record of an image without looking for its file.
///
/// # Errors
/// Returns an error if the file's name leads out of its folder, or the size is not one that an image could have.
pub fn check_record(image: &Image) -> Result<()> {
    let id = image.id;
    check_inside(Path::new(&image.file_name))
        .with_context(|| format!("image {id} cannot be used"))?;
    let pixels = u64::from(image.width) * u64::from(image.height);
    let longest = image.width.max(image.height);
    ensure!(
        (1..=MAX_PIXELS).contains(&pixels) && longest <= MAX_SIDE,
        "image {id} ({}) has a size of {}x{}: its record is wrong",
        image.file_name,
        image.width,
        image.height
    );
    Ok(())
}

/// Compares the size of an image file with its record.
///
/// # Errors
/// Returns an error if the file is damaged, cut off or not an image, or if it has another size.
pub fn check_image_file(image: &Image, path: &Path) -> Result<()> {
    let (width, height) = picture::size(path, Orientation::Stored)?;
    ensure!(
        (width, height) == (image.width, image.height),
        "{} has {width}x{height} pixels, its record {}x{}: these annotations belong to other images",
        path.display(),
        image.width,
        image.height
    );
    Ok(())
}
