//! Reading a COCO annotation file, and checking its records of images.
//!
//! Only the members that masks need are read, so that whatever a tool writes into the others does no harm. The outlines
//! stay in the text of the file until they are needed, because most images do not qualify. A record that cannot be read
//! is a [`Fault`], and the others are read all the same.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result, anyhow, bail, ensure};
use artifacts::atomic::json_error_byte;
use artifacts::index::check_inside;
use artifacts::picture::{self, MAX_PIXELS, Orientation};
use hotcoco::types::Segmentation;
use rayon::iter::Either;
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::faults::Fault;
use crate::id::Id;
use crate::json::{self, Member};
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
    /// Where its segmentation is in the text of the file, if it has one.
    segmentation: Option<Range<usize>>,
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

#[derive(Deserialize)]
struct ImageMembers<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    file_name: Option<&'a RawValue>,
    #[serde(borrow)]
    coco_url: Option<&'a RawValue>,
    #[serde(borrow)]
    width: Option<&'a RawValue>,
    #[serde(borrow)]
    height: Option<&'a RawValue>,
    #[serde(borrow)]
    license: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AnnotationMembers<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    image_id: Option<&'a RawValue>,
    #[serde(borrow)]
    category_id: Option<&'a RawValue>,
    #[serde(borrow)]
    segmentation: Option<&'a RawValue>,
    // what tells other kinds of files apart
    segments_info: Option<IgnoredAny>,
    caption: Option<IgnoredAny>,
    keypoints: Option<IgnoredAny>,
    bbox: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct CategoryMembers<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

/// How many annotations have which members.
#[derive(Default)]
struct Census {
    shapes: AtomicUsize,
    segments_info: AtomicUsize,
    captions: AtomicUsize,
    keypoints: AtomicUsize,
    boxes: AtomicUsize,
}

/// Why a record was not read.
enum Unread {
    /// It is JSON, but not a record.
    Fault(Fault),
    /// It is not JSON, from this byte on.
    Broken(usize, serde_json::Error),
}

/// Reads a COCO annotation file.
///
/// # Errors
/// Returns an error if the file does not exist, is not JSON (with the byte of the mistake), is of another kind than
/// instances, or lists no images.
pub fn read(path: &Path) -> Result<Dataset> {
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
    if text.trim_ascii_start().starts_with(b"[") {
        bail!(
            "it is a list, as results of a detector are: use instances_*.json, which lists images and annotations"
        );
    }
    let members = json::members(&mut text)?;
    ensure_instances(&members)?;
    let mut faults = Vec::new();
    let images = records(&text, &members, "images", &mut faults, image)?;
    let census = Census::default();
    let mut annotation_faults = Vec::new();
    let read = |members: AnnotationMembers, place| {
        census.count(&members);
        annotation(&members, place, &text)
    };
    let annotations = records(&text, &members, "annotations", &mut annotation_faults, read)?;
    census.ensure_instances()?;
    faults.extend(annotation_faults);
    let categories = records(&text, &members, "categories", &mut faults, category)?;
    ensure!(
        !images.is_empty() || !faults.is_empty(),
        "it lists no images: it is not a COCO annotation file"
    );
    Ok(Dataset {
        images,
        annotations,
        categories,
        faults,
        text,
    })
}

/// The text as UTF-8 without a byte order mark.
fn decoded(mut text: Vec<u8>) -> Result<Vec<u8>> {
    match text.as_slice() {
        [] => bail!("it is empty: get it again"),
        [0xEF, 0xBB, 0xBF, ..] => {
            // blanks, so that positions stay what they are
            text[..3].fill(b' ');
            Ok(text)
        }
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0x1F, 0x8B, ..] | [b'P', b'K', 3, 4, ..] => {
            bail!("it is compressed: unpack it and name the JSON file in it")
        }
        _ if text.starts_with(b"version https://git-lfs") => {
            bail!("it is a placeholder of git-lfs: run `git lfs pull`")
        }
        _ => Ok(text),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Vec<u8>> {
    let (units, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().copied().map(unit).collect();
    let text = String::from_utf16(&units).context("it is not valid UTF-16")?;
    Ok(text.into_bytes())
}

/// Checks by the names of its members that a file can be one of instances.
fn ensure_instances(members: &[Member]) -> Result<()> {
    let has = |name: &str| members.iter().any(|m| m.name == name);
    for name in ["images", "annotations", "categories"] {
        let member = members.iter().find(|m| m.name == name);
        let is_list = member.is_none_or(|m| m.elements.is_some());
        ensure!(is_list, "its `{name}` are not a list");
    }
    if has("images") {
        return Ok(());
    }
    if has("shapes") && has("imagePath") {
        bail!(
            "it lists no images: it is a LabelMe file of one image, convert the folder to COCO instances"
        );
    }
    if members.iter().any(|m| m.name.starts_with("_via")) {
        bail!("it lists no images: it is a VIA project, export it as COCO");
    }
    if has("annotation") || has("annotations") {
        bail!("it lists no images: `images` is missing");
    }
    bail!("it lists no images: it is not a COCO annotation file")
}

impl Census {
    fn count(&self, members: &AnnotationMembers) {
        let is_shape = |raw: &&RawValue| !raw.get()[1..].trim_start().starts_with([']', '}']);
        for (counter, has) in [
            (
                &self.shapes,
                members.segmentation.filter(is_shape).is_some(),
            ),
            (&self.segments_info, members.segments_info.is_some()),
            (&self.captions, members.caption.is_some()),
            (&self.keypoints, members.keypoints.is_some()),
            (&self.boxes, members.bbox.is_some()),
        ] {
            if has {
                counter.fetch_add(1, Relaxed);
            }
        }
    }

    /// Checks that annotations have shapes, if there are any; otherwise names what they have.
    fn ensure_instances(&self) -> Result<()> {
        const USE: &str = "use instances_*.json, which has the outlines";
        let has = |counter: &AtomicUsize| counter.load(Relaxed) > 0;
        if has(&self.segments_info) {
            bail!(
                "it is a panoptic file (annotations with `segments_info`), whose masks are in PNG files: {USE}"
            );
        }
        if has(&self.shapes) {
            return Ok(());
        }
        if has(&self.captions) {
            bail!("it is a file of captions, without outlines: {USE}");
        }
        if has(&self.keypoints) {
            bail!("it is a file of keypoints, without outlines: {USE}");
        }
        if has(&self.boxes) {
            bail!("it is a file of boxes (every `segmentation` is absent or empty): {USE}");
        }
        Ok(())
    }
}

/// The records of the list `name`, in the order of the file. `read` gets the members of a record and its place, counted
/// from 1; what it refuses is added to `faults`.
fn records<'a, M: Deserialize<'a>, R: Send>(
    text: &'a [u8],
    members: &[Member],
    name: &str,
    faults: &mut Vec<Fault>,
    read: impl Fn(M, usize) -> Result<R, Fault> + Sync,
) -> Result<Vec<R>> {
    let member = members.iter().rfind(|m| m.name == name);
    let Some(ranges) = member.and_then(|m| m.elements.as_ref()) else {
        return Ok(Vec::new());
    };
    let one = |(place, range): (usize, &Range<usize>)| -> Result<R, Unread> {
        let place = place + 1;
        let bytes = &text[range.clone()];
        let members = serde_json::from_slice(bytes).map_err(|error| {
            if error.is_data() {
                let subject = format!("record {place} of `{name}`");
                return Unread::Fault(Fault::new(subject, format!("cannot be read: {error}")));
            }
            Unread::Broken(range.start + json_error_byte(bytes, &error), error)
        })?;
        read(members, place).map_err(Unread::Fault)
    };
    let found = ranges.par_iter().enumerate().map(one);
    let (read, unread): (Vec<R>, Vec<Unread>) = found.partition_map(|found| match found {
        Ok(record) => Either::Left(record),
        Err(unread) => Either::Right(unread),
    });
    for unread in unread {
        match unread {
            Unread::Fault(fault) => faults.push(fault),
            Unread::Broken(byte, error) => {
                return Err(anyhow!("{error}").context(format!("it is not JSON at byte {byte}")));
            }
        }
    }
    Ok(read)
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// A whole number, also if it is written as `7.0` or as a text.
fn whole_number(raw: &RawValue) -> Option<u64> {
    match Id::parse(raw.get())? {
        Id::Number(number) => Some(number),
        Id::Text(_) => None,
    }
}

fn image(members: ImageMembers, place: usize) -> Result<Image, Fault> {
    let id = members.id.and_then(|raw| Id::parse(raw.get()));
    let id = id.ok_or_else(|| {
        Fault::new(
            format!("record {place} of `images`"),
            "has no id that is a whole number or a text",
        )
    })?;
    let subject = format!("image {id}");
    let side = |raw: Option<&RawValue>| -> Result<Option<u32>, Fault> {
        let Some(raw) = raw else { return Ok(None) };
        let number = whole_number(raw).and_then(|n| u32::try_from(n).ok());
        number.map(Some).ok_or_else(|| {
            let predicate = format!("has a width or height of {}, which is no size", raw.get());
            Fault::new(&subject, predicate)
        })
    };
    let size = side(members.width)?.zip(side(members.height)?);
    let (file_name, split) = match text(members.file_name).filter(|name| !name.is_empty()) {
        Some(name) => (name.replace('\\', "/"), None),
        None => name_of_address(text(members.coco_url).as_deref(), &id),
    };
    let license = members.license.and_then(whole_number);
    Ok(Image {
        id,
        file_name,
        split,
        size,
        license,
    })
}

/// The name and the split of an image file from its address, for example
/// `http://images.cocodataset.org/train2017/000000391895.jpg`; without an address the name that COCO gives the id.
fn name_of_address(address: Option<&str>, id: &Id) -> (String, Option<String>) {
    let mut parts = address.unwrap_or_default().rsplit('/');
    let name = parts.next().filter(|name| name.contains('.'));
    match name {
        Some(name) => (name.to_owned(), parts.next().map(str::to_owned)),
        None => (format!("{}.jpg", id.sample_id()), None),
    }
}

fn annotation(members: &AnnotationMembers, place: usize, text: &[u8]) -> Result<Annotation, Fault> {
    let id = members.id.and_then(|raw| Id::parse(raw.get()));
    let id = id.unwrap_or_else(|| Id::Text(format!("number {place} of the list").into()));
    let reference = |raw: Option<&RawValue>, name: &str| {
        let found = raw.and_then(|raw| Id::parse(raw.get()));
        found.ok_or_else(|| {
            let predicate = format!("has no {name} that is a whole number or a text");
            Fault::new(format!("annotation {id}"), predicate)
        })
    };
    let image_id = reference(members.image_id, "image_id")?;
    let category_id = reference(members.category_id, "category_id")?;
    let segmentation = members.segmentation.map(|raw| {
        let begin = raw.get().as_ptr().addr() - text.as_ptr().addr();
        begin..begin + raw.get().len()
    });
    Ok(Annotation {
        id,
        image_id,
        category_id,
        segmentation,
    })
}

fn category(members: CategoryMembers, place: usize) -> Result<Category, Fault> {
    let id = members.id.and_then(|raw| Id::parse(raw.get()));
    match id.zip(text(members.name)) {
        Some((id, name)) => Ok(Category { id, name }),
        None => Err(Fault::new(
            format!("record {place} of `categories`"),
            "has no id or no name",
        )),
    }
}

/// Checks the record of an image without looking for its file.
///
/// # Errors
/// Returns an error if the file's name leads out of its folder, or the size is not one that an image could have.
pub fn check_record(image: &Image) -> Result<()> {
    let id = &image.id;
    check_inside(Path::new(&image.file_name))
        .with_context(|| format!("image {id} cannot be used"))?;
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
