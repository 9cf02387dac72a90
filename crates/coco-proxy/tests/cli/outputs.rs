//! What becomes of an output that is complete, interrupted, or not of this stage.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;

use crate::toy::{FEW, SMALL, Toy, coco_proxy, dataset, dogs};

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
