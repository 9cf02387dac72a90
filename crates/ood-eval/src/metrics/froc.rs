//! FROC curves (free-response receiver operating characteristic): how many objects are found at a budget of false alarms per image.
//!
//! Segments are ranked by how suspicious they are. A budget keeps segments from the most suspicious one on, as many as give no more
//! false alarms than the budget times the number of images; segments of equal value are kept together. False alarms and found
//! objects are those of [`SegmentTotals`](super::segment_totals::SegmentTotals): a false alarm is a kept segment without any
//! out-of-distribution pixel, and an object is found if it shares a pixel with a kept segment. All images count, also those without
//! objects or segments.
//!
//! Source: Bunch et al. 1977, A Free Response Approach to the Measurement and Characterization of Radiographic Observer Performance.

use measures::resampling::{Interval, draw};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::args::Bootstrap;
use crate::read::dataset::RunDataset;
use crate::read::detections::Detections;

/// What segments are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranking {
    /// Probability of a false positive that the meta classifier gives, low ones first.
    Meta,
    /// Mean of the score over the pixels of the segment, high ones first.
    MeanScore,
    /// Number of pixels, large segments first.
    Size,
}

impl Ranking {
    /// All rankings, that of the meta classifier first.
    pub const ALL: [Self; 3] = [Self::Meta, Self::MeanScore, Self::Size];

    /// The ranking of metrics with or without the meta classifier.
    pub fn of_main(with_meta: bool) -> Self {
        if with_meta {
            Self::Meta
        } else {
            Self::MeanScore
        }
    }

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::MeanScore => "mean_score",
            Self::Size => "size",
        }
    }

    /// The values of all segments; `None` for the ranking of a meta classifier that was not run.
    fn values(self, data: &RunDataset) -> Option<Vec<f64>> {
        match self {
            Self::Meta => {
                let decisions = data.decisions.as_deref()?;
                Some(decisions.iter().map(|d| d.false_positive_prob).collect())
            }
            Self::MeanScore => Some(data.mean_scores.clone()),
            Self::Size => {
                let segments = data.detections.segments.iter();
                Some(segments.map(|s| s.size as f64).collect())
            }
        }
    }
}

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrocPoint {
    /// False alarms per image that are allowed; `None` if all segments are kept.
    pub budget: Option<f64>,
    /// The value of the last segment that is kept, by which others can be kept likewise; `None` if none is.
    pub threshold: Option<f64>,
    /// Kept segments.
    pub n_kept: u64,
    /// Kept segments without any out-of-distribution pixel.
    pub false_positives: u64,
    /// Objects that share a pixel with a kept segment.
    pub n_found: u64,
    /// Share of all objects that are found, in [0, 1]; `None` without objects.
    pub share: Option<f64>,
    /// Interval of the share that contains 95 % of the bootstrap resamples of the images. Each resample has thresholds of its own.
    pub interval: Option<Interval>,
}

/// The segments of a data set in the order in which they are kept, and the objects that they find.
#[derive(Clone, Debug)]
pub struct Froc {
    /// Number of objects in each image.
    n_objects: Vec<u64>,
    /// Groups of segments with equal values.
    groups: Vec<Group>,
    /// Image of each false alarm, in the order of the ranking.
    alarms: Vec<usize>,
    /// Image of each object that some segment finds, in the order of the ranking.
    found: Vec<usize>,
}

/// Segments of equal value: ends of what is kept together with all groups before.
#[derive(Clone, Copy, Debug)]
struct Group {
    value: f64,
    n_kept: usize,
    end_of_alarms: usize,
    end_of_found: usize,
}

/// Sums over the groups that a budget keeps.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    n_groups: usize,
    false_positives: u64,
    n_found: u64,
}

impl Froc {
    /// Ranks the segments of a data set; `None` if there is no meta classifier to rank them by.
    pub fn of(data: &RunDataset, ranking: Ranking) -> Option<Self> {
        let values = ranking.values(data)?;
        Some(Self::ranked(&data.detections, &values, ranking))
    }

    /// Ranks segments by `values`, one for each.
    fn ranked(all: &Detections, values: &[f64], ranking: Ranking) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        // the sort is stable
        order.sort_by(|&a, &b| match ranking {
            Ranking::Meta => values[a].total_cmp(&values[b]),
            Ranking::MeanScore | Ranking::Size => values[b].total_cmp(&values[a]),
        });
        let mut n_objects = vec![0; all.sample_ids.len()];
        for object in &all.objects {
            n_objects[object.sample] += 1;
        }
        let objects_of = objects_by_segment(all);
        let mut is_found = vec![false; all.objects.len()];
        let mut froc = Self {
            n_objects,
            groups: Vec::new(),
            alarms: Vec::new(),
            found: Vec::new(),
        };
        let mut n_kept = 0;
        for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
            for &i in equal {
                let segment = &all.segments[i];
                if segment.is_false_positive {
                    froc.alarms.push(segment.sample);
                }
                for &object in &objects_of[i] {
                    if !std::mem::replace(&mut is_found[object], true) {
                        froc.found.push(all.objects[object].sample);
                    }
                }
            }
            n_kept += equal.len();
            froc.groups.push(Group {
                value: values[equal[0]],
                n_kept,
                end_of_alarms: froc.alarms.len(),
                end_of_found: froc.found.len(),
            });
        }
        froc
    }

    /// Number of images.
    pub fn n_images(&self) -> usize {
        self.n_objects.len()
    }

    /// Number of true objects.
    pub fn n_objects(&self) -> u64 {
        self.n_objects.iter().sum()
    }

    /// False alarms per image if all segments are kept; 0 without images.
    pub fn most_false_alarms(&self) -> f64 {
        self.alarms.len() as f64 / self.n_images().max(1) as f64
    }

    /// The points at these budgets, which ascend, with intervals if there are resamples. A budget of infinity keeps all segments.
    pub fn points(&self, budgets: &[f64], bootstrap: Bootstrap) -> Vec<FrocPoint> {
        let numbers = (0..bootstrap.resamples).into_par_iter();
        let resamples: Vec<Vec<Option<f64>>> = numbers
            .map(|number| {
                let weights = draw(self.n_images(), bootstrap.seed, number);
                let n_objects = self.weighted_objects(&weights);
                let kept = self.kept(budgets, &weights).into_iter();
                kept.map(|k| share(k.n_found, n_objects)).collect()
            })
            .collect();
        let kept = self.kept(budgets, &vec![1; self.n_images()]);
        let points = budgets.iter().zip(kept).enumerate();
        points
            .map(|(i, (&budget, kept))| {
                let last = kept.n_groups.checked_sub(1).map(|g| &self.groups[g]);
                FrocPoint {
                    budget: Some(budget).filter(|b| b.is_finite()),
                    threshold: last.map(|g| g.value),
                    n_kept: last.map_or(0, |g| g.n_kept as u64),
                    false_positives: kept.false_positives,
                    n_found: kept.n_found,
                    share: share(kept.n_found, self.n_objects()),
                    interval: Interval::of(resamples.iter().map(|r| r[i])),
                }
            })
            .collect()
    }

    /// Objects found at one budget, where images count as often as `weights` say; `None` without objects.
    pub fn found_at(&self, budget: f64, weights: &[u8]) -> Option<u64> {
        let kept = self.kept(&[budget], weights);
        let found = kept.first().map(|k| k.n_found);
        found.filter(|_| self.weighted_objects(weights) > 0)
    }

    /// What each of the budgets, which ascend, keeps. `weights`: how often each image counts.
    fn kept(&self, budgets: &[f64], weights: &[u8]) -> Vec<Kept> {
        let n_images: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let sum = |images: &[usize]| images.iter().map(|&i| u64::from(weights[i])).sum::<u64>();
        let mut kept = Kept::default();
        let (mut end_of_alarms, mut end_of_found) = (0, 0);
        let mut all = Vec::with_capacity(budgets.len());
        for budget in budgets {
            // the product of a rate and a count can be just below the whole number that it stands for
            let n_allowed = (budget * n_images as f64 + 1e-9) as u64;
            for group in &self.groups[kept.n_groups..] {
                let alarms = sum(&self.alarms[end_of_alarms..group.end_of_alarms]);
                if budget.is_finite() && kept.false_positives + alarms > n_allowed {
                    break;
                }
                kept.n_groups += 1;
                kept.false_positives += alarms;
                kept.n_found += sum(&self.found[end_of_found..group.end_of_found]);
                (end_of_alarms, end_of_found) = (group.end_of_alarms, group.end_of_found);
            }
            all.push(kept);
        }
        all
    }

    fn weighted_objects(&self, weights: &[u8]) -> u64 {
        let images = self.n_objects.iter().zip(weights);
        images.map(|(n, &w)| n * u64::from(w)).sum()
    }
}

fn share(n_found: u64, n_objects: u64) -> Option<f64> {
    (n_objects > 0).then(|| n_found as f64 / n_objects as f64)
}

/// The objects that each segment overlaps.
fn objects_by_segment(all: &Detections) -> Vec<Vec<usize>> {
    let mut objects = vec![Vec::new(); all.segments.len()];
    for overlap in &all.overlaps {
        objects[overlap.segment].push(overlap.object);
    }
    objects
}

#[cfg(test)]
mod tests;
