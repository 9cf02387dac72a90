//! What the numbers and names in the tables of results are, in sentences.

use super::dataset::unknown_scores_of;
use crate::results::{ClosedSetResults, Results};

/// Sentences about all tables of `results`, as far as they have what is explained.
pub fn legend(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    let has_segments = !results.datasets.is_empty();
    if has_segments {
        lines.push("In percent, but for two counts: FP are false alarms (segments without an unknown pixel), FN are missed unknown objects. ↑: higher is better, ↓: lower is better.".to_owned());
        lines.push("AUROC, FPR95 and AUPRC rate single pixels, by the entropy unless the row names another score; sIoU, PPV and F1* rate segments and objects.".to_owned());
    }
    if !results.benchmark.is_empty() {
        lines.push("SegmentMeIfYouCan: AUPRC and FPR95 rate single pixels by the score in the column threshold; sIoU, PPV and F1* rate the segments at this threshold. All of them are in percent.".to_owned());
    }
    let mut rows = results.datasets.iter().flat_map(|d| &d.rows);
    if rows.any(|row| row.with_meta) {
        lines.push(
            "Rows with + meta are without the segments that the meta classifier rejects as false alarms."
                .to_owned(),
        );
    }
    if results.datasets.iter().any(|d| !d.froc.is_empty()) {
        lines.push("FROC: objects that are found, and their share in percent, if the most suspicious segments are kept, as many as give at most so many false alarms per image; all: if all segments are kept.".to_owned());
    }
    if has_segments && !results.closed_set.is_empty() {
        lines.push(format!(
            "mIoU and ECE (expected calibration error) are those of the known classes, on {}.",
            closed_sets(&results.closed_set)
        ));
    }
    if results.n_resamples > 0 && (has_segments || !results.benchmark.is_empty()) {
        lines.push(format!(
            "95 % intervals are from {} bootstrap resamples of the images.",
            results.n_resamples
        ));
    }
    let unknown = results.datasets.iter().filter_map(unknown_scores_of);
    for note in unknown {
        if !lines.contains(&note) {
            lines.push(note);
        }
    }
    lines
}

/// Names of the data sets of known classes.
fn closed_sets(all: &[ClosedSetResults]) -> String {
    let mut names: Vec<&str> = all.iter().map(|results| &*results.dataset).collect();
    names.dedup();
    names.join(", ")
}
