//! `infer --video` and `--overlay-video`. Tests that need ffmpeg skip, with a line on stderr, where it is not on the PATH.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use artifacts::index::Index;
use artifacts::logits::Logits;
use artifacts::manifest::Manifest;
use common::{SAMPLES, Toy, infer_folder, seg_model};
use stage_testing::command::{fail_quietly, succeed};

fn has_ffmpeg() -> bool {
    let found = Command::new("ffmpeg")
        .arg("-version")
        .stdout(Stdio::null())
        .status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: ffmpeg is not on the PATH");
    }
    found
}

/// A video of a test picture: 10 frames a second, 2 seconds.
fn write_video(file: &Path) -> Result<()> {
    let source = "testsrc=size=50x42:rate=10:duration=2";
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", source, "-c:v", "mpeg4"])
        .arg(file)
        .status()?;
    ensure!(made.success(), "no video");
    Ok(())
}

fn infer_video(toy: &Toy, video: &str, output: &str, more: &[&str]) -> Command {
    let mut command = seg_model();
    command
        .args(["infer", "--weights"])
        .arg(toy.path("enet.safetensors"));
    command.arg("--video").arg(toy.path(video));
    command.arg("--output").arg(toy.path(output)).args(more);
    command
}

fn ids(dir: &Path) -> Result<Vec<String>> {
    let samples = Index::read(dir)?.samples.into_iter();
    Ok(samples.map(|sample| sample.sample_id).collect())
}

#[test]
fn the_frames_of_a_video_are_images() -> Result<()> {
    if !has_ffmpeg() {
        return Ok(());
    }
    let toy = Toy::new()?;
    write_video(&toy.path("my trip.mp4"))?;
    let infer = |more: &[&str]| infer_video(&toy, "my trip.mp4", "out", more);
    let text = succeed(&mut infer(&["--every", "5"]))?.stderr;
    assert!(
        text.contains("4 frames are in") && text.contains("infer: 4 done"),
        "{text}"
    );
    let expected = [
        "my_trip_0000000_0.000s",
        "my_trip_0000005_0.500s",
        "my_trip_0000010_1.000s",
        "my_trip_0000015_1.500s",
    ];
    assert_eq!(ids(&toy.path("out"))?, expected);
    assert_eq!(ids(&toy.path("out-frames"))?, expected);
    let times = fs::read_to_string(toy.path("out-frames/frames.csv"))?;
    let lines: Vec<_> = times.lines().collect();
    assert_eq!(
        lines[..2],
        ["sample_id,frame,seconds", "my_trip_0000000_0.000s,0,0"]
    );
    assert_eq!(lines[3], "my_trip_0000010_1.000s,10,1");
    let index = Index::read(&toy.path("out"))?;
    assert!(
        index
            .image_path(&index.samples[1])?
            .starts_with(toy.path("out-frames"))
    );
    let logits = Logits::read(&toy.logits("out", expected[2]))?;
    assert_eq!((logits.width, logits.height), (50, 42));
    // nothing is done twice, and the frames are not extracted again for other weights
    let text = succeed(&mut infer(&["--every", "5"]))?.stderr;
    assert!(text.matches("is up to date").count() == 2, "{text}");
    // by time, in a directory of choice
    let frames = toy.path("frames");
    let frames = ["--frames", &frames.display().to_string(), "--fps", "2.5"].map(str::to_owned);
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    succeed(&mut infer_video(&toy, "my trip.mp4", "fps", &frames))?;
    assert_eq!(ids(&toy.path("frames"))?.len(), 5);
    assert_eq!(ids(&toy.path("frames"))?[1], "my_trip_0000001_0.400s");
    assert!(!toy.path("fps-frames").exists());
    // other frames take the place of those that were there, and of what was made of them
    let text = succeed(&mut infer(&["--every", "10", "--force"]))?.stderr;
    assert!(text.contains("2 frames are in"), "{text}");
    assert_eq!(ids(&toy.path("out"))?.len(), 2);
    assert_eq!(Manifest::read(&toy.path("out-frames"))?.files.len(), 4);
    Ok(())
}

#[test]
fn files_that_are_no_videos_are_explained() -> Result<()> {
    let toy = Toy::new()?;
    let fails = |video: &str, words: &[&str]| {
        fail_quietly(&mut infer_video(&toy, video, "out", &["-q"]), words)
    };
    fails("none.mp4", &["--video", "none.mp4 is not a file"])?;
    fs::write(toy.path("text.mp4"), "no video")?;
    if has_ffmpeg() {
        fails("text.mp4", &["text.mp4 cannot be used", "ffmpeg failed"])?;
        assert!(!toy.path("out").exists() && !toy.path("out-frames/manifest.json").exists());
    }
    fail_quietly(
        infer_video(&toy, "text.mp4", "out", &["-q"]).env("PATH", toy.path("empty")),
        &[
            "ffmpeg is not on the PATH",
            "apt-get install ffmpeg",
            "--folder",
        ],
    )
}

/// Columns, rows and number of frames of a video.
fn probe(file: &Path) -> Result<String> {
    let entries = "stream=width,height,nb_read_frames,r_frame_rate";
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-of",
            "csv=p=0",
            "-show_entries",
            entries,
        ])
        .arg(file)
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[test]
fn overlays_become_a_video() -> Result<()> {
    if !has_ffmpeg() {
        return Ok(());
    }
    let toy = Toy::new()?;
    write_video(&toy.path("clip.mp4"))?;
    let (video, overlay) = (toy.path("overlay.mp4"), toy.path("overlay.mp4"));
    let overlay = overlay.display().to_string();
    let flags = [
        "--every",
        "5",
        "--save-overlay",
        "--precision",
        "none",
        "--overlay-video",
        &overlay,
    ];
    let infer = |more: &[&str]| infer_video(&toy, "clip.mp4", "out", &[&flags, more].concat());
    succeed(&mut infer(&[]))?;
    assert_eq!(probe(&video)?, "100,42,2/1,4");
    assert_eq!(
        fs::read_dir(toy.path(""))?
            .filter(|e| e
                .as_ref()
                .is_ok_and(|e| e.file_name().to_string_lossy().starts_with('.')))
            .count(),
        0
    );
    let text = succeed(&mut infer(&[]))?.stderr;
    assert!(text.contains("overlay.mp4 is up to date"), "{text}");
    // it is made again if it is gone, at another rate if that is asked for
    fs::remove_file(&video)?;
    succeed(&mut infer(&["--overlay-fps", "5"]))?;
    assert_eq!(probe(&video)?, "100,42,5/1,4");
    // its own file may be replaced, that of others not
    succeed(&mut infer(&["--force"]))?;
    fs::write(&video, "mine")?;
    fail_quietly(
        infer(&[]).arg("-q"),
        &[
            "overlay.mp4 exists and was not written by this command",
            "--force",
        ],
    )?;
    assert_eq!(fs::read(&video)?, b"mine");
    for (name, words) in [
        ("overlay.avi", "is not an .mp4 file"),
        ("none/overlay.mp4", "does not exist"),
    ] {
        let file = toy.path(name).display().to_string();
        let flags = ["-q", "--save-overlay", "--overlay-video", &file];
        fail_quietly(&mut infer_video(&toy, "clip.mp4", "no", &flags), &[words])?;
        assert!(!toy.path("no").exists());
    }
    // images of several sizes are no video; what else was made stays
    assert_eq!(SAMPLES.len(), 4);
    let sizes = toy.path("sizes.mp4").display().to_string();
    let flags = ["-q", "--save-overlay", "--overlay-video", &sizes];
    fail_quietly(
        &mut infer_folder(&toy, "images", "folder", &flags),
        &["sizes.mp4 was not written", "b.prediction.png", "one size"],
    )?;
    assert!(toy.path("folder/manifest.json").exists() && !toy.path("sizes.mp4").exists());
    Ok(())
}
