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

/// Reads `path` as JSON; the error names file, byte, line and column.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let byte = json_error_byte(&bytes, &error);
        anyhow::Error::new(error).context(format!("{} is damaged at byte {byte}", path.display()))
    })
}

/// Position in `bytes` of what a JSON parser, which counts lines and the bytes in them, complains about.
pub fn json_error_byte(bytes: &[u8], error: &serde_json::Error) -> usize {
    let lines = bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::len);
    let before: usize = lines.take(error.line().saturating_sub(1)).sum();
    (before + error.column()).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(fs::read(&path)?, b"old");
        assert_eq!(fs::read_dir(dir.path())?.count(), 1);
        Ok(())
    }
}
