//! The plain call: from annotations to masks and an index.

use std::path::Path;

use anyhow::{Context, Error, Result, ensure};
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::stage_dir::Request;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Failures, KeepGoing, SomeFailed, print_result};

use crate::args::{Args, Command, MaskArgs};
use crate::faults::Fault;
use crate::image_folder::{ImageFolder, Missing};
use crate::select::{Candidate, Review, Rules, Selection, Skipped, select};
use crate::{check, dataset, faults, masks, preview, shape};

/// Runs `coco-proxy` as the command line asks.
///
/// # Errors
/// Returns the error of [`check::run`], or one of making masks: if the annotations are missing or damaged, name files
/// outside of the image folder, hold a selected annotation without a valid shape, disagree with an image file, or no
/// image qualifies; and [`SomeFailed`] if the masks are complete but for images that failed.
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
    let file = || annotations.display().to_string();
    let rules = rules(&args, names_given);
    let selection = select(&dataset, &rules, &folder).with_context(file)?;
    refuse_faults(&selection).with_context(file)?;
    selection.ensure_some(&folder).with_context(file)?;
    let Selection {
        candidates,
        skipped,
        ..
    } = selection;
    let candidates = args.subset.select(candidates);
    let arguments = ManifestArguments {
        args: &args,
        images_blake3: digest(&candidates),
    };
    let inputs = [("annotations", annotations)];
    let mut request = Request::new(output, "coco-proxy", &arguments, &inputs, common.force)?;
    request.reads.extend(folder.reads(&dataset.images));
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    let failures = Failures::new(args.keep_going);
    let candidates = usable(candidates, args.keep_going, &failures).with_context(file)?;
    let samples = masks::write(&dir.subdir("masks")?, &candidates, &args)?;
    let n_pixelless = candidates.len().saturating_sub(samples.len()) as u64;
    let index = write_index(dir.path(), &folder, samples, args.preview)?;
    let counts = [
        ("samples", index.samples.len() as u64),
        ("skipped_excluded", skipped.excluded),
        ("skipped_small", skipped.small),
        ("skipped_empty", skipped.empty),
        ("skipped_absent", skipped.absent),
        ("skipped_pixelless", n_pixelless),
    ];
    let finished = failures.finish(dir, &counts);
    if finished.as_ref().err().is_none_or(Error::is::<SomeFailed>) {
        print_summary(&index, skipped, n_pixelless, output);
    }
    finished
}

/// Writes the index of `samples`, and a preview if images are read.
fn write_index(
    dir: &Path,
    folder: &ImageFolder,
    samples: Vec<Sample>,
    n_previewed: u16,
) -> Result<Index> {
    let (kind, root) = (MaskKind::Proxy, &folder.path);
    let index = Index::new("coco", &folder.split, kind, root, samples)?;
    index.write(dir)?;
    if folder.missing == Missing::NotRead {
        tracing::warn!(
            "{} does not exist: the sizes of the images were not compared with their records",
            root.display()
        );
    } else if n_previewed > 0 {
        preview::write(dir, &index, usize::from(n_previewed))?;
    }
    Ok(index)
}

/// The rules that the resolved arguments amount to. `names_given`: whether the user named the excluded categories.
fn rules(args: &MaskArgs, names_given: bool) -> Rules {
    Rules {
        exclude: args.exclude.clone().unwrap_or_default(),
        must_know_names: names_given,
        allow_missing: args.allow_missing_categories,
        min_side: args.min_side,
        keep_empty: args.compat,
    }
}

fn digest(candidates: &[Candidate]) -> String {
    let mut hasher = blake3::Hasher::new();
    for c in candidates {
        hasher.update(format!("{} {}\n", c.sample_id(), c.image_bytes).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Refuses a file with wrong records, together with what is wrong with the images that qualify as far as can be told.
fn refuse_faults(selection: &Selection) -> Result<()> {
    if selection.faults.is_empty() {
        return Ok(());
    }
    let others = selection.candidates.par_iter();
    let others: Vec<Fault> = others.flat_map_iter(|c| c.review().faults).collect();
    faults::refuse(&[selection.faults.as_slice(), &others].concat())
}

/// The candidates whose image files and shapes can be used. All of these are looked at before the first mask is written; what
/// is wrong with the others goes into `failures`.
///
/// # Errors
/// Returns an error that names all faults, unless the stage goes on after errors; or one if there are nothing but faults.
fn usable<'a>(
    candidates: Vec<Candidate<'a>>,
    keep_going: KeepGoing,
    failures: &Failures,
) -> Result<Vec<Candidate<'a>>> {
    let reviews = candidates.par_iter().map(Candidate::review);
    let reviews: Vec<Review> = reviews.collect();
    report_off(&reviews);
    let faults = reviews.into_iter().map(|review| review.faults);
    let faults: Vec<Vec<Fault>> = faults.collect();
    if !keep_going.keep_going {
        faults::refuse(&faults.concat())
            .context("images that qualify cannot be used (--keep-going leaves them out)")?;
    }
    let all = candidates.len();
    let mut usable = Vec::with_capacity(all);
    for (candidate, faults) in candidates.into_iter().zip(&faults) {
        let input = candidate.file.to_string_lossy();
        if failures.check(&input, faults::refuse(faults))?.is_some() {
            usable.push(candidate);
        }
    }
    ensure!(
        all == 0 || !usable.is_empty(),
        "none of the {all} images that qualify can be used, see the warnings above"
    );
    Ok(usable)
}

/// Warns of shapes that cover no pixel of their image.
fn report_off(reviews: &[Review]) {
    let off = reviews.iter().flat_map(|review| &review.off);
    let off: Vec<String> = off.map(ToString::to_string).collect();
    if !off.is_empty() {
        tracing::warn!(
            "{} shapes cover no pixel, for example of annotation {}: {}",
            off.len(),
            off[..off.len().min(3)].join(", "),
            shape::OFF
        );
    }
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
