//! The PNG files of COCO panoptic, whose colors are numbers of segments, and the JSON file that says what these are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::label_picture::read_colors;
use artifacts::mask::Mask;
use serde::Deserialize;

use crate::json_file;
use crate::meanings::names::NameTable;

#[derive(Deserialize)]
struct File {
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Annotation {
    file_name: String,
    segments_info: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Segment {
    id: u32,
    category_id: u64,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// What the segments of all images are.
#[derive(Clone, Debug)]
pub(crate) struct PanopticFile {
    path: PathBuf,
    /// By the name of the PNG.
    segments: HashMap<String, Vec<Segment>>,
    categories: HashMap<u64, String>,
}

impl PanopticFile {
    /// Reads the JSON file.
    ///
    /// # Errors
    /// Returns an error if it is not one of COCO panoptic, or a segment has a category that it does not list.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file: File = json_file::read(path).with_context(|| {
            format!(
                "{} is not a file of COCO panoptic, panoptic_*.json, whose annotations have segments_info",
                path.display()
            )
        })?;
        let categories = file.categories.into_iter().map(|c| (c.id, c.name));
        let categories: HashMap<u64, String> = categories.collect();
        let mut segments = HashMap::new();
        for annotation in file.annotations {
            let name = annotation.file_name;
            for segment in &annotation.segments_info {
                ensure!(
                    categories.contains_key(&segment.category_id),
                    "{} has a segment of {name} with the category {}, which it does not list",
                    path.display(),
                    segment.category_id
                );
            }
            let other = segments.insert(name.clone(), annotation.segments_info);
            ensure!(other.is_none(), "{} has {name} twice", path.display());
        }
        Ok(Self {
            path: path.to_owned(),
            segments,
            categories,
        })
    }

    /// Reads the PNG file `png`: each segment has the value of its category, and what no segment covers is `background`.
    ///
    /// # Errors
    /// Returns an error if the picture cannot be read, it is not listed, or it has a segment that is not listed, or a name has no
    /// meaning.
    pub(crate) fn read_mask(&self, png: &Path, names: &NameTable, background: u8) -> Result<Mask> {
        let name = png.file_name().unwrap_or_default().to_string_lossy();
        let segments = self.segments.get(&*name).with_context(|| {
            format!("{} says nothing of {}", self.path.display(), png.display())
        })?;
        let found = segments.iter().map(|segment| {
            let name = self.categories.get(&segment.category_id);
            let place = format!("segment {}", segment.id);
            (name.map_or("", String::as_str), place)
        });
        let values = names.all(&found.collect::<Vec<_>>(), png)?;
        let ids = segments.iter().map(|segment| segment.id);
        let mut value_of: HashMap<u32, u8> = ids.zip(values).collect();
        value_of.insert(0, background);
        let picture = read_colors(png)?;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let mut labels = Vec::with_capacity(width * height);
        for (at, pixel) in picture.pixels().enumerate() {
            let [r, g, b] = pixel.0;
            let id = u32::from_le_bytes([r, g, b, 0]);
            match value_of.get(&id) {
                Some(&value) => labels.push(value),
                None => bail!(
                    "{} has the segment {id} at row {}, column {}, of which {} says nothing: get both files again",
                    png.display(),
                    at / width,
                    at % width,
                    self.path.display()
                ),
            }
        }
        Ok(Mask {
            width,
            height,
            labels,
        })
    }
}
