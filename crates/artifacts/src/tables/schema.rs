//! The tables: columns, types, keys and who writes them.

use polars::prelude::DataType;

use super::features::segment_features;

/// A table's schema.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name, which is also the file's stem.
    pub name: &'static str,
    /// Command that writes it.
    pub written_by: &'static str,
    /// Columns in order; further columns may follow.
    pub columns: Vec<Field>,
}

/// One column.
#[derive(Clone, Debug)]
pub struct Field {
    /// Column name.
    pub name: String,
    /// Type.
    pub dtype: DataType,
    /// Whether values may be missing.
    pub nullable: bool,
    /// What it holds, with its unit.
    pub meaning: String,
}

fn field(name: &str, dtype: DataType, meaning: &str) -> Field {
    Field {
        name: name.to_owned(),
        dtype,
        nullable: false,
        meaning: meaning.to_owned(),
    }
}

impl Table {
    /// File name, e.g. `segments.parquet`.
    pub fn file_name(&self) -> String {
        format!("{}.parquet", self.name)
    }

    /// One line a column: name, type, meaning.
    pub fn description(&self) -> String {
        let line = |f: &Field| format!("{} ({}): {}", f.name, f.dtype, f.meaning);
        self.columns.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Predicted segments with their metrics, sorted by `sample_id`, `segment_id`.
pub fn segments(num_classes: usize) -> Table {
    let mut columns = vec![
        field("sample_id", DataType::String, "sample"),
        field(
            "segment_id",
            DataType::UInt32,
            "number of the segment in the component map, from 1",
        ),
        field(
            "adjusted_iou",
            DataType::Float64,
            "adjusted IoU with the out-of-distribution objects, in [0, 1]",
        ),
        field(
            "is_false_positive",
            DataType::Boolean,
            "whether no pixel of the segment is out-of-distribution",
        ),
    ];
    columns.extend(
        segment_features(num_classes)
            .into_iter()
            .map(|f| field(&f.name, DataType::Float64, &f.meaning)),
    );
    Table {
        name: "segments",
        written_by: "segment-metrics",
        columns,
    }
}

/// True out-of-distribution objects, sorted by `sample_id`, `object_id`.
pub fn objects() -> Table {
    Table {
        name: "objects",
        written_by: "segment-metrics",
        columns: vec![
            field("sample_id", DataType::String, "sample"),
            field(
                "object_id",
                DataType::UInt32,
                "number of the object, from 1 in row-major order of first pixels",
            ),
            field(
                "adjusted_iou",
                DataType::Float64,
                "adjusted IoU with the predicted segments, in [0, 1]",
            ),
            field(
                "is_false_negative",
                DataType::Boolean,
                "whether no predicted segment meets the object",
            ),
            field(
                "recall",
                DataType::Float64,
                "share of the object's pixels that are predicted",
            ),
            field("size", DataType::UInt64, "pixels"),
            field(
                "centroid_row",
                DataType::Float64,
                "mean row, pixels from the top",
            ),
            field(
                "centroid_col",
                DataType::Float64,
                "mean column, pixels from the left",
            ),
        ],
    }
}

/// Intersections of predicted segments and true objects, sorted by all keys.
pub fn overlaps() -> Table {
    Table {
        name: "overlaps",
        written_by: "segment-metrics",
        columns: vec![
            field("sample_id", DataType::String, "sample"),
            field("segment_id", DataType::UInt32, "segment"),
            field("object_id", DataType::UInt32, "object"),
            field("n_pixels", DataType::UInt64, "pixels in both"),
        ],
    }
}

/// Pooled histograms of pixel scores, non-empty bins only, sorted by all keys; histograms of shards add up.
pub fn pixel_counts() -> Table {
    Table {
        name: "pixel_counts",
        written_by: "segment-metrics",
        columns: vec![
            field(
                "score",
                DataType::String,
                "score, see artifacts::scores::Score",
            ),
            field(
                "has_ood",
                DataType::Boolean,
                "whether the images of this row have out-of-distribution pixels",
            ),
            field(
                "bin",
                DataType::UInt32,
                "bin, see artifacts::score_bins; grows with the score",
            ),
            field("n_in", DataType::UInt64, "in-distribution pixels"),
            field("n_out", DataType::UInt64, "out-of-distribution pixels"),
        ],
    }
}

/// Pixel figures and a coarse histogram of each sample and score, sorted by `sample_id` and the order of the scores.
pub fn sample_pixels() -> Table {
    let figure = |name: &str, meaning: &str| Field {
        nullable: true,
        ..field(name, DataType::Float64, meaning)
    };
    let counts = |name: &str, dtype: DataType, meaning: &str| {
        field(name, DataType::List(Box::new(dtype)), meaning)
    };
    Table {
        name: "sample_pixels",
        written_by: "segment-metrics --force",
        columns: vec![
            field("sample_id", DataType::String, "sample"),
            field(
                "score",
                DataType::String,
                "score, see artifacts::scores::Score",
            ),
            field("n_in", DataType::UInt64, "in-distribution pixels"),
            field("n_out", DataType::UInt64, "out-of-distribution pixels"),
            figure(
                "auroc",
                "area under the ROC curve; missing without pixels of both kinds, as the others",
            ),
            figure("auprc", "average precision"),
            figure(
                "fpr95",
                "false positive rate at a true positive rate of 0.95",
            ),
            counts(
                "coarse_bins",
                DataType::UInt32,
                "bins with pixels, ascending, each of 512 of artifacts::score_bins",
            ),
            counts(
                "bins_in",
                DataType::UInt64,
                "in-distribution pixels of each of these bins",
            ),
            counts(
                "bins_out",
                DataType::UInt64,
                "out-of-distribution pixels of each of these bins",
            ),
        ],
    }
}

/// Pixel figures of single images, in the order of the runs, sorted by `dataset`, `sample_id` and the order of the scores.
pub fn images() -> Table {
    let of_samples = sample_pixels().columns;
    let mut columns = vec![
        field("run", DataType::String, "run"),
        field("dataset", DataType::String, "data set"),
    ];
    let is_list = |f: &Field| matches!(f.dtype, DataType::List(_));
    columns.extend(of_samples.into_iter().filter(|f| !is_list(f)));
    Table {
        name: "images",
        written_by: "ood-eval evaluate",
        columns,
    }
}

/// One row per sample: what was there to be found, sorted by `sample_id`.
pub fn samples() -> Table {
    Table {
        name: "samples",
        written_by: "segment-metrics",
        columns: vec![
            field("sample_id", DataType::String, "sample"),
            field("height", DataType::UInt32, "rows of the mask"),
            field("width", DataType::UInt32, "columns of the mask"),
            field("n_in", DataType::UInt64, "in-distribution pixels"),
            field("n_out", DataType::UInt64, "out-of-distribution pixels"),
            field("n_ignored", DataType::UInt64, "pixels that are not rated"),
            field("n_segments", DataType::UInt32, "predicted segments"),
            field("n_objects", DataType::UInt32, "true objects"),
        ],
    }
}

/// What the meta classifier decides of each segment, sorted by `sample_id`, `segment_id`.
pub fn decisions() -> Table {
    Table {
        name: "decisions",
        written_by: "meta-clf",
        columns: vec![
            field("sample_id", DataType::String, "sample"),
            field("segment_id", DataType::UInt32, "segment"),
            field("is_false_positive", DataType::Boolean, "the truth"),
            field(
                "false_positive_prob",
                DataType::Float64,
                "predicted probability of a false positive, held out",
            ),
            field(
                "is_rejected",
                DataType::Boolean,
                "whether the segment is dropped",
            ),
        ],
    }
}

/// The meta classifier's coefficients, in the order of the features, last the intercept.
pub fn coefficients() -> Table {
    Table {
        name: "coefficients",
        written_by: "meta-clf fit",
        columns: vec![
            field("feature", DataType::String, "metric, or `intercept`"),
            field(
                "coefficient",
                DataType::Float64,
                "log odds of a false positive per standard deviation",
            ),
            field(
                "standard_error",
                DataType::Float64,
                "of the coefficient, from the curvature of the regularized objective",
            ),
        ],
    }
}

/// Correlations of each pair of features.
pub fn correlations() -> Table {
    Table {
        name: "correlations",
        written_by: "meta-clf fit",
        columns: vec![
            field("feature", DataType::String, "metric"),
            field("other_feature", DataType::String, "metric"),
            field(
                "correlation",
                DataType::Float64,
                "Pearson's, in [-1, 1]; 0 with a constant metric",
            ),
        ],
    }
}

/// What each feature adds to the log odds of a segment, sorted by `sample_id`, `segment_id`.
pub fn contributions(features: &[String]) -> Table {
    let mut columns = vec![
        field("sample_id", DataType::String, "sample"),
        field("segment_id", DataType::UInt32, "segment"),
        field("intercept", DataType::Float64, "the same for all, nats"),
    ];
    let share = |f: &String| field(f, DataType::Float64, "share of the log odds, nats");
    columns.extend(features.iter().map(share));
    Table {
        name: "contributions",
        written_by: "meta-clf fit or apply with --explain",
        columns,
    }
}

/// Coefficients of logistic regressions with falling L1 penalties, in the order of the penalties and features.
pub fn l1_path() -> Table {
    Table {
        name: "l1_path",
        written_by: "meta-clf fit --classifier l1",
        columns: vec![
            field("penalty", DataType::Float64, "weight of the sum of sizes"),
            field(
                "bic",
                DataType::Float64,
                "Bayesian information criterion with this penalty, nats",
            ),
            field("is_chosen", DataType::Boolean, "whether bic is the least"),
            field("feature", DataType::String, "metric, or `intercept`"),
            field(
                "coefficient",
                DataType::Float64,
                "log odds of a false positive per standard deviation",
            ),
        ],
    }
}

/// Predicted adjusted `IoU` of each segment, sorted by `sample_id`, `segment_id`.
pub fn regression() -> Table {
    Table {
        name: "regression",
        written_by: "meta-clf fit --regress",
        columns: vec![
            field("sample_id", DataType::String, "sample"),
            field("segment_id", DataType::UInt32, "segment"),
            field("adjusted_iou", DataType::Float64, "the truth, in [0, 1]"),
            field(
                "predicted_iou",
                DataType::Float64,
                "predicted by linear regression, held out; not confined to [0, 1]",
            ),
        ],
    }
}

/// Pixels per pair of true and predicted class, all pairs, sorted; tables of shards add up.
pub fn confusion() -> Table {
    Table {
        name: "confusion",
        written_by: "ood-eval closed-set",
        columns: vec![
            field("true_class", DataType::UInt8, "train id of the label"),
            field("predicted_class", DataType::UInt8, "predicted train id"),
            field("n_pixels", DataType::UInt64, "pixels"),
        ],
    }
}

/// Pixels of known classes by the network's confidence, the largest softmax probability.
pub fn calibration() -> Table {
    Table {
        name: "calibration",
        written_by: "ood-eval closed-set --force",
        columns: vec![
            field("bin", DataType::UInt32, "confidence times 15, rounded down"),
            field("n_pixels", DataType::UInt64, "pixels that are not void"),
            field("n_right", DataType::UInt64, "those whose class is right"),
            field(
                "confidence",
                DataType::UInt64,
                "sum of their confidences in units of 2^-24",
            ),
        ],
    }
}

/// Figures of the network during a training, one row per look at the validation data sets.
pub fn train_validation() -> Table {
    let figure = |name: &str, meaning: &str| Field {
        nullable: true,
        ..field(name, DataType::Float64, meaning)
    };
    Table {
        name: "validation",
        written_by: "ood-train",
        columns: vec![
            field("step", DataType::UInt32, "optimizer steps done"),
            figure("mean_iou", "mean IoU of the known classes, in [0, 1]"),
            figure("pixel_accuracy", "share of right pixels, in [0, 1]"),
            figure(
                "entropy_in",
                "mean normalized entropy of in-distribution pixels",
            ),
            figure("entropy_out", "the same of out-of-distribution pixels"),
            figure("auroc", "of the entropy, in [0, 1]"),
            figure("auprc", "of the entropy, in [0, 1]"),
            figure("fpr95", "of the entropy, in [0, 1]"),
        ],
    }
}

/// Log of a training, one row per logged step.
pub fn train_log() -> Table {
    Table {
        name: "log",
        written_by: "ood-train",
        columns: vec![
            field("step", DataType::UInt32, "optimizer steps done"),
            field("epoch", DataType::UInt32, "epoch, from 0"),
            field(
                "loss",
                DataType::Float64,
                "objective on the batch of the step",
            ),
            field(
                "loss_in",
                DataType::Float64,
                "its part on in-distribution pixels",
            ),
            field(
                "loss_out",
                DataType::Float64,
                "its part on out-of-distribution pixels",
            ),
            field(
                "loss_distilled",
                DataType::Float64,
                "its weighed divergence from the network before",
            ),
            field(
                "learning_rate",
                DataType::Float64,
                "learning rate of the step",
            ),
        ],
    }
}
