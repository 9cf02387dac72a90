//! The gallery: pictures of the worst, of typical and of the best samples.

mod budget;
mod heat;
mod ranking;
mod sample;

use anyhow::{Context, Result};
use rayon::prelude::*;
use stage_cli::Progress;

pub(super) use self::budget::{Weight, fit};
pub(super) use self::sample::{SampleView, Samples};

use self::ranking::ranked;

/// Views of at most `n` samples by how good the last run is on them: the worst first, the best last.
///
/// # Errors
/// Returns an error if the labels do not have a sample, or if a picture cannot be read or written.
pub(super) fn gallery(samples: &Samples<'_>, n: usize) -> Result<Vec<SampleView>> {
    let dataset = samples.dataset;
    let last = samples.members.last();
    let ranked = last.map(|last| ranked(last.all_errors(), n));
    let ranked = ranked.unwrap_or_default();
    let progress = Progress::new(
        &format!("gallery {dataset}"),
        ranked.len() as u64,
        "samples",
    );
    let views = ranked.into_par_iter().map(|(id, rank)| {
        let view = samples.view(id, rank);
        progress.advance(1);
        view.with_context(|| format!("could not draw sample {id} of {dataset}"))
    });
    let views = views.collect();
    progress.finish();
    views
}
