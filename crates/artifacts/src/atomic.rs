//! Files that are either whole or absent.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes `path` through a sibling temporary file that is synced and renamed, so that no reader and no crash
/// ever sees half of it.
///
/// # Errors
/// If `write` fails or the disk does; what stood at `path` before is then still there.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<()>,
) -> Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    let inner = || -> Result<()> {
        let temporary = tempfile::Builder::new()
            .prefix(".")
            .suffix(".tmp")
            .permissions_like_new_files()
            .tempfile_in(dir)?;
        let mut buffer = BufWriter::with_capacity(1 << 16, temporary.as_file());
        write(&mut buffer)?;
        buffer.flush()?;
        drop(buffer);
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        // the rename itself must survive a power cut
        File::open(dir)?.sync_all()?;
        Ok(())
    };
    inner().with_context(|| format!("could not write {}", path.display()))
}

/// Temporary files are private by default; artifacts get the permissions that any new file would.
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

/// Reads `path` as JSON; the error names file, line and column.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(fs::read(&path)?, b"old");
        assert_eq!(fs::read_dir(dir.path())?.count(), 1);
        Ok(())
    }
}
