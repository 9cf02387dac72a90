//! Tables of `ood-train`.

use super::table::{Field, Table};

/// Log of a training, one row for each interval between logged steps.
pub fn train_log() -> Table {
    Table {
        name: "log",
        written_by: "ood-train",
        rows: "One row every `--log-every` steps and one for the last step, sorted by `step`. Losses are means over the steps since the row before.",
        columns: vec![
            Field::u32("step", "optimizer steps done"),
            Field::u32("epoch", "epoch, from 0"),
            Field::f64(
                "loss",
                "mean training loss: the sum of the next three columns",
            ),
            Field::f64("loss_in", "its part on in-distribution pixels"),
            Field::f64("loss_out", "its part on out-of-distribution pixels"),
            Field::f64(
                "loss_distilled",
                "`--distill` times the divergence from the initial network; 0 without `--distill`",
            ),
            Field::f64("learning_rate", "learning rate of the step"),
        ],
    }
}

/// Metrics of the network during a training, one row for each validation run.
pub fn train_validation() -> Table {
    Table {
        name: "validation",
        written_by: "ood-train",
        rows: "One row every `--val-every` steps and one after the last step, sorted by `step`. Metrics whose data set was not given are missing. With several data sets of `--val` or `--val-ood`, a row of means over the data sets, then one row for each data set.",
        columns: vec![
            Field::u32("step", "optimizer steps done"),
            Field::optional_f64(
                "mean_iou",
                "mean IoU of the known classes on `--val`, in [0, 1]",
            ),
            Field::optional_f64(
                "pixel_accuracy",
                "share of pixels of `--val` whose class is right, in [0, 1]",
            ),
            Field::optional_f64(
                "entropy_in",
                "mean normalized entropy of in-distribution pixels, of `--val-ood` if it is given, else of `--val`",
            ),
            Field::optional_f64(
                "entropy_out",
                "mean normalized entropy of out-of-distribution pixels of `--val-ood`",
            ),
            Field::optional_f64("auroc", "AUROC of the entropy on `--val-ood`, in [0, 1]"),
            Field::optional_f64("auprc", "AUPRC of the entropy on `--val-ood`, in [0, 1]"),
            Field::optional_f64("fpr95", "FPR95 of the entropy on `--val-ood`, in [0, 1]"),
            Field {
                is_added: true,
                ..Field::optional_string(
                    "dataset",
                    "folder of the data set, or its whole path if several have that name; missing in rows of means, and if there is at most one data set of each kind",
                )
            },
        ],
    }
}
