//! Metrics compared with those of the reference implementation, of cityscapesScripts and of `SegmentMeIfYouCan`'s benchmark.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::labels::{EvalLabel, MaskKind};
use artifacts::mask::Mask;
use measures::calibration::Calibration;
use measures::confusion::Confusion;
use measures::curves::{auprc, auroc, best_f1, fpr95};
use measures::pixel_counts::{BinCount, Histogram, totals};
use measures::reference_curves::{NUM_BINS, reference_curves};
use measures::score_bins::bin_of;
use serde_json::Value;
use stage_testing::data::{golden, golden_or_committed};
use stage_testing::npy::Npy;

fn read_json(path: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn numbers(value: &Value) -> Result<Vec<f64>> {
    let list = value.as_array().context("a list")?;
    list.iter()
        .map(|v| v.as_f64().context("a number"))
        .collect()
}

fn bins(value: &Value) -> Result<[u64; NUM_BINS]> {
    let list = value.as_array().context("a list")?;
    let counts = list.iter().map(|v| v.as_u64().context("a count"));
    let counts: Vec<u64> = counts.collect::<Result<_>>()?;
    counts.try_into().ok().context("100 bins")
}

#[test]
fn golden_pixel_figures_of_the_reference() -> Result<()> {
    let cases = read_json(&golden("pixel").join("pixel.json"))?;
    let cases = cases.as_object().context("cases by name")?;
    assert!(!cases.is_empty());
    for (name, case) in cases {
        let ours = reference_curves(&bins(&case["counts_in"])?, &bins(&case["counts_out"])?);
        let expected = &case["reference"];
        for (metric, ours) in [
            ("auroc", ours.auroc),
            ("fpr95", ours.fpr95),
            ("auprc", ours.auprc),
        ] {
            let theirs = expected[metric].as_f64();
            let same = match (ours, theirs) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                (a, b) => a == b,
            };
            assert!(same, "{name}: {metric} is {ours:?} instead of {theirs:?}");
        }
    }
    Ok(())
}

/// Every folder of `closed_set` is a case, made by `closed_set/make.py` with cityscapesScripts.
#[test]
fn golden_closed_set_figures_of_cityscapes_scripts() -> Result<()> {
    let dir = golden_or_committed("closed_set");
    let expected = read_json(&dir.join("expected.json"))?;
    let cases = expected["cases"].as_object().context("cases by name")?;
    assert!(!cases.is_empty());
    for (name, case) in cases {
        let mut confusion = Confusion::new(19);
        for image in 0.. {
            let truth = dir.join(name).join(format!("{image}.truth.png"));
            if !truth.exists() {
                assert!(image > 0, "{name} has no images");
                break;
            }
            let pred = truth.with_file_name(format!("{image}.pred.png"));
            let truth = Mask::read(&truth, MaskKind::TrainId, 19)?;
            confusion.count(&truth.labels, &Mask::read_raw(&pred)?.labels);
        }
        let close = |ours: Option<f64>, theirs: &Value| match (ours, theirs.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            (a, b) => a == b,
        };
        for (class, theirs) in case["iou"].as_array().context("a list")?.iter().enumerate() {
            let ours = confusion.iou(class);
            assert!(close(ours, theirs), "{name}, class {class}: {ours:?}");
        }
        for (metric, ours) in [
            ("mean_iou", confusion.mean_iou_with_absent()),
            ("pixel_accuracy", confusion.pixel_accuracy()),
        ] {
            let theirs = &case[metric];
            assert!(close(ours, theirs), "{name}: {metric} is {ours:?}");
        }
    }
    Ok(())
}

/// Confidences are rounded to 2^-24 in sums, hence the tolerance.
#[test]
fn golden_calibration_error() -> Result<()> {
    let expected = read_json(&golden_or_committed("closed_set").join("expected.json"))?;
    let cases = expected["calibration"].as_object().context("cases")?;
    assert!(!cases.is_empty());
    for (name, case) in cases {
        let right = case["right"].as_array().context("a list")?;
        let mut calibration = Calibration::default();
        for (confidence, right) in numbers(&case["confidence"])?.into_iter().zip(right) {
            calibration.count(confidence as f32, right.as_bool().context("a bool")?);
        }
        let (ours, theirs) = (calibration.error(), case["error"].as_f64());
        let difference = ours.zip(theirs).map(|(a, b)| (a - b).abs());
        assert!(difference.is_some_and(|d| d < 1e-7), "{name}: {ours:?}");
    }
    Ok(())
}

/// Metrics of the pixels in `smiyc`: those of an exact sort, and those of the benchmark's tool, whose bins differ from frame to frame.
#[test]
fn golden_pixel_figures_of_the_benchmark() -> Result<()> {
    let dir = golden("smiyc");
    let expected = read_json(&dir.join("expected.json"))?;
    let histogram = half_histogram(&dir)?;
    let (f1, threshold) = best_f1(&histogram).context("both sides have pixels")?;
    let metrics = [
        auprc(&histogram),
        auroc(&histogram),
        fpr95(&histogram),
        Some(f1),
        Some(f64::from(threshold)),
    ];
    let check = |case: &Value, keys: [&str; 5], tolerance: f64| {
        for (key, ours) in keys.into_iter().zip(metrics) {
            let theirs = case[key].as_f64();
            let difference = ours.zip(theirs).map(|(a, b)| (a - b).abs());
            assert!(
                difference.is_some_and(|d| d < tolerance),
                "{key}: {ours:?} instead of {theirs:?}"
            );
        }
    };
    // half floats are the smallest scores of bins, so nothing is lost by binning
    let keys = [
        "ap",
        "auroc",
        "fpr_at_first_tpr_ge_095",
        "best_f1",
        "best_f1_threshold_ge",
    ];
    check(&expected["exact"], keys, 1e-9);
    assert_eq!(
        expected["exact"]["pixels"]
            .as_u64()
            .zip(expected["exact"]["positives"].as_u64()),
        Some(totals(&histogram)).map(|(n_in, n_out)| (n_in + n_out, n_out))
    );
    let keys = [
        "area_PRC",
        "area_ROC",
        "tpr95_fpr",
        "best_f1",
        "best_f1_threshold",
    ];
    for dtype in ["float16", "float32"] {
        for name in ["PixBinaryClass", "PixBinaryClass-uniThr"] {
            check(&expected[dtype][name], keys, 2e-3);
        }
    }
    Ok(())
}

/// The evaluated pixels of all frames in `dir` by score.
fn half_histogram(dir: &Path) -> Result<Histogram> {
    let mut bins: BTreeMap<u32, BinCount> = BTreeMap::new();
    for frame in 0.. {
        let path = dir.join(format!("gt_{frame}.png"));
        if !path.exists() {
            break;
        }
        let truth = Mask::read(&path, MaskKind::Eval, 0)?;
        let scores = Npy::read(&dir.join(format!("score_{frame}.npy")), "<f2")?.halves();
        for (score, label) in scores.into_iter().zip(truth.labels) {
            let bin = bin_of(score)?;
            let count = bins.entry(bin).or_insert(BinCount {
                bin,
                ..BinCount::default()
            });
            count.n_in += u64::from(label == EvalLabel::In as u8);
            count.n_out += u64::from(label == EvalLabel::Out as u8);
        }
    }
    Ok(bins.into_values().collect())
}
