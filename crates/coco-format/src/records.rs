//! The records of an annotation file: images, annotations and categories, each read on its own from its JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use rayon::iter::Either;
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::dataset::{Annotation, Category, Image};
use crate::faults::Fault;
use crate::file_kind::Marks;
use crate::id::Id;

/// The members of the object that a file consists of, by their names; of equal names the last counts, as in Python.
pub(crate) type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

#[derive(Deserialize)]
pub(crate) struct ImageMembers<'a> {
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
pub(crate) struct AnnotationMembers<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    image_id: Option<&'a RawValue>,
    #[serde(borrow)]
    category_id: Option<&'a RawValue>,
    #[serde(borrow)]
    segmentation: Option<&'a RawValue>,
    #[serde(borrow)]
    iscrowd: Option<&'a RawValue>,
    // what tells other kinds of files apart
    segments_info: Option<IgnoredAny>,
    caption: Option<IgnoredAny>,
    keypoints: Option<IgnoredAny>,
    bbox: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(crate) struct CategoryMembers<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

/// The list `name`, each of its elements as JSON; empty if there is none.
///
/// # Errors
/// Returns an error if it is not a list.
pub(crate) fn list<'a>(members: &Members<'a>, name: &str) -> Result<Vec<&'a RawValue>> {
    let raw = members.get(name).map_or("null", |raw| raw.get());
    let list: Option<Vec<&RawValue>> =
        serde_json::from_str(raw).map_err(|_| anyhow!("its `{name}` are not a list"))?;
    Ok(list.unwrap_or_default())
}

/// Reads the elements of the list `name`. `read` gets the members of a record and its place, counted from 1; what it
/// refuses is added to `faults`, and the others are returned in the order of the file.
pub(crate) fn read_all<'a, M: Deserialize<'a>, R: Send>(
    list: &[&'a RawValue],
    name: &str,
    faults: &mut Vec<Fault>,
    read: impl Fn(M, usize) -> Result<R, Fault> + Sync,
) -> Vec<R> {
    let found = list.par_iter().enumerate().map(|(place, raw)| {
        let place = place + 1;
        let members = members(raw).map_err(|reason| {
            let subject = format!("record {place} of `{name}`");
            Fault::new(subject, format!("cannot be read: {reason}"))
        })?;
        read(members, place)
    });
    let (records, refused): (Vec<R>, Vec<Fault>) = found.partition_map(|found| match found {
        Ok(record) => Either::Left(record),
        Err(fault) => Either::Right(fault),
    });
    faults.extend(refused);
    records
}

/// The members of a record, or why it has none.
fn members<'a, M: Deserialize<'a>>(raw: &'a RawValue) -> Result<M, String> {
    // the parser would take a list as the members in their order
    if !raw.get().starts_with('{') {
        return Err("it is not an object with members".to_owned());
    }
    serde_json::from_str(raw.get()).map_err(|error| {
        let text = error.to_string();
        // the line and column are those of the record
        text.split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned()
    })
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

/// Whether a flag is 1, as COCO has it, or true.
fn is_set(raw: &RawValue) -> bool {
    raw.get() == "true" || whole_number(raw) == Some(1)
}

pub(crate) fn image(members: &ImageMembers, place: usize) -> Result<Image, Fault> {
    let id = members.id.and_then(|raw| Id::parse(raw.get()));
    let id = id.ok_or_else(|| {
        Fault::new(
            format!("record {place} of `images`"),
            "has no id that is a whole number or a text",
        )
    })?;
    let subject = format!("image {id}");
    let size = side(members.width, &subject)?.zip(side(members.height, &subject)?);
    let size = size.filter(|size| *size != (0, 0)); // what some tools write for unknown
    let (file_name, split) = match members.file_name {
        None => name_of_address(text(members.coco_url).as_deref(), &id),
        name => {
            let name = text(name).filter(|name| !name.is_empty());
            let name =
                name.ok_or_else(|| Fault::new(&subject, "has a file_name that is no text"))?;
            (name.replace('\\', "/"), None)
        }
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

/// A width or height, if the record has one.
fn side(raw: Option<&RawValue>, subject: &str) -> Result<Option<u32>, Fault> {
    let Some(raw) = raw else { return Ok(None) };
    let number = whole_number(raw).and_then(|n| u32::try_from(n).ok());
    number.map(Some).ok_or_else(|| {
        let predicate = format!("has a width or height of {}, which is no size", raw.get());
        Fault::new(subject, predicate)
    })
}

/// The name and the split of an image file from its address, for example
/// `http://images.cocodataset.org/train2017/000000391895.jpg`; without an address the name that COCO gives the id.
fn name_of_address(address: Option<&str>, id: &Id) -> (String, Option<String>) {
    let address = address.unwrap_or_default();
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let mut parts = path.rsplit('/');
    let name = parts.next().filter(|name| name.contains('.'));
    let is_folder = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric());
    match name {
        Some(name) => {
            let split = parts.next().filter(is_folder).filter(|s| !s.is_empty());
            (name.to_owned(), split.map(str::to_owned))
        }
        None => (format!("{}.jpg", id.sample_id()), None),
    }
}

/// Reads an annotation of the file `text`, in which its segmentation stays.
pub(crate) fn annotation(
    members: &AnnotationMembers,
    place: usize,
    text: &str,
) -> Result<Annotation, Fault> {
    let id = members.id.and_then(|raw| Id::parse(raw.get()));
    let id = id.unwrap_or_else(|| Id::Text(format!("number {place} of the list").into()));
    let image_id = reference(members.image_id, "image_id", &id)?;
    let category_id = reference(members.category_id, "category_id", &id)?;
    let segmentation = members.segmentation.map(|raw| {
        let begin = raw.get().as_ptr().addr() - text.as_ptr().addr();
        begin..begin + raw.get().len()
    });
    Ok(Annotation {
        id,
        image_id,
        category_id,
        is_crowd: members.iscrowd.is_some_and(is_set),
        segmentation,
    })
}

/// The id in the member `name` of the annotation `annotation`.
fn reference(raw: Option<&RawValue>, name: &str, annotation: &Id) -> Result<Id, Fault> {
    let found = raw.and_then(|raw| Id::parse(raw.get()));
    found.ok_or_else(|| {
        let predicate = format!("has no {name} that is a whole number or a text");
        Fault::new(format!("annotation {annotation}"), predicate)
    })
}

pub(crate) fn category(members: &CategoryMembers, place: usize) -> Result<Category, Fault> {
    let id = members.id.and_then(|raw| Id::parse(raw.get()));
    match id.zip(text(members.name)) {
        Some((id, name)) => Ok(Category { id, name }),
        None => Err(Fault::new(
            format!("record {place} of `categories`"),
            "has no id or no name",
        )),
    }
}

impl AnnotationMembers<'_> {
    /// What tells the kind of the file.
    pub(crate) fn marks(&self) -> Marks<'_> {
        Marks {
            segmentation: self.segmentation,
            segments_info: self.segments_info,
            caption: self.caption,
            keypoints: self.keypoints,
            bbox: self.bbox,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_addresses_of_lvis() {
        for (address, name, split) in [
            (
                "http://images.cocodataset.org/train2017/000000391895.jpg",
                "000000391895.jpg",
                Some("train2017"),
            ),
            (
                "https://a.b/val2017/1.jpg?size=2#x",
                "1.jpg",
                Some("val2017"),
            ),
            ("http://a.b/../1.jpg", "1.jpg", None),
            ("1.jpg", "1.jpg", None),
            ("http://a.b/view/7", "000000000003.jpg", None),
            ("", "000000000003.jpg", None),
        ] {
            let found = name_of_address(Some(address), &Id::Number(3));
            assert_eq!(
                found,
                (name.to_owned(), split.map(str::to_owned)),
                "{address}"
            );
        }
    }
}
