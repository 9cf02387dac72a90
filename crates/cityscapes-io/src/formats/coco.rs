//! A file of COCO instances as the labels of its images.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use coco_format::dataset::{self, Dataset};
use coco_format::faults::{self, Fault};
use coco_format::id::Id;
use coco_format::lookup::{repeated_categories, unlisted_category};
use coco_format::objects::Objects;
use coco_format::rasterize;

use crate::formats::regions::Region;
use crate::meanings::names::NameTable;

/// The records of a file.
#[derive(Debug)]
pub(crate) struct CocoLabels {
    path: PathBuf,
    dataset: Dataset,
    /// Names of the categories by their ids.
    categories: HashMap<Id, String>,
    /// Places of the annotations of each image, in the order of the file.
    annotations: HashMap<Id, Vec<usize>>,
}

impl CocoLabels {
    /// Reads a file.
    ///
    /// # Errors
    /// Returns an error if it is not one of COCO instances, or if a record cannot be used.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let dataset = dataset::read(path)?;
        let categories = dataset.categories.iter();
        let categories = categories.map(|c| (c.id.clone(), c.name.clone()));
        let categories: HashMap<Id, String> = categories.collect();
        let mut annotations: HashMap<Id, Vec<usize>> = HashMap::new();
        let mut wrong = dataset.faults.clone();
        wrong.extend(repeated_categories(&dataset.categories));
        for (place, annotation) in dataset.annotations.iter().enumerate() {
            if !categories.contains_key(&annotation.category_id) {
                wrong.push(unlisted_category(annotation));
            }
            let image = annotation.image_id.clone();
            annotations.entry(image).or_default().push(place);
        }
        wrong.extend(repeated_images(&dataset));
        faults::refuse(&wrong).with_context(|| path.display().to_string())?;
        Ok(Self {
            path: path.to_owned(),
            dataset,
            categories,
            annotations,
        })
    }

    /// Names of the images, by which their places in the file are found.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.dataset.images.iter().map(|i| i.file_name.as_str())
    }

    /// The regions of the annotations of the image at `place`, which has `size` (width, height), as pycocotools rasterizes them.
    ///
    /// # Errors
    /// Returns an error if the image has another size in the file, a shape is not valid, or a name has no meaning.
    pub(crate) fn regions(
        &self,
        place: usize,
        names: &NameTable,
        (width, height): (usize, usize),
    ) -> Result<Vec<Region>> {
        let image = self.dataset.images.get(place);
        let image = image.context("the file has no such image")?;
        if let Some((w, h)) = image.size {
            ensure!(
                (w as usize, h as usize) == (width, height),
                "{} says {w}x{h} pixels of {}, but the image has {width}x{height}: these annotations belong to other \
                 images",
                self.path.display(),
                image.file_name
            );
        }
        let places = self
            .annotations
            .get(&image.id)
            .map_or(&[][..], Vec::as_slice);
        let annotations = places.iter().map(|&n| &self.dataset.annotations[n]);
        let found = annotations.clone().map(|annotation| {
            let name = self.categories.get(&annotation.category_id);
            let place = format!("annotation {}", annotation.id);
            (name.map_or("", String::as_str), place)
        });
        let values = names.all(&found.collect::<Vec<_>>(), &self.path)?;
        let (w, h) = (width as u32, height as u32); // sizes of pictures are limited
        let mut objects = Objects::default();
        let mut regions = Vec::with_capacity(values.len());
        for (annotation, value) in annotations.zip(values) {
            rasterize::unite(&mut objects, &self.dataset, &[annotation], w, h)
                .with_context(|| self.path.display().to_string())?;
            regions.push(Region::of_objects(&objects).with_value(value));
        }
        Ok(regions)
    }
}

/// Images whose ids or names occur twice.
fn repeated_images(dataset: &Dataset) -> Vec<Fault> {
    let (mut ids, mut names) = (HashSet::new(), HashMap::new());
    let mut wrong = Vec::new();
    for image in &dataset.images {
        let id = &image.id;
        if !ids.insert(id) {
            let predicate = "occurs twice: remove one of the records";
            wrong.push(Fault::new(format!("image id {id}"), predicate));
        } else if let Some(other) = names.insert(&image.file_name, id) {
            let predicate = format!("has the same file_name as image {other}");
            wrong.push(Fault::new(format!("image {id}"), predicate));
        }
    }
    wrong
}
