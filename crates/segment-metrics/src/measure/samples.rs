//! The loop over the samples: each is measured and written into a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};
use artifacts::index::Sample;
use artifacts::mask::ComponentMap;
use artifacts::stage_dir::create_dir;
use artifacts::tables::threshold_folder;
use blake3::Hash;
use rayon::prelude::*;
use stage_cli::{Failures, Progress};

use crate::analysis::{SampleMetrics, Segmentation};
use crate::checkpoint::{self, Checkpoint, State};
use crate::measure::inputs::Inputs;
use crate::pixel_sums::PixelSums;
use crate::sample::{self, Measured as MeasuredSample};
use crate::tables::{self, Layout};

/// The pixel sums are saved after at least this many samples.
const SAVED_EVERY: usize = 32;

/// What is to be measured, how, and where to.
pub(crate) struct Measurement<'a> {
    pub(crate) inputs: &'a Inputs,
    /// Which tables and columns are written.
    pub(crate) layout: &'a Layout,
    /// Where samples are listed that cannot be used.
    pub(crate) failures: &'a Failures,
    pub(crate) segmentation: Segmentation,
    pub(crate) additional_thresholds: &'a [f64],
    /// Folder for the component maps.
    pub(crate) components: PathBuf,
    /// Folder for what the call needs to go on if it is interrupted.
    pub(crate) partial: PathBuf,
}

/// Where the results of all samples are.
pub(crate) struct Measured {
    /// Folders with the tables of the measured samples, in the order of the samples.
    pub(crate) folders: Vec<PathBuf>,
    /// Number of samples without out-of-distribution pixels that are not measured for that.
    pub(crate) n_skipped: u64,
    /// Pixel counts of the measured samples.
    pub(crate) sums: PixelSums,
}

/// Measures all samples that an interrupted call has not measured already.
pub(crate) fn measure_all(measurement: &Measurement<'_>) -> Result<Measured> {
    let samples = &measurement.inputs.index.samples;
    let scores = measurement.layout.basis().scores();
    let mut checkpoint = Checkpoint::read(&measurement.partial, samples.len(), scores)?;
    for (i, sample) in samples.iter().enumerate() {
        if checkpoint.states[i] == State::Left {
            checkpoint.add_written(i, &measurement.folder(sample))?;
        }
    }
    let left = measurement.left(&checkpoint);
    let progress = Progress::new("segment-metrics", samples.len() as u64, "images");
    progress.advance((samples.len() - left.len()) as u64);
    for positions in left.chunks(SAVED_EVERY.max(4 * rayon::current_num_threads())) {
        let measured = measure_some(measurement, positions, &mut checkpoint, &progress);
        // if one sample fails, the others are kept
        checkpoint.write(&measurement.partial)?;
        for &i in positions {
            checkpoint::remove_image(&measurement.folder(&samples[i]))?;
        }
        measured?;
    }
    progress.finish();
    let skipped = checkpoint.states.iter().filter(|s| **s == State::Skipped);
    let n_skipped = skipped.count() as u64;
    let states = samples.iter().zip(&checkpoint.states);
    let measured = states.filter(|(_, state)| matches!(state, State::Measured(_)));
    Ok(Measured {
        folders: measured.map(|(s, _)| measurement.folder(s)).collect(),
        n_skipped,
        sums: checkpoint.sums,
    })
}

/// Measures the samples with these positions in parallel.
fn measure_some(
    measurement: &Measurement<'_>,
    positions: &[usize],
    checkpoint: &mut Checkpoint,
    progress: &Progress,
) -> Result<()> {
    let checkpoint = Mutex::new(checkpoint);
    positions.par_iter().with_max_len(1).try_for_each(|&i| {
        measure_one(measurement, i, &checkpoint)?;
        progress.advance(1);
        Ok(())
    })
}

/// Measures the sample at position `i`, unless it is to be skipped or cannot be used.
fn measure_one(
    measurement: &Measurement<'_>,
    i: usize,
    checkpoint: &Mutex<&mut Checkpoint>,
) -> Result<()> {
    let sample = &measurement.inputs.index.samples[i];
    let id = &sample.sample_id;
    let locked = || {
        let locked = checkpoint.lock();
        locked.map_err(|_| anyhow!("another image failed"))
    };
    // what cannot be written ends the call: only inputs may fail
    let analyzed = measurement.failures.check(id, measurement.analyze(sample));
    let Some(analyzed) = analyzed? else {
        measurement.remove_map(sample)?;
        return locked()?.leave_out(i).with_context(|| {
            format!("sample {id} cannot be used any more: call again with --force")
        });
    };
    let Some(MeasuredSample {
        metrics,
        components,
        ..
    }) = analyzed
    else {
        locked()?.states[i] = State::Skipped;
        return Ok(());
    };
    let hash = measurement.write(sample, &metrics, &components)?;
    // sums of integers do not depend on the order
    locked()?.add(i, hash, metrics.n_out > 0, &metrics.counts);
    Ok(())
}

impl Measurement<'_> {
    /// Where the sample's tables are until they are joined with those of the others.
    fn folder(&self, sample: &Sample) -> PathBuf {
        self.partial.join("samples").join(&sample.sample_id)
    }

    /// The sample's component map.
    fn map_path(&self, sample: &Sample) -> PathBuf {
        self.components.join(format!("{}.png", sample.sample_id))
    }

    /// Positions of the samples that are to be measured, those included whose files are not as an interrupted call wrote them.
    fn left(&self, checkpoint: &Checkpoint) -> Vec<usize> {
        let samples = &self.inputs.index.samples;
        let states = checkpoint.states.par_iter().enumerate();
        let left = states.filter(|&(i, state)| match state {
            State::Left => true,
            State::Skipped => false,
            State::Measured(hash) => !self.is_intact(&samples[i], *hash),
        });
        left.map(|(i, _)| i).collect()
    }

    /// Whether the tables and the component map of a sample have this hash.
    fn is_intact(&self, sample: &Sample, hash: Hash) -> bool {
        let found = checkpoint::hash_sample(&self.folder(sample), &self.map_path(sample));
        let is_intact = found.is_ok_and(|found| found == hash);
        if !is_intact {
            tracing::info!(
                "what an interrupted call wrote of sample {} is damaged or gone: measuring it again",
                sample.sample_id
            );
        }
        is_intact
    }

    /// Measures one sample, unless it is to be skipped.
    fn analyze(&self, sample: &Sample) -> Result<Option<MeasuredSample>> {
        let Some(read) = self.inputs.read(sample)? else {
            return Ok(None);
        };
        let thresholds = self.additional_thresholds.iter();
        let additional: Vec<f32> = thresholds.map(|&t| t as f32).collect();
        let measured = sample::measure(&sample::Request {
            pixels: read.pixels(),
            labels: Some(&read.labels),
            segmentation: self.segmentation,
            additional_thresholds: &additional,
            has_context: self.layout.has_context,
        });
        let measured = measured.with_context(|| format!("sample {}", sample.sample_id))?;
        Ok(Some(measured))
    }

    /// Writes the files of a sample and returns their hash.
    fn write(&self, sample: &Sample, metrics: &SampleMetrics, map: &ComponentMap) -> Result<Hash> {
        let (id, layout) = (&sample.sample_id, self.layout);
        map.write(&self.map_path(sample))?;
        let folder = self.folder(sample);
        create_dir(&folder)?;
        for (matching, &threshold) in metrics.additional.iter().zip(self.additional_thresholds) {
            let folder = threshold_folder(&folder, threshold);
            create_dir(&folder)?;
            tables::write_matching(&folder, id, metrics, matching, layout)?;
        }
        tables::write_sample(&folder, id, metrics, layout)?;
        let hash = checkpoint::hash_sample(&folder, &self.map_path(sample))?;
        // last, because it marks the sample as done
        checkpoint::write_image(&folder, hash, metrics.n_out > 0, &metrics.counts)?;
        Ok(hash)
    }

    /// Removes what an interrupted call may have left of a sample that cannot be used: maps are part of the result.
    fn remove_map(&self, sample: &Sample) -> Result<()> {
        let path = self.map_path(sample);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("could not remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}
