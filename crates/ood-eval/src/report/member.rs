//! A run among those that are shown together.

use anyhow::Result;
use artifacts::run_dir::RunFolder;

use super::model::{self, LinearModel};
use crate::metrics::segment_totals::{SampleErrors, sample_errors};
use crate::read::dataset::RunDataset;
use crate::read::runs::{Run, is_finished};

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
                let meta = RunFolder::Meta.dataset(&run.path, dataset);
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

    /// Errors of all samples with their ids, by id.
    pub(super) fn all_errors(&self) -> impl Iterator<Item = (&str, SampleErrors)> {
        let ids = self.data.detections.sample_ids.iter().map(String::as_str);
        ids.zip(self.errors.iter().copied())
    }

    /// Errors of one sample; `None` if the run does not have it.
    pub(super) fn errors(&self, sample_id: &str) -> Option<SampleErrors> {
        self.sample(sample_id).map(|i| self.errors[i])
    }

    /// Numbers of the segments of a sample that the meta classifier rejects.
    pub(super) fn rejected(&self, sample_id: &str) -> Vec<u32> {
        let sample = self.sample(sample_id);
        let segments = self.data.detections.segments.iter().zip(&self.kept);
        let rejected = segments.filter(|&(s, kept)| Some(s.sample) == sample && !kept);
        rejected.map(|(s, _)| s.id).collect()
    }

    /// Place of a sample among the detections' samples.
    fn sample(&self, id: &str) -> Option<usize> {
        let ids = &self.data.detections.sample_ids;
        ids.binary_search_by(|s| s.as_str().cmp(id)).ok()
    }
}
