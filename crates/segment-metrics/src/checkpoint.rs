//! What an interrupted call has measured, so that the next one goes on from there.
//!
//! Tables are simple: each sample has a folder of its own, `partial/samples/<sample_id>/`, which is complete or not. Pixel counts are
//! not: those of one image take 1 MB or 2 on the disk and 25 MB in memory, and a data set may have thousands of images, but only
//! their sums are needed in the end. So the counts of an image are kept only until they are part of sums that are on the disk:
//!
//! 1. A sample's tables and component map are written, then its counts (`pixels` in its folder). With this last file it is done.
//! 2. Its counts are added to the sums in memory.
//! 3. After some tens of samples, the sums are written (`partial/pixel_sums`), together with a list of the samples that they include.
//! 4. The files `pixels` of these samples are removed.
//!
//! A call can be killed between any two of these steps. Files are replaced as wholes ([`write_atomic`]), so each is there or not:
//!
//! - Before 1 is complete, the sample has no `pixels` and is not in the list: it is measured again.
//! - After 1, up to the end of 3, it has `pixels` and is not in the list on the disk: the next call adds them to the sums it reads.
//! - After 3, it is in the list. `pixels` that 4 has left are not looked at, so nothing is counted twice.
//!
//! Samples that are skipped because they have no out-of-distribution pixels are in the list, but have no folder.
//!
//! The list is by position: the samples are the same ones in the same order, because the output belongs to one set of arguments and
//! inputs. Everything here is removed with `partial/` when the output is complete.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_atomic;
use measures::pixel_counts::{Count, ScoreCounts};

use crate::counts_encoding::{decode, encode, put, take};
use crate::pixel_sums::PixelSums;

/// File with the sums over many images and the list of them.
const SUMS: &str = "pixel_sums";
/// File with the counts of one image that is not part of the sums on the disk.
const IMAGE: &str = "pixels";

/// Which samples are done, and the sums of their pixel counts.
pub struct Checkpoint {
    /// Whether each sample is part of the sums, or skipped.
    pub is_done: Vec<bool>,
    /// Pixel counts of the samples that are done.
    pub sums: PixelSums,
}

impl Checkpoint {
    /// Reads what [`write`](Self::write) left in `dir`; without it, none of `n_samples` is done.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is damaged.
    pub fn read(dir: &Path, n_samples: usize) -> Result<Self> {
        let path = dir.join(SUMS);
        if !path.exists() {
            return Ok(Self {
                is_done: vec![false; n_samples],
                sums: PixelSums::new(),
            });
        }
        read_whole(&path, |bytes| {
            let is_done = (0..n_samples).map(|_| Ok(take(bytes)? == 1));
            let is_done = is_done.collect::<Result<_>>()?;
            let mut sums = PixelSums::new();
            for has_ood in [false, true] {
                *sums.of_mut(has_ood) = decode(bytes)?;
            }
            Ok(Self { is_done, sums })
        })
    }

    /// Replaces the sums and the list in `dir`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written; the former one is then still there.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        for &is_done in &self.is_done {
            put(&mut bytes, u64::from(is_done));
        }
        for has_ood in [false, true] {
            encode(self.sums.of(has_ood), &mut bytes);
        }
        write_atomic(&dir.join(SUMS), |w| Ok(w.write_all(&bytes)?))
    }

    /// Adds the counts of sample `i`.
    pub fn add<N: Count>(&mut self, i: usize, has_ood: bool, image: &ScoreCounts<N>) {
        self.sums.add(has_ood, image);
        self.is_done[i] = true;
    }

    /// Adds the counts of sample `i` if [`write_image`] left them in its folder `dir`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is damaged.
    pub fn add_written(&mut self, i: usize, dir: &Path) -> Result<()> {
        let path = dir.join(IMAGE);
        if !path.exists() {
            return Ok(());
        }
        let (has_ood, image) = read_whole(&path, |bytes| Ok((take(bytes)? == 1, decode(bytes)?)))?;
        self.add(i, has_ood, &image);
        Ok(())
    }
}

/// Writes the counts of one sample into its folder `dir`, where they stay until they are part of sums on the disk.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write_image(dir: &Path, has_ood: bool, image: &ScoreCounts<u32>) -> Result<()> {
    let mut bytes = Vec::new();
    put(&mut bytes, u64::from(has_ood));
    encode(image, &mut bytes);
    write_atomic(&dir.join(IMAGE), |w| Ok(w.write_all(&bytes)?))
}

/// Removes what [`write_image`] wrote, if it is there.
///
/// # Errors
/// Returns an error if the file cannot be removed.
pub fn remove_image(dir: &Path) -> Result<()> {
    let path = dir.join(IMAGE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Reads a file with `parse`, which takes what it needs from the front and must leave nothing.
fn read_whole<T>(path: &Path, parse: impl FnOnce(&mut &[u8]) -> Result<T>) -> Result<T> {
    let parsed = fs::read(path)
        .map_err(anyhow::Error::from)
        .and_then(|bytes| {
            let rest = &mut bytes.as_slice();
            let value = parse(rest)?;
            ensure!(rest.is_empty(), "it is too long");
            Ok(value)
        });
    parsed.with_context(|| {
        format!(
            "{} is damaged: start again with --force, or remove the folder",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use measures::pixel_row::PixelRow;

    fn image(i: usize) -> ScoreCounts<u32> {
        let mut row = PixelRow::new(2, 2);
        row.fill_from_logits(&[i as f32, 1.0, 0.5, 0.0]);
        let mut image = ScoreCounts::<u32>::new();
        image.add_row(&row, &[0, 1], &mut Vec::new());
        image
    }

    #[test]
    fn images_that_are_not_in_the_sums_yet_are_added_once() -> Result<()> {
        let (dir, folders) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let folder = |i: usize| folders.path().join(i.to_string());
        let mut whole = Checkpoint::read(dir.path(), 3)?;
        for i in 0..3 {
            fs::create_dir(folder(i))?;
            write_image(&folder(i), i != 1, &image(i))?;
            whole.add(i, i != 1, &image(i));
        }
        let mut first = Checkpoint::read(dir.path(), 3)?;
        first.add_written(0, &folder(0))?;
        first.write(dir.path())?;
        remove_image(&folder(0))?;
        remove_image(&folder(0))?;

        let mut second = Checkpoint::read(dir.path(), 3)?;
        assert_eq!(second.is_done, [true, false, false]);
        for i in 0..3 {
            second.add_written(i, &folder(i))?;
        }
        assert_eq!(second.is_done, [true; 3]);
        assert!(second.sums == whole.sums);
        fs::write(folder(1).join(IMAGE), [1, 7])?;
        let error = second.add_written(1, &folder(1)).unwrap_err().to_string();
        assert!(error.contains("is damaged: start again"), "{error}");
        Ok(())
    }
}
