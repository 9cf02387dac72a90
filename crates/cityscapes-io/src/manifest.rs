//! What is known of a data set: `data-manifests/<name>.toml`.
//!
//! A manifest says where images and masks lie below the data set's folder, what the label values mean, and how
//! many samples the published set has. Unknown and missing fields are errors.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use artifacts::index::check_inside;
use artifacts::labels::MaskKind;
use serde::{Deserialize, Deserializer, Serialize};

use crate::pattern::{Captures, Pattern};
use crate::remap::Remap;

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

/// The manifests in the executable, by name.
pub const SHIPPED: [(&str, &str); 22] = [
    shipped!("bdd100k-train"),
    shipped!("bdd100k-val"),
    shipped!("cityscapes-coarse-train"),
    shipped!("cityscapes-coarse-train-extra"),
    shipped!("cityscapes-coarse-val"),
    shipped!("cityscapes-test"),
    shipped!("cityscapes-train"),
    shipped!("cityscapes-val"),
    shipped!("coco-train2017"),
    shipped!("coco-val2017"),
    shipped!("fishyscapes-laf"),
    shipped!("fishyscapes-static"),
    shipped!("image-folder"),
    shipped!("lost-and-found-test"),
    shipped!("lost-and-found-test-no-known"),
    shipped!("lost-and-found-train"),
    shipped!("road-anomaly"),
    shipped!("road-anomaly21"),
    shipped!("road-anomaly21-test"),
    shipped!("road-obstacle21"),
    shipped!("road-obstacle21-test"),
    shipped!("street-hazards-test"),
];

/// One data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// Name by which `--dataset` finds it; the file's name.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Data set as the index calls it, e.g. `cityscapes`.
    pub dataset: String,
    /// Split, e.g. `val`.
    pub split: String,
    /// What the masks hold after mapping.
    pub mask_kind: MaskKind,
    /// Number of samples of the published set; absent if there is no such number.
    pub expected_samples: Option<usize>,
    /// The same for each text of a placeholder, by which parts that are missing can be named.
    pub expected_by: Option<ExpectedBy>,
    /// Width and height of all images of the published set; absent if they differ.
    pub image_size: Option<[u32; 2]>,
    /// Samples whose ids start with one of these are left out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether samples without any pixel that counts are left out.
    #[serde(default)]
    pub skip_void: bool,
    /// Terms of use in a few words.
    pub licence: String,
    /// Paper to cite.
    pub citation: String,
    /// Where to get it.
    pub url: String,
    /// Files to get there, for comparison by `md5sum` or `sha256sum`.
    #[serde(default)]
    pub downloads: Vec<Download>,
    /// Forms in which the set is handed around; the first one whose images are found is read.
    pub layouts: Vec<Layout>,
}

/// How many samples there are for each text of a placeholder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedBy {
    /// Name of the placeholder, e.g. `city`.
    pub placeholder: String,
    /// Samples by its text.
    pub samples: BTreeMap<String, usize>,
}

/// A file of the published set, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Its name.
    pub file: String,
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// Its MD5 sum, hexadecimal.
    pub md5: Option<String>,
    /// Its SHA-256 sum, hexadecimal.
    pub sha256: Option<String>,
}

/// Where images and masks of a data set lie, as patterns with placeholders, e.g. `images/{id}.{extension}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Files that tell which samples there are, if these are not the images (e.g. labels of a few of them).
    pub list: Option<String>,
    /// Images, relative to the data set's folder. With `list` made of its placeholders, and the first that exists.
    #[serde(deserialize_with = "one_or_many")]
    pub images: Vec<String>,
    /// The sample's key, made of the placeholders of `list` or the images.
    pub sample_id: String,
    /// Whether images without a label file are samples too.
    #[serde(default)]
    pub labels_optional: bool,
    /// Label files, made of the same placeholders; the first that exists is read.
    #[serde(default)]
    pub masks: Vec<LabelFile>,
}

impl Layout {
    /// Patterns of the files that tell which samples there are.
    pub fn listing(&self) -> &[String] {
        self.list
            .as_ref()
            .map_or(&self.images, std::slice::from_ref)
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// Where label files lie and what their values mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelFile {
    /// Path relative to the data set's folder: a picture, or polygons of Cityscapes in a `.json`.
    pub path: String,
    /// Meaning of the values in the file.
    pub values: Values,
}

/// Meaning of the values in a label file; a value that has none is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// A table in the code: `cityscapes-label-ids`, or `unchanged` for masks of this project's values.
    Table(String),
    /// Value or range of values in the file (`"7"`, `"2-30"`) to the value in the mask.
    Map(BTreeMap<String, u8>),
}

impl DatasetManifest {
    /// Reads and checks the text of a manifest.
    ///
    /// # Errors
    /// If it is no valid TOML of this form, or a pattern, range or value cannot be used.
    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            // the error's own text has several lines
            let line = text[..error.span().map_or(0, |span| span.start)].lines();
            anyhow!("line {}: {}", line.count().max(1), error.message().trim())
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest in `file`, or the shipped one called `name`.
    ///
    /// # Errors
    /// If there is none, or it is not valid.
    pub fn load(name: Option<&str>, file: Option<&Path>) -> Result<Self> {
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("could not read {}", file.display()))?;
            return Self::parse(&text)
                .with_context(|| format!("{} is no data set manifest", file.display()));
        }
        let names = || SHIPPED.map(|(name, _)| name).join(", ");
        let Some(name) = name else {
            bail!("say which data set: --dataset ({}) or --manifest", names());
        };
        let (_, text) = SHIPPED
            .iter()
            .find(|(shipped, _)| *shipped == name)
            .with_context(|| {
                format!(
                    "data set {name} is not known: choose one of {}, or write a manifest and name it with --manifest",
                    names()
                )
            })?;
        Self::parse(text).with_context(|| format!("the manifest of {name} is not valid"))
    }

    /// Checks what the form of the file does not say.
    ///
    /// # Errors
    /// If a pattern, range or value cannot be used.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.layouts.is_empty(), "there is no [[layouts]]");
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
            let masks = layout.masks.iter().map(|m| &m.path);
            for text in masks.chain(&layout.images).chain([&layout.sample_id]) {
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
            Remap::new(&mask.values, self.mask_kind)
                .with_context(|| format!("values of {:?} cannot be used", mask.path))?;
        }
        Ok(())
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
            let error = DatasetManifest::parse(&text).expect_err("is refused");
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
