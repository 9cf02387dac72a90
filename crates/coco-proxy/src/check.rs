//! `--check`: all that is wrong with a COCO download, in one pass.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail};
use hotcoco::types::{Annotation, Dataset, Image};
use rayon::prelude::*;
use stage_cli::{Progress, print_result};

use crate::Args;
use crate::rasterize;
use crate::select::{Folder, Missing, check_picture, check_record, read_dataset};

/// Prints one line for each fault, then a summary.
///
/// Looks at the records of all images and annotations, whether they qualify as proxies or not, and at all image
/// files: a missing one is a fault unless `--images` names a folder or there is none.
///
/// # Errors
/// If there is any fault.
pub fn run(args: &Args) -> Result<()> {
    let file = args.annotations.display();
    let dataset = read_dataset(&args.annotations)?;
    let folder = Folder::new(&args.annotations, args.images.as_deref())?;
    let mut faults = image_faults(&dataset, &folder);
    let n_pictures = dataset.images.len() as u64;
    faults.extend(annotation_faults(&dataset).map(|fault| format!("{file}: {fault}")));
    for fault in &faults {
        print_result(fault);
    }
    let shown = match folder.missing {
        Missing::Expected => "no images there".to_owned(),
        Missing::Error | Missing::Skip => folder.path.display().to_string(),
    };
    print_result(format_args!(
        "{file}: {n_pictures} images ({shown}), {} annotations, {} categories, faults: {}",
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

/// Faults of records and files of images, in the order of the records.
fn image_faults(dataset: &Dataset, folder: &Folder) -> Vec<String> {
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

fn file_fault(image: &Image, folder: &Folder) -> Option<String> {
    let path = folder.path.join(&image.file_name);
    match folder.missing {
        Missing::Expected => None,
        Missing::Skip if !path.exists() => None,
        Missing::Error if !path.exists() => Some(format!("{} is missing", path.display())),
        Missing::Error | Missing::Skip => {
            let error = check_picture(image, &path).err()?;
            Some(format!("{error:#}"))
        }
    }
}

/// Faults of annotations, in the order of the file.
fn annotation_faults(dataset: &Dataset) -> impl Iterator<Item = String> {
    let sizes = dataset.images.iter().map(|i| (i.id, (i.width, i.height)));
    let sizes: HashMap<u64, (u32, u32)> = sizes.collect();
    let categories: HashSet<u64> = dataset.categories.iter().map(|c| c.id).collect();
    let repeated = repeated(dataset.annotations.iter().map(|a| a.id));
    let fault = |(annotation, is_repeated): (&Annotation, bool)| {
        let id = annotation.id;
        if is_repeated {
            return Some(format!("annotation id {id} occurs twice"));
        }
        if !categories.contains(&annotation.category_id) {
            let category = annotation.category_id;
            return Some(format!(
                "annotation {id} has the category {category}, which is not listed"
            ));
        }
        let Some(&(width, height)) = sizes.get(&annotation.image_id) else {
            let image = annotation.image_id;
            return Some(format!(
                "annotation {id} belongs to image {image}, which is not listed"
            ));
        };
        let error = rasterize::check(annotation, width, height).err()?;
        Some(format!("{error:#}"))
    };
    let faults = dataset.annotations.par_iter().zip(repeated);
    faults.filter_map(fault).collect::<Vec<_>>().into_iter()
}

/// Whether each id occurred before.
fn repeated(ids: impl Iterator<Item = u64>) -> Vec<bool> {
    let mut seen = HashSet::new();
    ids.map(|id| !seen.insert(id)).collect()
}
