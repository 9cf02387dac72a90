//! Reading a COCO annotation file, and checking its records of images.
//!
//! Only the members that masks need are read, so that whatever a tool writes into the others does no harm. The outlines
//! stay in the text of the file until they are needed, because most images do not qualify. A record that cannot be read
//! is a [`Fault`], and the others are read all the same.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Error, Result, bail, ensure};
use artifacts::atomic::json_error_byte;
use artifacts::index::check_inside;
use artifacts::picture::{self, MAX_PIXELS, Orientation};
use hotcoco::types::Segmentation;

use crate::faults::Fault;
use crate::file_kind::{self, Census};
use crate::file_text::{decoded, quote_non_finite};
use crate::id::Id;
use crate::records::{self, AnnotationMembers, Members};
use crate::shape;

/// The longest side that a JPEG can have, in pixels.
const MAX_SIDE: u32 = 65_535;

/// The records of an annotation file that can be read.
#[derive(Debug)]
pub struct Dataset {
    /// Images, in the order of the file.
    pub images: Vec<Image>,
    /// Annotations, in the order of the file.
    pub annotations: Vec<Annotation>,
    /// Categories, in the order of the file.
    pub categories: Vec<Category>,
    /// What is wrong with the records that could not be read.
    pub faults: Vec<Fault>,
    /// The text of the file.
    text: Vec<u8>,
}

/// The record of an image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Id, to which annotations refer.
    pub id: Id,
    /// Path of the file below the folder of images.
    pub file_name: String,
    /// Name of COCO's split, if the file has no file names and the address of the image says it (LVIS).
    pub split: Option<String>,
    /// Width and height in pixels, if the record has them.
    pub size: Option<(u32, u32)>,
    /// COCO's id of the license.
    pub license: Option<u64>,
}

/// The record of an annotation.
#[derive(Clone, Debug)]
pub struct Annotation {
    /// Id, or the place in the list if it has none.
    pub id: Id,
    /// Id of the image.
    pub image_id: Id,
    /// Id of the category.
    pub category_id: Id,
    /// Whether its shape is that of a group of objects, which are not told apart.
    pub is_crowd: bool,
    /// Where its segmentation is in the text of the file, if it has one.
    pub(crate) segmentation: Option<Range<usize>>,
}

/// The record of a category.
#[derive(Clone, Debug)]
pub struct Category {
    /// Id, to which annotations refer.
    pub id: Id,
    /// Name as written in the file.
    pub name: String,
}

impl Dataset {
    /// The outlines or run lengths of an annotation.
    ///
    /// # Errors
    /// Returns an error if it has none, or they are not written as COCO has them.
    pub fn segmentation(&self, annotation: &Annotation) -> Result<Segmentation> {
        let range = annotation.segmentation.clone();
        shape::parse(&self.text[range.context("it has no segmentation")?])
    }
}

/// Reads a COCO annotation file.
///
/// # Errors
/// Returns an error if the file does not exist, is not JSON (with the byte of the mistake), is of another kind than
/// instances, or lists no images.
pub fn read(path: &Path) -> Result<Dataset> {
    ensure!(
        !path.is_dir(),
        "annotations {} are a folder: name the file in it, for example instances_train2017.json",
        path.display()
    );
    ensure!(
        path.is_file(),
        "annotations {} do not exist: download COCO's annotations_trainval2017.zip, or name another file with \
         --annotations",
        path.display()
    );
    let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    parse(text).with_context(|| format!("{} is not a valid COCO annotation file", path.display()))
}

/// Reads the text of an annotation file.
///
/// # Errors
/// Returns the errors of [`read`].
pub(crate) fn parse(text: Vec<u8>) -> Result<Dataset> {
    let mut text = decoded(text)?;
    let mut dataset = match read_records(&text) {
        // few files have these numbers, and the search for them takes as long as the reading
        Err(_) if quote_non_finite(&mut text) => read_records(&text)?,
        found => found?,
    };
    dataset.text = text;
    Ok(dataset)
}

/// Reads the records of a file, without keeping its text.
fn read_records(text: &[u8]) -> Result<Dataset> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let byte = error.valid_up_to() + 1;
        Error::new(error).context(format!("it is not UTF-8 at byte {byte}: save it as UTF-8"))
    })?;
    if text.trim_start().starts_with('[') {
        bail!(
            "it is a list, as results of a detector are: use instances_*.json, which lists images and annotations"
        );
    }
    let members: Members = serde_json::from_str(text).map_err(|error| not_json(text, error))?;
    file_kind::ensure_lists_images(members.keys().map(AsRef::as_ref))?;
    let mut faults = Vec::new();
    let list = records::list(&members, "images")?;
    let images = records::read_all(&list, "images", &mut faults, |members, place| {
        records::image(&members, place)
    });
    ensure!(
        !list.is_empty(),
        "it lists no images: it is not a COCO annotation file"
    );
    let list = records::list(&members, "annotations")?;
    let census = Census::default();
    let read = |members: AnnotationMembers, place| {
        census.count(&members.marks());
        records::annotation(&members, place, text)
    };
    let annotations = records::read_all(&list, "annotations", &mut faults, read);
    census.ensure_instances(list.len())?;
    let list = records::list(&members, "categories")?;
    let categories = records::read_all(&list, "categories", &mut faults, |members, place| {
        records::category(&members, place)
    });
    Ok(Dataset {
        images,
        annotations,
        categories,
        faults,
        text: Vec::new(),
    })
}

/// The error of the parser, with the byte of the mistake.
fn not_json(text: &str, error: serde_json::Error) -> Error {
    let byte = json_error_byte(text.as_bytes(), &error);
    let place = if error.is_eof() {
        format!("it ends at byte {byte}, before its end: get it again")
    } else {
        format!("it is not JSON at byte {byte}")
    };
    Error::new(error).context(place)
}

/// Checks the record of an image without looking for its file.
///
/// # Errors
/// Returns an error if the file's name leads out of its folder, or the size is not one that an image could have.
pub fn check_record(image: &Image) -> Result<()> {
    let id = &image.id;
    check_inside(Path::new(&image.file_name)).with_context(|| {
        format!("image {id} has a file_name that is not one below the folder of images")
    })?;
    let Some((width, height)) = image.size else {
        return Ok(());
    };
    let pixels = u64::from(width) * u64::from(height);
    ensure!(
        (1..=MAX_PIXELS).contains(&pixels) && width.max(height) <= MAX_SIDE,
        "image {id} ({}) has a size of {width}x{height}: its record is wrong",
        image.file_name,
    );
    Ok(())
}

/// Reads the size (width, height) of an image file and compares it with its record. The pixels are those that are
/// stored, as pycocotools and Pillow see them.
///
/// # Errors
/// Returns an error if the file is damaged, cut off or not an image, or if it has another size.
pub fn check_image_file(image: &Image, path: &Path) -> Result<(u32, u32)> {
    let found = picture::size(path, Orientation::Stored)?;
    let Some(size) = image.size.filter(|size| *size != found) else {
        return Ok(found);
    };
    let is_turned = size == (found.1, found.0) && picture::is_turned(path)?;
    let reason = if is_turned {
        "the EXIF data of the image turn it, and these annotations were made on the turned image: turn the stored \
         pixels (`mogrify -auto-orient`)"
    } else {
        "these annotations belong to other images"
    };
    bail!(
        "{} has {}x{} pixels, its record {}x{}: {reason}",
        path.display(),
        found.0,
        found.1,
        size.0,
        size.1
    )
}
