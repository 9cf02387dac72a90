//! Names of the optional metrics of a segment's context: contrast with its surroundings, shape and position.
//!
//! They are to tell objects from what looks unusual for other reasons: seams between two classes are thin and separate different
//! surroundings, vegetation flickers in many pieces among other raised scores, and the rim of the image lacks half of its context.
//! The paper's metrics say little of that. Contrast with a ring and edges along the outline follow the cues of Alexe, Deselaers and
//! Ferrari 2012 (Measuring the Objectness of Image Windows), measured in scores and predicted classes in place of colors; measures of
//! shape are those of scikit-image's `regionprops` where it has them.

use super::features::Feature;
use crate::basis::Basis;

/// Name and meaning of a metric.
type Named = (&'static str, &'static str);

/// How the thresholded score of a segment stands out from its ring.
const CONTRAST: [Named; 4] = [
    (
        "ring_contrast",
        "mean score of the segment minus that of its ring, in units of the thresholded score",
    ),
    (
        "ring_score_std",
        "population standard deviation of the score in the ring, in the same units",
    ),
    (
        "ring_raised",
        "share of the ring's pixels whose score is at least halfway from the mean over all pixels of no segment to the threshold, in [0, 1]",
    ),
    (
        "ring_size_rel",
        "pixels of the ring / size; small where other segments are near, 0 for a segment without ring",
    ),
];

/// Whether predicted classes change at the segment; only of logits.
const CLASS_EDGES: [Named; 4] = [
    (
        "ring_class_distance",
        "half of the sum over all classes of the difference between their shares of predicted pixels in the segment and in the ring, in [0, 1]: 0 if the shares are the same, 1 if no class is in both",
    ),
    (
        "ring_class_entropy",
        "entropy of the shares of predicted classes in the ring / ln C, in [0, 1]: 0 on ground of one class",
    ),
    (
        "outline_class_edges",
        "share of the pixel sides between the segment and its outside that separate two predicted classes, in [0, 1]",
    ),
    (
        "inside_class_edges",
        "share of the pixel sides inside the segment that separate two predicted classes, in [0, 1]; 0 for a single pixel",
    ),
];

/// The shape of a segment.
const SHAPE: [Named; 8] = [
    ("extent", "size / pixels of the bounding box, in (0, 1]"),
    (
        "solidity",
        "size / area of the convex hull of the corners of all pixels, in (0, 1]",
    ),
    (
        "eccentricity",
        "eccentricity of the ellipse with the same second moments, in [0, 1): 0 for a circle or a square",
    ),
    (
        "orientation",
        "angle between the major axis of that ellipse and the rows, in radians from 0 (level) to π/2 (upright); 0 for a circle",
    ),
    (
        "compactness",
        "perimeter² / (4π size), where the perimeter counts pixel sides, those at the rim of the image included; 4/π for a square, larger for all else",
    ),
    (
        "mean_width",
        "size / length of the major axis of that ellipse, pixels; its length is 4 standard deviations",
    ),
    (
        "touches_rim",
        "1 if a pixel is at the rim of the image, else 0",
    ),
    (
        "rim_share",
        "share of the perimeter at the rim of the image, in [0, 1]",
    ),
];

/// Where the segment is, and its place among those of the image.
const PLACE: [Named; 6] = [
    (
        "center_height",
        "mean row relative to the image, (centroid_row + 0.5) / height, in (0, 1): near 0 at the top",
    ),
    (
        "center_offset",
        "distance of the mean column from the middle of the image relative to half the width, in [0, 1): near 1 at the left and right rim",
    ),
    ("image_segments", "number of segments of the image"),
    (
        "flagged_share",
        "share of the pixels of all segments of the image that are in this one, in (0, 1]",
    ),
    (
        "larger_share",
        "share of the segments of the image that have more pixels, in [0, 1)",
    ),
    (
        "larger_distance",
        "rows or columns, whichever are more, from the bounding box to that of the nearest segment with more pixels, among the 256 largest of the image; 0 if the boxes overlap, the longer side of the image if no segment has more pixels",
    ),
];

/// Prefix of the columns of predicted classes in the ring.
pub(super) const RING_CLASS: &str = "ring_class_";

/// Column that every table with these metrics has, and no other.
pub(super) const MARKER: &str = CONTRAST[0].0;

/// The metrics of the context of a segment that is measured from `basis`, in the order of the columns: 18 of any score, and 4 + C
/// of logits of C classes.
pub fn context_features(basis: Basis) -> Vec<Feature> {
    let of_logits = |_: &Named| basis.num_classes.is_some();
    let named = CONTRAST
        .into_iter()
        .chain(CLASS_EDGES.into_iter().filter(of_logits))
        .chain(SHAPE)
        .chain(PLACE)
        .map(|(name, meaning)| (name.to_owned(), meaning.to_owned()));
    let of_class = |class| {
        let meaning =
            format!("share of the ring's pixels that are predicted as class {class}, in [0, 1]");
        (format!("{RING_CLASS}{class:02}"), meaning)
    };
    let classes = 0..basis.num_classes.unwrap_or(0);
    let all = named.chain(classes.map(of_class));
    // the reference has none of them
    all.map(|(name, meaning)| Feature {
        reference_name: name.clone(),
        name,
        meaning,
    })
    .collect()
}

/// Whether the metrics with these names include those of the context.
pub fn is_among(names: &[String]) -> bool {
    names.iter().any(|name| name == MARKER)
}
