//! What is said if `--root` is the wrong folder.

use std::fs;

use anyhow::Result;

use crate::toy::{cityscapes, fail};

#[test]
fn errors_say_where_the_path_broke() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    cityscapes(&at.join("good"), "", "png")?;
    cityscapes(&at.join("jpeg"), "", "jpg")?;
    cityscapes(&at.join("deep"), "*/", "png")?;
    cityscapes(&at.join("deeper"), "*/*/", "png")?;
    cityscapes(&at.join("capitals"), "", "png")?;
    fs::rename(
        at.join("capitals/leftImg8bit"),
        at.join("capitals/leftimg8bit"),
    )?;
    fs::create_dir_all(at.join("train/leftImg8bit/train/ulm"))?;
    cityscapes(&at.join("high/more/my data"), "", "png")?;
    cityscapes(&at.join("archives"), "", "png")?;
    for kind in ["leftImg8bit", "gtFine"] {
        let own = at.join(format!("archives/{kind}_trainvaltest"));
        fs::create_dir(&own)?;
        fs::rename(at.join("archives").join(kind), own.join(kind))?;
    }
    fs::create_dir(at.join("zipped"))?;
    fs::write(at.join("zipped/leftImg8bit_trainvaltest.zip"), "PK")?;
    fs::create_dir_all(at.join("flat/leftImg8bit/val"))?;
    image::RgbImage::new(4, 2).save(at.join("flat/leftImg8bit/val/a_leftImg8bit.png"))?;
    let prepare = |root: &str| {
        let error = fail(
            at,
            &format!("prepare --dataset cityscapes-val --root {root} --output out"),
        )?;
        assert!(
            error.contains("there is no image of cityscapes-val in"),
            "{error}"
        );
        assert!(!at.join("out").exists());
        Ok::<_, anyhow::Error>(error)
    };
    let good = at.join("good").display().to_string();
    let set_root = format!("set --root to {good}");
    let beside = format!("the images are beside it: {set_root}");
    for (root, expected) in [
        ("good/leftImg8bit", set_root.as_str()),
        ("good/leftImg8bit/val", &set_root),
        ("good/leftImg8bit/val/frankfurt", &set_root),
        ("good/gtFine", &beside),
        ("good/gtFine/val", &beside),
        (".", "set --root to "),
        ("high", "set --root to high/more/my data"),
        (
            "jpeg",
            "frankfurt_000000_000294_leftImg8bit.jpg, whose name ends otherwise",
        ),
        ("deep", "the folder leftImg8bit/leftImg8bit is nested"),
        (
            "deeper",
            "the folder leftImg8bit/leftImg8bit/leftImg8bit is nested",
        ),
        ("capitals", "with other capital letters than"),
        (
            "archives",
            "unpacked into folders of their own: move the content of each to archives",
        ),
        (
            "train",
            "train/leftImg8bit has no folder val, it holds train",
        ),
        ("zipped", "that folder holds leftImg8bit_trainvaltest.zip"),
        ("flat", "flat/leftImg8bit/val has no folder {city}"),
    ] {
        let error = prepare(root)?;
        assert!(error.contains(expected), "{root}: {error}");
    }
    Ok(())
}

/// Each archive was unpacked into a folder of its own name, twice.
#[test]
fn nested_folders_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = dir.path();
    let (scene, stem) = ("04_Maurener_Weg_8", "04_Maurener_Weg_8_000000_000030");
    for (kind, ending) in [
        ("leftImg8bit", "leftImg8bit"),
        ("gtCoarse", "gtCoarse_labelIds"),
    ] {
        let folder = at.join(format!("set/{kind}/{kind}/test/{scene}"));
        fs::create_dir_all(&folder)?;
        image::GrayImage::new(4, 2).save(folder.join(format!("{stem}_{ending}.png")))?;
    }
    let prepare = "prepare --dataset lost-and-found-test --root set --output out";
    let error = fail(at, prepare)?;
    let expected = "the folder leftImg8bit/leftImg8bit is nested: move its content to leftImg8bit";
    assert!(error.contains(expected), "{error}");
    Ok(())
}
