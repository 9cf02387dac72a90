//! What is known of a data set: `data-manifests/<name>.toml`.
//!
//! A manifest says where images and masks lie below the data set's folder, what the label values mean, and how
//! many samples the published set has. Unknown and missing fields are errors.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use artifacts::labels::MaskKind;
use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;
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
pub const SHIPPED: [(&str, &str); 7] = [
    shipped!("cityscapes-train"),
    shipped!("cityscapes-val"),
    shipped!("fishyscapes-laf"),
    shipped!("fishyscapes-static"),
    shipped!("lost-and-found-test"),
    shipped!("road-anomaly21"),
    shipped!("road-obstacle21"),
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
    /// Number of samples of the published set.
    pub expected_samples: usize,
    /// Width and height of all images of the published set; absent if they differ.
    pub image_size: Option<[u32; 2]>,
    /// Terms of use in a few words.
    pub licence: String,
    /// Paper to cite.
    pub citation: String,
    /// Where to get it.
    pub url: String,
    /// Forms in which the set is handed around; the first one whose images are found is read.
    pub layouts: Vec<Layout>,
}

/// Where images and masks of a data set lie, as patterns with placeholders, e.g. `images/{id}.{extension}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Images, relative to the data set's folder.
    pub images: String,
    /// The sample's key, made of the images' placeholders.
    pub sample_id: String,
    /// Label files, made of the images' placeholders; the first that exists is read.
    pub masks: Vec<LabelFile>,
}

/// Where label files lie and what their values mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelFile {
    /// Path relative to the data set's folder.
    pub path: String,
    /// Meaning of the values in the file.
    pub values: Values,
}

/// Meaning of the values in a label file; a value that has none is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// A table in the code: `cityscapes-label-ids`.
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

    fn check(&self) -> Result<()> {
        ensure!(!self.layouts.is_empty(), "there is no [[layouts]]");
        for layout in &self.layouts {
            ensure!(
                !layout.masks.is_empty(),
                "the layout {:?} has no [[layouts.masks]]",
                layout.images
            );
            let images = Pattern::parse(&layout.images)?;
            let placeholders = images
                .names()
                .map(|name| (name.to_owned(), "x".to_owned()))
                .collect();
            for text in layout
                .masks
                .iter()
                .map(|m| &m.path)
                .chain([&layout.sample_id])
            {
                let path = Pattern::parse(text)?
                    .fill(&placeholders)
                    .with_context(|| format!("{text:?} cannot be filled in"))?;
                artifacts::index::check_inside(Path::new(&path))?;
            }
            for mask in &layout.masks {
                Remap::new(&mask.values, self.mask_kind)
                    .with_context(|| format!("values of {:?} cannot be used", mask.path))?;
            }
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
            assert!(!manifest.citation.is_empty() && manifest.url.starts_with("https://"));
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
    fn mistakes_are_named() {
        let (_, good) = SHIPPED[3];
        for (from, to, complaint) in [
            ("split =", "splitt =", "splitt"),
            ("\"eval\"", "\"evil\"", "evil"),
            ("\"1\" = 1", "\"1\" = 7", "7"),
            ("\"1\" = 1", "\"9-1\" = 1", "9-1"),
            ("{id}.png", "{name}.png", "{name}"),
            ("labels_masks/", "../", "leads out"),
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
    }
}
