//! One sample of the gallery: its photo and ground truth, and what each run makes of it.

use std::collections::BTreeSet;
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

use super::budget::Weight;
use super::heat::{heat_caption, heat_range, score_of_logits};
use super::ranking::Rank;
use crate::metrics::size_bands::band_of;
use crate::pictures::paint::Look;
use crate::pictures::{
    Picture, PictureSize, paint, resize_photo, sample_logits, shrink_components, shrink_labels,
};
use crate::report::member::Member;
use crate::report::outcome::{Outcome, OutcomeCounts, highest_score};
use crate::report::text::slug;
use crate::tables::text::score_label;

/// Largest width of a picture in the gallery, in pixels.
const MAX_WIDTH: usize = 512;

/// One sample of the gallery.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SampleView {
    sample_id: String,
    /// Why it is shown.
    pub(super) rank: Rank,
    /// Size bands of its unknown objects, each once; empty without objects.
    bands: BTreeSet<usize>,
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

    /// Whether a run has scores of its segments.
    pub(crate) fn has_scores(&self) -> bool {
        self.runs.iter().any(|run| run.score.is_some())
    }

    /// What its pictures take in the page.
    pub(crate) fn weight(&self) -> Weight {
        let of_runs = self.runs.iter().flat_map(|run| &run.pictures);
        Weight::of(self.shared.iter().chain(of_runs).map(Picture::bytes))
    }
}

/// One run on one sample.
#[derive(Clone, Debug, Serialize)]
struct SampleRunView {
    /// Place of the run among all runs.
    index: usize,
    name: String,
    segments: OutcomeCounts,
    false_negatives: u64,
    n_objects: u64,
    /// The highest score of a kept segment, if there is a meta classifier.
    score: Option<f64>,
    /// The classes of the prediction, if there are logits.
    #[serde(skip)]
    classes: Option<ClassSet>,
    /// Prediction and scores, if there are logits, and segments.
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
    pub(super) fn view(&self, id: &str, rank: Rank) -> Result<SampleView> {
        let scene = self.scene(id)?;
        let last = self.members.last();
        let sizes = || last.into_iter().flat_map(|m| m.object_sizes(id));
        let n_objects = sizes().count();
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
            rank,
            bands: sizes().map(band_of).collect(),
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
        let outcomes = member.outcomes(&scene.sample.sample_id);
        let segments = OutcomeCounts::of(&outcomes);
        pictures.push(self.segment_picture(member, scene, &outcomes, segments)?);
        Ok(Some(SampleRunView {
            index: member.index,
            name: member.run.name.clone(),
            segments,
            false_negatives: errors.false_negatives,
            n_objects: errors.n_objects,
            score: highest_score(&outcomes),
            classes,
            pictures,
        }))
    }

    /// Predicted classes and scores.
    fn logit_pictures(
        &self,
        member: &Member<'_>,
        scene: &Scene<'_>,
        logits: &Logits,
    ) -> Result<[Picture; 2]> {
        let (id, name) = (&scene.sample.sample_id, &member.run.name);
        let size = PictureSize::of(&scene.photo);
        let score = score_of_logits(member.data.own.score);
        let (class, scores) = sample_logits(logits, score, size);
        let range = heat_range(score, &scores);
        let label = score_label(score);
        let heat = Picture::write(
            &paint::heat_map(&scores, range, size)?,
            &self.run_path(id, label, member),
            label,
            format!("{label} of {name} in {id}, bright where the network is uncertain"),
        )?;
        Ok([
            Picture::write(
                &paint::prediction(&scene.photo, &class, &logits.info.classes),
                &self.run_path(id, "prediction", member),
                "prediction",
                format!("classes that {name} predicts in {id}"),
            )?,
            heat.with_caption(heat_caption(score, member.score_name(), range)),
        ])
    }

    fn segment_picture(
        &self,
        member: &Member<'_>,
        scene: &Scene<'_>,
        outcomes: &[Outcome],
        n: OutcomeCounts,
    ) -> Result<Picture> {
        let (id, name) = (&scene.sample.sample_id, &member.run.name);
        let missed = member.errors(id).unwrap_or_default().false_negatives;
        let segments = paint::segments(
            &scene.photo,
            &self.components(member, scene)?,
            Some(&scene.labels),
            |id| look(outcomes, id),
        );
        let picture = Picture::write(
            &segments,
            &self.run_path(id, "segments", member),
            "segments",
            format!(
                "segments of {name} in {id}: {} true ones kept in green, {} false alarms kept in red, {} true and {} false ones rejected and hatched, {missed} missed objects",
                n.kept_true, n.kept_false, n.rejected_true, n.rejected_false
            ),
        )?;
        let of_score = format!("segments ({})", member.score_name());
        Ok(picture.with_caption(of_score))
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

/// How the segment with the number `id` is painted. Segments are sorted by number; one that no table names counts as a false alarm.
fn look(outcomes: &[Outcome], id: u16) -> Look {
    let at = outcomes.binary_search_by_key(&u32::from(id), |o| o.id);
    let unnamed = Outcome {
        id: id.into(),
        is_true: false,
        is_kept: true,
        score: None,
    };
    at.map_or(unnamed, |at| outcomes[at]).look()
}
