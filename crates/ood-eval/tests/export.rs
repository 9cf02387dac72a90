//! Exported score maps, read back by other means than wrote them.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use artifacts::index::Index;
use artifacts::logits::{Logits, logits_path};
use artifacts::score::Score;
use assert_cmd::assert::{Assert, OutputAssertExt};
use common::{HEIGHT, WIDTH};
use half::f16;
use image::DynamicImage;
use ood_eval::export::score_map;
use tiff::decoder::{Decoder, DecodingResult};

fn export(root: &Path, args: &[&str]) -> Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    let logits = ["export", "--logits", "base/logits/lost"];
    command.current_dir(root).args(logits).args(args).assert()
}

fn stderr(done: &Assert) -> String {
    String::from_utf8_lossy(&done.get_output().stderr).into_owned()
}

/// Scores of each sample, computed without the stage.
fn expected(root: &Path, score: Score) -> Result<Vec<(String, Vec<f32>)>> {
    let of_scene = |scene: common::Scene| {
        let path = logits_path(&root.join("base/logits/lost"), scene.id);
        Ok((scene.id.to_owned(), score_map(&Logits::read(&path)?, score)))
    };
    common::scenes().into_iter().map(of_scene).collect()
}

fn read_npy(path: &Path) -> Result<(String, Vec<f32>)> {
    let bytes = std::fs::read(path)?;
    ensure!(bytes.starts_with(b"\x93NUMPY\x01\x00"), "magic");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    ensure!(start % 64 == 0 && bytes[start - 1] == b'\n', "alignment");
    let header = String::from_utf8(bytes[10..start].to_vec())?;
    let values = bytes[start..].as_chunks::<4>().0;
    Ok((
        header,
        values.iter().map(|&b| f32::from_le_bytes(b)).collect(),
    ))
}

/// All files below a folder but manifests, with their bytes, sorted.
fn files(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else if !path.ends_with("manifest.json") {
            all.push((path.clone(), std::fs::read(&path)?));
        }
    }
    all.sort();
    Ok(all)
}

#[test]
fn floats_are_the_scores() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    for score in Score::ALL {
        let out = format!("out/{}", score.name());
        let args = ["--score", score.name(), "--format", "tiff,npy,npy"];
        export(root, &[&args[..], &["--output", &out]].concat()).success();
        for (id, scores) in expected(root, score)? {
            let (header, values) = read_npy(&root.join(&out).join(format!("npy/{id}.npy")))?;
            let shape = format!("'shape': ({HEIGHT}, {WIDTH})");
            assert!(
                header.contains("'<f4'") && header.contains(&shape),
                "{header}"
            );
            assert!(values == scores, "{id} {score:?}");
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
        export(root, &args).success();
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
        let text = stderr(&export(root, &args).failure());
        assert!(
            text.contains("no bounds") && !root.join("no").exists(),
            "{text}"
        );
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
    let text = stderr(&export(root, &args).failure());
    assert!(text.contains("--image-size"), "{text}");
    let names = [
        "--image-size",
        "--method",
        "Ours-1",
        "--dataset",
        "ObstacleTrack-all",
    ];
    export(root, &[&args[..], &names].concat()).success();
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

/// Reads as `ChannelLoaderHDF5` of road-anomaly-benchmark does, and rates as its evaluation demands.
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

/// `OODSEG_H5PY` names a Python with h5py, which then must be there; else `python3` is tried.
#[test]
fn h5py_reads_the_benchmarks_files() -> Result<()> {
    let demanded = std::env::var_os("OODSEG_H5PY");
    let python = demanded.clone().unwrap_or_else(|| "python3".into());
    let try_import = Command::new(&python).args(["-c", "import h5py"]).output();
    let is_there = try_import.is_ok_and(|output| output.status.success());
    if !is_there {
        ensure!(demanded.is_none(), "{} has no h5py", python.display());
        eprintln!("skipped: python3 has no h5py; OODSEG_H5PY may name a Python that has");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = ["--format", "smiyc,npy", "--output", "out"];
    export(root, &args).success();
    let mut read = Command::new(&python);
    read.current_dir(root).args(["-c", READ_BACK]);
    for scene in common::scenes() {
        let (height, width) = (HEIGHT.to_string(), WIDTH.to_string());
        let file = format!("out/anomaly_p/oodseg/folder/{}.hdf5", scene.id);
        let truth = format!("out/npy/{}.npy", scene.id);
        read.args([file, truth, height, width]);
    }
    let output = read.assert().success();
    let lines = String::from_utf8_lossy(&output.get_output().stdout)
        .lines()
        .count();
    assert_eq!(lines, common::scenes().len());
    Ok(())
}

#[test]
fn overlays_show_image_and_score() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let text = stderr(&export(root, &["--format", "overlay", "--output", "out"]).failure());
    assert!(text.contains("--labels or --folder"), "{text}");
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
        export(root, &[&args[..], &["--output", &out]].concat()).success();
        let index = Index::read(&root.join("labels/lost"))?;
        for sample in &index.samples {
            let name = format!("overlay/{}.png", sample.sample_id);
            let shown = image::open(root.join(&out).join(name))?.into_rgb8();
            assert_eq!(shown.dimensions(), (WIDTH as u32, HEIGHT as u32));
            // both the brightest heat and the darkest are there, each with a trace of the image
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
    // the images are twice as large as what the logits are for
    let text = stderr(&export(root, &args).failure());
    assert!(text.contains("but the sample has"), "{text}");
    for scene in common::scenes() {
        let path = root.join("images").join(format!("{}.png", scene.id));
        let small = image::open(&path)?.thumbnail_exact(WIDTH as u32, HEIGHT as u32);
        small.save(&path)?;
    }
    export(root, &args).success();
    assert_eq!(files(&root.join("out"))?.len(), 2 * common::scenes().len());
    let again = export(root, &args).success();
    assert!(stderr(&again).contains("complete already"));
    // other images are other work
    image::RgbImage::new(WIDTH as u32, HEIGHT as u32).save(root.join("images/lost_000001.png"))?;
    let changed = export(root, &args).success();
    assert!(!stderr(&changed).contains("complete already"));
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
    run(&["--output", "one", "--threads", "1"]).success();
    let one = files(&root.join("one"))?;
    run(&["--output", "one", "--threads", "4", "--force"]).success();
    assert!(one == files(&root.join("one"))?);
    let mut parts = Vec::new();
    for (shard, out) in [("0/2", "a"), ("1/2", "b")] {
        run(&["--output", out, "--shard", shard]).success();
        parts.extend(files(&root.join(out))?);
    }
    let names = |all: &[(PathBuf, Vec<u8>)]| -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let name = |(path, bytes): &(PathBuf, Vec<u8>)| {
            let below = path.strip_prefix(root)?.components().skip(1);
            Ok((below.collect(), bytes.clone()))
        };
        let mut named = all.iter().map(name).collect::<Result<Vec<_>>>()?;
        named.sort();
        Ok(named)
    };
    assert!(names(&one)? == names(&parts)?);
    Ok(())
}

#[test]
fn interrupted_work_keeps_whole_files() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = ["--format", "smiyc,npy", "--output", "out"];
    export(root, &args).success();
    let out = root.join("out");
    let before = files(&out)?;
    // as if the stage had been killed before the last file
    let manifest = std::fs::read_to_string(out.join("manifest.json"))?;
    std::fs::write(out.join("manifest.in-progress.json"), manifest)?;
    std::fs::remove_file(out.join("manifest.json"))?;
    std::fs::remove_file(out.join("npy/lost_000002.npy"))?;
    let kept = out.join("npy/lost_000001.npy");
    std::fs::write(&kept, "kept")?;
    export(root, &args).success();
    assert_eq!(std::fs::read(&kept)?, b"kept");
    export(root, &[&args[..], &["--force"]].concat()).success();
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
    let check = |more: &[&str], wanted: &str| {
        let text = stderr(&export(root, &[&all[..], more].concat()).failure());
        assert!(
            text.contains(wanted) && !text.contains("panicked"),
            "{text}"
        );
    };
    check(&["--method", "../up"], "name of a folder");
    check(&["--score", "void"], "entropy");
    check(&["--format", "exr"], "smiyc");
    let logits = root.join("base/logits/lost");
    let (first, second) = ("lost_000001.safetensors", "lost_000002.safetensors");
    std::fs::copy(logits.join(first), logits.join(second)).context("copy")?;
    check(&[], "it was renamed or copied");
    std::fs::remove_file(logits.join(second))?;
    check(&[], "run `seg-model infer`");
    Ok(())
}
