//! Which images of a COCO split can stand for unknown objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use hotcoco::types::{Annotation, Dataset, Image};

use crate::dataset::{check_image_file, check_record};
use crate::image_folder::ImageFolder;

/// What an image must be to qualify.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Names of categories that it may not contain.
    pub exclude: Vec<String>,
    /// Whether a name in `exclude` that the file does not have is an error, or a warning only.
    pub must_know_names: bool,
    /// Smallest width and height in pixels.
    pub min_side: u32,
    /// Whether images without instances qualify.
    pub keep_empty: bool,
}

/// How many images do not qualify, by reason. An image counts once, for the first reason in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// An instance has an excluded category.
    pub excluded: u64,
    /// A side is shorter than [`Rules::min_side`].
    pub small: u64,
    /// There is no instance.
    pub empty: u64,
    /// The file is not in the folder.
    pub absent: u64,
}

/// An image that qualifies, with its instances.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Record of the image.
    pub image: &'a Image,
    /// Annotations of the image, in the order of the file.
    pub annotations: Vec<&'a Annotation>,
    /// Names of their categories, sorted and without repetition.
    pub categories: Vec<String>,
    /// Path of the image file.
    pub path: PathBuf,
    /// Size of the image file in bytes; 0 if images are not read.
    pub image_bytes: u64,
}

impl Candidate<'_> {
    /// COCO's id in 12 digits.
    pub fn sample_id(&self) -> String {
        format!("{:012}", self.image.id)
    }

    /// Width in pixels, as the record says.
    pub fn width(&self) -> u32 {
        self.image.width
    }

    /// Height in pixels, as the record says.
    pub fn height(&self) -> u32 {
        self.image.height
    }

    /// Compares the image file with its record, if images are read.
    ///
    /// # Errors
    /// Returns the error of [`check_image_file`].
    pub fn check_image(&self) -> Result<()> {
        if self.image_bytes == 0 {
            return Ok(());
        }
        check_image_file(self.image, &self.path)
    }
}

/// Applies the rules. Returns the images that qualify, sorted by id, and how many others there are.
///
/// Source: reference `prepare_coco_segmentation`.
///
/// # Errors
/// Returns an error if an image's id occurs twice, its record is wrong (see [`check_record`]), an annotation's category or
/// an explicitly excluded name is unknown, a file of a complete folder is missing, or no image qualifies.
pub fn select<'a>(
    dataset: &'a Dataset,
    rules: &Rules,
    folder: &ImageFolder,
) -> Result<(Vec<Candidate<'a>>, Skipped)> {
    let names = category_names(dataset, rules)?;
    let images = images_by_id(dataset)?;
    let mut annotations = annotations_by_image(dataset, &images);
    let (mut candidates, mut skipped) = (Vec::new(), Skipped::default());
    for (id, image) in images {
        let annotations = annotations.remove(&id).unwrap_or_default();
        let categories = categories(&annotations, &names)?;
        if categories.iter().any(|c| rules.exclude.contains(c)) {
            skipped.excluded += 1;
        } else if image.width.min(image.height) < rules.min_side {
            skipped.small += 1;
        } else if annotations.is_empty() && !rules.keep_empty {
            skipped.empty += 1;
        } else {
            let path = folder.path.join(&image.file_name);
            match folder.image_bytes(&path)? {
                Some(image_bytes) => candidates.push(Candidate {
                    image,
                    annotations,
                    categories,
                    path,
                    image_bytes,
                }),
                None => skipped.absent += 1,
            }
        }
    }
    ensure!(
        !candidates.is_empty(),
        "no image qualifies: {} contain excluded categories, {} are too small, {} have no instances, {} are not in {}",
        skipped.excluded,
        skipped.small,
        skipped.empty,
        skipped.absent,
        folder.path.display()
    );
    if skipped.absent > 0 {
        tracing::warn!(
            "{} images that qualify are not in {}",
            skipped.absent,
            folder.path.display()
        );
    }
    Ok((candidates, skipped))
}

/// Names of all categories by id. Checks that the excluded ones are among them.
fn category_names<'a>(dataset: &'a Dataset, rules: &Rules) -> Result<HashMap<u64, &'a str>> {
    let names: HashMap<u64, &str> = dataset
        .categories
        .iter()
        .map(|c| (c.id, c.name.as_str()))
        .collect();
    let known: BTreeSet<&str> = names.values().copied().collect();
    let unknown: Vec<&str> = rules
        .exclude
        .iter()
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    if !unknown.is_empty() {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!("no category is called {unknown:?}; the file has {known}");
        ensure!(!rules.must_know_names, "{text}: correct --exclude");
        tracing::warn!("{text}");
    }
    Ok(names)
}

/// All images by id, after a check of their records.
fn images_by_id(dataset: &Dataset) -> Result<BTreeMap<u64, &Image>> {
    let mut images = BTreeMap::new();
    for image in &dataset.images {
        let id = image.id;
        check_record(image)?;
        ensure!(
            images.insert(id, image).is_none(),
            "image id {id} occurs twice: remove one of the records"
        );
    }
    Ok(images)
}

/// The annotations of each image, in the order of the file. Annotations of images that are not listed are ignored, as in
/// pycocotools.
fn annotations_by_image<'a>(
    dataset: &'a Dataset,
    images: &BTreeMap<u64, &Image>,
) -> HashMap<u64, Vec<&'a Annotation>> {
    let mut by_image: HashMap<u64, Vec<&Annotation>> = HashMap::new();
    let mut n_foreign = 0_u64;
    for annotation in &dataset.annotations {
        if images.contains_key(&annotation.image_id) {
            by_image
                .entry(annotation.image_id)
                .or_default()
                .push(annotation);
        } else {
            n_foreign += 1;
        }
    }
    if n_foreign > 0 {
        tracing::warn!("{n_foreign} annotations belong to images that are not listed");
    }
    by_image
}

/// Names of the categories of `annotations`, sorted and without repetition.
fn categories(annotations: &[&Annotation], names: &HashMap<u64, &str>) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for annotation in annotations {
        let name = names.get(&annotation.category_id).with_context(|| {
            format!(
                "annotation {} has the category {}, which is not listed: add it to `categories`",
                annotation.id, annotation.category_id
            )
        })?;
        found.insert(*name);
    }
    Ok(found.into_iter().map(str::to_owned).collect())
}
