//! The reference's numbers: standardized metrics, coefficients, held-out probabilities and scores.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::atomic::read_json;
use artifacts::basis::Basis;
use artifacts::manifest::Manifest;
use artifacts::tables::features::segment_features;
use measures::ranking::{auprc, auroc};
use meta_clf::scaler::Scaler;
use meta_clf::segments::Segments;
use serde_json::Value;
use stage_testing::data::golden;
use stage_testing::npy::Npy;

use crate::run::{Scratch, fit};
use crate::toy::Table;

/// Folders with the reference's numbers, sorted.
fn golden_cases() -> Result<Vec<PathBuf>> {
    let root = golden("meta");
    let mut cases = fs::read_dir(&root)?
        .map(|e| Ok(e?.path()))
        .collect::<Result<Vec<_>>>()?;
    cases.sort();
    ensure!(!cases.is_empty(), "{} is empty", root.display());
    Ok(cases)
}

/// Columns of a CSV file of numbers, by their names; texts become NaN.
fn read_csv(path: &Path) -> Result<BTreeMap<String, Vec<f64>>> {
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().context("a header")?.split(',').collect();
    let mut columns = vec![Vec::new(); names.len()];
    for line in lines {
        for (column, cell) in columns.iter_mut().zip(line.split(',')) {
            column.push(cell.parse().unwrap_or(f64::NAN));
        }
    }
    Ok(names.into_iter().map(str::to_owned).zip(columns).collect())
}

/// The segments of a case, whose images are given by the rows at which they start.
fn golden_table(case: &Path, result: &Value) -> Result<Table> {
    let mut metrics = read_csv(&case.join("metrics.csv"))?;
    let starts: Vec<usize> = serde_json::from_value(result["start"].clone())?;
    let images = starts.windows(2).enumerate();
    let truth = metrics.remove("iou0").context("iou0")?;
    let features = segment_features(19).into_iter();
    Ok(Table {
        sample_ids: images
            .flat_map(|(i, pair)| vec![format!("image_{i:03}"); pair[1] - pair[0]])
            .collect(),
        is_false_positive: truth.iter().map(|&y| y > 0.0).collect(),
        features: features
            .map(|f| {
                let column = metrics.remove(&f.reference_name);
                Ok((f.name, column.context(f.reference_name)?))
            })
            .collect::<Result<_>>()?,
        classes: None,
        basis: Basis::logits(19),
        has_truth: true,
    })
}

fn assert_close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what} {i}: {a} is not {b}");
    }
}

/// The position among our metrics of each of the reference's columns.
fn reference_order() -> Vec<usize> {
    let features = segment_features(19).into_iter().enumerate();
    let mut names: Vec<_> = features.map(|(i, f)| (f.reference_name, i)).collect();
    names.sort();
    names.into_iter().map(|(_, i)| i).collect()
}

#[test]
fn golden_standardized_features_agree() -> Result<()> {
    for case in golden_cases()? {
        let result: Value = read_json(&case.join("result.json"))?;
        let scratch = Scratch::new()?;
        let dir = scratch.write("segments", &golden_table(&case, &result)?)?;
        let segments = Segments::read(&[dir])?;
        let scaler = Scaler::fit(segments.rows(), segments.names.len());
        let design = scaler.design(segments.rows());
        let order = reference_order();
        let ours: Vec<f64> = design
            .rows()
            .flat_map(|row| order.iter().map(|&i| row[i]))
            .collect();
        let expected = Npy::read(&case.join("X.npy"), "<f8")?;
        assert_eq!(expected.shape, [segments.len(), order.len()]);
        assert_close("X", &ours, &expected.doubles(), 1e-9);
    }
    Ok(())
}

#[test]
fn golden_probabilities_and_scores_agree() -> Result<()> {
    for case in golden_cases()? {
        let result: Value = read_json(&case.join("result.json"))?;
        let table = golden_table(&case, &result)?;
        let scratch = Scratch::new()?;
        let dir = scratch.write("segments", &table)?;
        fit(&dir, &scratch.path("out"), &["--compat"])?;
        let decisions = scratch.decisions("out")?;
        let (probs, rejected) = (&decisions.probs, &decisions.is_rejected);
        let expected = read_csv(&case.join("loo.csv"))?;
        assert_close("p", probs, &expected["p_exact"], 1e-8);
        assert_close("p", probs, &expected["p_liblinear_tol1e-12"], 2e-3);
        assert_close("p", probs, &expected["p_liblinear_default"], 2e-3);

        let truth = &table.is_false_positive;
        let n_correct = truth.iter().zip(rejected).filter(|(y, r)| y == r).count();
        let scores = [
            ("auroc", auroc(probs, truth)),
            ("auprc", auprc(probs, truth)),
            ("accuracy", Some(n_correct as f64 / truth.len() as f64)),
        ];
        for (name, score) in scores {
            let score = score.context("defined")?;
            let expected = result["exact"][name].as_f64().context("a number")?;
            assert_close(name, &[score], &[expected], 1e-9);
        }
        golden_counts_agree(&scratch.file("out"), &result)
            .with_context(|| format!("counts of {}", case.display()))?;
    }
    Ok(())
}

fn golden_counts_agree(output: &Path, result: &Value) -> Result<()> {
    let counts = Manifest::read(output)?.counts;
    let removed = &result["remove"];
    for (name, expected) in [
        ("segments", &result["n"]),
        ("false_positives", &result["n_fp"]),
        ("false_positives", &removed["fp_before"]),
        ("false_positives_kept", &removed["fp_after_meaningful"]),
        (
            "true_positives_rejected",
            &removed["fp_after_reference_formula"],
        ),
    ] {
        let got = counts[name];
        ensure!(Some(got) == expected.as_u64(), "{got} {name}: {expected}");
    }
    Ok(())
}

#[test]
fn golden_coefficients_agree() -> Result<()> {
    for case in golden_cases()? {
        let result: Value = read_json(&case.join("result.json"))?;
        let scratch = Scratch::new()?;
        let dir = scratch.write("segments", &golden_table(&case, &result)?)?;
        fit(&dir, &scratch.path("out"), &["--compat"])?;
        let (model, linear) = (scratch.model("out")?, scratch.linear("out")?);
        let in_order = |values: &[f64], last: f64| -> Vec<f64> {
            let values = reference_order().into_iter().map(|i| values[i]);
            values.chain([last]).collect()
        };
        let expected = read_csv(&case.join("coef_all_data.csv"))?;
        let coefficients = in_order(&linear.coefficients, linear.intercept);
        assert_close("coefficient", &coefficients, &expected["coef_exact"], 1e-8);
        let liblinear = &expected["coef_liblinear_default"];
        assert_close("coefficient", &coefficients, liblinear, 2e-3);
        assert_close("std", &in_order(&model.std, 1.0), &expected["std"], 1e-9);
        for (got, expected) in in_order(&model.mean, 0.0).iter().zip(&expected["mean"]) {
            assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0));
        }
    }
    Ok(())
}
