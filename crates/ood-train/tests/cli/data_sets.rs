//! Several data sets at once, and objects for pasting.

use std::fs;

use anyhow::Result;
use artifacts::classes::ClassSet;
use artifacts::index::{Index, ObjectInfo, ProxyInfo};
use artifacts::labels::MaskKind;
use artifacts::manifest::Manifest;
use artifacts::tables::{read_table, schema};

use crate::output::results;
use crate::toy::{Toy, succeed};

/// Adds the flag `name` with the toy's folders `dirs`, separated by commas, to the arguments.
fn with_dirs(toy: &Toy, name: &str, dirs: &[&str]) -> Vec<String> {
    let paths = dirs.iter().map(|dir| toy.path(dir).display().to_string());
    vec![name.to_owned(), paths.collect::<Vec<_>>().join(",")]
}

/// A toy with a second data set of larger images.
fn two_sets() -> Result<Toy> {
    let toy = Toy::new()?;
    toy.write_data("more", &[("x", 80, 64), ("y", 96, 70)], MaskKind::TrainId)?;
    Ok(toy)
}

#[test]
fn several_data_sets_are_mixed_by_their_shares() -> Result<()> {
    let toy = two_sets()?;
    let run = |name: &str, more: &[&str]| {
        let mut command = toy.train(name, &[&["--epochs", "1"], more].concat());
        command.args(with_dirs(&toy, "--labels", &["more"]));
        succeed(command)?;
        results(&toy.path(name))
    };
    // the toy's own directory comes first: four images, two more, and half as many proxies
    let plain = run("plain", &[])?;
    assert_eq!(Manifest::read(&toy.path("plain"))?.counts["steps"], 5);
    let inputs = Manifest::read(&toy.path("plain"))?.inputs;
    assert!(inputs.contains_key("labels[0]") && inputs.contains_key("labels[1]"));
    let shares = ["--label-shares", "1,3"];
    let mixed = run("shares", &shares)?;
    assert_eq!(Manifest::read(&toy.path("shares"))?.counts["steps"], 5);
    assert!(plain != mixed);
    let same = [
        &shares[..],
        &[
            "--threads",
            "1",
            "--workers",
            "3",
            "--checkpoint-minutes",
            "0",
        ],
    ];
    assert!(mixed == run("again", &same.concat())?);
    assert!(mixed == run("proportion", &["--label-shares", "0.25,0.75"])?);
    let scaled = [&shares[..], &["--label-short-side", "0,40"]].concat();
    assert!(mixed != run("scaled", &scaled)?);
    Ok(())
}

#[test]
fn each_data_set_has_its_factor_of_the_distillation() -> Result<()> {
    let toy = two_sets()?;
    succeed(toy.train("init", &["--steps", "2"]))?;
    let init = toy.path("init/weights.safetensors").display().to_string();
    let run = |name: &str, more: &[&str]| {
        // without proxies, whose factor is always 1
        let flags = ["--init", &init, "--ood-weight", "0", "--steps", "3"];
        let mut command = toy.bare(name, &[&flags, more].concat());
        command.args(["--ood-fraction", "0"]);
        command.args(with_dirs(&toy, "--labels", &["more"]));
        succeed(command)?;
        results(&toy.path(name))
    };
    let weights = |factors: &str| {
        let name = format!("factors-{factors}");
        let results = run(&name, &["--distill", "2", "--label-distill", factors])?;
        Ok::<_, anyhow::Error>(results[0].clone())
    };
    let all = run("all", &["--distill", "2"])?[0].clone();
    assert!(all == weights("1,1")?);
    assert!(all != weights("1,0")?);
    assert!(weights("0,1")? != weights("1,0")?);
    assert!(run("none", &[])?[0] == weights("0,0")?);
    assert!(run("half", &["--distill", "1"])?[0] == weights("0.5,0.5")?);
    Ok(())
}

#[test]
fn data_sets_that_do_not_fit_together_are_named() -> Result<()> {
    let toy = two_sets()?;
    toy.write_classes("camvid", &ClassSet::open("camvid")?)?;
    let fails = |dirs: &[&str], more: &[&str], words: &[&str]| {
        let mut command = toy.train("out", &[&["--steps", "1"], more].concat());
        command.args(with_dirs(&toy, "--labels", dirs));
        toy.check_command_fails(command, words)
    };
    fails(
        &["camvid"],
        &[],
        &["camvid has other classes than", "labels", "--class-map"],
    )?;
    fails(
        &["more"],
        &["--label-shares", "1"],
        &["--label-shares has 1 values", "--labels 2 directories"],
    )?;
    fails(
        &["more"],
        &["--label-shares", "1,0"],
        &["--label-shares 0 is not positive"],
    )?;
    fails(
        &["more"],
        &["--label-short-side", "1,2,3"],
        &["--label-short-side has 3 values"],
    )?;
    fails(
        &["more"],
        &["--label-short-side", "1,99999"],
        &["--label-short-side 99999 is above"],
    )?;
    fails(
        &["more"],
        &["--label-distill", "1,0"],
        &["--label-distill has factors of --distill, which is 0"],
    )?;
    fails(&["absent"], &[], &["absent/index.json does not exist"])
}

#[test]
fn figures_of_several_validation_sets_are_by_data_set() -> Result<()> {
    let toy = two_sets()?;
    toy.write_data("unknown", &[("u", 40, 40), ("v", 41, 37)], MaskKind::Eval)?;
    let mut command = toy.train("out", &["--steps", "2", "--val-every", "1"]);
    command.args(with_dirs(&toy, "--val", &["labels", "more"]));
    command.args(with_dirs(&toy, "--val-ood", &["unknown"]));
    succeed(command)?;
    let table = schema::train_validation();
    let runs = read_table(&toy.path("out").join(table.file_name()), &table)?;
    let steps: Vec<u32> = runs.column("step")?.u32()?.into_no_null_iter().collect();
    assert_eq!(steps, [1, 1, 1, 1, 2, 2, 2, 2]);
    let names: Vec<Option<&str>> = runs.column("dataset")?.str()?.iter().collect();
    let expected = [None, Some("labels"), Some("more"), Some("unknown")];
    assert_eq!(names[..4], expected);
    let values =
        |name: &str| -> Result<Vec<Option<f64>>> { Ok(runs.column(name)?.f64()?.iter().collect()) };
    let (mean_iou, auprc) = (values("mean_iou")?, values("auprc")?);
    let mean = mean_iou[1]
        .zip(mean_iou[2])
        .map(|(a, b)| f64::midpoint(a, b));
    assert_eq!((mean_iou[0], mean_iou[3]), (mean, None));
    assert_eq!((auprc[0], auprc[1]), (auprc[3], None));
    let entropy = values("entropy_in")?;
    assert_eq!(entropy[0], entropy[3]);
    assert!(toy.path("out/weights.best.safetensors").exists());
    Ok(())
}

/// Writes the directory `name` with two small objects in each image.
fn write_objects(toy: &Toy, name: &str, held_out: &[&str]) -> Result<()> {
    toy.write_data(name, &[("o", 40, 40), ("r", 44, 36)], MaskKind::Object)?;
    write_proxies(toy, name, held_out)
}

/// Adds to the index of the directory `name` that there is an object in each image.
fn write_proxies(toy: &Toy, name: &str, held_out: &[&str]) -> Result<()> {
    let dir = toy.path(name);
    let mut index = Index::read(&dir)?;
    for sample in &mut index.samples {
        let object = ObjectInfo {
            annotation: "1".to_owned(),
            category: "dog".to_owned(),
            area: 100,
            visible: 1.0,
            left: 11,
            top: 13,
            width: sample.width - 11,
            height: sample.height - 13,
        };
        sample.proxy = Some(ProxyInfo {
            ood_fraction: 0.5,
            categories: vec!["dog".to_owned()],
            license: None,
            objects: vec![object],
        });
    }
    index.held_out = held_out.iter().map(ToString::to_string).collect();
    index.write(&dir)
}

/// The toy's training without proxies: of labels and the objects in these directories.
fn with_objects(toy: &Toy, dirs: &[&str], output: &str, more: &[&str]) -> Result<[Vec<u8>; 2]> {
    let three = ["--steps", "3", "--paste-height", "8:20"];
    let mut command = toy.without_proxy(output, &[&three, more].concat());
    command.args(with_dirs(toy, "--objects", dirs));
    succeed(command)?;
    results(&toy.path(output))
}

#[test]
fn objects_are_pasted_without_proxy_images() -> Result<()> {
    let toy = Toy::new()?;
    write_objects(&toy, "objects", &["cat"])?;
    let run = |name: &str, more: &[&str]| with_objects(&toy, &["objects"], name, more);
    let once = run("once", &["--paste", "1"])?;
    assert!(once == run("again", &["--paste", "1", "--workers", "3"])?);
    assert!(once != run("twice", &["--paste", "2"])?);
    let table = schema::train_log();
    let log = read_table(&toy.path("once").join(table.file_name()), &table)?;
    let losses: Vec<f64> = log.column("loss_out")?.f64()?.into_no_null_iter().collect();
    assert!(
        losses.iter().all(|loss| *loss > 0.0),
        "an object in every batch: {losses:?}"
    );
    Ok(())
}

#[test]
fn objects_of_several_directories_are_pooled() -> Result<()> {
    let toy = Toy::new()?;
    write_objects(&toy, "objects", &["cat", "dog"])?;
    let samples = [("o", 40, 40), ("r", 44, 36)];
    toy.write_data("more", &samples, MaskKind::Object)?;
    // other colors, so that it shows which directory an object is of
    for id in ["o", "r"] {
        let file = toy.path(&format!("more/{id}.png"));
        let mut image = image::open(&file)?.into_rgb8();
        image.pixels_mut().for_each(|pixel| pixel.0 = [255, 0, 255]);
        image.save(file)?;
    }
    toy.write_index("more", &samples, MaskKind::Object)?;
    write_proxies(&toy, "more", &["dog", "cat"])?;
    let run = |dirs: &[&str], output: &str, more: &[&str]| {
        with_objects(&toy, dirs, output, &[&["--paste", "2"], more].concat())
    };
    let (one, other) = (
        run(&["objects"], "one", &[])?,
        run(&["more"], "other", &[])?,
    );
    let both = run(&["objects", "more"], "both", &[])?;
    assert!(both != one && both != other && one != other);
    assert!(both == run(&["objects", "more"], "again", &["--workers", "3"])?);
    let inputs = |output: &str| anyhow::Ok(Manifest::read(&toy.path(output))?.inputs);
    assert!(inputs("one")?.contains_key("objects"));
    assert!(
        inputs("both")?.contains_key("objects[0]") && inputs("both")?.contains_key("objects[1]")
    );

    write_objects(&toy, "different", &["dog", "bear", "cow"])?;
    let mut command = toy.without_proxy("out", &["--steps", "1", "--paste", "1"]);
    command.args(with_dirs(
        &toy,
        "--objects",
        &["objects", "more", "different"],
    ));
    let words = [
        "objects and ",
        "different hold out different categories",
        "objects alone cat, and ",
        "different alone bear, cow;",
        "--hold-out",
    ];
    toy.check_command_fails(command, &words)
}

#[test]
fn objects_that_cannot_be_pasted_are_named() -> Result<()> {
    let toy = Toy::new()?;
    write_objects(&toy, "objects", &["cat"])?;
    let fails = |dir: &str, more: &[&str], words: &[&str]| {
        let mut command = toy.without_proxy("out", &[&["--steps", "1"], more].concat());
        command.args(with_dirs(&toy, "--objects", &[dir]));
        toy.check_command_fails(command, words)
    };
    fails("objects", &[], &["--objects are pasted", "--paste 1"])?;
    fails(
        "proxy",
        &["--paste", "1"],
        &[
            "--objects needs directories of `coco-proxy --objects`",
            "Proxy",
        ],
    )?;
    let nothing = ["--steps", "1", "--paste", "1", "--ood-weight", "0"];
    toy.check_command_fails(
        toy.without_proxy("out", &nothing),
        &["--paste needs --proxy or --objects"],
    )?;
    fs::remove_file(toy.path("objects/o.png"))?;
    fs::remove_file(toy.path("objects/r.png"))?;
    fails("objects", &["--paste", "1"], &["sample", "is missing"])
}
