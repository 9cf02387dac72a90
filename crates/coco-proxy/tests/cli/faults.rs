//! Files and records that are wrong: one clear line, and all of them in `check`.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::toy::{FEW, SMALL, Toy, annotation, check, dataset, dogs, image};

#[test]
fn annotations_that_cannot_be_used_are_one_clear_line() -> Result<()> {
    let with = |segmentation: &Value| {
        let mut dataset = dataset();
        dataset["annotations"][0]["segmentation"] = segmentation.clone();
        dataset
    };
    let cases = [
        (with(&json!([])), "list of polygons is empty"),
        (with(&json!([[1, 1, 2, 2]])), "2 points"),
        (with(&Value::Null), "no segmentation"),
        (with(&json!({"size": [6, 8], "counts": [40]})), "sum to h*w"),
        (with(&json!({"size": [6, 8], "counts": [40, 9]})), "49"),
        (with(&json!({"size": [8, 6], "counts": [48]})), "6x8"),
    ];
    for (dataset, expected) in cases {
        let toy = Toy::new(&dataset)?;
        let place = [
            "instances_train2017.json",
            "annotation 11 of image 1",
            expected,
        ];
        toy.fail(&SMALL, &place)?;
    }
    Ok(())
}

#[test]
fn damaged_files_and_hostile_records_are_one_clear_line() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let text = dataset().to_string();
    toy.write(&text[..text.len() / 2])?;
    toy.fail(&SMALL, &["instances_train2017.json", "at byte "])?;
    toy.write(&text.replace("[1,1,3,1,3,3,1,3]", "[1,1,\"x\",1,3,3,1,3]"))?;
    toy.fail(
        &SMALL,
        &[
            "instances_train2017.json",
            "annotation 11",
            "is not a number",
        ],
    )?;
    toy.write("[]")?;
    toy.fail(&SMALL, &["instances_train2017.json", "it is a list"])?;
    toy.write("{}")?;
    toy.fail(&SMALL, &["lists no images"])?;
    toy.write(&text.replace("000000000004.png", "../../secret.png"))?;
    toy.fail(&SMALL, &["image 4", "leads out of its folder"])?;
    toy.write(&text.replace("\"id\":4,", "\"id\":3,"))?;
    toy.fail(&SMALL, &["image id 3 occurs twice"])?;
    toy.write(&text.replace("\"width\":8", "\"width\":0"))?;
    toy.fail(&SMALL, &["size of 0x"])?;
    toy.write(&text.replace("\"category_id\":21", "\"category_id\":99"))?;
    toy.fail(&SMALL, &["annotation 12", "category 99"])?;
    fs::remove_file(toy.annotations())?;
    toy.fail(&SMALL, &["do not exist", "--annotations"])?;
    fs::create_dir(toy.annotations())?;
    toy.fail(&SMALL, &["are a folder", "name the file in it"])
}

#[test]
fn wrong_images_and_flags_are_one_clear_line() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let image = toy.path("train2017/000000000001.png");
    toy.fail(&["--exclude", "dgo"], &["\"dgo\"", "person", "--exclude"])?;
    toy.fail(&[], &["no image qualifies", "3 are too small"])?;
    image::RgbImage::new(6, 8).save(&image)?;
    toy.fail(&SMALL, &["000000000001.png", "6x8", "8x6"])?;
    fs::write(&image, "text")?;
    toy.fail(&SMALL, &["000000000001.png", "not an image"])?;
    fs::remove_file(&image)?;
    toy.fail(&SMALL, &["000000000001.png is missing", "--images"])?;
    toy.fail(&["--images", "/nowhere"], &["/nowhere", "--images"])?;
    let status = toy.command(&["--background", "7"]).output()?.status;
    assert_eq!(status.code(), Some(2));
    Ok(())
}

#[test]
fn check_lists_every_fault_in_one_pass() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let (success, lines, stderr) = check(&toy)?;
    assert!(success, "{lines:?} {stderr}");
    assert!(
        lines.len() == 1 && lines[0].contains("5 images"),
        "{lines:?}"
    );

    let mut bad = dataset();
    let square = json!([[1, 1, 3, 1, 3, 3, 1, 3]]);
    let images = bad["images"].as_array_mut().context("images")?;
    images.push(image(1, 8, 6));
    images.push(json!({"id": 9, "file_name": "../secret.png", "width": 8, "height": 6}));
    images.push(image(10, 8, 6));
    images.push(image(11, 6, 8));
    let annotations = bad["annotations"].as_array_mut().context("annotations")?;
    annotations.push(annotation(
        21,
        1,
        20,
        &json!({"size": [6, 8], "counts": [40]}),
    ));
    annotations.push(annotation(22, 1, 20, &json!([[1, 1, 2, 2]])));
    annotations.push(annotation(22, 1, 20, &square));
    annotations.push(annotation(23, 1, 99, &square));
    annotations.push(annotation(24, 77, 20, &square));
    toy.write(&bad.to_string())?;
    let folder = toy.path("train2017");
    image::RgbImage::new(8, 6).save(folder.join("000000000011.png"))?;
    fs::write(folder.join("000000000002.png"), "text")?;
    let photo = folder.join("photo.jpg");
    image::RgbImage::new(8, 6).save(&photo)?;
    let bytes = fs::read(&photo)?;
    fs::write(folder.join("000000000003.png"), &bytes[..bytes.len() / 2])?;
    let (success, lines, stderr) = check(&toy)?;
    assert!(!success && stderr.contains("faults (11)"), "{stderr}");
    let expected: [&[&str]; 11] = [
        &["000000000003.png", "cut off"],
        &["000000000002.png", "not an image"],
        &["image id 1 occurs twice"],
        &["image 9", "../secret.png leads out of its folder"],
        &["000000000010.png is missing"],
        &["000000000011.png has 8x6 pixels, its record 6x8"],
        &["instances_train2017.json", "annotation 21", "sum to h*w"],
        &["instances_train2017.json", "annotation 22", "2 points"],
        &["annotation id 22 occurs twice"],
        &["annotation 23 has the category 99"],
        &["annotation 24 belongs to image 77"],
    ];
    assert_eq!(lines.len(), expected.len() + 1, "{lines:#?}");
    for (line, words) in lines.iter().zip(expected) {
        for word in words {
            assert!(line.contains(word), "{word} in {line}");
        }
    }

    let text = dataset().to_string();
    let at = text.find("\"id\":13").context("annotation 13")?;
    toy.write(&format!("{}!{}", &text[..at], &text[at..]))?;
    let (success, _, stderr) = check(&toy)?;
    assert!(!success, "{stderr}");
    assert!(
        stderr.contains(&format!("at byte {}", at + 1)),
        "{at}: {stderr}"
    );
    Ok(())
}

#[test]
fn all_faults_of_a_file_are_told_at_once_with_their_ids() -> Result<()> {
    let mut dataset = dogs(20);
    let annotations = dataset["annotations"]
        .as_array_mut()
        .context("annotations")?;
    for annotation in annotations.iter_mut().take(15) {
        annotation["segmentation"] = json!([10.5, 8.25, 40.2, 9.0, 44.0, 30.5]);
    }
    annotations[15]["segmentation"] = json!([[1, 2, null, 4, 5, 6]]);
    annotations[16]["category_id"] = json!(77);
    annotations[17]["image_id"] = Value::Null;
    let toy = Toy::new(&dataset)?;
    let (success, lines, _) = check(&toy)?;
    assert!(!success && lines.len() == 5, "{lines:#?}");
    let flat = [
        "annotation 100 ",
        "one flat list",
        "annotation 101, annotation 102",
        "and 6 more",
    ];
    let found = lines.iter().find(|l| l.contains("flat")).context("flat")?;
    assert!(flat.iter().all(|part| found.contains(part)), "{found}");
    for expected in ["annotation 115 ", "annotation 116 ", "annotation 117 "] {
        assert!(lines.iter().any(|l| l.contains(expected)), "{expected}");
    }
    toy.fail(
        &FEW,
        &[
            "18 faults",
            "annotation 117 has no image_id",
            "annotation 116",
        ],
    )?;
    annotations_with_shape_faults_only(&mut dataset)?;
    toy.write(&dataset.to_string())?;
    toy.fail(
        &FEW,
        &[
            "16 faults",
            "annotation 100 ",
            "and 6 more",
            "annotation 115 ",
        ],
    )
}

fn annotations_with_shape_faults_only(dataset: &mut Value) -> Result<()> {
    let annotations = dataset["annotations"]
        .as_array_mut()
        .context("annotations")?;
    annotations.truncate(16);
    Ok(())
}

/// The second image of [`dogs`] under another id.
fn renamed(id: &str) -> String {
    let mut dataset = dogs(2);
    dataset["images"][1]["id"] = json!(id);
    dataset["annotations"][1]["image_id"] = json!(id);
    dataset.to_string()
}

#[test]
fn records_that_cannot_be_read_are_named() -> Result<()> {
    let toy = Toy::new(&dogs(2))?;
    let with = |list: &str, place: usize, record: Value| {
        let mut dataset = dogs(2);
        dataset[list][place] = record;
        dataset.to_string()
    };
    let annotation_with = |member: &str, value: Value| {
        let mut dataset = dogs(2);
        dataset["annotations"][1][member] = value;
        dataset.to_string()
    };
    let image_with = |member: &str, value: Value| {
        let mut dataset = dogs(2);
        dataset["images"][1][member] = value;
        dataset.to_string()
    };
    let text = dogs(2).to_string();
    for (text, expected) in [
        (
            with("annotations", 1, Value::Null),
            "record 2 of `annotations`",
        ),
        (
            with("annotations", 1, json!([1, 1, 18])),
            "record 2 of `annotations`",
        ),
        (with("images", 0, json!("1.jpg")), "record 1 of `images`"),
        (
            with("images", 1, json!({"file_name": "2.jpg"})),
            "record 2 of `images`",
        ),
        (
            with("categories", 1, json!({"id": 18})),
            "record 2 of `categories`",
        ),
        (
            with("categories", 0, json!({"id": 18, "name": "cat"})),
            "category id 18 is that of",
        ),
        (
            with("categories", 0, json!({"id": 16, "name": "sky-other"})),
            "file of stuff",
        ),
        (
            annotation_with("image_id", json!(true)),
            "annotation 101 has no image_id",
        ),
        (
            annotation_with("category_id", json!(1.5)),
            "annotation 101 has no category_id",
        ),
        (
            annotation_with("segmentation", json!("[[1,2,3,4,5,6]]")),
            "annotation 101",
        ),
        (
            annotation_with("segmentation", json!({"counts": [1]})),
            "`size`",
        ),
        (
            image_with("width", json!(-64)),
            "image 2 has a width or height of -64",
        ),
        (
            image_with("width", json!(1e9)),
            "image 2 (000000000002.png) has a size",
        ),
        (
            image_with("file_name", json!(7)),
            "image 2 has a file_name that is no text",
        ),
        (
            image_with("file_name", json!("/data/2.png")),
            "path /data/2.png leads out",
        ),
        (
            image_with("file_name", json!("C:\\data\\..\\2.png")),
            "leads out",
        ),
        (renamed(&"a".repeat(300)), "has 300 characters"),
        (renamed("000000000001"), "the same file name as image"),
        (
            text.replacen("\"id\":1,", "\"id\":1,\"id\":2,", 1),
            "duplicate field `id`",
        ),
        (text.replace("[10.5", "[NaN"), "annotation 100 of image 1"),
    ] {
        toy.write(&text)?;
        toy.fail(&FEW, &["instances_train2017.json", expected])?;
    }
    Ok(())
}
