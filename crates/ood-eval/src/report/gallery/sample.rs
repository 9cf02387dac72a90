//! One sample of the gallery: its photo and ground truth, and what each run makes of it.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::logits::Logits;
use artifacts::mask::{ComponentMap, Mask};
use artifacts::run_dir::RunFolder;
use image::RgbImage;
use serde::Serialize;

use crate::pictures::{
    Picture, PictureSize, paint, resize_photo, sample_logits, shrink_components, shrink_labels,
};
use crate::report::member::Member;
use crate::report::text::slug;

/// Largest width of a picture in the gallery, in pixels.
const MAX_WIDTH: usize = 512;

/// One sample of the gallery.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SampleView {
    sample_id: String,
    /// Photo and ground truth.
    shared: Vec<Picture>,
    /// The runs that have the sample.
    runs: Vec<SampleRunView>,
}

impl SampleView {
    /// The classes that the predictions show, of each run that has predictions.
    pub(crate) fn classes(&self) -> impl Iterator<Item = &ClassSet> {
        self.runs.iter().filter_map(|run| run.classes.as_ref())
    }
}

/// One run on one sample.
#[derive(Clone, Debug, Serialize)]
struct SampleRunView {
    name: String,
    n_kept: u64,
    n_rejected: u64,
    false_positives: u64,
    false_negatives: u64,
    n_objects: u64,
    /// The classes of the prediction, if there are logits.
    #[serde(skip)]
    classes: Option<ClassSet>,
    /// Prediction and entropy, if there are logits, and segments.
    pictures: Vec<Picture>,
}

/// The samples of a data set as the gallery shows them.
pub(crate) struct Samples<'a> {
    /// Name of the data set.
    pub(super) dataset: &'a str,
    /// Runs that have the data set.
    pub(super) members: &'a [Member<'a>],
    /// Folder with the labels of the data set.
    labels: PathBuf,
    /// Index of the labels.
    index: Index,
    /// Folder to write pictures to.
    overlays: PathBuf,
}

/// What the pictures of a sample are painted from.
struct Scene<'a> {
    sample: &'a Sample,
    /// Labels at the size at which the runs were evaluated.
    mask: Mask,
    /// Photo at the size of the gallery.
    photo: RgbImage,
    /// Labels at the size of the gallery.
    labels: Vec<u8>,
}

impl<'a> Samples<'a> {
    /// Samples with labels in `labels`, an output of `cityscapes-io prepare`, and pictures in `overlays`.
    ///
    /// # Errors
    /// Returns an error if the index is absent or damaged, or if the labels are not those of an evaluation.
    pub(crate) fn new(
        dataset: &'a str,
        members: &'a [Member<'a>],
        labels: PathBuf,
        overlays: PathBuf,
    ) -> Result<Self> {
        let index = Index::read(&labels)?;
        ensure!(
            index.mask_kind == MaskKind::Eval,
            "masks in {} are {:?}, but the gallery needs in- and out-of-distribution masks",
            labels.display(),
            index.mask_kind
        );
        Ok(Self {
            dataset,
            members,
            labels,
            index,
            overlays,
        })
    }

    /// Paints and writes all pictures of the sample `id`.
    ///
    /// # Errors
    /// Returns an error if the labels do not have the sample, or if a picture cannot be read or written.
    pub(super) fn view(&self, id: &str) -> Result<SampleView> {
        let scene = self.scene(id)?;
        let errors = self.members.last().and_then(|m| m.errors(id));
        let n_objects = errors.unwrap_or_default().n_objects;
        let truth = paint::truth(&scene.photo, &scene.labels);
        let truth_alt =
            format!("ground truth of {id}: {n_objects} unknown objects in orange, void dark");
        let shared = vec![
            Picture::write(
                &scene.photo,
                &self.path(id, "image"),
                "image",
                format!("photo of {id}"),
            )?,
            Picture::write(
                &truth,
                &self.path(id, "ground truth"),
                "ground truth",
                truth_alt,
            )?,
        ];
        let mut runs = Vec::new();
        for member in self.members {
            runs.extend(self.run_view(member, &scene)?);
        }
        Ok(SampleView {
            sample_id: id.to_owned(),
            shared,
            runs,
        })
    }

    fn scene(&self, id: &str) -> Result<Scene<'_>> {
        let samples = &self.index.samples;
        let at = samples.binary_search_by(|s| s.sample_id.as_str().cmp(id));
        let sample = at.ok().map(|i| &samples[i]).with_context(|| {
            format!(
                "{} does not have it: give the --labels that the runs were made with",
                self.labels.join("index.json").display()
            )
        })?;
        let mask = self.index.read_mask(&self.labels, sample)?;
        let photo = self.index.read_image(sample)?;
        let size = PictureSize::of_sample(photo.width(), (mask.width, mask.height), MAX_WIDTH);
        Ok(Scene {
            sample,
            photo: resize_photo(&photo, size),
            labels: shrink_labels(&mask, size),
            mask,
        })
    }

    /// The view of a run; `None` if the run does not have the sample.
    fn run_view(&self, member: &Member<'_>, scene: &Scene<'_>) -> Result<Option<SampleRunView>> {
        let Some(errors) = member.errors(&scene.sample.sample_id) else {
            return Ok(None);
        };
        let (mut pictures, mut classes) = (Vec::new(), None);
        let logits = RunFolder::Logits.dataset(&member.run.path, self.dataset);
        if logits.is_dir() {
            let size = (scene.mask.width, scene.mask.height);
            let logits = Logits::read_sample(&logits, &scene.sample.sample_id, Some(size))?;
            pictures.extend(self.logit_pictures(member, scene, &logits)?);
            classes = Some(logits.info.classes);
        }
        pictures.push(self.segment_picture(member, scene)?);
        Ok(Some(SampleRunView {
            name: member.run.name.clone(),
            n_kept: errors.n_kept,
            n_rejected: errors.n_rejected,
            false_positives: errors.false_positives,
            false_negatives: errors.false_negatives,
            n_objects: errors.n_objects,
            classes,
            pictures,
        }))
    }

    /// Predicted classes and entropy.
    fn logit_pictures(
        &self,
        member: &Member<'_>,
        scene: &Scene<'_>,
        logits: &Logits,
    ) -> Result<[Picture; 2]> {
        let (id, name) = (&scene.sample.sample_id, &member.run.name);
        let size = PictureSize::of(&scene.photo);
        let (class, entropy) = sample_logits(logits, size);
        Ok([
            Picture::write(
                &paint::prediction(&scene.photo, &class, &logits.info.classes),
                &self.run_path(id, "prediction", member),
                "prediction",
                format!("classes that {name} predicts in {id}"),
            )?,
            Picture::write(
                &paint::entropy_map(&entropy, size)?,
                &self.run_path(id, "entropy", member),
                "entropy",
                format!("entropy of {name} in {id}, bright where it is uncertain"),
            )?,
        ])
    }

    fn segment_picture(&self, member: &Member<'_>, scene: &Scene<'_>) -> Result<Picture> {
        let (id, name) = (&scene.sample.sample_id, &member.run.name);
        let errors = member.errors(id).unwrap_or_default();
        let rejected = member.rejected(id);
        let segments = paint::segments(
            &scene.photo,
            &self.components(member, scene)?,
            Some(&scene.labels),
            |id| !rejected.contains(&u32::from(id)),
        );
        Picture::write(
            &segments,
            &self.run_path(id, "segments", member),
            "segments",
            format!(
                "segments of {name} in {id}: {} kept in green, {} rejected in red, {} false alarms, {} missed objects",
                errors.n_kept, errors.n_rejected, errors.false_positives, errors.false_negatives
            ),
        )
    }

    /// Segment numbers of a run at the size of the gallery.
    fn components(&self, member: &Member<'_>, scene: &Scene<'_>) -> Result<Vec<u16>> {
        let dir = RunFolder::Segments.dataset(&member.run.path, self.dataset);
        let file = format!("{}.png", scene.sample.sample_id);
        let path = dir.join("components").join(file);
        let (map, mask) = (ComponentMap::read(&path)?, &scene.mask);
        ensure!(
            (map.width, map.height) == (mask.width, mask.height),
            "{} is {}x{}, but the mask is {}x{}: run `segment-metrics` again with these labels",
            path.display(),
            map.width,
            map.height,
            mask.width,
            mask.height
        );
        Ok(shrink_components(&map, PictureSize::of(&scene.photo)))
    }

    /// File of a picture that is the same for all runs.
    fn path(&self, id: &str, what: &str) -> PathBuf {
        self.overlays.join(format!("{id}.{}.jpg", slug(what)))
    }

    /// File of a picture of one run.
    fn run_path(&self, id: &str, what: &str, member: &Member<'_>) -> PathBuf {
        self.path(id, &format!("{what} {} {}", member.index, member.run.name))
    }
}
