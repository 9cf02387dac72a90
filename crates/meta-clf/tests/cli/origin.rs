//! Models and segments that were made in different ways.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use stage_testing::toy::stage_output_of;

use crate::run::{Scratch, apply, apply_fails, fit, fit_fails};
use crate::toy::{Table, usual_arguments};

/// Segments of 40 rows with some arguments of `segment-metrics` replaced.
fn write(scratch: &Scratch, name: &str, arguments: &Value) -> Result<String> {
    let mut all = usual_arguments();
    for (key, value) in arguments.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let table = Table::toy(40, |i| i % 2 == 0);
    table.write_as(&scratch.file(name), &all, &[], [2048, 1024])?;
    Ok(scratch.path(name))
}

#[test]
fn segments_that_make_the_numbers_meaningless_are_refused() -> Result<()> {
    let scratch = Scratch::new()?;
    let usual = write(&scratch, "usual", &json!({}))?;
    let (fitted, model) = (scratch.path("fitted"), scratch.path("fitted/model.json"));
    fit(&usual, &fitted, &[])?;
    let origin = scratch.model("fitted")?.origin;
    assert_eq!((origin.threshold, origin.connectivity), (Some(0.7), 8));
    assert_eq!(origin.image_sizes, [[2048, 1024]]);
    let output = scratch.path("out");
    for (name, arguments, first, second) in [
        (
            "energy",
            json!({ "score": "energy" }),
            "the score entropy",
            "the score energy",
        ),
        (
            "low",
            json!({ "entropy_threshold": 0.25 }),
            "the threshold 0.7",
            "the threshold 0.25",
        ),
        (
            "four",
            json!({ "connectivity": 4 }),
            "8-connected",
            "4-connected",
        ),
    ] {
        let other = write(&scratch, name, &arguments)?;
        let parts = ["model.json does not fit the segments", first, second];
        apply_fails(&model, &other, &output, &parts)?;
        // nor can a model be fitted to both
        let both = format!("{usual},{other}");
        fit_fails(&both, &output, &[], &["cannot be joined", first, second])?;
    }
    let both = json!({ "score": "energy", "entropy_threshold": -3.5 });
    let other = write(&scratch, "both", &both)?;
    let words = [
        "segments of the score entropy and the threshold 0.7, these are of the score energy and the threshold -3.5",
    ];
    apply_fails(&model, &other, &output, &words)?;
    assert!(!scratch.file("out/manifest.json").exists());
    Ok(())
}

/// A finished folder of logits of the network with these weights.
fn logits(scratch: &Scratch, name: &str, weights: &str) -> Result<()> {
    let path = scratch.file(&format!("{name}.weights"));
    std::fs::write(&path, weights)?;
    let inputs: [(&str, &Path); 1] = [("weights", &path)];
    stage_output_of(
        &scratch.file(name),
        "seg-model infer",
        &json!({}),
        &inputs,
        |_| Ok(()),
    )
}

#[test]
fn other_networks_and_image_sizes_are_mentioned() -> Result<()> {
    let scratch = Scratch::new()?;
    let write = |name, logits, size| write_from(&scratch, name, logits, size);
    logits(&scratch, "first", "weights of one")?;
    logits(&scratch, "again", "weights of one")?;
    logits(&scratch, "second", "weights of another")?;
    let train = write("train", "first", [64, 32])?;
    fit(&train, &scratch.path("fitted"), &[])?;
    let weights = scratch.model("fitted")?.origin.weights;
    assert_eq!(weights.len(), 1);
    let stderr = |segments: String| warnings(&scratch, &segments);
    let same = stderr(write("same", "again", [64, 32])?)?;
    assert!(
        !same.contains("the model was fitted to segments of"),
        "{same}"
    );
    let other = stderr(write("other", "second", [64, 32])?)?;
    assert!(
        other.contains(&weights[0][..12]) && other.contains("another network"),
        "{other}"
    );
    assert!(!other.contains("pixels"), "{other}");
    let small = stderr(write("small", "again", [48, 24])?)?;
    assert!(
        small.contains("64x32") && small.contains("48x24"),
        "{small}"
    );
    assert!(!small.contains("another network"), "{small}");
    // logits that are gone say nothing, and logits that were replaced are not taken for the ones that were read
    let late = write("late", "first", [64, 32])?;
    logits(&scratch, "first", "weights of another")?;
    let late = stderr(late)?;
    assert!(!late.contains("another network"), "{late}");
    Ok(())
}

/// Segments from these logits, of images of this size.
fn write_from(scratch: &Scratch, name: &str, logits: &str, size: [u32; 2]) -> Result<String> {
    let logits = scratch.file(logits);
    let inputs: [(&str, &Path); 1] = [("logits", &logits)];
    let table = Table::toy(40, |i| i % 2 == 0);
    table.write_as(&scratch.file(name), &usual_arguments(), &inputs, size)?;
    Ok(scratch.path(name))
}

/// What `apply` says of segments.
fn warnings(scratch: &Scratch, segments: &str) -> Result<String> {
    let model = scratch.path("fitted/model.json");
    let printed = apply(&model, segments, &scratch.path("out"), &["--force"])?;
    Ok(printed.stderr)
}
