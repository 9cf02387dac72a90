//! The hash of a file's content, which tells whether the file is still the same.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result};

/// Size and hash of a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHash {
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 hash, hexadecimal.
    pub blake3: String,
}

impl FileHash {
    /// Reads the whole file, some of it at a time.
    ///
    /// # Errors
    /// Returns an error that names the file if it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let bytes = File::open(path)
            .and_then(|file| std::io::copy(&mut BufReader::new(file), &mut hasher))
            .with_context(|| format!("could not read {}", path.display()))?;
        Ok(Self {
            bytes,
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_hashed_whatever_its_size() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        for size in [0, 1, 100_000] {
            let content = vec![7; size];
            std::fs::write(&path, &content)?;
            let expected = FileHash {
                bytes: size as u64,
                blake3: blake3::hash(&content).to_hex().to_string(),
            };
            assert_eq!(FileHash::of(&path)?, expected);
        }
        std::fs::remove_file(&path)?;
        let error = format!("{:#}", FileHash::of(&path).expect_err("no file"));
        assert!(
            error.starts_with("could not read ") && error.contains("file"),
            "{error}"
        );
        Ok(())
    }
}
