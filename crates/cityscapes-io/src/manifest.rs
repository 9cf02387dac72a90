//! Descriptions of data sets: `data-manifests/<name>.toml`.
//!
//! A manifest says where images and label files are in the data set's folder, what the label values mean, and how many
//! samples the published data set has. Unknown and missing fields are errors.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::{ClassMap, ClassSet};
use artifacts::index::check_inside;
use artifacts::labels::MaskKind;
use artifacts::toml_file;
use serde::{Deserialize, Serialize};

use crate::label_file::{LabelFile, one_or_many};
use crate::label_reader::LabelReader;
use crate::pattern::{Captures, Pattern};
use crate::relabel::{HoldOut, Relabeling};

macro_rules! shipped {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../data-manifests/",
                $name,
                ".toml"
            )),
        )
    };
}

/// Names and texts of the manifests that are compiled into the executable.
pub const SHIPPED: [(&str, &str); 33] = [
    shipped!("bdd100k-train"),
    shipped!("bdd100k-val"),
    shipped!("camvid-test"),
    shipped!("camvid-train"),
    shipped!("camvid-val"),
    shipped!("cityscapes-coarse-train"),
    shipped!("cityscapes-coarse-train-extra"),
    shipped!("cityscapes-coarse-val"),
    shipped!("cityscapes-test"),
    shipped!("cityscapes-train"),
    shipped!("cityscapes-val"),
    shipped!("coco-panoptic-train2017"),
    shipped!("coco-panoptic-val2017"),
    shipped!("coco-tiny-train"),
    shipped!("coco-tiny-val"),
    shipped!("coco-train2017"),
    shipped!("coco-val2017"),
    shipped!("fishyscapes-laf"),
    shipped!("fishyscapes-static"),
    shipped!("idd-lite-train"),
    shipped!("idd-lite-val"),
    shipped!("image-folder"),
    shipped!("lost-and-found-test"),
    shipped!("lost-and-found-test-no-known"),
    shipped!("lost-and-found-train"),
    shipped!("pascal-voc-2012-train"),
    shipped!("pascal-voc-2012-val"),
    shipped!("road-anomaly"),
    shipped!("road-anomaly21"),
    shipped!("road-anomaly21-test"),
    shipped!("road-obstacle21"),
    shipped!("road-obstacle21-test"),
    shipped!("street-hazards-test"),
];

/// Description of one data set, the content of a manifest file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// Name for `--dataset`, which is also the file's name.
    pub name: String,
    /// Name in messages to people.
    pub title: String,
    /// Name of the data set in the index, e.g. `cityscapes`.
    pub dataset: String,
    /// Name of the split in the index, e.g. `val`.
    pub split: String,
    /// Which values the label files lead to; see [`Self::written_kind`].
    pub mask_kind: MaskKind,
    /// Class set of masks with train ids: the name of one in `data-manifests/classes`, or a file beside the manifest. Cityscapes
    /// if it is absent.
    #[serde(default)]
    pub classes: Option<String>,
    /// The class set of that name.
    #[serde(skip_deserializing)]
    pub class_set: Option<ClassSet>,
    /// What the train ids become, see [`Self::mapped`] and [`Self::holding_out`].
    // the name that outputs of earlier versions have
    #[serde(rename(serialize = "class_map"), skip_deserializing)]
    pub relabeling: Option<Relabeling>,
    /// Number of samples of the published data set; absent if there is no such number.
    pub expected_samples: Option<usize>,
    /// Number of samples of each part, so that missing parts can be named.
    pub expected_by: Option<ExpectedBy>,
    /// Width and height of all images of the published data set in pixels; absent if they differ.
    pub image_size: Option<[u32; 2]>,
    /// Samples whose ids start with one of these texts are left out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether samples with ignored pixels only are left out.
    #[serde(default)]
    pub skip_void: bool,
    /// Terms of use, in a few words.
    pub licence: String,
    /// Paper to cite.
    pub citation: String,
    /// Web page from which the data set is available.
    pub url: String,
    /// Files to download there, for comparison by `md5sum` or `sha256sum`.
    #[serde(default)]
    pub downloads: Vec<Download>,
    /// Folder structures in which the data set is distributed. The first one whose images are found is read.
    pub layouts: Vec<Layout>,
}

/// Number of samples of each part of a data set; a part is what has the same text in place of a placeholder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedBy {
    /// Name of the placeholder, e.g. `city`.
    pub placeholder: String,
    /// Number of samples by the placeholder's text.
    pub samples: BTreeMap<String, usize>,
}

/// A file of the published data set, for people who download it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Name of the file.
    pub file: String,
    /// Size of the file in bytes.
    pub bytes: Option<u64>,
    /// MD5 sum of the file, hexadecimal.
    pub md5: Option<String>,
    /// SHA-256 sum of the file, hexadecimal.
    pub sha256: Option<String>,
}

/// Where the images and label files of a data set are, as patterns with placeholders, e.g. `images/{id}.{extension}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Files that determine which samples exist, if it is not the images that do (e.g. because only some are labeled).
    pub list: Option<String>,
    /// Text file with the ids of the samples, one in each line, if not all images belong to the data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// Images, relative to the data set's folder. With `list`, the patterns have its placeholders, and the first image that
    /// exists is taken.
    #[serde(deserialize_with = "one_or_many")]
    pub images: Vec<String>,
    /// Id of the sample, with the placeholders of `list` or the images.
    pub sample_id: String,
    /// Whether images without a label file are samples too.
    #[serde(default)]
    pub labels_optional: bool,
    /// Label files, with the same placeholders; the first one that exists is read.
    #[serde(default)]
    pub masks: Vec<LabelFile>,
}

impl Layout {
    /// Patterns of the files that determine which samples exist.
    pub fn listing(&self) -> &[String] {
        self.list
            .as_ref()
            .map_or(&self.images, std::slice::from_ref)
    }
}

impl DatasetManifest {
    /// Parses and checks the text of a manifest in `folder`.
    ///
    /// # Errors
    /// Returns an error if it is not valid TOML with these fields, or a pattern, range or value cannot be used.
    pub fn parse(text: &str, folder: Option<&Path>) -> Result<Self> {
        let mut manifest: Self = toml_file::parse(text)?;
        manifest.open_classes(folder)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn open_classes(&mut self, folder: Option<&Path>) -> Result<()> {
        if self.mask_kind == MaskKind::TrainId {
            let name = self.classes.as_deref().unwrap_or("cityscapes");
            self.class_set = Some(ClassSet::open_beside(name, folder)?);
        }
        ensure!(
            self.mask_kind == MaskKind::TrainId || self.classes.is_none(),
            "it names classes, but its masks do not hold train ids"
        );
        Ok(())
    }

    /// The manifest of the same data set whose masks hold the classes to which `map` leads.
    ///
    /// # Errors
    /// Returns an error if the map is not from the classes of this data set.
    pub fn mapped(self, map: ClassMap) -> Result<Self> {
        let relabeling = self.train_ids("--class-map")?;
        let relabeling = relabeling.mapped(map);
        let relabeling = relabeling
            .with_context(|| format!("the map is not from the classes of {}", self.title))?;
        Ok(Self {
            relabeling: Some(relabeling),
            ..self
        })
    }

    /// The manifest of the same data set where the classes with these names are held out; `flag` is what asked for it.
    ///
    /// # Errors
    /// Returns an error if the masks have no such classes, or too few others.
    pub fn holding_out(self, names: &[String], what: HoldOut, flag: &str) -> Result<Self> {
        let relabeling = self.train_ids(flag)?.holding_out(names, what);
        Ok(Self {
            relabeling: Some(relabeling.context(flag.to_owned())?),
            ..self
        })
    }

    /// What the train ids become so far.
    fn train_ids(&self, flag: &str) -> Result<Relabeling> {
        let so_far = self.relabeling.clone();
        let unchanged = || self.class_set.clone().map(Relabeling::unchanged);
        so_far
            .or_else(unchanged)
            .with_context(|| format!("{} has no train ids, so {flag} cannot be used", self.title))
    }

    /// The classes whose train ids the masks hold, if they hold such.
    pub fn mask_classes(&self) -> Option<&ClassSet> {
        match &self.relabeling {
            Some(relabeling) => relabeling.result(),
            None => self.class_set.as_ref(),
        }
    }

    /// Which values the masks hold.
    pub fn written_kind(&self) -> MaskKind {
        if self.class_set.is_some() && self.mask_classes().is_none() {
            MaskKind::Eval
        } else {
            self.mask_kind
        }
    }

    /// The reader of the label files that `file` describes.
    ///
    /// # Errors
    /// Returns the errors of [`LabelReader::new`].
    pub fn reader(&self, file: &LabelFile) -> Result<LabelReader> {
        let (classes, relabeling) = (self.class_set.as_ref(), self.relabeling.as_ref());
        LabelReader::new(file, self.mask_kind, classes, relabeling)
    }

    /// Reads the manifest in `file`, or the shipped one called `name`.
    ///
    /// # Errors
    /// Returns an error if there is no such manifest, or it is not valid.
    pub fn load(name: Option<&str>, file: Option<&Path>) -> Result<Self> {
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("could not read {}", file.display()))?;
            return Self::parse(&text, file.parent())
                .with_context(|| format!("{} is not a valid data set manifest", file.display()));
        }
        let names = || SHIPPED.map(|(name, _)| name).join(", ");
        let Some(name) = name else {
            bail!("name a data set with --dataset ({}) or --manifest", names());
        };
        let (_, text) = SHIPPED
            .iter()
            .find(|(shipped, _)| *shipped == name)
            .with_context(|| {
                format!(
                    "there is no data set {name}: choose one of {}, or write a manifest and name it with --manifest",
                    names()
                )
            })?;
        Self::parse(text, None).with_context(|| format!("the manifest of {name} is not valid"))
    }

    /// Checks the content of the fields: patterns, ranges and values.
    ///
    /// # Errors
    /// Returns an error if one of them cannot be used.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.layouts.is_empty(), "it has no [[layouts]]");
        for layout in &self.layouts {
            self.check_layout(layout)?;
        }
        Ok(())
    }

    fn check_layout(&self, layout: &Layout) -> Result<()> {
        ensure!(!layout.images.is_empty(), "a layout has no images");
        for listing in layout.listing() {
            let listing = Pattern::parse(listing)?;
            let placeholders: Captures = listing
                .names()
                .map(|name| (name.to_owned(), "x".to_owned()))
                .collect();
            let masks = layout.masks.iter();
            let masks = masks.flat_map(|m| std::iter::once(&m.path).chain(&m.legend));
            let others = layout.ids.iter().chain([&layout.sample_id]);
            for text in masks.chain(&layout.images).chain(others) {
                let path = Pattern::parse(text)?
                    .fill(&placeholders)
                    .with_context(|| format!("{text:?} cannot be filled in"))?;
                check_inside(Path::new(&path))?;
            }
            if let Some(by) = &self.expected_by {
                let name = &by.placeholder;
                ensure!(
                    placeholders.contains_key(name),
                    "{listing} has no {{{name}}}"
                );
            }
        }
        for mask in &layout.masks {
            self.reader(mask)
                .with_context(|| format!("the values of {:?} cannot be used", mask.path))?;
        }
        Ok(())
    }

    /// How a data set that was found differs from the published one, in words: in the number of samples `n_found`, and in the
    /// `sizes` (width, height) of its images.
    pub fn differences(
        &self,
        n_found: usize,
        mut sizes: impl Iterator<Item = (u32, u32)>,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        if let Some(expected) = self.expected_samples.filter(|&n| n != n_found) {
            differences.push(format!("{n_found} samples instead of {expected}"));
        }
        if let Some([width, height]) = self.image_size
            && let Some((w, h)) = sizes.find(|&size| size != (width, height))
        {
            differences.push(format!("images of {w}x{h} instead of {width}x{height}"));
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shipped_manifests_are_valid_and_no_file_is_forgotten() -> Result<()> {
        for (name, _) in SHIPPED {
            let manifest = DatasetManifest::load(Some(name), None)?;
            assert_eq!(manifest.name, name);
            assert!(!manifest.citation.is_empty() && !manifest.url.is_empty());
            if let Some(by) = &manifest.expected_by {
                assert_eq!(Some(by.samples.values().sum()), manifest.expected_samples);
            }
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data-manifests");
        let files = std::fs::read_dir(folder)?
            .filter_map(|e| Some(e.ok()?.path().extension()? == "toml"))
            .filter(|is_toml| *is_toml)
            .count();
        assert_eq!(files, SHIPPED.len());
        Ok(())
    }

    #[test]
    fn mistakes_are_named() -> Result<()> {
        let (_, good) = SHIPPED
            .into_iter()
            .find(|(name, _)| *name == "road-anomaly21")
            .context("is shipped")?;
        for (from, to, complaint) in [
            ("split =", "splitt =", "splitt"),
            ("\"eval\"", "\"evil\"", "evil"),
            ("\"1\" = 1", "\"1\" = 7", "7"),
            ("\"1\" = 1", "\"9-1\" = 1", "9-1"),
            ("sample_id = \"{id}\"", "sample_id = \"{name}\"", "{name}"),
            ("labels_masks/", "../", "leads out"),
            ("[[layouts]]", "expected_by = 3\n[[layouts]]", "expected"),
        ] {
            let text = good.replace(from, to);
            assert_ne!(text, good, "{from}");
            let error = DatasetManifest::parse(&text, None).expect_err("is refused");
            assert!(format!("{error:#}").contains(complaint), "{error:#}");
        }
        let error = DatasetManifest::load(Some("kitti"), None).expect_err("is refused");
        assert!(
            format!("{error:#}").contains("cityscapes-train"),
            "{error:#}"
        );
        Ok(())
    }
}
