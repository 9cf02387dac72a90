//! Running a stage's executable.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What an executable printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// Results.
    pub stdout: String,
    /// Log lines and errors.
    pub stderr: String,
}

/// Runs `command`, which must succeed.
///
/// # Errors
/// Returns an error with the command's stderr if it fails or cannot be started.
pub fn succeed(command: &mut Command) -> Result<Printed> {
    let (status, printed) = run(command)?;
    ensure!(status == Some(0), "{command:?} failed: {}", printed.stderr);
    Ok(printed)
}

/// Runs `command`, which must end with status 1 and one error line that contains all `parts`; returns that line.
///
/// # Errors
/// Returns an error with the command's stderr if it ends otherwise, or cannot be started.
pub fn fail(command: &mut Command, parts: &[&str]) -> Result<String> {
    let (status, printed) = run(command)?;
    let stderr = printed.stderr;
    ensure!(
        status == Some(1),
        "{command:?} ended with status {status:?}: {stderr}"
    );
    let line = one_error_line(&stderr)?;
    for part in parts {
        ensure!(line.contains(part), "{part:?} is not in {stderr}");
    }
    Ok(line.to_owned())
}

/// Runs `command`, which must be quiet and fail: as [`fail`], but beside warnings the error line must be all that it prints to stderr.
///
/// # Errors
/// Returns an error with the command's stderr if it ends otherwise, or cannot be started.
pub fn fail_quietly(command: &mut Command, parts: &[&str]) -> Result<()> {
    let (status, printed) = run(command)?;
    let stderr = printed.stderr;
    let others = stderr.lines().filter(|line| !line.starts_with(" WARN "));
    ensure!(
        status == Some(1) && others.count() == 1,
        "{command:?} ended with status {status:?} and not one line: {stderr}"
    );
    let line = one_error_line(&stderr)?;
    for part in parts {
        ensure!(line.contains(part), "{part:?} is not in {stderr}");
    }
    Ok(())
}

/// The one line of `stderr` that begins with `error: `.
///
/// # Errors
/// Returns an error if there is no such line, or more than one, or a panic.
pub fn one_error_line(stderr: &str) -> Result<&str> {
    let errors: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    ensure!(
        errors.len() == 1 && !stderr.contains("panicked at"),
        "not one error line: {stderr}"
    );
    Ok(errors[0])
}

fn run(command: &mut Command) -> Result<(Option<i32>, Printed)> {
    let output = command
        .output()
        .with_context(|| format!("could not start {command:?}"))?;
    let printed = Printed {
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    };
    Ok((output.status.code(), printed))
}
