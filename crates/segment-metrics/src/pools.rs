//! Pixel counts of the images that are measured, kept between runs.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_atomic;
use measures::pixel_counts::{Count, ScoreCounts};

use crate::counts_encoding::{decode, encode, put, take};

/// Sums of many images.
const FILE: &str = "pools";
/// One image that is not part of them yet.
const IMAGE: &str = "pixels";

/// Sums over some images of a stage.
pub struct Pools {
    /// Which images are in the sums, or to be skipped.
    pub is_done: Vec<bool>,
    /// Sums of the images without and with out-of-distribution pixels.
    pub counts: [ScoreCounts<u64>; 2],
}

impl Pools {
    /// What [`write`](Self::write) left in `dir`, or none of so many images.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(dir: &Path, n_samples: usize) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(Self {
                is_done: vec![false; n_samples],
                counts: [ScoreCounts::<u64>::new(), ScoreCounts::<u64>::new()],
            });
        }
        let inner = || -> Result<Self> {
            let bytes = fs::read(&path)?;
            let rest = &mut bytes.as_slice();
            let is_done = (0..n_samples).map(|_| Ok(take(rest)? == 1));
            let is_done = is_done.collect::<Result<_>>()?;
            let counts = [decode(rest)?, decode(rest)?];
            ensure!(rest.is_empty(), "it is too long");
            Ok(Self { is_done, counts })
        };
        inner().with_context(|| damaged(&path))
    }

    /// Replaces what stands in `dir`.
    ///
    /// # Errors
    /// If the disk fails; the sums before are then still there.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        for &is_done in &self.is_done {
            put(&mut bytes, u64::from(is_done));
        }
        for counts in &self.counts {
            encode(counts, &mut bytes);
        }
        write_atomic(&dir.join(FILE), |w| Ok(w.write_all(&bytes)?))
    }

    /// Adds the pixels of image `i`.
    pub fn add<N: Count>(&mut self, i: usize, has_ood: bool, image: &ScoreCounts<N>) {
        self.counts[usize::from(has_ood)].add(image);
        self.is_done[i] = true;
    }

    /// Adds image `i` if [`write_image`] left it in `dir`.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn add_written(&mut self, i: usize, dir: &Path) -> Result<()> {
        let path = dir.join(IMAGE);
        if !path.exists() {
            return Ok(());
        }
        let inner = || -> Result<_> {
            let bytes = fs::read(&path)?;
            let rest = &mut bytes.as_slice();
            let (has_ood, image) = (take(rest)? == 1, decode(rest)?);
            ensure!(rest.is_empty(), "it is too long");
            Ok((has_ood, image))
        };
        let (has_ood, image) = inner().with_context(|| damaged(&path))?;
        self.add(i, has_ood, &image);
        Ok(())
    }
}

/// Writes the pixels of one image into `dir`, until they are part of sums that are on the disk.
///
/// # Errors
/// If the disk fails.
pub fn write_image(dir: &Path, has_ood: bool, image: &ScoreCounts<u32>) -> Result<()> {
    let mut bytes = Vec::new();
    put(&mut bytes, u64::from(has_ood));
    encode(image, &mut bytes);
    write_atomic(&dir.join(IMAGE), |w| Ok(w.write_all(&bytes)?))
}

/// Removes what [`write_image`] left, if anything.
///
/// # Errors
/// If the disk fails.
pub fn remove_image(dir: &Path) -> Result<()> {
    let path = dir.join(IMAGE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn damaged(path: &Path) -> String {
    format!(
        "{} is damaged: start anew with --force, or remove the folder",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use measures::pixel_row::PixelRow;

    #[test]
    fn images_that_are_not_in_the_sums_yet_are_added_once() -> Result<()> {
        let (dir, folders) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let folder = |i: usize| folders.path().join(i.to_string());
        let image = |i: usize| {
            let mut row = PixelRow::new(2, 2);
            row.fill_from_logits(&[i as f32, 1.0, 0.5, 0.0]);
            let mut image = ScoreCounts::<u32>::new();
            image.add_row(&row, &[0, 1], &mut Vec::new());
            image
        };
        let mut whole = Pools::read(dir.path(), 3)?;
        for i in 0..3 {
            fs::create_dir(folder(i))?;
            write_image(&folder(i), i != 1, &image(i))?;
            whole.add(i, i != 1, &image(i));
        }
        let mut first = Pools::read(dir.path(), 3)?;
        first.add_written(0, &folder(0))?;
        first.write(dir.path())?;
        remove_image(&folder(0))?;
        remove_image(&folder(0))?;

        let mut second = Pools::read(dir.path(), 3)?;
        assert_eq!(second.is_done, [true, false, false]);
        for i in 0..3 {
            second.add_written(i, &folder(i))?;
        }
        assert_eq!(second.is_done, [true; 3]);
        assert!(second.counts == whole.counts);
        fs::write(folder(1).join(IMAGE), [1, 7])?;
        let error = second.add_written(1, &folder(1)).unwrap_err().to_string();
        assert!(error.contains("is damaged: start anew"), "{error}");
        Ok(())
    }
}
