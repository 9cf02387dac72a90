//! A run among those that are shown together.

use anyhow::Result;
use artifacts::run_dir::RunFolder;

use super::model::{self, LinearModel};
use super::outcome::Outcome;
use crate::metrics::segment_totals::{SampleErrors, sample_errors};
use crate::read::dataset::RunDataset;
use crate::read::runs::{Run, is_finished};
use crate::tables::text::score_name;

/// A run that has a data set.
pub(super) struct Member<'a> {
    /// Place of the run among all runs, from 0. It fixes the run's color.
    pub(super) index: usize,
    pub(super) run: &'a Run,
    /// Tables of the data set.
    pub(super) data: &'a RunDataset,
    /// The meta classifier, if there is one and it is linear.
    pub(super) model: Option<LinearModel>,
    /// Whether the meta classifier keeps a segment, one value per segment; true for all if there is none.
    kept: Vec<bool>,
    /// Errors of each sample, in the order of the detections' samples, with the meta classifier if there is one.
    errors: Vec<SampleErrors>,
}

impl<'a> Member<'a> {
    /// The runs that have `dataset`, in their order.
    ///
    /// # Errors
    /// Returns an error if the file of a meta classifier is damaged.
    pub(super) fn all(runs: &'a [Run], dataset: &str) -> Result<Vec<Self>> {
        let mut members = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            if let Some(data) = run.datasets.get(dataset) {
                let kept = data.kept(true);
                let meta = run.folder(RunFolder::Meta, dataset);
                let model = if is_finished(&meta) {
                    model::read(&meta)?
                } else {
                    None
                };
                members.push(Self {
                    index,
                    run,
                    data,
                    model,
                    errors: sample_errors(&data.detections, &kept),
                    kept,
                });
            }
        }
        Ok(members)
    }

    /// Name of the score whose threshold gave the segments.
    pub(super) fn score_name(&self) -> &str {
        let own = &self.data.own;
        score_name(own.score, own.method.as_deref())
    }

    /// Errors of all samples with their ids, by id.
    pub(super) fn all_errors(&self) -> impl Iterator<Item = (&str, SampleErrors)> {
        let ids = self.data.detections.sample_ids.iter().map(String::as_str);
        ids.zip(self.errors.iter().copied())
    }

    /// Errors of one sample; `None` if the run does not have it.
    pub(super) fn errors(&self, sample_id: &str) -> Option<SampleErrors> {
        self.sample(sample_id).map(|i| self.errors[i])
    }

    /// What became of the segments of a sample, by number.
    pub(super) fn outcomes(&self, sample_id: &str) -> Vec<Outcome> {
        let sample = self.sample(sample_id);
        let segments = self.data.detections.segments.iter().enumerate();
        let of_sample = segments.filter(|(_, s)| Some(s.sample) == sample);
        let decisions = self.data.decisions.as_ref();
        let mut outcomes = Vec::new();
        for (i, segment) in of_sample {
            outcomes.push(Outcome {
                id: segment.id,
                is_true: !segment.is_false_positive,
                is_kept: self.kept[i],
                score: decisions.map(|all| 1.0 - all[i].false_positive_prob),
            });
        }
        outcomes
    }

    /// Sizes of the unknown objects of a sample, in pixels.
    pub(super) fn object_sizes(&self, sample_id: &str) -> impl Iterator<Item = u64> {
        let sample = self.sample(sample_id);
        let objects = self.data.detections.objects.iter();
        let of_sample = objects.filter(move |o| Some(o.sample) == sample);
        of_sample.map(|o| o.size)
    }

    /// Place of a sample among the detections' samples.
    fn sample(&self, id: &str) -> Option<usize> {
        let ids = &self.data.detections.sample_ids;
        ids.binary_search_by(|s| s.as_str().cmp(id)).ok()
    }
}
