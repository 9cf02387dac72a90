//! What was found in one image, in pixels of the image file.

use anyhow::{Context, Result, ensure};
use artifacts::index::Sample;
use artifacts::mask::ComponentMap;
use serde::{Deserialize, Serialize, Serializer};

use super::outline::{Part, Point, Region};
use crate::read::found::{FoundSample, FoundSegment};

/// Everything that was found in an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FoundImage {
    pub(super) sample_id: String,
    /// The image file, relative to the folder of the images.
    pub(super) image: String,
    /// Columns of the image.
    pub(super) width: u32,
    /// Rows of the image.
    pub(super) height: u32,
    pub(super) detections: Vec<Detection>,
}

/// A segment as box and polygons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Detection {
    /// Number in the component map and in the table of segments.
    pub(super) segment_id: u32,
    /// Whether the meta classifier keeps it.
    pub(super) is_kept: bool,
    /// How suspicious it is; [`SegmentScore`](crate::read::found::SegmentScore) says what the number is.
    pub(super) score: f64,
    pub(super) false_positive_prob: Option<f64>,
    /// Left, top, width and height.
    pub(super) bbox: [Length; 4],
    /// Area in pixels of the image.
    pub(super) area: Length,
    /// Polygons, each with its outer ring first and those of holes after it, as in `GeoJSON`.
    pub(super) polygons: Vec<Vec<Vec<[Length; 2]>>>,
    /// One ring for each polygon, with slits to its holes.
    #[serde(skip)]
    pub(super) rings: Vec<Vec<[Length; 2]>>,
}

/// A length or an area in pixels, written as an integer if it is one.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub(super) struct Length(pub(super) f64);

impl Length {
    /// A value to a hundredth.
    pub(super) fn new(value: f64) -> Self {
        Self((100.0 * value).round() / 100.0)
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 {
            serializer.serialize_u64(self.0 as u64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// Pixels of the image for each pixel of the component map, along both axes.
#[derive(Clone, Copy)]
struct Scale([f64; 2]);

impl Scale {
    fn point(self, [x, y]: Point) -> [Length; 2] {
        let [sx, sy] = self.0;
        [
            Length::new(f64::from(x) * sx),
            Length::new(f64::from(y) * sy),
        ]
    }

    fn ring(self, ring: &[Point]) -> Vec<[Length; 2]> {
        ring.iter().map(|&point| self.point(point)).collect()
    }

    fn polygon(self, part: &Part) -> Vec<Vec<[Length; 2]>> {
        let rings = std::iter::once(&part.outer).chain(&part.holes);
        rings.map(|ring| self.ring(ring)).collect()
    }
}

impl FoundImage {
    /// Traces the segments of a sample in its component map.
    ///
    /// # Errors
    /// Returns an error if the map has another size or other segments than the tables say.
    pub(super) fn new(found: &FoundSample, sample: &Sample, map: &ComponentMap) -> Result<Self> {
        ensure!(
            (map.width, map.height) == (found.width as usize, found.height as usize),
            "its component map is {}x{}, but the tables say {}x{}",
            map.width,
            map.height,
            found.width,
            found.height
        );
        let boxes = boxes(map);
        let scale = Scale([
            f64::from(sample.image_width) / f64::from(found.width),
            f64::from(sample.image_height) / f64::from(found.height),
        ]);
        let detections = found.segments.iter().map(|segment| {
            let id = u16::try_from(segment.id).ok();
            let found = id.and_then(|id| Some((id, boxes.get(usize::from(id))?.as_ref()?)));
            let (id, extent) = found.with_context(|| {
                format!("its component map does not have segment {}", segment.id)
            })?;
            ensure!(
                extent.n_pixels == segment.size,
                "segment {id} has {} pixels in its component map, but {} in the tables",
                extent.n_pixels,
                segment.size
            );
            let region = Region::of(&map.ids, map.width, id, extent.rect());
            Ok(Detection::new(segment, extent, &region.parts(), scale))
        });
        Ok(Self {
            sample_id: found.sample_id.clone(),
            image: sample.image.display().to_string(),
            width: sample.image_width,
            height: sample.image_height,
            detections: detections.collect::<Result<_>>()?,
        })
    }
}

impl Detection {
    fn new(segment: &FoundSegment, extent: &Extent, parts: &[Part], scale: Scale) -> Self {
        let [left, top] = scale.point([extent.left as u32, extent.top as u32]);
        let [right, bottom] = scale.point([extent.right as u32, extent.bottom as u32]);
        let [sx, sy] = scale.0;
        Self {
            segment_id: segment.id,
            is_kept: segment.is_kept,
            score: segment.score,
            false_positive_prob: segment.false_positive_prob,
            bbox: [
                left,
                top,
                Length::new(right.0 - left.0),
                Length::new(bottom.0 - top.0),
            ],
            area: Length::new(segment.size as f64 * sx * sy),
            polygons: parts.iter().map(|part| scale.polygon(part)).collect(),
            rings: parts
                .iter()
                .map(|part| scale.ring(&part.with_slits))
                .collect(),
        }
    }
}

/// Where the pixels of a segment are.
#[derive(Clone, Copy)]
struct Extent {
    left: usize,
    top: usize,
    /// Column after the last one.
    right: usize,
    /// Row after the last one.
    bottom: usize,
    n_pixels: u64,
}

impl Extent {
    fn of_pixel(x: usize, y: usize) -> Self {
        Self {
            left: x,
            top: y,
            right: x,
            bottom: y,
            n_pixels: 0,
        }
    }

    fn add(&mut self, x: usize, y: usize) {
        self.left = self.left.min(x);
        self.right = self.right.max(x + 1);
        self.bottom = self.bottom.max(y + 1);
        self.n_pixels += 1;
    }

    /// Left, top, width and height.
    fn rect(&self) -> [usize; 4] {
        let (width, height) = (self.right - self.left, self.bottom - self.top);
        [self.left, self.top, width, height]
    }
}

/// The extent of each segment of a map, by its number.
fn boxes(map: &ComponentMap) -> Vec<Option<Extent>> {
    let largest = map.ids.iter().copied().max().unwrap_or(0);
    let mut boxes = vec![None; usize::from(largest) + 1];
    for (y, row) in map.ids.chunks_exact(map.width).enumerate() {
        for (x, &id) in row.iter().enumerate().filter(|&(_, &id)| id > 0) {
            let extent: &mut Option<Extent> = &mut boxes[usize::from(id)];
            extent
                .get_or_insert_with(|| Extent::of_pixel(x, y))
                .add(x, y);
        }
    }
    boxes
}
