//! `index.json`: the samples of a data set and where their files are.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::atomic::{read_json, write_json};
use crate::classes::ClassSet;
use crate::file_hash::FileHash;
use crate::labels::MaskKind;
use crate::mask::Mask;
use crate::picture::{self, Orientation};

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "index.json";

const FORMAT_VERSION: u32 = 2;

/// Most bytes of a sample id: stages add endings to it, and file systems have 255 for a name.
const MAX_ID: usize = 200;

/// What a label stage says of its samples. Samples are sorted by `sample_id` and unique.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Version of this format.
    pub format_version: u32,
    /// Name of the data set, e.g. `cityscapes`.
    pub dataset: String,
    /// Split, e.g. `train`.
    pub split: String,
    /// Which values the masks hold.
    pub mask_kind: MaskKind,
    /// The classes whose positions the masks hold, if they hold train ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassSet>,
    /// Absolute folder to which the image paths are relative.
    pub image_root: PathBuf,
    /// Categories that are in no sample, so that the unknown objects of a development set can be taken from them; sorted. Proxies
    /// and objects for pasting only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_out: Vec<String>,
    /// Which pixels of the image files are meant: sizes and masks refer to them, and they are what stages read. Absent in the
    /// file if they are the stored ones.
    #[serde(default, skip_serializing_if = "is_stored")]
    pub orientation: Orientation,
    /// Samples, sorted by `sample_id`.
    pub samples: Vec<Sample>,
}

/// One image with its mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The data set's own stable key; also the file name of everything made from the sample.
    pub sample_id: String,
    /// Image file, relative to [`Index::image_root`].
    pub image: PathBuf,
    /// Size of the image file in bytes, by which a later change is noticed; 0 if the file was not there.
    pub image_bytes: u64,
    /// Width of the image in pixels, in [`Index::orientation`].
    pub image_width: u32,
    /// Height of the image in pixels, in [`Index::orientation`].
    pub image_height: u32,
    /// Mask file, relative to the index; absent for images without labels.
    pub mask: Option<PathBuf>,
    /// BLAKE3 hash of the mask file, hexadecimal, by which a later change is noticed; absent if nobody took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_blake3: Option<String>,
    /// Columns of the mask, at which the sample is evaluated (the image's own size, or what `--size` asked for).
    pub width: u32,
    /// Rows of the mask.
    pub height: u32,
    /// Set for samples of the COCO proxy only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyInfo>,
}

/// What is known of a proxy image beside its mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyInfo {
    /// Share of the image's pixels that belong to objects, in [0, 1].
    pub ood_fraction: f64,
    /// Names of the categories of the objects, sorted.
    pub categories: Vec<String>,
    /// COCO's license id of the image, if given.
    pub license: Option<u64>,
    /// The objects that the mask numbers from 1 on, if it is one of [`MaskKind::Object`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectInfo>,
}

/// An object that can be cut out of its image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectInfo {
    /// Id of its annotation.
    pub annotation: String,
    /// Name of its category.
    pub category: String,
    /// Number of its pixels in the mask.
    pub area: u64,
    /// Share of the annotated pixels that are in the mask, in (0, 1]: the rest is covered by other objects or known classes.
    pub visible: f64,
    /// Smallest column of its pixels.
    pub left: u32,
    /// Smallest row of its pixels.
    pub top: u32,
    /// Columns of the box around its pixels.
    pub width: u32,
    /// Rows of the box around its pixels.
    pub height: u32,
}

impl Index {
    /// Sorts and checks samples into an index.
    ///
    /// # Errors
    /// Returns an error for a duplicate or unusable `sample_id`, and for paths that leave their folder.
    pub fn new(
        dataset: &str,
        split: &str,
        mask_kind: MaskKind,
        image_root: &Path,
        mut samples: Vec<Sample>,
    ) -> Result<Self> {
        samples.sort_by(|a, b| a.sample_id.cmp(&b.sample_id));
        let index = Self {
            format_version: FORMAT_VERSION,
            dataset: dataset.to_owned(),
            split: split.to_owned(),
            mask_kind,
            classes: None,
            image_root: std::path::absolute(image_root)?,
            held_out: Vec::new(),
            orientation: Orientation::Stored,
            samples,
        };
        index.check()?;
        Ok(index)
    }

    /// Reads `dir/index.json` and checks it.
    ///
    /// # Errors
    /// Returns an error if it is absent (naming the stage to run first), damaged, of another version, unsorted, names paths
    /// outside of its folders, or an image's size in bytes changed. A missing image is an error where it is needed.
    pub fn read(dir: &Path) -> Result<Self> {
        let index = Self::read_alone(dir)?;
        let checked = index.check_images();
        let path = dir.join(FILE_NAME);
        checked.with_context(|| format!("{} cannot be used", path.display()))?;
        Ok(index)
    }

    /// Reads `dir/index.json` without a look at the images, for those who look at each of them themselves.
    ///
    /// # Errors
    /// Returns the errors of [`Self::read`], but those about images.
    pub fn read_alone(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        ensure!(
            path.exists(),
            "{} does not exist: run `cityscapes-io prepare` or `coco-proxy` with --output {} first",
            path.display(),
            dir.display()
        );
        let mut index: Self = read_json(&path)?;
        if index.format_version == 1 {
            index.upgrade()?;
        }
        let checked = index.check().and_then(|()| index.check_has_classes());
        checked.with_context(|| format!("{} cannot be used", path.display()))?;
        Ok(index)
    }

    /// The same index with the class set whose positions its masks hold.
    #[must_use]
    pub fn with_classes(self, classes: ClassSet) -> Self {
        Self {
            classes: Some(classes),
            ..self
        }
    }

    /// Number of classes that its masks can hold; 0 if they do not hold train ids.
    pub fn num_classes(&self) -> usize {
        self.classes.as_ref().map_or(0, ClassSet::len)
    }

    /// The class set whose positions the masks hold.
    ///
    /// # Errors
    /// Returns an error if the masks hold no train ids.
    pub fn classes(&self) -> Result<&ClassSet> {
        let classes = self.classes.as_ref();
        classes.with_context(|| {
            format!(
                "the masks of {} {} are {:?} masks, which hold no classes",
                self.dataset, self.split, self.mask_kind
            )
        })
    }

    /// Looks at a sample's image without decoding it: its presence, its size in bytes, its header and its end.
    ///
    /// # Errors
    /// Returns the errors of [`Self::image_path`] and [`picture::size`], and an error if the image has another size than the
    /// index says.
    pub fn check_image(&self, sample: &Sample) -> Result<()> {
        let path = self.image_path(sample)?;
        let size = picture::size(&path, self.orientation)?;
        ensure_size(&path, size, sample)
    }

    /// Writes `dir/index.json`.
    ///
    /// # Errors
    /// Returns an error if the masks hold train ids without a class set, or the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        self.check_has_classes()?;
        write_json(&dir.join(FILE_NAME), self)
    }

    fn check_has_classes(&self) -> Result<()> {
        ensure!(
            self.mask_kind != MaskKind::TrainId || self.classes.is_some(),
            "masks of train ids need a class set, which says what the ids are"
        );
        Ok(())
    }

    /// `n` samples spread evenly over the index, in its order, the first one first; all samples if there are no more than `n`.
    pub fn evenly_spaced(&self, n: usize) -> impl ExactSizeIterator<Item = &Sample> {
        let n_samples = self.samples.len();
        let n = n.min(n_samples);
        (0..n).map(move |i| &self.samples[i * n_samples / n])
    }

    /// Path of a sample's image; its presence and size are checked.
    ///
    /// Times of files are not looked at, as they do not survive copying; a picture that changed without changing
    /// its size is as good as impossible, since all formats are compressed.
    ///
    /// # Errors
    /// Returns an error if the file is absent, or changed since the index was made.
    pub fn image_path(&self, sample: &Sample) -> Result<PathBuf> {
        let path = self.image_root.join(&sample.image);
        let file = std::fs::metadata(&path).with_context(|| {
            let id = &sample.sample_id;
            format!("image of {id} is missing: {}", path.display())
        })?;
        check_bytes(&path, file.len(), sample)?;
        Ok(path)
    }

    /// Reads a sample's image, in the orientation of the index.
    ///
    /// # Errors
    /// Returns the errors of [`Self::image_path`] and [`picture::read_rgb`], and an error if the image has another size than
    /// the index says.
    pub fn read_image(&self, sample: &Sample) -> Result<RgbImage> {
        let path = self.image_path(sample)?;
        let image = picture::read_rgb(&path, self.orientation)?;
        ensure_size(&path, image.dimensions(), sample)?;
        Ok(image)
    }

    /// Path of a sample's mask below `dir`, the folder the index was read from; its content is checked.
    ///
    /// # Errors
    /// Returns an error if the sample has no mask, the file cannot be read, or it changed since the index was made.
    pub fn mask_path(&self, dir: &Path, sample: &Sample) -> Result<PathBuf> {
        let mask = sample
            .mask
            .as_ref()
            .with_context(|| format!("{} of {} has no mask", sample.sample_id, self.dataset))?;
        let path = dir.join(mask);
        if let Some(expected) = &sample.mask_blake3 {
            ensure!(
                *expected == FileHash::of(&path)?.blake3,
                "{} changed since it was indexed: make it again with the same command and --force",
                path.display()
            );
        }
        Ok(path)
    }

    /// Reads a sample's mask below `dir`, the folder the index was read from: labels of the index's [`MaskKind`],
    /// `[sample.height, sample.width]`.
    ///
    /// # Errors
    /// Returns an error that names the file if the sample has no mask, the file changed since the index was made, holds no
    /// labels or values of another kind, or has another size than the index says.
    pub fn read_mask(&self, dir: &Path, sample: &Sample) -> Result<Mask> {
        let path = self.mask_path(dir, sample)?;
        let mask = Mask::read(&path, self.mask_kind, self.num_classes())?;
        ensure!(
            (mask.width, mask.height) == (sample.width as usize, sample.height as usize),
            "{} has {}x{} pixels, but {}x{} in its index: prepare the data set again",
            path.display(),
            mask.width,
            mask.height,
            sample.width,
            sample.height
        );
        Ok(mask)
    }

    /// Looks at all images that are there, so that a change is noticed before hours of work.
    fn check_images(&self) -> Result<()> {
        for sample in &self.samples {
            let path = self.image_root.join(&sample.image);
            if let Ok(file) = std::fs::metadata(&path) {
                check_bytes(&path, file.len(), sample)?;
            }
        }
        Ok(())
    }

    /// Files of version 1 knew the classes of Cityscapes alone.
    fn upgrade(&mut self) -> Result<()> {
        if self.mask_kind == MaskKind::TrainId {
            self.classes = Some(ClassSet::cityscapes()?);
        }
        self.format_version = FORMAT_VERSION;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.format_version == FORMAT_VERSION,
            "format version {} is not {FORMAT_VERSION}: prepare the data set again with this version",
            self.format_version
        );
        self.classes.as_ref().map_or(Ok(()), ClassSet::check)?;
        for sample in &self.samples {
            check_sample_id(&sample.sample_id)?;
            check_inside(&sample.image)?;
            sample.mask.as_deref().map_or(Ok(()), check_inside)?;
            ensure!(
                sample.width > 0 && sample.height > 0,
                "{} has no pixels",
                sample.sample_id
            );
        }
        for pair in self.samples.windows(2) {
            match pair[0].sample_id.cmp(&pair[1].sample_id) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    bail!("sample id {} occurs twice", pair[0].sample_id)
                }
                std::cmp::Ordering::Greater => bail!("samples are not sorted by their ids"),
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_stored(orientation: &Orientation) -> bool {
    *orientation == Orientation::Stored
}

fn check_bytes(path: &Path, bytes: u64, sample: &Sample) -> Result<()> {
    ensure!(
        bytes == sample.image_bytes || sample.image_bytes == 0,
        "{} has {bytes} bytes, but {} when it was indexed: prepare the data set again",
        path.display(),
        sample.image_bytes
    );
    Ok(())
}

fn ensure_size(path: &Path, (width, height): (u32, u32), sample: &Sample) -> Result<()> {
    ensure!(
        (width, height) == (sample.image_width, sample.image_height),
        "{} has {width}x{height} pixels, but {}x{} in its index: prepare the data set again",
        path.display(),
        sample.image_width,
        sample.image_height
    );
    Ok(())
}

/// `name` with `_` in place of each character that a sample id cannot have: what [`check_sample_id`] does not allow, such as
/// spaces, `/` and letters beyond ASCII.
///
/// Two names can become the same id, which callers refuse.
pub fn plain_sample_id(name: &str) -> String {
    let replaced = name.chars().map(|c| if is_plain(c) { c } else { '_' });
    replaced.collect()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Refuses ids that could not be a file name everywhere.
///
/// # Errors
/// Returns an error if `id` is empty, is longer than 200 characters, has characters other than letters, digits, `_`, `-`, `.`,
/// or starts with a dot.
pub fn check_sample_id(id: &str) -> Result<()> {
    ensure!(
        id.len() <= MAX_ID,
        "the sample id {}... has {} characters, and a file name can have {MAX_ID}: choose a shorter one",
        id.chars().take(40).collect::<String>(),
        id.chars().count()
    );
    ensure!(
        !id.is_empty() && !id.starts_with('.') && id.chars().all(is_plain),
        "sample id {id:?} cannot be a file name (letters, digits, _ - . are allowed)"
    );
    Ok(())
}

/// Refuses absolute paths and paths with `..`.
///
/// # Errors
/// Returns an error if `path`, joined to a folder, could lead out of it.
pub fn check_inside(path: &Path) -> Result<()> {
    let inside = path
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    ensure!(
        inside && !path.as_os_str().is_empty(),
        "path {} leads out of its folder",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: &str) -> Sample {
        Sample {
            sample_id: id.into(),
            image: "a/b.png".into(),
            image_bytes: 3,
            image_width: 4,
            image_height: 2,
            mask: None,
            mask_blake3: None,
            width: 4,
            height: 2,
            proxy: None,
        }
    }

    fn index(samples: Vec<Sample>) -> Result<Index> {
        Index::new("toy", "val", MaskKind::Eval, Path::new("/data"), samples)
    }

    #[test]
    fn samples_are_sorted_and_survive_the_file() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let index = index(vec![sample("b"), sample("a")])?;
        index.write(dir.path())?;
        assert_eq!(Index::read(dir.path())?, index);
        assert_eq!(index.samples[0].sample_id, "a");
        Ok(())
    }

    #[test]
    fn files_that_changed_are_refused() -> Result<()> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("a"))?;
        let (image, mask) = (dir.path().join("a/b.png"), dir.path().join("m.png"));
        std::fs::write(&mask, "mask")?;
        let mut sample = sample("a");
        sample.mask = Some("m.png".into());
        sample.mask_blake3 = Some(FileHash::of(&mask)?.blake3);
        let index = Index::new("toy", "val", MaskKind::Eval, dir.path(), vec![sample])?;
        index.write(dir.path())?;
        let index = Index::read(dir.path())?; // without the image
        assert!(index.image_path(&index.samples[0]).is_err());
        std::fs::write(&image, "123")?;
        Index::read(dir.path())?.image_path(&index.samples[0])?;
        index.mask_path(dir.path(), &index.samples[0])?;
        std::fs::write(&image, "1234")?;
        std::fs::write(&mask, "musk")?;
        let read = Index::read(dir.path()).map(drop);
        let path = index.mask_path(dir.path(), &index.samples[0]).map(drop);
        for (result, expected) in [(read, "b.png has 4 bytes, but 3"), (path, "m.png changed")] {
            let text = format!("{:#}", result.expect_err(expected));
            assert!(text.contains(expected), "{text}");
        }
        Ok(())
    }

    #[test]
    fn a_few_samples_are_spread_over_all() -> Result<()> {
        let index = index(["a", "b", "c", "d", "e"].map(sample).to_vec())?;
        let ids = |n: usize| -> Vec<&str> {
            let spread = index.evenly_spaced(n);
            spread.map(|s| s.sample_id.as_str()).collect()
        };
        assert_eq!(ids(0), [""; 0]);
        assert_eq!(ids(2), ["a", "c"]);
        assert_eq!(ids(3), ["a", "b", "d"]);
        assert_eq!(ids(9), ["a", "b", "c", "d", "e"]);
        Ok(())
    }

    #[test]
    fn files_of_version_1_mean_the_classes_of_cityscapes() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut index = index(vec![sample("a")])?;
        index.mask_kind = MaskKind::TrainId;
        let error = index.write(dir.path()).expect_err("no class set");
        assert!(error.to_string().contains("class set"), "{error}");
        index.format_version = 1;
        write_json(&dir.path().join(FILE_NAME), &index)?;
        let read = Index::read(dir.path())?;
        assert_eq!(read.classes()?, &ClassSet::cityscapes()?);
        read.write(dir.path())?;
        assert_eq!(Index::read(dir.path())?, read);
        Ok(())
    }

    #[test]
    fn masks_are_of_the_kind_and_size_of_the_index() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("m.png");
        let mut sample = sample("a");
        sample.mask = Some("m.png".into());
        let mut index = index(vec![sample])?;
        let mask = Mask::filled(4, 2, 18);
        mask.write(&path)?;
        let wrong_kind = index.read_mask(dir.path(), &index.samples[0]);
        index.mask_kind = MaskKind::TrainId;
        index = index.with_classes(ClassSet::cityscapes()?);
        assert_eq!(index.read_mask(dir.path(), &index.samples[0])?, mask);
        Mask::filled(2, 4, 18).write(&path)?;
        let wrong_size = index.read_mask(dir.path(), &index.samples[0]);
        index.samples[0].mask_blake3 = Some(String::new());
        let changed = index.read_mask(dir.path(), &index.samples[0]);
        index.samples[0].mask = None;
        let absent = index.read_mask(dir.path(), &index.samples[0]);
        for (result, expected) in [
            (wrong_kind, "m.png has the value 18"),
            (wrong_size, "m.png has 2x4 pixels, but 4x2 in its index"),
            (changed, "m.png changed since it was indexed"),
            (absent, "a of toy has no mask"),
        ] {
            let text = format!("{:#}", result.expect_err(expected));
            assert!(text.contains(expected), "{text}");
        }
        Ok(())
    }

    #[test]
    fn hostile_names_are_refused() {
        assert!(index(vec![sample("a"), sample("a")]).is_err());
        assert!(index(vec![sample("../a")]).is_err());
        assert!(index(vec![sample(&"a".repeat(200))]).is_ok());
        let error = index(vec![sample(&"a".repeat(300))]).expect_err("too long");
        assert!(error.to_string().contains("has 300 characters"), "{error}");
        let mut escaping = sample("a");
        escaping.image = "../../etc/passwd".into();
        assert!(index(vec![escaping]).is_err());
    }

    #[test]
    fn a_missing_index_names_the_stage_to_run() {
        let text = format!("{:#}", Index::read(Path::new("nowhere")).unwrap_err());
        assert!(text.contains("cityscapes-io prepare"), "{text}");
    }
}
