//! `meta-clf apply`: predictions of segments by a model that was fitted to others.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::model_file::{FILE_NAME, Model};
use artifacts::stage_dir::create_dir;
use artifacts::tables::threshold_folder;

use crate::args::{ApplyArgs, ResultArgs};
use crate::decisions::Decisions;
use crate::results::{Results, counts};
use crate::scores::Scores;
use crate::segments::Segments;
use crate::{classifier, inputs, ridge, summary};

/// Runs the subcommand: applies the model, and at other thresholds of the segments the models that were fitted there.
///
/// # Errors
/// Returns an error if an input is missing or damaged, the model does not fit the segments, or a file cannot be written.
pub fn run(args: &ApplyArgs, force: bool) -> Result<()> {
    let model = Model::read(&args.model)?;
    if args.results.explain {
        classifier::linear(&model)?;
    }
    let names = inputs::names(args.segments.len());
    let mut named = inputs::named(&names, &args.segments);
    named.push(("model", &args.model));
    let Some(dir) = stage_cli::open(&args.output, "meta-clf apply", args, &named, force)? else {
        return Ok(());
    };
    let other_thresholds = inputs::other_thresholds(&args.segments)?;
    let given = ModelFile {
        model,
        path: args.model.clone(),
    };
    let scores = given.apply(&args.segments, dir.path(), args.results)?;
    let models = args.model.parent().unwrap_or(Path::new(""));
    for threshold in other_thresholds {
        let path = threshold_folder(models, threshold).join(FILE_NAME);
        if !path.exists() {
            tracing::warn!(
                "{} does not exist: segments at the threshold {threshold} are left out",
                path.display()
            );
            continue;
        }
        let output = threshold_folder(dir.path(), threshold);
        create_dir(&output)?;
        let folders = inputs::at_threshold(&args.segments, threshold);
        let model = Model::read(&path)?;
        let fitted = ModelFile { model, path };
        fitted.apply(&folders, &output, args.results.without_masks())?;
    }
    dir.finish(&counts(&scores))?;
    summary::print("with a given model", &scores);
    Ok(())
}

/// A model, and the file that it was read from.
struct ModelFile {
    model: Model,
    path: PathBuf,
}

impl ModelFile {
    /// Predicts the segments in `folders`, and writes the results to `output`.
    fn apply(&self, folders: &[PathBuf], output: &Path, results: ResultArgs) -> Result<Scores> {
        let model = &self.model;
        let hashes = inputs::table_hashes(folders)?;
        if hashes.iter().any(|h| model.training_tables.contains(h)) {
            tracing::warn!(
                "the model was fitted to these segments, so the probabilities are optimistic: `meta-clf fit` \
                 writes held-out ones"
            );
        }
        let segments = Segments::read(folders)?;
        let design = classifier::standardize(model, &segments)
            .with_context(|| format!("{} does not fit the segments", self.path.display()))?;
        let predictions = classifier::predict(model, &design);
        let regression = model.regression.as_ref();
        let regression = regression.map(|linear| ridge::predict(linear, &design));
        let results = Results {
            folders,
            args: results,
            model,
            design: &design,
            decisions: &Decisions::new(&segments, predictions, model.threshold),
            regression: regression.as_deref(),
        };
        results.write(output)
    }
}
