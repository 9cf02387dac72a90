//! Which images of a COCO split can stand for unknown objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use crate::dataset::{Annotation, Category, Dataset, Image, check_image_file, check_record};
use crate::faults::{self, Fault};
use crate::id::Id;
use crate::image_folder::{ImageFolder, Missing};
use crate::names::{is_same, is_similar};
use crate::objects::Objects;
use crate::rasterize;

/// What an image must be to qualify.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Names of categories that it may not contain.
    pub exclude: Vec<String>,
    /// Whether a name in `exclude` that the file does not have is always an error, or only if the file has a similar one.
    pub must_know_names: bool,
    /// Whether a name in `exclude` that the file does not have is a warning only.
    pub allow_missing: bool,
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
    /// The data set that it belongs to.
    dataset: &'a Dataset,
    /// Record of the image.
    pub image: &'a Image,
    /// Width and height in pixels, as the record says, or else the file.
    size: (u32, u32),
    /// Annotations of the image, in the order of the file.
    pub annotations: Vec<&'a Annotation>,
    /// Names of their categories, sorted and without repetition.
    pub categories: Vec<String>,
    /// The image file, relative to the folder of images.
    pub file: PathBuf,
    /// Path of the image file, if images are read.
    path: Option<PathBuf>,
    /// Size of the image file in bytes; 0 if images are not read.
    pub image_bytes: u64,
}

impl Candidate<'_> {
    /// COCO's id in 12 digits, or a text id as a file name.
    pub fn sample_id(&self) -> String {
        self.image.id.sample_id()
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.size.0
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.size.1
    }

    /// What is wrong with the image file, if images are read, and with the shapes.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(path) = &self.path
            && let Err(error) = check_image_file(self.image, path)
        {
            faults.push(Fault::of(format!("image {}", self.image.id), &error));
        }
        let (width, height) = self.size;
        for annotation in &self.annotations {
            if let Err(error) = rasterize::check(self.dataset, annotation, width, height) {
                faults.push(Fault::of(format!("annotation {}", annotation.id), &error));
            }
        }
        faults
    }

    /// Sets `objects` to the pixels of all annotations.
    ///
    /// # Errors
    /// Returns the errors of [`rasterize::unite`].
    pub fn unite(&self, objects: &mut Objects) -> Result<()> {
        let (width, height) = self.size;
        rasterize::unite(objects, self.dataset, &self.annotations, width, height)
    }
}

/// Applies the rules. Returns the images that qualify, sorted by id, and how many others there are.
///
/// Source: reference `prepare_coco_segmentation`.
///
/// # Errors
/// Returns an error that names all records that cannot be read, ids that occur twice, records of images that are wrong (see
/// [`check_record`]), and categories that are not listed; or one if an excluded category is not in the file (see [`Rules`]),
/// files of a complete folder are missing, or no image qualifies.
pub fn select<'a>(
    dataset: &'a Dataset,
    rules: &Rules,
    folder: &ImageFolder,
) -> Result<(Vec<Candidate<'a>>, Skipped)> {
    let names = Names::new(&dataset.categories, rules)?;
    let mut faults = dataset.faults.clone();
    let images = images_by_id(dataset, &mut faults);
    let mut annotations = annotations_by_image(dataset, &images);
    let (mut candidates, mut skipped) = (Vec::new(), Skipped::default());
    for (id, image) in images {
        let annotations = annotations.remove(id).unwrap_or_default();
        let categories = names.of(&annotations, &mut faults);
        if categories.iter().any(|c| names.is_excluded(c)) {
            skipped.excluded += 1;
            continue;
        }
        let is_small = |(w, h): (u32, u32)| w.min(h) < rules.min_side;
        if image.size.is_some_and(is_small) {
            skipped.small += 1;
            continue;
        }
        if annotations.is_empty() && !rules.keep_empty {
            skipped.empty += 1;
            continue;
        }
        let file = folder.file_of(image);
        let path = folder.path.join(&file);
        let found = folder.image_bytes(&path).and_then(|bytes| {
            let Some(bytes) = bytes else { return Ok(None) };
            Ok(Some((bytes, folder.size_of(image, &path)?)))
        });
        match found {
            Err(error) => faults.push(Fault::of(format!("image {id}"), &error)),
            Ok(None) => skipped.absent += 1,
            Ok(Some((_, size))) if is_small(size) => skipped.small += 1,
            Ok(Some((image_bytes, size))) => candidates.push(Candidate {
                dataset,
                image,
                size,
                annotations,
                categories: categories.into_iter().map(str::to_owned).collect(),
                file,
                path: (folder.missing != Missing::NotRead).then_some(path),
                image_bytes,
            }),
        }
    }
    faults::refuse(&faults)?;
    report(&candidates, skipped, folder)?;
    Ok((candidates, skipped))
}

fn report(candidates: &[Candidate], skipped: Skipped, folder: &ImageFolder) -> Result<()> {
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
    Ok(())
}

/// Names of the categories, and which of them are excluded.
struct Names<'a> {
    by_id: HashMap<&'a Id, &'a str>,
    excluded: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn new(categories: &'a [Category], rules: &Rules) -> Result<Self> {
        let by_id: HashMap<&Id, &str> = categories
            .iter()
            .map(|c| (&c.id, c.name.as_str()))
            .collect();
        let known: BTreeSet<&str> = by_id.values().copied().collect();
        let mut excluded = BTreeSet::new();
        let mut missing = Vec::new();
        for wanted in &rules.exclude {
            let found: Vec<&str> = known
                .iter()
                .copied()
                .filter(|c| is_same(c, wanted))
                .collect();
            if found.is_empty() {
                missing.push(wanted.as_str());
            }
            excluded.extend(found);
        }
        let others = known.difference(&excluded).copied();
        let others: Vec<&str> = others.collect();
        check_missing(&missing, &others, &known, rules)?;
        let differs = |name: &&&str| !rules.exclude.iter().any(|wanted| wanted == **name);
        let other_spellings: Vec<&str> = excluded.iter().filter(differs).copied().collect();
        if !other_spellings.is_empty() {
            tracing::info!(
                "excluded under another spelling: {}",
                other_spellings.join(", ")
            );
        }
        let near = |category: &&&str| rules.exclude.iter().any(|w| is_similar(category, w));
        let near: Vec<&str> = others.iter().filter(near).copied().collect();
        if !near.is_empty() {
            tracing::warn!(
                "not excluded, although similar to excluded categories: {}; if they are known objects, add them to \
                 --exclude",
                near.join(", ")
            );
        }
        Ok(Self { by_id, excluded })
    }

    fn is_excluded(&self, name: &str) -> bool {
        self.excluded.contains(name)
    }

    /// Names of the categories of `annotations`, sorted and without repetition. A category that is not listed is a fault.
    fn of(&self, annotations: &[&Annotation], faults: &mut Vec<Fault>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        for annotation in annotations {
            match self.by_id.get(&annotation.category_id) {
                Some(name) => _ = found.insert(*name),
                None => faults.push(unlisted_category(annotation)),
            }
        }
        found
    }
}

/// Refuses excluded categories that the file does not have, or warns of them.
fn check_missing(
    missing: &[&str],
    others: &[&str],
    known: &BTreeSet<&str>,
    rules: &Rules,
) -> Result<()> {
    let near = |wanted: &str| -> Vec<&str> {
        let similar = others.iter().filter(|c| is_similar(c, wanted));
        similar.copied().collect()
    };
    let near: Vec<(&str, Vec<&str>)> = missing.iter().map(|w| (*w, near(w))).collect();
    let describe = |(wanted, near): &(&str, Vec<&str>)| match near.as_slice() {
        [] => format!("{wanted:?}"),
        _ => format!("{wanted:?} (similar: {})", near.join(", ")),
    };
    let (serious, others): (Vec<_>, Vec<_>) = near
        .iter()
        .partition(|(_, near)| rules.must_know_names || !near.is_empty());
    let list = |names: &[&(&str, Vec<&str>)]| {
        let names: Vec<String> = names.iter().map(|name| describe(name)).collect();
        names.join(", ")
    };
    if !serious.is_empty() {
        let text = format!("no category is called {}", list(&serious));
        if !rules.allow_missing {
            let known: Vec<&str> = known.iter().copied().collect();
            bail!(
                "{text}; the file has {}: correct --exclude, or say --allow-missing-categories",
                known.join(", ")
            );
        }
        tracing::warn!("{text}");
    }
    if !others.is_empty() {
        tracing::warn!(
            "no category is called {}: if the file has such objects under another name, exclude it with --exclude",
            list(&others)
        );
    }
    Ok(())
}

pub(crate) fn unlisted_category(annotation: &Annotation) -> Fault {
    let predicate = format!(
        "has the category {}, which is not listed: add it to `categories`",
        annotation.category_id
    );
    Fault::new(format!("annotation {}", annotation.id), predicate)
}

/// All images by id. Wrong records and ids that occur twice are faults.
fn images_by_id<'a>(dataset: &'a Dataset, faults: &mut Vec<Fault>) -> BTreeMap<&'a Id, &'a Image> {
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
fn annotations_by_image<'a>(
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
