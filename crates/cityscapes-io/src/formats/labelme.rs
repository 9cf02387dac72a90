//! The JSON files of labelme: the shapes of one image.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::label_picture::decode_labels;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::formats::regions::Region;
use crate::json_file;
use crate::meanings::names::NameTable;

/// The label for what annotators leave undecided, which labelme's own converters make void.
const UNDECIDED: &str = "__ignore__";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    shapes: Vec<Shape>,
    image_width: Option<usize>,
    image_height: Option<usize>,
}

#[derive(Deserialize)]
struct Shape {
    label: String,
    points: Vec<[f64; 2]>,
    /// Absent in files of old versions, which have polygons only.
    #[serde(rename = "shape_type")]
    kind: Option<String>,
    /// Of a shape of type `mask`: a PNG in Base64.
    mask: Option<String>,
}

/// The regions of the shapes in the file `path`, in their order, for an image of `size` (width, height). Polygons are filled as
/// Pillow does it, like in labelme.
///
/// # Errors
/// Returns an error if the file is damaged or of another image size, has a name without a meaning, or a shape that covers no
/// area (points and lines).
pub(crate) fn regions(path: &Path, names: &NameTable, size: (usize, usize)) -> Result<Vec<Region>> {
    let annotation: Annotation = json_file::read(path)?;
    let unusable = || json_file::unusable(path);
    let (width, height) = size;
    if let (Some(w), Some(h)) = (annotation.image_width, annotation.image_height) {
        ensure!(
            (w, h) == size,
            "{} is for {w}x{h} pixels, but its image has {width}x{height}: get both files again",
            path.display()
        );
    }
    let mut names = names.clone();
    if names.get(UNDECIDED).is_none() {
        names.add(UNDECIDED, artifacts::labels::IGNORE)?;
    }
    let shapes = annotation.shapes.iter().enumerate();
    let found = shapes.clone();
    let found = found.map(|(n, shape)| (shape.label.as_str(), format!("shape {}", n + 1)));
    let values = names.all(&found.collect::<Vec<_>>(), path)?;
    let regions = shapes.zip(values).map(|((n, shape), value)| {
        let region = shape.region(size);
        let region = region.with_context(|| format!("shape {} ({:?})", n + 1, shape.label));
        Ok(region.with_context(unusable)?.with_value(value))
    });
    regions.collect()
}

impl Shape {
    fn region(&self, size: (usize, usize)) -> Result<Region> {
        let kind = self.kind.as_deref().unwrap_or("polygon");
        match (kind, self.points.as_slice()) {
            ("polygon", corners) => {
                ensure!(
                    corners.len() > 2,
                    "has {} corners, at least 3 are needed",
                    corners.len()
                );
                Ok(Region::polygon(corners, size))
            }
            ("rectangle", &[[x0, y0], [x1, y1]]) => {
                let corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
                Ok(Region::polygon(&corners, size))
            }
            ("circle", &[[x0, y0], [x1, y1]]) => {
                let radius = (x1 - x0).hypot(y1 - y0);
                Ok(Region::ellipse([x0, y0], [radius; 2], 0.0, size))
            }
            ("mask", &[[x0, y0], [x1, y1]]) => self.bitmap([x0, y0, x1, y1], size),
            ("rectangle" | "circle" | "mask", points) => {
                bail!("is a {kind} of {} points, which has 2", points.len())
            }
            ("point" | "points" | "line" | "linestrip", _) => {
                bail!("is a {kind}, which covers no area: remove it, or draw a polygon")
            }
            _ => bail!("is of the kind {kind:?}, which is not known: use polygons"),
        }
    }

    /// The pixels of a shape that is a bitmap within `bounds` (left, top, right and bottom pixel).
    fn bitmap(&self, bounds: [f64; 4], (width, height): (usize, usize)) -> Result<Region> {
        let png = self.mask.as_deref().context("has no mask")?;
        let png = BASE64_STANDARD
            .decode(png)
            .context("its mask is not Base64")?;
        let mask = decode_labels(&png).context("its mask is no picture of values")?;
        let is_inside = bounds.iter().all(|v| (0.0..32_768.0).contains(v));
        ensure!(is_inside, "its mask begins or ends outside of the image");
        let [left, top, right, bottom] = bounds.map(|v| v as usize);
        let expected = ((right + 1).checked_sub(left), (bottom + 1).checked_sub(top));
        ensure!(
            expected == (Some(mask.width), Some(mask.height)) && right < width && bottom < height,
            "its mask of {}x{} pixels does not fit its two points",
            mask.width,
            mask.height
        );
        Ok(Region::of_pixels((width, height), |x, y| {
            let inside = (left..=right).contains(&x) && (top..=bottom).contains(&y);
            inside && mask.labels[(y - top) * mask.width + x - left] != 0
        }))
    }
}
