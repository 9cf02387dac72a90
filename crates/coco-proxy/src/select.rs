//! Which images of a COCO split can stand for unknown objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use artifacts::atomic::json_error_byte;
use artifacts::index::check_inside;
use artifacts::picture::{self, MAX_PIXELS};
use hotcoco::COCO;
use hotcoco::types::{Annotation, Dataset, Image};

/// The longest side that a JPEG can have, in pixels.
const MAX_SIDE: u32 = 65_535;

/// What an image must be to qualify.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Names of categories that it may not show.
    pub exclude: Vec<String>,
    /// Whether a name in `exclude` that the file does not have is an error, or a warning only.
    pub must_know_names: bool,
    /// Smallest width and height in pixels.
    pub min_side: u32,
    /// Whether images without instances qualify.
    pub keep_empty: bool,
}

/// Why how many images do not qualify; each counts once, for the first reason in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// An instance has an excluded category.
    pub excluded: u64,
    /// A side is too short.
    pub small: u64,
    /// There is no instance.
    pub empty: u64,
    /// The file is not in the folder.
    pub absent: u64,
}

/// Where the images are.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// Name of the split, for example `train2017`.
    pub split: String,
    /// What a missing image means.
    pub missing: Missing,
}

/// What it means that an image is not in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The folder is to be complete.
    Error,
    /// The folder, named on purpose, holds only some.
    Skip,
    /// There is no folder: masks need the annotations only.
    Expected,
}

impl Folder {
    /// The folder `given`, of which some images may be absent, or the complete one of COCO's layout, or the place
    /// where that would be.
    ///
    /// # Errors
    /// If `given` is no directory.
    pub fn new(annotations: &Path, given: Option<&Path>) -> Result<Self> {
        let stem = annotations
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let split = stem.strip_prefix("instances_").unwrap_or(&stem).to_owned();
        let path = match given {
            Some(path) => path.to_owned(),
            None => std::path::absolute(annotations)?
                .parent()
                .and_then(Path::parent)
                .unwrap_or(Path::new("/"))
                .join(&split),
        };
        let missing = match (given, path.is_dir()) {
            (Some(_), true) => Missing::Skip,
            (None, true) => Missing::Error,
            (None, false) => Missing::Expected,
            (Some(_), false) => bail!(
                "image folder {} does not exist: correct --images, or do without it to make masks without images",
                path.display()
            ),
        };
        Ok(Self {
            path,
            split,
            missing,
        })
    }

    /// Size in bytes of an image file; 0 if there is no folder, nothing if the image may be left out.
    fn image_bytes(&self, path: &Path) -> Result<Option<u64>> {
        match (std::fs::metadata(path), self.missing) {
            (_, Missing::Expected) => Ok(Some(0)),
            (Ok(file), _) if file.is_file() => Ok(Some(file.len())),
            (_, Missing::Skip) => Ok(None),
            (_, Missing::Error) => bail!(
                "image {} is missing: download it, or name the folder with --images to use only the images that \
                 are there",
                path.display()
            ),
        }
    }
}

/// An image that qualifies, with its instances in the order of the file.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Record of the image.
    pub image: &'a Image,
    /// Its annotations.
    pub annotations: Vec<&'a Annotation>,
    /// Names of their categories, sorted.
    pub categories: Vec<String>,
    /// Image file.
    pub path: PathBuf,
    /// Its size in bytes; 0 if there is no folder of images.
    pub image_bytes: u64,
}

impl Candidate<'_> {
    /// COCO's id in 12 digits.
    pub fn sample_id(&self) -> String {
        format!("{:012}", self.image.id)
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.image.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.image.height
    }

    /// Compares the image file, if there is one, with its record.
    ///
    /// # Errors
    /// As [`check_picture`].
    pub fn check_image(&self) -> Result<()> {
        if self.image_bytes == 0 {
            return Ok(());
        }
        check_picture(self.image, &self.path)
    }
}

/// Compares an image file with its record.
///
/// # Errors
/// If the file is no whole picture, or of another size.
pub fn check_picture(image: &Image, path: &Path) -> Result<()> {
    let (width, height) = picture::size(path)?;
    ensure!(
        (width, height) == (image.width, image.height),
        "{} has {width}x{height} pixels, its record {}x{}: these annotations belong to other images",
        path.display(),
        image.width,
        image.height
    );
    Ok(())
}

/// Reads a COCO annotation file.
///
/// # Errors
/// If it is absent, no COCO JSON (naming the byte), or lists no images.
pub fn read_dataset(path: &Path) -> Result<Dataset> {
    ensure!(
        path.is_file(),
        "annotations {} do not exist: download COCO's annotations_trainval2017.zip, or name them with \
         --annotations",
        path.display()
    );
    let mut coco = COCO::new(path).map_err(|error| {
        let place = match (&error, std::fs::read(path)) {
            (hotcoco::Error::Json(error), Ok(bytes)) => {
                format!(" at byte {}", json_error_byte(&bytes, error))
            }
            _ => String::new(),
        };
        anyhow!(error).context(format!(
            "{} is no valid COCO annotation file{place}",
            path.display()
        ))
    })?;
    let dataset = std::mem::take(&mut coco.dataset);
    ensure!(
        !dataset.images.is_empty(),
        "{} lists no images: it is no COCO annotation file",
        path.display()
    );
    Ok(dataset)
}

/// Applies the rules; candidates are sorted by id.
///
/// Source: reference `prepare_coco_segmentation`.
///
/// # Errors
/// If an image's id occurs twice, its name leads out of the folder or its size is absurd, an annotation's
/// category or an explicitly excluded name is unknown, a file of a complete folder is missing, or no image
/// qualifies.
pub fn select<'a>(
    dataset: &'a Dataset,
    rules: &Rules,
    folder: &Folder,
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
        "no image qualifies: {} show excluded categories, {} are too small, {} have no instances, {} are not in {}",
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
        let text = format!("no category is called {unknown:?}; there are {known}");
        ensure!(
            !rules.must_know_names,
            "{text}: correct --exclude to one of these"
        );
        tracing::warn!("{text}");
    }
    Ok(names)
}

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

/// Checks what a record says, without looking for its file.
///
/// # Errors
/// If the file's name leads out of its folder, or the size is absurd.
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

/// Annotations of images that are not listed are left out, as pycocotools does.
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
