//! What `fit` and `apply` write besides decisions and models.

use std::fs;

use anyhow::Result;
use artifacts::atomic::read_json;
use artifacts::mask::{ComponentMap, Mask};
use artifacts::tables::features::segment_features;
use artifacts::tables::schema::{coefficients, contributions, correlations, overlaps, regression};
use artifacts::tables::{read_table, write_table};
use polars::prelude::Column;
use serde_json::Value;
use stage_testing::toy::change_output;

use crate::run::{Scratch, apply, fit, fit_fails};
use crate::toy::Table;

#[test]
fn masks_have_the_segments_that_are_kept() -> Result<()> {
    let scratch = Scratch::new()?;
    let segments = scratch.write("segments", &Table::toy(48, |i| i % 4 < 2))?;
    let maps = scratch.file("segments/components");
    change_output(&scratch.file("segments"), |_| {
        fs::create_dir_all(&maps)?;
        for i in 0..12_u16 {
            // four segments of one pixel each, numbered through the table
            let map = ComponentMap {
                width: 5,
                height: 1,
                ids: vec![4 * i + 1, 4 * i + 2, 0, 4 * i + 3, 4 * i + 4],
            };
            map.write(&maps.join(format!("image_{i:03}.png")))?;
        }
        Ok(())
    })?;
    let output = scratch.path("out");
    fit(&segments, &output, &["--masks", "--threshold", "0.5"])?;
    let rejected = scratch.decisions("out")?.is_rejected;
    assert!(rejected.contains(&true) && rejected.contains(&false));
    for i in 0..12 {
        let mask = Mask::read_raw(&scratch.file(&format!("out/masks/image_{i:03}.png")))?;
        let kept = |k: usize| if rejected[4 * i + k] { 0 } else { 255 };
        assert_eq!(mask.labels, [kept(0), kept(1), 0, kept(2), kept(3)]);
    }
    // masks that are gone are made again
    fs::remove_dir_all(scratch.file("out/masks"))?;
    let printed = fit(&segments, &output, &["--masks", "--threshold", "0.5"])?;
    assert!(
        printed.stderr.contains("image_000.png is gone"),
        "{printed:?}"
    );
    assert!(scratch.file("out/masks/image_011.png").exists());
    change_output(&scratch.file("segments"), |_| {
        Ok(fs::remove_dir_all(&maps)?)
    })?;
    let parts = ["component maps", "segment-metrics"];
    fit_fails(&segments, &output, &["--masks", "--force"], &parts)
}

#[test]
fn explanations_add_up_to_the_probabilities() -> Result<()> {
    let scratch = Scratch::new()?;
    let segments = scratch.write("segments", &Table::toy(60, |i| i % 3 == 0))?;
    fit(&segments, &scratch.path("fitted"), &[])?;
    let model = scratch.path("fitted/model.json");
    apply(&model, &segments, &scratch.path("applied"), &["--explain"])?;
    let features: Vec<String> = segment_features(19).into_iter().map(|f| f.name).collect();
    let terms = read_table(
        &scratch.file("applied/contributions.parquet"),
        &contributions(&features, None),
    )?;
    let column = |name: &str| -> Result<Vec<f64>> {
        Ok(terms.column(name)?.f64()?.iter().flatten().collect())
    };
    let mut odds = column("intercept")?;
    for name in &features {
        for (sum, term) in odds.iter_mut().zip(column(name)?) {
            *sum += term;
        }
    }
    for (odds, prob) in odds.iter().zip(&scratch.decisions("applied")?.probs) {
        assert!((1.0 / (1.0 + (-odds).exp()) - prob).abs() < 1e-12);
    }
    let table = read_table(
        &scratch.file("fitted/coefficients.parquet"),
        &coefficients(),
    )?;
    assert_eq!(table.height(), 76);
    let errors = table.column("standard_error")?.f64()?;
    // the prior alone has a deviation of 1, and data only make it smaller
    assert!(errors.iter().flatten().all(|e| e > 0.0 && e <= 1.0 + 1e-12));
    let table = read_table(
        &scratch.file("fitted/correlations.parquet"),
        &correlations(),
    )?;
    assert_eq!(table.height(), 75 * 74 / 2);
    let values = table.column("correlation")?.f64()?;
    assert!(values.iter().flatten().all(|c| c.abs() < 1.0 + 1e-9));
    let scores = fs::read_to_string(scratch.file("fitted/scores.json"))?;
    assert!(scores.contains("calibration_error"), "{scores}");
    Ok(())
}

#[test]
fn the_adjusted_iou_is_regressed() -> Result<()> {
    let scratch = Scratch::new()?;
    let table = Table::toy(200, |_| false);
    let train = scratch.write("train", &table)?;
    let fitted = scratch.path("fitted");
    fit(&train, &fitted, &[])?;
    assert!(!scratch.file("fitted/regression.parquet").exists());
    let printed = fit(&train, &fitted, &["--regress"])?;
    assert!(
        printed.stdout.contains("adjusted IoU: R2 0."),
        "{printed:?}"
    );
    let model = scratch.path("fitted/model.json");
    apply(&model, &train, &scratch.path("applied"), &[])?;
    let truth = table.adjusted_ious();
    let error = |name: &str| -> Result<f64> {
        let file = scratch.file(name).join("regression.parquet");
        let table = read_table(&file, &regression())?;
        let predictions = table.column("predicted_iou")?.f64()?.into_no_null_iter();
        Ok(predictions.zip(&truth).map(|(a, b)| (a - b).powi(2)).sum())
    };
    let (held_out, seen) = (error("fitted")?, error("applied")?);
    // the truth is linear in one metric, and the penalty is small
    assert!(seen < held_out && held_out < 0.01, "{seen} {held_out}");
    let scores: Value = read_json(&scratch.file("fitted/scores.json"))?;
    let r2 = scores["regression"]["r2"]["value"].as_f64();
    assert!(r2.is_some_and(|r| r > 0.95), "{scores}");
    Ok(())
}

#[test]
fn objects_that_lose_all_their_segments_are_counted() -> Result<()> {
    let scratch = Scratch::new()?;
    // two true segments in each image of four, so that each image has one object that is found
    let table = Table::toy(48, |i| i % 4 < 2);
    let train = scratch.write("train", &table)?;
    let output = scratch.path("out");
    for threshold in ["0.01", "0.5", "1"] {
        fit(&train, &output, &["--threshold", threshold])?;
        let rejected = scratch.decisions("out")?.is_rejected;
        let images = rejected.chunks(4);
        let lost = images.filter(|r| r[2] && r[3]).count();
        let gone = (0..48).filter(|&i| rejected[i] && !table.is_false_positive[i]);
        let scores: Value = read_json(&scratch.file("out/scores.json"))?;
        let count = |name: &str| scores["rejection"][name].as_u64();
        assert_eq!(count("objects_found"), Some(12));
        assert_eq!(count("objects_newly_missed"), Some(lost as u64));
        assert_eq!(count("true_positives_rejected"), Some(gone.count() as u64));
        match threshold {
            "0.01" => assert!(lost > 0),
            "1" => assert_eq!(lost, 0),
            _ => {}
        }
    }
    change_output(&scratch.file("train"), |dir| {
        let path = dir.join("overlaps.parquet");
        let table = overlaps();
        let frame = read_table(&path, &table)?.head(Some(1));
        write_table(&path, &table, &frame.vstack(&frame)?)
    })?;
    let parts = [
        "overlaps.parquet",
        "object 1 and segment 3 of image_000 occur twice",
    ];
    fit_fails(&train, &output, &["--force"], &parts)?;
    change_output(&scratch.file("train"), |dir| {
        let path = dir.join("overlaps.parquet");
        let table = overlaps();
        let mut frame = read_table(&path, &table)?;
        let ids = vec![99_u32; frame.height()];
        frame.with_column(Column::new("segment_id".into(), ids))?;
        write_table(&path, &table, &frame)
    })?;
    let parts = [
        "overlaps.parquet",
        "segment 99 of image_000",
        "run `segment-metrics` again",
    ];
    fit_fails(&train, &output, &["--force"], &parts)?;
    fs::remove_file(scratch.file("train/overlaps.parquet"))?;
    let parts = ["overlaps.parquet", "run `segment-metrics` again"];
    fit_fails(&train, &output, &["--force"], &parts)
}
