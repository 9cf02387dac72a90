//! Python for the tests of what users run with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// Root of the repository.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Whether a Python can import `modules`, names separated by commas.
pub(crate) fn has(python: &Path, modules: &str) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", &format!("import {modules}")]);
    import.output().is_ok_and(|output| output.status.success())
}

/// A Python that has `modules`; `None`, with a note on stderr, if there is none.
pub(crate) fn find_python(modules: &str) -> Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os("OODSEG_PYTHON").map(PathBuf::from) {
        ensure!(has(&named, "numpy"), "{} has not numpy", named.display());
        if has(&named, modules) {
            return Ok(Some(named));
        }
    }
    let installed =
        ["python", "h5py", "pytorch"].map(|name| format!("{ROOT}/target/{name}/bin/python"));
    let mut candidates = installed
        .into_iter()
        .chain(["python3".to_owned()])
        .map(PathBuf::from);
    let found = candidates.find(|python| has(python, modules));
    if found.is_none() {
        eprintln!("skipped: no Python has {modules}; OODSEG_PYTHON may name one that has");
    }
    Ok(found)
}

/// A command that runs Python with the module of this checkout and this executable.
pub(crate) fn with_module(python: &Path) -> Command {
    let bin = Path::new(env!("CARGO_BIN_EXE_oodseg")).parent();
    let mut command = Command::new(python);
    command
        .env("PYTHONPATH", format!("{ROOT}/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("OODSEG_BIN", bin.unwrap_or(Path::new(".")));
    command
}
