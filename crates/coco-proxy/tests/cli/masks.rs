//! Masks and index: of the toy, as the reference makes them, and of real images.

use std::fs;

use anyhow::{Context, Result};
use artifacts::atomic::read_json;
use artifacts::index::Index;
use artifacts::mask::Mask;
use serde_json::Value;
use stage_testing::command::{fail, succeed};
use stage_testing::data::{golden, real};
use stage_testing::folder::files;

use crate::toy::{SMALL, Toy, coco_proxy, dataset};

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

#[test]
fn merged_shards_are_what_one_call_writes() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    for more in [
        &["--compat", "--preview", "4"][..],
        &["--exclude", "", "--min-area", "1", "--objects"],
    ] {
        let run = |output: &str, flags: &[&str]| {
            let output = toy.path(output).display().to_string();
            let flags = [&SMALL[..], more, flags, &["--output", &output, "--force"]].concat();
            let mut command = coco_proxy(&[]);
            command
                .arg("--annotations")
                .arg(toy.annotations())
                .args(flags);
            succeed(&mut command)
        };
        run("whole", &[])?;
        for i in 0..2 {
            run(&format!("{i}"), &["--shard", &format!("{i}/2")])?;
        }
        let shards = [1, 0].map(|i| toy.path(&i.to_string()).display().to_string());
        run("merged", &["--merge", &shards.join(",")])?;
        let whole = files(&toy.path("whole"))?;
        assert!(
            whole.len() > 2 && whole == files(&toy.path("merged"))?,
            "{more:?}"
        );
        assert_eq!(
            whole.contains_key("preview.png"),
            more.contains(&"--preview")
        );
    }
    Ok(())
}
