//! The images and the network of a call, up to the point where it is known what is to be done: `infer` begins like this, and so
//! does every program that goes on from the outputs of a network without storing them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::classes::ClassSet;
use artifacts::index::{self, Index, Sample};
use artifacts::manifest::Input;
use artifacts::stage_dir::{Replacing, Request};
use serde::Serialize;
use stage_cli::{Failures, ImageSize};

use super::args::Args;
use super::images::{Images, LISTINGS, Selected};
use super::model::Model;
use super::pipeline;
use super::sink::Sink;
use super::source;
use crate::onnx::Meaning;

/// A network that is ready to run, and the images that it is to run on.
pub struct Session<'a> {
    args: &'a Args,
    model: Model,
    index: Index,
    /// Number of images, those included that cannot be used.
    n_samples: usize,
    /// The directory whose index lists the images.
    labels: Option<PathBuf>,
    folder: Option<(String, Input)>,
}

impl<'a> Session<'a> {
    /// Lists the images and reads the network, so that what cannot be used is found before any work.
    ///
    /// # Errors
    /// Returns an error if the weights or the index cannot be used, there are no images, or the output is around them; an image
    /// whose header cannot be read is one too, unless `failures` takes it.
    pub fn open(args: &'a Args, failures: &Failures) -> Result<Self> {
        let images = Images::list(&args.input, &args.output.output)?;
        let labels = images.labels();
        let folder = images.folder_input();
        let Selected { index, n_samples } = images.select(&args.input, failures)?;
        let model = source::open(args)?;
        model.check(args)?;
        say_size(args, model.recorded_size, &index);
        Ok(Self {
            args,
            model,
            index,
            n_samples,
            labels,
            folder,
        })
    }

    /// The images, without masks.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The classes of the logits; `None` if the network gives one score for each pixel.
    pub fn classes(&self) -> Option<&ClassSet> {
        match &self.model.meaning {
            Meaning::Logits(classes) => Some(classes),
            Meaning::Scores => None,
        }
    }

    /// Name of the network.
    pub fn network(&self) -> &str {
        &self.model.name
    }

    /// The images, and how many there are with those that cannot be used.
    pub(super) fn into_images(self) -> (Index, usize) {
        (self.index, self.n_samples)
    }

    /// What is to be done, and where to. `further` are inputs beside the network and the images. If only the images changed since
    /// an earlier call, the work goes on from its result.
    ///
    /// # Errors
    /// Returns an error if an input is missing or incomplete.
    pub fn request(
        &self,
        stage: &str,
        arguments: &impl Serialize,
        further: &[(&str, &Path)],
        force: bool,
    ) -> Result<Request<'a>> {
        let files = source::files(self.args)?;
        let inputs = files.iter().map(|(name, path)| (*name, path.as_path()));
        let mut inputs: Vec<_> = inputs.collect();
        inputs.extend(further);
        let index_file = self.labels.as_ref().map(|dir| dir.join(index::FILE_NAME));
        inputs.extend(index_file.as_deref().map(|path| ("labels", path)));
        let output = &self.args.output.output;
        let mut request = Request::new(output, stage, arguments, &inputs, force)?;
        request.work.inputs.extend(self.folder.clone());
        // an output among the labels would be a foreign file to their stage
        request.reads.extend(self.labels.clone());
        request.replacing = Replacing::SameArguments;
        request.listings = &LISTINGS;
        Ok(request)
    }

    /// Those of the images for which `is_missing` holds and that can be used, as far as their files tell without decoding them.
    ///
    /// # Errors
    /// Returns an error if one cannot be used, unless `failures` takes it.
    pub fn to_predict(
        &self,
        is_missing: impl Fn(&Sample) -> bool,
        failures: &Failures,
    ) -> Result<Vec<&Sample>> {
        let missing = self
            .index
            .samples
            .iter()
            .filter(|sample| is_missing(sample));
        failures.check_all(missing.map(|sample| {
            let result = self.index.check_image(sample).map(|()| sample);
            (sample.sample_id.clone(), result)
        }))
    }

    /// Runs the network on `samples` and gives its outputs to `sink`, in their order.
    ///
    /// # Errors
    /// Returns the error of `sink` or of the network, and that of an image unless `failures` takes it.
    pub fn predict(
        &self,
        samples: &[&Sample],
        sink: &impl Sink,
        failures: &Failures,
    ) -> Result<()> {
        pipeline::infer_all(&self.model, &self.index, samples, self.args, sink, failures)
    }
}

/// Says which size images have for the network where no flag asked for one: that of the weights, or their own, at which a network may see
/// little if it was trained at another. Labels are prepared at a size that was chosen.
fn say_size(args: &Args, recorded: Option<ImageSize>, index: &Index) {
    if args.views.input_size.is_some() {
        return;
    }
    if let Some(size) = recorded {
        tracing::info!(
            "images are resized to {size} for the network, as it says itself; --input-size image keeps their own size"
        );
    } else if args.input.labels.is_none() {
        tracing::info!(
            "the network names no input size, so images go in at their own ({}): --input-size WxH resizes them to the size that the \
             network was trained at, without which it may see much less",
            sizes(&index.samples)
        );
    }
}

/// The sizes of images, for people.
fn sizes(samples: &[Sample]) -> String {
    let all: BTreeSet<(u32, u32)> = samples.iter().map(|s| (s.width, s.height)).collect();
    let first = samples.first();
    let first = first.map_or_else(String::new, |s| format!("{}x{}", s.width, s.height));
    match all.len() {
        0 | 1 => first,
        2 => format!("{first} and another"),
        n => format!("{first} and {} others", n - 1),
    }
}
