//! What becomes of an output that is complete, interrupted, or not of this stage.

use std::fs;

use anyhow::Result;
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use stage_testing::folder::files;

use crate::toy::{PREPARE, fail, run, succeed, toy, write_labels};

#[test]
fn an_interrupted_call_goes_on_and_a_changed_data_set_starts_anew() -> Result<()> {
    let dir = toy()?;
    let out = dir.path().join("out");
    write_labels(dir.path(), "b", 4, &[7; 8])?;
    fail(dir.path(), PREPARE)?;
    let in_progress = out.join("in-progress");
    assert!(in_progress.join("work.json").exists() && !out.join("manifest.json").exists());
    fs::create_dir_all(in_progress.join("masks"))?;
    let kept = Mask::filled(4, 2, 1);
    kept.write(&in_progress.join("masks/a.png"))?;
    fs::copy(
        dir.path().join("set/labels_masks/a.png"),
        dir.path().join("set/labels_masks/b.png"),
    )?;
    succeed(dir.path(), PREPARE)?;
    assert_ne!(
        Mask::read(&out.join("masks/a.png"), MaskKind::Eval, 0)?,
        kept,
        "other content, other work"
    );

    // the same work: what is there is kept
    fs::rename(&out, dir.path().join("interrupted"))?;
    fs::create_dir(&out)?;
    fs::rename(dir.path().join("interrupted"), &in_progress)?;
    fs::rename(
        in_progress.join("manifest.json"),
        in_progress.join("work.json"),
    )?;
    fs::remove_file(in_progress.join("masks/b.png"))?;
    kept.write(&in_progress.join("masks/a.png"))?;
    succeed(dir.path(), PREPARE)?;
    assert!(!in_progress.exists());
    assert_eq!(
        Mask::read(&out.join("masks/a.png"), MaskKind::Eval, 0)?,
        kept
    );
    assert!(out.join("masks/b.png").exists());
    Ok(())
}

#[test]
fn nothing_that_the_stage_did_not_write_is_lost() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    // an output that is the data set, around it, or inside of it
    for output in ["set", ".", "set/images", "set/new"] {
        for force in ["", " --force"] {
            let error = fail(
                at,
                &PREPARE.replace("output out", &format!("output {output}{force}")),
            )?;
            assert!(error.contains("choose another --output"), "{error}");
        }
    }
    assert!(at.join("set/images/a.png").exists() && at.join("set/labels_masks/a.png").exists());
    // a folder of another program that has a manifest.json of its own
    fs::create_dir(at.join("out"))?;
    fs::write(
        at.join("out/manifest.json"),
        "{\"manifest_version\": 3, \"name\": \"mine\"}",
    )?;
    fs::write(at.join("out/thesis.txt"), "precious")?;
    for force in ["", " --force"] {
        let error = fail(at, &format!("{PREPARE}{force}"))?;
        assert!(error.contains("out holds"), "{error}");
    }
    assert_eq!(fs::read_to_string(at.join("out/thesis.txt"))?, "precious");
    fs::remove_dir_all(at.join("out"))?;
    // files that were put beside the results
    succeed(at, PREPARE)?;
    fs::write(at.join("out/masks/notes.txt"), "precious")?;
    let error = fail(at, &format!("{PREPARE} --size 2x1 --force"))?;
    assert!(
        error.contains("files that no stage wrote (masks/notes.txt)"),
        "{error}"
    );
    assert!(at.join("out/manifest.json").exists() && at.join("out/masks/notes.txt").exists());
    Ok(())
}

/// A call that is killed before it has written anything but a temporary file.
#[test]
fn a_call_that_was_killed_at_once_is_started_anew() -> Result<()> {
    let dir = toy()?;
    let work = dir.path().join("out/in-progress");
    fs::create_dir_all(&work)?;
    fs::write(work.join(".rT3x9a.tmp"), "{")?;
    fs::write(dir.path().join("out/.lock"), "process 1")?;
    succeed(dir.path(), PREPARE)?;
    let names: Vec<_> = files(&dir.path().join("out"))?.into_keys().collect();
    assert_eq!(names, ["index.json", "masks/a.png", "masks/b.png"]);
    assert!(dir.path().join("out/manifest.json").exists());
    Ok(())
}

#[test]
fn what_is_missing_in_a_complete_directory_is_made_again() -> Result<()> {
    let dir = toy()?;
    succeed(dir.path(), PREPARE)?;
    let whole = files(&dir.path().join("out"))?;
    fs::remove_file(dir.path().join("out/masks/b.png"))?;
    let (success, _, stderr) = run(dir.path(), PREPARE)?;
    assert!(
        success && stderr.contains("out/masks/b.png is gone: making it again"),
        "{stderr}"
    );
    assert!(files(&dir.path().join("out"))? == whole);
    Ok(())
}

#[cfg(unix)]
#[test]
fn an_output_may_be_a_link() -> Result<()> {
    let dir = toy()?;
    let (disk, out) = (dir.path().join("disk"), dir.path().join("out"));
    fs::create_dir(&disk)?;
    std::os::unix::fs::symlink(&disk, &out)?;
    for flags in ["", " --force", " --size 2x1"] {
        succeed(dir.path(), &format!("{PREPARE}{flags}"))?;
        assert!(out.is_symlink() && disk.join("index.json").exists());
    }
    Ok(())
}

#[test]
fn an_old_result_stays_whole_until_a_new_one_is_complete() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    let out = at.join("out");
    succeed(at, PREPARE)?;
    let old = files(&out)?;
    write_labels(at, "b", 4, &[7; 8])?;
    for more in ["", " --force", " --size 2x1"] {
        let error = fail(at, &format!("{PREPARE}{more}"))?;
        assert!(error.contains("the value 7"), "{error}");
        let mut left = files(&out)?;
        left.retain(|name, _| !name.starts_with("in-progress/") && name != ".lock");
        assert!(left == old, "{more}");
        assert!(out.join("manifest.json").exists());
    }
    Ok(())
}
