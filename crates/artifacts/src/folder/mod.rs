//! Any folder of images without labels.

mod explain;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Error, Result, bail};

use crate::index::{Index, Sample, check_sample_id, plain_sample_id};
use crate::labels::MaskKind;
use crate::manifest::Input;
use crate::picture::{self, Orientation};

/// The images of a folder.
#[derive(Debug)]
pub struct Folder {
    /// Those that can be used as far as their headers and ends tell. They are turned upright, since they are photographs that
    /// nobody has annotated.
    pub index: Index,
    /// Sample ids of the others, sorted, and what is wrong with each.
    pub broken: Vec<(String, Error)>,
    /// What stands for the folder in a manifest: the hash of the list of all images with their sizes and times.
    pub input: Input,
}

/// Lists all images below `folder`, except hidden ones, those below the folders in `outputs`, and those that a stage wrote.
///
/// The sample id of an image is its path without the extension (or with it, where two images differ in nothing else), with `_`
/// in place of characters that an id cannot have.
///
/// # Errors
/// Returns an error that says what is there instead if there are no images, and an error if the folder cannot be read, or two
/// images would get the same id.
pub fn read(folder: &Path, outputs: &[&Path]) -> Result<Folder> {
    let files = walk::images(folder, outputs)?;
    let root = std::path::absolute(folder)?;
    let mut listing = format!("{}\n", root.display());
    let (mut samples, mut broken) = (Vec::new(), Vec::new());
    for (sample_id, image) in with_ids(files)? {
        let found = sample(folder, &sample_id, &image);
        listing.push_str(&line(folder, &image, found.as_ref().ok()));
        match found {
            Ok(sample) => samples.push(sample),
            Err(error) => broken.push((sample_id, error)),
        }
    }
    let mut index = Index::new("folder", "all", MaskKind::Eval, folder, samples)?;
    index.orientation = Orientation::Upright;
    let input = Input {
        path: folder.to_owned(),
        bytes: listing.len() as u64,
        blake3: blake3::hash(listing.as_bytes()).to_hex().to_string(),
    };
    Ok(Folder {
        index,
        broken,
        input,
    })
}

/// What stands for some `files` of a folder, relative to it, in a manifest: the hash of their list with sizes and times.
///
/// # Errors
/// Returns an error if the path of the folder cannot be made absolute.
pub fn listing(folder: &Path, files: &[&Path]) -> Result<Input> {
    let mut listing = format!("{}\n", std::path::absolute(folder)?.display());
    for file in files {
        listing.push_str(&line(folder, file, None));
    }
    Ok(Input {
        path: folder.to_owned(),
        bytes: listing.len() as u64,
        blake3: blake3::hash(listing.as_bytes()).to_hex().to_string(),
    })
}

/// Files relative to the folder by their sample ids.
fn with_ids(files: Vec<PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
    let mut short: BTreeMap<String, usize> = BTreeMap::new();
    for file in &files {
        *short
            .entry(sample_id(&file.with_extension("")))
            .or_default() += 1;
    }
    let mut samples: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        let mut id = sample_id(&file.with_extension(""));
        if short.get(&id).is_some_and(|&n| n > 1) {
            id = sample_id(&file);
        }
        if let Some(other) = samples.insert(id.clone(), file.clone()) {
            bail!(
                "{} and {} would both get the sample id {id}: rename one of them",
                other.display(),
                file.display()
            );
        }
    }
    Ok(samples)
}

fn sample_id(file: &Path) -> String {
    plain_sample_id(&file.to_string_lossy())
}

/// Looks at the header and the end of an image.
fn sample(folder: &Path, sample_id: &str, image: &Path) -> Result<Sample> {
    let path = folder.join(image);
    image.to_str().with_context(|| {
        let path = path.display();
        format!("the name of {path} is not Unicode: rename it")
    })?;
    check_sample_id(sample_id).with_context(|| path.display().to_string())?;
    let (width, height) = picture::size(&path, Orientation::Upright)?;
    let image_bytes = std::fs::metadata(&path)
        .with_context(|| format!("could not read {}", path.display()))?
        .len();
    Ok(Sample {
        sample_id: sample_id.to_owned(),
        image: image.to_owned(),
        image_bytes,
        image_width: width,
        image_height: height,
        mask: None,
        mask_blake3: None,
        width,
        height,
        proxy: None,
    })
}

/// What the hash of the folder takes from a file: whatever changes if another program writes it.
fn line(folder: &Path, image: &Path, sample: Option<&Sample>) -> String {
    let metadata = std::fs::metadata(folder.join(image)).ok();
    let bytes = metadata.as_ref().map(std::fs::Metadata::len);
    let modified = metadata.and_then(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map(|time| time.as_nanos());
    let size = sample.map(|s| (s.image_width, s.image_height));
    let image = image.display();
    format!("{image} {bytes:?} {modified:?} {size:?}\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn error(folder: &Path) -> String {
        format!("{:#}", read(folder, &[]).expect_err("no images"))
    }

    #[test]
    fn what_is_there_instead_of_images_is_said() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let root = dir.path();
        let check = |name: &str, words: &[&str]| {
            let text = error(&root.join(name));
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        };
        check("none", &["none does not exist", "pass a folder of images"]);
        fs::write(root.join("a.MP4"), "")?;
        check(
            "a.MP4",
            &["is a video", "ffmpeg -i ", "a.MP4\" frames/%06d.png"],
        );
        fs::write(root.join("a.png"), "")?;
        check("a.png", &["is a single image", "the folder that holds it"]);
        fs::write(root.join("a.txt"), "")?;
        check("a.txt", &["is a file", "pass a folder of images"]);
        fs::create_dir_all(root.join("x/y"))?;
        check("x", &["x is empty"]);
        for name in ["1.tif", "y/2.TIF", "3.gif", "4.mov", "5"] {
            fs::write(root.join("x").join(name), "")?;
        }
        check(
            "x",
            &["no images", "png, jpg, jpeg, webp", "2 .tif", "1 .mov"],
        );
        check("x", &["1 without an ending"]);
        fs::create_dir(root.join("z"))?;
        fs::write(root.join("z/.a.png"), "")?;
        check("z", &["hidden"]);
        Ok(())
    }

    #[test]
    fn broken_images_keep_their_places() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let image = |name: &str| image::RgbImage::new(3, 2).save(dir.path().join(name));
        image("a.png")?;
        image("c.png")?;
        fs::write(dir.path().join("b.png"), "")?;
        #[cfg(unix)]
        std::os::unix::fs::symlink("nowhere", dir.path().join("d.png"))?;
        let before = read(dir.path(), &[])?;
        let ids: Vec<&str> = before.index.samples.iter().map(|s| &*s.sample_id).collect();
        assert_eq!(ids, ["a", "c"]);
        assert_eq!(before.broken[0].0, "b");
        let text = format!("{:#}", before.broken[0].1);
        assert!(
            text.contains("b.png") && text.contains("is empty"),
            "{text}"
        );
        #[cfg(unix)]
        assert_eq!(before.broken[1].0, "d");
        assert_eq!(read(dir.path(), &[])?.input, before.input);
        image("b.png")?;
        let after = read(dir.path(), &[])?;
        assert_ne!(after.input, before.input);
        assert_eq!(after.index.samples.len(), 3);
        Ok(())
    }

    #[test]
    fn pictures_that_a_stage_wrote_are_no_images() -> Result<()> {
        use crate::stage_dir::{Opened, Request, StageDir};
        let dir = tempfile::tempdir()?;
        let root = dir.path();
        let image = image::RgbImage::new(3, 2);
        image.save(root.join("a.png"))?;
        fs::create_dir(root.join("web"))?;
        fs::write(root.join("web/manifest.json"), "{}")?;
        image.save(root.join("web/b.png"))?;
        for (name, is_finished) in [("out", true), ("begun", false)] {
            let output = root.join(name);
            let request = Request::new(&output, "toy", &(), &[], false)?;
            let Opened::Work(stage) = StageDir::open(request)? else {
                bail!("it is new");
            };
            image.save(stage.path().join("c.png"))?;
            if is_finished {
                stage.finish(&[])?;
            }
        }
        let ids = read(root, &[])?.index.samples.into_iter();
        assert_eq!(ids.map(|s| s.sample_id).collect::<Vec<_>>(), ["a", "web_b"]);
        Ok(())
    }
}
