//! A checksum inside of a table's file, by which damage is noticed that would leave a readable table with other values.
//!
//! Readers of parquet find the footer from the end of the file and the pages by their positions, so they pass over bytes between
//! the two. There stands the BLAKE3 hash of all other bytes:
//!
//! ```text
//! PAR1   pages   MAGIC hash   footer   length of the footer   PAR1
//! ```
//!
//! Files of other programs have none and are not checked.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use blake3::Hasher;

/// Says that a hash follows.
const MAGIC: &[u8; 8] = b"oodseghx";

/// Bytes of the magic and the hash.
const SEAL: u64 = 8 + 32;

/// Bytes after the footer: its length and the letters `PAR1`.
const TAIL: u64 = 8;

/// Passes the bytes of a file on, and puts their hash before the footer.
pub(super) struct Sealing<'a, W> {
    inner: W,
    hasher: Hasher,
    /// Whether all pages are written.
    is_footer: &'a AtomicBool,
    footer: Vec<u8>,
}

impl<'a, W: Write> Sealing<'a, W> {
    /// `is_footer` is to be set after the last page.
    pub(super) fn new(inner: W, is_footer: &'a AtomicBool) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
            is_footer,
            footer: Vec::new(),
        }
    }

    /// Writes the hash and the footer.
    pub(super) fn finish(mut self) -> Result<()> {
        self.hasher.update(&self.footer);
        // whatever else follows the pages is found by its position from the front
        let length = footer_length(&self.footer).context("there is no footer")?;
        let start = (self.footer.len() as u64).checked_sub(TAIL + length);
        let start = start.context("the footer is too long")? as usize;
        self.inner.write_all(&self.footer[..start])?;
        self.inner.write_all(MAGIC)?;
        self.inner.write_all(self.hasher.finalize().as_bytes())?;
        Ok(self.inner.write_all(&self.footer[start..])?)
    }
}

impl<W: Write> Write for Sealing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_footer.load(Ordering::Relaxed) {
            self.footer.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Compares the hash in a file, if there is one, with its content. Returns whether there is one.
///
/// # Errors
/// Returns an error if they differ or the file cannot be read.
pub(super) fn verify(path: &Path) -> Result<bool> {
    let mut file = File::open(path)?;
    let Some(start) = seal_start(&mut file)? else {
        return Ok(false);
    };
    file.rewind()?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut hasher = Hasher::new();
    io::copy(&mut reader.by_ref().take(start), &mut hasher)?;
    let mut seal = [0; SEAL as usize];
    reader.read_exact(&mut seal)?;
    io::copy(&mut reader, &mut hasher)?;
    ensure!(
        hasher.finalize().as_bytes()[..] == seal[MAGIC.len()..],
        "its content does not match its checksum"
    );
    Ok(true)
}

/// Where the magic and the hash begin; `None` if there are none.
fn seal_start(file: &mut File) -> Result<Option<u64>> {
    let size = file.metadata()?.len();
    if size < SEAL + TAIL {
        return Ok(None);
    }
    let mut tail = [0; TAIL as usize];
    file.seek(SeekFrom::Start(size - TAIL))?;
    file.read_exact(&mut tail)?;
    let start = footer_length(&tail).and_then(|n| size.checked_sub(TAIL + n + SEAL));
    let Some(start) = start else {
        return Ok(None);
    };
    let mut magic = [0; MAGIC.len()];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut magic)?;
    Ok((&magic == MAGIC).then_some(start))
}

/// The length of the footer in the last bytes of a file.
fn footer_length(bytes: &[u8]) -> Option<u64> {
    let (_, tail) = bytes.split_last_chunk::<{ TAIL as usize }>()?;
    let length = tail.first_chunk()?;
    Some(u32::from_le_bytes(*length).into())
}
