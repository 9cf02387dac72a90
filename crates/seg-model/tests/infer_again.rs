//! `infer` called again: what is kept of an earlier result or of interrupted work, what is left out, and what is refused.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use artifacts::index::Index;
use artifacts::logits::Logits;
use artifacts::manifest::Manifest;
use common::{SAMPLES, Toy, damage_content, enet, infer_folder, interrupt, picture, top_files};
use stage_testing::command::{fail, fail_quietly, one_error_line, succeed};
use stage_testing::folder::files;

/// Exit status of a call that left out images.
const SOME_FAILED: i32 = 3;

/// Runs a command that leaves out images; returns what it logs.
fn some_failed(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let text = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(SOME_FAILED), "{text}");
    one_error_line(&text)?;
    Ok(text)
}

/// When the logits in an output were written.
fn times(output: &Path) -> Result<BTreeMap<String, SystemTime>> {
    let names = top_files(output)?.into_keys();
    let time = |name: &String| fs::metadata(output.join(name))?.modified();
    names.map(|name| Ok((name.clone(), time(&name)?))).collect()
}

fn ids(output: &Path) -> Result<Vec<String>> {
    let samples = Index::read(output)?.samples.into_iter();
    Ok(samples.map(|sample| sample.sample_id).collect())
}

#[test]
fn the_index_of_the_images_is_beside_their_logits() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("out", &["--shard", "1/2"]))?;
    let index = Index::read(&toy.path("out"))?;
    let of_labels = Index::read(&toy.path("labels"))?;
    assert_eq!(ids(&toy.path("out"))?, ["b", "d"]);
    assert_eq!(index.samples[0], of_labels.samples[1]);
    assert_eq!(
        (index.dataset.as_str(), index.split.as_str()),
        ("toy", "val")
    );
    assert!(index.image_path(&index.samples[0])?.is_absolute());
    succeed(&mut infer_folder(&toy, "images", "folder", &[]))?;
    assert_eq!(ids(&toy.path("folder"))?, ["a", "b", "c", "d"]);
    Ok(())
}

#[test]
fn an_interrupted_call_does_what_is_missing() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("whole", &[]))?;
    let whole = fs::read(toy.image("c"))?;
    damage_content(&toy.image("c"))?;
    toy.check_fails(&[], &["c.png is damaged", "--keep-going"])?;
    let work = toy.path("out/in-progress");
    let made: Vec<_> = top_files(&work)?.into_keys().collect();
    assert_eq!(made, ["a.safetensors", "b.safetensors", "work.json"]);
    fs::write(toy.image("c"), whole)?;
    let before = fs::metadata(work.join("b.safetensors"))?.modified()?;
    let hidden = toy.path("hidden.png");
    fs::rename(toy.image("a"), &hidden)?; // is not read again
    let text = succeed(&mut toy.infer("out", &[]))?.stderr;
    assert!(
        text.contains("2 of 4 images are finished already"),
        "{text}"
    );
    fs::rename(&hidden, toy.image("a"))?;
    assert_eq!(fs::metadata(toy.logits("out", "b"))?.modified()?, before);
    assert_eq!(Manifest::read(&toy.path("out"))?.counts["samples"], 4);
    assert!(files(&toy.path("whole"))? == files(&toy.path("out"))?);
    Ok(())
}

#[test]
fn a_folder_that_grew_by_one_image_costs_one_image() -> Result<()> {
    let toy = Toy::new()?;
    let flags = ["--save-overlay"];
    let infer = |output: &str| infer_folder(&toy, "images", output, &flags);
    succeed(&mut infer("out"))?;
    let before = times(&toy.path("out"))?;
    picture(40, 24).save(toy.image("0"))?;
    let text = succeed(&mut infer("out"))?.stderr;
    assert!(
        text.contains("4 of 5 images are taken from the earlier result"),
        "{text}"
    );
    assert!(text.contains("infer: 1 done"), "{text}");
    let mut after = times(&toy.path("out"))?;
    assert!(after.remove("0.safetensors").is_some());
    assert_eq!(after, before);
    assert_eq!(ids(&toy.path("out"))?, ["0", "a", "b", "c", "d"]);

    // removed, and replaced by another one
    fs::remove_file(toy.image("a"))?;
    picture(36, 36).save(toy.image("b"))?;
    let text = succeed(&mut infer("out"))?.stderr;
    assert!(
        text.contains("3 of 4 images are taken from the earlier result"),
        "{text}"
    );
    assert!(times(&toy.path("out"))?["b.safetensors"] > before["b.safetensors"]);
    assert_eq!(ids(&toy.path("out"))?, ["0", "b", "c", "d"]);
    succeed(&mut infer("fresh"))?;
    assert!(files(&toy.path("fresh"))? == files(&toy.path("out"))?);

    // everything again, if that is wanted
    let text = succeed(infer("out").arg("--force"))?.stderr;
    assert!(text.contains("infer: 4 done"), "{text}");
    Ok(())
}

#[test]
fn a_data_set_that_grew_by_one_image_costs_one_image() -> Result<()> {
    let toy = Toy::new()?;
    let index = Index::read(&toy.path("labels"))?;
    let mut fewer = index.clone();
    fewer.samples.remove(2);
    fewer.write(&toy.path("labels"))?;
    succeed(&mut toy.infer("out", &[]))?;
    let before = times(&toy.path("out"))?;
    index.write(&toy.path("labels"))?;
    let text = succeed(&mut toy.infer("out", &[]))?.stderr;
    assert!(
        text.contains("3 of 4 images are taken from the earlier result"),
        "{text}"
    );
    let mut after = times(&toy.path("out"))?;
    assert!(after.remove("c.safetensors").is_some());
    assert_eq!(after, before);
    // a sample that is to have another size is another one, and so is everything with other weights
    let mut index = index;
    (index.samples[0].width, index.samples[0].height) = (16, 16);
    index.write(&toy.path("labels"))?;
    let text = succeed(&mut toy.infer("out", &[]))?.stderr;
    assert!(text.contains("3 of 4 images are taken"), "{text}");
    enet(20)?.write(&toy.path("enet.safetensors"))?;
    let text = succeed(&mut toy.infer("out", &[]))?.stderr;
    assert!(
        text.contains("replacing the result in") && text.contains("--weights"),
        "{text}"
    );
    assert!(text.contains("infer: 4 done"), "{text}");
    Ok(())
}

#[test]
fn a_file_that_is_gone_or_cut_off_is_made_again_alone() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("out", &["--save-overlay"]))?;
    let whole = files(&toy.path("out"))?;
    let before = times(&toy.path("out"))?;
    fs::remove_file(toy.path("out/overlays/b.entropy.png"))?;
    fs::write(toy.logits("out", "c"), "cut off")?;
    let text = succeed(&mut toy.infer("out", &["--save-overlay"]))?.stderr;
    assert!(text.contains("making it again"), "{text}");
    assert!(
        text.contains("2 of 4 images are taken from the earlier result"),
        "{text}"
    );
    assert!(whole == files(&toy.path("out"))?);
    let after = times(&toy.path("out"))?;
    assert_eq!(after["a.safetensors"], before["a.safetensors"]);
    Ok(())
}

/// Pictures of one color have files of equal sizes, and only the time of the file tells them apart without decoding.
#[test]
fn an_image_of_the_same_size_in_bytes_is_noticed() -> Result<()> {
    let toy = Toy::new()?;
    let plain = |color: u8| image::RgbImage::from_pixel(32, 32, image::Rgb([color; 3]));
    plain(10).save(toy.image("a"))?;
    let bytes = fs::metadata(toy.image("a"))?.len();
    let infer = |output: &str| infer_folder(&toy, "images", output, &[]);
    succeed(&mut infer("out"))?;
    plain(11).save(toy.image("a"))?;
    assert_eq!(fs::metadata(toy.image("a"))?.len(), bytes);
    let image = fs::File::options().write(true).open(toy.image("a"))?;
    image.set_modified(SystemTime::now() + Duration::from_secs(5))?;
    let text = succeed(&mut infer("out"))?.stderr;
    assert!(text.contains("3 of 4 images are taken"), "{text}");
    succeed(&mut infer("fresh"))?;
    assert!(files(&toy.path("fresh"))? == files(&toy.path("out"))?);
    Ok(())
}

#[test]
fn interrupted_work_goes_on_when_the_folder_grew() -> Result<()> {
    let toy = Toy::new()?;
    let infer = |output: &str| infer_folder(&toy, "images", output, &[]);
    succeed(&mut infer("out"))?;
    let before = times(&toy.path("out"))?;
    interrupt(&toy.path("out"))?;
    fs::remove_file(toy.path("out/in-progress/d.safetensors"))?;
    fs::remove_file(toy.image("a"))?;
    picture(36, 36).save(toy.image("b"))?;
    picture(40, 24).save(toy.image("e"))?;
    // died before the index was written, too
    let text = succeed(&mut infer("out"))?.stderr;
    assert!(
        text.contains("1 of 4 images are finished already"),
        "{text}"
    );
    assert_eq!(
        times(&toy.path("out"))?["c.safetensors"],
        before["c.safetensors"]
    );
    succeed(&mut infer("fresh"))?;
    assert!(files(&toy.path("fresh"))? == files(&toy.path("out"))?);
    // without an index nothing says what the files were made of
    interrupt(&toy.path("out"))?;
    fs::remove_file(toy.path("out/in-progress/index.json"))?;
    let text = succeed(&mut infer("out"))?.stderr;
    assert!(text.contains("infer: 4 done"), "{text}");
    Ok(())
}

#[test]
fn broken_images_are_left_out_when_asked_for() -> Result<()> {
    let toy = Toy::new()?;
    let infer = |output: &str, more: &[&str]| infer_folder(&toy, "images", output, more);
    let (b, c) = (fs::read(toy.image("b"))?, fs::read(toy.image("c"))?);
    fs::write(toy.image("b"), &b[..b.len() / 2])?;
    damage_content(&toy.image("c"))?;
    // cut off: found before anything is written
    fail_quietly(
        &mut infer("out", &["-q"]),
        &["b.png is damaged", "cut off", "--keep-going"],
    )?;
    assert!(!toy.path("out").exists());
    fs::write(toy.image("d"), "")?;
    fail_quietly(
        &mut infer("out", &["-q"]),
        &["2 of 4 images cannot be used", "b.png"],
    )?;
    picture(48, 40).save(toy.image("d"))?;

    let text = some_failed(&mut infer("out", &["--keep-going", "--threads", "1"]))?;
    assert!(
        text.contains("b failed") && text.contains("c failed"),
        "{text}"
    );
    let failed = fs::read_to_string(toy.path("out/failed.csv"))?;
    let lines: Vec<&str> = failed.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "input,error"));
    assert!(
        lines[1].starts_with("b,") && lines[2].starts_with("c,"),
        "{failed}"
    );
    assert_eq!(ids(&toy.path("out"))?, ["a", "d"]);
    let counts = Manifest::read(&toy.path("out"))?.counts;
    assert_eq!((counts["samples"], counts["failed"]), (2, 2));
    some_failed(&mut infer(
        "three",
        &["--keep-going", "--threads", "3", "--batch", "2"],
    ))?;
    let normal = |name: &str| -> Result<_> {
        let mut files = files(&toy.path(name))?;
        files.remove("failed.csv"); // names of folders
        Ok(files)
    };
    assert!(normal("out")? == normal("three")?);
    // they still fail, and it still shows
    let text = some_failed(&mut infer("out", &["--keep-going"]))?;
    let first = "failed.csv; the first, b: ";
    assert!(
        text.contains("complete but for 2 of its inputs") && text.contains(first),
        "{text}"
    );
    // a warning, which is not routine
    let quiet = some_failed(&mut infer("out", &["--keep-going", "--quiet"]))?;
    let lines: Vec<&str> = quiet.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("WARN b failed: "),
        "{quiet}"
    );
    fail(&mut infer("out", &[]), &["b.png"])?;

    // mended
    let before = times(&toy.path("out"))?;
    fs::write(toy.image("b"), b)?;
    fs::write(toy.image("c"), c)?;
    let text = succeed(&mut infer("out", &[]))?.stderr;
    assert!(
        text.contains("2 of 4 images are taken") && text.contains("infer: 2 done"),
        "{text}"
    );
    assert_eq!(
        times(&toy.path("out"))?["a.safetensors"],
        before["a.safetensors"]
    );
    assert!(!toy.path("out/failed.csv").exists());
    succeed(&mut infer("fresh", &[]))?;
    assert!(files(&toy.path("fresh"))? == files(&toy.path("out"))?);
    Ok(())
}

/// The largest absolute value of logits that are not upsampled.
fn largest_logit(logits: &Logits) -> f32 {
    let mut reader = logits.row_reader();
    let mut row = vec![0.0; logits.info.num_classes() * logits.width];
    let mut largest = 0_f32;
    for y in 0..logits.height {
        reader.read(y, &mut row);
        largest = row.iter().fold(largest, |max, v| max.max(v.abs()));
    }
    largest
}

/// Logits that half precision cannot hold are those of one image, not the end of the night.
#[test]
fn an_image_whose_logits_exceed_f16_is_left_out_alone() -> Result<()> {
    let toy = Toy::new()?;
    let f32 = ["--precision", "f32"];
    succeed(&mut toy.infer("f32", &f32))?;
    let mut largest = Vec::new();
    for (id, ..) in SAMPLES {
        largest.push((largest_logit(&Logits::read(&toy.logits("f32", id))?), id));
    }
    largest.sort_by(|a, b| b.0.total_cmp(&a.0));
    // the head is linear: a factor between those at which the first and the second image reach the largest f16
    let factor = 65504.0 / (largest[0].0 * largest[1].0).sqrt();
    let mut weights = enet(19)?;
    let head = &weights.tensors["transposed_conv.weight"];
    let head = (head * f64::from(factor))?;
    weights
        .tensors
        .insert("transposed_conv.weight".into(), head);
    weights.write(&toy.path("large.safetensors"))?;
    let infer = |output: &str, more: &[&str]| toy.infer_with("large.safetensors", output, more);
    let words = [
        largest[0].1,
        "exceed f16",
        "--precision f32",
        "--keep-going",
    ];
    fail_quietly(infer("out", &["-q"]).arg("--save-overlay"), &words)?;
    some_failed(&mut infer("out", &["--keep-going", "--save-overlay"]))?;
    assert_eq!(ids(&toy.path("out"))?.len(), 3);
    let failed = fs::read_to_string(toy.path("out/failed.csv"))?;
    assert!(failed.contains("exceed f16"), "{failed}");
    let id = largest[0].1;
    let names = files(&toy.path("out"))?.into_keys();
    let of_failed = [format!("{id}."), format!("overlays/{id}.")];
    let is_left = |name: &String| of_failed.iter().any(|start| name.starts_with(start));
    assert_eq!(names.filter(is_left).count(), 0);
    succeed(&mut infer("single", &f32))?;
    Ok(())
}

#[test]
fn images_of_a_data_set_are_left_out_too() -> Result<()> {
    let toy = Toy::new()?;
    fs::remove_file(toy.image("b"))?;
    picture(10, 10).save(toy.image("d"))?;
    toy.check_fails(&[], &["d.png has", "when it was indexed"])?;
    some_failed(&mut toy.infer("out", &["--keep-going"]))?;
    assert_eq!(ids(&toy.path("out"))?, ["a", "c"]);
    // a shard is the same images, whichever of them are broken
    let keep = ["--keep-going", "--shard"];
    let of_b = [&keep[..], &["1/4"]].concat();
    fail(&mut toy.infer("1", &of_b), &["none of the 1 images"])?;
    succeed(&mut toy.infer("2", &[&keep[..], &["2/4"]].concat()))?;
    assert_eq!(ids(&toy.path("2"))?, ["c"]);
    Ok(())
}

#[test]
fn without_a_usable_image_there_is_no_result() -> Result<()> {
    let toy = Toy::new()?;
    let infer = |more: &[&str]| infer_folder(&toy, "images", "out", more);
    succeed(&mut infer(&[]))?;
    let before = files(&toy.path("out"))?;
    for (id, ..) in SAMPLES {
        fs::write(toy.image(id), "no image")?;
    }
    fail(
        &mut infer(&["--keep-going"]),
        &["none of the 4 images", "a.png"],
    )?;
    let mut after = files(&toy.path("out"))?;
    after.retain(|name, _| !name.starts_with("in-progress/"));
    assert!(after == before, "the earlier result is whole");
    Ok(())
}

/// What `infer` says to each changed flag, and what is left when the new call fails.
#[test]
fn changed_flags_do_not_touch_a_finished_result() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut toy.infer("out", &[]))?;
    let before = files(&toy.path("out"))?;
    let whole = |step: &str| -> Result<()> {
        let mut now = files(&toy.path("out"))?;
        now.retain(|name, _| !name.starts_with("in-progress/"));
        ensure!(
            now == before && Manifest::read(&toy.path("out")).is_ok(),
            "{step}"
        );
        Ok(())
    };
    for (flags, difference) in [
        (
            &["--precision", "f32"][..],
            "--precision f16, asked for f32",
        ),
        (&["--save-overlay"], "--save-overlay false, asked for true"),
        (&["--shard", "1/2"], "--shard 0/1, asked for 1/2"),
        (&["--limit", "2"], "--limit 0, asked for 2"),
        (&["--flip"], "--flip false, asked for true"),
        (
            &["--input-size", "16x16"],
            "--input-size not given, asked for 16x16",
        ),
    ] {
        let words = [
            "was finished with",
            difference,
            "choose another --output",
            "--force",
        ];
        fail_quietly(toy.infer("out", flags).arg("-q"), &words)?;
        whole(difference)?;
    }
    // forced, and failed in the middle
    let image = fs::read(toy.image("c"))?;
    damage_content(&toy.image("c"))?;
    fail(&mut toy.infer("out", &["--flip", "--force"]), &["c.png"])?;
    whole("forced")?;
    fs::write(toy.image("c"), image)?;
    let text = succeed(&mut toy.infer("out", &[]))?.stderr;
    assert!(text.contains("up to date"), "{text}");
    // other weights are another input
    enet(20)?.write(&toy.path("more.safetensors"))?;
    damage_content(&toy.image("b"))?;
    fail(
        &mut toy.infer_with("more.safetensors", "out", &[]),
        &["b.png"],
    )?;
    whole("other weights")?;
    succeed(&mut toy.infer("out", &["--flip", "--limit", "1", "--force"]))?;
    assert_eq!(ids(&toy.path("out"))?, ["a"]);
    Ok(())
}

#[test]
fn folders_that_are_none_are_explained() -> Result<()> {
    let toy = Toy::new()?;
    fs::create_dir(toy.path("empty"))?;
    fs::write(toy.path("a.mp4"), "video")?;
    let check = |folder: &str, output: &str, words: &[&str]| {
        fail_quietly(&mut infer_folder(&toy, folder, output, &["-q"]), words)
    };
    check(
        "images",
        "images",
        &["the output", "is also read", "choose another --output"],
    )?;
    check("images", "", &["contains a file or folder that is read"])?;
    check("a.mp4", "out", &["is a video", "ffmpeg -i"])?;
    check("images/a.png", "out", &["is a single image"])?;
    check("empty", "out", &["is empty", "png, jpg, jpeg, webp"])?;
    check("none", "out", &["none does not exist"])?;
    for output in ["labels", "labels/out", ""] {
        let words = ["choose another --output"];
        fail_quietly(toy.infer(output, &["--force"]).arg("-q"), &words)?;
    }
    assert_eq!(files(&toy.path("labels"))?.len(), 1);
    assert_eq!(files(&toy.path("images"))?.len(), SAMPLES.len());
    Ok(())
}
