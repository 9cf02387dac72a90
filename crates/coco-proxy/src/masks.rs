//! Writing one mask for each selected image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::index::{ProxyInfo, Sample};
use artifacts::label_picture::decode_labels;
use artifacts::labels::{IGNORE, MaskKind, OOD_PROXY};
use rayon::prelude::*;
use stage_cli::Progress;

use crate::args::MaskArgs;
use crate::objects::Objects;
use crate::select::Candidate;
use crate::{mask_png, rasterize};

/// Writes the masks of `candidates` into `folder` and returns their records for the index, in the same order.
pub(crate) fn write(
    folder: &Path,
    candidates: &[Candidate],
    args: &MaskArgs,
) -> Result<Vec<Sample>> {
    let progress = Progress::new("coco-proxy", candidates.len() as u64, "images");
    let background = args.background.unwrap_or(IGNORE);
    let samples = candidates
        .par_iter()
        .map_init(Default::default, |(objects, png), candidate| {
            let name = format!("{}.png", candidate.sample_id());
            let path = folder.join(&name);
            let n_pixels = match read_finished(&path, png) {
                Some(n_pixels) => n_pixels,
                None => write_one(&path, candidate, background, objects, png)?,
            };
            progress.advance(1);
            Ok(sample(candidate, &name, n_pixels, blake3::hash(png)))
        })
        .collect();
    progress.finish();
    samples
}

/// Reads the mask that an interrupted call of the same work left, if it is complete. Its file is then in `png`; returns
/// its number of object pixels.
fn read_finished(path: &Path, png: &mut Vec<u8>) -> Option<u64> {
    *png = fs::read(path).ok()?;
    let labels = decode_labels(png).ok()?.labels;
    let is_proxy = labels.iter().all(|&v| MaskKind::Proxy.allows(v));
    is_proxy.then(|| labels.iter().map(|&v| u64::from(v == OOD_PROXY)).sum())
}

/// Writes a mask and returns its number of object pixels. Its file is then in `png`; `objects` is scratch space.
///
/// The file is written under its final name, without a temporary file: readers find it through `index.json` only, which
/// is written later, and what an interrupted call leaves of it is detected by [`read_finished`]. A temporary file for
/// each mask would take a quarter of the run time.
fn write_one(
    path: &Path,
    candidate: &Candidate,
    background: u8,
    objects: &mut Objects,
    png: &mut Vec<u8>,
) -> Result<u64> {
    let (width, height) = (candidate.width(), candidate.height());
    rasterize::unite(objects, &candidate.annotations, width, height)?;
    png.clear();
    mask_png::write(&mut *png, objects, background)?;
    fs::write(path, &*png).with_context(|| format!("could not write {}", path.display()))?;
    Ok(objects.count())
}

fn sample(
    candidate: &Candidate,
    mask_name: &str,
    n_object_pixels: u64,
    hash: blake3::Hash,
) -> Sample {
    let n_pixels = f64::from(candidate.width()) * f64::from(candidate.height());
    Sample {
        sample_id: candidate.sample_id(),
        image: PathBuf::from(&candidate.image.file_name),
        image_bytes: candidate.image_bytes,
        image_width: candidate.width(),
        image_height: candidate.height(),
        mask: Some(Path::new("masks").join(mask_name)),
        mask_blake3: Some(hash.to_hex().to_string()),
        width: candidate.width(),
        height: candidate.height(),
        proxy: Some(ProxyInfo {
            ood_fraction: n_object_pixels as f64 / n_pixels,
            categories: candidate.categories.clone(),
            license: candidate.image.license,
        }),
    }
}
