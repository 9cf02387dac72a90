//! The command line: groups of flags, each of which is handed on whole to the code that it configures.
//!
//! The groups are flattened in the manifest too, so that it has one key per flag, whatever group the flag is in.

mod augmentation;
mod data;
mod network;
mod objective;
mod optimizer;
mod records;
mod schedule;
mod validation;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Parser;
use serde::Serialize;

pub use augmentation::{AugmentationOptions, PastingOptions};
pub use data::DataOptions;
pub use network::{BatchNormStatistics, NetworkOptions};
pub use objective::{Normalize, ObjectiveOptions};
pub use optimizer::{Algorithm, OptimizerOptions};
pub use records::RecordOptions;
pub use schedule::{Schedule, ScheduleOptions};
pub use validation::ValidationOptions;

/// Train a segmentation network to be uncertain on unknown objects.
#[derive(Parser, Debug, Serialize)]
// of a flag that is given twice the last one counts, so that those of a recipe can be followed by one's own; lists grow
#[command(version, max_term_width = 120, args_override_self = true)]
pub struct Args {
    // the flags without a heading come first: a heading holds for all flags after it
    /// Seed of initialization, order, augmentation and dropout
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Flags of every stage.
    #[command(flatten)]
    #[serde(skip)]
    pub common: stage_cli::Common,
    /// Images, crops and batches.
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataOptions,
    /// The network and its initial weights.
    #[command(flatten)]
    #[serde(flatten)]
    pub network: NetworkOptions,
    /// Parts of the loss.
    #[command(flatten)]
    #[serde(flatten)]
    pub objective: ObjectiveOptions,
    /// Random changes of the images.
    #[command(flatten)]
    #[serde(flatten)]
    pub augmentation: AugmentationOptions,
    /// Number of steps and learning rate.
    #[command(flatten)]
    #[serde(flatten)]
    pub schedule: ScheduleOptions,
    /// The update rule.
    #[command(flatten)]
    #[serde(flatten)]
    pub optimizer: OptimizerOptions,
    /// Validation data.
    #[command(flatten)]
    #[serde(flatten)]
    pub validation: ValidationOptions,
    /// Output, log and checkpoints.
    #[command(flatten)]
    #[serde(flatten)]
    pub records: RecordOptions,
}

impl Args {
    /// Checks all that can be checked without opening a file.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used, and what it needs.
    pub fn check(&self) -> Result<()> {
        let has_init = self.network.init.is_some();
        ensure!(
            self.data.label_distill.is_empty() || self.objective.distill > 0.0,
            "--label-distill has factors of --distill, which is 0: pass --distill too"
        );
        self.data.check()?;
        self.network.check()?;
        self.objective.check(has_init)?;
        self.augmentation.check(self.data.has_objects())?;
        self.schedule.check()?;
        self.optimizer.check(has_init)?;
        self.validation.check()?;
        self.records.check()?;
        ensure!(
            !self.network.reset_head || self.objective.distill == 0.0,
            "--distill keeps the outputs of --init, whose head --reset-head replaces: pass either"
        );
        self.check_unknown()
    }

    /// Checks that there is something unknown to train on if the objective has a part for it.
    fn check_unknown(&self) -> Result<()> {
        let has_crops = self.data.proxy.is_some() && self.data.ood_fraction > 0.0;
        let is_shown = has_crops || self.augmentation.pasting.paste > 0;
        let weight = self.objective.ood_weight;
        ensure!(
            weight == 0.0 || self.data.has_objects(),
            "--ood-weight {weight} needs --proxy or --ood-weight 0: without proxy images there are no unknown objects to train on (coco-proxy makes them)"
        );
        ensure!(
            self.data.objects.is_empty() || self.augmentation.pasting.paste > 0,
            "--objects are pasted, but --paste 0 pastes none: pass --paste 1 or more"
        );
        ensure!(
            weight == 0.0 || is_shown,
            "--ood-weight {weight} needs unknown objects to train on, but --ood-fraction 0 takes no proxy images: pass --paste 1 or a larger --ood-fraction, or --ood-weight 0 to train on known classes alone"
        );
        Ok(())
    }

    /// What to do about batch norm whose statistics are those of a single image, if they are.
    pub fn batch_norm_advice(&self) -> Option<String> {
        let is_alone =
            self.data.batch_size == 1 && self.network.batch_norm == BatchNormStatistics::Batch;
        let advice = if self.network.init.is_some() {
            "pass --batch-norm frozen to keep those of --init, or a larger --batch-size"
        } else {
            "pass a larger --batch-size"
        };
        is_alone.then(|| {
            format!(
                "with --batch-size 1, batch norm uses the statistics of a single crop: {advice}"
            )
        })
    }

    /// Inputs by the names that the manifest lists them under.
    ///
    /// Directories stand for their manifests: their indices alone would not show that a mask changed.
    pub fn inputs(&self) -> Vec<(String, &Path)> {
        let mut inputs = Vec::new();
        for (name, paths) in [
            ("labels", &self.data.labels),
            ("objects", &self.data.objects),
            ("val", &self.validation.val),
            ("val-ood", &self.validation.val_ood),
        ] {
            inputs.extend(named(name, paths));
        }
        let optional = [("proxy", &self.data.proxy), ("init", &self.network.init)];
        for (name, path) in optional {
            inputs.extend(path.iter().map(|path| (name.to_owned(), path.as_path())));
        }
        inputs
    }
}

/// Inputs of one flag: `NAME`, or `NAME[0]`, `NAME[1]` ... if there are several.
fn named<'a>(name: &str, paths: &'a [PathBuf]) -> impl Iterator<Item = (String, &'a Path)> {
    let is_single = paths.len() == 1;
    paths.iter().enumerate().map(move |(i, path)| {
        let name = if is_single {
            name.to_owned()
        } else {
            format!("{name}[{i}]")
        };
        (name, path.as_path())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_last_of_two_flags_counts_and_lists_grow() -> Result<()> {
        let line =
            "ood-train --labels a --output b --steps 3 --train-only x --steps 5 --train-only y";
        let args = Args::try_parse_from(line.split(' '))?;
        assert_eq!(args.schedule.steps, Some(5));
        assert_eq!(args.network.train_only, ["x", "y"]);
        Ok(())
    }

    /// A training that was interrupted goes on only if its manifest has the same arguments, so that keys must not change with
    /// the groups.
    #[test]
    fn the_manifest_has_one_key_per_flag() -> Result<()> {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["ood-train", "--labels", "a", "--output", "b"])?;
        let value = serde_json::to_value(&args)?;
        let keys: Vec<&String> = value
            .as_object()
            .map(|o| o.keys().collect())
            .unwrap_or_default();
        let expected = [
            "accumulate",
            "batch_norm",
            "batch_size",
            "classes",
            "clip_norm",
            "color_jitter",
            "crop",
            "device",
            "distill",
            "dtype",
            "ema",
            "epochs",
            "label_shares",
            "label_short_side",
            "learning_rate",
            "log_every",
            "network",
            "no_dropout",
            "normalize",
            "ood_area",
            "ood_fraction",
            "ood_weight",
            "optimizer",
            "paste",
            "paste_height",
            "paste_match_light",
            "proxy_short_side",
            "pull_to_start",
            "reset_head",
            "scale_jitter",
            "schedule",
            "seed",
            "steps",
            "train_only",
            "val_every",
            "void",
            "warmup",
            "weight_decay",
        ];
        ensure!(keys == expected, "{keys:?}");
        Ok(())
    }

    #[test]
    fn numbers_have_the_names_of_the_paper_and_of_other_tools_too() -> Result<()> {
        for name in ["--ood-weight", "--pareto-alpha", "--alpha", "--lambda"] {
            let given = [
                "ood-train",
                "--labels",
                "a",
                "--output",
                "b",
                "--lr",
                "0.25",
                name,
                "0.5",
            ];
            let args = Args::try_parse_from(given)?;
            assert_eq!(
                (args.objective.ood_weight, args.schedule.learning_rate),
                (0.5, 0.25)
            );
        }
        Ok(())
    }
}
