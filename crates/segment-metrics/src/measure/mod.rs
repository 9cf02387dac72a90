//! The plain call: measures all samples of an index and writes the tables.

mod best_threshold;
mod foreign;
mod inputs;
mod samples;
mod source;
mod truth;

use anyhow::Result;
use artifacts::stage_dir::Request;
use stage_cli::{Failures, print_result};

use crate::args::{FileArgs, MeasureArgs};
use crate::measure::best_threshold::track_threshold;
use crate::measure::foreign::refuse_foreign;
use crate::measure::inputs::Inputs;
use crate::measure::samples::{Measured, Measurement, measure_all};
use crate::output::{COMPONENTS, STAGE, finish};
use crate::tables::sources::Sources;
use crate::{reference_tables, tables};

/// Measures all samples and writes the tables.
///
/// # Errors
/// Returns an error if an input is missing, damaged or does not fit the others; the output then does not count as complete, unless
/// `--keep-going` left such inputs out.
pub(crate) fn run(files: &FileArgs, args: &MeasureArgs, force: bool) -> Result<()> {
    refuse_foreign(files)?;
    let mut args = args.resolved(files)?;
    let inputs = Inputs::open(files, &args)?;
    args.method = inputs.method();
    args.of_probabilities = inputs.are_of_probabilities();
    args.check_score()?;
    let Some(dir) = stage_cli::open_request(request(files, &args, force)?)? else {
        return Ok(());
    };
    let failures = Failures::new(args.keep_going);
    let mut segmentation = args.segmentation();
    let threshold = args
        .sizes
        .track
        .map(|track| track_threshold(&inputs, &failures, track, &args, dir.path()))
        .transpose()?;
    if let Some(threshold) = &threshold {
        segmentation.threshold = threshold.threshold;
    }
    let layout = inputs.layout();
    let Measured {
        folders,
        n_skipped,
        sums,
    } = measure_all(&Measurement {
        inputs: &inputs,
        layout: &layout,
        failures: &failures,
        segmentation,
        additional_thresholds: &args.thresholds.thresholds,
        components: dir.subdir(COMPONENTS)?,
        partial: dir.partial()?,
    })?;
    let sources = Sources::Samples(folders);
    let thresholds = &args.thresholds.thresholds;
    let mut counts = tables::write_all(dir.path(), &sources, &sums, thresholds, &layout)?;
    if args.compat_names {
        reference_tables::write(dir.path(), layout.basis())?;
    }
    counts.push(("skipped", n_skipped));
    let finished = finish(dir, &failures, &counts);
    if let Some(threshold) = threshold {
        print_result(format_args!("threshold: {}", threshold.threshold));
    }
    finished
}

/// What is asked for. Files that the stage goes on without need not be as they were written.
fn request<'a>(files: &'a FileArgs, args: &MeasureArgs, force: bool) -> Result<Request<'a>> {
    let request = if args.keep_going.keep_going {
        Request::as_found
    } else {
        Request::new
    };
    request(&files.output, STAGE, args, &files.inputs(), force)
}
