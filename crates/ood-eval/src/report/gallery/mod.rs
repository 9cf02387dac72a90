//! The gallery: pictures of the samples with the most errors.

mod sample;

use std::cmp::Reverse;

use anyhow::{Context, Result};
use rayon::prelude::*;
use stage_cli::Progress;

pub(super) use self::sample::{SampleView, Samples};

use super::member::Member;

/// Views of the `n` worst samples, worst first.
///
/// # Errors
/// Returns an error if the labels do not have a sample, or if a picture cannot be read or written.
pub(super) fn worst_samples(samples: &Samples<'_>, n: usize) -> Result<Vec<SampleView>> {
    let dataset = samples.dataset;
    let ids = samples.members.last().map(|last| worst_ids(last, n));
    let ids = ids.unwrap_or_default();
    let progress = Progress::new(&format!("gallery {dataset}"), ids.len() as u64, "samples");
    let views = ids.into_par_iter().map(|id| {
        let view = samples.view(id);
        progress.advance(1);
        view.with_context(|| format!("could not draw sample {id} of {dataset}"))
    });
    let views = views.collect();
    progress.finish();
    views
}

/// Ids of the `n` worst samples of a run with its meta classifier: those with the most missed objects, among them those with the
/// most false alarms, among them by id.
fn worst_ids<'a>(member: &'a Member<'_>, n: usize) -> Vec<&'a str> {
    let mut ranked: Vec<_> = member.all_errors().collect();
    ranked.sort_by_key(|&(id, e)| (Reverse(e.false_negatives), Reverse(e.false_positives), id));
    ranked.into_iter().take(n).map(|(id, _)| id).collect()
}
