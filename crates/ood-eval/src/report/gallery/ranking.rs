//! Which samples the gallery shows: the worst, the typical and the best ones of a run.

use std::cmp::Reverse;

use serde::Serialize;

use crate::metrics::segment_totals::SampleErrors;

/// Why a sample is in the gallery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rank {
    /// One of those with the most errors.
    Worst,
    /// One in the middle.
    Typical,
    /// One of those with the fewest errors, and among them with the most found objects.
    Best,
}

/// At most `n` samples, a third of them of each rank: the worst ones with the worst first, then the typical ones, then the best ones
/// with the best first.
///
/// Samples are ordered by missed objects, then by false alarms, then by found objects, then by id. With few samples each has the
/// rank of its place.
pub(super) fn ranked<'a>(
    samples: impl Iterator<Item = (&'a str, SampleErrors)>,
    n: usize,
) -> Vec<(&'a str, Rank)> {
    let mut all: Vec<_> = samples.collect();
    all.sort_by_key(|&(id, e)| {
        let n_found = e.n_objects - e.false_negatives;
        (
            Reverse(e.false_negatives),
            Reverse(e.false_positives),
            n_found,
            id,
        )
    });
    let n = n.min(all.len());
    let n_worst = n.div_ceil(3);
    let n_best = (n - n_worst).div_ceil(2);
    let n_typical = n - n_worst - n_best;
    let first_typical = n_worst + (all.len() - n) / 2;
    let ids = |from: usize, n: usize| all[from..from + n].iter().map(|&(id, _)| id);
    let worst = ids(0, n_worst).map(|id| (id, Rank::Worst));
    let typical = ids(first_typical, n_typical).map(|id| (id, Rank::Typical));
    let best = ids(all.len() - n_best, n_best).rev();
    let best = best.map(|id| (id, Rank::Best));
    worst.chain(typical).chain(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: &str, n_objects: u64, missed: u64, alarms: u64) -> (&str, SampleErrors) {
        let errors = SampleErrors {
            n_objects,
            false_negatives: missed,
            false_positives: alarms,
            ..SampleErrors::default()
        };
        (id, errors)
    }

    #[test]
    fn a_third_of_each_rank() {
        // from worst to best: c, e, b, f, a, d
        let samples = [
            sample("a", 1, 0, 0),
            sample("b", 2, 1, 0),
            sample("c", 3, 2, 0),
            sample("d", 4, 0, 0),
            sample("e", 1, 1, 9),
            sample("f", 1, 0, 3),
        ];
        let of = |n| -> Vec<String> {
            let ranked = ranked(samples.into_iter(), n).into_iter();
            ranked.map(|(id, rank)| format!("{id} {rank:?}")).collect()
        };
        assert!(of(0).is_empty());
        assert_eq!(of(1), ["c Worst"]);
        assert_eq!(of(2), ["c Worst", "d Best"]);
        assert_eq!(of(3), ["c Worst", "b Typical", "d Best"]);
        let all = [
            "c Worst",
            "e Worst",
            "b Typical",
            "f Typical",
            "d Best",
            "a Best",
        ];
        assert_eq!(of(6), all);
        assert_eq!(of(100), all);
        assert!(ranked(std::iter::empty(), 5).is_empty());
    }
}
