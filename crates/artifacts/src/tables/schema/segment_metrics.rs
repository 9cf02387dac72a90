//! Tables of `segment-metrics`.

use polars::prelude::DataType;

use super::table::{Field, Table};
use crate::basis::Basis;
use crate::tables::columns::{
    ADJUSTED_IOU, IS_FALSE_POSITIVE, N_IN, N_OUT, OBJECT_ID, SAMPLE_ID, SCORE, SEGMENT_ID,
};
use crate::tables::features::features_of;

/// Predicted segments with their metrics, sorted by `sample_id`, `segment_id`, measured from logits of `num_classes` classes.
pub fn segments(num_classes: usize) -> Table {
    segments_of(Basis::logits(num_classes))
}

/// Predicted segments with the metrics that `basis` gives.
pub fn segments_of(basis: Basis) -> Table {
    let mut columns = vec![
        Field::string(SAMPLE_ID, "sample"),
        Field::u32(
            SEGMENT_ID,
            "number of the segment in the component map, from 1",
        ),
        Field::f64(
            ADJUSTED_IOU,
            "adjusted IoU with the true objects of the image, in [0, 1]",
        )
        .of_truth(),
        Field::bool(
            IS_FALSE_POSITIVE,
            "whether no pixel of the segment is out-of-distribution",
        )
        .of_truth(),
    ];
    let metrics = features_of(basis);
    columns.extend(metrics.iter().map(|f| Field::f64(&f.name, &f.meaning)));
    Table {
        name: "segments",
        written_by: "segment-metrics",
        rows: "One row for each predicted segment, sorted by `sample_id` and `segment_id`.",
        columns,
    }
}

/// True out-of-distribution objects, sorted by `sample_id`, `object_id`.
pub fn objects() -> Table {
    Table {
        name: "objects",
        written_by: "segment-metrics",
        rows: "One row for each true out-of-distribution object, sorted by `sample_id` and `object_id`.",
        columns: vec![
            Field::string(SAMPLE_ID, "sample"),
            Field::u32(
                OBJECT_ID,
                "number of the object, from 1 in row-major order of first pixels",
            ),
            Field::f64(
                ADJUSTED_IOU,
                "adjusted IoU with the predicted segments, in [0, 1]",
            ),
            Field::bool(
                "is_false_negative",
                "whether no predicted segment overlaps the object",
            ),
            Field::f64(
                "recall",
                "share of the object's pixels that are in predicted segments, in [0, 1]",
            ),
            Field::u64("size", "pixels"),
            Field::f64("centroid_row", "mean row, pixels from the top, from 0"),
            Field::f64("centroid_col", "mean column, pixels from the left, from 0"),
        ],
    }
}

/// Intersections of predicted segments and true objects, sorted by all keys.
pub fn overlaps() -> Table {
    Table {
        name: "overlaps",
        written_by: "segment-metrics",
        rows: "One row for each pair of a predicted segment and a true object that share pixels, sorted by `sample_id`, `segment_id` and `object_id`.",
        columns: vec![
            Field::string(SAMPLE_ID, "sample"),
            Field::u32(SEGMENT_ID, "predicted segment"),
            Field::u32(OBJECT_ID, "true object"),
            Field::u64("n_pixels", "pixels in both, at least 1"),
        ],
    }
}

/// One row for each sample: what there was to be found, sorted by `sample_id`.
pub fn samples() -> Table {
    Table {
        name: "samples",
        written_by: "segment-metrics",
        rows: "One row for each evaluated sample, sorted by `sample_id`.",
        columns: vec![
            Field::string(SAMPLE_ID, "sample"),
            Field::u32(
                "height",
                "rows of the mask, or of the logits' output without labels",
            ),
            Field::u32("width", "columns of the same"),
            Field::u64(N_IN, "in-distribution pixels").of_truth(),
            Field::u64(N_OUT, "out-of-distribution pixels").of_truth(),
            Field::u64("n_ignored", "all other pixels: unrated and void").of_truth(),
            Field::u32("n_segments", "predicted segments"),
            Field::u32("n_objects", "true objects").of_truth(),
        ],
    }
}

/// Histograms of pixel scores over all samples, non-empty bins only, sorted by all keys; histograms of shards add up.
pub fn pixel_counts() -> Table {
    Table {
        name: "pixel_counts",
        written_by: "segment-metrics",
        rows: "Histograms of the pixel scores over all samples: one row for each bin that has pixels, sorted by `score` (alphabetically), `has_ood` (false first) and `bin`. Counts of disjoint sets of samples can be added.",
        columns: vec![
            Field::string(
                SCORE,
                "`energy`, `entropy`, `margin`, `max_logit` or `max_softmax`, which are those of logits, or `adopted`, the score of another method",
            ),
            Field::bool(
                "has_ood",
                "whether the pixels are from images that have out-of-distribution pixels",
            ),
            Field::u32(
                "bin",
                "score bin (see Score bins); larger for larger scores",
            ),
            Field::u64(N_IN, "in-distribution pixels"),
            Field::u64(N_OUT, "out-of-distribution pixels"),
        ],
    }
}

/// Pixel metrics and a coarse histogram of each sample and score, sorted by `sample_id` and the order of the scores.
pub fn sample_pixels() -> Table {
    Table {
        name: "sample_pixels",
        written_by: "segment-metrics",
        rows: "One row for each sample and score, sorted by `sample_id`, then by score in the order `entropy`, `max_softmax`, `max_logit`, `energy`, `margin`, `adopted`; every sample has the same scores.",
        columns: vec![
            Field::string(SAMPLE_ID, "sample"),
            Field::string(SCORE, "score, one of the names of pixel_counts"),
            Field::u64(N_IN, "in-distribution pixels"),
            Field::u64(N_OUT, "out-of-distribution pixels"),
            Field::optional_f64(
                "auroc",
                "area under the ROC curve of this image, from the fine histogram; missing, like the next two, if the image lacks pixels of one of the two kinds",
            ),
            Field::optional_f64("auprc", "average precision of this image"),
            Field::optional_f64(
                "fpr95",
                "false positive rate of this image at a true positive rate of 95 %",
            ),
            Field {
                is_added: true,
                ..Field::optional_f64(
                    "max_score",
                    "highest score of the rated pixels, as the score of least magnitude in its bin; missing, like the next one, if no pixel is rated; older files lack both columns",
                )
            },
            Field {
                is_added: true,
                ..Field::optional_f64(
                    "mean_score",
                    "mean score of the rated pixels, each as the score of least magnitude in its bin",
                )
            },
            Field::list(
                "coarse_bins",
                DataType::UInt32,
                "coarse bins that have pixels, ascending; a coarse bin is the score bin divided by 512, rounded down",
            ),
            Field::list(
                "bins_in",
                DataType::UInt64,
                "in-distribution pixels in each of these bins",
            ),
            Field::list(
                "bins_out",
                DataType::UInt64,
                "out-of-distribution pixels in each of these bins",
            ),
        ],
    }
}
