//! `ood-eval detect` on the toy world without labels.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::tables::{read_table, schema};
use hotcoco::mask::{area, fr_polys, to_bbox};
use polars::prelude::{DataFrame, DataType};
use serde_json::Value;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;
use stage_testing::toy::change_output;

fn detect(root: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    command.current_dir(root);
    command.args([
        "detect",
        "--segments",
        "segments",
        "--logits",
        "logits",
        "--output",
        "found",
    ]);
    command.args(more);
    command
}

const META: [&str; 2] = ["--meta", "meta"];

/// Labels, from which only pictures are taken, and outputs of stages without labels.
fn world() -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    common::write_labels(dir.path())?;
    common::write_unlabeled(dir.path(), &common::retrained())?;
    Ok(dir)
}

fn read(root: &Path, name: &str) -> Result<String> {
    fs::read_to_string(root.join("found").join(name)).context(name.to_owned())
}

fn json(root: &Path, name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&read(root, name)?)?)
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value[name]
        .as_array()
        .with_context(|| format!("{name} in {value}"))
}

#[test]
fn images_are_ranked_by_their_most_suspicious_segment() -> Result<()> {
    let dir = world()?;
    let root = dir.path();
    let text = succeed(&mut detect(root, &META))?.stdout;
    assert!(text.contains("report.html"), "{text}");
    let csv = read(root, "images.csv")?;
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let found: Vec<_> = rows[1..].iter().map(|row| row[..7].to_vec()).collect();
    // pictures are twice as large as the component maps: 330 and 130 pixels are 4 times as many there
    let expected = [
        [
            "1",
            "lost_000001",
            "lost_000001.png",
            "0.95",
            "2",
            "1",
            "1840",
        ],
        [
            "2",
            "lost_000002",
            "lost_000002.png",
            "0.9",
            "1",
            "0",
            "1020",
        ],
        ["3", "lost_000003", "lost_000003.png", "", "0", "1", "0"],
    ];
    assert_eq!(found, expected);
    for row in &rows[1..] {
        let overlay = image::open(root.join("found").join(row[8]))?;
        assert_eq!((overlay.width(), overlay.height()), (384, 192));
    }
    let table = schema::ranked_images();
    let frame = read_table(&root.join("found/images.parquet"), &table)?;
    assert_eq!(cells(&frame)?, rows[1..]);
    let names = table.columns.iter().map(|field| &*field.name);
    assert_eq!(names.collect::<Vec<_>>(), rows[0]);
    Ok(())
}

/// The rows of a table as texts, with numbers as CSV files have them; those of missing values are empty.
fn cells(frame: &DataFrame) -> Result<Vec<Vec<String>>> {
    let mut rows = vec![Vec::new(); frame.height()];
    for column in frame.columns() {
        let texts = column.cast(&DataType::String)?;
        for (row, text) in rows.iter_mut().zip(texts.str()?.iter()) {
            let text = text.unwrap_or_default();
            let number = text.parse::<f64>().map(|number| number.to_string());
            row.push(number.unwrap_or(text.to_owned()));
        }
    }
    Ok(rows)
}

#[test]
fn segments_are_boxes_and_polygons_in_pixels_of_the_image() -> Result<()> {
    let dir = world()?;
    let root = dir.path();
    succeed(&mut detect(root, &META))?;
    let all = json(root, "detections.json")?;
    let first = &list(&all, "images")?[0];
    assert_eq!(
        (&first["width"], &first["height"]),
        (&384.into(), &192.into())
    );
    let detection = &list(first, "detections")?[0];
    // the segment (79, 60, 22, 15)
    let expected = serde_json::json!({
        "segment_id": 1, "is_kept": true, "score": 0.95, "false_positive_prob": 0.05, "bbox": [158, 120, 44, 30],
        "area": 1320, "polygons": [[[[158, 120], [202, 120], [202, 150], [158, 150]]]],
    });
    assert_eq!(*detection, expected);
    let csv = read(root, "detections.csv")?;
    assert_eq!(csv.lines().count(), 1 + 5);
    let row = "lost_000001,lost_000001.png,1,true,0.95,0.05,158,120,44,30,1320,\"[[[[158,120],";
    assert!(csv.contains(row), "{csv}");
    Ok(())
}

#[test]
fn annotations_have_the_area_and_the_box_of_their_polygons() -> Result<()> {
    let dir = world()?;
    let root = dir.path();
    succeed(&mut detect(root, &META))?;
    let coco = json(root, "detections_coco.json")?;
    let images = list(&coco, "images")?;
    assert_eq!(images[2]["file_name"], "lost_000003.png");
    assert_eq!(list(&coco, "categories")?[0]["name"], "unknown object");
    let annotations = list(&coco, "annotations")?;
    // two segments are rejected
    assert_eq!(annotations.len(), 3);
    for (number, annotation) in (1..).zip(annotations) {
        let polygons: Vec<Vec<f64>> = serde_json::from_value(annotation["segmentation"].clone())?;
        let filled = fr_polys(&polygons, 192, 384)?;
        assert_eq!(annotation["id"], number);
        assert_eq!(annotation["area"], area(&filled));
        let bbox: [f64; 4] = serde_json::from_value(annotation["bbox"].clone())?;
        assert_eq!(bbox, to_bbox(&filled));
        let of_image = annotation["image_id"].as_u64().context("image_id")? as usize;
        assert_eq!(images[of_image - 1]["id"], of_image);
    }
    assert_eq!(annotations[2]["score"], 0.9);
    Ok(())
}

#[test]
fn without_a_meta_classifier_all_segments_are_kept() -> Result<()> {
    let dir = world()?;
    let root = dir.path();
    succeed(&mut detect(root, &["--report-images", "1"]))?;
    let coco = json(root, "detections_coco.json")?;
    assert_eq!(list(&coco, "annotations")?.len(), 5);
    let csv = read(root, "images.csv")?;
    // half of the probability of a false alarm stands for the entropy in the toy world
    assert!(
        csv.contains("1,lost_000001,lost_000001.png,0.475,3,0,"),
        "{csv}"
    );
    let page = read(root, "report.html")?;
    assert!(page.contains("No meta classifier was used") && page.contains("mean entropy"));
    assert_eq!(page.matches("<article").count(), 1);
    assert!(page.contains("the first 1 are shown"), "{page}");
    Ok(())
}

#[test]
fn segments_of_score_maps_are_rated_by_their_mean_score() -> Result<()> {
    let dir = world()?;
    let root = dir.path();
    common::write_unlabeled_scores(root, &common::retrained())?;
    succeed(&mut detect(root, &[]))?;
    let csv = read(root, "images.csv")?;
    // the probabilities of a false alarm of the toy world are 0.95, 0.8 and 0.1 at the most
    let ranked: Vec<_> = csv
        .lines()
        .skip(1)
        .map(|l| l.split(',').collect())
        .collect();
    let suspicions = ranked.iter().map(|row: &Vec<_>| row[3].parse::<f64>());
    let expected = [4.0 * 0.95 - 5.0, 4.0 * 0.8 - 5.0, 4.0 * 0.1 - 5.0];
    assert_eq!(suspicions.collect::<Result<Vec<_>, _>>()?, expected);
    let page = read(root, "report.html")?;
    assert!(page.contains("the mean of the score RbA over its pixels"));
    let all = json(root, "detections.json")?;
    assert_eq!(all["score"].as_str().map(|s| s.contains("RbA")), Some(true));
    let coco = json(root, "detections_coco.json")?;
    assert_eq!(list(&coco, "annotations")?.len(), 5);
    // with a meta classifier, the score is that of its probability
    succeed(&mut detect(root, &META))?;
    let csv = read(root, "images.csv")?;
    assert!(
        csv.contains("1,lost_000001,lost_000001.png,0.95,2,1,"),
        "{csv}"
    );
    Ok(())
}

#[test]
fn done_work_is_not_done_again_and_does_not_depend_on_threads() -> Result<()> {
    let dir = world()?;
    let root = dir.path();
    succeed(&mut detect(root, &META))?;
    let before = files(&root.join("found"))?;
    let text = succeed(&mut detect(root, &META))?.stderr;
    assert!(text.contains("up to date"), "{text}");
    succeed(&mut detect(
        root,
        &["--meta", "meta", "--force", "--threads", "1"],
    ))?;
    let mut after = files(&root.join("found"))?;
    for (name, content) in before {
        let again = after.remove(&name);
        assert!(name == "manifest.json" || again == Some(content), "{name}");
    }
    Ok(())
}

#[test]
fn segments_without_labels_cannot_be_evaluated() -> Result<()> {
    let dir = world()?;
    let root = dir.path();
    fs::create_dir_all(root.join("run/segments"))?;
    fs::rename(root.join("segments"), root.join("run/segments/lost"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    command.current_dir(root);
    command.args(["evaluate", "--run", "a=run", "--output", "eval"]);
    fail(
        &mut command,
        &["run/segments/lost", "without labels", "`ood-eval detect`"],
    )?;
    Ok(())
}

#[test]
fn tables_that_do_not_belong_together_are_refused() -> Result<()> {
    let dir = world()?;
    let root = dir.path();
    let other = tempfile::tempdir()?;
    common::write_labels(other.path())?;
    common::write_unlabeled(other.path(), &common::baseline())?;
    let meta = other.path().join("meta").display().to_string();
    fail(
        &mut detect(root, &["--meta", &meta]),
        &[
            "run `meta-clf apply`",
            "segment 2 of lost_000003 is not there",
        ],
    )?;
    change_output(&root.join("segments"), |dir| {
        let map = common::component_map(&common::baseline()[0]);
        map.write(&dir.join("components/lost_000001.png"))
    })?;
    fail(
        &mut detect(root, &META),
        &[
            "lost_000001.png",
            "segment 1 has 80 pixels",
            "330 in the tables",
        ],
    )?;
    assert!(!root.join("found/report.html").exists());
    Ok(())
}
