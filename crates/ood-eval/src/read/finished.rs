//! Whether a stage's output is complete.

use std::path::Path;

use artifacts::manifest;

/// Whether the stage that writes `dir` finished: its manifest comes last.
pub(crate) fn is_finished(dir: &Path) -> bool {
    dir.join(manifest::FILE_NAME).exists()
}
