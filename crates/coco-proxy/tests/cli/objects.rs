//! Objects for pasting, and categories that are held out.

use anyhow::{Context, Result};
use artifacts::index::{Index, ObjectInfo};
use artifacts::labels::MaskKind;
use artifacts::manifest::Manifest;
use serde_json::{Value, json};
use stage_testing::command::succeed;
use stage_testing::data::real;
use stage_testing::folder::files;

use crate::toy::{Toy, annotation, coco_proxy, image};

/// An axis-parallel rectangle of pixels, as a polygon.
fn rectangle(x: u32, y: u32, width: u32, height: u32) -> Value {
    let (right, bottom) = (x + width, y + height);
    json!([[x, y, right, y, right, bottom, x, bottom]])
}

/// In image 1 a person stands in front of a dog, and a cat in front of both; there are a crowd of dogs and a small cat. Image 2 has
/// a person, 3 a crowd, 4 nothing, and 5 a cat.
fn dataset() -> Value {
    let mut crowd = annotation(15, 1, 20, &rectangle(30, 0, 10, 10));
    crowd["iscrowd"] = json!(1);
    let mut alone = annotation(18, 3, 20, &rectangle(0, 0, 10, 10));
    alone["iscrowd"] = json!(1);
    json!({
        "images": [image(5, 40, 20), image(4, 40, 20), image(3, 40, 20), image(2, 40, 20), image(1, 40, 20)],
        "annotations": [
            annotation(11, 1, 20, &rectangle(0, 0, 20, 10)),
            annotation(12, 1, 1, &rectangle(4, 0, 4, 20)),
            annotation(13, 1, 21, &rectangle(10, 5, 5, 8)),
            annotation(14, 1, 21, &rectangle(36, 16, 2, 2)),
            crowd,
            annotation(16, 2, 1, &rectangle(0, 0, 20, 10)),
            alone,
            annotation(17, 5, 21, &rectangle(2, 3, 6, 5)),
        ],
        "categories": [
            {"id": 1, "name": "person"}, {"id": 20, "name": "dog"}, {"id": 21, "name": "cat"},
        ],
    })
}

const OBJECTS: [&str; 3] = ["--objects", "--min-area", "30"];

fn info(
    annotation: &str,
    category: &str,
    area: u64,
    visible: f64,
    [left, top, width, height]: [u32; 4],
) -> ObjectInfo {
    ObjectInfo {
        annotation: annotation.to_owned(),
        category: category.to_owned(),
        area,
        visible,
        left,
        top,
        width,
        height,
    }
}

#[test]
fn objects_come_from_images_with_excluded_categories_too() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    let stdout = toy.succeed(&[&OBJECTS[..], &["--preview", "4"]].concat())?;
    assert!(
        stdout.contains("3 objects of 2 images")
            && stdout.contains("2 without other than excluded"),
        "{stdout}"
    );
    let index = Index::read(&toy.path("out"))?;
    assert_eq!(index.mask_kind, MaskKind::Object);
    assert_eq!(index.held_out, [""; 0]);
    let sample = &index.samples[0];
    let proxy = sample.proxy.as_ref().context("objects")?;
    assert_eq!(proxy.categories, ["cat", "dog"]);
    assert_eq!(
        proxy.objects,
        [
            // the person hides 40 of its pixels, the cat 25
            info("11", "dog", 135, 0.675, [0, 0, 20, 10]),
            info("13", "cat", 40, 1.0, [10, 5, 5, 8]),
        ]
    );
    assert_eq!(proxy.ood_fraction, 175.0 / 800.0);
    let mask = index.read_mask(&toy.path("out"), sample)?;
    let at = |x: usize, y: usize| mask.labels[y * 40 + x];
    assert_eq!(
        [at(0, 0), at(5, 5), at(9, 9), at(12, 7), at(12, 12)],
        [1, 0, 1, 2, 2]
    );
    assert_eq!(
        [at(31, 1), at(36, 16), at(30, 15)],
        [0; 3],
        "crowd, small one, nothing"
    );
    let manifest = Manifest::read(&toy.path("out"))?;
    let count = |name: &str| manifest.counts[name];
    assert_eq!(
        [
            count("samples"),
            count("objects"),
            count("skipped_excluded"),
            count("skipped_empty")
        ],
        [2, 3, 2, 1]
    );
    assert!(toy.path("out/preview.png").exists());
    Ok(())
}

#[test]
fn objects_of_which_too_little_is_visible_are_left_out() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    // the dog has 160 visible pixels, since the cat is too small to be cut out itself
    toy.fail(
        &["--objects", "--min-area", "161"],
        &["no objects", "--min-area"],
    )?;
    toy.succeed(&["--objects", "--min-area", "160", "--force"])?;
    let index = Index::read(&toy.path("out"))?;
    assert_eq!(index.samples.len(), 1);
    // where the dog is, the cat has too few pixels left
    toy.succeed(&[
        "--objects",
        "--min-area",
        "40",
        "--exclude",
        "dog",
        "--force",
    ])?;
    let index = Index::read(&toy.path("out"))?;
    let categories: Vec<&str> = index.samples[0]
        .proxy
        .iter()
        .flat_map(|proxy| &proxy.objects)
        .map(|object| object.category.as_str())
        .collect();
    assert_eq!(categories, ["person"]);
    let mask = index.read_mask(&toy.path("out"), &index.samples[0])?;
    assert_eq!(mask.labels.iter().max(), Some(&1));
    Ok(())
}

#[test]
fn categories_that_are_held_out_are_in_neither_objects_nor_proxies() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    toy.succeed(&[&OBJECTS[..], &["--hold-out", "Cats"]].concat())?;
    let index = Index::read(&toy.path("out"))?;
    assert_eq!(index.held_out, ["cat"]);
    let [sample] = &index.samples[..] else {
        anyhow::bail!("{} images have objects", index.samples.len())
    };
    // where the cat is, there is no dog either
    let objects = &sample.proxy.as_ref().context("objects")?.objects;
    assert_eq!(*objects, [info("11", "dog", 135, 0.675, [0, 0, 20, 10])]);
    toy.succeed(&["--min-side", "1", "--hold-out", "dog", "--force"])?;
    let index = Index::read(&toy.path("out"))?;
    let ids: Vec<&str> = index.samples.iter().map(|s| s.sample_id.as_str()).collect();
    assert_eq!(
        (ids, index.held_out),
        (vec!["000000000005"], vec!["dog".to_owned()])
    );
    Ok(())
}

#[test]
fn wrong_flags_of_objects_are_one_clear_line() -> Result<()> {
    let toy = Toy::new(&dataset())?;
    for (flags, expected) in [
        (
            &["--objects", "--hold-out", "horse"][..],
            &["--hold-out", "horse", "cat, dog, person"][..],
        ),
        (
            &["--hold-out", "person"],
            &["--hold-out names person, which --exclude names too"],
        ),
    ] {
        toy.fail(flags, expected)?;
    }
    for flags in [
        &["--objects", "--compat"][..],
        &["--objects", "--background", "0"],
        &["--min-area", "9"],
    ] {
        let output = toy.command(flags).output()?;
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
    }
    Ok(())
}

/// In the sample of COCO, all images have several times the objects that proxies have, whatever the number of threads.
#[test]
fn real_images_have_more_objects_than_proxies_show() -> Result<()> {
    let Some(coco) = real("coco") else {
        return Ok(());
    };
    let scratch = tempfile::tempdir()?;
    let run = |name: &str, threads: &str| {
        let mut command =
            coco_proxy(&["--objects", "--hold-out", "sheep,cow", "--threads", threads]);
        command
            .arg("--annotations")
            .arg(coco.join("annotations/instances_train2017.json"));
        command.arg("--output").arg(scratch.path().join(name));
        succeed(&mut command)
    };
    run("one", "1")?;
    run("two", "3")?;
    let [one, two] = ["one", "two"].map(|name| files(&scratch.path().join(name)));
    let (mut one, mut two) = (one?, two?);
    one.remove("manifest.json");
    two.remove("manifest.json");
    assert!(one == two, "threads change the result");
    let index = Index::read(&scratch.path().join("one"))?;
    assert_eq!(index.held_out, ["cow", "sheep"]);
    let objects = index.samples.iter().filter_map(|s| s.proxy.as_ref());
    let objects: Vec<&ObjectInfo> = objects.flat_map(|proxy| &proxy.objects).collect();
    assert!((380..=457).contains(&objects.len()), "{}", objects.len());
    let forbidden = ["person", "car", "cow", "sheep"];
    assert!(
        objects
            .iter()
            .all(|o| o.area >= 2500 && !forbidden.contains(&o.category.as_str()))
    );
    assert!(objects.iter().all(|o| o.visible > 0.0 && o.visible <= 1.0));
    Ok(())
}
