//! Exported score maps, read back with other libraries than those that wrote them.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use artifacts::index::Index;
use artifacts::logits::{Logits, logits_path};
use artifacts::score::Score;
use artifacts::score_map::ScoreMap;
use common::{HEIGHT, WIDTH};
use half::f16;
use image::DynamicImage;
use ood_eval::export::score_map;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;
use stage_testing::npy::Npy;
use stage_testing::toy::{change_output, stage_output_of};
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
    for score in Score::OF_LOGITS {
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

/// Writes score maps of the toy world, a slope from 0 to `highest`, and exports them.
fn export_scores(root: &Path, highest: f32, args: &[&str]) -> Result<Command> {
    let adopted = serde_json::json!({"name": highest.to_string()});
    let dir = root.join("scores/lost");
    stage_output_of(&dir, "seg-model adopt", &adopted, &[], |dir| {
        for scene in common::scenes() {
            let map = ScoreMap {
                sample_id: scene.id.to_owned(),
                method: "RbA".to_owned(),
                output_height: HEIGHT,
                output_width: WIDTH,
                align_corners: true,
                height: 1,
                width: 2,
                values: vec![0.0, highest],
            };
            map.write(&logits_path(dir, scene.id))?;
        }
        Ok(())
    })?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    let scores = ["export", "--scores", "scores/lost", "--output", "out"];
    command.current_dir(root).args(scores).args(args);
    Ok(command)
}

#[test]
fn score_maps_of_other_methods_are_exported_too() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let labels = ["--labels", "labels/lost", "--format", "npy,overlay"];
    succeed(&mut export_scores(root, -3.0, &labels)?)?;
    let array = Npy::read(&root.join("out/npy/lost_000001.npy"), "<f4")?;
    assert_eq!(array.shape, [HEIGHT, WIDTH]);
    let scores = array.floats();
    let expected = |x: usize| -3.0 * x as f32 / (WIDTH as f32 - 1.0);
    let is_slope = |(at, score): (usize, &f32)| (score - expected(at % WIDTH)).abs() < 1e-5;
    assert!(scores.iter().enumerate().all(is_slope), "{scores:?}");
    let shown = image::open(root.join("out/overlay/lost_000001.png"))?.into_rgb8();
    let sum = |x: u32| shown.get_pixel(x, 5).0.map(u32::from).iter().sum::<u32>();
    // the largest score is bright, although all are below 0
    assert!(sum(0) > sum(WIDTH as u32 - 1) + 150);

    let png = ["--format", "png"];
    succeed(&mut export_scores(root, 1.0, &png)?)?;
    let picture = image::open(root.join("out/png/lost_000002.png"))?.into_luma16();
    assert_eq!(picture.get_pixel(WIDTH as u32 - 1, 0).0, [65535]);
    let wanted = [
        "lost_000001",
        "row 0, column",
        "is not in [0, 1]",
        "npy or tiff",
    ];
    fail(
        &mut export_scores(root, 1.5, &[&png[..], &["--force"]].concat())?,
        &wanted,
    )?;
    Ok(())
}

#[test]
fn either_logits_or_scores_are_exported() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    for (more, wanted) in [
        (&["--score", "entropy"][..], "'--score <SCORE>'"),
        (&["--logits", "base/logits/lost"], "'--logits <LOGITS>'"),
    ] {
        let args = [&["--format", "npy"][..], more].concat();
        let output = export_scores(root, 1.0, &args)?.output()?;
        let text = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("--scores") && text.contains(wanted), "{text}");
    }
    std::fs::remove_file(root.join("scores/lost/lost_000002.safetensors"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    let args = [
        "export",
        "--scores",
        "scores/lost",
        "--labels",
        "labels/lost",
    ];
    command.current_dir(root).args(args);
    command.args(["--format", "npy", "--output", "out"]);
    fail(
        &mut command,
        &["lost_000002", "run `seg-model adopt --kind score`"],
    )?;
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
    // and an index of the images for each format
    let n_files = common::scenes().len() + 1;
    assert_eq!(files(&root.join("out"))?.len(), 2 * n_files);
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
    let mut one = one;
    one.retain(|name, _| !name.ends_with("index.json"));
    let mut parts = BTreeMap::new();
    for (shard, out) in [("0/2", "a"), ("1/2", "b")] {
        succeed(&mut run(&["--output", out, "--shard", shard]))?;
        parts.extend(files(&root.join(out))?);
    }
    parts.retain(|name, _| !name.ends_with("index.json"));
    assert!(one == parts);
    // joined, they are what one call writes, with its index
    succeed(&mut run(&["--output", "joined", "--merge", "b,a"]))?;
    assert!(files(&root.join("one"))? == files(&root.join("joined"))?);
    let words = ["shard 1/2 is missing"];
    fail(&mut run(&["--output", "half", "--merge", "a"]), &words)?;
    Ok(())
}

/// Turns the finished output of a format into one whose call was killed just before it was finished.
fn interrupt(output: &Path) -> Result<()> {
    let work = output.join("in-progress");
    fs::create_dir(&work)?;
    for entry in fs::read_dir(output)? {
        let name = entry?.file_name();
        match name.to_str() {
            Some("in-progress") => {}
            Some("manifest.json") => fs::rename(output.join(&name), work.join("work.json"))?,
            _ => fs::rename(output.join(&name), work.join(&name))?,
        }
    }
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
    interrupt(&out.join("npy"))?;
    fs::remove_file(out.join("npy/in-progress/lost_000002.npy"))?;
    fs::write(out.join("npy/in-progress/lost_000001.npy"), "kept")?;
    succeed(&mut export(root, &args))?;
    assert_eq!(fs::read(out.join("npy/lost_000001.npy"))?, b"kept");
    succeed(&mut export(root, &[&args[..], &["--force"]].concat()))?;
    assert!(before == files(&out)?);
    Ok(())
}

#[test]
fn formats_do_not_replace_each_other() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let run = |formats: &str, more: &[&str]| {
        let args = [
            "--labels",
            "labels/lost",
            "--output",
            "out",
            "--format",
            formats,
        ];
        export(root, &[&args[..], more].concat())
    };
    succeed(&mut run("npy,overlay", &[]))?;
    let before = files(&root.join("out"))?;
    let n_files = common::scenes().len() + 1;
    assert_eq!(before.len(), 2 * n_files);
    succeed(&mut run("tiff", &[]))?;
    let mut after = files(&root.join("out"))?;
    assert_eq!(after.len(), 3 * n_files);
    after.retain(|name, _| !name.starts_with("tiff/"));
    assert!(before == after);
    let text = succeed(&mut run("npy,tiff,overlay", &[]))?.stderr;
    assert_eq!(text.matches("up to date").count(), 3, "{text}");

    // what it says to each changed flag, and that the result stays whole
    for (flags, difference) in [
        (
            &["--score", "energy"][..],
            "--score entropy, asked for energy",
        ),
        (&["--image-size"], "--image-size false, asked for true"),
        (&["--shard", "1/2"], "--shard 0/1, asked for 1/2"),
        (&["--limit", "1"], "--limit 0, asked for 1"),
    ] {
        let words = [
            "out/npy was finished with",
            difference,
            "choose another --output",
            "--force",
        ];
        fail(&mut run("npy", flags), &words)?;
    }
    // forced, and failed in the middle
    let damaged = root.join("images/lost_000002.png");
    let image = fs::read(&damaged)?;
    damage_content(&damaged)?;
    fail(
        &mut run("overlay", &["--score", "energy", "--force"]),
        &["lost_000002.png"],
    )?;
    fs::write(&damaged, image)?;
    let mut left = files(&root.join("out"))?;
    left.retain(|name, _| !name.starts_with("tiff/") && !name.contains("in-progress/"));
    assert!(before == left);
    succeed(&mut run("overlay", &["--score", "energy", "--force"]))?;
    let mut left = files(&root.join("out"))?;
    left.retain(|name, _| !name.starts_with("tiff/"));
    assert!(before != left && left.keys().eq(before.keys()));
    Ok(())
}

#[test]
fn a_data_set_that_grew_by_one_image_costs_one_image() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let run = |output: &str| {
        let args = [
            "--labels",
            "labels/lost",
            "--format",
            "npy,overlay",
            "--output",
            output,
        ];
        export(root, &args)
    };
    let index = Index::read(&root.join("labels/lost"))?;
    let mut fewer = index.clone();
    fewer.samples.remove(1);
    fewer.write(&root.join("labels/lost"))?;
    succeed(&mut run("out"))?;
    let kept = root
        .join("out/npy")
        .join(format!("{}.npy", index.samples[0].sample_id));
    let before = fs::metadata(&kept)?.modified()?;
    index.write(&root.join("labels/lost"))?;
    let text = succeed(&mut run("out"))?.stderr;
    let n = index.samples.len();
    let taken = format!("{} of {n} images are taken from the earlier result", n - 1);
    assert_eq!(text.matches(&taken).count(), 2, "{text}");
    assert_eq!(fs::metadata(&kept)?.modified()?, before);
    succeed(&mut run("fresh"))?;
    assert!(files(&root.join("fresh"))? == files(&root.join("out"))?);
    // logits that were made anew are exported anew
    let path = logits_path(&root.join("base/logits/lost"), &index.samples[0].sample_id);
    let bytes = fs::read(&path)?;
    change_output(&root.join("base/logits/lost"), |_| {
        Ok(fs::write(&path, bytes)?)
    })?;
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    fs::File::options()
        .write(true)
        .open(&path)?
        .set_modified(later)?;
    let text = succeed(&mut run("out"))?.stderr;
    assert_eq!(text.matches(&taken).count(), 2, "{text}");
    Ok(())
}

/// Damages the compressed content of a PNG, which its header, its end and its length do not tell.
fn damage_content(image: &Path) -> Result<()> {
    let mut bytes = fs::read(image)?;
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(0xA5);
    Ok(fs::write(image, bytes)?)
}

#[test]
fn broken_images_are_left_out_when_asked_for() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let run = |output: &str, more: &[&str]| {
        let args = [
            "--labels",
            "labels/lost",
            "--format",
            "npy,overlay",
            "--output",
            output,
        ];
        export(root, &[&args[..], more].concat())
    };
    let damaged = root.join("images/lost_000002.png");
    let image = fs::read(&damaged)?;
    damage_content(&damaged)?;
    fail(&mut run("no", &[]), &["lost_000002.png", "--keep-going"])?;
    for (output, threads) in [("one", "1"), ("four", "4")] {
        let printed = run(output, &["--keep-going", "--threads", threads]).output()?;
        let text = String::from_utf8(printed.stderr)?;
        assert_eq!(printed.status.code(), Some(3), "{text}");
        assert!(text.contains("complete but for 1 of its inputs"), "{text}");
    }
    let one = files(&root.join("one"))?;
    assert!(one == files(&root.join("four"))?);
    assert!(!one.keys().any(|name| name.contains("lost_000002")));
    // one sample less, but failed.csv and the index of the images
    assert_eq!(one.len(), 2 * (common::scenes().len() + 1));
    for format in ["npy", "overlay"] {
        let failed = fs::read_to_string(root.join("one").join(format).join("failed.csv"))?;
        assert!(failed.starts_with("input,error\nlost_000002,"), "{failed}");
        assert_eq!(failed.lines().count(), 2);
    }
    let again = run("one", &["--keep-going"]).output()?;
    assert_eq!(again.status.code(), Some(3));
    fs::write(&damaged, image)?;
    succeed(&mut run("one", &["--force"]))?;
    succeed(&mut run("fresh", &[]))?;
    assert!(files(&root.join("one"))? == files(&root.join("fresh"))?);
    Ok(())
}

/// The images that `seg-model infer` lists beside its logits.
#[test]
fn logits_say_what_their_images_are() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = ["--format", "overlay", "--output"];
    succeed(&mut export(
        root,
        &[&args[..], &["labels_known", "--labels", "labels/lost"]].concat(),
    ))?;
    let index = Index::read(&root.join("labels/lost"))?;
    change_output(&root.join("base/logits/lost"), |dir| index.write(dir))?;
    succeed(&mut export(root, &[&args[..], &["alone"]].concat()))?;
    assert!(files(&root.join("alone"))? == files(&root.join("labels_known"))?);
    Ok(())
}

/// Sizes in a file that would take all memory.
#[test]
fn sizes_in_logits_are_not_believed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let path = logits_path(&root.join("base/logits/lost"), "lost_000001");
    let bytes = fs::read(&path)?;
    let length = u64::from_le_bytes(bytes[..8].try_into()?) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length])?.to_owned();
    for height in ["1000000000", "9223372036854775807"] {
        let honest = format!("\"output_height\":\"{HEIGHT}\"");
        let hostile = header.replace(&honest, &format!("\"output_height\":\"{height}\""));
        assert_ne!(hostile, header);
        let length = (hostile.len() as u64).to_le_bytes();
        let file = [&length[..], hostile.as_bytes(), &bytes[8 + header.len()..]].concat();
        change_output(&root.join("base/logits/lost"), |_| {
            Ok(fs::write(&path, file)?)
        })?;
        let args = ["--format", "npy", "--output", "out"];
        fail(
            &mut export(root, &args),
            &["lost_000001.safetensors", "output size"],
        )?;
    }
    Ok(())
}

#[test]
fn outputs_among_inputs_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    fs::write(root.join("a.mp4"), "video")?;
    let run = |more: &[&str]| export(root, &[&["--format", "npy"][..], more].concat());
    for output in ["base/logits/lost", "labels/lost"] {
        let args = ["--labels", "labels/lost", "--output", output];
        fail(
            &mut run(&args),
            &[
                "is inside of a folder that is read",
                "choose another --output",
            ],
        )?;
    }
    fs::create_dir(root.join("images/npy"))?;
    fs::copy(
        root.join("images/lost_000001.png"),
        root.join("images/npy/lost_000001.png"),
    )?;
    let around = ["--folder", "images/npy", "--output", "images"];
    fail(
        &mut run(&around),
        &["is also read", "choose another --output"],
    )?;
    let video = ["--folder", "a.mp4", "--output", "out"];
    fail(&mut run(&video), &["is a video", "ffmpeg -i"])?;
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
