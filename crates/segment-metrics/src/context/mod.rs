//! Metrics of a segment's context, which the paper does not have: contrast with its surroundings, shape, and place among the
//! segments of the image. [`artifacts::tables::context`] lists them and says where they are from.
//!
//! They need the whole image, unlike those of [`features`](crate::features): the scores and the predicted classes of all pixels.
//! The time is linear in the pixels: two passes find the pixels around all segments at once (`rings`), one more sums over
//! segments and rings, and no segment is compared with more than 256 others (`place`).

mod hull;
mod place;
mod rings;
mod shape;
mod sides;
mod surroundings;

use artifacts::basis::Basis;

use crate::components::Components;
use crate::context::place::places;
use crate::context::rings::rings;
use crate::context::shape::shapes;
use crate::context::sides::count_sides;
use crate::context::surroundings::surroundings;

/// An image after its last row, at one threshold.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Where the segments are.
    pub segments: &'a Components,
    /// Number of pixels of each segment.
    pub sizes: &'a [u64],
    /// Predicted class of each pixel, `[H, W]`; without logits the values do not matter.
    pub classes: &'a [u8],
    /// The thresholded score of each pixel, `[H, W]`.
    pub scores: &'a [f32],
    /// The threshold.
    pub threshold: f32,
    /// What segments are measured from.
    pub basis: Basis,
}

/// The metrics of the context of each segment, in the order of [`artifacts::tables::context::context_features`].
pub fn contexts(scene: &Scene<'_>) -> Vec<Vec<f64>> {
    let map = scene.segments;
    if map.count == 0 {
        return Vec::new();
    }
    let shapes = shapes(map);
    let sides = count_sides(map, scene.classes);
    let surroundings = surroundings(scene, &rings(map, scene.sizes));
    let places = places(&shapes, scene.sizes, (map.width, map.height));
    let all = shapes.iter().zip(&sides).zip(&surroundings).zip(&places);
    all.map(|(((shape, sides), around), place)| {
        let mut row = around.contrast().to_vec();
        if scene.basis.num_classes.is_some() {
            row.extend(around.class_metrics());
            row.extend(sides.class_edges());
        }
        row.extend(shape.metrics());
        row.extend(sides.metrics(shape.size()));
        row.extend(shape.axes());
        row.extend(sides.rim());
        row.extend(place);
        row.extend(around.ring_classes());
        row
    })
    .collect()
}
