//! Pictures of predictions as a video.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use anyhow::{Context, Result, ensure};
use artifacts::picture::{self, Orientation};
use image::RgbImage;
use stage_cli::Progress;

use super::ffmpeg::{ffmpeg, finish, start};

/// The comment in videos that this module writes, by which it knows them.
const COMMENT: &str = "seg-model infer --overlay-video";

/// Refuses files that cannot be written, or that something else wrote.
///
/// # Errors
/// Returns an error with what to do.
pub(crate) fn check_file(file: &Path, force: bool) -> Result<()> {
    let shown = file.display();
    let ending = file.extension().unwrap_or_default();
    ensure!(
        ending.eq_ignore_ascii_case("mp4"),
        "--overlay-video {shown} is not an .mp4 file: choose such a name"
    );
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    ensure!(
        folder.is_none_or(Path::is_dir),
        "--overlay-video {shown} is in a folder that does not exist: create it"
    );
    if !file.exists() {
        return Ok(());
    }
    let bytes = fs::read(file).with_context(|| format!("could not read {shown}"))?;
    let mut windows = bytes.windows(COMMENT.len());
    ensure!(
        force || windows.any(|window| window == COMMENT.as_bytes()),
        "--overlay-video {shown} exists and was not written by this command: choose another name, or replace it with --force"
    );
    Ok(())
}

/// Writes pairs of pictures of one size side by side, `rate` of them a second.
///
/// # Errors
/// Returns an error if there are none, a picture cannot be read or has another size, or ffmpeg is not there or fails; no file is left
/// then.
pub(crate) fn write(file: &Path, pictures: &[[PathBuf; 2]], rate: f64) -> Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let temporary = file.with_file_name(format!(".{name}.tmp"));
    let written = encode(&temporary, pictures, rate).and_then(|()| {
        let renamed = fs::rename(&temporary, file);
        renamed.with_context(|| format!("could not write {}", file.display()))
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("--overlay-video {} was not written", file.display()))
}

fn encode(file: &Path, pictures: &[[PathBuf; 2]], rate: f64) -> Result<()> {
    let first = pictures.first().context("there are no pictures")?;
    let size = side_by_side(first)?.dimensions();
    let mut command = ffmpeg("error");
    command.args(["-f", "rawvideo", "-pix_fmt", "rgb24"]);
    command
        .arg("-video_size")
        .arg(format!("{}x{}", size.0, size.1));
    command.arg("-framerate").arg(rate.to_string());
    // players want even sides
    command.args([
        "-i",
        "-",
        "-vf",
        "pad=ceil(iw/2)*2:ceil(ih/2)*2",
        "-pix_fmt",
        "yuv420p",
    ]);
    command.args(["-fflags", "+bitexact", "-metadata"]);
    command.arg(format!("comment={COMMENT}"));
    command
        .args(["-movflags", "+faststart", "-f", "mp4"])
        .arg(file);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = start(&mut command)?;
    let stdin = child.stdin.take().context("ffmpeg takes no pictures")?;
    let sent = send(stdin, pictures, size);
    // what ffmpeg says is the cause of a pipe that is closed
    finish(child).and(sent)
}

/// Sends all pictures, and closes the pipe.
fn send(mut stdin: ChildStdin, pictures: &[[PathBuf; 2]], size: (u32, u32)) -> Result<()> {
    let progress = Progress::new("overlay video", pictures.len() as u64, "images");
    for paths in pictures {
        let picture = side_by_side(paths)?;
        let (width, height) = picture.dimensions();
        ensure!(
            (width, height) == size,
            "{} and the picture beside it have {width}x{height} pixels, but the first ones {}x{}: the images must have one size",
            paths[0].display(),
            size.0,
            size.1
        );
        stdin
            .write_all(picture.as_raw())
            .context("ffmpeg stopped")?;
        progress.advance(1);
    }
    progress.finish();
    Ok(())
}

/// Two pictures of equal height, the first one on the left.
fn side_by_side(paths: &[PathBuf; 2]) -> Result<RgbImage> {
    let left = picture::read_rgb(&paths[0], Orientation::Stored)?;
    let right = picture::read_rgb(&paths[1], Orientation::Stored)?;
    let height = left.height().max(right.height());
    let mut both = RgbImage::new(left.width() + right.width(), height);
    image::imageops::replace(&mut both, &left, 0, 0);
    image::imageops::replace(&mut both, &right, i64::from(left.width()), 0);
    Ok(both)
}
