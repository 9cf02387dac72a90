//! Known classes that are not those of Cityscapes.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::classes::{ClassSet, Color};
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::logits::{Logits, LogitsInfo, Precision};
use artifacts::mask::Mask;
use ood_eval::results::Results;
use stage_testing::command::{fail, succeed};
use stage_testing::toy::{change_output, sample, stage_output};

fn ood_eval(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    command.current_dir(root).args(args);
    command
}

/// Three classes of which Cityscapes has one.
fn plants() -> Result<ClassSet> {
    let mut set = ClassSet::unnamed(3)?;
    "plants".clone_into(&mut set.name);
    for (class, name) in set.classes.iter_mut().zip(["moss", "vegetation", "fern"]) {
        name.clone_into(&mut class.name);
    }
    set.classes[2].color = Color([1, 2, 3]);
    Ok(set)
}

/// Labels and logits of two pixels, a moss that is recognized and a fern that is not.
fn write_plants(root: &Path) -> Result<()> {
    stage_output(
        &root.join("labels/plants"),
        "cityscapes-io prepare",
        |dir| {
            fs::create_dir_all(dir.join("masks"))?;
            let mask = Mask {
                width: 2,
                height: 1,
                labels: vec![0, 2],
            };
            mask.write(&dir.join("masks/a.png"))?;
            let sample = sample("a", 2, 1, Some(PathBuf::from("masks/a.png")));
            let index = Index::new("plants", "val", MaskKind::TrainId, root, vec![sample])?;
            index.with_classes(plants()?).write(dir)
        },
    )?;
    stage_output(
        &root.join("plants/logits/streets"),
        "seg-model infer",
        |dir| {
            let info = LogitsInfo {
                sample_id: "a".into(),
                network: "toy".into(),
                output_height: 1,
                output_width: 2,
                align_corners: false,
                classes: plants()?,
            };
            let values = vec![5.0, 0.0, 0.0, 4.0, 1.0, 1.0];
            Logits::new(info, [3, 1, 2], values)?.write(&dir.join("a.safetensors"), Precision::F32)
        },
    )
}

fn closed_set(root: &Path, run: &str, labels: &str) -> Command {
    let logits = format!("{run}/logits/streets");
    let output = format!("{run}/closed_set/streets");
    let args = [
        "closed-set",
        "--logits",
        &logits,
        "--labels",
        labels,
        "--output",
        &output,
    ];
    ood_eval(root, &args)
}

#[test]
fn figures_have_the_names_and_colors_of_their_own_classes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    write_plants(root)?;
    let text = succeed(&mut closed_set(root, "plants", "labels/plants"))?.stdout;
    assert!(text.contains("moss") && text.contains("fern"), "{text}");
    assert_eq!(
        ClassSet::read(&root.join("plants/closed_set/streets"))?,
        plants()?
    );
    let report = ["report", "--run", "ours=plants", "--output", "report"];
    succeed(&mut ood_eval(root, &report))?;
    let results = Results::read(&root.join("report"))?;
    let known = results.closed_set.first().context("known classes")?;
    assert_eq!((&*known.class_set, known.mean_iou), ("plants", Some(0.5)));
    let found: Vec<_> = known
        .classes
        .iter()
        .map(|c| (&*c.class, c.iou, c.n_true))
        .collect();
    let expected = [
        ("moss", Some(1.0), 1),
        ("vegetation", Some(0.0), 0),
        ("fern", Some(0.0), 1),
    ];
    assert_eq!(found, expected);
    assert_eq!(known.classes[2].color, Some(Color([1, 2, 3])));
    let html = fs::read_to_string(root.join("report/report.html"))?;
    assert!(html.contains(">fern<") && !html.contains("rider"), "{html}");
    Ok(())
}

#[test]
fn runs_with_other_classes_stand_in_tables_of_their_own() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    write_plants(root)?;
    succeed(&mut closed_set(root, "plants", "labels/plants"))?;
    for run in ["base", "retrained"] {
        succeed(&mut closed_set(root, run, "labels/streets"))?;
    }
    let runs = [
        "--run",
        "a=base",
        "--run",
        "b=plants",
        "--run",
        "c=retrained",
    ];
    succeed(&mut ood_eval(
        root,
        &[&["report", "--output", "report"], &runs[..]].concat(),
    ))?;
    let html = fs::read_to_string(root.join("report/report.html"))?;
    assert!(html.contains("streets, classes of cityscapes"), "{html}");
    assert!(html.contains("streets, classes of plants"), "{html}");
    Ok(())
}

#[test]
fn means_over_other_classes_stand_in_other_columns() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    write_plants(root)?;
    succeed(&mut closed_set(root, "plants", "labels/plants"))?;
    succeed(&mut closed_set(root, "base", "labels/streets"))?;
    fs::create_dir_all(root.join("retrained/closed_set"))?;
    fs::rename(
        root.join("plants/closed_set/streets"),
        root.join("retrained/closed_set/streets"),
    )?;
    let runs = [
        "evaluate",
        "--output",
        "eval",
        "--run",
        "a=base",
        "--run",
        "b=retrained",
    ];
    let text = succeed(&mut ood_eval(root, &runs))?.stdout;
    assert!(
        text.contains("mIoU cityscapes ↑") && text.contains("mIoU plants ↑"),
        "{text}"
    );
    Ok(())
}

#[test]
fn labels_of_other_classes_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    write_plants(root)?;
    change_output(&root.join("labels/plants"), |dir| {
        Index::read(dir)?
            .with_classes(ClassSet::open("camvid")?)
            .write(dir)
    })?;
    fail(
        &mut closed_set(root, "plants", "labels/plants"),
        &[
            "labels/plants",
            "\"plants\" has 3 classes",
            "\"camvid\" has 11",
            "--class-map",
        ],
    )?;
    assert!(
        !root
            .join("plants/closed_set/streets/manifest.json")
            .exists()
    );
    Ok(())
}

#[test]
fn outputs_of_earlier_versions_are_of_cityscapes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    succeed(&mut closed_set(root, "base", "labels/streets"))?;
    change_output(&root.join("base/closed_set/streets"), |dir| {
        Ok(fs::remove_file(dir.join("classes.json"))?)
    })?;
    let evaluate = ["evaluate", "--output", "eval", "--run", "a=base"];
    succeed(&mut ood_eval(root, &evaluate))?;
    let results = Results::read(&root.join("eval"))?;
    let known = results.closed_set.first().context("known classes")?;
    assert_eq!((&*known.class_set, known.classes.len()), ("cityscapes", 19));
    assert_eq!(known.classes[18].class, "bicycle");
    Ok(())
}
