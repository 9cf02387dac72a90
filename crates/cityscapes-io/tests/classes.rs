//! Runs the executable on data sets of other classes than those of Cityscapes: shipped class sets and own ones, maps between
//! them, and what can be wrong with these files.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::picture::{Orientation, read_rgb};
use stage_testing::{command, data};
use tempfile::TempDir;

/// A class set of two classes, whose values in the files are 7 and 3.
const OWN_SET: &str = r##"name = "farm"
void_ids = [9]
classes = [
  { name = "field", color = "#00FF00", id = 7, category = "ground" },
  { name = "cow", color = "#804000", id = 3, category = "animal" },
]
"##;

/// A manifest of a data set with the classes of [`OWN_SET`], which lies beside it.
const OWN_MANIFEST: &str = r#"name = "farm-train"
title = "Farm"
dataset = "farm"
split = "train"
mask_kind = "train_id"
classes = "farm.toml"
licence = "none"
citation = "none"
url = "https://example.org"
[[layouts]]
images = "images/{id}.png"
sample_id = "{id}"
[[layouts.masks]]
path = "masks/{id}.png"
values = "class-ids"
"#;

/// The executable with arguments separated by spaces, in `dir`.
fn call(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cityscapes-io"));
    command.args(arguments.split_whitespace()).current_dir(dir);
    command
}

fn succeed(dir: &Path, arguments: &str) -> Result<String> {
    Ok(command::succeed(&mut call(dir, arguments))?.stdout)
}

fn fail(dir: &Path, arguments: &str, parts: &[&str]) -> Result<String> {
    command::fail(&mut call(dir, arguments), parts)
}

/// Writes a picture of one row of `labels`, and an image of the same size.
fn write_pair(dir: &Path, image: &str, labels_path: &str, labels: &[u8]) -> Result<()> {
    let width = labels.len() as u32;
    for path in [image, labels_path] {
        let folder = dir.join(path);
        fs::create_dir_all(folder.parent().context("a folder")?)?;
    }
    image::RgbImage::new(width, 1).save(dir.join(image))?;
    image::GrayImage::from_raw(width, 1, labels.to_vec())
        .context("size")?
        .save(dir.join(labels_path))?;
    Ok(())
}

/// A data set in the layout of camvid-train with every value that its masks have, and one in that of idd-lite-train.
fn shipped_toys() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let camvid: Vec<u8> = (0..=11).collect();
    write_pair(at, "camvid/train/a.png", "camvid/trainannot/a.png", &camvid)?;
    let (image, labels) = (
        "idd/leftImg8bit/train/7/9_image.jpg",
        "idd/gtFine/train/7/9_label.png",
    );
    write_pair(at, image, labels, &[0, 1, 2, 3, 4, 5, 6, 255])?;
    Ok(dir)
}

/// The data set of [`OWN_MANIFEST`].
fn own_toy() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    write_pair(at, "set/images/a.png", "set/masks/a.png", &[7, 3, 9, 255])?;
    fs::create_dir(at.join("described"))?;
    fs::write(at.join("described/farm.toml"), OWN_SET)?;
    fs::write(at.join("described/manifest.toml"), OWN_MANIFEST)?;
    Ok(dir)
}

const PREPARE_CAMVID: &str = "prepare --dataset camvid-train --root camvid --output out";
const PREPARE_OWN: &str = "prepare --manifest described/manifest.toml --root set --output out";

/// The index in `dir/out`, and the labels of its only sample.
fn prepared(dir: &Path) -> Result<(Index, Vec<u8>)> {
    let out = dir.join("out");
    let index = Index::read(&out)?;
    let mask = index.read_mask(&out, &index.samples[0])?;
    Ok((index, mask.labels))
}

/// Whether a line of `text` contains all `words`.
fn has_line(text: &str, words: &[&str]) -> bool {
    text.lines().any(|l| words.iter().all(|w| l.contains(w)))
}

#[test]
fn shipped_data_sets_have_the_classes_of_their_own() -> Result<()> {
    let dir = shipped_toys()?;
    let at = dir.path();
    succeed(at, PREPARE_CAMVID)?;
    let (index, labels) = prepared(at)?;
    assert_eq!(index.classes()?, &ClassSet::open("camvid")?);
    assert_eq!(labels, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]);
    succeed(at, "palette --labels out --output colors")?;
    let colors = read_rgb(&at.join("colors/a.png"), Orientation::Stored)?;
    assert_eq!(colors.get_pixel(4, 0).0, [60, 40, 222], "pavement");
    assert_eq!(colors.get_pixel(11, 0).0, [0, 0, 0], "void");
    let report = succeed(at, "check --dataset camvid-train --root camvid --partial")?;
    assert!(
        has_line(&report, &["  6 sign/symbol", "8.333 %"]),
        "{report}"
    );
    assert!(has_line(&report, &["255 ignore"]), "{report}");

    succeed(
        at,
        "prepare --dataset idd-lite-train --root idd --output out --force",
    )?;
    let (index, labels) = prepared(at)?;
    assert_eq!(index.classes()?, &ClassSet::open("idd-lite")?);
    assert_eq!(index.samples[0].sample_id, "7-9");
    assert_eq!(labels, [0, 1, 2, 3, 4, 5, 6, 255]);
    Ok(())
}

#[test]
fn labels_become_those_of_another_class_set() -> Result<()> {
    let dir = shipped_toys()?;
    let at = dir.path();
    let mapped = "--class-map camvid-to-cityscapes";
    succeed(at, &format!("{PREPARE_CAMVID} {mapped}"))?;
    let (index, labels) = prepared(at)?;
    assert_eq!(index.classes()?, &ClassSet::cityscapes()?);
    assert_eq!(labels, [10, 2, 5, 0, 1, 8, 255, 4, 13, 11, 255, 255]);
    succeed(at, "palette --labels out --output colors")?;
    let colors = read_rgb(&at.join("colors/a.png"), Orientation::Stored)?;
    assert_eq!(colors.get_pixel(5, 0).0, [107, 142, 35], "vegetation");

    // another map is other work, also if the file has the same name
    let map = "from = \"camvid\"\nto = \"cityscapes\"\n[classes]\n\"car\" = \"truck\"\n";
    fs::write(at.join("map.toml"), map)?;
    let own = format!("{PREPARE_CAMVID} --class-map map.toml");
    succeed(at, &own)?;
    assert_eq!(prepared(at)?.1[8], 14);
    fs::write(at.join("map.toml"), map.replace("truck", "bus"))?;
    succeed(at, &own)?;
    assert_eq!(prepared(at)?.1[8], 15);
    Ok(())
}

#[test]
fn maps_that_do_not_fit_are_refused() -> Result<()> {
    let dir = shipped_toys()?;
    let at = dir.path();
    for (map, parts) in [
        (
            "idd-to-cityscapes",
            &["not from the classes of CamVid", "\"idd\""][..],
        ),
        (
            "camvid-to-citys",
            &["camvid-to-citys", "camvid-to-cityscapes"],
        ),
    ] {
        fail(at, &format!("{PREPARE_CAMVID} --class-map {map}"), parts)?;
    }
    let head = "from = \"camvid\"\nto = \"cityscapes\"\n";
    for (text, parts) in [
        (
            format!("{head}[classes]\n\"car\" = \"lorry\"\n"),
            &["map.toml", "\"cityscapes\" has no class \"lorry\""][..],
        ),
        (
            format!("{head}[classes]\n\"car\" = 13\n"),
            &["map.toml", "line 4"],
        ),
        (
            format!("{head}[classes]\n\"car\" = \"car\"\n\"car\" = \"bus\"\n"),
            &["map.toml", "line 5"],
        ),
        (
            format!("{head}[klasses]\n"),
            &["map.toml", "line 3", "klasses"],
        ),
    ] {
        fs::write(at.join("map.toml"), &text)?;
        fail(at, &format!("{PREPARE_CAMVID} --class-map map.toml"), parts)?;
    }
    // masks that hold no classes
    write_pair(at, "fs/images/a.png", "fs/labels_masks/a.png", &[0, 1])?;
    let eval = "prepare --dataset fishyscapes-static --root fs --output out";
    fail(
        at,
        &format!("{eval} --class-map camvid-to-cityscapes"),
        &["no train ids", "--class-map"],
    )?;
    assert!(!at.join("out").exists());
    Ok(())
}

#[test]
fn classes_are_held_out_for_training_and_unknown_in_evaluation() -> Result<()> {
    let dir = shipped_toys()?;
    let at = dir.path();
    let people = "pedestrian,bicyclist";
    succeed(at, &format!("{PREPARE_CAMVID} --hold-out {people}"))?;
    let (index, labels) = prepared(at)?;
    let classes = index.classes()?;
    assert_eq!(classes.name, "camvid-without-pedestrian-bicyclist");
    assert_eq!(classes.len(), 9);
    assert_eq!(labels, [0, 1, 2, 3, 4, 5, 6, 7, 8, 255, 255, 255]);

    let unknown = format!("{PREPARE_CAMVID} --unknown {people}");
    succeed(at, &unknown)?;
    let (index, labels) = prepared(at)?;
    assert_eq!((index.mask_kind, &index.classes), (MaskKind::Eval, &None));
    assert_eq!(labels, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 255]);
    succeed(at, "palette --labels out --output colors")?;

    // names are those of the classes to which a map leads
    let mapped = format!("{PREPARE_CAMVID} --class-map camvid-to-cityscapes");
    succeed(at, &format!("{mapped} --unknown person --force"))?;
    assert_eq!(prepared(at)?.1, [0, 0, 0, 0, 0, 0, 255, 0, 0, 1, 255, 255]);
    fail(
        at,
        &format!("{mapped} --hold-out pedestrian --force"),
        &["--hold-out", "no class \"pedestrian\"", "person"],
    )?;
    Ok(())
}

#[test]
fn an_own_class_set_lies_beside_an_own_manifest() -> Result<()> {
    let dir = own_toy()?;
    let at = dir.path();
    succeed(at, PREPARE_OWN)?;
    let (index, labels) = prepared(at)?;
    assert_eq!(
        index.classes()?.names().collect::<Vec<_>>(),
        ["field", "cow"]
    );
    assert_eq!(labels, [0, 1, 255, 255]);
    let report = succeed(at, "check --manifest described/manifest.toml --root set")?;
    assert!(has_line(&report, &["  1 cow", "25.000 %"]), "{report}");
    // the names alone are other work: the index holds them
    fs::write(
        at.join("described/farm.toml"),
        OWN_SET.replace("\"cow\"", "\"goat\""),
    )?;
    succeed(at, PREPARE_OWN)?;
    assert_eq!(prepared(at)?.0.classes()?.position("goat"), Some(1));
    Ok(())
}

#[test]
fn faults_of_an_own_class_set_are_one_line_with_their_place() -> Result<()> {
    let dir = own_toy()?;
    let at = dir.path();
    for (from, to, parts) in [
        ("#804000", "brown", &["line 5", "\"brown\"", "#804080"][..]),
        ("id = 3", "id = 300", &["line 5"]),
        ("id = 3", "id = 7", &["value 7", "\"field\"", "\"cow\""]),
        ("id = 3", "id = 9", &["value 9", "void"]),
        ("\"cow\"", "\"field\"", &["classes 0 and 1", "\"field\""]),
        ("\"cow\"", "\"\"", &["class 1", "no name"]),
        ("category = \"animal\"", "kind = \"a\"", &["line 5", "kind"]),
        ("]\n", "\n", &["line "]),
        ("classes = [", "klasses = [", &["klasses"]),
        ("name = \"farm\"\n", "", &["name"]),
    ] {
        let text = OWN_SET.replacen(from, to, 1);
        assert_ne!(text, OWN_SET, "{from}");
        fs::write(at.join("described/farm.toml"), text)?;
        let parts = [&["farm.toml"], parts].concat();
        fail(at, PREPARE_OWN, &parts)?;
        fail(at, "palette --classes described/farm.toml", &parts)?;
    }
    fs::remove_file(at.join("described/farm.toml"))?;
    fail(
        at,
        PREPARE_OWN,
        &["manifest.toml", "\"farm.toml\"", "camvid"],
    )?;
    assert!(!at.join("out").exists());
    Ok(())
}

#[test]
fn values_that_no_class_has_are_refused() -> Result<()> {
    let dir = own_toy()?;
    let at = dir.path();
    write_pair(at, "set/images/a.png", "set/masks/a.png", &[7, 3, 4])?;
    fail(
        at,
        PREPARE_OWN,
        &["masks/a.png", "value 4", "row 0, column 2"],
    )?;
    Ok(())
}

#[test]
fn any_folder_is_indexed_with_the_classes_that_are_named() -> Result<()> {
    let dir = own_toy()?;
    let at = dir.path();
    let index = "index --root set --images images/{id}.png --masks masks/{id}.png --kind train_id --output out";
    fail(at, index, &["--classes"])?;
    // the files have other values than positions in the class set
    let own = format!("{index} --classes described/farm.toml");
    fail(at, &own, &["masks/a.png", "value 7"])?;
    let mapped = format!("{own} --values 7=0,3=1,9=255,255=255");
    succeed(at, &mapped)?;
    let (written, labels) = prepared(at)?;
    assert_eq!(written.classes()?.name, "farm");
    assert_eq!(labels, [0, 1, 255, 255]);
    fail(
        at,
        &mapped
            .replace("3=1", "3=2")
            .replace("output out", "output two"),
        &["value 2 does not exist"],
    )?;
    fail(
        at,
        "index --root set --images images/{id}.png --classes camvid --output two",
        &["--kind train_id"],
    )?;
    fail(
        at,
        &index.replace("output out", "output two --classes camvib"),
        &["\"camvib\"", "camvid, cityscapes"],
    )?;
    Ok(())
}

#[test]
fn class_sets_are_printed() -> Result<()> {
    let dir = own_toy()?;
    let at = dir.path();
    let own = succeed(at, "palette --classes described/farm.toml")?;
    assert!(
        has_line(&own, &["cow", " 1 ", " 3 ", "#804000", "animal"]),
        "{own}"
    );
    assert!(has_line(&own, &["(void)", "9 255"]), "{own}");
    let camvid = succeed(at, "palette --classes camvid")?;
    assert!(
        has_line(&camvid, &["bicyclist", " 10 ", "#0080C0"]),
        "{camvid}"
    );
    let list = succeed(at, "palette --list")?;
    for set in ClassSet::shipped()? {
        let number = format!(" {} ", set.len());
        assert!(has_line(&list, &[&set.name, &number]), "{list}");
    }
    fail(at, "palette --classes camvib", &["\"camvib\"", "camvid"])?;
    Ok(())
}

#[test]
fn help_names_every_class_set_and_map() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let help = succeed(dir.path(), "index --help")?;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for set in ClassSet::shipped()? {
        assert!(help.contains(&set.name), "{} in {help}", set.name);
    }
    for map in artifacts::classes::ClassMap::shipped()? {
        let name = format!("{}-to-{}", map.from.name, map.to.name);
        assert!(help.contains(&name), "{name} in {help}");
    }
    Ok(())
}

/// `CamVid` and IDD-lite as they are distributed, where they are at hand.
#[test]
fn real_data_sets_have_their_classes_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (dataset, folder, classes) in [
        ("camvid-val", "camvid", "camvid"),
        ("idd-lite-val", "idd_lite", "idd-lite"),
    ] {
        let Some(root) = data::real(folder) else {
            return Ok(());
        };
        let mut prepare = call(dir.path(), &format!("prepare --dataset {dataset} --strict"));
        prepare.arg("--root").arg(root);
        prepare.arg("--output").arg(dir.path().join(dataset));
        command::succeed(&mut prepare)?;
        let index = Index::read(&dir.path().join(dataset))?;
        assert_eq!(index.classes()?, &ClassSet::open(classes)?);
    }
    Ok(())
}
