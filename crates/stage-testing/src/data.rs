//! Where the goldens and the real data are.

use std::path::{Path, PathBuf};

/// The checkout's goldens.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");

/// The folder `name` of the goldens: of those in `OODSEG_GOLDEN`, else of the checkout's.
pub fn golden(name: &str) -> PathBuf {
    let root = std::env::var_os("OODSEG_GOLDEN");
    root.map_or_else(|| COMMITTED.into(), PathBuf::from)
        .join(name)
}

/// The same, but the checkout's where the folder in `OODSEG_GOLDEN` has none of this name.
pub fn golden_or_committed(name: &str) -> PathBuf {
    let given = golden(name);
    if given.exists() {
        given
    } else {
        Path::new(COMMITTED).join(name)
    }
}

/// `path` below the folder of real data, `OODSEG_REAL_DATA` or the one beside the checkout; `None`, with a note on stderr, if
/// it is not there.
pub fn real(path: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/real");
    let root = std::env::var_os("OODSEG_REAL_DATA").map_or_else(|| beside.into(), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: there is no {} (OODSEG_REAL_DATA)", path.display());
    None
}
