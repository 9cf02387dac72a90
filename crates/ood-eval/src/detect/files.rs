//! The segments of all images as CSV, as JSON and in the format of COCO, written image by image.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use super::detection::{Detection, FoundImage, Length};
use crate::tables::csv::{csv_line, csv_number, csv_text};

/// Name of the only category in the file for annotation tools.
const CATEGORY: &str = "unknown object";

/// Header of `detections.csv`.
const COLUMNS: [&str; 12] = [
    "sample_id",
    "image",
    "segment_id",
    "is_kept",
    "score",
    "false_positive_prob",
    "left",
    "top",
    "width",
    "height",
    "area",
    "polygons",
];

/// The three files while they are written.
pub(super) struct Files<'a> {
    pub(super) csv: &'a mut dyn Write,
    pub(super) json: &'a mut dyn Write,
    pub(super) coco: &'a mut dyn Write,
    n_images: u64,
    n_annotations: u64,
}

impl<'a> Files<'a> {
    /// Begins the files. `score` says what the score of a segment is; `images` are those of the file in COCO's format, in the order
    /// in which they are added.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(super) fn begin(
        [csv, json, coco]: [&'a mut dyn Write; 3],
        score: &str,
        images: &[Value],
    ) -> Result<Self> {
        csv.write_all(csv_line(COLUMNS.map(str::to_owned)).as_bytes())?;
        write!(
            json,
            "{{\"format_version\":1,\"score\":{},\"images\":[",
            json!(score)
        )?;
        let info = json!({"description": format!("Segments that may be unknown objects. Their score is {score}.")});
        let category = json!({"id": 1, "name": CATEGORY, "supercategory": "object"});
        write!(
            coco,
            "{{\"info\":{info},\"licenses\":[],\"categories\":[{category}],\"images\":"
        )?;
        serde_json::to_writer(&mut *coco, images)?;
        write!(coco, ",\"annotations\":[")?;
        Ok(Self {
            csv,
            json,
            coco,
            n_images: 0,
            n_annotations: 0,
        })
    }

    /// Adds the segments of the next image; rejected ones are not in the file for annotation tools.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(super) fn add(&mut self, image: &FoundImage) -> Result<()> {
        for detection in &image.detections {
            self.csv.write_all(csv_row(image, detection)?.as_bytes())?;
        }
        write!(self.json, "{}", separator(self.n_images))?;
        serde_json::to_writer(&mut *self.json, image)?;
        self.n_images += 1;
        for detection in image.detections.iter().filter(|d| d.is_kept) {
            write!(self.coco, "{}", separator(self.n_annotations))?;
            self.n_annotations += 1;
            let annotation = Annotation::new(self.n_annotations, self.n_images, detection);
            serde_json::to_writer(&mut *self.coco, &annotation)?;
        }
        Ok(())
    }

    /// Ends the files.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(super) fn end(self) -> Result<()> {
        writeln!(self.json, "\n]}}")?;
        writeln!(self.coco, "\n]}}")?;
        Ok(())
    }
}

/// An entry for the image with this number, from 1, in the format of COCO.
pub(super) fn coco_image(number: usize, file: &str, size: (u32, u32), sample_id: &str) -> Value {
    let (width, height) = size;
    json!({"id": number, "file_name": file, "width": width, "height": height, "sample_id": sample_id})
}

/// What stands before the next one of `n` entries.
fn separator(n: u64) -> &'static str {
    if n == 0 { "\n" } else { ",\n" }
}

/// An entry of `annotations` in the format of COCO.
#[derive(Serialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    category_id: u32,
    bbox: [Length; 4],
    area: Length,
    /// Polygons, each as x, y, x, y ...
    segmentation: Vec<Vec<Length>>,
    iscrowd: u32,
    score: f64,
    segment_id: u32,
}

impl Annotation {
    fn new(id: u64, image_id: u64, detection: &Detection) -> Self {
        let rings = detection.rings.iter();
        Self {
            id,
            image_id,
            category_id: 1,
            bbox: detection.bbox,
            area: detection.area,
            segmentation: rings.map(|ring| ring.as_flattened().to_vec()).collect(),
            iscrowd: 0,
            score: detection.score,
            segment_id: detection.segment_id,
        }
    }
}

fn csv_row(image: &FoundImage, detection: &Detection) -> Result<String> {
    let keys = [
        csv_text(&image.sample_id),
        csv_text(&image.image),
        detection.segment_id.to_string(),
        detection.is_kept.to_string(),
        detection.score.to_string(),
        csv_number(detection.false_positive_prob),
    ];
    let lengths = detection.bbox.into_iter().chain([detection.area]);
    let lengths = lengths.map(|length| length.0.to_string());
    let polygons = csv_text(&serde_json::to_string(&detection.polygons)?);
    Ok(csv_line(keys.into_iter().chain(lengths).chain([polygons])))
}
