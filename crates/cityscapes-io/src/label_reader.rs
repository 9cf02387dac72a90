//! Label files of all formats become masks.
//!
//! Most formats have a file for each image. Others have *documents*, which belong to many images: the one file of COCO or CVAT,
//! or the legend that names the labels of pictures. Documents are opened once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use artifacts::classes::ClassSet;
use artifacts::labels::{IGNORE, MaskKind};
use artifacts::mask::Mask;

use crate::formats::coco::CocoLabels;
use crate::formats::cvat::CvatFile;
use crate::formats::labelme;
use crate::formats::panoptic::PanopticFile;
use crate::formats::regions::paint;
use crate::label_file::{Format, LabelFile, Overlaps};
use crate::meanings::legend_file;
use crate::meanings::table::{Table, check_members};
use crate::relabel::Relabeling;

/// Where the labels of one image are.
#[derive(Clone, Debug)]
pub struct LabelSource {
    /// Path of the file.
    pub path: PathBuf,
    /// Position of the reader among those of the layout.
    pub reader: usize,
    /// Path of the document that belongs to it, if there is one.
    pub document: Option<PathBuf>,
    /// Place of the image in a document of all images.
    pub place: usize,
}

impl LabelSource {
    /// The files that it depends on.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let document = self.document.as_deref().filter(|path| *path != self.path);
        std::iter::once(self.path.as_path()).chain(document)
    }
}

/// How the label files of one entry of a layout are read.
#[derive(Clone, Debug)]
pub struct LabelReader {
    format: Format,
    table: Table,
    background: u8,
    overlaps: Overlaps,
}

impl LabelReader {
    /// The reader of the files that `file` describes, for masks of `kind`, whose train ids are those of `classes`, followed by
    /// what becomes of these.
    ///
    /// # Errors
    /// Returns an error if the members of `file` do not fit each other, or a label or value cannot be used.
    pub fn new(
        file: &LabelFile,
        kind: MaskKind,
        classes: Option<&ClassSet>,
        relabeling: Option<&Relabeling>,
    ) -> Result<Self> {
        check_members(file)?;
        let table = Table::new(file, kind, classes)?;
        let background = background(file, kind, classes)?;
        Ok(Self {
            format: file.format,
            table: match relabeling {
                Some(relabeling) => table.then(relabeling),
                None => table,
            },
            background: relabeling.map_or(background, |relabeling| relabeling.get(background)),
            overlaps: file.overlaps,
        })
    }

    /// Reads the labels of an image of `size` (width, height) and maps them to values of a mask.
    ///
    /// # Errors
    /// Returns an error if the file is damaged or has a label without a meaning.
    fn read(
        &self,
        source: &LabelSource,
        document: Option<&Document>,
        size: (usize, usize),
    ) -> Result<Mask> {
        let path = &source.path;
        let regions = match (document, self.format) {
            (None, Format::Image) => return self.table.read_picture(path),
            (Some(Document::Legend(table)), _) => return table.read_picture(path),
            (Some(Document::Panoptic(file)), _) => {
                return file.read_mask(path, self.table.names()?, self.background);
            }
            (Some(Document::Coco(file)), _) => {
                file.regions(source.place, self.table.names()?, size)?
            }
            (Some(Document::Cvat(file)), _) => {
                file.regions(source.place, self.table.names()?, size)?
            }
            (None, Format::Labelme) => labelme::regions(path, self.table.names()?, size)?,
            (None, Format::Coco | Format::CocoPanoptic | Format::Cvat) => {
                bail!("{} has not been opened", path.display())
            }
        };
        Ok(paint(regions, size, self.background, self.overlaps))
    }
}

/// What pixels become that no shape covers.
fn background(file: &LabelFile, kind: MaskKind, classes: Option<&ClassSet>) -> Result<u8> {
    let Some(meaning) = &file.background else {
        let must_say = kind != MaskKind::TrainId && file.format.has_names();
        ensure!(
            !must_say,
            "say what pixels without a shape are (background = \"in\" or 255; of `index`: --background)"
        );
        return Ok(IGNORE);
    };
    let value = meaning.resolve(kind, classes)?;
    ensure!(
        kind.allows(value, classes.map_or(0, ClassSet::len)),
        "the background {meaning} does not exist in {kind:?} masks"
    );
    Ok(value)
}

/// A file that belongs to several images.
#[derive(Debug)]
enum Document {
    Coco(Box<CocoLabels>),
    Cvat(CvatFile),
    Panoptic(PanopticFile),
    Legend(Table),
}

impl Document {
    fn open(reader: &LabelReader, path: &Path) -> Result<Self> {
        Ok(match reader.format {
            Format::Coco => Self::Coco(Box::new(CocoLabels::read(path)?)),
            Format::Cvat => Self::Cvat(CvatFile::read(path)?),
            Format::CocoPanoptic => Self::Panoptic(PanopticFile::read(path)?),
            Format::Image | Format::Labelme => {
                let legend = legend_file::read(path)?;
                Self::Legend(reader.table.with_legend(&legend, path)?)
            }
        })
    }

    /// Names of the images that it lists, in the order of their places.
    fn images(&self) -> Vec<&str> {
        match self {
            Self::Coco(file) => file.names().collect(),
            Self::Cvat(file) => file.names().collect(),
            Self::Panoptic(_) | Self::Legend(_) => Vec::new(),
        }
    }
}

/// A document, and the places of its images by their names.
#[derive(Debug)]
struct Opened {
    document: Document,
    places: HashMap<String, usize>,
}

/// The documents of a data set, each opened once; or why it cannot be used.
#[derive(Debug, Default)]
pub(crate) struct Documents(BTreeMap<(usize, PathBuf), Result<Opened, String>>);

impl Documents {
    /// Opens a document of the reader in position `at`, and returns the place of `image`, a path with `/` between its parts.
    /// `None` if the document lists images, but not this one.
    ///
    /// # Errors
    /// Returns an error if the document cannot be used.
    pub(crate) fn place_of(
        &mut self,
        at: usize,
        reader: &LabelReader,
        path: &Path,
        image: &str,
    ) -> Result<Option<usize>> {
        let opened = self.0.entry((at, path.to_owned())).or_insert_with(|| {
            let document = Document::open(reader, path).map_err(|error| format!("{error:#}"))?;
            let images = document.images();
            let names = images
                .iter()
                .map(|name| name.trim_start_matches("./").to_owned());
            let places = names.zip(0..).collect();
            Ok(Opened { document, places })
        });
        let opened = opened.as_ref().map_err(|error| anyhow!("{error}"))?;
        if !reader.format.is_collective() {
            return Ok(Some(0));
        }
        // the name in the file may be without the folders of the path
        let folders = image.match_indices('/').map(|(slash, _)| slash + 1);
        let mut ends = std::iter::once(0)
            .chain(folders)
            .map(|start| &image[start..]);
        Ok(ends.find_map(|end| opened.places.get(end).copied()))
    }

    /// One line for each image that a document of all images lists, and that none of the samples has.
    pub(crate) fn images_without_sample<'a>(
        &self,
        samples: impl Iterator<Item = &'a LabelSource>,
    ) -> Vec<String> {
        let used = samples.filter_map(|labels| Some((labels.document.as_deref()?, labels.place)));
        let used: BTreeSet<(&Path, usize)> = used.collect();
        let mut lines = Vec::new();
        for ((_, path), opened) in &self.0 {
            let images = opened.as_ref().map(|opened| opened.document.images());
            for (place, image) in images.unwrap_or_default().into_iter().enumerate() {
                if !used.contains(&(path.as_path(), place)) {
                    let path = path.display();
                    lines.push(format!(
                        "{path} has labels of {image}, but no such image is there: get it as well, or remove its labels"
                    ));
                }
            }
        }
        lines
    }

    /// Reads the labels of an image of `size` (width, height).
    ///
    /// # Errors
    /// Returns the errors of [`LabelReader::read`].
    pub(crate) fn read(
        &self,
        reader: &LabelReader,
        source: &LabelSource,
        size: (usize, usize),
    ) -> Result<Mask> {
        let Some(path) = &source.document else {
            return reader.read(source, None, size);
        };
        match self.0.get(&(source.reader, path.clone())) {
            Some(Ok(opened)) => reader.read(source, Some(&opened.document), size),
            Some(Err(error)) => bail!("{error}"),
            None => bail!("{} has not been opened", path.display()),
        }
    }
}
