//! Which images of a COCO split can stand for unknown objects.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use artifacts::index::{Sample, check_sample_id};

use coco_format::dataset::{Annotation, Dataset, Image, check_image_file, check_record};
use coco_format::faults::Fault;
use coco_format::id::Id;
use coco_format::image_folder::{ImageFolder, Missing};
use coco_format::lookup::{annotations_by_image, images_by_id, repeated_categories};
use coco_format::objects::Objects;
use coco_format::rasterize;

use crate::excluded::Names;

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
    /// Names of categories that are kept for a development set: they count as excluded ones.
    pub hold_out: Vec<String>,
    /// What the images are for.
    pub purpose: Purpose,
}

/// What images are selected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be shown as they are: images with excluded categories do not qualify.
    Proxies,
    /// To cut objects out of them: images qualify that have an instance of a category that is not excluded.
    Objects,
}

/// How many images do not qualify, by reason. An image counts once, for the first reason in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// An instance has an excluded category; all have one if objects are cut out, or are crowds.
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
    /// The objects that can be cut out, in the order of the file; none for proxies, which are shown as they are.
    pub instances: Vec<Instance<'a>>,
    /// Annotations of excluded categories and those that are held out, whose pixels no object may show; none for proxies.
    pub known: Vec<&'a Annotation>,
    /// Names of their categories, sorted and without repetition.
    pub categories: Vec<String>,
    /// The image file, relative to the folder of images.
    pub file: PathBuf,
    /// Path of the image file, if images are read.
    path: Option<PathBuf>,
    /// Size of the image file in bytes; 0 if images are not read.
    pub image_bytes: u64,
    /// Why the image file cannot be used, if looking for it told already. The size is 0 then.
    unusable: Option<Fault>,
}

/// An object that can be cut out of its image.
#[derive(Clone, Debug)]
pub struct Instance<'a> {
    /// Its annotation.
    pub annotation: &'a Annotation,
    /// Position of the annotation among those of the image.
    pub position: usize,
    /// Name of its category.
    pub category: String,
}

/// What a look at the image file and the shapes of a [`Candidate`] gave.
#[derive(Debug, Default)]
pub(crate) struct Review<'a> {
    /// Why it cannot be used.
    pub(crate) faults: Vec<Fault>,
    /// Ids of annotations whose shapes cover no pixel, see [`shape::is_off`](coco_format::shape::is_off).
    pub(crate) off: Vec<&'a Id>,
}

/// What [`select`] found.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// The images that qualify, sorted by id.
    pub candidates: Vec<Candidate<'a>>,
    /// How many others there are.
    pub skipped: Skipped,
    /// Records that cannot be read, ids that occur twice, records of images that are wrong (see [`check_record`]), and
    /// categories that are not listed. Which images qualify is not certain then.
    pub faults: Vec<Fault>,
    /// Names of the categories that are held out, as the file has them, sorted.
    pub held_out: Vec<String>,
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

    /// Looks at the image file, if images are read, and at the shapes.
    pub(crate) fn review(&self) -> Review<'_> {
        let mut review = Review::default();
        if let Some(fault) = &self.unusable {
            review.faults.push(fault.clone());
            return review;
        }
        if let Some(path) = &self.path
            && let Err(error) = check_image_file(self.image, path)
        {
            let subject = format!("image {}", self.image.id);
            review.faults.push(Fault::of(subject, &error));
        }
        let (width, height) = self.size;
        for annotation in &self.annotations {
            match rasterize::check(self.dataset, annotation, width, height) {
                Ok(false) => {}
                Ok(true) => review.off.push(&annotation.id),
                Err(error) => {
                    let subject = format!("annotation {}", annotation.id);
                    review.faults.push(Fault::of(subject, &error));
                }
            }
        }
        review
    }

    /// Sets `objects` to the pixels of all annotations.
    ///
    /// # Errors
    /// Returns the errors of [`rasterize::unite`].
    pub fn unite(&self, objects: &mut Objects) -> Result<()> {
        self.rasterize(&self.annotations, objects)
    }

    /// Sets `objects` to the pixels of these annotations of the image.
    ///
    /// # Errors
    /// Returns the errors of [`rasterize::unite`].
    pub fn rasterize(&self, annotations: &[&Annotation], objects: &mut Objects) -> Result<()> {
        let (width, height) = self.size;
        rasterize::unite(objects, self.dataset, annotations, width, height)
    }

    /// The record of the image for the index, without a mask.
    pub(crate) fn sample(&self) -> Sample {
        Sample {
            sample_id: self.sample_id(),
            image: self.file.clone(),
            image_bytes: self.image_bytes,
            image_width: self.width(),
            image_height: self.height(),
            mask: None,
            mask_blake3: None,
            width: self.width(),
            height: self.height(),
            proxy: None,
        }
    }
}

/// Applies the rules.
///
/// Source: reference `prepare_coco_segmentation`.
///
/// # Errors
/// Returns an error if an excluded category is not in the file (see [`Rules`]).
pub fn select<'a>(
    dataset: &'a Dataset,
    rules: &Rules,
    folder: &ImageFolder,
) -> Result<Selection<'a>> {
    let names = Names::new(&dataset.categories, rules)?;
    let mut faults = dataset.faults.clone();
    faults.extend(repeated_categories(&dataset.categories));
    let images = images_by_id(dataset, &mut faults);
    let mut annotations = annotations_by_image(dataset, &images);
    let (mut candidates, mut skipped) = (Vec::new(), Skipped::default());
    for (id, image) in images {
        let annotations = annotations.remove(id).unwrap_or_default();
        let categories = names.of(&annotations, &mut faults);
        let (instances, known) = match rules.purpose {
            Purpose::Proxies => (Vec::new(), Vec::new()),
            Purpose::Objects => names.tell_apart(&annotations),
        };
        let is_excluded = match rules.purpose {
            Purpose::Proxies => categories.iter().any(|c| names.is_excluded(c)),
            Purpose::Objects => instances.is_empty() && !annotations.is_empty(),
        };
        if is_excluded {
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
        if check_record(image).is_err() {
            continue; // among the faults, and not looked for outside of the folder
        }
        match Found::of(image, folder) {
            None => skipped.absent += 1,
            Some(found) if found.unusable.is_none() && is_small(found.size) => skipped.small += 1,
            Some(found) => candidates.push(Candidate {
                dataset,
                image,
                size: found.size,
                annotations,
                instances,
                known,
                categories: categories.into_iter().map(str::to_owned).collect(),
                file: found.file,
                path: found.path,
                image_bytes: found.n_bytes,
                unusable: found.unusable,
            }),
        }
    }
    faults.extend(wrong_sample_ids(&candidates));
    Ok(Selection {
        candidates,
        skipped,
        faults,
        held_out: names.held_out(),
    })
}

/// What looking for an image file gave; see the members of the same name of [`Candidate`].
struct Found {
    file: PathBuf,
    path: Option<PathBuf>,
    size: (u32, u32),
    n_bytes: u64,
    unusable: Option<Fault>,
}

impl Found {
    /// Looks for the file of an image; `None` if it is skipped because it is not there.
    fn of(image: &Image, folder: &ImageFolder) -> Option<Self> {
        let file = folder.file_of(image);
        let path = folder.path.join(&file);
        let found = folder.image_bytes(&path).and_then(|n_bytes| {
            let Some(n_bytes) = n_bytes else {
                return Ok(None);
            };
            Ok(Some((n_bytes, folder.size_of(image, &path)?)))
        });
        let path = (folder.missing != Missing::NotRead).then_some(path);
        let (n_bytes, size, unusable) = match found {
            Ok(found) => found.map(|(n_bytes, size)| (n_bytes, size, None))?,
            Err(error) => {
                let fault = Fault::of(format!("image {}", image.id), &error);
                (0, (0, 0), Some(fault))
            }
        };
        Some(Self {
            file,
            path,
            size,
            n_bytes,
            unusable,
        })
    }
}

/// Ids of images that cannot be file names, or become the same one.
fn wrong_sample_ids(candidates: &[Candidate]) -> Vec<Fault> {
    let mut seen: HashMap<String, &Id> = HashMap::new();
    let mut faults = Vec::new();
    for candidate in candidates {
        let id = &candidate.image.id;
        let sample_id = candidate.sample_id();
        if let Err(error) = check_sample_id(&sample_id) {
            faults.push(Fault::of(format!("image {id}"), &error));
        }
        if let Some(other) = seen.insert(sample_id, id) {
            let predicate =
                format!("gets the same file name as image {other}: change one of the ids");
            faults.push(Fault::new(format!("image {id}"), predicate));
        }
    }
    faults
}

impl Selection<'_> {
    /// Checks that an image qualifies, and warns of images that would but are not there.
    ///
    /// # Errors
    /// Returns an error that says why none does.
    pub(crate) fn ensure_some(&self, folder: &ImageFolder) -> Result<()> {
        let skipped = &self.skipped;
        ensure!(
            !self.candidates.is_empty(),
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
}
