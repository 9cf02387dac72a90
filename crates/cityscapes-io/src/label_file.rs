//! Where label files are, in which format, and what their labels mean, as manifests write it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::meanings::meaning::Meaning;

/// Name in manifests of the table from the colors of the class set to train ids.
pub(crate) const CLASS_COLORS: &str = "class-colors";

/// Name in manifests of the table from the names of the class set to train ids.
pub(crate) const CLASS_NAMES: &str = "class-names";

/// Element of [`LabelFile::void`] that stands for all labels without another meaning.
pub(crate) const OTHERS: &str = "others";

/// Where label files are and what their labels mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelFile {
    /// Path relative to the data set's folder.
    pub path: String,
    /// What kind of file it is.
    #[serde(default, skip_serializing_if = "Format::is_image")]
    pub format: Format,
    /// Meaning of the labels in the file.
    pub values: Values,
    /// Labels that are void beside those of `values`: values, colors or names; `others` stands for all that have no other
    /// meaning.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many"
    )]
    pub void: Vec<String>,
    /// File with the names of the labels: `labelmap.txt` of CVAT, `_classes.csv` of Roboflow, or the JSON of COCO panoptic; a
    /// path like that of the label files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legend: Option<String>,
    /// What pixels become that no shape covers; void for train ids if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Meaning>,
    /// What pixels become that several shapes cover.
    #[serde(default, skip_serializing_if = "Overlaps::is_later")]
    pub overlaps: Overlaps,
}

/// Kinds of label files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A picture of values or colors for each image; polygons of Cityscapes if the name ends in `.json`.
    #[default]
    Image,
    /// One JSON file of COCO instances for all images, as COCO, Roboflow, CVAT, Label Studio and others write it.
    Coco,
    /// A PNG of COCO panoptic for each image, whose JSON file is the legend.
    CocoPanoptic,
    /// A JSON file of labelme for each image.
    Labelme,
    /// One `annotations.xml` of "CVAT for images" for all images.
    Cvat,
}

impl Format {
    /// Whether it is the usual one.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
    fn is_image(&self) -> bool {
        *self == Self::Image
    }

    /// Whether files of this kind hold shapes, so that pixels may be covered by none or by several.
    pub(crate) fn has_shapes(self) -> bool {
        matches!(self, Self::Coco | Self::Labelme | Self::Cvat)
    }

    /// Whether one file has the labels of all images.
    pub(crate) fn is_collective(self) -> bool {
        matches!(self, Self::Coco | Self::Cvat)
    }

    /// Whether the labels are names of categories.
    pub(crate) fn has_names(self) -> bool {
        self != Self::Image
    }
}

/// What pixels become that several shapes cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Overlaps {
    /// The later shape covers the earlier one.
    #[default]
    Later,
    /// The smaller shape covers the larger one.
    Smaller,
    /// Pixels of shapes that become different values are void.
    Void,
}

impl Overlaps {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it with a reference
    fn is_later(&self) -> bool {
        *self == Self::Later
    }
}

/// Meaning of the labels in a file, as manifests write it; a label without a meaning is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// A table in the code: `cityscapes-label-ids`, `class-ids` for the `id`s and `void_ids` of the class set, `class-colors` for its
    /// colors, `class-names` for its names, or `unchanged` for masks that have this project's values already.
    Table(String),
    /// Value or range of values (`"7"`, `"2-30"`), color (`"#804080"`) or name in the file to the value in the mask or its name.
    Map(BTreeMap<String, Meaning>),
}

pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
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
