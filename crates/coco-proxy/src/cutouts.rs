//! Objects for pasting: which pixels of an image belong to which object, and one mask for each image.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::file_hash::FileHash;
use artifacts::index::{ObjectInfo, ProxyInfo, Sample};
use artifacts::labels::MAX_OBJECTS;
use artifacts::mask::Mask;
use coco_format::objects::Objects;
use rayon::prelude::*;
use stage_cli::Progress;

use crate::select::{Candidate, Instance};

/// Writes the masks of `candidates` into `folder` and returns their records for the index, in the same order. Candidates without
/// an object of at least `min_area` pixels are left out.
///
/// # Errors
/// Returns an error if a shape is invalid, a file cannot be written, or all candidates are left out.
pub(crate) fn write(folder: &Path, candidates: &[Candidate], min_area: u64) -> Result<Vec<Sample>> {
    let progress = Progress::new("coco-proxy", candidates.len() as u64, "images");
    let samples = candidates
        .par_iter()
        .map_init(Objects::default, |shape, candidate| {
            progress.advance(1);
            let (mask, objects) = cut_out(candidate, min_area, shape)?;
            if objects.is_empty() {
                return Ok(None);
            }
            let name = format!("{}.png", candidate.sample_id());
            let path = folder.join(&name);
            mask.write(&path)?;
            sample(candidate, objects, &name, &path).map(Some)
        })
        .collect::<Result<Vec<Option<Sample>>>>();
    progress.finish();
    let samples: Vec<Sample> = samples?.into_iter().flatten().collect();
    ensure!(
        candidates.is_empty() || !samples.is_empty(),
        "there are no objects: none of {} images has one of {min_area} pixels or more (--min-area)",
        candidates.len()
    );
    Ok(samples)
}

/// The objects of at least `min_area` pixels, in the order of the annotations, and the mask that numbers them from 1 on. Where
/// objects overlap, the smaller one is in front. Pixels of known classes and of categories that are held out belong to no object.
fn cut_out(
    candidate: &Candidate,
    min_area: u64,
    shape: &mut Objects,
) -> Result<(Mask, Vec<ObjectInfo>)> {
    let mut large = Vec::new();
    for instance in &candidate.instances {
        candidate.rasterize(&[instance.annotation], shape)?;
        if shape.count() >= min_area {
            large.push((shape.count(), instance));
        }
    }
    // a stable sort, so that of equal areas the first one counts
    large.sort_by_key(|&(area, _)| std::cmp::Reverse(area));
    large.truncate(usize::from(MAX_OBJECTS));
    let mut mask = Mask::filled(candidate.width() as usize, candidate.height() as usize, 0);
    for (number, (_, instance)) in (1..).zip(&large) {
        candidate.rasterize(&[instance.annotation], shape)?;
        label(&mut mask, shape, number);
    }
    candidate.rasterize(&candidate.known, shape)?;
    label(&mut mask, shape, 0);
    let objects = keep_visible(&mut mask, &large, min_area);
    Ok((mask, objects))
}

/// Gives all pixels of `shape` the label `number`.
fn label(mask: &mut Mask, shape: &Objects, number: u8) {
    for (labels, row) in mask.labels.chunks_exact_mut(mask.width).zip(shape.rows()) {
        for (x, label) in labels.iter_mut().enumerate() {
            if row[x / 64] >> (x % 64) & 1 == 1 {
                *label = number;
            }
        }
    }
}

/// Removes the objects of which fewer than `min_area` pixels are left, and numbers the others in the order of their annotations.
/// `large` has the annotated pixels of the objects that the mask numbers so far.
fn keep_visible(mask: &mut Mask, large: &[(u64, &Instance)], min_area: u64) -> Vec<ObjectInfo> {
    let boxes = boxes(mask, large.len());
    let is_kept = |&i: &usize| boxes[i].area >= min_area;
    let mut kept: Vec<usize> = (0..large.len()).filter(is_kept).collect();
    kept.sort_by_key(|&i| large[i].1.position);
    let mut numbers = [0; 256];
    for (number, &i) in (1..).zip(&kept) {
        numbers[i + 1] = number;
    }
    for label in &mut mask.labels {
        *label = numbers[usize::from(*label)];
    }
    let info = |&i: &usize| {
        let (annotated, instance) = &large[i];
        boxes[i].info(*annotated, instance)
    };
    kept.iter().map(info).collect()
}

/// The box around the pixels of an object; the last column and row belong to it.
#[derive(Clone, Copy, Debug)]
struct PixelBox {
    area: u64,
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl PixelBox {
    fn info(&self, annotated: u64, instance: &Instance) -> ObjectInfo {
        ObjectInfo {
            annotation: instance.annotation.id.to_string(),
            category: instance.category.clone(),
            area: self.area,
            visible: self.area as f64 / annotated as f64,
            left: self.left as u32,
            top: self.top as u32,
            width: (self.right - self.left + 1) as u32,
            height: (self.bottom - self.top + 1) as u32,
        }
    }
}

/// The boxes of the first `n` objects of a mask.
fn boxes(mask: &Mask, n: usize) -> Vec<PixelBox> {
    let empty = PixelBox {
        area: 0,
        left: usize::MAX,
        right: 0,
        top: usize::MAX,
        bottom: 0,
    };
    let mut boxes = vec![empty; n];
    for (y, row) in mask.labels.chunks_exact(mask.width).enumerate() {
        for (x, &label) in row.iter().enumerate().filter(|(_, label)| **label > 0) {
            let found = &mut boxes[usize::from(label) - 1];
            found.area += 1;
            (found.left, found.right) = (found.left.min(x), found.right.max(x));
            (found.top, found.bottom) = (found.top.min(y), y);
        }
    }
    boxes
}

fn sample(
    candidate: &Candidate,
    objects: Vec<ObjectInfo>,
    mask_name: &str,
    mask: &Path,
) -> Result<Sample> {
    let n_pixels = f64::from(candidate.width()) * f64::from(candidate.height());
    let area: u64 = objects.iter().map(|object| object.area).sum();
    let mut categories: Vec<String> = objects.iter().map(|o| o.category.clone()).collect();
    categories.sort();
    categories.dedup();
    let hash = FileHash::of(mask).context("the mask that was just written")?;
    Ok(Sample {
        mask: Some(Path::new("masks").join(mask_name)),
        mask_blake3: Some(hash.blake3),
        proxy: Some(ProxyInfo {
            ood_fraction: area as f64 / n_pixels,
            categories,
            license: candidate.image.license,
            objects,
        }),
        ..candidate.sample()
    })
}
