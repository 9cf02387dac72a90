//! Runs the executable: the reference's masks, toy data, and what it refuses.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::atomic::read_json;
use artifacts::index::Index;
use artifacts::mask::Mask;
use serde_json::{Value, json};
use stage_testing::command::{fail, one_error_line, succeed};
use stage_testing::data::{golden, real};
use stage_testing::folder::files;

fn coco_proxy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coco-proxy"));
    command.args(arguments);
    command
}

/// A COCO folder in the official layout, with images of the sizes in its records.
struct Toy {
    scratch: tempfile::TempDir,
}

impl Toy {
    fn new(dataset: &Value) -> Result<Self> {
        let toy = Self {
            scratch: tempfile::tempdir()?,
        };
        fs::create_dir(toy.path("annotations"))?;
        fs::create_dir(toy.path("train2017"))?;
        toy.write(&dataset.to_string())?;
        for image in dataset["images"].as_array().into_iter().flatten() {
            let number = |key: &str| image[key].as_u64().unwrap_or(0) as u32;
            let name = image["file_name"].as_str().unwrap_or_default();
            let picture = image::RgbImage::new(number("width"), number("height"));
            if !name.contains("..") {
                picture.save(toy.path("train2017").join(name))?;
            }
        }
        Ok(toy)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn annotations(&self) -> PathBuf {
        self.path("annotations/instances_train2017.json")
    }

    fn write(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.annotations(), text)?)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = coco_proxy(&[]);
        command.arg("--annotations").arg(self.annotations());
        command.arg("--output").arg(self.path("out")).args(more);
        command
    }

    fn succeed(&self, more: &[&str]) -> Result<String> {
        Ok(succeed(&mut self.command(more))?.stdout)
    }

    /// Expects an error, and nothing in the output folder but the mark of unfinished work.
    fn fail(&self, more: &[&str], expected: &[&str]) -> Result<()> {
        fail(&mut self.command(more), expected)?;
        if self.path("out").exists() {
            for name in files(&self.path("out"))?.into_keys() {
                assert_eq!(name, "in-progress/work.json");
            }
            assert!(!self.path("out/manifest.json").exists());
        }
        Ok(())
    }

    /// Makes a complete output one that was interrupted just before it was complete.
    fn interrupt(&self) -> Result<()> {
        fs::rename(self.path("out"), self.path("interrupted"))?;
        fs::create_dir(self.path("out"))?;
        fs::rename(self.path("interrupted"), self.path("out/in-progress"))?;
        let [complete, begun] =
            ["manifest.json", "work.json"].map(|name| self.path("out/in-progress").join(name));
        Ok(fs::rename(complete, begun)?)
    }
}

fn image(id: u64, width: u32, height: u32) -> Value {
    json!({"id": id, "file_name": format!("{id:012}.png"), "width": width, "height": height, "license": 4})
}

fn annotation(id: u64, image_id: u64, category_id: u64, segmentation: &Value) -> Value {
    json!({"id": id, "image_id": image_id, "category_id": category_id, "iscrowd": 0, "segmentation": segmentation})
}

/// Image 1 has a cat and a dog, 2 a person, 3 is small, 4 is empty, 5 has a train.
fn dataset() -> Value {
    let square = json!([[1, 1, 3, 1, 3, 3, 1, 3]]);
    json!({
        "images": [image(5, 8, 6), image(4, 8, 6), image(3, 8, 5), image(2, 8, 6), image(1, 8, 6)],
        "annotations": [
            annotation(11, 1, 20, &square),
            annotation(12, 1, 21, &json!({"size": [6, 8], "counts": [0, 1, 47]})),
            annotation(13, 2, 1, &square),
            annotation(14, 3, 20, &square),
            annotation(15, 5, 7, &square),
        ],
        "categories": [
            {"id": 1, "name": "person"}, {"id": 7, "name": "train"},
            {"id": 20, "name": "dog"}, {"id": 21, "name": "cat"},
        ],
    })
}

const SMALL: [&str; 2] = ["--min-side", "6"];

#[test]
fn toy_images_become_an_index_with_masks() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let stdout = toy.succeed(&[&SMALL[..], &["--preview", "9"]].concat())?;
    assert!(stdout.contains("1 proxies"), "{stdout}");
    assert!(stdout.contains("2 with excluded categories, 1 too small, 1 without instances"));
    let index = Index::read(&toy.path("out"))?;
    assert_eq!(
        (index.dataset.as_str(), index.split.as_str()),
        ("coco", "train2017")
    );
    let sample = &index.samples[0];
    assert_eq!(sample.sample_id, "000000000001");
    assert!(index.image_path(sample)?.exists());
    let proxy = sample.proxy.as_ref().context("a proxy")?;
    assert_eq!(proxy.categories, ["cat", "dog"]);
    assert_eq!((proxy.license, proxy.ood_fraction), (Some(4), 5.0 / 48.0));
    let mask = index.read_mask(&toy.path("out"), sample)?;
    assert_eq!(mask.labels[..8], [254, 255, 255, 255, 255, 255, 255, 255]);
    assert_eq!(mask.labels[8..16], [255, 254, 254, 255, 255, 255, 255, 255]);
    assert!(toy.path("out/preview.png").exists() && toy.path("out/manifest.json").exists());
    Ok(())
}

#[test]
fn flags_choose_images_and_background() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let ids = |more: &[&str]| -> Result<Vec<u64>> {
        toy.succeed(&[&SMALL[..], more].concat())?;
        let samples = Index::read(&toy.path("out"))?.samples;
        samples.iter().map(|s| Ok(s.sample_id.parse()?)).collect()
    };
    assert_eq!(ids(&["--compat"])?, [1, 4, 5]);
    let empty = Mask::read_raw(&toy.path("out/masks/000000000004.png"))?;
    assert_eq!(empty, Mask::filled(8, 6, 0));
    assert_eq!(ids(&["--compat", "--limit", "2"])?, [1, 4]);
    // the result of another shard is not replaced without being asked to
    let other_shard = [&SMALL[..], &["--compat", "--shard", "1/2"]].concat();
    fail(
        &mut toy.command(&other_shard),
        &["--shard 0/1, asked for 1/2", "replace it with --force"],
    )?;
    assert_eq!(Index::read(&toy.path("out"))?.samples.len(), 2);
    let forced = ["--compat", "--shard", "1/2", "--force"];
    assert_eq!(ids(&forced)?, [4]);
    let forced = ["--compat", "--shard", "0/2", "--limit", "1", "--force"];
    assert_eq!(ids(&forced)?, [1]);
    toy.succeed(&[&SMALL[..], &["--compat", "--force"]].concat())?;
    let replaced = succeed(&mut toy.command(&[&SMALL[..], &["--exclude", "cat"]].concat()))?;
    assert!(
        replaced.stderr.contains("replacing the result in")
            && replaced.stderr.contains("other images"),
        "{}",
        replaced.stderr
    );
    assert_eq!(ids(&["--exclude", "cat,train"])?, [2]);
    assert_eq!(ids(&["--exclude", "", "--background", "0"])?, [1, 2, 5]);
    assert_eq!(
        Mask::read_raw(&toy.path("out/masks/000000000001.png"))?.labels[1],
        0
    );
    Ok(())
}

#[test]
fn only_images_that_are_there_are_used_if_a_folder_is_named() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let folder = toy.path("train2017");
    let folder = folder.to_str().context("plain path")?;
    let flags = ["--min-side", "6", "--exclude", "person", "--images", folder];
    fs::remove_file(toy.path("train2017/000000000005.png"))?;
    assert!(toy.succeed(&flags)?.contains("1 without image file"));
    assert_eq!(Index::read(&toy.path("out"))?.samples.len(), 1);
    Ok(())
}

#[test]
fn a_complete_directory_is_kept_and_an_interrupted_one_continued() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    toy.succeed(&SMALL)?;
    let mask = toy.path("out/masks/000000000001.png");
    let first = fs::read(&mask)?;
    let made = fs::metadata(&mask)?.modified()?;
    assert_eq!(toy.succeed(&SMALL)?, "");
    toy.interrupt()?;
    toy.succeed(&SMALL)?;
    assert_eq!(
        fs::metadata(&mask)?.modified()?,
        made,
        "an existing mask is kept"
    );
    toy.succeed(&[&SMALL[..], &["--force", "--threads", "1"]].concat())?;
    assert_eq!(fs::read(&mask)?, first);
    assert!(fs::metadata(&mask)?.modified()? > made);
    for half in [&first[..first.len() / 2], b""] {
        toy.interrupt()?;
        fs::write(toy.path("out/in-progress/masks/000000000001.png"), half)?;
        toy.succeed(&SMALL)?;
        assert_eq!(fs::read(&mask)?, first, "what was cut off is made again");
    }
    Ok(())
}

#[test]
fn an_output_is_no_input_and_no_folder_of_others() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let images = toy.path("train2017");
    let images = images.to_str().context("plain path")?;
    for output in ["train2017", "train2017/new", "."] {
        let mut command = coco_proxy(&["--images", images, "--force", "--min-side", "6"]);
        command.arg("--annotations").arg(toy.annotations());
        command.arg("--output").arg(toy.path(output));
        fail(&mut command, &["choose another --output"])?;
    }
    assert!(toy.path("train2017/000000000001.png").exists());
    fs::create_dir(toy.path("out"))?;
    fs::write(toy.path("out/manifest.json"), "{\"name\": \"mine\"}")?;
    fs::write(toy.path("out/notes.txt"), "mine")?;
    let forced = [&SMALL[..], &["--force"]].concat();
    fail(&mut toy.command(&forced), &["choose another --output"])?;
    assert_eq!(fs::read_to_string(toy.path("out/notes.txt"))?, "mine");
    Ok(())
}

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
fn masks_do_not_need_images() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    toy.succeed(&SMALL)?;
    let mask = fs::read(toy.path("out/masks/000000000001.png"))?;
    fs::rename(toy.path("train2017"), toy.path("elsewhere"))?;
    toy.succeed(&[&SMALL[..], &["--preview", "4"]].concat())?;
    assert_eq!(fs::read(toy.path("out/masks/000000000001.png"))?, mask);
    // images that come later are used as they are
    let index = Index::read(&toy.path("out"))?;
    assert!(index.image_path(&index.samples[0]).is_err());
    fs::rename(toy.path("elsewhere"), toy.path("train2017"))?;
    index.image_path(&index.samples[0])?;
    Ok(())
}

/// Lines that `coco-proxy check` prints, whether it found nothing wrong, and what it wrote to stderr.
fn check(toy: &Toy) -> Result<(bool, Vec<String>, String)> {
    let mut command = coco_proxy(&["check", "--annotations"]);
    let output = command.arg(toy.annotations()).output()?;
    let stdout = String::from_utf8(output.stdout)?;
    let lines = stdout.lines().map(str::to_owned).collect();
    let stderr = String::from_utf8(output.stderr)?;
    Ok((output.status.success(), lines, stderr))
}

#[test]
fn the_former_spelling_of_check_still_works() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let mut command = coco_proxy(&["--check", "--annotations"]);
    let printed = succeed(command.arg(toy.annotations()))?;
    let (_, lines, _) = check(&toy)?;
    assert_eq!(printed.stdout.lines().collect::<Vec<_>>(), lines);
    let notes = printed.stderr.matches("`coco-proxy check`").count();
    assert_eq!(notes, 1, "{}", printed.stderr);
    let images = toy.path("train2017");
    let mut command = coco_proxy(&["check", "--quiet", "--annotations"]);
    succeed(command.arg(toy.annotations()).arg("--images").arg(images))?;
    Ok(())
}

#[test]
fn missing_and_contradicting_arguments_are_told_with_the_usage() -> Result<()> {
    for (arguments, expected) in [
        (&[][..], "--annotations <FILE>"),
        (&["--annotations", "a.json"], "--output <DIR>"),
        (&["check"], "--annotations <FILE>"),
        (&["--check"], "--annotations <FILE>"),
        (
            &["check", "--annotations", "a.json", "--output", "b"],
            "'--output'",
        ),
        (
            &["--check", "--annotations", "a.json", "--output", "b"],
            "cannot be used with",
        ),
        (
            &[
                "--annotations",
                "a.json",
                "check",
                "--annotations",
                "a.json",
            ],
            "cannot be used with",
        ),
    ] {
        let output = coco_proxy(arguments).output()?;
        let stderr = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
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

/// Black images in place of those in the reference's directory listing.
fn golden_toy() -> Result<Toy> {
    let mut dataset: Value = read_json(&golden("coco").join("instances_train2017.json"))?;
    let listing = fs::read_to_string(golden("coco").join("images_present.txt"))?;
    let text = dataset.to_string();
    let images = dataset["images"].as_array_mut().context("images")?;
    images.retain(|i| {
        i["file_name"]
            .as_str()
            .is_some_and(|n| listing.lines().any(|l| l == n))
    });
    let toy = Toy::new(&dataset)?;
    toy.write(&text)?;
    Ok(toy)
}

#[test]
fn golden_masks_are_identical() -> Result<()> {
    let toy = golden_toy()?;
    let folder = toy.path("train2017");
    let folder = folder.to_str().context("plain path")?;
    toy.succeed(&["--compat", "--images", folder])?;
    let expected: Value = read_json(&golden("coco").join("expected/expected.json"))?;
    let expected: Vec<String> = serde_json::from_value(expected["written"].clone())?;
    let mut written = fs::read_dir(toy.path("out/masks"))?
        .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    written.sort();
    assert_eq!(written, expected);
    for name in &written {
        let reference = Mask::read_raw(&golden("coco").join("expected").join(name))?;
        assert_eq!(
            Mask::read_raw(&toy.path("out/masks").join(name))?,
            reference,
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn real_images_qualify_as_in_the_paper() -> Result<()> {
    let Some(coco) = real("coco") else {
        return Ok(());
    };
    let scratch = tempfile::tempdir()?;
    let count = |split: &str, more: &[&str]| -> Result<usize> {
        let annotations = coco.join(format!("annotations/instances_{split}.json"));
        let mut command = coco_proxy(&["--annotations"]);
        command
            .arg(annotations)
            .arg("--images")
            .arg(coco.join(split));
        succeed(command.arg("--output").arg(scratch.path()).args(more))?;
        Ok(Index::read(scratch.path())?.samples.len())
    };
    assert_eq!(count("train2017", &["--compat"])?, 47);
    assert_eq!(count("val2017", &["--compat"])?, 13);
    let paper = "person,bicycle,car,motorcycle,bus,truck,traffic light,stop sign";
    assert_eq!(count("train2017", &["--exclude", paper])?, 45);
    Ok(())
}

/// A data set of `n_images` images of 64x48 pixels, each with one annotation of the category dog.
fn dogs(n_images: u64) -> Value {
    let polygon = json!([[10.5, 8.25, 40.2, 9.0, 44.0, 30.5, 12.0, 33.0]]);
    let annotations = (1..=n_images).map(|id| annotation(99 + id, id, 18, &polygon));
    json!({
        "images": (1..=n_images).map(|id| image(id, 64, 48)).collect::<Vec<_>>(),
        "annotations": annotations.collect::<Vec<_>>(),
        "categories": [{"id": 16, "name": "bird"}, {"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    })
}

const FEW: [&str; 2] = ["--min-side", "32"];

/// Number of proxies, after a check that every mask is the one of an untouched file.
fn n_proxies(toy: &Toy) -> Result<usize> {
    toy.succeed(&FEW)?;
    let index = Index::read(&toy.path("out"))?;
    for sample in &index.samples {
        assert!(index.image_path(sample)?.exists());
        let mask = index.read_mask(&toy.path("out"), sample)?;
        let object: Vec<&u8> = mask.labels.iter().filter(|v| **v == 254).collect();
        assert_eq!(object.len(), 716, "{}", sample.sample_id);
    }
    Ok(index.samples.len())
}

#[test]
fn what_masks_do_not_need_may_be_anything() -> Result<()> {
    let toy = Toy::new(&dogs(2))?;
    let text = dogs(2).to_string();
    let member = |more: &str| text.replace("\"iscrowd\":0", &format!("\"iscrowd\":0,{more}"));
    for text in [
        text.clone(),
        text.replacen('{', r#"{"info":{"year":""},"licenses":[{"id":"x"}],"#, 1),
        member(r#""bbox":[NaN,-Infinity,Infinity,NaN],"area":NaN"#),
        member(r#""bbox":[],"area":null"#),
        member(r#""keypoints":[[1,2,2]],"score":"0.9","attributes":{"a":["]}"]}"#),
        text.replace("\"license\":4", "\"license\":\"CC\",\"date_captured\":0"),
        format!("\u{feff}{text}"),
        text.replace("\"width\":64", "\"width\":null"),
        text.replace("\"width\":64", "\"width\":64.0")
            .replace("\"height\":48", "\"height\":\"48\""),
        text.replace("\"id\":1,", "\"id\":1.0,"),
    ] {
        toy.write(&text)?;
        assert_eq!(n_proxies(&toy)?, 2, "{text}");
    }
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(
        toy.annotations(),
        [&[0xFF, 0xFE], units.as_slice()].concat(),
    )?;
    assert_eq!(n_proxies(&toy)?, 2);
    Ok(())
}

#[test]
fn ids_may_be_texts_and_large_numbers() -> Result<()> {
    for (spelling, expected) in [
        (json!("0000001_02999_d_0000000"), "0000001_02999_d_0000000"),
        (json!("a b/ü"), "a_b__"),
        (json!("7"), "000000000007"),
    ] {
        let mut dataset = dogs(1);
        dataset["images"][0]["id"] = spelling.clone();
        dataset["annotations"][0]["image_id"] = spelling;
        let toy = Toy::new(&dataset)?;
        assert_eq!(n_proxies(&toy)?, 1);
        assert_eq!(
            Index::read(&toy.path("out"))?.samples[0].sample_id,
            expected
        );
    }
    let large = "340282366920938463463374607431768211455";
    let toy = Toy::new(&dogs(1))?;
    let text = dogs(1)
        .to_string()
        .replace("\"id\":1,", &format!("\"id\":{large},"));
    toy.write(&text.replace("\"image_id\":1,", &format!("\"image_id\":{large},")))?;
    assert_eq!(n_proxies(&toy)?, 1);
    Ok(())
}

#[test]
fn file_names_of_other_systems_and_of_lvis_are_found() -> Result<()> {
    let toy = Toy::new(&dogs(2))?;
    let mut dataset = dogs(2);
    fs::create_dir_all(toy.path("train2017/images/0"))?;
    for id in [1, 2] {
        let name = format!("{id:012}.png");
        fs::copy(
            toy.path("train2017").join(&name),
            toy.path("train2017/images/0").join(&name),
        )?;
        dataset["images"][id - 1]["file_name"] = json!(format!("images\\0\\{name}"));
    }
    toy.write(&dataset.to_string())?;
    assert_eq!(n_proxies(&toy)?, 2);
    for id in [1, 2] {
        let url = format!("http://images.cocodataset.org/train2017/{id:012}.png");
        dataset["images"][id - 1]["coco_url"] = json!(url);
        dataset["images"][id - 1]["file_name"] = Value::Null;
    }
    toy.write(&dataset.to_string())?;
    assert_eq!(n_proxies(&toy)?, 2);
    // LVIS keeps COCO's folders of images
    let lvis = toy.path("annotations/lvis_v1_train.json");
    fs::rename(toy.annotations(), &lvis)?;
    let mut command = coco_proxy(&["--annotations"]);
    succeed(
        command
            .arg(&lvis)
            .args(FEW)
            .arg("--output")
            .arg(toy.path("lvis")),
    )?;
    let index = Index::read(&toy.path("lvis"))?;
    assert!(
        index
            .image_path(&index.samples[1])?
            .ends_with("train2017/000000000002.png")
    );
    Ok(())
}

#[test]
fn other_kinds_of_files_are_named() -> Result<()> {
    let toy = Toy::new(&dogs(1))?;
    let with = |annotation: Value| {
        let mut dataset = dogs(1);
        dataset["annotations"] = json!([annotation]);
        dataset.to_string()
    };
    for (text, expected) in [
        (
            with(json!({"image_id": 1, "file_name": "1.png", "segments_info": []})),
            "panoptic",
        ),
        (
            with(json!({"id": 1, "image_id": 1, "caption": "a dog"})),
            "captions",
        ),
        (
            with(json!({"id": 1, "image_id": 1, "category_id": 18, "keypoints": [1, 2, 2]})),
            "keypoints",
        ),
        (
            with(
                json!({"id": 1, "image_id": 1, "category_id": 18, "bbox": [1, 2, 3, 4], "segmentation": []}),
            ),
            "boxes",
        ),
        (
            json!({"shapes": [], "imagePath": "1.png"}).to_string(),
            "LabelMe",
        ),
        (String::new(), "it is empty"),
        (
            "version https://git-lfs.github.com/spec/v1".to_owned(),
            "git lfs pull",
        ),
        (
            json!({"images": {}, "annotations": []}).to_string(),
            "not a list",
        ),
    ] {
        toy.write(&text)?;
        toy.fail(&FEW, &["instances_train2017.json", expected])?;
    }
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

#[test]
fn known_classes_under_another_spelling_are_excluded() -> Result<()> {
    let proxies = |names: [&str; 3], more: &[&str]| -> Result<Vec<String>> {
        let mut dataset = dogs(3);
        for (i, name) in names.iter().enumerate() {
            dataset["categories"][i] = json!({"id": i, "name": name});
            dataset["annotations"][i]["category_id"] = json!(i);
        }
        let toy = Toy::new(&dataset)?;
        toy.succeed(&[&FEW[..], more].concat())?;
        let samples = Index::read(&toy.path("out"))?.samples.into_iter();
        Ok(samples
            .filter_map(|s| s.proxy)
            .flat_map(|p| p.categories)
            .collect())
    };
    assert_eq!(proxies(["Person", "Car", "dog"], &[])?, ["dog"]);
    assert_eq!(
        proxies(["dog", "car_(automobile)", "traffic_light"], &[])?,
        ["dog"]
    );
    assert_eq!(
        proxies(["motorbike", "TrafficLight", "sofa"], &[])?,
        ["sofa"]
    );
    assert_eq!(
        proxies(["sofa", "Dog", "cat"], &["--exclude", "couch,dogs"])?,
        ["cat"]
    );
    // similar to a class that the file does not have
    assert!(proxies(["sports car", "dog", "cat"], &[]).is_err());
    let allow = ["--allow-missing-categories"];
    assert_eq!(proxies(["sports car", "dog", "cat"], &allow)?.len(), 3);
    let toy = Toy::new(&dogs(1))?;
    let text = dogs(1).to_string().replace("\"car\"", "\"sports car\"");
    toy.write(&text)?;
    toy.fail(
        &FEW,
        &[
            "\"car\" (similar: sports car)",
            "--allow-missing-categories",
        ],
    )
}

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
fn shapes_that_cover_no_pixel_are_no_proxies() -> Result<()> {
    let normalized = json!([[0.5, 0.5, 0.6, 0.5, 0.6, 0.6]]);
    let mut dataset = dogs(3);
    dataset["annotations"][1]["segmentation"] = normalized.clone();
    let toy = Toy::new(&dataset)?;
    let stdout = toy.succeed(&FEW)?;
    assert!(stdout.contains("2 proxies") && stdout.contains("1 whose shapes cover no pixel"));
    assert!(!toy.path("out/masks/000000000002.png").exists());
    let (success, lines, _) = check(&toy)?;
    assert!(
        !success && lines[0].contains("annotation 101 of image 2 covers no pixel"),
        "{lines:?}"
    );
    for i in 0..3 {
        dataset["annotations"][i]["segmentation"] = normalized.clone();
    }
    toy.write(&dataset.to_string())?;
    fail(
        &mut toy.command(&FEW),
        &["there are no proxies", "cover no pixel", "in pixels"],
    )?;
    Ok(())
}

/// Ends with the exit status of a result without some of its inputs; returns the error line.
fn fail_partly(toy: &Toy, more: &[&str]) -> Result<String> {
    let output = toy.command(&[&FEW[..], more].concat()).output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    Ok(one_error_line(&stderr)?.to_owned())
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

#[test]
fn an_old_result_stays_whole_until_a_new_one_is_complete() -> Result<()> {
    let toy = Toy::new(&dogs(3))?;
    toy.succeed(&FEW)?;
    let old = files(&toy.path("out"))?;
    let mut bad = dogs(3);
    bad["annotations"][2]["segmentation"] = json!([]);
    toy.write(&bad.to_string())?;
    for more in [&[][..], &["--force"], &["--background", "0"]] {
        let arguments = [&FEW[..], more].concat();
        fail(&mut toy.command(&arguments), &["annotation 102"])?;
        let mut left = files(&toy.path("out"))?;
        left.retain(|name, _| !name.starts_with("in-progress/") && name != ".lock");
        assert!(left == old, "{more:?}");
        assert!(toy.path("out/manifest.json").exists());
    }
    // a flag that changed replaces the result, and says so in one line
    toy.write(&dogs(3).to_string())?;
    for (more, expected) in [
        (["--background", "0"], "asked for 0"),
        (["--exclude", "bird"], "--exclude"),
    ] {
        let printed = succeed(&mut toy.command(&[&FEW[..], &more].concat()))?;
        let lines = printed.stderr.lines();
        let lines: Vec<&str> = lines
            .filter(|l| l.contains("replacing the result"))
            .collect();
        assert!(lines.len() == 1 && lines[0].contains(expected), "{lines:?}");
    }
    Ok(())
}

#[test]
fn folders_that_are_read_by_default_are_no_outputs() -> Result<()> {
    let toy = Toy::new(&dogs(1))?;
    for output in ["train2017", "train2017/new", "annotations", "."] {
        let mut command = coco_proxy(&["--force", "--annotations"]);
        command.arg(toy.annotations()).args(FEW).arg("--output");
        fail(command.arg(toy.path(output)), &["choose another --output"])?;
    }
    assert!(toy.path("train2017/000000000001.png").exists() && toy.annotations().exists());
    Ok(())
}

#[test]
fn spellings_of_shapes_and_sizes_are_read() -> Result<()> {
    // pycocotools: encode of the mask that the polygon of `dogs` gives
    let text = DOG_RUNS;
    let toy = Toy::new(&dogs(1))?;
    let plain: Vec<f64> = runs_of(&toy)?;
    for (member, value) in [
        ("segmentation", json!({"size": [48, 64], "counts": text})),
        (
            "segmentation",
            json!({"counts": text, "size": [48.0, 64.0], "x": [1]}),
        ),
        ("segmentation", json!({"size": [48, 64], "counts": plain})),
        ("id", json!("a")),
        ("id", Value::Null),
        ("iscrowd", json!("no")),
        ("bbox", json!({"x": 1})),
    ] {
        let mut dataset = dogs(1);
        dataset["annotations"][0][member] = value;
        toy.write(&dataset.to_string())?;
        assert_eq!(n_proxies(&toy)?, 1, "{dataset}");
    }
    for (member, value) in [
        ("width", json!(0)),
        ("height", json!("48")),
        ("file_name", json!("./000000000001.png")),
        ("license", json!([])),
        ("coco_url", json!(7)),
    ] {
        let mut dataset = dogs(1);
        if member == "width" {
            dataset["images"][0]["height"] = value.clone();
        }
        dataset["images"][0][member] = value;
        toy.write(&dataset.to_string())?;
        assert_eq!(n_proxies(&toy)?, 1, "{dataset}");
    }
    let units: Vec<u8> = dogs(1)
        .to_string()
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    fs::write(
        toy.annotations(),
        [&[0xFE, 0xFF], units.as_slice()].concat(),
    )?;
    assert_eq!(n_proxies(&toy)?, 1);
    Ok(())
}

/// The compressed run lengths of the shape in [`dogs`].
const DOG_RUNS: &str = "h`0`0P19G000000000000O10001O0000000000000000000O100000000000002N5K6J6JTm0";

/// Run lengths of the mask that the shape in [`dogs`] gives.
fn runs_of(toy: &Toy) -> Result<Vec<f64>> {
    n_proxies(toy)?;
    let mask = Mask::read_raw(&toy.path("out/masks/000000000001.png"))?;
    let mut runs = vec![0.0];
    let mut last = false;
    for x in 0..mask.width {
        for y in 0..mask.height {
            let is_object = mask.labels[y * mask.width + x] == 254;
            if is_object != last {
                runs.push(0.0);
                last = is_object;
            }
            *runs.last_mut().context("a run")? += 1.0;
        }
    }
    Ok(runs)
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

#[test]
fn files_that_are_something_else_are_named() -> Result<()> {
    let toy = Toy::new(&dogs(2))?;
    let text = dogs(2).to_string();
    // latin-1, as some tools on Windows write it
    let latin_1 = text.replace("bird", "v\u{F6}gel");
    let bytes: Vec<u8> = latin_1.chars().map(|c| c as u8).collect();
    fs::write(toy.annotations(), bytes)?;
    toy.fail(&FEW, &["not UTF-8 at byte", "save it as UTF-8"])?;
    for (text, expected) in [
        (format!("{text}{text}"), "not JSON at byte"),
        (
            json!({"images": [], "annotations": []}).to_string(),
            "lists no images",
        ),
        (
            json!({"images": [{"id": 1}], "categories": []}).to_string(),
            "no annotations",
        ),
        ("<annotations><image/></annotations>".to_owned(), "XML"),
        (
            json!({"info": {}, "categories": {}, "items": []}).to_string(),
            "Datumaro",
        ),
        (
            json!({"imgWidth": 1, "imgHeight": 1, "objects": []}).to_string(),
            "Cityscapes",
        ),
    ] {
        toy.write(&text)?;
        toy.fail(&FEW, &["instances_train2017.json", expected])?;
    }
    Ok(())
}

#[test]
fn shapes_of_another_place_beside_good_ones_are_reported() -> Result<()> {
    let mut dataset = dogs(1);
    let outside = json!([[100, 10, 120, 10, 120, 30]]);
    let annotations = dataset["annotations"].as_array_mut().context("a list")?;
    annotations.push(annotation(7, 1, 18, &outside));
    let toy = Toy::new(&dataset)?;
    let printed = succeed(&mut toy.command(&FEW))?;
    assert!(
        printed.stdout.starts_with("1 proxies"),
        "{}",
        printed.stdout
    );
    let expected = "1 shapes cover no pixel, for example of annotation 7: ";
    assert!(printed.stderr.contains(expected), "{}", printed.stderr);
    let (success, lines, _) = check(&toy)?;
    assert!(!success && lines[0].contains("annotation 7 of image 1 covers no pixel"));
    Ok(())
}
