//! The lock of an output directory: one call at a time.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// File in the output directory that is locked.
pub(super) const FILE_NAME: &str = ".lock";

/// A lock that ends when it is dropped, or with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Locks `dir`, or says who has it.
    ///
    /// The lock is that of the operating system (`flock` on Unix, which NFS honors too), so there are no stale ones. Where a file system has
    /// none, a warning is logged, and keeping calls apart is left to the user.
    ///
    /// # Errors
    /// Returns an error if another call holds the lock, or the file cannot be created.
    pub(super) fn acquire(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .with_context(|| format!("could not create {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => bail!(
                    "{} is being written by another call{}: wait until it ends, or choose another --output",
                    dir.display(),
                    owner(&file)
                ),
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(
                        "{} cannot be locked ({error}): take care that no other call writes it",
                        dir.display()
                    );
                }
            }
            let mut lock = Self {
                path: path.clone(),
                file,
            };
            // the holder of before may have removed the file between opening and locking
            if lock.is_current() {
                lock.sign();
                return Ok(lock);
            }
        }
    }

    /// Writes who holds the lock, for the message of others. Nothing depends on it.
    fn sign(&mut self) {
        let _ = self.file.set_len(0);
        let _ = write!(self.file, "process {}", std::process::id());
    }

    #[cfg(unix)]
    fn is_current(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let key = |m: fs::Metadata| (m.dev(), m.ino());
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(ours), Ok(there)) => key(ours) == key(there),
            _ => false,
        }
    }

    #[cfg(not(unix))]
    fn is_current(&self) -> bool {
        true
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // only while it is held: whoever opened the file before sees by `is_current` that it is gone
        #[cfg(unix)]
        let _ = fs::remove_file(&self.path);
    }
}

fn owner(mut file: &File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.is_empty() => format!(" ({text})"),
        _ => String::new(),
    }
}
