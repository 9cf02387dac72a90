//! `annotations.xml` of "CVAT for images": the shapes of all images of a task.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail, ensure};
use coco_format::objects::Objects;
use roxmltree::{Document, Node};

use crate::formats::regions::Region;
use crate::meanings::names::NameTable;

/// The images of a file, with their shapes.
#[derive(Clone, Debug)]
pub(crate) struct CvatFile {
    path: PathBuf,
    images: Vec<Image>,
}

#[derive(Clone, Debug)]
struct Image {
    name: String,
    size: (usize, usize),
    /// In the order in which they are painted.
    shapes: Vec<Shape>,
}

#[derive(Clone, Debug)]
struct Shape {
    label: String,
    /// Which one it is among the shapes of the image, counted from 1.
    number: usize,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Polygon(Vec<[f64; 2]>),
    Ellipse {
        center: [f64; 2],
        half_axes: [f64; 2],
        degrees: f64,
    },
    /// Run lengths along the rows of a box, the first of background.
    Mask {
        left: usize,
        top: usize,
        width: usize,
        height: usize,
        runs: Vec<usize>,
    },
}

impl CvatFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Returns an error if it is damaged or not of "CVAT for images", or has shapes that cover no area.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let images = parse(&text).with_context(|| format!("{} cannot be used", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            images,
        })
    }

    /// Names of the images, by which their places in the file are found.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|image| image.name.as_str())
    }

    /// The regions of the shapes of the image at `place`, which has `size` (width, height).
    ///
    /// # Errors
    /// Returns an error if the image has another size in the file, or a name has no meaning.
    pub(crate) fn regions(
        &self,
        place: usize,
        names: &NameTable,
        size: (usize, usize),
    ) -> Result<Vec<Region>> {
        let image = self
            .images
            .get(place)
            .context("the file has no such image")?;
        let (width, height) = image.size;
        ensure!(
            image.size == size,
            "{} says {width}x{height} pixels of {}, but the image has {}x{}: export the annotations of these images",
            self.path.display(),
            image.name,
            size.0,
            size.1
        );
        let found = image.shapes.iter().map(|shape| {
            let place = format!("shape {} of {}", shape.number, image.name);
            (shape.label.as_str(), place)
        });
        let values = names.all(&found.collect::<Vec<_>>(), &self.path)?;
        let shapes = image.shapes.iter().zip(values);
        Ok(shapes
            .map(|(shape, value)| shape.form.region(size).with_value(value))
            .collect())
    }
}

impl Form {
    fn region(&self, size: (usize, usize)) -> Region {
        match self {
            Self::Polygon(corners) => {
                // CVAT makes its own masks by the rasterizer of COCO
                let mut objects = Objects::default();
                objects.reset(size.0 as u32, size.1 as u32);
                objects.add_polygon(corners.as_flattened());
                Region::of_objects(&objects)
            }
            Self::Ellipse {
                center,
                half_axes,
                degrees,
            } => Region::ellipse(*center, *half_axes, *degrees, size),
            Self::Mask {
                left,
                top,
                width,
                height,
                runs,
            } => {
                let mut is_inside = Vec::with_capacity(width * height);
                for (n, run) in runs.iter().enumerate() {
                    is_inside.resize(is_inside.len() + run, n % 2 == 1);
                }
                Region::of_pixels(size, |x, y| {
                    let (Some(x), Some(y)) = (x.checked_sub(*left), y.checked_sub(*top)) else {
                        return false;
                    };
                    x < *width && y < *height && is_inside[y * width + x]
                })
            }
        }
    }
}

fn parse(text: &str) -> Result<Vec<Image>> {
    let document = Document::parse(text.trim_start_matches('\u{FEFF}'))
        .map_err(Error::new)
        .context("it is not XML")?;
    let root = document.root_element();
    ensure!(
        root.has_tag_name("annotations"),
        "it is not a file of CVAT: its root is {:?} and not \"annotations\"",
        root.tag_name().name()
    );
    let elements = || root.children().filter(Node::is_element);
    ensure!(
        !elements().any(|node| node.has_tag_name("track")),
        "it has tracks, so it is of \"CVAT for video\": export the task as \"CVAT for images 1.1\""
    );
    let images = elements().filter(|node| node.has_tag_name("image"));
    let images: Vec<Image> = images.map(image).collect::<Result<_>>()?;
    ensure!(!images.is_empty(), "it has no images");
    let mut names = HashSet::new();
    for image in &images {
        let is_new = names.insert(&image.name);
        ensure!(is_new, "it has the image {:?} twice", image.name);
    }
    Ok(images)
}

fn image(node: Node) -> Result<Image> {
    let name = text(node, "name").context("an image has no name")?;
    read_image(node, name).with_context(|| format!("image {name:?}"))
}

fn read_image(node: Node, name: &str) -> Result<Image> {
    let size = (whole(node, "width")?, whole(node, "height")?);
    let mut shapes = Vec::new();
    // tags are about the whole image
    let elements = node.children().filter(Node::is_element);
    let elements = elements.filter(|node| !node.has_tag_name("tag"));
    for (number, node) in (1..).zip(elements) {
        let shape = shape(node, number, size);
        let shape = shape.with_context(|| format!("shape {number}"))?;
        let order = match node.attribute("z_order") {
            Some(_) => number_of(node, "z_order")?,
            None => 0.0,
        };
        shapes.push((order, shape));
    }
    shapes.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(Image {
        name: name.replace('\\', "/"),
        size,
        shapes: shapes.into_iter().map(|(_, shape)| shape).collect(),
    })
}

fn shape(node: Node, number: usize, size: (usize, usize)) -> Result<Shape> {
    let form = match node.tag_name().name() {
        "polygon" => Form::Polygon(points(text(node, "points")?)?),
        "box" => Form::Polygon(corners(node)?),
        "ellipse" => Form::Ellipse {
            center: [number_of(node, "cx")?, number_of(node, "cy")?],
            half_axes: [number_of(node, "rx")?, number_of(node, "ry")?],
            degrees: rotation(node)?,
        },
        "mask" => mask(node, size)?,
        kind @ ("polyline" | "points" | "skeleton") => {
            bail!("is of the kind {kind}, which covers no area: remove it, or draw a polygon")
        }
        kind => bail!("is of the kind {kind:?}, which is not known: use polygons or masks"),
    };
    Ok(Shape {
        label: text(node, "label")?.to_owned(),
        number,
        form,
    })
}

/// The corners of a box, turned around its center.
fn corners(node: Node) -> Result<Vec<[f64; 2]>> {
    let (left, top) = (number_of(node, "xtl")?, number_of(node, "ytl")?);
    let (right, bottom) = (number_of(node, "xbr")?, number_of(node, "ybr")?);
    let (sin, cos) = rotation(node)?.to_radians().sin_cos();
    let center = [f64::midpoint(left, right), f64::midpoint(top, bottom)];
    let corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
    let turned = corners.map(|[x, y]| {
        let (dx, dy) = (x - center[0], y - center[1]);
        [
            center[0] + dx * cos - dy * sin,
            center[1] + dx * sin + dy * cos,
        ]
    });
    Ok(turned.to_vec())
}

/// Degrees clockwise, 0 if it is not said.
fn rotation(node: Node) -> Result<f64> {
    match node.attribute("rotation") {
        Some(_) => number_of(node, "rotation"),
        None => Ok(0.0),
    }
}

fn mask(node: Node, size: (usize, usize)) -> Result<Form> {
    let [left, top] = [whole(node, "left")?, whole(node, "top")?];
    let [width, height] = [whole(node, "width")?, whole(node, "height")?];
    ensure!(
        left.saturating_add(width) <= size.0 && top.saturating_add(height) <= size.1,
        "its mask begins or ends outside of the image"
    );
    let runs = text(node, "rle")?.split(',').map(|run| run.trim().parse());
    let runs = runs.collect::<Result<Vec<usize>, _>>();
    let runs = runs.context("its rle is not a list of whole numbers")?;
    let total = runs
        .iter()
        .try_fold(0usize, |sum, &run| sum.checked_add(run));
    ensure!(
        total == Some(width * height),
        "its rle does not add up to the {width}x{height} pixels of its box"
    );
    Ok(Form::Mask {
        left,
        top,
        width,
        height,
        runs,
    })
}

/// The points of a polygon, `x,y;x,y;...`.
fn points(text: &str) -> Result<Vec<[f64; 2]>> {
    let points = text.split(';').map(|point| {
        let (x, y) = point.split_once(',')?;
        let point = [x.trim().parse().ok()?, y.trim().parse().ok()?];
        point.iter().all(|v: &f64| v.is_finite()).then_some(point)
    });
    let points: Option<Vec<[f64; 2]>> = points.collect();
    let points = points.context("its points are not numbers in the form x,y;x,y")?;
    ensure!(
        points.len() > 2,
        "has {} corners, at least 3 are needed",
        points.len()
    );
    Ok(points)
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str> {
    let text = node.attribute(name);
    text.with_context(|| format!("has no attribute {name}"))
}

fn number_of(node: Node, name: &str) -> Result<f64> {
    let number = text(node, name)?.trim().parse().ok();
    let number = number.filter(|number: &f64| number.is_finite());
    number.with_context(|| format!("its attribute {name} is not a number"))
}

fn whole(node: Node, name: &str) -> Result<usize> {
    let number = number_of(node, name)?;
    let is_whole = number.fract() == 0.0 && (0.0..=65_535.0).contains(&number);
    ensure!(is_whole, "its attribute {name} is not a number of pixels");
    Ok(number as usize)
}
