//! The camera: a pinhole camera 1.4 m above a straight road.

use crate::polygon::Point;

/// Height of the camera over the road in meters.
const CAMERA_HEIGHT: f64 = 1.4;
/// Focal length in units of the image height.
const FOCAL_LENGTH: f64 = 1.1;
/// Scale of the farthest ground that is painted (about 180 m away), in pixels per meter and row of the image.
pub(crate) const FAR: f64 = 0.006;

/// The perspective of the camera: where points of the scene are in the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Size of the image in pixels.
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// Column of the vanishing point.
    pub(crate) vanishing: f64,
    /// Row of the horizon.
    pub(crate) horizon: f64,
}

impl View {
    /// Pixel of the point `side` meters to the right and `up` meters above ground, where a meter is `scale` pixels.
    pub(crate) fn at(&self, side: f64, up: f64, scale: f64) -> Point {
        [
            self.vanishing + side * scale,
            self.horizon + (CAMERA_HEIGHT - up) * scale,
        ]
    }

    /// Pixels per meter at a distance in meters.
    pub(crate) fn scale_at(&self, distance: f64) -> f64 {
        FOCAL_LENGTH * self.height / distance
    }

    /// Scale of the ground just below the lower edge of the image, up to which ground is painted.
    pub(crate) fn near_end(&self) -> f64 {
        self.nearest() * 1.02
    }

    /// Pixels per meter of the ground at the lower edge of the image.
    pub(crate) fn nearest(&self) -> f64 {
        (self.height - self.horizon) / CAMERA_HEIGHT
    }

    /// Where the ground is that a pixel shows: meters to the right, and ahead.
    pub(crate) fn ground(&self, x: f32, y: f32) -> [f32; 2] {
        let scale = ((f64::from(y) + 0.5 - self.horizon) / CAMERA_HEIGHT).max(0.1);
        let side = (f64::from(x) - self.vanishing) / scale;
        [side as f32, (FOCAL_LENGTH * self.height / scale) as f32]
    }

    /// Which point of an upright plane along the road, `side` meters beside the camera, a pixel shows: meters ahead, and above
    /// ground.
    pub(crate) fn facade(&self, side: f64, x: f32, y: f32) -> [f32; 2] {
        let scale = ((f64::from(x) + 0.5 - self.vanishing) / side).max(0.1);
        let up = CAMERA_HEIGHT - (f64::from(y) + 0.5 - self.horizon) / scale;
        [(FOCAL_LENGTH * self.height / scale) as f32, up as f32]
    }

    /// A strip of ground between two lateral positions in meters, and two distances given as scales in pixels per meter.
    pub(crate) fn strip(&self, left: f64, right: f64, far: f64, near: f64) -> Vec<Point> {
        vec![
            self.at(left, 0.0, far),
            self.at(right, 0.0, far),
            self.at(right, 0.0, near),
            self.at(left, 0.0, near),
        ]
    }

    /// An upright rectangle along the street, `plane` meters beside the camera, `far` to `near` meters ahead and `high` meters
    /// high.
    pub(crate) fn upright(&self, plane: f64, far: f64, near: f64, high: f64) -> Vec<Point> {
        let (far, near) = (self.scale_at(far), self.scale_at(near));
        vec![
            self.at(plane, 0.0, far),
            self.at(plane, high, far),
            self.at(plane, high, near),
            self.at(plane, 0.0, near),
        ]
    }
}
