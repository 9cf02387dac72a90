//! `meta-clf apply`: a model for other segments, and models that are refused.

use std::fs;

use anyhow::Result;
use artifacts::atomic::{read_json, write_json};
use measures::ranking::auroc;
use serde_json::Value;

use crate::run::{Scratch, apply, apply_fails, apply_with_fails, fit};
use crate::toy::Table;

#[test]
fn a_model_is_fitted_and_applied() -> Result<()> {
    let scratch = Scratch::new()?;
    let (first, second) = (
        Table::toy(60, |i| i % 3 == 0),
        Table::toy(40, |i| i % 2 == 0),
    );
    let (train, test) = (
        scratch.write("train", &first)?,
        scratch.write("test", &second)?,
    );
    let fitted = scratch.path("fitted");
    let printed = fit(&train, &fitted, &[])?;
    assert!(
        printed
            .stdout
            .contains("60 segments, 20 false positives; held out: AUROC 0."),
        "{printed:?}"
    );
    let again = fit(&train, &fitted, &[])?;
    assert_eq!(again.stdout, "", "the same work is not done again");

    let model = scratch.path("fitted/model.json");
    let printed = apply(&model, &test, &scratch.path("applied"), &[])?;
    assert!(
        printed
            .stdout
            .contains("40 segments, 20 false positives; with a given model"),
        "{printed:?}"
    );
    assert!(!printed.stderr.contains("optimistic"), "{printed:?}");
    let decisions = scratch.decisions("applied")?;
    assert_eq!(decisions.segment_ids, (1..=40).collect::<Vec<u32>>());
    let threshold = scratch.model("fitted")?.threshold;
    assert!(decisions.follow(threshold) && !decisions.follow(0.25));
    // unless another threshold is given
    apply(
        &model,
        &test,
        &scratch.path("applied"),
        &["--threshold", "0.25"],
    )?;
    assert!(scratch.decisions("applied")?.follow(0.25));
    let flags = ["--threshold", "1.5"];
    let words = ["--threshold 1.5 is not in [0, 1]"];
    apply_with_fails(&model, &test, &scratch.path("applied"), &flags, &words)?;

    let printed = apply(&model, &train, &scratch.path("seen"), &[])?;
    assert!(printed.stderr.contains("optimistic"), "{printed:?}");
    let truth = &first.is_false_positive;
    let seen = auroc(&scratch.decisions("seen")?.probs, truth);
    let held_out = auroc(&scratch.decisions("fitted")?.probs, truth);
    assert!(
        seen > held_out,
        "held-out probabilities are worse than those of seen segments"
    );
    Ok(())
}

#[test]
fn wrong_models_are_one_clear_line() -> Result<()> {
    let scratch = Scratch::new()?;
    let segments = scratch.write("segments", &Table::toy(8, |i| i % 2 == 0))?;
    let output = scratch.path("out");
    let (path, file) = (
        scratch.path("fitted/model.json"),
        scratch.file("fitted/model.json"),
    );
    let refused = |expected: &[&str]| apply_fails(&path, &segments, &output, expected);
    refused(&["model.json does not exist", "meta-clf fit"])?;
    fit(&segments, &scratch.path("fitted"), &[])?;
    let model: Value = read_json(&file)?;
    let refused_with = |key: &str, value: Value, expected: &str| {
        let mut model = model.clone();
        model[key] = value;
        write_json(&file, &model)?;
        refused(&["model.json", expected])
    };
    refused_with(
        "format_version",
        2.into(),
        "format version 2 is not 3: run `meta-clf fit` again",
    )?;
    refused_with("threshold", 2.into(), "threshold 2 is not a probability")?;
    refused_with("mean", vec![0.0; 3].into(), "3 means")?;
    refused_with("surprise", 1.into(), "surprise")?;
    let mut classifier = model["classifier"].clone();
    classifier["coefficients"] = vec![0.0; 3].into();
    refused_with("classifier", classifier.clone(), "3 coefficients")?;
    classifier["kind"] = "oracle".into();
    refused_with("classifier", classifier, "oracle")?;
    let mut names = model["features"].clone();
    names[3] = "colour".into();
    refused_with("features", names, "\"colour\" where the table has")?;
    fs::write(&file, "{")?;
    refused(&["model.json", "line 1"])
}
