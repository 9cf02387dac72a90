//! The gallery: samples with the worst errors first, as pictures inside the report.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_bytes;
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::mask::{ComponentMap, Mask};
use artifacts::picture;
use artifacts::run_dir::RunFolder;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::Progress;

use super::member::{Member, slug};
use super::pictures::{self, Size};
use crate::metrics::segment_totals::{SampleErrors, sample_errors};
use artifacts::logits::Logits;

/// One sample of the gallery.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SampleView {
    pub(super) sample_id: String,
    /// Photo and ground truth.
    pub(super) shared: Vec<Picture>,
    /// What each run makes of it.
    pub(super) runs: Vec<RunView>,
}

/// One run on one sample.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RunView {
    pub(super) name: String,
    pub(super) n_kept: u64,
    pub(super) n_rejected: u64,
    pub(super) false_positives: u64,
    pub(super) false_negatives: u64,
    pub(super) n_objects: u64,
    pub(super) pictures: Vec<Picture>,
}

/// One picture inside the page.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Picture {
    pub(super) caption: String,
    /// What it shows, for readers who cannot see it.
    pub(super) alt: String,
    /// `data:` address.
    pub(super) data: String,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Where the gallery of a data set reads and writes.
pub(super) struct Gallery<'a> {
    pub(super) dataset: &'a str,
    /// Labels of the data set.
    pub(super) labels: PathBuf,
    /// Folder for the pictures as files.
    pub(super) overlays: PathBuf,
    pub(super) members: &'a [Member<'a>],
}

/// JPEG quality: outlines stay crisp.
const QUALITY: u8 = 88;

impl Gallery<'_> {
    /// Pictures of the `n` worst samples: most missed objects after the meta classifier in the last run first, then
    /// most false alarms, then by id.
    ///
    /// # Errors
    /// If the labels lack a sample, or a picture cannot be read.
    pub(super) fn draw(&self, n: usize) -> Result<Vec<SampleView>> {
        let index = Index::read(&self.labels)?;
        ensure!(
            index.mask_kind == MaskKind::Eval,
            "masks in {} are {:?}, but the gallery needs in- and out-of-distribution masks",
            self.labels.display(),
            index.mask_kind
        );
        let chosen = self.worst(n);
        let progress = Progress::new(
            &format!("gallery {}", self.dataset),
            chosen.len() as u64,
            "samples",
        );
        let draw = |id: &String| {
            let view = self.sample(&index, id);
            progress.advance(1);
            view.with_context(|| format!("could not draw sample {id} of {}", self.dataset))
        };
        let views = chosen.par_iter().map(draw).collect();
        progress.finish();
        views
    }

    fn worst(&self, n: usize) -> Vec<String> {
        let Some(last) = self.members.last() else {
            return Vec::new();
        };
        let detections = &last.data.detections;
        let errors = sample_errors(detections, &last.data.kept(true));
        let mut ranked: Vec<_> = errors.iter().zip(&detections.sample_ids).collect();
        ranked.sort_by_key(|(e, id)| {
            use std::cmp::Reverse;
            (Reverse(e.false_negatives), Reverse(e.false_positives), *id)
        });
        ranked
            .into_iter()
            .take(n)
            .map(|(_, id)| id.clone())
            .collect()
    }

    fn sample(&self, index: &Index, id: &str) -> Result<SampleView> {
        let at = index
            .samples
            .binary_search_by(|s| s.sample_id.as_str().cmp(id));
        let sample = at.ok().map(|i| &index.samples[i]).with_context(|| {
            format!(
                "{} does not have it: give the --labels that the runs were made with",
                self.labels.join("index.json").display()
            )
        })?;
        let mask = Mask::read(&index.mask_path(&self.labels, sample)?, index.mask_kind)?;
        let path = index.image_path(sample)?;
        let picture = picture::read_rgb(&path)?;
        let size = Size::of_gallery(picture.width(), &mask);
        let photo = pictures::photo(&picture, size);
        let labels = pictures::shrink_labels(&mask, size);
        let objects = self
            .members
            .last()
            .map_or(0, |m| errors_of(m, id).n_objects);
        let shared = vec![
            self.picture(id, "image", &photo, format!("photo of {id}"))?,
            self.picture(
                id,
                "ground truth",
                &pictures::truth(&photo, &labels),
                format!("ground truth of {id}: {objects} unknown objects in orange, void dark"),
            )?,
        ];
        let with_sample = self
            .members
            .iter()
            .filter(|m| sample_index(m, id).is_some());
        let runs = with_sample
            .map(|m| self.run(m, sample, &mask, (&photo, &labels)))
            .collect::<Result<_>>()?;
        Ok(SampleView {
            sample_id: id.to_owned(),
            shared,
            runs,
        })
    }

    fn run(
        &self,
        member: &Member<'_>,
        sample: &Sample,
        mask: &Mask,
        (photo, labels): (&RgbImage, &[u8]),
    ) -> Result<RunView> {
        let (id, name) = (&sample.sample_id, &member.run.name);
        let size = Size {
            w: photo.width() as usize,
            h: photo.height() as usize,
        };
        let errors = errors_of(member, id);
        let mut views = Vec::new();
        let logits_dir = RunFolder::Logits.dataset(&member.run.path, self.dataset);
        let file = |what: &str| format!("{what} {} {name}", member.index);
        if logits_dir.is_dir() {
            let logits = Logits::read_sample(&logits_dir, id, Some((mask.width, mask.height)))?;
            let (class, entropy) = pictures::sample_logits(&logits, size);
            views.push(self.named(
                id,
                &file("prediction"),
                "prediction",
                &pictures::prediction(photo, &class),
                format!("classes that {name} predicts in {id}"),
            )?);
            views.push(self.named(
                id,
                &file("entropy"),
                "entropy",
                &pictures::entropy_map(&entropy, size)?,
                format!("entropy of {name} in {id}, bright is uncertain"),
            )?);
        }
        let ids = self.components(member, id, mask, size)?;
        let rejected = rejected_ids(member, id);
        let drawn =
            pictures::segments(photo, &ids, labels, |id| !rejected.contains(&u32::from(id)));
        views.push(self.named(
            id,
            &file("segments"),
            "segments",
            &drawn,
            format!(
                "segments of {name} in {id}: {} kept in green, {} rejected in red, {} false alarms, {} missed objects",
                errors.n_kept, errors.n_rejected, errors.false_positives, errors.false_negatives
            ),
        )?);
        Ok(RunView {
            name: name.clone(),
            n_kept: errors.n_kept,
            n_rejected: errors.n_rejected,
            false_positives: errors.false_positives,
            false_negatives: errors.false_negatives,
            n_objects: errors.n_objects,
            pictures: views,
        })
    }

    fn components(
        &self,
        member: &Member<'_>,
        id: &str,
        mask: &Mask,
        size: Size,
    ) -> Result<Vec<u16>> {
        let dir = RunFolder::Segments.dataset(&member.run.path, self.dataset);
        let path = dir.join("components").join(format!("{id}.png"));
        let map = ComponentMap::read(&path)?;
        ensure!(
            (map.width, map.height) == (mask.width, mask.height),
            "{} is {}x{}, but the mask is {}x{}: run `segment-metrics` again with these labels",
            path.display(),
            map.width,
            map.height,
            mask.width,
            mask.height
        );
        Ok(pictures::shrink_components(&map, size))
    }

    fn picture(&self, id: &str, caption: &str, picture: &RgbImage, alt: String) -> Result<Picture> {
        self.named(id, caption, caption, picture, alt)
    }

    /// Encodes a picture, also into a file of its own.
    fn named(
        &self,
        id: &str,
        file: &str,
        caption: &str,
        picture: &RgbImage,
        alt: String,
    ) -> Result<Picture> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(picture)?;
        let path = self.overlays.join(format!("{id}.{}.jpg", slug(file)));
        write_bytes(&path, &bytes)?;
        Ok(Picture {
            caption: caption.to_owned(),
            alt,
            data: format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(bytes)),
            width: picture.width(),
            height: picture.height(),
        })
    }
}

fn sample_index(member: &Member<'_>, id: &str) -> Option<usize> {
    let ids = &member.data.detections.sample_ids;
    ids.binary_search_by(|s| s.as_str().cmp(id)).ok()
}

fn errors_of(member: &Member<'_>, id: &str) -> SampleErrors {
    let errors = sample_errors(&member.data.detections, &member.data.kept(true));
    sample_index(member, id).map_or_else(SampleErrors::default, |i| errors[i])
}

/// Numbers of the sample's segments that the meta classifier rejects.
fn rejected_ids(member: &Member<'_>, id: &str) -> Vec<u32> {
    let kept = member.data.kept(true);
    let segments = member.data.detections.segments.iter().zip(kept);
    let sample = sample_index(member, id);
    segments
        .filter(|(s, kept)| Some(s.sample) == sample && !kept)
        .map(|(s, _)| s.id)
        .collect()
}
