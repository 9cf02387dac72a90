//! Finding and loading the shared library of ONNX Runtime. It is loaded when it is needed, so that neither builds nor other commands
//! depend on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};

/// What to do if there is none.
const ADVICE: &str = "install it with `pip install onnxruntime` (and have its python3 on the PATH), or name libonnxruntime.so with --onnx-library or ORT_DYLIB_PATH";

/// Prints the folder of Python's package onnxruntime without importing it. The current folder, where Python looks too, may hold anything.
const FOLDER: &str = "import sys; sys.path = [p for p in sys.path if p]; import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0] if s else '')";

/// Names of the interpreter, the usual one first.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// Loads the library `given`, or that of Python's package. What is loaded stays so for the life of the process.
///
/// # Errors
/// Returns an error with what to do if there is no library, or it is too old or something else.
pub(super) fn load(given: Option<&Path>) -> Result<()> {
    let library = match given {
        Some(file) => {
            let shown = file.display();
            ensure!(
                file.is_file(),
                "--onnx-library {shown} (or ORT_DYLIB_PATH) is not a file: {ADVICE}"
            );
            std::path::absolute(file)?
        }
        None => of_python().with_context(|| format!("ONNX Runtime is not there: {ADVICE}"))?,
    };
    let environment = ort::init_from(&library).map_err(|error| {
        anyhow!(
            "{} cannot be loaded as ONNX Runtime 1.{} or later ({error}): {ADVICE}",
            library.display(),
            ort::MINOR_VERSION
        )
    })?;
    environment.with_telemetry(false).commit();
    tracing::debug!("ONNX Runtime is {}", library.display());
    Ok(())
}

/// The library of Python's package onnxruntime, if the first Python on the PATH has it.
fn of_python() -> Option<PathBuf> {
    let printed = PYTHONS.iter().find_map(|python| {
        let output = Command::new(python).args(["-c", FOLDER]).output().ok()?;
        output.status.success().then_some(output.stdout)
    })?;
    let folder = String::from_utf8(printed).ok()?;
    library_in(&Path::new(folder.trim()).join("capi"))
}

/// `libonnxruntime.so.1.32.0`, `libonnxruntime.1.32.0.dylib` or `onnxruntime.dll` in a folder.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files.into_iter().find(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libonnxruntime.so")
            || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
            || name.eq_ignore_ascii_case("onnxruntime.dll")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_told_from_its_neighbors() -> Result<()> {
        let dir = tempfile::tempdir()?;
        assert_eq!(library_in(dir.path()), None);
        for name in ["__init__.py", "libonnxruntime_providers_shared.so"] {
            std::fs::write(dir.path().join(name), "")?;
        }
        assert_eq!(library_in(dir.path()), None);
        for name in ["libonnxruntime.so.1.32.0", "libonnxruntime.1.32.0.dylib"] {
            let file = dir.path().join(name);
            std::fs::write(&file, "")?;
            assert_eq!(library_in(dir.path()), Some(file.clone()));
            std::fs::remove_file(file)?;
        }
        Ok(())
    }
}
