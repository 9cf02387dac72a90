//! Label values in masks.

use serde::{Deserialize, Serialize};

/// Void: no loss, no metric, never part of a segment.
pub const IGNORE: u8 = 255;

/// Pixel of a COCO object in a training mask, where the network is trained to be maximally uncertain.
pub const OOD_PROXY: u8 = 254;

/// Most objects for pasting in one image, whose numbers are the labels from 1 on.
pub const MAX_OBJECTS: u8 = 254;

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
    /// Positions in the class set of the index, and [`IGNORE`].
    TrainId,
    /// Training proxy: [`OOD_PROXY`] on objects, elsewhere 0 (reference) or [`IGNORE`].
    Proxy,
    /// Values of [`EvalLabel`].
    Eval,
    /// Objects for pasting: 0 beside objects, `n` on the `n`-th of the sample's [`ProxyInfo::objects`](crate::index::ProxyInfo).
    Object,
}

impl MaskKind {
    /// Whether `value` may occur in a mask of this kind. `num_classes` is the size of the class set, which matters for train ids only.
    pub fn allows(self, value: u8, num_classes: usize) -> bool {
        match self {
            Self::TrainId => usize::from(value) < num_classes || value == IGNORE,
            Self::Proxy => matches!(value, 0 | OOD_PROXY | IGNORE),
            Self::Eval => matches!(value, 0..=2 | IGNORE),
            Self::Object => value <= MAX_OBJECTS,
        }
    }
}
