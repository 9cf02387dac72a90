//! The frames of a video as images with an index, in a directory of their own.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_bytes;
use artifacts::index::{Index, Sample, plain_sample_id};
use artifacts::labels::MaskKind;
use artifacts::picture::{self, Orientation};
use artifacts::stage_dir::{Request, StageDir};
use serde::Serialize;

use super::args::VideoArgs;
use super::ffmpeg::{errors, ffmpeg, finish, start};

/// File in the directory that says when each frame was shown.
const TIMES: &str = "frames.csv";

/// What is recorded of the work.
#[derive(Serialize)]
struct Taken {
    every: Option<u32>,
    fps: Option<f64>,
}

/// A frame, before it has its name.
struct Frame {
    file: PathBuf,
    /// Its number in the video; among those that are taken if they are taken by time.
    number: usize,
    /// When it is shown, in seconds.
    seconds: f64,
}

/// Extracts the frames of a video into `dir`, unless they are there already: `VIDEO_FRAME_SECONDSs.png`, an index and a table of the
/// times.
///
/// # Errors
/// Returns an error if ffmpeg is not there or does not read the video, it has no frames, or the directory cannot be written.
pub(crate) fn extract(video: &Path, args: &VideoArgs, dir: &Path) -> Result<()> {
    ensure!(video.is_file(), "--video {} is not a file", video.display());
    let taken = Taken {
        every: args.every,
        fps: args.fps,
    };
    let request = Request::new(dir, "seg-model frames", &taken, &[("video", video)], false)?;
    let Some(stage) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    tracing::info!("extracting the frames of {} with ffmpeg", video.display());
    let frames = run(video, args, &stage);
    let frames = frames.with_context(|| format!("--video {} cannot be used", video.display()))?;
    let stem = video.file_stem().unwrap_or_default().to_string_lossy();
    let (mut samples, mut times) = (Vec::new(), "sample_id,frame,seconds\n".to_owned());
    for frame in frames {
        let Frame {
            number, seconds, ..
        } = frame;
        let sample_id = plain_sample_id(&format!("{stem}_{number:07}_{seconds:.3}s"));
        let _ = writeln!(times, "{sample_id},{number},{seconds}");
        let image = PathBuf::from(format!("{sample_id}.png"));
        let path = stage.path().join(&image);
        fs::rename(&frame.file, &path)
            .with_context(|| format!("could not write {}", path.display()))?;
        samples.push(sample(sample_id, image, &path)?);
    }
    let n_frames = samples.len() as u64;
    let index = Index::new("video", "all", MaskKind::Eval, dir, samples)?;
    index.write(stage.path())?;
    write_bytes(&stage.path().join(TIMES), times.as_bytes())?;
    stage.finish(&[("frames", n_frames)])?;
    tracing::info!("{n_frames} frames are in {}", dir.display());
    Ok(())
}

/// Frames a second in a directory of frames, if there are several at different times.
pub(crate) fn rate_of(dir: &Path) -> Option<f64> {
    let table = fs::read_to_string(dir.join(TIMES)).ok()?;
    let seconds = |line: &str| line.rsplit(',').next()?.parse::<f64>().ok();
    let times: Vec<f64> = table.lines().filter_map(seconds).collect();
    let (first, last) = (times.first()?, times.last()?);
    let rate = (times.len() - 1) as f64 / (last - first);
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// Lets ffmpeg write the frames to a folder that only this work needs.
fn run(video: &Path, args: &VideoArgs, stage: &StageDir) -> Result<Vec<Frame>> {
    let folder = stage.partial()?;
    let every = args.every.unwrap_or(1);
    let chosen = match args.fps {
        Some(fps) => format!("fps={fps}"),
        None => format!("select=not(mod(n\\,{every}))"),
    };
    // numbered in place of their times, each frame is written once by every version of ffmpeg
    let filters = format!("{chosen},showinfo,settb=1/25,setpts=N");
    let mut command = ffmpeg("info");
    command.arg("-nostdin").arg("-i").arg(video);
    command.args([
        "-map", "0:v:0", "-vf", &filters, "-r", "25", "-f", "image2", "-c:v", "png",
    ]);
    command.args(["-pix_fmt", "rgb24", "-start_number", "0"]);
    command.arg(folder.join("%d.png"));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let log = finish(start(&mut command)?)?;
    if let Some(error) = errors(&log).next() {
        tracing::warn!(
            "ffmpeg on {}: {error} ({} such messages)",
            video.display(),
            errors(&log).count()
        );
    }
    let times = times(&log)?;
    ensure!(!times.is_empty(), "it has no frames");
    let step = args.fps.map_or(every as usize, |_| 1);
    let frame = |(i, seconds)| Frame {
        file: folder.join(format!("{i}.png")),
        number: i * step,
        seconds,
    };
    let frames: Vec<Frame> = times.into_iter().enumerate().map(frame).collect();
    let missing = frames.iter().find(|frame| !frame.file.is_file());
    ensure!(missing.is_none(), "ffmpeg wrote fewer frames than it named");
    Ok(frames)
}

/// The times of frames in the log of ffmpeg's filter `showinfo`, in seconds from the first one on.
fn times(log: &str) -> Result<Vec<f64>> {
    let lines = log.lines().filter(|line| line.contains("showinfo"));
    let times = lines.filter_map(|line| line.split_once("pts_time:"));
    let times = times.map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default());
    let times = times.map(|time| {
        let seconds = time
            .parse()
            .ok()
            .filter(|seconds: &f64| seconds.is_finite());
        seconds.with_context(|| format!("a frame has the time {time:?}"))
    });
    times.collect()
}

fn sample(sample_id: String, image: PathBuf, path: &Path) -> Result<Sample> {
    let (width, height) = picture::size(path, Orientation::Stored)?;
    let image_bytes = fs::metadata(path)
        .with_context(|| format!("could not read {}", path.display()))?
        .len();
    Ok(Sample {
        sample_id,
        image,
        image_bytes,
        image_width: width,
        image_height: height,
        mask: None,
        mask_blake3: None,
        width,
        height,
        proxy: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_the_log() -> Result<()> {
        let log = "[info] Stream #0\n[Parsed_showinfo_1 @ 0x5] [info] config in\n\
                   [Parsed_showinfo_1 @ 0x5] [info] n:   0 pts:      0 pts_time:0       pos: 48\n\
                   [Parsed_showinfo_1 @ 0x5] [info] n:   1 pts:   5120 pts_time:0.5 duration: 1";
        assert_eq!(times(log)?, [0.0, 0.5]);
        assert!(times("[Parsed_showinfo_0] [info] n: 0 pts_time:NOPTS pos").is_err());
        Ok(())
    }

    #[test]
    fn the_rate_is_that_of_the_times() -> Result<()> {
        let dir = tempfile::tempdir()?;
        for (rows, rate) in [
            ("a,0,1.5\nb,2,2.0\nc,4,2.5", Some(2.0)),
            ("a,0,1.5", None),
            ("", None),
        ] {
            let table = format!("sample_id,frame,seconds\n{rows}");
            fs::write(dir.path().join(TIMES), table)?;
            assert_eq!(rate_of(dir.path()), rate);
        }
        Ok(())
    }
}
