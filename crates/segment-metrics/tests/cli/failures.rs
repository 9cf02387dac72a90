//! Inputs that cannot be used are named, with what to do.

use std::fs;

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::labels::MaskKind;
use artifacts::logits::{Logits, Precision};
use artifacts::mask::Mask;
use stage_testing::command::succeed;

use crate::toy::{CLASSES, HEIGHT, Toy, WIDTH, flagged_logits, logits};

#[test]
fn logits_that_are_no_numbers_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let file = toy.logits("b");
    let mut bytes = fs::read(&file)?;
    let last = bytes.len() - 2;
    bytes[last..].copy_from_slice(&half::f16::NAN.to_le_bytes());
    fs::write(&file, bytes)?;
    toy.check_fails(
        &[],
        &["b.safetensors", "channel 2, row 7, column 11", "NaN"],
    )
}

/// What other programs store in place of logits `[C, h, w]`.
#[test]
fn other_orders_and_probabilities_are_refused() -> Result<()> {
    let toy = Toy::new()?;
    let info = logits("b", HEIGHT, WIDTH)?.info;
    let last: Vec<f32> = (0..CLASSES * HEIGHT * WIDTH).map(|i| i as f32).collect();
    let n = HEIGHT * WIDTH;
    let probabilities: Vec<f32> = [0.125, 0.25, 0.625]
        .iter()
        .flat_map(|&p| vec![p; n])
        .collect();
    for precision in [Precision::F16, Precision::F32] {
        for (shape, values, words) in [
            ([HEIGHT, WIDTH, CLASSES], &last, "in the order [h, w, C]"),
            ([WIDTH, HEIGHT, CLASSES], &last, "in the order [w, h, C]"),
            ([CLASSES, WIDTH, HEIGHT], &last, "in the order [C, w, h]"),
            (
                [CLASSES, HEIGHT, WIDTH],
                &probabilities,
                "it holds probabilities, not logits",
            ),
        ] {
            let foreign = Logits::new(info.clone(), shape, values.clone())?;
            foreign.write(&toy.logits("b"), precision)?;
            toy.relist("logits")?;
            toy.check_fails(&[], &["b.safetensors", words, "store"])?;
        }
    }
    Ok(())
}

#[test]
fn missing_and_foreign_logits_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let file = toy.logits("b");
    logits("other", HEIGHT, WIDTH)?.write(&file, Precision::F32)?;
    // not as large as its stage wrote it
    toy.check_fails(&[], &["b.safetensors has 1552 bytes", "run `toy` again"])?;
    toy.relist("logits")?;
    toy.check_fails(&[], &["b.safetensors", "logits of other"])?;
    logits("b", HEIGHT, WIDTH + 1)?.write(&file, Precision::F32)?;
    toy.relist("logits")?;
    toy.check_fails(&[], &["b.safetensors", "13x8", "12x8"])?;
    let mut two_classes = logits("b", HEIGHT, WIDTH)?;
    two_classes.info.classes = ClassSet::unnamed(2)?;
    two_classes.write(&file, Precision::F32)?;
    toy.relist("logits")?;
    toy.check_fails(
        &[],
        &["b.safetensors have different classes", "has 3 classes"],
    )?;
    fs::remove_file(&file)?;
    toy.check_fails(&[], &["b.safetensors", "does not exist", "seg-model infer"])?;
    fs::remove_file(toy.path("logits/manifest.json"))?;
    fs::create_dir(toy.path("logits/in-progress"))?;
    toy.check_fails(&["--limit", "1"], &["--logits", "did not finish"])
}

#[test]
fn unusable_labels_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let mask = toy.path("labels/masks/c.png");
    Mask::filled(WIDTH, HEIGHT, 7).write(&mask)?;
    toy.relist("labels")?;
    toy.check_fails(&[], &["masks/c.png", "value 7"])?;
    Mask::filled(HEIGHT, WIDTH, 0).write(&mask)?;
    toy.relist("labels")?;
    toy.check_fails(&[], &["masks/c.png", "8x12", "12x8"])?;
    let bytes = fs::read(toy.path("labels/masks/a.png"))?;
    fs::write(&mask, &bytes[..bytes.len() / 2])?;
    toy.relist("labels")?;
    toy.check_fails(&[], &["masks/c.png"])?;
    toy.write_labels(MaskKind::TrainId)?;
    toy.check_fails(&[], &["labels", "TrainId", "Eval"])?;
    fs::remove_file(toy.path("labels/index.json")).context("there was an index")?;
    toy.relist("labels")?;
    toy.check_fails(&[], &["index.json", "cityscapes-io prepare"])
}

#[test]
fn unusable_thresholds_are_named() -> Result<()> {
    let toy = Toy::new()?;
    toy.check_fails(&["--thresholds", "0.5,0.50"], &["0.5 twice"])?;
    toy.check_fails(
        &["--thresholds", "NaN"],
        &["--thresholds", "not a finite number"],
    )?;
    toy.check_fails(
        &["--entropy-threshold", "NaN"],
        &["--threshold is not a number"],
    )
}

/// The entropy's 0.7 says nothing about another score.
#[test]
fn other_scores_need_a_threshold() -> Result<()> {
    let toy = Toy::new()?;
    for score in ["energy", "margin", "max_logit", "max_softmax"] {
        for thresholds in [&[][..], &["--thresholds", "0.5"]] {
            let flags = [&["--score", score][..], thresholds].concat();
            let words = [
                "has no usual threshold (it is",
                "with --threshold T",
                "--track anomaly or --track obstacle",
            ];
            toy.check_fails(&flags, &[&[score][..], &words].concat())?;
        }
        toy.run(score, &["--score", score, "--track", "obstacle"])?;
    }
    Ok(())
}

#[test]
fn thresholds_outside_of_the_range_of_a_score_are_warned_of() -> Result<()> {
    let toy = Toy::new()?;
    let check = |flags: &[&str], words: Option<&str>| -> Result<()> {
        let log = succeed(toy.command("out", flags).arg("--force"))?.stderr;
        assert_eq!(log.contains("the threshold"), words.is_some(), "{log}");
        assert!(log.contains(words.unwrap_or_default()), "{log}");
        Ok(())
    };
    check(
        &["--entropy-threshold", "70"],
        Some("the threshold 70 flags no pixel: --score entropy (it is in [0, 1]"),
    )?;
    check(
        &["--thresholds", "0.5,0"],
        Some("the threshold 0 flags every pixel"),
    )?;
    check(
        &["--score", "margin", "--entropy-threshold", "1.01"],
        Some("flags no pixel: --score margin"),
    )?;
    check(&["--score", "energy", "--entropy-threshold", "-9"], None)?;
    check(&["--entropy-threshold", "1"], None)
}

#[test]
fn too_many_segments_for_a_map() -> Result<()> {
    let toy = Toy::new()?;
    let (width, height) = (512, 514);
    toy.write_one_label(width, height)?;
    let lattice = flagged_logits("a", height, width, |y, x| y % 2 == 0 && x % 2 == 0)?;
    lattice.write(&toy.logits("a"), Precision::F16)?;
    toy.relist("logits")?;
    toy.check_fails(&[], &["sample a", "65792 segments", "--min-size"])?;
    toy.run("out", &["--min-size", "2"])
}
