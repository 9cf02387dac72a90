//! Exported score maps, read back with other libraries than those that wrote them.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use artifacts::index::Index;
use artifacts::logits::{Logits, logits_path};
use artifacts::score::Score;
use common::{HEIGHT, WIDTH};
use half::f16;
use image::DynamicImage;
use ood_eval::export::score_map;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;
use stage_testing::npy::Npy;
use tiff::decoder::{Decoder, DecodingResult};

fn export(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    let logits = ["export", "--logits", "base/logits/lost"];
    command.current_dir(root).args(logits).args(args);
    command
}

/// Scores of each sample, computed without the stage.
fn expected(root: &Path, score: Score) -> Result<Vec<(String, Vec<f32>)>> {
    let of_scene = |scene: common::Scene| {
        let path = logits_path(&root.join("base/logits/lost"), scene.id);
        Ok((scene.id.to_owned(), score_map(&Logits::read(&path)?, score)))
    };
    common::scenes().into_iter().map(of_scene).collect()
}

#[test]
fn floats_are_the_scores() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    for score in Score::ALL {
        let out = format!("out/{}", score.name());
        let args = ["--score", score.name(), "--format", "tiff,npy,npy"];
        succeed(&mut export(
            root,
            &[&args[..], &["--output", &out]].concat(),
        ))?;
        for (id, scores) in expected(root, score)? {
            let array = Npy::read(&root.join(&out).join(format!("npy/{id}.npy")), "<f4")?;
            assert_eq!(array.shape, [HEIGHT, WIDTH]);
            assert!(array.floats() == scores, "{id} {score:?}");
            let file = std::fs::File::open(root.join(&out).join(format!("tiff/{id}.tiff")))?;
            let mut tiff = Decoder::new(std::io::BufReader::new(file))?;
            assert_eq!(tiff.dimensions()?, (WIDTH as u32, HEIGHT as u32));
            let DecodingResult::F32(values) = tiff.read_image()? else {
                anyhow::bail!("{id} holds no 32-bit floats");
            };
            assert!(values == scores, "{id} {score:?}");
        }
    }
    Ok(())
}

#[test]
fn gray_pictures_are_the_scores_times_65535() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    for score in [Score::Entropy, Score::MaxSoftmax, Score::Margin] {
        let out = format!("out/{}", score.name());
        let args = ["--score", score.name(), "--format", "png", "--output", &out];
        succeed(&mut export(root, &args))?;
        for (id, scores) in expected(root, score)? {
            let picture = image::open(root.join(&out).join(format!("png/{id}.png")))?;
            let DynamicImage::ImageLuma16(picture) = picture else {
                anyhow::bail!("{id} is no 16-bit gray");
            };
            assert_eq!(picture.dimensions(), (WIDTH as u32, HEIGHT as u32));
            for (&gray, score) in picture.as_raw().iter().zip(scores) {
                let difference = f64::from(gray) / 65535.0 - f64::from(score);
                assert!(difference.abs() <= 0.5 / 65535.0 + 1e-7, "{id}");
            }
        }
    }
    for score in ["max_logit", "energy"] {
        let args = ["--score", score, "--format", "png", "--output", "no"];
        fail(&mut export(root, &args), &["no bounds"])?;
        assert!(!root.join("no").exists());
    }
    Ok(())
}

#[test]
fn the_benchmark_gets_half_floats_of_the_images_size() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = [
        "--labels",
        "labels/lost",
        "--format",
        "smiyc",
        "--output",
        "out",
    ];
    fail(&mut export(root, &args), &["--image-size"])?;
    let names = [
        "--image-size",
        "--method",
        "Ours-1",
        "--dataset",
        "ObstacleTrack-all",
    ];
    succeed(&mut export(root, &[&args[..], &names].concat()))?;
    for scene in common::scenes() {
        let mut logits = Logits::read(&logits_path(&root.join("base/logits/lost"), scene.id))?;
        (logits.info.output_width, logits.info.output_height) = (2 * WIDTH, 2 * HEIGHT);
        let scores = score_map(&logits, Score::Entropy);
        let path = format!("out/anomaly_p/Ours-1/ObstacleTrack-all/{}.hdf5", scene.id);
        let data = hdf5_pure::File::open(root.join(path))?.dataset("value")?;
        assert_eq!(data.shape()?, [2 * HEIGHT as u64, 2 * WIDTH as u64]);
        let halves = scores.iter().map(|&s| f16::from_f32(s));
        let bytes: Vec<u8> = halves.flat_map(f16::to_le_bytes).collect();
        assert!(data.read_raw()? == bytes, "{}", scene.id);
    }
    Ok(())
}

/// Reads a file as `ChannelLoaderHDF5` of road-anomaly-benchmark does, and checks what its evaluation requires.
const READ_BACK: &str = r#"
import sys, h5py, numpy
for path, truth, height, width in zip(*[iter(sys.argv[1:])] * 4):
    with h5py.File(path, "r") as file:
        data = file["value"]
        assert data.dtype == numpy.float16, data.dtype
        assert data.compression == "gzip" and data.compression_opts == 9
        value = data[:]
    assert value.shape == (int(height), int(width)), value.shape
    truth = numpy.load(truth)
    assert numpy.array_equal(value, truth.astype(numpy.float16))
    assert numpy.abs(value.astype(float) - truth).max() < 5e-4
    print(path)
"#;

/// Uses the Python that `OODSEG_H5PY` names, which must have h5py. Without the variable, `python3` is tried, and the test is skipped if it
/// has no h5py.
#[test]
fn h5py_reads_the_benchmarks_files() -> Result<()> {
    let named = std::env::var_os("OODSEG_H5PY");
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let try_import = Command::new(&python).args(["-c", "import h5py"]).output();
    let is_there = try_import.is_ok_and(|output| output.status.success());
    if !is_there {
        ensure!(named.is_none(), "{} has no h5py", python.display());
        eprintln!("skipped: python3 has no h5py; OODSEG_H5PY may name a Python that has");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = ["--format", "smiyc,npy", "--output", "out"];
    succeed(&mut export(root, &args))?;
    let mut read = Command::new(&python);
    read.current_dir(root).args(["-c", READ_BACK]);
    for scene in common::scenes() {
        let (height, width) = (HEIGHT.to_string(), WIDTH.to_string());
        let file = format!("out/anomaly_p/oodseg/folder/{}.hdf5", scene.id);
        let truth = format!("out/npy/{}.npy", scene.id);
        read.args([file, truth, height, width]);
    }
    let printed = succeed(&mut read)?;
    assert_eq!(printed.stdout.lines().count(), common::scenes().len());
    Ok(())
}

#[test]
fn overlays_show_image_and_score() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = ["--format", "overlay", "--output", "out"];
    fail(&mut export(root, &args), &["--labels or --folder"])?;
    for score in ["entropy", "energy"] {
        let out = format!("out/{score}");
        let args = [
            "--labels",
            "labels/lost",
            "--format",
            "overlay",
            "--score",
            score,
        ];
        succeed(&mut export(
            root,
            &[&args[..], &["--output", &out]].concat(),
        ))?;
        let index = Index::read(&root.join("labels/lost"))?;
        for sample in &index.samples {
            let name = format!("overlay/{}.png", sample.sample_id);
            let shown = image::open(root.join(&out).join(name))?.into_rgb8();
            assert_eq!(shown.dimensions(), (WIDTH as u32, HEIGHT as u32));
            // the overlay has very bright and very dark pixels, although the image shines through
            let sums = shown
                .pixels()
                .map(|p| p.0.map(u32::from).iter().sum::<u32>());
            let (low, high) = (sums.clone().min(), sums.max());
            assert!(low < Some(250) && high > Some(350), "{low:?} {high:?}");
        }
    }
    Ok(())
}

#[test]
fn any_folder_of_images_can_be_exported() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = [
        "--folder",
        "images",
        "--format",
        "overlay,npy",
        "--output",
        "out",
    ];
    // the images are twice as large as the logits say
    fail(&mut export(root, &args), &["but the sample has"])?;
    for scene in common::scenes() {
        let path = root.join("images").join(format!("{}.png", scene.id));
        let small = image::open(&path)?.thumbnail_exact(WIDTH as u32, HEIGHT as u32);
        small.save(&path)?;
    }
    succeed(&mut export(root, &args))?;
    assert_eq!(files(&root.join("out"))?.len(), 2 * common::scenes().len());
    let again = succeed(&mut export(root, &args))?;
    assert!(again.stderr.contains("up to date"));
    // the stage notices that an image has changed
    image::RgbImage::new(WIDTH as u32, HEIGHT as u32).save(root.join("images/lost_000001.png"))?;
    let changed = succeed(&mut export(root, &args))?;
    assert!(!changed.stderr.contains("up to date"));
    Ok(())
}

#[test]
fn same_bytes_for_any_number_of_threads_and_shards() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let formats = [
        "--labels",
        "labels/lost",
        "--format",
        "npy,tiff,png,overlay",
    ];
    let run = |more: &[&str]| export(root, &[&formats[..], more].concat());
    succeed(&mut run(&["--output", "one", "--threads", "1"]))?;
    let one = files(&root.join("one"))?;
    succeed(&mut run(&["--output", "one", "--threads", "4", "--force"]))?;
    assert!(one == files(&root.join("one"))?);
    let mut parts = BTreeMap::new();
    for (shard, out) in [("0/2", "a"), ("1/2", "b")] {
        succeed(&mut run(&["--output", out, "--shard", shard]))?;
        parts.extend(files(&root.join(out))?);
    }
    assert!(one == parts);
    Ok(())
}

#[test]
fn interrupted_work_keeps_whole_files() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = ["--format", "smiyc,npy", "--output", "out"];
    succeed(&mut export(root, &args))?;
    let out = root.join("out");
    let before = files(&out)?;
    // as if the stage had been killed before the last file
    let manifest = std::fs::read_to_string(out.join("manifest.json"))?;
    std::fs::write(out.join("manifest.in-progress.json"), manifest)?;
    std::fs::remove_file(out.join("manifest.json"))?;
    std::fs::remove_file(out.join("npy/lost_000002.npy"))?;
    let kept = out.join("npy/lost_000001.npy");
    std::fs::write(&kept, "kept")?;
    succeed(&mut export(root, &args))?;
    assert_eq!(std::fs::read(&kept)?, b"kept");
    succeed(&mut export(root, &[&args[..], &["--force"]].concat()))?;
    assert!(before == files(&out)?);
    Ok(())
}

#[test]
fn mistakes_are_told_in_one_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let all = [
        "--labels",
        "labels/lost",
        "--format",
        "npy",
        "--output",
        "out",
    ];
    let run = |more: &[&str]| export(root, &[&all[..], more].concat());
    for (more, wanted) in [
        (["--method", "../up"], "name of a folder"),
        (["--score", "void"], "entropy"),
        (["--format", "exr"], "smiyc"),
    ] {
        let output = run(&more).output()?;
        let text = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(
            text.contains(wanted) && !text.contains("panicked"),
            "{text}"
        );
    }
    let logits = root.join("base/logits/lost");
    let (first, second) = ("lost_000001.safetensors", "lost_000002.safetensors");
    std::fs::copy(logits.join(first), logits.join(second)).context("copy")?;
    fail(&mut run(&[]), &["it was renamed or copied"])?;
    std::fs::remove_file(logits.join(second))?;
    fail(&mut run(&[]), &["run `seg-model infer`"])?;
    Ok(())
}
