//! Masks and index of data sets in all their forms.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use stage_testing::folder::files;

use crate::toy::{
    PREPARE, call, cityscapes, draw_demo, eight, fail, run, succeed, toy, write_labels,
};

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
fn merged_shards_are_what_one_call_writes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    eight(dir)?;
    let prepare = "prepare --dataset fishyscapes-static --root set --output";
    succeed(dir, &format!("{prepare} whole"))?;
    for i in 0..3 {
        let text = call(dir, &format!("{prepare} {i} --shard {i}/3")).output()?;
        let text = String::from_utf8(text.stderr)?;
        assert!(!text.contains("differs from"), "{text}");
    }
    succeed(dir, &format!("{prepare} merged --merge 2,1,0"))?;
    let whole = files(&dir.join("whole"))?;
    assert!(whole.len() == 9 && whole == files(&dir.join("merged"))?);
    let done = call(dir, &format!("{prepare} merged")).output()?;
    assert!(String::from_utf8(done.stderr)?.contains("up to date"));
    let error = fail(dir, &format!("{prepare} two --merge 0,1"))?;
    assert!(error.contains("shard 2/3 is missing"), "{error}");
    Ok(())
}
