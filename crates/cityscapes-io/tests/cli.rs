//! Runs the executable: help, the demo, and everything that can be wrong with a data set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use assert_cmd::Command;
use tempfile::TempDir;

/// Runs with arguments separated by spaces, in `dir`. Returns success, stdout and stderr.
fn run(dir: &Path, arguments: &str) -> Result<(bool, String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_cityscapes-io"))
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output()?;
    Ok((
        output.status.success(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

fn succeed(dir: &Path, arguments: &str) -> Result<String> {
    let (success, stdout, stderr) = run(dir, arguments)?;
    anyhow::ensure!(success, "{arguments} failed: {stderr}");
    Ok(stdout)
}

/// The one line of a failing call.
fn fail(dir: &Path, arguments: &str) -> Result<String> {
    let (success, _, stderr) = run(dir, arguments)?;
    anyhow::ensure!(!success, "{arguments} should fail");
    let errors: Vec<_> = stderr
        .lines()
        .filter(|l| l.starts_with("error: "))
        .collect();
    anyhow::ensure!(errors.len() == 1, "not one line: {stderr}");
    Ok(errors[0].to_owned())
}

/// All files below `dir` but the manifests, which hold times.
fn files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry?;
        let name = entry.path().strip_prefix(dir)?.display().to_string();
        if entry.file_type().is_file() && name != "manifest.json" {
            all.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(all)
}

/// A data set in the layout of fishyscapes-static: samples `a` and `b`, 4x2 pixels.
fn toy() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    fs::create_dir_all(dir.path().join("set/images"))?;
    fs::create_dir_all(dir.path().join("set/labels_masks"))?;
    for id in ["b", "a"] {
        image::RgbImage::new(4, 2).save(dir.path().join(format!("set/images/{id}.png")))?;
        write_labels(dir.path(), id, 4, &[0, 1, 2, 255, 0, 0, 0, 0])?;
    }
    Ok(dir)
}

fn write_labels(dir: &Path, id: &str, width: u32, labels: &[u8]) -> Result<()> {
    let height = labels.len() as u32 / width;
    image::GrayImage::from_raw(width, height, labels.to_vec())
        .context("size")?
        .save(dir.join(format!("set/labels_masks/{id}.png")))?;
    Ok(())
}

const PREPARE: &str = "prepare --dataset fishyscapes-static --root set --output out";

#[test]
fn help_tells_flags_and_names() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let help = succeed(dir.path(), "--help")?;
    for word in ["prepare", "check", "demo", "--threads"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    let help = succeed(dir.path(), "prepare --help")?;
    let names = cityscapes_io::manifest::SHIPPED.map(|(name, _)| name);
    for word in ["--dataset", "--size", "--strict"].into_iter().chain(names) {
        assert!(help.contains(word), "{word} in {help}");
    }
    Ok(())
}

#[test]
fn prepare_maps_values_and_lists_samples() -> Result<()> {
    let dir = toy()?;
    fs::write(dir.path().join("set/images/readme.txt"), "no picture")?;
    // JPEG bytes under the name of a PNG, as in one published benchmark
    let jpeg = dir.path().join("jpeg");
    image::RgbImage::new(4, 2).save_with_format(&jpeg, image::ImageFormat::Jpeg)?;
    fs::rename(jpeg, dir.path().join("set/images/a.png"))?;
    let stdout = succeed(dir.path(), PREPARE)?;
    assert_eq!(stdout, "fishyscapes-static: 2 samples in out\n");
    let out = dir.path().join("out");
    let index = Index::read(&out)?;
    let ids: Vec<_> = index.samples.iter().map(|s| s.sample_id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        (index.dataset.as_str(), index.split.as_str()),
        ("fishyscapes-static", "val")
    );
    let mask = Mask::read(&index.mask_path(&out, &index.samples[0])?, index.mask_kind)?;
    assert_eq!(mask.labels, [0, 1, 1, 255, 0, 0, 0, 0]);
    index.image_path(&index.samples[0])?;

    let (_, stdout, stderr) = run(dir.path(), PREPARE)?;
    assert!(
        stdout.is_empty() && stderr.contains("already complete"),
        "{stderr}"
    );
    succeed(dir.path(), &format!("{PREPARE} --size 2x1 --limit 1"))?;
    let index = Index::read(&out)?;
    assert_eq!(index.samples.len(), 1);
    let sample = &index.samples[0];
    assert_eq!((sample.width, sample.height), (2, 1));
    assert_eq!((sample.image_width, sample.image_height), (4, 2));
    let mask = Mask::read(&index.mask_path(&out, sample)?, index.mask_kind)?;
    assert_eq!((mask.width, mask.height), (2, 1));
    Ok(())
}

#[test]
fn an_interrupted_call_goes_on_and_a_changed_data_set_starts_anew() -> Result<()> {
    let dir = toy()?;
    let out = dir.path().join("out");
    write_labels(dir.path(), "b", 4, &[7; 8])?;
    fail(dir.path(), PREPARE)?;
    fs::create_dir_all(out.join("masks"))?;
    let kept = Mask::filled(4, 2, 1);
    kept.write(&out.join("masks/a.png"))?;
    fs::copy(
        dir.path().join("set/labels_masks/a.png"),
        dir.path().join("set/labels_masks/b.png"),
    )?;
    succeed(dir.path(), PREPARE)?;
    assert_ne!(
        Mask::read(&out.join("masks/a.png"), MaskKind::Eval)?,
        kept,
        "other content, other work"
    );

    // the same work: what is there is kept
    fs::rename(
        out.join("manifest.json"),
        out.join("manifest.in-progress.json"),
    )?;
    fs::remove_file(out.join("masks/b.png"))?;
    kept.write(&out.join("masks/a.png"))?;
    succeed(dir.path(), PREPARE)?;
    assert_eq!(Mask::read(&out.join("masks/a.png"), MaskKind::Eval)?, kept);
    assert!(out.join("masks/b.png").exists());
    Ok(())
}

#[test]
fn each_mistake_is_one_clear_line() -> Result<()> {
    let dir = toy()?;
    let check = |text: String, words: &[&str]| {
        for word in words {
            assert!(text.contains(word), "{word} in {text}");
        }
    };
    let at = dir.path();
    check(
        fail(at, &PREPARE.replace("root set", "root nowhere"))?,
        &["nowhere", "--root", "https://"],
    );
    check(
        fail(at, &PREPARE.replace("fishyscapes-static", "kitti"))?,
        &["kitti", "cityscapes-val"],
    );
    check(
        fail(at, &PREPARE.replace("fishyscapes-static", "cityscapes-val"))?,
        &["leftImg8bit/val/{city}", "images, labels_masks"],
    );
    check(
        fail(at, &format!("{PREPARE} --strict"))?,
        &["2 samples instead of 30", "4x2 instead of 2048x1024"],
    );
    check(fail(at, &format!("{PREPARE} --limit 0"))?, &["--limit"]);
    check(
        fail(at, "prepare --manifest none.toml --root set --output out")?,
        &["none.toml"],
    );
    fs::write(at.join("mine.toml"), "title = \"mine\"\nname = 3")?;
    check(
        fail(at, "prepare --manifest mine.toml --root set --output out")?,
        &["mine.toml", "line 2", "expected a string"],
    );

    write_labels(at, "b", 4, &[0, 0, 0, 0, 0, 0, 9, 0])?;
    check(
        fail(at, PREPARE)?,
        &["labels_masks/b.png", "value 9", "row 1, column 2"],
    );
    write_labels(at, "b", 2, &[0; 4])?;
    check(fail(at, PREPARE)?, &["b.png is 2x2", "is 4x2"]);
    fs::write(at.join("set/labels_masks/b.png"), "no picture")?;
    check(fail(at, PREPARE)?, &["labels_masks/b.png"]);
    fs::remove_file(at.join("set/labels_masks/b.png"))?;
    check(
        fail(at, PREPARE)?,
        &["images/b.png", "labels_masks/b.png does not exist"],
    );
    write_labels(at, "b", 4, &[0; 8])?;
    fs::write(at.join("set/images/b.png"), "no picture")?;
    check(fail(at, PREPARE)?, &["images/b.png", "no picture"]);
    fs::remove_file(at.join("set/images/b.png"))?;
    image::RgbImage::new(4, 2).save(at.join("set/images/a.jpg"))?;
    check(fail(at, PREPARE)?, &["a.jpg", "a.png", "both"]);
    fs::create_dir_all(at.join("full"))?;
    fs::write(at.join("full/file"), "mine")?;
    fs::remove_file(at.join("set/images/a.jpg"))?;
    check(
        fail(at, &PREPARE.replace("output out", "output full"))?,
        &["full", "no stage wrote"],
    );
    Ok(())
}

#[test]
fn a_new_data_set_needs_only_a_manifest() -> Result<()> {
    let dir = toy()?;
    let manifest = r#"
        name = "mine"
        title = "My set"
        dataset = "mine"
        split = "test"
        mask_kind = "eval"
        expected_samples = 2
        licence = "none"
        citation = "none"
        url = "https://example.org"
        [[layouts]]
        images = "images/{id}.png"
        sample_id = "mine-{id}"
        [[layouts.masks]]
        path = "labels_masks/{id}.png"
        values = { "0-1" = 0, "2" = 1, "255" = 255 }
    "#;
    fs::write(dir.path().join("mine.toml"), manifest)?;
    succeed(
        dir.path(),
        "prepare --manifest mine.toml --root set --output out --strict",
    )?;
    let index = Index::read(&dir.path().join("out"))?;
    assert_eq!(index.samples[0].sample_id, "mine-a");
    let mask = Mask::read_raw(&dir.path().join("out/masks/mine-a.png"))?;
    assert_eq!(mask.labels[..4], [0, 0, 1, 255]);
    let report = succeed(dir.path(), "check --manifest mine.toml --root set")?;
    assert!(
        report.contains("12.500 % of pixels, in 2 images"),
        "{report}"
    );
    Ok(())
}

#[test]
fn the_demo_is_the_same_on_any_number_of_threads_and_can_be_prepared() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    succeed(at, "demo --output one --seed 5 --scale small --threads 1")?;
    succeed(at, "demo --output two --seed 5 --scale small --threads 3")?;
    let demo = files(&at.join("one"))?;
    assert!(demo == files(&at.join("two"))?, "bytes depend on threads");
    for (dataset, folder, n) in [
        ("cityscapes-train", "cityscapes", 54),
        ("cityscapes-val", "cityscapes", 14),
        ("lost-and-found-test", "lost_and_found", 20),
        ("fishyscapes-static", "fishyscapes", 20),
    ] {
        let prepare = |demo: &str, threads: u32| {
            let output = format!("{dataset}-{threads}");
            let source = format!("--dataset {dataset} --root {demo}/{folder}");
            succeed(
                at,
                &format!("prepare {source} --output {output} --threads {threads}"),
            )?;
            Ok::<_, anyhow::Error>(at.join(output))
        };
        let (first, second) = (prepare("one", 1)?, prepare("one", 3)?);
        assert!(files(&first)? == files(&second)?, "{dataset}");
        let index = Index::read(&first)?;
        assert_eq!(index.samples.len(), n, "{dataset}");
        for sample in &index.samples {
            let mask = Mask::read(&index.mask_path(&first, sample)?, index.mask_kind)?;
            assert_eq!((mask.width, mask.height), (192, 96));
        }
    }
    Ok(())
}
