//! Images that cannot be used: found before any mask is made, or left out.

use std::fs;

use anyhow::{Context, Result};
use artifacts::index::Index;
use serde_json::{Value, json};
use stage_testing::command::fail;

use crate::toy::{FEW, Toy, check, dogs, fail_partly};

#[test]
fn annotations_belong_to_the_stored_pixels() -> Result<()> {
    let mut dataset = dogs(1);
    dataset["images"][0] = json!({"id": 1, "file_name": "1.jpg", "width": 80, "height": 48});
    dataset["annotations"][0]["segmentation"] = json!([[8, 8, 40, 8, 40, 24, 8, 24]]);
    let toy = Toy::new(&dataset)?;
    let path = toy.path("train2017/1.jpg");
    let inside = |x, y| (8..40).contains(&x) && (8..24).contains(&y);
    let white = |x, y| image::Rgb([if inside(x, y) { 255 } else { 0 }; 3]);
    image::RgbImage::from_fn(80, 48, white).save(&path)?;
    let photo = fs::read(&path)?;
    // a note of the camera that it was turned by a quarter
    let note =
        b"\xFF\xE1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    fs::write(&path, [&photo[..2], note, &photo[2..]].concat())?;
    assert!(artifacts::picture::is_turned(&path)?);
    toy.succeed(&FEW)?;
    let index = Index::read(&toy.path("out"))?;
    let picture = index.read_image(&index.samples[0])?;
    let mask = index.read_mask(&toy.path("out"), &index.samples[0])?;
    for (pixel, &label) in picture.pixels().zip(&mask.labels) {
        assert_eq!(label == 254, pixel.0[0] > 128);
    }
    // annotations that were made on the turned image are refused with the reason
    dataset["images"][0]["width"] = json!(48);
    dataset["images"][0]["height"] = json!(80);
    toy.write(&dataset.to_string())?;
    fail(&mut toy.command(&FEW), &["1.jpg", "EXIF"])?;
    Ok(())
}

#[test]
fn broken_images_are_found_before_masks_are_made() -> Result<()> {
    let toy = Toy::new(&dogs(4))?;
    let path = |id: u64| toy.path(&format!("train2017/{id:012}.png"));
    let whole = fs::read(path(2))?;
    fs::write(path(2), &whole[..whole.len() - 20])?;
    fs::write(path(3), b"")?;
    fs::write(path(4), b"")?;
    let parts = [
        "000000000002.png",
        "cut off",
        "000000000003.png",
        "it is empty",
        "likewise image 4",
    ];
    toy.fail(&FEW, &parts)?;
    let (success, lines, _) = check(&toy)?;
    assert!(!success && lines.len() == 3, "{lines:#?}");
    Ok(())
}

#[test]
fn images_that_fail_are_listed_and_left_out() -> Result<()> {
    let mut dataset = dogs(6);
    dataset["annotations"][3]["segmentation"] = json!([10.5, 8.25, 40.2, 9.0, 44.0, 30.5]);
    dataset["images"][4]["width"] = Value::Null;
    let toy = Toy::new(&dogs(6))?;
    toy.write(&dataset.to_string())?;
    let path = |id: u64| toy.path(&format!("train2017/{id:012}.png"));
    let whole = fs::read(path(1))?;
    fs::write(path(2), &whole[..whole.len() - 20])?;
    fs::write(path(3), b"text")?;
    fs::write(path(5), b"")?;
    fail(
        &mut toy.command(&FEW),
        &[
            "4 faults",
            "--keep-going",
            "000000000005.png",
            "annotation 103",
        ],
    )?;
    let keep_going = ["--keep-going"];
    let error = fail_partly(&toy, &keep_going)?;
    assert!(
        error.contains("complete but for 4 of its inputs"),
        "{error}"
    );
    let list = fs::read_to_string(toy.path("out/failed.csv"))?;
    let rows: Vec<&str> = list.lines().collect();
    let expected = [
        ("input", "error"),
        ("000000000002.png", "cut off"),
        ("000000000003.png", "not an image"),
        (
            "000000000004.png",
            "annotation 103 of image 4 has no valid shape",
        ),
        ("000000000005.png", "it is empty"),
    ];
    assert_eq!(rows.len(), expected.len(), "{rows:#?}");
    for (row, (name, reason)) in rows.iter().zip(expected) {
        assert!(row.starts_with(name) && row.contains(reason), "{row}");
    }
    let ids = || -> Result<Vec<String>> {
        let samples = Index::read(&toy.path("out"))?.samples;
        Ok(samples.into_iter().map(|s| s.sample_id).collect())
    };
    assert_eq!(ids()?, ["000000000001", "000000000006"]);
    // finished, but not forgotten
    assert_eq!(fail_partly(&toy, &keep_going)?, error);
    fs::write(path(2), &whole)?;
    fs::remove_file(path(6))?;
    let error = fail_partly(&toy, &keep_going)?;
    assert!(
        error.contains("complete but for 4 of its inputs"),
        "{error}"
    );
    assert_eq!(ids()?, ["000000000001", "000000000002"]);
    for id in 1..=6 {
        fs::write(path(id), b"text")?;
    }
    fail(
        &mut toy.command(&[&FEW[..], &keep_going].concat()),
        &["none of the 6 images", "see the warnings"],
    )?;
    let index = fs::read_to_string(toy.path("out/index.json"))?;
    assert!(
        index.contains("000000000002.png"),
        "the old result is whole"
    );
    Ok(())
}

/// A header and an end are not enough to find these: only the preview decodes pixels.
#[test]
fn damaged_pixels_do_not_end_the_preview() -> Result<()> {
    let toy = Toy::new(&dogs(3))?;
    let path = toy.path("train2017/000000000002.png");
    let mut png = fs::read(&path)?;
    let at = png
        .windows(4)
        .position(|w| w == b"IDAT")
        .context("pixels")?
        + 6;
    png[at..at + 6].fill(0xFF);
    fs::write(&path, &png)?;
    let preview = ["--preview", "3"];
    fail(
        &mut toy.command(&[&FEW[..], &preview].concat()),
        &["000000000002.png", "--keep-going"],
    )?;
    let error = fail_partly(&toy, &["--preview", "3", "--keep-going"])?;
    assert!(
        error.contains("complete but for 1 of its inputs"),
        "{error}"
    );
    let samples = Index::read(&toy.path("out"))?.samples;
    let ids: Vec<&str> = samples.iter().map(|s| s.sample_id.as_str()).collect();
    assert_eq!(ids, ["000000000001", "000000000003"]);
    assert!(toy.path("out/preview.png").exists());
    let list = fs::read_to_string(toy.path("out/failed.csv"))?;
    assert!(list.contains("000000000002.png"), "{list}");
    Ok(())
}
