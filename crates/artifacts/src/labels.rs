//! Label values in masks.

use serde::{Deserialize, Serialize};

/// Number of Cityscapes classes that are trained and evaluated (`train_id` 0..=18).
pub const NUM_CLASSES: usize = 19;

/// Names of the Cityscapes classes, by train id.
pub const CLASS_NAMES: [&str; NUM_CLASSES] = [
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
];

/// Customary display colors of the Cityscapes classes, RGB, by train id.
pub const CLASS_COLORS: [[u8; 3]; NUM_CLASSES] = [
    [128, 64, 128],
    [244, 35, 232],
    [70, 70, 70],
    [102, 102, 156],
    [190, 153, 153],
    [153, 153, 153],
    [250, 170, 30],
    [220, 220, 0],
    [107, 142, 35],
    [152, 251, 152],
    [70, 130, 180],
    [220, 20, 60],
    [255, 0, 0],
    [0, 0, 142],
    [0, 0, 70],
    [0, 60, 100],
    [0, 80, 100],
    [0, 0, 230],
    [119, 11, 32],
];

/// Void: no loss, no metric, never part of a segment.
pub const IGNORE: u8 = 255;

/// Pixel of a COCO object in a training mask, where the network is trained to be maximally uncertain.
pub const OOD_PROXY: u8 = 254;

/// What a pixel counts as in the evaluation of out-of-distribution detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EvalLabel {
    /// In-distribution: a false positive if it is flagged.
    In = 0,
    /// Out-of-distribution: an unknown object.
    Out = 1,
    /// Left out of pixel metrics, but not void: a segment that lies here is a false positive.
    ///
    /// The reference does this with pixels whose id is neither void nor in one of its two lists of ids
    /// (id 0 of `LostAndFound`).
    Unrated = 2,
    /// Void: belongs to no segment, no object and no metric.
    Ignore = 255,
}

/// Which label values a mask may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskKind {
    /// Cityscapes train ids 0..=18 and [`IGNORE`].
    TrainId,
    /// Training proxy: [`OOD_PROXY`] on objects, elsewhere 0 (reference) or [`IGNORE`].
    Proxy,
    /// Values of [`EvalLabel`].
    Eval,
}

impl MaskKind {
    /// Whether `value` may occur in a mask of this kind.
    pub fn allows(self, value: u8) -> bool {
        match self {
            Self::TrainId => usize::from(value) < NUM_CLASSES || value == IGNORE,
            Self::Proxy => matches!(value, 0 | OOD_PROXY | IGNORE),
            Self::Eval => matches!(value, 0..=2 | IGNORE),
        }
    }
}
