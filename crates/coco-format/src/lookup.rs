//! Records by the ids that refer to them, and what is wrong with these ids.

use std::collections::{BTreeMap, HashMap};

use crate::dataset::{Annotation, Category, Dataset, Image, check_record};
use crate::faults::Fault;
use crate::id::Id;

/// The fault of an annotation whose category is not listed.
pub fn unlisted_category(annotation: &Annotation) -> Fault {
    let predicate = format!(
        "has the category {}, which is not listed: add it to `categories`",
        annotation.category_id
    );
    Fault::new(format!("annotation {}", annotation.id), predicate)
}

/// All images by id. Wrong records and ids that occur twice are faults.
pub fn images_by_id<'a>(
    dataset: &'a Dataset,
    faults: &mut Vec<Fault>,
) -> BTreeMap<&'a Id, &'a Image> {
    let mut images = BTreeMap::new();
    for image in &dataset.images {
        let id = &image.id;
        if let Err(error) = check_record(image) {
            faults.push(Fault::of(format!("image {id}"), &error));
        }
        if images.insert(id, image).is_some() {
            faults.push(Fault::new(
                format!("image id {id}"),
                "occurs twice: remove one of the records",
            ));
        }
    }
    images
}

/// The annotations of each image, in the order of the file. Annotations of images that are not listed are ignored, as in
/// pycocotools.
pub fn annotations_by_image<'a>(
    dataset: &'a Dataset,
    images: &BTreeMap<&Id, &Image>,
) -> HashMap<&'a Id, Vec<&'a Annotation>> {
    let mut by_image: HashMap<&Id, Vec<&Annotation>> = HashMap::with_capacity(images.len());
    let mut n_foreign = 0_u64;
    for annotation in &dataset.annotations {
        let id = &annotation.image_id;
        if images.contains_key(id) {
            by_image.entry(id).or_default().push(annotation);
        } else {
            n_foreign += 1;
        }
    }
    if n_foreign > 0 {
        tracing::warn!("{n_foreign} annotations belong to images that are not listed");
    }
    by_image
}

/// Ids that two categories of different names have, so that nobody knows which one annotations mean.
pub fn repeated_categories(categories: &[Category]) -> Vec<Fault> {
    let mut names: HashMap<&Id, &str> = HashMap::new();
    let mut faults = Vec::new();
    for Category { id, name } in categories {
        if let Some(other) = names.insert(id, name).filter(|other| other != name) {
            let predicate = format!("is that of {other:?} and {name:?}: give each its own");
            faults.push(Fault::new(format!("category id {id}"), predicate));
        }
    }
    faults
}
