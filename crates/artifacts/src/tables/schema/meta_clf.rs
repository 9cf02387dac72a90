//! Tables of `meta-clf`.

use super::table::{Field, Table};
use crate::classes::ClassSet;
use crate::tables::columns::{ADJUSTED_IOU, IS_FALSE_POSITIVE, IS_REJECTED, SAMPLE_ID, SEGMENT_ID};
use crate::tables::features::class_of;

/// What the meta classifier decides about each segment, sorted by `sample_id`, `segment_id`.
pub fn decisions() -> Table {
    Table {
        name: "decisions",
        written_by: "meta-clf",
        rows: "One row for each row of segments, sorted by `sample_id` and `segment_id`.",
        columns: vec![
            Field::string(SAMPLE_ID, "sample"),
            Field::u32(SEGMENT_ID, "segment"),
            Field::bool(IS_FALSE_POSITIVE, "the truth, as in segments").of_truth(),
            Field::f64(
                "false_positive_prob",
                "predicted probability of a false positive, in [0, 1]: held-out predictions by `fit`, those of the given model by `apply`, 0.5 if the training data had one class only",
            ),
            Field::bool(
                IS_REJECTED,
                "whether the segment is dropped: the probability is above the threshold, and the training data had both classes; with `fit --max-lost-objects` or `--false-alarms-per-image` the threshold of an image is the one that all other images give",
            ),
        ],
    }
}

/// The meta classifier's coefficients, in the order of the metrics, the intercept last.
pub fn coefficients() -> Table {
    Table {
        name: "coefficients",
        written_by: "meta-clf fit",
        rows: "Coefficients of the logistic regression: one row for each metric in the order of segments, then the intercept.",
        columns: vec![
            Field::string("feature", "metric, or `intercept`"),
            Field::f64(
                "coefficient",
                "log odds of a false positive per standard deviation of the metric",
            ),
            Field::f64(
                "standard_error",
                "standard error of the coefficient, from the inverse Hessian of the regularized objective",
            ),
            Field {
                is_added: true,
                ..Field::optional_string(
                    "class",
                    "name of the class that the metric is about; missing where it is about no single class",
                )
            },
        ],
    }
}

/// Correlation of each pair of metrics.
pub fn correlations() -> Table {
    Table {
        name: "correlations",
        written_by: "meta-clf fit",
        rows: "One row for each pair of metrics.",
        columns: vec![
            Field::string("feature", "metric"),
            Field::string("other_feature", "metric"),
            Field::f64(
                "correlation",
                "Pearson correlation, in [-1, 1]; 0 if one of the two is constant",
            ),
        ],
    }
}

/// What each metric adds to the log odds of a segment, sorted by `sample_id`, `segment_id`. The description of a column in the file
/// names the class that its metric is about.
pub fn contributions(features: &[String], classes: Option<&ClassSet>) -> Table {
    let mut columns = vec![
        Field::string(SAMPLE_ID, "sample"),
        Field::u32(SEGMENT_ID, "segment"),
        Field::f64("intercept", "the same for all segments, nats"),
    ];
    let term = |name: &String| {
        let class = class_of(name).and_then(|class| classes?.names().nth(class));
        let about = class.map_or_else(String::new, |class| format!(" (class: {class})"));
        let meaning = format!("what this metric adds to the log odds, nats{about}");
        Field::f64(name, &meaning)
    };
    columns.extend(features.iter().map(term));
    Table {
        name: "contributions",
        written_by: "meta-clf fit or apply with --explain",
        rows: "One row for each segment, sorted by `sample_id` and `segment_id`. The numbers of a row add up to the log odds of a false positive.",
        columns,
    }
}

/// Coefficients of logistic regressions with falling L1 penalties, in the order of the penalties and metrics.
pub fn l1_path() -> Table {
    Table {
        name: "l1_path",
        written_by: "meta-clf fit --classifier l1",
        rows: "Coefficients of logistic regressions with falling L1 penalties: one row for each penalty and metric, in this order.",
        columns: vec![
            Field::f64("penalty", "weight of the sum of absolute coefficients"),
            Field::f64(
                "bic",
                "Bayesian information criterion with this penalty, nats",
            ),
            Field::bool(
                "is_chosen",
                "whether this penalty has the lowest information criterion",
            ),
            Field::string("feature", "metric, or `intercept`"),
            Field::f64(
                "coefficient",
                "log odds of a false positive per standard deviation of the metric",
            ),
        ],
    }
}

/// Predicted adjusted `IoU` of each segment, sorted by `sample_id`, `segment_id`.
pub fn regression() -> Table {
    Table {
        name: "regression",
        written_by: "meta-clf fit --regress",
        rows: "One row for each segment, sorted by `sample_id` and `segment_id`.",
        columns: vec![
            Field::string(SAMPLE_ID, "sample"),
            Field::u32(SEGMENT_ID, "segment"),
            Field::f64(ADJUSTED_IOU, "the truth, in [0, 1]").of_truth(),
            Field::f64(
                "predicted_iou",
                "prediction of a linear regression, not limited to [0, 1]: held out by `fit`, that of the given model by `apply`",
            ),
        ],
    }
}
