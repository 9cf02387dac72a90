//! Runs the executable: help, drawn data sets, and everything that can be wrong with a data set.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use stage_testing::command;
use stage_testing::folder::files;
use tempfile::TempDir;

/// The executable with arguments separated by spaces, in `dir`.
fn call(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cityscapes-io"));
    command.args(arguments.split_whitespace()).current_dir(dir);
    command
}

/// Runs `check`, which prints faults to stdout. Returns success, stdout and stderr.
fn run(dir: &Path, arguments: &str) -> Result<(bool, String, String)> {
    let output = call(dir, arguments).output()?;
    Ok((
        output.status.success(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

fn succeed(dir: &Path, arguments: &str) -> Result<String> {
    Ok(command::succeed(&mut call(dir, arguments))?.stdout)
}

/// The one error line of a failing call.
fn fail(dir: &Path, arguments: &str) -> Result<String> {
    command::fail(&mut call(dir, arguments), &[])
}

/// Small drawn data sets in the official layouts.
fn draw_demo(output: &Path) -> Result<()> {
    demo_data::run(&demo_data::Args {
        common: stage_cli::Common::default(),
        output: output.to_owned(),
        seed: 0,
        scale: demo_data::Scale::Small,
    })
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

/// Prepares the [`toy`].
const PREPARE: &str = "prepare --dataset fishyscapes-static --root set --output out";

#[test]
fn help_names_flags_and_data_sets() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let help = succeed(dir.path(), "--help")?;
    for word in ["prepare", "check", "index", "--threads"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert!(!help.contains("demo"), "{help}");
    let help = succeed(dir.path(), "prepare --help")?;
    let names = cityscapes_io::manifest::SHIPPED.map(|(name, _)| name);
    for word in ["--dataset", "--size", "--strict"].into_iter().chain(names) {
        assert!(help.contains(word), "{word} in {help}");
    }
    Ok(())
}

#[test]
fn the_former_demo_names_the_executable_that_draws_now() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for flags in ["", "--scale small --output data"] {
        let error = fail(dir.path(), &format!("demo {flags}"))?;
        assert!(error.contains("`demo-data`"), "{error}");
    }
    Ok(())
}

#[test]
fn sizes_have_one_limit_in_all_stages() -> Result<()> {
    let dir = toy()?;
    for size in ["40000x1", "1x32769", "0x5", "axb", "1x2x3"] {
        let output = call(dir.path(), &format!("{PREPARE} --size {size}")).output()?;
        let stderr = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{size}: {stderr}");
        assert!(stderr.contains("from 1 to 32768 pixels"), "{stderr}");
    }
    assert!(!dir.path().join("out").exists());
    Ok(())
}

#[test]
fn prepare_maps_values_and_lists_samples() -> Result<()> {
    let dir = toy()?;
    fs::write(dir.path().join("set/images/readme.txt"), "text")?;
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
    let mask = index.read_mask(&out, &index.samples[0])?;
    assert_eq!(mask.labels, [0, 1, 1, 255, 0, 0, 0, 0]);
    index.image_path(&index.samples[0])?;

    let (_, stdout, stderr) = run(dir.path(), PREPARE)?;
    assert!(
        stdout.is_empty() && stderr.contains("out is up to date"),
        "{stderr}"
    );
    let (_, _, stderr) = run(dir.path(), &format!("{PREPARE} --size 2x1 --limit 1"))?;
    assert!(
        stderr.contains(
            "replacing the result in out, which was finished with --limit 0, asked for 1;"
        ) && stderr.contains("--size not given, asked for 2x1"),
        "{stderr}"
    );
    let index = Index::read(&out)?;
    assert_eq!(index.samples.len(), 1);
    let sample = &index.samples[0];
    assert_eq!((sample.width, sample.height), (2, 1));
    assert_eq!((sample.image_width, sample.image_height), (4, 2));
    let mask = index.read_mask(&out, sample)?;
    assert_eq!((mask.width, mask.height), (2, 1));
    Ok(())
}

#[test]
fn an_interrupted_call_goes_on_and_a_changed_data_set_starts_anew() -> Result<()> {
    let dir = toy()?;
    let out = dir.path().join("out");
    write_labels(dir.path(), "b", 4, &[7; 8])?;
    fail(dir.path(), PREPARE)?;
    let in_progress = out.join("in-progress");
    assert!(in_progress.join("work.json").exists() && !out.join("manifest.json").exists());
    fs::create_dir_all(in_progress.join("masks"))?;
    let kept = Mask::filled(4, 2, 1);
    kept.write(&in_progress.join("masks/a.png"))?;
    fs::copy(
        dir.path().join("set/labels_masks/a.png"),
        dir.path().join("set/labels_masks/b.png"),
    )?;
    succeed(dir.path(), PREPARE)?;
    assert_ne!(
        Mask::read(&out.join("masks/a.png"), MaskKind::Eval, 0)?,
        kept,
        "other content, other work"
    );

    // the same work: what is there is kept
    fs::rename(&out, dir.path().join("interrupted"))?;
    fs::create_dir(&out)?;
    fs::rename(dir.path().join("interrupted"), &in_progress)?;
    fs::rename(
        in_progress.join("manifest.json"),
        in_progress.join("work.json"),
    )?;
    fs::remove_file(in_progress.join("masks/b.png"))?;
    kept.write(&in_progress.join("masks/a.png"))?;
    succeed(dir.path(), PREPARE)?;
    assert!(!in_progress.exists());
    assert_eq!(
        Mask::read(&out.join("masks/a.png"), MaskKind::Eval, 0)?,
        kept
    );
    assert!(out.join("masks/b.png").exists());
    Ok(())
}

#[test]
fn nothing_that_the_stage_did_not_write_is_lost() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    // an output that is the data set, around it, or inside of it
    for output in ["set", ".", "set/images", "set/new"] {
        for force in ["", " --force"] {
            let error = fail(
                at,
                &PREPARE.replace("output out", &format!("output {output}{force}")),
            )?;
            assert!(error.contains("choose another --output"), "{error}");
        }
    }
    assert!(at.join("set/images/a.png").exists() && at.join("set/labels_masks/a.png").exists());
    // a folder of another program that has a manifest.json of its own
    fs::create_dir(at.join("out"))?;
    fs::write(
        at.join("out/manifest.json"),
        "{\"manifest_version\": 3, \"name\": \"mine\"}",
    )?;
    fs::write(at.join("out/thesis.txt"), "precious")?;
    for force in ["", " --force"] {
        let error = fail(at, &format!("{PREPARE}{force}"))?;
        assert!(error.contains("out holds"), "{error}");
    }
    assert_eq!(fs::read_to_string(at.join("out/thesis.txt"))?, "precious");
    fs::remove_dir_all(at.join("out"))?;
    // files that were put beside the results
    succeed(at, PREPARE)?;
    fs::write(at.join("out/masks/notes.txt"), "precious")?;
    let error = fail(at, &format!("{PREPARE} --size 2x1 --force"))?;
    assert!(
        error.contains("files that no stage wrote (masks/notes.txt)"),
        "{error}"
    );
    assert!(at.join("out/manifest.json").exists() && at.join("out/masks/notes.txt").exists());
    Ok(())
}

/// A call that is killed before it has written anything but a temporary file.
#[test]
fn a_call_that_was_killed_at_once_is_started_anew() -> Result<()> {
    let dir = toy()?;
    let work = dir.path().join("out/in-progress");
    fs::create_dir_all(&work)?;
    fs::write(work.join(".rT3x9a.tmp"), "{")?;
    fs::write(dir.path().join("out/.lock"), "process 1")?;
    succeed(dir.path(), PREPARE)?;
    let names: Vec<_> = files(&dir.path().join("out"))?.into_keys().collect();
    assert_eq!(names, ["index.json", "masks/a.png", "masks/b.png"]);
    assert!(dir.path().join("out/manifest.json").exists());
    Ok(())
}

#[test]
fn what_is_missing_in_a_complete_directory_is_made_again() -> Result<()> {
    let dir = toy()?;
    succeed(dir.path(), PREPARE)?;
    let whole = files(&dir.path().join("out"))?;
    fs::remove_file(dir.path().join("out/masks/b.png"))?;
    let (success, _, stderr) = run(dir.path(), PREPARE)?;
    assert!(
        success && stderr.contains("out/masks/b.png is gone: making it again"),
        "{stderr}"
    );
    assert!(files(&dir.path().join("out"))? == whole);
    Ok(())
}

#[cfg(unix)]
#[test]
fn an_output_may_be_a_link() -> Result<()> {
    let dir = toy()?;
    let (disk, out) = (dir.path().join("disk"), dir.path().join("out"));
    fs::create_dir(&disk)?;
    std::os::unix::fs::symlink(&disk, &out)?;
    for flags in ["", " --force", " --size 2x1"] {
        succeed(dir.path(), &format!("{PREPARE}{flags}"))?;
        assert!(out.is_symlink() && disk.join("index.json").exists());
    }
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
    let photo = at.join("photo.jpg");
    image::GrayImage::new(4, 2).save(&photo)?;
    fs::rename(photo, at.join("set/labels_masks/b.png"))?;
    check(fail(at, PREPARE)?, &["labels_masks/b.png", "JPEG", "blurs"]);
    fs::write(at.join("set/labels_masks/b.png"), "text")?;
    check(fail(at, PREPARE)?, &["labels_masks/b.png"]);
    fs::remove_file(at.join("set/labels_masks/b.png"))?;
    check(
        fail(at, PREPARE)?,
        &["images/b.png", "labels_masks/b.png does not exist"],
    );
    write_labels(at, "b", 4, &[0; 8])?;
    fs::write(at.join("set/images/b.png"), "text")?;
    check(fail(at, PREPARE)?, &["images/b.png", "not an image"]);
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
    // with the byte order mark of a text editor
    fs::write(dir.path().join("mine.toml"), format!("\u{FEFF}{manifest}"))?;
    succeed(
        dir.path(),
        "prepare --manifest mine.toml --root set --output out --strict",
    )?;
    let index = Index::read(&dir.path().join("out"))?;
    assert_eq!(index.samples[0].sample_id, "mine-a");
    let mask = Mask::read_raw(&dir.path().join("out/masks/mine-a.png"))?;
    assert_eq!(mask.labels[..4], [0, 0, 1, 255]);
    let report = succeed(dir.path(), "check --manifest mine.toml --root set")?;
    for words in [&["My set", " 2 ", " 0 "][..], &["1 out", "12.500 %", " 2 "]] {
        let row = report.lines().find(|l| words.iter().all(|w| l.contains(w)));
        assert!(row.is_some(), "{words:?} in {report}");
    }
    Ok(())
}

/// A good data set of eight samples in the layout of fishyscapes-static.
fn eight(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("set/images"))?;
    fs::create_dir_all(dir.join("set/labels_masks"))?;
    for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let image = image::RgbImage::from_fn(64, 32, |x, y| image::Rgb([(x * y) as u8, 9, 9]));
        image.save(dir.join(format!("set/images/{id}.png")))?;
        let labels: Vec<u8> = (0..64 * 32).map(|i| u8::from(i % 7 == 0)).collect();
        write_labels(dir, id, 64, &labels)?;
    }
    Ok(())
}

/// Leaves the first half of a file.
fn halve(path: &Path) -> Result<()> {
    let bytes = fs::read(path)?;
    Ok(fs::write(path, &bytes[..bytes.len() / 2])?)
}

#[test]
fn check_lists_every_fault_in_one_pass() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    eight(at)?;
    let check = "check --dataset fishyscapes-static --root set";
    succeed(at, &format!("{check} --partial"))?;

    let (images, masks) = (at.join("set/images"), at.join("set/labels_masks"));
    fs::remove_file(images.join("a.png"))?;
    halve(&images.join("b.png"))?;
    image::RgbImage::new(64, 32).save(images.join("c.jpg"))?;
    fs::rename(images.join("c.jpg"), images.join("c.png"))?;
    halve(&images.join("c.png"))?;
    write_labels(at, "d", 32, &[0; 32 * 16])?;
    write_labels(at, "e", 64, &[7; 64 * 32])?;
    fs::copy(images.join("f.png"), images.join("f.jpg"))?;
    fs::remove_file(images.join("g.png"))?;
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", images.join("g.png"))?;
    halve(&masks.join("h.png"))?;
    let (success, stdout, stderr) = run(at, &format!("{check} -v"))?;
    assert!(!success);
    let expected: [&[&str]; 10] = [
        &["f.jpg and ", "f.png both have the sample id f"],
        &["g.png cannot be read"],
        &["labels_masks/a.png has no image: a is missing"],
        &["labels_masks/g.png has no image"],
        &["images/b.png is damaged"],
        &["images/c.png", "cut off"],
        &["labels_masks/d.png is 32x16", "images/d.png is 64x32"],
        &["labels_masks/e.png has the value 7", "2048 pixels"],
        &["labels_masks/h.png", "damaged PNG"],
        &["set: 6 samples instead of 30"],
    ];
    for words in expected {
        let lines = stdout
            .lines()
            .filter(|l| words.iter().all(|w| l.contains(w)));
        assert_eq!(lines.count(), 1, "{words:?} in {stdout}");
    }
    // that one, and another size than published
    assert!(
        stderr.contains(&format!("faults ({})", expected.len() + 1)),
        "{stderr}"
    );
    assert!(fs::read_dir(at)?.count() == 1, "check writes nothing");
    let error = fail(at, PREPARE)?;
    assert!(error.contains("`cityscapes-io check` lists all"), "{error}");
    Ok(())
}

#[test]
fn parts_of_cityscapes_that_are_missing_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    draw_demo(&at.join("demo"))?;
    let (success, stdout, _) = run(at, "check --dataset cityscapes-val --root demo/cityscapes")?;
    assert!(!success);
    assert!(
        stdout.contains("city frankfurt: 0 samples instead of 267"),
        "{stdout}"
    );
    assert!(stdout.contains("14 samples instead of 500"), "{stdout}");

    let annotation = "demo/cityscapes/gtFine/val/edorf/edorf_000000_000000_gtFine_polygons.json";
    fs::remove_file(at.join(annotation.replace("polygons.json", "labelIds.png")))?;
    let check = "check --partial --dataset cityscapes-val --root demo/cityscapes";
    succeed(at, check)?;
    let text = fs::read_to_string(at.join(annotation))?;
    fs::write(at.join(annotation), &text[..100])?;
    let (success, stdout, _) = run(at, check)?;
    assert!(
        !success && stdout.contains("polygons.json is damaged at byte 100"),
        "{stdout}"
    );
    fs::write(at.join(annotation), text.replace("\"sky\"", "\"dragon\""))?;
    let (success, stdout, _) = run(at, check)?;
    assert!(
        !success && stdout.contains("unknown label \"dragon\""),
        "{stdout}"
    );
    Ok(())
}

/// Pillow's rule gives other pixels than the drawn labels have, but few.
#[test]
fn polygons_replace_missing_label_images() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    draw_demo(&at.join("demo"))?;
    let prepare = "prepare --dataset cityscapes-val --root demo/cityscapes --limit 3";
    succeed(at, &format!("{prepare} --output pictures"))?;
    for entry in walkdir::WalkDir::new(at.join("demo/cityscapes/gtFine")) {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .ends_with("labelIds.png")
        {
            fs::remove_file(entry.path())?;
        }
    }
    succeed(at, &format!("{prepare} --output polygons"))?;
    let index = Index::read(&at.join("polygons"))?;
    let others = Index::read(&at.join("pictures"))?;
    assert_eq!((index.samples.len(), others.samples.len()), (3, 3));
    for (sample, other) in index.samples.iter().zip(&others.samples) {
        let drawn = index.mask_path(&at.join("polygons"), sample)?;
        let drawn = Mask::read(&drawn, MaskKind::TrainId, 19)?;
        let pictured = others.mask_path(&at.join("pictures"), other)?;
        let pictured = Mask::read(&pictured, MaskKind::TrainId, 19)?;
        let same = drawn
            .labels
            .iter()
            .zip(&pictured.labels)
            .filter(|(a, b)| a == b);
        let share = same.count() as f64 / drawn.labels.len() as f64;
        assert!(share > 0.9, "{}: {share}", sample.sample_id);
    }
    Ok(())
}

#[test]
fn labels_can_determine_which_samples_exist() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let scene = "04_Maurener_Weg_8";
    let images = at.join(format!("set/leftImg8bit/test/{scene}"));
    let labels = at.join("set/fishyscapes_lostandfound");
    fs::create_dir_all(&images)?;
    fs::create_dir_all(&labels)?;
    for time in ["000010", "000020"] {
        let name = format!("{scene}_000000_{time}_leftImg8bit.png");
        image::RgbImage::new(4, 2).save(images.join(name))?;
    }
    let label = labels.join(format!("0000_{scene}_000000_000020_labels.png"));
    image::GrayImage::from_raw(4, 2, vec![0, 1, 255, 0, 0, 0, 0, 0])
        .context("size")?
        .save(&label)?;
    let prepare = "prepare --dataset fishyscapes-laf --root set --output out";
    succeed(at, prepare)?;
    let index = Index::read(&at.join("out"))?;
    assert_eq!(index.samples.len(), 1);
    assert_eq!(index.samples[0].sample_id, format!("{scene}_000000_000020"));
    index.image_path(&index.samples[0])?;
    fs::copy(
        &label,
        labels.join(format!("0001_{scene}_000000_000030_labels.png")),
    )?;
    let error = fail(at, prepare)?;
    assert!(error.contains("000030_labels.png has no image"), "{error}");
    Ok(())
}

#[test]
fn known_objects_and_frames_without_labels_are_left_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    for (scene, value) in [
        ("01_Weg", 33),
        ("02_Weg", 0),
        ("15_Rechbergstr_Deckenpfronn", 2),
    ] {
        let folder = |kind: &str| at.join(format!("set/{kind}/test/{scene}"));
        fs::create_dir_all(folder("leftImg8bit"))?;
        fs::create_dir_all(folder("gtCoarse"))?;
        let stem = format!("{scene}_000000_000010");
        image::RgbImage::new(2, 1)
            .save(folder("leftImg8bit").join(format!("{stem}_leftImg8bit.png")))?;
        image::GrayImage::from_raw(2, 1, vec![0, value])
            .context("size")?
            .save(folder("gtCoarse").join(format!("{stem}_gtCoarse_labelIds.png")))?;
    }
    succeed(
        at,
        "prepare --dataset lost-and-found-test-no-known --root set --output out",
    )?;
    let index = Index::read(&at.join("out"))?;
    let ids: Vec<_> = index.samples.iter().map(|s| s.sample_id.as_str()).collect();
    assert_eq!(ids, ["01_Weg_000000_000010"]);
    let mask = Mask::read(
        &index.mask_path(&at.join("out"), &index.samples[0])?,
        MaskKind::Eval,
        0,
    )?;
    assert_eq!(mask.labels, [255, 1], "a lying post is an obstacle here");
    Ok(())
}

#[test]
fn any_folder_becomes_an_index() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    // an image with a palette, as annotation tools write it
    let file = fs::File::create(at.join("set/labels_masks/a.png"))?;
    let mut encoder = png::Encoder::new(file, 4, 2);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![9; 9]);
    encoder
        .write_header()?
        .write_image_data(&[0, 1, 2, 0, 0, 0, 0, 0])?;
    let index = "index --root set --images images/{id}.{extension}";
    let masks = format!("{index} --masks labels_masks/{{id}}.png --output out");
    succeed(at, &masks)?;
    let read = |id: &str| Mask::read(&at.join(format!("out/masks/{id}.png")), MaskKind::Eval, 0);
    assert_eq!(read("a")?.labels[..4], [0, 1, 2, 0]);
    succeed(
        at,
        &format!("{masks} --values 0=0,1-2=1,255=255 --name mine"),
    )?;
    assert_eq!(read("a")?.labels[..4], [0, 1, 1, 0]);
    assert_eq!(Index::read(&at.join("out"))?.dataset, "mine");
    let error = fail(at, &format!("{masks} --kind proxy"))?;
    assert!(
        error.contains("value 1") || error.contains("value 2"),
        "{error}"
    );
    succeed(at, &format!("{index} --output out"))?;
    assert!(
        Index::read(&at.join("out"))?
            .samples
            .iter()
            .all(|s| s.mask.is_none())
    );
    succeed(
        at,
        "prepare --dataset image-folder --root set --output folder",
    )?;
    assert_eq!(Index::read(&at.join("folder"))?.samples.len(), 2);
    Ok(())
}

#[test]
fn masks_are_shown_in_colors() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    succeed(at, PREPARE)?;
    succeed(at, "palette --labels out --output colors")?;
    let colors = at.join("colors/a.png");
    assert_eq!(
        Mask::read_raw(&colors)?,
        Mask::read_raw(&at.join("out/masks/a.png"))?
    );
    let picture = artifacts::picture::read_rgb(&colors, artifacts::picture::Orientation::Stored)?;
    assert_ne!(picture.get_pixel(0, 0), picture.get_pixel(1, 0));
    assert!(at.join("colors/preview.png").exists());
    let table = succeed(at, "palette")?;
    assert!(table.contains("rectification border") && table.contains("license plate"));
    Ok(())
}

#[test]
fn the_demo_can_be_prepared_on_any_number_of_threads() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    draw_demo(&at.join("demo"))?;
    for (dataset, folder, n) in [
        ("cityscapes-train", "cityscapes", 54),
        ("cityscapes-val", "cityscapes", 14),
        ("lost-and-found-test", "lost_and_found", 20),
        ("fishyscapes-static", "fishyscapes", 20),
    ] {
        let prepare = |threads: u32| {
            let output = format!("{dataset}-{threads}");
            let source = format!("--dataset {dataset} --root demo/{folder}");
            succeed(
                at,
                &format!("prepare {source} --output {output} --threads {threads}"),
            )?;
            Ok::<_, anyhow::Error>(at.join(output))
        };
        let (first, second) = (prepare(1)?, prepare(3)?);
        assert!(files(&first)? == files(&second)?, "{dataset}");
        let index = Index::read(&first)?;
        assert_eq!(index.samples.len(), n, "{dataset}");
        for sample in &index.samples {
            let mask = index.read_mask(&first, sample)?;
            assert_eq!((mask.width, mask.height), (192, 96));
        }
    }
    Ok(())
}

/// Writes an image and its labels, both 4x2, in the layout of Cityscapes below `root`, with `nested` folders in each path.
fn cityscapes(root: &Path, nested: &str, extension: &str) -> Result<()> {
    let (city, stem) = ("frankfurt", "frankfurt_000000_000294");
    let images = root.join(format!(
        "leftImg8bit/{}val/{city}",
        nested.replace('*', "leftImg8bit")
    ));
    let labels = root.join(format!(
        "gtFine/{}val/{city}",
        nested.replace('*', "gtFine")
    ));
    fs::create_dir_all(&images)?;
    fs::create_dir_all(&labels)?;
    let image = image::RgbImage::new(4, 2);
    image.save(images.join(format!("{stem}_leftImg8bit.{extension}")))?;
    let labels = labels.join(format!("{stem}_gtFine_labelIds.png"));
    Ok(image::GrayImage::new(4, 2).save(labels)?)
}

#[test]
fn errors_say_where_the_path_broke() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    cityscapes(&at.join("good"), "", "png")?;
    cityscapes(&at.join("jpeg"), "", "jpg")?;
    cityscapes(&at.join("deep"), "*/", "png")?;
    cityscapes(&at.join("deeper"), "*/*/", "png")?;
    cityscapes(&at.join("capitals"), "", "png")?;
    fs::rename(
        at.join("capitals/leftImg8bit"),
        at.join("capitals/leftimg8bit"),
    )?;
    fs::create_dir_all(at.join("train/leftImg8bit/train/ulm"))?;
    cityscapes(&at.join("high/more/my data"), "", "png")?;
    cityscapes(&at.join("archives"), "", "png")?;
    for kind in ["leftImg8bit", "gtFine"] {
        let own = at.join(format!("archives/{kind}_trainvaltest"));
        fs::create_dir(&own)?;
        fs::rename(at.join("archives").join(kind), own.join(kind))?;
    }
    fs::create_dir(at.join("zipped"))?;
    fs::write(at.join("zipped/leftImg8bit_trainvaltest.zip"), "PK")?;
    fs::create_dir_all(at.join("flat/leftImg8bit/val"))?;
    image::RgbImage::new(4, 2).save(at.join("flat/leftImg8bit/val/a_leftImg8bit.png"))?;
    let prepare = |root: &str| {
        let error = fail(
            at,
            &format!("prepare --dataset cityscapes-val --root {root} --output out"),
        )?;
        assert!(
            error.contains("there is no image of cityscapes-val in"),
            "{error}"
        );
        assert!(!at.join("out").exists());
        Ok::<_, anyhow::Error>(error)
    };
    let good = at.join("good").display().to_string();
    let set_root = format!("set --root to {good}");
    let beside = format!("the images are beside it: {set_root}");
    for (root, expected) in [
        ("good/leftImg8bit", set_root.as_str()),
        ("good/leftImg8bit/val", &set_root),
        ("good/leftImg8bit/val/frankfurt", &set_root),
        ("good/gtFine", &beside),
        ("good/gtFine/val", &beside),
        (".", "set --root to "),
        ("high", "set --root to high/more/my data"),
        (
            "jpeg",
            "frankfurt_000000_000294_leftImg8bit.jpg, whose name ends otherwise",
        ),
        ("deep", "the folder leftImg8bit/leftImg8bit is nested"),
        (
            "deeper",
            "the folder leftImg8bit/leftImg8bit/leftImg8bit is nested",
        ),
        ("capitals", "with other capital letters than"),
        (
            "archives",
            "unpacked into folders of their own: move the content of each to archives",
        ),
        (
            "train",
            "train/leftImg8bit has no folder val, it holds train",
        ),
        ("zipped", "that folder holds leftImg8bit_trainvaltest.zip"),
        ("flat", "flat/leftImg8bit/val has no folder {city}"),
    ] {
        let error = prepare(root)?;
        assert!(error.contains(expected), "{root}: {error}");
    }
    Ok(())
}

/// Each archive was unpacked into a folder of its own name, twice.
#[test]
fn nested_folders_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let (scene, stem) = ("04_Maurener_Weg_8", "04_Maurener_Weg_8_000000_000030");
    for (kind, ending) in [
        ("leftImg8bit", "leftImg8bit"),
        ("gtCoarse", "gtCoarse_labelIds"),
    ] {
        let folder = at.join(format!("set/{kind}/{kind}/test/{scene}"));
        fs::create_dir_all(&folder)?;
        image::GrayImage::new(4, 2).save(folder.join(format!("{stem}_{ending}.png")))?;
    }
    let prepare = "prepare --dataset lost-and-found-test --root set --output out";
    let error = fail(at, prepare)?;
    let expected = "the folder leftImg8bit/leftImg8bit is nested: move its content to leftImg8bit";
    assert!(error.contains(expected), "{error}");
    Ok(())
}

#[test]
fn images_that_were_cut_off_are_found_first() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    eight(at)?;
    halve(&at.join("set/images/c.png"))?;
    let error = fail(at, PREPARE)?;
    assert!(
        error.contains("images/c.png") && error.contains("cut off"),
        "{error}"
    );
    Ok(())
}

#[test]
fn byte_order_marks_are_read_over() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    cityscapes(&at.join("set"), "", "png")?;
    let labels = at.join("set/gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelIds.png");
    fs::remove_file(&labels)?;
    let polygons = labels.with_file_name("frankfurt_000000_000294_gtFine_polygons.json");
    let text = r#"{"imgWidth":4,"imgHeight":2,"objects":[{"label":"car","polygon":[[0,0],[3,0],[3,1],[0,1]]}]}"#;
    fs::write(polygons, format!("\u{FEFF}{text}"))?;
    succeed(
        at,
        "prepare --dataset cityscapes-val --root set --output out",
    )?;
    let mask = Mask::read_raw(&at.join("out/masks/frankfurt_000000_000294.png"))?;
    assert_eq!(mask.labels, [13; 8]);
    Ok(())
}

#[test]
fn names_may_have_spaces_and_any_letters() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    for name in ["zebra 2", "straße 1"] {
        fs::create_dir_all(at.join("set/images"))?;
        fs::create_dir_all(at.join("set/labels_masks"))?;
        image::RgbImage::new(4, 2).save(at.join(format!("set/images/{name}.JPG")))?;
        write_labels(at, name, 4, &[0, 1, 255, 255, 0, 0, 0, 0])?;
    }
    let calls = [
        "prepare --dataset image-folder --root set --output out",
        "index --root set --images images/{id}.{extension} --masks labels_masks/{id}.png --output out",
    ];
    for call in calls {
        succeed(at, &format!("{call} --force"))?;
        let index = Index::read(&at.join("out"))?;
        let ids: Vec<&str> = index.samples.iter().map(|s| s.sample_id.as_str()).collect();
        assert_eq!(ids, ["stra_e_1", "zebra_2"]);
        assert_eq!(index.samples[0].image, Path::new("images/straße 1.JPG"));
        let mask = Mask::read_raw(&at.join("out/masks/zebra_2.png"))?;
        assert_eq!(mask.labels[..3], [0, 1, 255]);
    }
    image::RgbImage::new(4, 2).save(at.join("set/images/zebra_2.png"))?;
    write_labels(at, "zebra_2", 4, &[0; 8])?;
    for call in calls {
        let error = fail(at, &format!("{call} --force"))?;
        for part in [
            "zebra 2.JPG and ",
            "zebra_2.png",
            "sample id zebra_2",
            "rename",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
    Ok(())
}

#[test]
fn masks_of_0_and_255_need_a_meaning() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    for id in ["a", "b"] {
        write_labels(at, id, 4, &[0, 255, 255, 0, 0, 0, 0, 0])?;
    }
    let index = "index --root set --images images/{id}.{extension} --masks labels_masks/{id}.png --output out";
    for call in [
        index,
        "prepare --dataset image-folder --root set --output out",
    ] {
        let error = fail(at, call)?;
        assert!(error.contains("--values 0=0,255=1"), "{error}");
        assert!(!at.join("out").exists());
    }
    let error = fail(at, &format!("{index} --kind proxy"))?;
    assert!(error.contains("--values 0=0,255=254"), "{error}");
    let (success, stdout, _) = run(at, "check --partial --dataset image-folder --root set")?;
    assert!(
        !success && stdout.contains("--values 0=0,255=1"),
        "{stdout}"
    );
    for (values, expected) in [("0=0,255=1", 1), ("0=0,255=255", 255)] {
        succeed(at, &format!("{index} --values {values}"))?;
        let mask = Mask::read_raw(&at.join("out/masks/a.png"))?;
        assert_eq!(mask.labels[..2], [0, expected]);
    }
    // one other value shows that the masks are in the form that is asked for
    write_labels(at, "b", 4, &[0, 1, 255, 0, 0, 0, 0, 0])?;
    succeed(at, &format!("{index} --force"))?;
    Ok(())
}

#[test]
fn check_groups_faults_of_one_kind() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    eight(at)?;
    for id in ["a", "b", "c", "d", "e", "f", "g"] {
        write_labels(at, id, 64, &[7; 64 * 32])?;
    }
    let check = "check --partial --dataset fishyscapes-static --root set";
    let (success, stdout, stderr) = run(at, check)?;
    assert!(!success && stderr.contains("faults (7)"), "{stderr}");
    let faults = |stdout: &str| stdout.matches("has the value 7").count();
    assert_eq!(faults(&stdout), 1, "{stdout}");
    assert!(
        stdout.contains("6 more of this kind: b.png, c.png, d.png, e.png, ..."),
        "{stdout}"
    );
    let (_, stdout, _) = run(at, &format!("{check} -v"))?;
    assert_eq!(faults(&stdout), 7, "{stdout}");
    Ok(())
}

/// Progress and log lines may be lost, work may not.
#[test]
#[cfg(target_os = "linux")]
fn a_stderr_that_cannot_be_written_ends_nothing() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    let (reader, closed) = std::io::pipe()?;
    drop(reader);
    let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
    for (name, stderr) in [
        ("full", full.into()),
        ("closed", std::process::Stdio::from(closed)),
    ] {
        // the second label file has no image, so that there is a warning besides the progress
        write_labels(at, "orphan", 4, &[0; 8])?;
        let prepare = PREPARE.replace("output out", &format!("output {name}"));
        let status = call(at, &prepare).stderr(stderr).status()?;
        assert_eq!(status.code(), Some(0), "{name}");
        assert_eq!(Index::read(&at.join(name))?.samples.len(), 2);
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
    let status = call(at, "prepare --dataset none --root set --output out")
        .stderr(full)
        .status()?;
    assert_eq!(status.code(), Some(1));
    Ok(())
}

/// Ends with the exit status of a result without some of its inputs; returns the rows of the list.
fn fail_partly(dir: &Path, arguments: &str) -> Result<Vec<String>> {
    let output = call(dir, arguments).output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let error = command::one_error_line(&stderr)?;
    assert!(error.contains("failed.csv"), "{error}");
    let list = fs::read_to_string(dir.join("out/failed.csv"))?;
    Ok(list.lines().skip(1).map(str::to_owned).collect())
}

#[test]
fn images_and_masks_that_fail_are_listed_and_left_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    eight(at)?;
    halve(&at.join("set/images/b.png"))?;
    fs::write(at.join("set/images/c.png"), "")?;
    halve(&at.join("set/labels_masks/d.png"))?;
    write_labels(at, "e", 32, &[0; 32 * 16])?;
    write_labels(at, "f", 64, &[7; 64 * 32])?;
    fs::remove_file(at.join("set/labels_masks/g.png"))?;
    let index = "index --root set --images images/{id}.{extension} --masks labels_masks/{id}.png --output out";
    for call in [PREPARE, index] {
        let error = fail(at, call)?;
        assert!(error.contains("images/g.png has no labels"), "{error}");
        let rows = fail_partly(at, &format!("{call} --keep-going --force"))?;
        let expected = [
            ("images/b.png", "cut off"),
            ("images/c.png", "it is empty"),
            ("images/d.png", "labels_masks/d.png"),
            ("images/e.png", "labels_masks/e.png is 32x16"),
            ("images/f.png", "the value 7"),
            ("images/g.png", "labels_masks/g.png does not exist"),
        ];
        assert_eq!(rows.len(), expected.len(), "{rows:#?}");
        for (row, (name, reason)) in rows.iter().zip(expected) {
            assert!(row.starts_with(name) && row.contains(reason), "{row}");
            assert!(!row.contains("more faults"), "{row}");
        }
        let samples = Index::read(&at.join("out"))?.samples;
        let ids: Vec<&str> = samples.iter().map(|s| s.sample_id.as_str()).collect();
        assert_eq!(ids, ["a", "h"]);
        // finished, but not forgotten
        assert_eq!(fail_partly(at, &format!("{call} --keep-going"))?, rows);
    }
    for id in ["a", "h"] {
        fs::write(at.join(format!("set/images/{id}.png")), "text")?;
    }
    let error = fail(at, &format!("{PREPARE} --keep-going"))?;
    assert!(error.contains("no image in set can be used"), "{error}");
    let index = fs::read_to_string(at.join("out/index.json"))?;
    assert!(index.contains("images/h.png"), "the old result is whole");
    Ok(())
}

#[test]
fn an_old_result_stays_whole_until_a_new_one_is_complete() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    let out = at.join("out");
    succeed(at, PREPARE)?;
    let old = files(&out)?;
    write_labels(at, "b", 4, &[7; 8])?;
    for more in ["", " --force", " --size 2x1"] {
        let error = fail(at, &format!("{PREPARE}{more}"))?;
        assert!(error.contains("the value 7"), "{error}");
        let mut left = files(&out)?;
        left.retain(|name, _| !name.starts_with("in-progress/") && name != ".lock");
        assert!(left == old, "{more}");
        assert!(out.join("manifest.json").exists());
    }
    Ok(())
}

#[test]
fn hostile_data_is_refused_at_once() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    // many placeholders, and file names that nearly match in very many ways
    let name = "_".repeat(200);
    fs::rename(
        at.join("set/images/a.png"),
        at.join(format!("set/images/{name}.jpg")),
    )?;
    let index = |images: &str, id: &str| {
        format!("index --root set --output out --images {images} --sample-id {id}")
    };
    let begun = std::time::Instant::now();
    let error = fail(at, &index("images/{a}_{b}_{c}_{d}_{e}_{f}.png", "{a}"))?;
    assert!(error.contains("there is no image"), "{error}");
    let error = fail(at, &index("images/{a}_{b}_{c}_{a}_{b}_{c}_{d}.png", "{a}"))?;
    assert!(error.contains("too many ways"), "{error}");
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    // an id that is no file name
    let error = fail(at, &index("images/{id}.jpg", "{id}{id}"))?;
    assert!(error.contains("nothing between"), "{error}");
    let error = fail(at, &index("images/{id}.jpg", "{id}-{id}"))?;
    assert!(error.contains("has 401 characters"), "{error}");
    // a text of a placeholder that leads out of the folder
    fs::write(at.join("secret.png"), "secret")?;
    image::GrayImage::new(4, 2).save(at.join("set/labels_masks/.._secret.png"))?;
    let manifest = r#"
        name = "mine"
        title = "My set"
        dataset = "mine"
        split = "test"
        mask_kind = "eval"
        licence = "none"
        citation = "none"
        url = "https://example.org"
        [[layouts]]
        list = "labels_masks/_{folder}_{id}.png"
        images = "{folder}/{id}.png"
        sample_id = "{id}"
    "#;
    fs::rename(
        at.join("set/labels_masks/.._secret.png"),
        at.join("set/labels_masks/_.._secret.png"),
    )?;
    fs::write(at.join("mine.toml"), manifest)?;
    let error = fail(at, "prepare --manifest mine.toml --root set --output out")?;
    assert!(error.contains("path ../secret.png leads out"), "{error}");
    Ok(())
}

#[test]
fn pictures_that_would_exhaust_the_memory_are_refused() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    let large = |path: &Path| -> Result<()> {
        let file = std::io::BufWriter::new(fs::File::create(path)?);
        let mut encoder = png::Encoder::new(file, 16384, 16384);
        encoder.set_depth(png::BitDepth::One);
        let mut writer = encoder.write_header()?;
        let mut rows = writer.stream_writer()?;
        std::io::copy(
            &mut std::io::Read::take(std::io::repeat(0), 1 << 25),
            &mut rows,
        )?;
        Ok(rows.finish()?)
    };
    let image = at.join("set/images/b.png");
    let small = fs::read(&image)?;
    large(&image)?;
    let error = fail(at, PREPARE)?;
    assert!(
        error.contains("images/b.png") && error.contains("16384x16384 pixels"),
        "{error}"
    );
    fs::write(&image, small)?;
    large(&at.join("set/labels_masks/b.png"))?;
    let error = fail(at, PREPARE)?;
    assert!(error.contains("labels_masks/b.png"), "{error}");
    assert!(error.contains("16384x16384 pixels"), "{error}");
    Ok(())
}
