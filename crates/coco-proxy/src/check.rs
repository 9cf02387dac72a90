//! `coco-proxy check`: everything that is wrong with a COCO download, in one pass.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use anyhow::{Result, bail};
use rayon::prelude::*;
use stage_cli::{Progress, print_result};

use coco_format::dataset::{Annotation, Dataset, Image, check_image_file, check_record};
use coco_format::faults::{self, Fault};
use coco_format::id::Id;
use coco_format::image_folder::{ImageFolder, Missing};
use coco_format::lookup::{repeated_categories, unlisted_category};
use coco_format::{rasterize, shape};

use crate::annotations;
use crate::args::Source;

/// Prints one line for each kind of fault, then a summary.
///
/// Checks the records of all images and annotations, whether they qualify as proxies or not, all image files, and that every
/// shape is one within its image. A missing file is a fault only in the complete folder of COCO's layout, see
/// [`Missing`].
///
/// # Errors
/// Returns an error if there is any fault.
pub fn run(source: &Source) -> Result<()> {
    let annotations = source.annotations()?;
    let file = annotations.display();
    let dataset = annotations::read(annotations)?;
    let folder = ImageFolder::new(annotations, source.images(), &dataset.images)?;
    let image_faults = image_faults(&dataset, &folder);
    let mut annotation_faults = dataset.faults.clone();
    annotation_faults.extend(annotation_faults_of(&dataset, &folder));
    for line in faults::lines(&image_faults) {
        print_result(format_args!("images of {}: {line}", folder.split));
    }
    for line in faults::lines(&annotation_faults) {
        print_result(format_args!("{file}: {line}"));
    }
    let n_faults = image_faults.len() + annotation_faults.len();
    let folder = match folder.missing {
        Missing::NotRead => "no images there".to_owned(),
        Missing::Fault | Missing::Skipped => folder.path.display().to_string(),
    };
    print_result(format_args!(
        "{file}: {} images ({folder}), {} annotations, {} categories, faults: {n_faults}",
        dataset.images.len(),
        dataset.annotations.len(),
        dataset.categories.len(),
    ));
    if n_faults > 0 {
        bail!("{file} or its images have faults ({n_faults}), see the lines above");
    }
    Ok(())
}

/// Faults of the records and files of images, in the order of the records.
fn image_faults(dataset: &Dataset, folder: &ImageFolder) -> Vec<Fault> {
    let repeated = repeated(dataset.images.iter().map(|i| &i.id));
    let progress = Progress::new("check", dataset.images.len() as u64, "images");
    let faults = dataset.images.par_iter().zip(repeated);
    let faults = faults.filter_map(|(image, is_repeated)| {
        progress.advance(1);
        if is_repeated {
            return Some(Fault::new(format!("image id {}", image.id), "occurs twice"));
        }
        let checked = check_record(image).and_then(|()| check_file(image, folder));
        let error = checked.err()?;
        Some(Fault::of(format!("image {}", image.id), &error))
    });
    let faults = faults.collect();
    progress.finish();
    faults
}

fn check_file(image: &Image, folder: &ImageFolder) -> Result<()> {
    let path = folder.path.join(folder.file_of(image));
    match folder.missing {
        Missing::NotRead => folder.size_of(image, &path).map(drop),
        Missing::Skipped if !path.exists() => Ok(()),
        Missing::Fault if !path.exists() => bail!("{} is missing", path.display()),
        Missing::Fault | Missing::Skipped => check_image_file(image, &path).map(drop),
    }
}

/// What annotations refer to: sizes (width, height) of images by their ids, where they are known, and ids of categories.
struct Records<'a> {
    image_sizes: HashMap<&'a Id, Option<(u32, u32)>>,
    categories: HashSet<&'a Id>,
}

/// Faults of categories and annotations, in the order of the file.
fn annotation_faults_of(dataset: &Dataset, folder: &ImageFolder) -> Vec<Fault> {
    let size = |image: &Image| {
        let path = folder.path.join(folder.file_of(image));
        folder.size_of(image, &path).ok()
    };
    let sizes = dataset.images.par_iter().map(|i| (&i.id, size(i)));
    let records = Records {
        image_sizes: sizes.collect(),
        categories: dataset.categories.iter().map(|c| &c.id).collect(),
    };
    let repeated = repeated(dataset.annotations.iter().map(|a| &a.id));
    let annotations = dataset.annotations.par_iter().zip(repeated);
    let faults = annotations.filter_map(|(annotation, is_repeated)| {
        annotation_fault(dataset, annotation, is_repeated, &records)
    });
    let mut all = repeated_categories(&dataset.categories);
    all.par_extend(faults);
    all
}

fn annotation_fault(
    dataset: &Dataset,
    annotation: &Annotation,
    is_repeated: bool,
    records: &Records,
) -> Option<Fault> {
    let id = &annotation.id;
    if is_repeated {
        return Some(Fault::new(format!("annotation id {id}"), "occurs twice"));
    }
    if !records.categories.contains(&annotation.category_id) {
        return Some(unlisted_category(annotation));
    }
    let subject = format!("annotation {id}");
    let image = &annotation.image_id;
    let Some(size) = records.image_sizes.get(image) else {
        let predicate = format!("belongs to image {image}, which is not listed");
        return Some(Fault::new(subject, predicate));
    };
    let (width, height) = (*size)?; // an unknown size is a fault of the image
    match rasterize::check(dataset, annotation, width, height) {
        Ok(false) => None,
        Ok(true) => {
            let predicate = format!("of image {image} covers no pixel: {}", shape::OFF);
            Some(Fault::new(subject, predicate))
        }
        Err(error) => Some(Fault::of(subject, &error)),
    }
}

/// For each id whether it occurred before.
fn repeated<T: Hash + Eq>(ids: impl Iterator<Item = T>) -> Vec<bool> {
    let mut seen = HashSet::new();
    ids.map(|id| !seen.insert(id)).collect()
}
