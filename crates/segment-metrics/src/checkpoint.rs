//! What an interrupted call has measured, so that the next one goes on from there.
//!
//! Tables are simple: each sample has a folder of its own, `partial/samples/<sample_id>/`, which is complete or not. Pixel counts are
//! not: those of one image take 1 MB or 2 on the disk and 25 MB in memory, and a data set may have thousands of images, but only
//! their sums are needed in the end. So the counts of an image are kept only until they are part of sums that are on the disk:
//!
//! 1. A sample's tables and component map are written, then its counts (`pixels` in its folder). With this last file it is done.
//! 2. Its counts are added to the sums in memory.
//! 3. After some tens of samples, the sums are written (`partial/pixel_sums`), together with the state of each sample.
//! 4. The files `pixels` of these samples are removed.
//!
//! A call can be killed between any two of these steps. Files are replaced as wholes ([`write_atomic`]), so each is there or not:
//!
//! - Before 1 is complete, the sample has no `pixels` and is not in the list: it is measured again.
//! - After 1, up to the end of 3, it has `pixels` and is not in the list on the disk: the next call adds them to the sums it reads.
//! - After 3, it is in the list. `pixels` that 4 has left are not looked at, so nothing is counted twice.
//!
//! Nothing that is on the disk is believed unseen. After a power failure, files that were not synced may be empty, and disks and
//! people damage others. So `pixels` and `pixel_sums` end with a hash of their content, and both hold a hash of the tables and the
//! component map of each measured sample ([`hash_sample`]):
//!
//! - A sample whose tables or map are not as they were written is measured again. If the sums have its counts already, these stay,
//!   since measuring it again would give the same ones.
//! - A sample whose `pixels` are damaged is measured again.
//! - If `pixel_sums` is damaged, so is every sample but those that still have `pixels`.
//!
//! Samples that are skipped because they have no out-of-distribution pixels are recorded as skipped. That a sample has no folder
//! means nothing by itself: somebody may have removed it.
//!
//! The list is by position: the samples are the same ones in the same order, because the output belongs to one set of arguments and
//! inputs. Everything here is removed with `partial/` when the output is complete.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::atomic::write_atomic;
use artifacts::score::Score;
use blake3::Hash;
use measures::pixel_counts::{Count, ScoreCounts};
use walkdir::WalkDir;

use crate::counts_encoding::{decode, encode, put, take};
use crate::pixel_sums::PixelSums;

/// File with the sums over many images and the state of each.
const SUMS: &str = "pixel_sums";
/// File with the counts of one image that is not part of the sums on the disk.
const IMAGE: &str = "pixels";

/// How far a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is to be measured.
    Left,
    /// It has no out-of-distribution pixels, and such samples are not measured.
    Skipped,
    /// It is part of the sums; with the hash of its tables and component map.
    Measured(Hash),
}

/// Which samples are done, and the sums of their pixel counts.
pub struct Checkpoint {
    /// State of each sample.
    pub states: Vec<State>,
    /// Pixel counts of the samples that are measured.
    pub sums: PixelSums,
}

impl Checkpoint {
    /// Reads what [`write`](Self::write) left in `dir` of pixels with these scores; without it, or if it is damaged, none of
    /// `n_samples` is done.
    ///
    /// # Errors
    /// Returns an error if the file exists but cannot be read.
    pub fn read(dir: &Path, n_samples: usize, scores: &'static [Score]) -> Result<Self> {
        let read = read_whole(&dir.join(SUMS), |bytes| {
            let states = (0..n_samples).map(|_| take_state(bytes));
            let states = states.collect::<Result<_>>()?;
            let mut sums = PixelSums::new(scores);
            for has_ood in [false, true] {
                *sums.of_mut(has_ood) = decode(bytes, scores)?;
            }
            Ok(Self { states, sums })
        })?;
        Ok(read.unwrap_or_else(|| Self {
            states: vec![State::Left; n_samples],
            sums: PixelSums::new(scores),
        }))
    }

    /// Replaces the sums and the states in `dir`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written; the former one is then still there.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        for &state in &self.states {
            put_state(&mut bytes, state);
        }
        for has_ood in [false, true] {
            encode(self.sums.of(has_ood), &mut bytes);
        }
        write_hashed(&dir.join(SUMS), bytes)
    }

    /// Adds the counts of sample `i`, whose tables and map have this hash, unless the sums have them already.
    pub fn add<N: Count>(&mut self, i: usize, hash: Hash, has_ood: bool, image: &ScoreCounts<N>) {
        if !matches!(self.states[i], State::Measured(_)) {
            self.sums.add(has_ood, image);
        }
        self.states[i] = State::Measured(hash);
    }

    /// Leaves out sample `i`, which cannot be used.
    ///
    /// # Errors
    /// Returns an error if its counts are part of the sums, from which they cannot be taken.
    pub fn leave_out(&mut self, i: usize) -> Result<()> {
        ensure!(
            !matches!(self.states[i], State::Measured(_)),
            "an interrupted call counted its pixels"
        );
        self.states[i] = State::Left;
        Ok(())
    }

    /// Adds the counts of sample `i` if [`write_image`] left them in its folder `dir`, undamaged.
    ///
    /// # Errors
    /// Returns an error if the file exists but cannot be read.
    pub fn add_written(&mut self, i: usize, dir: &Path) -> Result<()> {
        let scores = self.sums.of(false).scores();
        let image = read_whole(&dir.join(IMAGE), |bytes| {
            let hash = take_hash(bytes)?;
            Ok((hash, take(bytes)? == 1, decode(bytes, scores)?))
        })?;
        if let Some((hash, has_ood, image)) = image {
            self.add(i, hash, has_ood, &image);
        }
        Ok(())
    }
}

/// Writes the counts of one sample into its folder `dir`, where they stay until they are part of sums on the disk; `hash` is that
/// of [`hash_sample`].
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write_image(dir: &Path, hash: Hash, has_ood: bool, image: &ScoreCounts<u32>) -> Result<()> {
    let mut bytes = hash.as_bytes().to_vec();
    put(&mut bytes, u64::from(has_ood));
    encode(image, &mut bytes);
    write_hashed(&dir.join(IMAGE), bytes)
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

/// Hashes the tables in a sample's folder `dir`, with their names, and its component map.
///
/// # Errors
/// Returns an error if the folder or a file cannot be read.
pub fn hash_sample(dir: &Path, component_map: &Path) -> Result<Hash> {
    let mut hasher = blake3::Hasher::new();
    add_file(&mut hasher, "", component_map)?;
    for entry in WalkDir::new(dir).sort_by_file_name() {
        let entry = entry?;
        let name = entry.path().strip_prefix(dir)?.to_string_lossy();
        if entry.file_type().is_file() && name != IMAGE {
            add_file(&mut hasher, &name, entry.path())?;
        }
    }
    Ok(hasher.finalize())
}

/// Adds the name and the content of a file; both as hashes, so that no two files can be taken for one.
fn add_file(hasher: &mut blake3::Hasher, name: &str, path: &Path) -> Result<()> {
    let content = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    hasher.update(blake3::hash(name.as_bytes()).as_bytes());
    hasher.update(blake3::hash(&content).as_bytes());
    Ok(())
}

fn put_state(bytes: &mut Vec<u8>, state: State) {
    match state {
        State::Left => put(bytes, 0),
        State::Skipped => put(bytes, 1),
        State::Measured(hash) => {
            put(bytes, 2);
            bytes.extend_from_slice(hash.as_bytes());
        }
    }
}

fn take_state(bytes: &mut &[u8]) -> Result<State> {
    match take(bytes)? {
        0 => Ok(State::Left),
        1 => Ok(State::Skipped),
        2 => Ok(State::Measured(take_hash(bytes)?)),
        other => bail!("there is no state {other}"),
    }
}

fn take_hash(bytes: &mut &[u8]) -> Result<Hash> {
    let (hash, rest) = bytes.split_first_chunk().context("a hash ends too early")?;
    *bytes = rest;
    Ok(Hash::from_bytes(*hash))
}

/// Writes a file that ends with the hash of what is before it.
fn write_hashed(path: &Path, mut bytes: Vec<u8>) -> Result<()> {
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    write_atomic(path, |w| Ok(w.write_all(&bytes)?))
}

/// Reads what [`write_hashed`] wrote with `parse`, which takes what it needs from the front and must leave nothing. `None` if the
/// file does not exist, or is damaged, which is said.
fn read_whole<T>(path: &Path, parse: impl FnOnce(&mut &[u8]) -> Result<T>) -> Result<Option<T>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("could not read {}", path.display()))?,
    };
    match parse_hashed(&bytes, parse) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            tracing::info!(
                "{} is damaged ({error:#}): its samples are measured again",
                path.display()
            );
            Ok(None)
        }
    }
}

fn parse_hashed<T>(bytes: &[u8], parse: impl FnOnce(&mut &[u8]) -> Result<T>) -> Result<T> {
    let (mut content, hash) = bytes.split_last_chunk().context("it is cut off")?;
    ensure!(
        blake3::hash(content) == Hash::from_bytes(*hash),
        "its content does not match its hash"
    );
    let value = parse(&mut content)?;
    ensure!(content.is_empty(), "it is too long");
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use measures::pixel_row::PixelRow;

    const SCORES: &[Score] = &Score::OF_LOGITS;

    fn image(i: usize) -> ScoreCounts<u32> {
        let mut row = PixelRow::new(2, 2);
        row.fill_from_logits(&[i as f32, 1.0, 0.5, 0.0]);
        let mut image = ScoreCounts::<u32>::new();
        image.add_row(&row, &[0, 1], &mut Vec::new());
        image
    }

    fn hash(i: usize) -> Hash {
        blake3::hash(&[i as u8])
    }

    #[test]
    fn images_that_are_not_in_the_sums_yet_are_added_once() -> Result<()> {
        let (dir, folders) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let folder = |i: usize| folders.path().join(i.to_string());
        let mut whole = Checkpoint::read(dir.path(), 4, SCORES)?;
        for i in 0..3 {
            fs::create_dir(folder(i))?;
            write_image(&folder(i), hash(i), i != 1, &image(i))?;
            whole.add(i, hash(i), i != 1, &image(i));
        }
        let mut first = Checkpoint::read(dir.path(), 4, SCORES)?;
        first.add_written(0, &folder(0))?;
        first.states[3] = State::Skipped;
        first.write(dir.path())?;
        remove_image(&folder(0))?;
        remove_image(&folder(0))?;

        let mut second = Checkpoint::read(dir.path(), 4, SCORES)?;
        let (done, left) = (State::Measured(hash(0)), State::Left);
        assert_eq!(second.states, [done, left, left, State::Skipped]);
        for i in 0..3 {
            second.add_written(i, &folder(i))?;
        }
        assert_eq!(second.states[..3], whole.states[..3]);
        assert!(second.sums == whole.sums);
        // one that is measured again is not counted again
        second.add(1, hash(1), false, &image(1));
        assert!(second.sums == whole.sums);
        Ok(())
    }

    #[test]
    fn no_flipped_bit_is_accepted() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let dir = dir.path();
        let mut whole = Checkpoint::read(dir, 2, SCORES)?;
        whole.add(0, hash(0), true, &image(0));
        whole.write(dir)?;
        write_image(dir, hash(0), true, &image(0))?;
        for name in [SUMS, IMAGE] {
            let path = dir.join(name);
            let bytes = fs::read(&path)?;
            let flips = (0..8 * bytes.len()).step_by(41);
            let flipped = flips.map(|bit| {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                flipped
            });
            let cut = [0, 1, 31, 32, bytes.len() - 1].map(|n| bytes[..n].to_vec());
            for damaged in flipped.chain(cut) {
                fs::write(&path, damaged)?;
                let mut read = Checkpoint::read(dir, 2, SCORES)?;
                if name == SUMS {
                    assert_eq!(read.states, [State::Left; 2]);
                    assert!(read.sums == PixelSums::new(SCORES));
                } else {
                    read.add_written(1, dir)?;
                    assert_eq!(read.states, [State::Measured(hash(0)), State::Left]);
                    assert!(read.sums == whole.sums);
                }
            }
            fs::write(&path, bytes)?;
        }
        Ok(())
    }

    #[test]
    fn all_files_of_a_sample_are_hashed_but_its_counts() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (folder, map) = (dir.path().join("a"), dir.path().join("a.png"));
        fs::create_dir_all(folder.join("thresholds"))?;
        for path in [
            &map,
            &folder.join("table"),
            &folder.join("thresholds/table"),
        ] {
            fs::write(path, "content")?;
        }
        let whole = hash_sample(&folder, &map)?;
        write_image(&folder, whole, true, &image(0))?;
        assert_eq!(hash_sample(&folder, &map)?, whole);
        for path in [
            &map,
            &folder.join("table"),
            &folder.join("thresholds/table"),
        ] {
            fs::write(path, "")?;
            assert_ne!(hash_sample(&folder, &map)?, whole);
            fs::write(path, "content")?;
        }
        fs::rename(folder.join("table"), folder.join("other"))?;
        assert_ne!(hash_sample(&folder, &map)?, whole);
        fs::remove_file(&map)?;
        assert!(hash_sample(&folder, &map).is_err());
        Ok(())
    }
}
