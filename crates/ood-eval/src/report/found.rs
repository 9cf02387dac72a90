//! What the page shows of images without labels: the most suspicious ones of an output of `ood-eval detect`.

use std::path::{Component, Path};

use anyhow::{Context, Result, ensure};
use artifacts::manifest::Manifest;
use artifacts::picture::{Orientation, read_rgb};
use artifacts::tables::columns::SAMPLE_ID;
use artifacts::tables::{read_table, schema};
use polars::prelude::DataFrame;
use rayon::prelude::*;
use serde::Serialize;

use super::gallery::Weight;
use super::text::slug;
use crate::args::RunSpec;
use crate::detect::PAGE;
use crate::pictures::{Picture, PictureSize, resize_photo};
use crate::read::detections::strings;

/// Largest width of a picture, in pixels; the files of `ood-eval detect` are wider.
const MAX_WIDTH: usize = 768;

/// What was found in some images.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FoundView {
    name: String,
    /// Target of links within the page.
    anchor: String,
    /// The page that has all of it.
    page: String,
    has_meta: bool,
    n_images: usize,
    /// Images with a kept segment.
    n_suspicious: usize,
    n_kept: u64,
    n_rejected: u64,
    /// The most suspicious images.
    images: Vec<ImageView>,
}

/// An image with its segments.
#[derive(Clone, Debug, Serialize)]
struct ImageView {
    sample_id: String,
    /// Highest score of its kept segments, if there are any.
    suspicion: Option<String>,
    n_kept: u64,
    n_rejected: u64,
    picture: Picture,
}

/// A row of the table of images.
struct Row<'a> {
    sample_id: &'a str,
    suspicion: Option<f64>,
    n_kept: u64,
    n_rejected: u64,
    overlay: &'a str,
}

impl FoundView {
    /// What its pictures take in the page.
    pub(super) fn weight(&self) -> Weight {
        Weight::of(self.images.iter().map(|image| image.picture.bytes()))
    }
}

/// The first `n` images of each of `specs`, fewer if their pictures take more than `bytes` in the page.
///
/// # Errors
/// Returns an error if an output of `ood-eval detect` is unfinished or damaged.
pub(super) fn views(specs: &[RunSpec], n: usize, bytes: usize) -> Result<Vec<FoundView>> {
    let mut views = Vec::new();
    for (number, (name, dir)) in specs.iter().flat_map(RunSpec::members).enumerate() {
        let view = view(number, &name, dir, (n, bytes));
        views.push(view.with_context(|| format!("what was found in {name:?} cannot be shown"))?);
    }
    Ok(views)
}

fn view(number: usize, name: &str, dir: &Path, (n, bytes): (usize, usize)) -> Result<FoundView> {
    let manifest = Manifest::read(dir)?;
    let table = schema::ranked_images();
    let frame = read_table(&dir.join(table.file_name()), &table)?;
    let rows = rows(&frame)?;
    let images = rows.par_iter().take(n).map(|row| image(name, dir, row));
    let mut images: Vec<ImageView> = images.collect::<Result<_>>()?;
    let mut used = 0;
    images.retain(|image| {
        used += image.picture.bytes();
        used <= bytes
    });
    Ok(FoundView {
        name: name.to_owned(),
        anchor: format!("found-{number}-{}", slug(name)),
        page: dir.join(PAGE).display().to_string(),
        has_meta: manifest.inputs.contains_key("meta"),
        n_images: rows.len(),
        n_suspicious: rows.iter().filter(|row| row.n_kept > 0).count(),
        n_kept: rows.iter().map(|row| row.n_kept).sum(),
        n_rejected: rows.iter().map(|row| row.n_rejected).sum(),
        images,
    })
}

/// The rows, by rank.
fn rows(frame: &DataFrame) -> Result<Vec<Row<'_>>> {
    let ids = strings(frame, SAMPLE_ID)?;
    let overlays = strings(frame, "overlay")?;
    let suspicions = frame.column("suspicion")?.f64()?;
    let kept = frame.column("n_kept")?.u64()?.into_no_null_iter();
    let rejected = frame.column("n_rejected")?.u64()?.into_no_null_iter();
    let rows = ids
        .zip(overlays)
        .zip(suspicions.iter())
        .zip(kept)
        .zip(rejected);
    Ok(rows
        .map(
            |((((sample_id, overlay), suspicion), n_kept), n_rejected)| Row {
                sample_id,
                suspicion,
                n_kept,
                n_rejected,
                overlay,
            },
        )
        .collect())
}

fn image(found: &str, dir: &Path, row: &Row<'_>) -> Result<ImageView> {
    let mut parts = Path::new(row.overlay).components();
    ensure!(
        parts.all(|part| matches!(part, Component::Normal(_))),
        "{} names the picture {:?}, which is not inside of the folder",
        dir.join(schema::ranked_images().file_name()).display(),
        row.overlay
    );
    let overlay = read_rgb(&dir.join(row.overlay), Orientation::default())?;
    let (width, height) = (overlay.width(), overlay.height());
    let whole = (width as usize, height as usize);
    let size = PictureSize::of_sample(width, whole, MAX_WIDTH);
    let alt = format!(
        "segments in {} of {found}: {} kept in green, {} rejected in red",
        row.sample_id, row.n_kept, row.n_rejected
    );
    Ok(ImageView {
        sample_id: row.sample_id.to_owned(),
        suspicion: row.suspicion.map(|s| format!("{s:.3}")),
        n_kept: row.n_kept,
        n_rejected: row.n_rejected,
        picture: Picture::inside(&resize_photo(&overlay, size), "segments", alt)?,
    })
}
