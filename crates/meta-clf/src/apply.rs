//! `meta-clf apply`: predictions of segments by a model that was fitted to others.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::model_file::{FILE_NAME, Model, SegmentOrigin};
use artifacts::stage_dir::create_dir;
use artifacts::tables::threshold_folder;

use crate::args::{ApplyArgs, ResultArgs};
use crate::decisions::Decisions;
use crate::design::Design;
use crate::objects::DetectedObjects;
use crate::predictions::Predictions;
use crate::results::{Outcome, Results};
use crate::segments::{Segments, ensure_same};
use crate::threshold::Thresholds;
use crate::{classifier, inputs, origin, ridge, summary};

/// Runs the subcommand: applies the model, and at other thresholds of the segments the models that were fitted there.
///
/// # Errors
/// Returns an error if an input is missing or damaged, the model does not fit the segments, or a file cannot be written.
pub fn run(args: &ApplyArgs, force: bool) -> Result<()> {
    args.check()?;
    let given = ModelFile::read(args.model.clone(), args.threshold)?;
    if args.results.explain {
        classifier::linear(&given.model)?;
    }
    let names = inputs::names(args.segments.len());
    let mut named = inputs::named(&names, &args.segments);
    named.push(("model", &args.model));
    let other_thresholds = inputs::other_thresholds(&args.segments)?;
    let models = inputs::models_at(&args.model, &other_thresholds);
    named.extend(
        models
            .iter()
            .map(|(name, path)| (name.as_str(), path.as_path())),
    );
    let Some(dir) = stage_cli::open(&args.output, "meta-clf apply", args, &named, force)? else {
        return Ok(());
    };
    let main = origin::read(&args.segments)?;
    let outcome = given.apply(&args.segments, &main, dir.path(), args.results)?;
    let folder = args.model.parent().unwrap_or(Path::new(""));
    for threshold in other_thresholds {
        let path = threshold_folder(folder, threshold).join(FILE_NAME);
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
        let origin = SegmentOrigin {
            threshold: Some(threshold),
            ..main.clone()
        };
        let fitted = ModelFile::read(path, args.threshold)?;
        fitted.apply(&folders, &origin, &output, args.results.without_masks())?;
    }
    dir.finish(&outcome.counts())?;
    summary::print("with a given model", &outcome);
    Ok(())
}

/// Probability in [0, 1] that each of `segments` is a false positive, in their order. The model rejects those above its threshold.
///
/// Whether the segments were made as those that the model was fitted to is for [`origin::check`] to say.
///
/// # Errors
/// Returns an error if the segments have other metrics, or metrics of other classes, than the model.
pub fn probabilities(model: &Model, segments: &Segments) -> Result<Vec<f64>> {
    Ok(predict(model, segments)?.1.probs)
}

/// The standardized metrics of segments and what the model predicts from them.
fn predict(model: &Model, segments: &Segments) -> Result<(Design, Predictions)> {
    ensure_same(model.classes.as_ref(), segments.classes.as_ref())
        .context("it was fitted to segments of other classes: fit a model to segments of the same network, or import the network with the right --classes")?;
    let design = classifier::standardize(model, segments)?;
    let predictions = classifier::predict(model, &design);
    Ok((design, predictions))
}

/// A model, and the file that it was read from.
struct ModelFile {
    model: Model,
    path: PathBuf,
}

impl ModelFile {
    /// Reads a model; `threshold` takes the place of its own if it is given.
    fn read(path: PathBuf, threshold: Option<f64>) -> Result<Self> {
        let mut model = Model::read(&path)?;
        model.threshold = threshold.unwrap_or(model.threshold);
        Ok(Self { model, path })
    }

    /// Predicts the segments in `folders`, which are of `origin`, and writes the results to `output`.
    fn apply(
        &self,
        folders: &[PathBuf],
        origin: &SegmentOrigin,
        output: &Path,
        results: ResultArgs,
    ) -> Result<Outcome> {
        let model = &self.model;
        let unfit = || format!("{} does not fit the segments", self.path.display());
        origin::check(&model.origin, origin).with_context(unfit)?;
        let hashes = inputs::table_hashes(folders)?;
        if hashes.iter().any(|h| model.training_tables.contains(h)) {
            tracing::warn!(
                "the model was fitted to these segments, so the probabilities are optimistic: `meta-clf fit` \
                 writes held-out ones"
            );
        }
        let segments = Segments::read(folders)?;
        let (design, predictions) = predict(model, &segments).with_context(unfit)?;
        let objects = DetectedObjects::read(folders, &segments)?;
        let regression = model.regression.as_ref();
        let regression = regression.map(|linear| ridge::predict(linear, &design));
        let thresholds = Thresholds::same(model.threshold, segments.len());
        let results = Results {
            folders,
            args: results,
            model,
            design: &design,
            decisions: &Decisions::new(&segments, predictions, &thresholds),
            objects: &objects,
            regression: regression.as_deref(),
        };
        results.write(output)
    }
}
