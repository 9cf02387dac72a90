//! `coco-proxy check`: everything that is wrong with a COCO download, in one pass.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail};
use hotcoco::types::{Annotation, Dataset, Image};
use rayon::prelude::*;
use stage_cli::{Progress, print_result};

use crate::args::Source;
use crate::dataset::{check_image_file, check_record};
use crate::image_folder::{ImageFolder, Missing};
use crate::{dataset, rasterize};

/// Prints one line for each fault, then a summary.
///
/// Checks the records of all images and annotations, whether they qualify as proxies or not, and all image files. A
/// missing file is a fault only in the complete folder of COCO's layout, see [`Missing`].
///
/// # Errors
/// Returns an error if there is any fault.
pub fn run(source: &Source) -> Result<()> {
    let annotations = source.annotations()?;
    let file = annotations.display();
    let dataset = dataset::read(annotations)?;
    let folder = ImageFolder::new(annotations, source.images())?;
    let mut faults = image_faults(&dataset, &folder);
    let faulty_annotations = annotation_faults(&dataset);
    faults.extend(
        faulty_annotations
            .iter()
            .map(|fault| format!("{file}: {fault}")),
    );
    for fault in &faults {
        print_result(fault);
    }
    let folder = match folder.missing {
        Missing::NotRead => "no images there".to_owned(),
        Missing::Fault | Missing::Skipped => folder.path.display().to_string(),
    };
    print_result(format_args!(
        "{file}: {} images ({folder}), {} annotations, {} categories, faults: {}",
        dataset.images.len(),
        dataset.annotations.len(),
        dataset.categories.len(),
        faults.len()
    ));
    if !faults.is_empty() {
        bail!(
            "{file} or its images have faults ({}), see the lines above",
            faults.len()
        );
    }
    Ok(())
}

/// Faults of the records and files of images, in the order of the records.
fn image_faults(dataset: &Dataset, folder: &ImageFolder) -> Vec<String> {
    let repeated = repeated(dataset.images.iter().map(|i| i.id));
    let progress = Progress::new("check", dataset.images.len() as u64, "images");
    let faults = dataset.images.par_iter().zip(repeated);
    let faults = faults.filter_map(|(image, is_repeated)| {
        progress.advance(1);
        let fault = match (is_repeated, check_record(image)) {
            (true, _) => format!("image id {} occurs twice", image.id),
            (_, Err(error)) => format!("{error:#}"),
            (false, Ok(())) => return file_fault(image, folder),
        };
        Some(format!("images of {}: {fault}", folder.split))
    });
    let faults = faults.collect();
    progress.finish();
    faults
}

fn file_fault(image: &Image, folder: &ImageFolder) -> Option<String> {
    let path = folder.path.join(&image.file_name);
    match folder.missing {
        Missing::NotRead => None,
        Missing::Skipped if !path.exists() => None,
        Missing::Fault if !path.exists() => Some(format!("{} is missing", path.display())),
        Missing::Fault | Missing::Skipped => {
            let error = check_image_file(image, &path).err()?;
            Some(format!("{error:#}"))
        }
    }
}

/// What annotations refer to: sizes (width, height) of images by their ids, and ids of categories.
struct Records {
    image_sizes: HashMap<u64, (u32, u32)>,
    categories: HashSet<u64>,
}

/// Faults of annotations, in the order of the file.
fn annotation_faults(dataset: &Dataset) -> Vec<String> {
    let sizes = dataset.images.iter().map(|i| (i.id, (i.width, i.height)));
    let records = Records {
        image_sizes: sizes.collect(),
        categories: dataset.categories.iter().map(|c| c.id).collect(),
    };
    let repeated = repeated(dataset.annotations.iter().map(|a| a.id));
    let annotations = dataset.annotations.par_iter().zip(repeated);
    annotations
        .filter_map(|(annotation, is_repeated)| annotation_fault(annotation, is_repeated, &records))
        .collect()
}

fn annotation_fault(
    annotation: &Annotation,
    is_repeated: bool,
    records: &Records,
) -> Option<String> {
    let id = annotation.id;
    if is_repeated {
        return Some(format!("annotation id {id} occurs twice"));
    }
    let category = annotation.category_id;
    if !records.categories.contains(&category) {
        return Some(format!(
            "annotation {id} has the category {category}, which is not listed"
        ));
    }
    let image = annotation.image_id;
    let Some(&(width, height)) = records.image_sizes.get(&image) else {
        return Some(format!(
            "annotation {id} belongs to image {image}, which is not listed"
        ));
    };
    let error = rasterize::check(annotation, width, height).err()?;
    Some(format!("{error:#}"))
}

/// For each id whether it occurred before.
fn repeated(ids: impl Iterator<Item = u64>) -> Vec<bool> {
    let mut seen = HashSet::new();
    ids.map(|id| !seen.insert(id)).collect()
}
