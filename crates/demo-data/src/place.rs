//! Places on the ground of a street.

use crate::polygon::Point;
use crate::street::Street;

/// A frame of reference: from meters to pixels at one place on the ground.
pub(crate) struct Place {
    /// Pixel of the place.
    pub(crate) base: Point,
    /// Pixels per meter.
    pub(crate) meter: f64,
}

impl Place {
    /// The place `side` meters to the right of the camera and `distance` meters ahead.
    pub(crate) fn new(street: &Street, side: f64, distance: f64) -> Self {
        let meter = street.view.scale_at(distance);
        Self {
            base: street.view.at(side, 0.0, meter),
            meter,
        }
    }

    /// Pixels of a polygon in meters to the right of the place and above it.
    pub(crate) fn points(&self, polygon: &[Point]) -> Vec<Point> {
        polygon
            .iter()
            .map(|p| {
                [
                    self.base[0] + p[0] * self.meter,
                    self.base[1] - p[1] * self.meter,
                ]
            })
            .collect()
    }
}
