//! Writes the score maps of all samples.

use std::collections::HashSet;

use anyhow::{Context, Result, bail, ensure};
use artifacts::index::Index;
use artifacts::logits::{Logits, logits_path};
use artifacts::score::Score;
use artifacts::score_map;
use rayon::prelude::*;
use stage_cli::{Failures, Progress, print_result};

use super::args::{ExportArgs, Format, plain_name};
use super::formats;
use super::outputs::{Listed, Outputs};
use super::samples::{ExportSample, Samples};
use super::score_map::ScoreMap;

/// Exports all samples, or does nothing if the output is up to date.
pub(crate) fn run(args: &ExportArgs, force: bool) -> Result<()> {
    let args = args.resolved();
    let is_png = args.format.contains(&Format::Png);
    // whether scores of other methods are in [0, 1] is seen when they are written
    let has_bounds = !args.score.is_signed() || args.score == Score::Adopted;
    ensure!(
        has_bounds || !is_png,
        "png holds scores in [0, 1], and {} has no bounds: choose --format npy or tiff",
        args.score.name()
    );
    let failures = Failures::new(args.keep_going);
    let Samples {
        found,
        index,
        folder,
    } = Samples::list(&args)?;
    let dataset = index.as_ref().map(|index| index.dataset.as_str());
    let dataset = plain_name(args.dataset.as_deref().or(dataset).unwrap_or("folder"))?;
    let selected = args.subset.select(found);
    let n_selected = selected.len();
    let checked = selected.into_iter().map(|(id, sample)| {
        let sample = sample.and_then(|sample| sample.check(&args).map(|()| sample));
        (id, sample)
    });
    let samples = failures.check_all(checked)?;
    let index = index.map(|index| only(index, &samples));
    let listed = Listed {
        index: index.as_ref(),
        folder: folder.as_ref(),
    };
    let outputs = Outputs::open(&args, &dataset, listed, force)?;
    if outputs.is_empty() {
        return outputs.finish(&failures, None, 0);
    }
    if let Some(index) = &index {
        outputs.reuse(index)?;
    }
    outputs.merge(&args.merge)?;
    export_all(&samples, &args, &outputs, &failures)?;
    finish(outputs, &failures, index.as_ref(), n_selected)
}

/// The index of some of its samples.
fn only(mut index: Index, samples: &[ExportSample]) -> Index {
    let ids: HashSet<&str> = samples.iter().map(|s| s.sample_id.as_str()).collect();
    index.samples.retain(|s| ids.contains(s.sample_id.as_str()));
    index
}

/// Exports samples in parallel.
fn export_all(
    samples: &[ExportSample],
    args: &ExportArgs,
    outputs: &Outputs,
    failures: &Failures,
) -> Result<()> {
    let progress = Progress::new("export", samples.len() as u64, "images");
    samples.par_iter().with_max_len(1).try_for_each(|sample| {
        let exported = export(sample, args, outputs);
        failures.check(&sample.sample_id, exported)?;
        progress.advance(1);
        Ok::<_, anyhow::Error>(())
    })?;
    progress.finish();
    Ok(())
}

/// Writes the files of a sample that do not exist yet.
fn export(sample: &ExportSample, args: &ExportArgs, outputs: &Outputs) -> Result<()> {
    let missing = outputs.missing(&sample.sample_id);
    if missing.is_empty() {
        return Ok(());
    }
    let map = read(sample, args)?;
    for (format, path) in missing {
        formats::write(format, &path, &map, sample.image.as_ref())
            .with_context(|| format!("sample {}", sample.sample_id))?;
    }
    Ok(())
}

/// The scores of a sample in the size in which they are written.
fn read(sample: &ExportSample, args: &ExportArgs) -> Result<ScoreMap> {
    let (dir, id) = (args.source().dir, &sample.sample_id);
    let image = sample.image.as_ref().filter(|_| args.image_size);
    let image_size = image.map(|image| image.size);
    if args.score == Score::Adopted {
        let mut map = score_map::ScoreMap::read_sample(dir, id, sample.size)?;
        (map.output_width, map.output_height) =
            image_size.unwrap_or((map.output_width, map.output_height));
        return Ok(ScoreMap::of_adopted(&map));
    }
    let mut logits = Logits::read_sample(dir, id, sample.size)?;
    ensure!(
        args.score.survives_softmax() || !logits.of_probabilities,
        "{} holds logarithms of probabilities, which do not tell the {} of the network: choose another --score",
        logits_path(dir, id).display(),
        args.score.name()
    );
    let info = &mut logits.info;
    (info.output_width, info.output_height) =
        image_size.unwrap_or((info.output_width, info.output_height));
    Ok(ScoreMap::of(&logits, args.score))
}

/// Completes the output.
fn finish(
    outputs: Outputs,
    failures: &Failures,
    index: Option<&Index>,
    n_selected: usize,
) -> Result<()> {
    let failed = failures.so_far();
    let n_samples = n_selected - failed.len();
    if let Some((id, error)) = failed.first_key_value()
        && n_samples == 0
    {
        bail!("none of the {n_selected} samples can be exported; the first, {id}: {error}");
    }
    let result = outputs.finish(failures, index, n_samples as u64);
    print_result(format_args!("samples: {n_samples}"));
    result
}
