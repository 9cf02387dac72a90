//! The plain call: from annotations to masks and an index.

use std::path::Path;

use anyhow::{Context, Result};
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::stage_dir::Request;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, print_result};

use crate::args::{Args, Command, MaskArgs};
use crate::faults::Fault;
use crate::image_folder::{ImageFolder, Missing};
use crate::select::{Candidate, Rules, Skipped, select};
use crate::{check, dataset, faults, masks, preview};

/// Runs `coco-proxy` as the command line asks.
///
/// # Errors
/// Returns the error of [`check::run`], or one of making masks: if the annotations are missing or damaged, name files
/// outside of the image folder, hold a selected annotation without a valid shape, disagree with an image file, or no
/// image qualifies.
pub fn run(args: &Args) -> Result<()> {
    if let Some(Command::Check(check)) = &args.command {
        return check::run(&check.source);
    }
    if args.check {
        tracing::warn!("`coco-proxy --check` is now called `coco-proxy check`");
        return check::run(&args.masks.source);
    }
    make_masks(&args.masks, &args.common)
}

/// What determines the output: beside the arguments the images that were found.
#[derive(Serialize)]
struct ManifestArguments<'a> {
    #[serde(flatten)]
    args: &'a MaskArgs,
    /// BLAKE3 of the selected images' ids and sizes in bytes.
    images_blake3: String,
}

/// Writes the masks and the index of one COCO split.
fn make_masks(args: &MaskArgs, common: &Common) -> Result<()> {
    let output = args.output.as_deref().context("name --output")?;
    let annotations = args.source.annotations()?;
    let names_given = args.exclude.is_some();
    let args = args.resolved();
    let dataset = dataset::read(annotations)?;
    let folder = ImageFolder::new(annotations, args.source.images(), &dataset.images)?;
    let rules = Rules {
        exclude: args.exclude.clone().unwrap_or_default(),
        must_know_names: names_given,
        allow_missing: args.allow_missing_categories,
        min_side: args.min_side,
        keep_empty: args.compat,
    };
    let (candidates, skipped) =
        select(&dataset, &rules, &folder).with_context(|| annotations.display().to_string())?;
    let candidates = args.subset.select(candidates);
    let arguments = ManifestArguments {
        args: &args,
        images_blake3: digest(&candidates),
    };
    let inputs = [("annotations", annotations)];
    let mut request = Request::new(output, "coco-proxy", &arguments, &inputs, common.force)?;
    request
        .reads
        .extend(args.source.images().map(Path::to_owned));
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    check_selected(&candidates).with_context(|| annotations.display().to_string())?;
    let samples = masks::write(&dir.subdir("masks")?, &candidates, &args)?;
    let index = Index::new(
        "coco",
        &folder.split,
        MaskKind::Proxy,
        &folder.path,
        samples,
    )?;
    index.write(dir.path())?;
    if folder.missing == Missing::NotRead {
        tracing::warn!(
            "{} does not exist: the sizes of the images were not compared with their records",
            folder.path.display()
        );
    } else if args.preview > 0 {
        preview::write(dir.path(), &index, usize::from(args.preview))?;
    }
    let n_pixelless = candidates.len().saturating_sub(index.samples.len()) as u64;
    dir.finish(&[
        ("samples", index.samples.len() as u64),
        ("skipped_excluded", skipped.excluded),
        ("skipped_small", skipped.small),
        ("skipped_empty", skipped.empty),
        ("skipped_absent", skipped.absent),
        ("skipped_pixelless", n_pixelless),
    ])?;
    print_summary(&index, skipped, n_pixelless, output);
    Ok(())
}

fn digest(candidates: &[Candidate]) -> String {
    let mut hasher = blake3::Hasher::new();
    for c in candidates {
        hasher.update(format!("{} {}\n", c.sample_id(), c.image_bytes).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Reports everything that is wrong with the selected images and their annotations before the first mask is written.
fn check_selected(candidates: &[Candidate]) -> Result<()> {
    let faults: Vec<Fault> = candidates
        .par_iter()
        .flat_map_iter(Candidate::faults)
        .collect();
    faults::refuse(&faults)
}

fn print_summary(index: &Index, skipped: Skipped, n_pixelless: u64, output: &Path) {
    let n = index.samples.len();
    let fractions = index.samples.iter().filter_map(|s| s.proxy.as_ref());
    let sum: f64 = fractions.map(|p| p.ood_fraction).sum();
    print_result(format_args!(
        "{n} proxies in {} ({:.1} % object pixels); skipped: {} with excluded categories, {} too small, \
         {} without instances, {} without image file, {n_pixelless} whose shapes cover no pixel",
        output.display(),
        100.0 * sum / n.max(1) as f64,
        skipped.excluded,
        skipped.small,
        skipped.empty,
        skipped.absent
    ));
}
