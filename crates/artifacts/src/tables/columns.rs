//! Names of the columns by which tables are joined, and of those that several stages read.

/// Identifies a sample: the data set's own name of the image.
pub const SAMPLE_ID: &str = "sample_id";

/// Identifies a predicted segment within its sample: its number in the component map, from 1.
pub const SEGMENT_ID: &str = "segment_id";

/// Identifies a true object within its sample, from 1.
pub const OBJECT_ID: &str = "object_id";

/// Name of a pixel score, such as `entropy`.
pub const SCORE: &str = "score";

/// Number of pixels that are labeled in-distribution.
pub const N_IN: &str = "n_in";

/// Number of pixels that are labeled out-of-distribution.
pub const N_OUT: &str = "n_out";

/// Adjusted `IoU` of a segment or an object, in [0, 1].
pub const ADJUSTED_IOU: &str = "adjusted_iou";

/// Whether a predicted segment has no out-of-distribution pixel.
pub const IS_FALSE_POSITIVE: &str = "is_false_positive";

/// Whether the meta classifier rejects a segment.
pub const IS_REJECTED: &str = "is_rejected";
