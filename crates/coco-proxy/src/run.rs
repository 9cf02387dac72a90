//! The plain call: from annotations to masks and an index.

use std::path::Path;

use anyhow::{Context, Error, Result, ensure};
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::stage_dir::Request;
use coco_format::faults::{self, Fault};
use coco_format::image_folder::{ImageFolder, Missing};
use coco_format::shape;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Failures, KeepGoing, SomeFailed, print_result};

use crate::args::{Args, Command, MaskArgs};
use crate::select::{Candidate, Purpose, Review, Rules, Selection, Skipped, select};
use crate::{annotations, check, cutouts, masks, preview};

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

/// Name of the argument that says which images were found, in [`ManifestArguments`].
const IMAGES_HASH: &str = "images_blake3";

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
    let dataset = annotations::read(annotations)?;
    let folder = ImageFolder::new(annotations, args.source.images(), &dataset.images)?;
    let file = || annotations.display().to_string();
    let rules = rules(&args, names_given);
    let selection = select(&dataset, &rules, &folder).with_context(file)?;
    refuse_faults(&selection).with_context(file)?;
    selection.ensure_some(&folder).with_context(file)?;
    let Selection {
        candidates,
        skipped,
        held_out,
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
    let masks = dir.subdir("masks")?;
    args.merge.take_over(&dir, &[IMAGES_HASH])?;
    let samples = match args.min_area {
        Some(min_area) => cutouts::write(&masks, &candidates, min_area)?,
        None => masks::write(&masks, &candidates, &args)?,
    };
    let n_pixelless = candidates.len().saturating_sub(samples.len()) as u64;
    let mut index = Index {
        held_out,
        ..Index::new("coco", &folder.split, kind(&args), &folder.path, samples)?
    };
    write_index(dir.path(), &folder, &mut index, args.preview, &failures)?;
    let finished = failures.finish(dir, &counts(&index, skipped, n_pixelless));
    if finished.as_ref().err().is_none_or(Error::is::<SomeFailed>) {
        print_summary(&index, skipped, n_pixelless, output);
    }
    finished
}

/// What the manifest counts.
fn counts(index: &Index, skipped: Skipped, n_pixelless: u64) -> Vec<(&'static str, u64)> {
    let mut counts = vec![
        ("samples", index.samples.len() as u64),
        ("skipped_excluded", skipped.excluded),
        ("skipped_small", skipped.small),
        ("skipped_empty", skipped.empty),
        ("skipped_absent", skipped.absent),
        ("skipped_pixelless", n_pixelless),
    ];
    if index.mask_kind == MaskKind::Object {
        counts.push(("objects", n_objects(index)));
    }
    counts
}

/// What the masks hold.
fn kind(args: &MaskArgs) -> MaskKind {
    if args.objects {
        MaskKind::Object
    } else {
        MaskKind::Proxy
    }
}

/// Number of objects for pasting.
fn n_objects(index: &Index) -> u64 {
    let proxies = index.samples.iter().filter_map(|s| s.proxy.as_ref());
    proxies.map(|proxy| proxy.objects.len() as u64).sum()
}

/// Writes the index, and a preview if images are read. Images whose pixels turn out to be damaged there are left out.
fn write_index(
    dir: &Path,
    folder: &ImageFolder,
    index: &mut Index,
    n_previewed: u16,
    failures: &Failures,
) -> Result<()> {
    if folder.missing == Missing::NotRead {
        tracing::warn!(
            "{} does not exist: the sizes of the images were not compared with their records",
            folder.path.display()
        );
    } else if n_previewed > 0 {
        preview::write(dir, index, usize::from(n_previewed), failures)?;
        let failed = failures.so_far();
        let is_usable = |sample: &Sample| !failed.contains_key(&*sample.image.to_string_lossy());
        index.samples.retain(is_usable);
        ensure!(
            !index.samples.is_empty(),
            "no image that qualifies can be used, see the warnings above"
        );
    }
    index.write(dir)
}

/// The rules that the resolved arguments amount to. `names_given`: whether the user named the excluded categories.
fn rules(args: &MaskArgs, names_given: bool) -> Rules {
    Rules {
        exclude: args.exclude.clone().unwrap_or_default(),
        must_know_names: names_given,
        allow_missing: args.allow_missing_categories,
        min_side: args.min_side.unwrap_or_default(),
        keep_empty: args.compat,
        hold_out: args.hold_out.clone(),
        purpose: if args.objects {
            Purpose::Objects
        } else {
            Purpose::Proxies
        },
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
    let output = output.display();
    let share = 100.0 * sum / n.max(1) as f64;
    let (what, excluded, pixelless) = match index.mask_kind {
        MaskKind::Object => (
            format!("{} objects of {n} images", n_objects(index)),
            "without other than excluded categories and crowds",
            "whose objects are too small",
        ),
        _ => (
            format!("{n} proxies"),
            "with excluded categories",
            "whose shapes cover no pixel",
        ),
    };
    print_result(format_args!(
        "{what} in {output} ({share:.1} % object pixels); skipped: {} {excluded}, {} too small, \
         {} without instances, {} without image file, {n_pixelless} {pixelless}",
        skipped.excluded, skipped.small, skipped.empty, skipped.absent
    ));
}
