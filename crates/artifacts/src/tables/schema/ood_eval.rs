//! Tables of `ood-eval`.

use super::segment_metrics::sample_pixels;
use super::table::{Field, RANKED_IMAGES, Table};
use crate::tables::columns::SAMPLE_ID;

/// Pixels for each pair of true and predicted class, all pairs, sorted; tables of shards add up.
pub fn confusion() -> Table {
    Table {
        name: "confusion",
        written_by: "ood-eval closed-set",
        rows: "One row for each pair of classes, pairs without pixels included, sorted by `true_class` and `predicted_class`. Counts of disjoint sets of samples can be added.",
        columns: vec![
            Field::u8(
                "true_class",
                "train id of the label; void pixels are left out",
            ),
            Field::u8("predicted_class", "train id of the predicted class"),
            Field::u64("n_pixels", "pixels"),
        ],
    }
}

/// Pixels of known classes by the network's confidence, the largest softmax probability.
pub fn calibration() -> Table {
    Table {
        name: "calibration",
        written_by: "ood-eval closed-set --force",
        rows: "One row for each of 15 bins of the confidence (the largest softmax probability), sorted by `bin`. Counts of disjoint sets of samples can be added.",
        columns: vec![
            Field::u32("bin", "confidence times 15, rounded down, at most 14"),
            Field::u64("n_pixels", "pixels that are not void"),
            Field::u64("n_right", "those of them whose predicted class is right"),
            Field::u64(
                "confidence",
                "sum of their confidences in units of 2^-24, each rounded to such a unit",
            ),
        ],
    }
}

/// Pixel metrics of single images, in the order of the runs, sorted by `dataset`, `sample_id` and the order of the scores.
pub fn images() -> Table {
    let mut columns = vec![
        Field::string("run", "name of the run"),
        Field::string("dataset", "data set"),
    ];
    let of_samples = sample_pixels().columns;
    columns.extend(of_samples.into_iter().filter(|f| !f.is_list()));
    Table {
        name: "images",
        written_by: "ood-eval evaluate",
        rows: "One row for each run, data set, sample and score: runs in the order in which they were given, then sorted by `dataset`, `sample_id` and the order of the scores. The same rows are in images.csv.",
        columns,
    }
}

/// Images by how likely they show an unknown object, the most suspicious first.
pub fn ranked_images() -> Table {
    Table {
        name: RANKED_IMAGES,
        written_by: "ood-eval detect",
        rows: "One row for each image, sorted by `rank`. The same rows are in images.csv.",
        columns: vec![
            Field::u32(
                "rank",
                "place of the image by suspicion, then by the number of kept segments and by their pixels, from 1",
            ),
            Field::string(SAMPLE_ID, "sample"),
            Field::string("image", "image file, relative to the folder of the images"),
            Field::optional_f64(
                "suspicion",
                "highest score of the kept segments; missing if there is none",
            ),
            Field::u64("n_kept", "segments that are kept"),
            Field::u64("n_rejected", "segments that the meta classifier rejects"),
            Field::f64("flagged_pixels", "pixels of the image in kept segments"),
            Field::f64(
                "flagged_share",
                "share of the image in kept segments, in [0, 1]",
            ),
            Field::string("overlay", "picture of the segments, relative to the output"),
        ],
    }
}
