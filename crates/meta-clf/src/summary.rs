//! What a run prints to stdout.

use stage_cli::print_result;

use crate::estimate::Estimate;
use crate::results::Outcome;
use crate::scores::{RegressionScores, Scores};

/// Prints what is known of predictions that were made in the way that `evaluation` names.
pub fn print(evaluation: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Judged(scores) => print_scores(evaluation, scores),
        Outcome::Counted(counts) => print_result(format_args!(
            "{} segments in {} images without labels; {evaluation}: keeps {} and drops {} at threshold {:.4}",
            counts.n_segments, counts.n_images, counts.kept, counts.rejected, counts.threshold
        )),
    }
}

/// Prints what a budget of `rate` false alarms in each of `n_images` gives and costs.
pub fn print_budget(rate: f64, n_images: usize, scores: &Scores) {
    let r = scores.rejection;
    print_result(format_args!(
        "keeps {:.4} false alarms per image ({} in {n_images} images) of {rate} allowed, for which {} of {} objects are lost",
        r.false_positives_kept as f64 / n_images.max(1) as f64,
        r.false_positives_kept,
        r.objects_newly_missed,
        r.objects_found
    ));
}

fn print_scores(evaluation: &str, scores: &Scores) {
    let r = scores.rejection;
    print_result(format_args!(
        "{} segments, {} false positives; {evaluation}: AUROC {}, AUPRC {}, accuracy {}\n\
         95 % of {} resamples of the images: AUROC {}, AUPRC {}, accuracy {}; calibration error {}\n\
         drops {} of {} false positive segments and loses {} of {} objects at threshold {:.4}",
        scores.n_segments,
        r.false_positives,
        number(scores.auroc.value),
        number(scores.auprc.value),
        number(scores.accuracy.value),
        scores.n_resamples,
        interval(scores.auroc),
        interval(scores.auprc),
        interval(scores.accuracy),
        number(scores.calibration_error.value),
        r.false_positives - r.false_positives_kept,
        r.false_positives,
        r.objects_newly_missed,
        r.objects_found,
        scores.threshold,
    ));
    if let Some(regression) = scores.regression {
        print_regression(regression);
    }
}

fn print_regression(scores: RegressionScores) {
    print_result(format_args!(
        "adjusted IoU: R2 {} ({}), correlation {} ({}), mean absolute error {} ({})",
        number(scores.r2.value),
        interval(scores.r2),
        number(scores.correlation.value),
        interval(scores.correlation),
        number(scores.mean_absolute_error.value),
        interval(scores.mean_absolute_error),
    ));
}

fn interval(estimate: Estimate) -> String {
    format!("{} to {}", number(estimate.low), number(estimate.high))
}

/// A dash stands for what is not defined.
fn number(x: Option<f64>) -> String {
    x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"))
}
