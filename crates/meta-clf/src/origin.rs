//! How segments were made, and whether a model fits segments that were made in another way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::manifest::Manifest;
use artifacts::model_file::SegmentOrigin;
use artifacts::score::Score;
use artifacts::tables::{read_table_parts, schema};
use artifacts::track::{self, Threshold};
use serde::Deserialize;

/// Neighbors that count as connected where the manifest names no other number.
const CONNECTIVITY: u8 = 8;

/// How the segments at the main threshold in `folders`, outputs of `segment-metrics`, were made.
///
/// # Errors
/// Returns an error if a manifest or a table cannot be read, or the folders' segments were made in different ways.
pub fn read(folders: &[PathBuf]) -> Result<SegmentOrigin> {
    let mut all: Option<(&PathBuf, SegmentOrigin)> = None;
    for folder in folders {
        let origin = of_folder(folder)?;
        if let Some((first, all)) = &mut all {
            let conflicts = conflicts(all, &origin);
            ensure!(
                conflicts.is_empty(),
                "the segments in {} and {} cannot be joined, because they were made with {}: run `segment-metrics` alike for both",
                first.display(),
                folder.display(),
                differ(&conflicts, "and")
            );
            all.weights = union(&all.weights, &origin.weights);
            all.image_sizes = union(&all.image_sizes, &origin.image_sizes);
        } else {
            all = Some((folder, origin));
        }
    }
    Ok(all.map(|(_, origin)| origin).unwrap_or_default())
}

/// Refuses segments for which the probabilities of a model mean nothing, and warns of what may be intended: another network,
/// images of other sizes, or small segments that were dropped.
///
/// # Errors
/// Returns an error that names both values of each difference.
pub fn check(model: &SegmentOrigin, segments: &SegmentOrigin) -> Result<()> {
    let conflicts = conflicts(model, segments);
    ensure!(
        conflicts.is_empty(),
        "it was fitted to segments of {}: run `segment-metrics` as for the model, or fit a model to such segments",
        differ(&conflicts, "these are of")
    );
    if !is_part_of(&segments.weights, &model.weights) {
        tracing::warn!(
            "the model was fitted to segments of a network with weights {}, these are of weights {}: its probabilities may be \
             off for another network",
            hashes(&model.weights),
            hashes(&segments.weights)
        );
    }
    if !is_part_of(&segments.image_sizes, &model.image_sizes) {
        tracing::warn!(
            "the model was fitted to segments of images of {} pixels, these are of {} pixels: sizes and positions of segments \
             are in pixels",
            sizes(&model.image_sizes),
            sizes(&segments.image_sizes)
        );
    }
    if model.min_size != segments.min_size {
        tracing::warn!(
            "the model was fitted to segments of at least {} pixels, these have at least {}",
            model.min_size,
            segments.min_size
        );
    }
    Ok(())
}

/// What the manifest of `segment-metrics` says about segments.
#[derive(Deserialize)]
struct Arguments {
    score: Option<Score>,
    entropy_threshold: Option<f64>,
    method: Option<String>,
    connectivity: Option<u8>,
    min_size: Option<u64>,
}

fn of_folder(folder: &Path) -> Result<SegmentOrigin> {
    let manifest = Manifest::read(folder)?;
    let arguments = Arguments::deserialize(&manifest.arguments).with_context(|| {
        format!(
            "the manifest of {} does not say how its segments were made",
            folder.display()
        )
    })?;
    let mut origin = SegmentOrigin {
        score: arguments.score,
        method: arguments.method,
        threshold: arguments.entropy_threshold,
        connectivity: arguments.connectivity.unwrap_or(CONNECTIVITY),
        min_size: arguments.min_size.unwrap_or(0),
        weights: weights(&manifest),
        image_sizes: image_sizes(folder)?,
    };
    if folder.join(track::FILE_NAME).exists() {
        let rules = Threshold::read(folder)?;
        origin.threshold = Some(rules.threshold.into());
        origin.min_size = rules.min_size;
    }
    Ok(origin)
}

/// BLAKE3 of the weights that the logits of the segments were computed with; none if the folder of logits is gone or was replaced.
fn weights(segments: &Manifest) -> Vec<String> {
    let logits = segments.inputs.get("logits");
    let logits = logits.and_then(artifacts::manifest::Input::manifest);
    let weights = logits.and_then(|manifest| Some(manifest.inputs.get("weights")?.blake3.clone()));
    weights.into_iter().collect()
}

/// Sizes of the images in a folder, each once.
fn image_sizes(folder: &Path) -> Result<Vec<[u32; 2]>> {
    let table = schema::samples().without_truth();
    let path = folder.join(table.file_name());
    let mut sizes = BTreeSet::new();
    for part in read_table_parts(&path, &table)? {
        let part = part?;
        let (widths, heights) = (part.column("width")?.u32()?, part.column("height")?.u32()?);
        for (width, height) in widths.iter().flatten().zip(heights.iter().flatten()) {
            ensure!(
                width > 0 && height > 0,
                "{} has an image of {width}x{height} pixels: run `segment-metrics` again with --force",
                path.display()
            );
            sizes.insert([width, height]);
        }
    }
    Ok(sizes.into_iter().collect())
}

/// Values of `a` and `b` that are known and differ in a way that makes probabilities meaningless.
fn conflicts(a: &SegmentOrigin, b: &SegmentOrigin) -> Vec<[String; 2]> {
    let mut all = Vec::new();
    if let (Some(a), Some(b)) = (a.score, b.score)
        && a != b
    {
        all.push([a, b].map(|score| format!("the score {}", score.name())));
    }
    if a.method != b.method {
        all.push([a, b].map(|origin| method(origin.method.as_deref())));
    }
    if let (Some(a), Some(b)) = (a.threshold, b.threshold)
        && a.to_bits() != b.to_bits()
    {
        all.push([a, b].map(|threshold| format!("the threshold {threshold}")));
    }
    if a.connectivity != b.connectivity {
        all.push([a, b].map(|origin| format!("{}-connected pixels", origin.connectivity)));
    }
    all
}

/// Whose score maps were read, in words.
fn method(name: Option<&str>) -> String {
    name.map_or("no score maps".to_owned(), |name| {
        format!("score maps of {name}")
    })
}

/// The first values of all conflicts, `between`, and the second values.
fn differ(conflicts: &[[String; 2]], between: &str) -> String {
    let side = |i: usize| {
        let values: Vec<&str> = conflicts.iter().map(|pair| pair[i].as_str()).collect();
        values.join(" and ")
    };
    format!("{}, {between} {}", side(0), side(1))
}

/// Whether all of `values` are among `known`, or one of the two is not known.
fn is_part_of<T: PartialEq>(values: &[T], known: &[T]) -> bool {
    known.is_empty() || values.iter().all(|value| known.contains(value))
}

fn union<T: Ord + Clone>(a: &[T], b: &[T]) -> Vec<T> {
    let all: BTreeSet<T> = a.iter().chain(b).cloned().collect();
    all.into_iter().collect()
}

/// The beginnings of hashes, by which users tell files apart.
fn hashes(all: &[String]) -> String {
    let beginning = |hash: &String| hash.chars().take(12).collect::<String>();
    all.iter().map(beginning).collect::<Vec<_>>().join(", ")
}

/// The first sizes, and how many more there are.
fn sizes(all: &[[u32; 2]]) -> String {
    const SHOWN: usize = 3;
    let shown = all.iter().take(SHOWN).map(|[w, h]| format!("{w}x{h}"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more sizes"),
    }
}
