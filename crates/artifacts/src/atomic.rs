//! Writing files so that a reader finds either the whole file or none.
//!
//! Everything is first written to a temporary file `.*.tmp` in the same folder, which is then renamed. A reader therefore never
//! sees half a file, and a crash leaves at most a temporary file, which [`stage_dir`](crate::stage_dir) removes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tempfile::NamedTempFile;

/// Writes `path` through a temporary file in the same folder that is synced to the disk and renamed.
///
/// # Errors
/// Returns an error if `write` fails or the file cannot be written; what was at `path` before is then still there.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<()>,
) -> Result<()> {
    temporary(path, write)
        .and_then(|temporary| persist_synced(temporary, path))
        .with_context(|| format!("could not write {}", path.display()))
}

fn persist_synced(temporary: NamedTempFile, path: &Path) -> Result<()> {
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    // the rename itself must survive a power failure
    File::open(folder(path))?.sync_all()?;
    Ok(())
}

/// Writes `path` as [`write_atomic`] does, but without waiting for the disk.
///
/// Until [`sync_folder`] is called, a power failure may damage the file. Waiting once for many small files takes far less time
/// than waiting for each of them.
///
/// # Errors
/// Returns the errors of [`write_atomic`].
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<()>,
) -> Result<()> {
    temporary(path, write)
        .and_then(|temporary| Ok(temporary.persist(path)?))
        .map(drop)
        .with_context(|| format!("could not write {}", path.display()))
}

/// Waits until all files in a folder and its subfolders are on the disk.
///
/// # Errors
/// Returns an error if the folder cannot be read, or the disk reports a failure.
pub fn sync_folder(dir: &Path) -> Result<()> {
    /// From this number of files on it is faster to let the file system write everything it has, also the files of others.
    const MANY: usize = 256;
    let mut paths = Vec::new();
    list(dir, &mut paths)?;
    if paths.len() < MANY || !sync_file_system(dir) {
        sync_each(&paths)?;
    }
    Ok(())
}

/// Collects all files below a folder, and each folder after its content.
fn list(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("could not list {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), paths)?;
        } else {
            paths.push(entry.path());
        }
    }
    paths.push(dir.to_owned());
    Ok(())
}

/// Asks the file system to write everything; returns whether it can do that and did.
#[cfg(target_os = "linux")]
fn sync_file_system(dir: &Path) -> bool {
    File::open(dir).is_ok_and(|dir| rustix::fs::syncfs(dir).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_: &Path) -> bool {
    false
}

fn sync_each(paths: &[PathBuf]) -> Result<()> {
    /// Number of requests at once that keep a disk busy.
    const N_WAITING: usize = 8;
    std::thread::scope(|scope| {
        let parts = paths.chunks(paths.len().div_ceil(N_WAITING).max(1));
        let waiting: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().try_for_each(|path| sync(path))))
            .collect();
        waiting.into_iter().try_for_each(|thread| {
            let result = thread.join();
            result.unwrap_or_else(|_| bail!("a thread that synced files panicked"))
        })
    })
}

fn sync(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.with_context(|| format!("could not sync {} to the disk", path.display()))
}

fn folder(path: &Path) -> &Path {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty());
    dir.unwrap_or(Path::new("."))
}

/// A temporary file beside `path` with what `write` writes.
fn temporary(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<()>,
) -> Result<NamedTempFile> {
    let temporary = tempfile::Builder::new()
        .prefix(".")
        .suffix(".tmp")
        .permissions_like_new_files()
        .tempfile_in(folder(path))?;
    let mut buffer = BufWriter::with_capacity(1 << 16, temporary.as_file());
    write(&mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    Ok(temporary)
}

/// Temporary files are readable by their owner alone; artifacts get the permissions of any new file.
trait PermissionsLikeNewFiles {
    fn permissions_like_new_files(&mut self) -> &mut Self;
}

impl PermissionsLikeNewFiles for tempfile::Builder<'_, '_> {
    #[cfg(unix)]
    fn permissions_like_new_files(&mut self) -> &mut Self {
        use std::os::unix::fs::PermissionsExt;
        self.permissions(fs::Permissions::from_mode(0o666)) // the umask still applies
    }

    #[cfg(not(unix))]
    fn permissions_like_new_files(&mut self) -> &mut Self {
        self
    }
}

/// Writes `bytes` as [`write_atomic`] does.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |w| Ok(w.write_all(bytes)?))
}

/// Writes `value` as indented JSON with a final newline, as [`write_atomic`] does.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_atomic(path, |w| {
        serde_json::to_writer_pretty(&mut *w, value)?;
        Ok(w.write_all(b"\n")?)
    })
}

/// Reads `path` as JSON.
///
/// # Errors
/// Returns an error that names the file, and the byte, line and column at which it is damaged.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let byte = json_error_byte(&bytes, &error);
        anyhow::Error::new(error).context(format!("{} is damaged at byte {byte}", path.display()))
    })
}

/// Position in `bytes` of an error of the JSON parser, which itself counts lines and the bytes in them.
pub fn json_error_byte(bytes: &[u8], error: &serde_json::Error) -> usize {
    let lines = bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::len);
    let before: usize = lines.take(error.line().saturating_sub(1)).sum();
    (before + error.column()).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_synced_to_the_last_file() -> Result<()> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("more"))?;
        for n_files in [20, 300] {
            for i in 0..n_files {
                write_whole(&dir.path().join(format!("more/{i}")), |w| {
                    Ok(w.write_all(b"a")?)
                })?;
            }
            sync_folder(dir.path())?;
            let mut paths = Vec::new();
            list(dir.path(), &mut paths)?;
            assert_eq!(paths.len(), n_files + 2);
            sync_each(&paths)?;
        }
        assert!(sync_folder(&dir.path().join("none")).is_err());
        Ok(())
    }

    #[test]
    fn damaged_json_is_named_to_the_byte() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a.json");
        write_bytes(&path, b"{\n  \"a\": 1,\n  !")?;
        let error = read_json::<serde_json::Value>(&path).expect_err("damaged");
        assert!(
            format!("{error:#}").contains("a.json is damaged at byte 15"),
            "{error:#}"
        );
        Ok(())
    }

    #[test]
    fn failure_leaves_the_old_file_and_no_rest() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a.json");
        write_bytes(&path, b"old")?;
        let failed = write_atomic(&path, |w| {
            w.write_all(b"half")?;
            anyhow::bail!("disk full")
        });
        assert!(format!("{:#}", failed.unwrap_err()).contains("a.json"));
        assert!(write_whole(&path, |_| anyhow::bail!("disk full")).is_err());
        assert_eq!(fs::read(&path)?, b"old");
        assert_eq!(fs::read_dir(dir.path())?.count(), 1);
        Ok(())
    }
}
