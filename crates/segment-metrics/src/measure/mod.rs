//! The plain call: measures all samples of an index and writes the tables.

mod best_threshold;
mod inputs;
mod samples;

use anyhow::Result;
use stage_cli::print_result;

use crate::args::{FileArgs, MeasureArgs};
use crate::measure::best_threshold::track_threshold;
use crate::measure::inputs::Inputs;
use crate::measure::samples::{Measured, Measurement, measure_all};
use crate::output::{COMPONENTS, STAGE, finish};
use crate::tables::sources::Sources;
use crate::{reference_tables, tables};

/// Measures all samples and writes the tables.
///
/// # Errors
/// Returns an error if an input is missing, damaged or does not fit the others; the output then does not count as complete.
pub(crate) fn run(files: &FileArgs, args: &MeasureArgs, force: bool) -> Result<()> {
    let args = args.resolved()?;
    let inputs = Inputs::open(files, &args)?;
    let Some(dir) = stage_cli::open(&files.output, STAGE, &args, &files.inputs(), force)? else {
        return Ok(());
    };
    let mut segmentation = args.segmentation();
    let threshold = args
        .sizes
        .track
        .map(|track| track_threshold(&inputs, track, &args, dir.path()))
        .transpose()?;
    if let Some(threshold) = &threshold {
        segmentation.threshold = threshold.threshold;
    }
    let Measured { folders, sums } = measure_all(&Measurement {
        inputs: &inputs,
        segmentation,
        additional_thresholds: &args.thresholds.thresholds,
        components: dir.subdir(COMPONENTS)?,
        partial: dir.partial()?,
    })?;
    let n_skipped = inputs.index.samples.len() - folders.len();
    let sources = Sources::Samples(folders);
    let (thresholds, num_classes) = (&args.thresholds.thresholds, inputs.num_classes);
    tables::write_pixel_counts(dir.path(), &sums)?;
    let mut counts = tables::write_joined(dir.path(), &sources, thresholds, num_classes)?;
    if args.compat_names {
        reference_tables::write(dir.path(), num_classes)?;
    }
    counts.push(("skipped", n_skipped as u64));
    finish(dir, &counts)?;
    if let Some(threshold) = threshold {
        print_result(format_args!("threshold: {}", threshold.threshold));
    }
    Ok(())
}
