//! `NumPy`'s archives of arrays, of `savez` and `savez_compressed`.
//!
//! Checkpoints are archives too, and must not be compressed. So the library for archives knows no codec, and entries are inflated
//! here.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::{Accept, Array, npy};

/// Bytes that deflate makes of one byte at the most.
const MAX_EXPANSION: u64 = 1032;

/// Reads the array called `name`, or the first one.
///
/// # Errors
/// Returns an error if it is no archive of arrays, has no such array, or the array is damaged.
pub(super) fn read(path: &Path, name: Option<&str>, accept: Accept) -> Result<Array> {
    let file = BufReader::new(File::open(path)?);
    let mut archive = ZipArchive::new(file)
        .context("it is no npz file (an archive of arrays), or it is cut off")?;
    let index = find(&archive, name)?;
    let entry = archive.by_index_raw(index)?;
    ensure!(!entry.encrypted(), "its arrays are encrypted");
    let (n_bytes, compressed, checksum) = (entry.size(), entry.compressed_size(), entry.crc32());
    let entry_name = entry.name()?.into_owned();
    let method = entry.compression();
    let most = match method {
        CompressionMethod::Stored => compressed,
        _ => compressed.saturating_mul(MAX_EXPANSION),
    };
    ensure!(
        n_bytes <= most,
        "its array {entry_name} is damaged: {compressed} bytes cannot hold {n_bytes}"
    );
    let array = match method {
        CompressionMethod::Stored => read_checked(entry, n_bytes, checksum, accept),
        CompressionMethod::DEFLATE => {
            read_checked(DeflateDecoder::new(entry), n_bytes, checksum, accept)
        }
        other => {
            bail!("its arrays are compressed by {other:?}: use numpy.savez or savez_compressed")
        }
    };
    array.with_context(|| format!("array {entry_name}"))
}

/// Reads an array and compares its checksum.
fn read_checked(from: impl Read, n_bytes: u64, checksum: u32, accept: Accept) -> Result<Array> {
    let mut from = CrcReader::new(from);
    let array = npy::read(&mut from, n_bytes, accept)?;
    ensure!(
        from.crc().sum() == checksum,
        "it is damaged: its checksum does not fit"
    );
    Ok(array)
}

/// Number of the entry of an array.
fn find<R: Read + Seek>(archive: &ZipArchive<R>, name: Option<&str>) -> Result<usize> {
    let entries = (0..archive.len()).map(|i| {
        archive
            .name_for_index(i)
            .and_then(zip::result::ZipResult::ok)
    });
    let entries: Vec<_> = entries.map(Option::unwrap_or_default).collect();
    let Some(name) = name else {
        let first = entries.iter().position(|entry| entry.ends_with(".npy"));
        return first.context("it holds no arrays");
    };
    let mut arrays = entries.iter().map(|entry| entry.strip_suffix(".npy"));
    let found = arrays.position(|array| array == Some(name));
    found.with_context(|| {
        let arrays = entries
            .iter()
            .filter_map(|entry| entry.strip_suffix(".npy"));
        let arrays: Vec<&str> = arrays.take(10).collect();
        format!(
            "it has no array {name:?}, but {}: pass another --array",
            arrays.join(", ")
        )
    })
}
