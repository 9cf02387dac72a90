//! The subcommand `merge`: joins the outputs of shards into what one call over all samples writes.
//!
//! Tables, pixel counts and component maps are the same, byte for byte, and so is the manifest but for its duration: measuring
//! everything afterwards finds the output up to date.

mod contents;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::stage_dir::{Replacing, Request};
use artifacts::tables::thresholds_in;
use artifacts::track;
use stage_cli::Shards;

use crate::args::MergeArgs;
use crate::merge::contents::{add_pixels, copy_components};
use crate::output::{COMPONENTS, STAGE, finish};
use crate::pixel_sums::PixelSums;
use crate::tables::Layout;
use crate::tables::sources::Sources;
use crate::{reference_tables, tables};

/// Joins the outputs of shards into one.
///
/// # Errors
/// Returns an error if a folder is not a finished shard, shards are missing, named twice, or made with other arguments or inputs.
pub fn run(args: &MergeArgs, force: bool) -> Result<()> {
    let shards = Shards::read(STAGE, &[], &args.shards)?;
    let manifest = shards.manifest_of_whole()?;
    let with_reference_tables = manifest.arguments["compat_names"] == true;
    let request = Request {
        output: &args.output,
        work: manifest,
        reads: shards.folders().map(Path::to_owned).collect(),
        force,
        replacing: Replacing::Freely,
        listings: &[],
    };
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    let layout = layout(&shards)?;
    let components = dir.subdir(COMPONENTS)?;
    let mut sums = PixelSums::new(layout.basis().scores());
    for folder in shards.folders() {
        copy_components(folder, &components)?;
        if layout.has_truth {
            add_pixels(folder, &mut sums)?;
        }
    }
    // arguments are the same in all shards, and so is what follows from them
    let first = shards.first();
    let thresholds = thresholds_in(first)?;
    let sources = Sources::Shards(shards.folders().map(Path::to_owned).collect());
    let mut counts = tables::write_all(dir.path(), &sources, &sums, &thresholds, &layout)?;
    if first.join(track::FILE_NAME).exists() {
        track::Threshold::read(first)?.write(dir.path())?;
    }
    if with_reference_tables {
        reference_tables::write(dir.path(), layout.basis())?;
    }
    counts.push(("skipped", shards.n_skipped()));
    finish(dir, &shards.failures()?, &counts)
}

/// Which tables and columns all shards have.
///
/// # Errors
/// Returns an error that names two shards if they have other classes, or only one of them has the truth.
fn layout(shards: &Shards) -> Result<Layout> {
    let first = contents::layout(shards.first())?;
    for folder in shards.folders().skip(1) {
        let other = contents::layout(folder)?;
        let unlike = || {
            let (first, folder) = (shards.first().display(), folder.display());
            format!("{first} and {folder} cannot be merged")
        };
        if let (Some(first), Some(other)) = (&first.classes, &other.classes) {
            first.ensure_same(other).with_context(unlike)?;
        }
        ensure!(
            first.basis() == other.basis(),
            "{}: they were measured from other kinds of inputs",
            unlike()
        );
        ensure!(
            first.has_truth == other.has_truth,
            "{}: only one of them is of images with labels",
            unlike()
        );
    }
    Ok(first)
}
