//! Weights files that a subcommand makes of others: what they say of these, and which files they may replace.

use std::path::Path;

use anyhow::{Result, ensure};
use artifacts::manifest::Input;

use crate::checkpoint::WeightsFile;

/// What the metadata `source` says between the name and the hash of a file that the weights were made of.
const HASHED: &str = ", BLAKE3 ";

/// Name and hash of a file, for the metadata `source` of weights that are made of it. It is given by its name alone, so that the same file
/// gives the same bytes in any folder.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub(crate) fn hashed(file: &Path) -> Result<String> {
    let name = file.file_name().unwrap_or_default();
    Ok(format!(
        "{}{HASHED}{}",
        name.display(),
        Input::of(file)?.blake3
    ))
}

/// Refuses outputs that would replace one of the inputs or, without --force, a file that none of our subcommands made of others.
///
/// # Errors
/// Returns an error that says what to pass instead.
pub(crate) fn check(inputs: &[&Path], output: &Path, force: bool) -> Result<()> {
    let shown = output.display();
    ensure!(
        !output.is_dir(),
        "--output {shown} is a folder: pass a file"
    );
    if !output.exists() {
        return Ok(());
    }
    for input in inputs {
        let files = WeightsFile::open(input, None).map(|file| file.files);
        let files = files.unwrap_or_default();
        ensure!(
            !is_same(input, output) && !files.iter().any(|file| is_same(file, output)),
            "--output {shown} is the checkpoint itself, which would be lost: pass another file"
        );
    }
    ensure!(
        force || was_made_of_others(output),
        "--output {shown} exists and was not written by this command: pass another file, or --force to replace it"
    );
    Ok(())
}

fn is_same(first: &Path, second: &Path) -> bool {
    match (first.canonicalize(), second.canonicalize()) {
        (Ok(first), Ok(second)) => first == second,
        _ => false,
    }
}

fn was_made_of_others(file: &Path) -> bool {
    let opened = WeightsFile::open(file, None);
    opened.is_ok_and(|file| {
        file.metadata
            .get("source")
            .is_some_and(|s| s.contains(HASHED))
    })
}
