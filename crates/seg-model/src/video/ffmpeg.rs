//! Running ffmpeg.

use std::io::ErrorKind;
use std::process::{Child, Command, Output};

use anyhow::{Context, Error, Result, anyhow, ensure};

/// The program with what every call has: no questions, log lines that begin with `[level]`, and no progress among them.
pub(super) fn ffmpeg(level: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostats", "-y", "-loglevel"]);
    command.arg(format!("level+{level}"));
    command
}

/// Starts the program.
///
/// # Errors
/// Returns an error with what to do if it is not there.
pub(super) fn start(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "ffmpeg is not on the PATH: install it (`apt-get install ffmpeg`, `brew install ffmpeg`), or pass a folder of frames as --folder"
        ),
        _ => Error::new(error).context("ffmpeg could not be started"),
    })
}

/// Waits for the program. Returns its log.
///
/// # Errors
/// Returns an error with its last message if it fails.
pub(super) fn finish(child: Child) -> Result<String> {
    let output = child.wait_with_output().context("ffmpeg was lost")?;
    let log = log(&output);
    ensure!(
        output.status.success(),
        "ffmpeg failed: {}",
        errors(&log).last().unwrap_or("it does not say why")
    );
    Ok(log)
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The texts of the error messages in a log, without the addresses of what they come from.
pub(super) fn errors(log: &str) -> impl Iterator<Item = &str> {
    let levels = ["[error] ", "[fatal] "];
    log.lines().filter_map(move |line| {
        let text = levels.iter().find_map(|level| line.split_once(level));
        text.map(|(_, text)| text.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_other_lines() {
        let log = "[info] Input #0\n[mov @ 0x5] [error] moov atom not found\n[fatal] a.mp4: Invalid data\n[warning] x";
        let found: Vec<_> = errors(log).collect();
        assert_eq!(found, ["moov atom not found", "a.mp4: Invalid data"]);
    }
}
