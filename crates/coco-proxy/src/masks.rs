//! Writing one mask for each selected image.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::index::{ProxyInfo, Sample};
use artifacts::label_picture::decode_labels;
use artifacts::labels::{IGNORE, MaskKind, OOD_PROXY};
use coco_format::objects::Objects;
use coco_format::shape;
use rayon::prelude::*;
use stage_cli::Progress;

use crate::args::MaskArgs;
use crate::mask_png;
use crate::select::Candidate;

/// Writes the masks of `candidates` into `folder` and returns their records for the index, in the same order. Candidates
/// whose shapes cover no pixel are left out, except with `--compat`.
///
/// # Errors
/// Returns an error if a shape is invalid, a file cannot be written, or all candidates are left out.
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
            progress.advance(1);
            if let Some(n_pixels) = read_finished(&path, png) {
                let hash = blake3::hash(png);
                return Ok(Some(sample(candidate, &name, n_pixels, hash)));
            }
            candidate.unite(objects)?;
            if objects.count() == 0 && !args.compat {
                return Ok(None);
            }
            let n_pixels = write_one(&path, background, objects, png)?;
            Ok(Some(sample(candidate, &name, n_pixels, blake3::hash(png))))
        })
        .collect::<Result<Vec<Option<Sample>>>>();
    progress.finish();
    let samples = samples?;
    report_pixelless(candidates, &samples)?;
    Ok(samples.into_iter().flatten().collect())
}

/// Says which images were left out because their shapes cover no pixel.
fn report_pixelless(candidates: &[Candidate], samples: &[Option<Sample>]) -> Result<()> {
    let left_out = candidates.iter().zip(samples).filter(|(_, s)| s.is_none());
    let ids: Vec<String> = left_out.map(|(c, _)| c.image.id.to_string()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let text = format!(
        "the shapes of {} images cover no pixel, for example of image {}: {}",
        ids.len(),
        ids[..ids.len().min(3)].join(", "),
        shape::OFF
    );
    ensure!(ids.len() < candidates.len(), "there are no proxies: {text}");
    tracing::warn!("{text}; they are left out");
    Ok(())
}

/// Reads the mask that an interrupted call of the same work left, if it is complete. Its file is then in `png`; returns
/// its number of object pixels.
fn read_finished(path: &Path, png: &mut Vec<u8>) -> Option<u64> {
    *png = fs::read(path).ok()?;
    let labels = decode_labels(png).ok()?.labels;
    let is_proxy = labels.iter().all(|&v| MaskKind::Proxy.allows(v, 0));
    is_proxy.then(|| labels.iter().map(|&v| u64::from(v == OOD_PROXY)).sum())
}

/// Writes the mask of `objects` and returns its number of object pixels. Its file is then in `png`.
///
/// The file is written under its final name, without a temporary file: readers find it through `index.json` only, which
/// is written later, and what an interrupted call leaves of it is detected by [`read_finished`]. A temporary file for
/// each mask would take a quarter of the run time.
fn write_one(path: &Path, background: u8, objects: &Objects, png: &mut Vec<u8>) -> Result<u64> {
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
        mask: Some(Path::new("masks").join(mask_name)),
        mask_blake3: Some(hash.to_hex().to_string()),
        proxy: Some(ProxyInfo {
            ood_fraction: n_object_pixels as f64 / n_pixels,
            categories: candidate.categories.clone(),
            license: candidate.image.license,
            objects: Vec::new(),
        }),
        ..candidate.sample()
    }
}
