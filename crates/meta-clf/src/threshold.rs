//! How the probability is chosen above which a segment is rejected.

use std::collections::BTreeMap;

/// A rule by which the threshold is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ThresholdRule {
    /// Takes this probability.
    Fixed(f64),
    /// Takes the lowest probability with which at most this share of the objects that were found is lost.
    MaxLostObjects(f64),
    /// Takes the highest probability with which at most this many false positives are kept for each image.
    FalseAlarmsPerImage(f64),
    /// Takes the lowest probability with which at least this share of the true segments is kept.
    KeepTrue(f64),
    /// Takes the probability of least expected cost, where rejecting a true segment costs this many times as much as keeping a
    /// false positive.
    Cost(f64),
}

/// What a rule gives for a table of segments.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// The threshold of the model, for other segments.
    pub of_model: f64,
    /// The threshold of each of the segments: segments whose probability is higher are rejected.
    pub of_rows: Vec<f64>,
}

impl Thresholds {
    /// The same threshold for the model and for `n_rows` segments.
    pub fn same(threshold: f64, n_rows: usize) -> Self {
        Self {
            of_model: threshold,
            of_rows: vec![threshold; n_rows],
        }
    }
}

/// Held-out predictions with the truth, from which thresholds follow.
#[derive(Clone, Copy, Debug)]
pub struct HeldOut<'a> {
    /// Sample of each segment, sorted.
    pub sample_ids: &'a [String],
    /// Held-out probability of a false positive of each segment.
    pub probs: &'a [f64],
    /// Whether each probability is learned; segments whose probability is not are kept whatever the threshold is.
    pub is_learned: &'a [bool],
    /// Number of images, those without segments included.
    pub n_images: usize,
    /// The truth of each segment.
    pub is_false_positive: &'a [bool],
    /// For each object that was found: its sample, and the lowest probability of its segments. Thresholds below that lose it.
    pub objects: &'a [(String, f64)],
}

impl ThresholdRule {
    /// The thresholds that follow from held-out predictions. Segments at the threshold are kept.
    ///
    /// A segment of probability p costs 1 − p expected true segments if it is rejected, times the ratio c, and p expected false
    /// positives if it is kept. Rejecting is cheaper where p > c / (1 + c), which is the threshold of [`Self::Cost`].
    ///
    /// [`Self::MaxLostObjects`] holds out the objects of each image: its segments have the threshold that the objects of all
    /// other images give. Else the share of lost objects would be right by construction, and would say nothing about other
    /// images.
    ///
    /// [`Self::FalseAlarmsPerImage`] allows as many false positives as the number of images times the rate, rounded down. It gives the
    /// highest of the held-out probabilities, 0 and 1 with which no more are kept, because a higher threshold loses fewer objects; 0
    /// if even that keeps more. Images are held out likewise: the threshold of one is that of all others.
    ///
    /// [`Self::KeepTrue`] gives 0.5 if there are no true segments, [`Self::MaxLostObjects`] 1 if there are no objects.
    pub fn thresholds(self, held_out: HeldOut<'_>) -> Thresholds {
        let n_rows = held_out.probs.len();
        match self {
            Self::Fixed(threshold) => Thresholds::same(threshold, n_rows),
            Self::Cost(ratio) => Thresholds::same(ratio / (1.0 + ratio), n_rows),
            Self::KeepTrue(share) => Thresholds::same(keep_true(share, held_out), n_rows),
            Self::FalseAlarmsPerImage(rate) => false_alarms_per_image(rate, held_out),
            Self::MaxLostObjects(share) => max_lost_objects(share, held_out),
        }
    }
}

/// The lowest threshold with which at least `share` of the true segments is kept.
fn keep_true(share: f64, held_out: HeldOut<'_>) -> f64 {
    let pairs = held_out.probs.iter().zip(held_out.is_false_positive);
    let mut true_segments: Vec<f64> = pairs.filter(|p| !p.1).map(|p| *p.0).collect();
    true_segments.sort_by(f64::total_cmp);
    match (share * true_segments.len() as f64).ceil() as usize {
        _ if true_segments.is_empty() => 0.5,
        0 => 0.0,
        n => true_segments[n - 1],
    }
}

fn max_lost_objects(share: f64, held_out: HeldOut<'_>) -> Thresholds {
    let mut objects: Vec<(&str, f64)> = Vec::with_capacity(held_out.objects.len());
    let mut n_of_sample: BTreeMap<&str, usize> = BTreeMap::new();
    for (sample, prob) in held_out.objects {
        objects.push((sample, *prob));
        *n_of_sample.entry(sample).or_default() += 1;
    }
    objects.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let of_model = lowest_threshold(share, objects.len(), objects.iter().map(|o| o.1));
    let mut of_rows = Vec::with_capacity(held_out.probs.len());
    for rows in held_out.sample_ids.chunk_by(|a, b| a == b) {
        let sample = rows[0].as_str();
        let threshold = match n_of_sample.get(sample) {
            None => of_model,
            Some(n_own) => {
                let others = objects.iter().filter(|o| o.0 != sample);
                lowest_threshold(share, objects.len() - n_own, others.map(|o| o.1))
            }
        };
        of_rows.extend(std::iter::repeat_n(threshold, rows.len()));
    }
    Thresholds { of_model, of_rows }
}

/// The thresholds with which at most `rate` false positives an image are kept.
fn false_alarms_per_image(rate: f64, held_out: HeldOut<'_>) -> Thresholds {
    let probs = held_out.probs.iter().zip(held_out.is_learned);
    let probs = probs.map(|(&prob, &is_learned)| if is_learned { prob } else { f64::NEG_INFINITY });
    let keys = held_out.sample_ids.iter().zip(held_out.is_false_positive);
    let mut segments: Vec<(f64, bool, &str)> = keys
        .zip(probs)
        .map(|((sample, &is_false_positive), prob)| (prob, is_false_positive, sample.as_str()))
        .collect();
    segments.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all: Vec<(f64, bool)> = segments.iter().map(|s| (s.0, s.1)).collect();
    let of_model = highest_threshold(rate, held_out.n_images, &all);
    let mut of_rows = Vec::with_capacity(held_out.probs.len());
    for rows in held_out.sample_ids.chunk_by(|a, b| a == b) {
        let others = segments.iter().filter(|s| s.2 != rows[0]);
        let others: Vec<(f64, bool)> = others.map(|s| (s.0, s.1)).collect();
        let n_others = held_out.n_images.saturating_sub(1);
        let threshold = highest_threshold(rate, n_others, &others);
        of_rows.extend(std::iter::repeat_n(threshold, rows.len()));
    }
    Thresholds { of_model, of_rows }
}

/// The highest threshold that keeps at most `rate` false positives for each of `n_images`, given the probability of each segment,
/// ascending, and whether it is a false positive.
fn highest_threshold(rate: f64, n_images: usize, ascending: &[(f64, bool)]) -> f64 {
    // as above
    let n_allowed = (rate * n_images as f64 + 1e-9) as usize;
    let (mut n_kept, mut threshold) = (0, 0.0_f64);
    // segments of the same probability are kept together
    for equal in ascending.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        n_kept += equal.iter().filter(|segment| segment.1).count();
        if n_kept > n_allowed {
            return threshold;
        }
        threshold = equal[0].0.max(0.0);
    }
    1.0
}

/// The lowest threshold that loses at most `share` of `n` objects, whose probabilities are `descending`: an object is lost if its
/// probability is higher.
fn lowest_threshold(share: f64, n: usize, mut descending: impl Iterator<Item = f64>) -> f64 {
    // the product of a share and a count can be just below the whole number that it stands for
    let n_lost = (share * n as f64 + 1e-9) as usize;
    match descending.nth(n_lost) {
        _ if n == 0 => 1.0,
        // objects that no threshold loses have a probability below 0
        Some(prob) => prob.max(0.0),
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rule: ThresholdRule, probs: &[f64], is_false_positive: &[bool]) -> f64 {
        let held_out = HeldOut {
            sample_ids: &[],
            probs,
            is_learned: &[true; 6][..probs.len()],
            n_images: 0,
            is_false_positive,
            objects: &[],
        };
        rule.thresholds(held_out).of_model
    }

    #[test]
    fn thresholds_follow_their_rules() {
        let probs = [0.1, 0.9, 0.2, 0.3, 0.4, 0.95];
        let truth = [false, true, false, false, false, true];
        let at_truth = |rule| at(rule, &probs, &truth);
        assert_eq!(at_truth(ThresholdRule::Fixed(0.7)), 0.7);
        assert_eq!(at_truth(ThresholdRule::KeepTrue(1.0)), 0.4);
        assert_eq!(at_truth(ThresholdRule::KeepTrue(0.75)), 0.3);
        assert_eq!(at_truth(ThresholdRule::KeepTrue(0.74)), 0.3);
        assert_eq!(at_truth(ThresholdRule::KeepTrue(0.0)), 0.0);
        assert_eq!(at_truth(ThresholdRule::Cost(1.0)), 0.5);
        assert_eq!(at_truth(ThresholdRule::Cost(4.0)), 0.8);
        assert_eq!(at_truth(ThresholdRule::MaxLostObjects(0.1)), 1.0);
        assert_eq!(at(ThresholdRule::KeepTrue(0.9), &[0.2], &[true]), 0.5);
    }

    /// The highest candidate that keeps few enough, found by trying all of them.
    fn highest_by_trying(rate: f64, n_images: usize, segments: &[(f64, bool)]) -> f64 {
        let n_kept = |threshold: f64| {
            let kept = segments.iter().filter(|s| s.1 && s.0 <= threshold);
            kept.count() as f64
        };
        let candidates = segments.iter().map(|s| s.0).chain([0.0, 1.0]);
        let enough = candidates.filter(|&t| t >= 0.0 && n_kept(t) <= rate * n_images as f64);
        enough.fold(0.0, f64::max)
    }

    #[test]
    fn a_budget_of_false_alarms_is_kept_and_each_image_is_judged_by_the_others() {
        let ids: Vec<String> = (0..60).map(|i| format!("{:02}", i / 5)).collect();
        for seed in 0..20 {
            // few different values, so that many are equal, 0 and 1 among them
            let number = |i: usize, n: usize| (i * 7919 + seed * 104_729 + i * i * 31) / 3 % n;
            let probs: Vec<f64> = (0..60).map(|i| number(i, 9) as f64 / 8.0).collect();
            let truth: Vec<bool> = (0..60).map(|i| number(i, 7) < 4).collect();
            let learned: Vec<bool> = (0..60).map(|i| number(i, 11) > 0).collect();
            let pairs: Vec<(f64, bool)> = (0..60)
                .map(|i| {
                    if learned[i] {
                        probs[i]
                    } else {
                        f64::NEG_INFINITY
                    }
                })
                .zip(truth.iter().copied())
                .collect();
            // two images have no segments
            let n_images = 14;
            for rate in [0.0, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 10.0] {
                let found = ThresholdRule::FalseAlarmsPerImage(rate).thresholds(HeldOut {
                    sample_ids: &ids,
                    probs: &probs,
                    is_learned: &learned,
                    n_images,
                    is_false_positive: &truth,
                    objects: &[],
                });
                assert_eq!(found.of_model, highest_by_trying(rate, n_images, &pairs));
                for (i, id) in ids.iter().enumerate() {
                    let others = pairs.iter().zip(&ids).filter(|(_, other)| *other != id);
                    let others: Vec<_> = others.map(|(pair, _)| *pair).collect();
                    let expected = highest_by_trying(rate, n_images - 1, &others);
                    assert_eq!(found.of_rows[i], expected, "{rate} {id}");
                }
            }
        }
    }

    /// Images a to e with one object each, and a second one in e.
    fn lost(share: f64) -> Thresholds {
        let ids = ["a", "a", "b", "c", "d", "e", "e", "f"].map(str::to_owned);
        let objects = [
            ("a", 0.9),
            ("b", 0.2),
            ("c", 0.4),
            ("d", f64::NEG_INFINITY),
            ("e", 0.8),
            ("e", 0.3),
        ];
        let objects = objects.map(|(sample, prob)| (sample.to_owned(), prob));
        ThresholdRule::MaxLostObjects(share).thresholds(HeldOut {
            sample_ids: &ids,
            probs: &[0.5; 8],
            is_learned: &[true; 8],
            n_images: 6,
            is_false_positive: &[true; 8],
            objects: &objects,
        })
    }

    #[test]
    fn few_objects_are_lost_and_each_image_is_judged_by_the_others() {
        let none = lost(0.0);
        assert_eq!(none.of_model, 0.9);
        assert_eq!(none.of_rows, [0.8, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]);
        // one of six objects, and one of the five or four others
        let one = lost(0.25);
        assert_eq!(one.of_model, 0.8);
        assert_eq!(one.of_rows, [0.4, 0.4, 0.8, 0.8, 0.8, 0.4, 0.4, 0.8]);
        // objects that cannot be lost, and all objects
        assert_eq!(lost(5.0 / 6.0).of_model, 0.0);
        assert_eq!(lost(1.0).of_model, 0.0);
        // 0.29 times 100 is less than 29 in floating point
        let probs = (0..100).rev().map(f64::from);
        assert_eq!(lowest_threshold(0.29, 100, probs), 70.0);
    }
}
