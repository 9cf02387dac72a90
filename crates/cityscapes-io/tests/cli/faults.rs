//! Everything that can be wrong with the files of a data set.

use std::fs;
use std::path::Path;

use anyhow::Result;
use artifacts::index::Index;
use artifacts::mask::Mask;

use crate::toy::{
    PREPARE, draw_demo, eight, fail, fail_partly, halve, run, succeed, toy, write_labels,
};

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
