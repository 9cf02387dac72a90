//! Finished outputs: flags that change, calls that fail, and outputs that are also read.

use std::fs;

use anyhow::Result;
use stage_testing::folder::files;
use stage_testing::toy::change_output;

use crate::run::{Scratch, apply, apply_fails, apply_with_fails, fit, fit_fails};
use crate::toy::Table;

#[test]
fn other_flags_replace_a_result_and_failures_leave_it_whole() -> Result<()> {
    let scratch = Scratch::new()?;
    let segments = scratch.write("segments", &Table::toy(48, |i| i % 4 < 2))?;
    let (fitted, applied) = (scratch.path("fitted"), scratch.path("applied"));
    let model = scratch.path("fitted/model.json");
    fit(&segments, &fitted, &["--explain"])?;
    assert!(scratch.file("fitted/contributions.parquet").exists());
    let printed = fit(&segments, &fitted, &["--threshold", "0.5"])?;
    for words in [
        "replacing the result in",
        "--explain true, asked for false",
        "--max-lost-objects 0.01, asked for not given",
        "--threshold not given, asked for 0.5",
    ] {
        assert!(printed.stderr.contains(words), "{words:?}: {printed:?}");
    }
    assert_eq!(printed.stderr.matches("replacing").count(), 1);
    assert!(!scratch.file("fitted/contributions.parquet").exists());
    apply(&model, &segments, &applied, &[])?;
    let printed = apply(&model, &segments, &applied, &["--threshold", "0.75"])?;
    let words = "--threshold not given, asked for 0.75";
    assert!(printed.stderr.contains(words), "{printed:?}");

    // masks cannot be made, because there are no component maps
    let before = [
        files(&scratch.file("fitted"))?,
        files(&scratch.file("applied"))?,
    ];
    let words = ["component maps"];
    fit_fails(&segments, &fitted, &["--masks"], &words)?;
    apply_with_fails(&model, &segments, &applied, &["--masks"], &words)?;
    for (name, before) in ["fitted", "applied"].into_iter().zip(&before) {
        let now = files(&scratch.file(name))?;
        let is_same = before
            .iter()
            .all(|(file, content)| now.get(file) == Some(content));
        assert!(
            is_same && scratch.file(name).join("manifest.json").exists(),
            "{name}"
        );
    }
    // and they still count as finished
    let printed = fit(&segments, &fitted, &["--threshold", "0.5"])?;
    assert!(printed.stderr.contains("up to date"), "{printed:?}");
    let printed = apply(&model, &segments, &applied, &["--threshold", "0.75"])?;
    assert!(printed.stderr.contains("up to date"), "{printed:?}");
    Ok(())
}

#[test]
fn outputs_that_are_also_read_are_refused() -> Result<()> {
    let scratch = Scratch::new()?;
    let segments = scratch.write("run/segments", &Table::toy(24, |i| i % 2 == 0))?;
    fit(&segments, &scratch.path("fitted"), &[])?;
    let model = scratch.path("fitted/model.json");
    let before = files(&scratch.file("run"))?;
    for (output, words) in [
        ("run/segments", "is also read"),
        ("run/segments/meta", "is inside of a folder that is read"),
        ("run/../run", "contains a file or folder that is read"),
    ] {
        let output = scratch.path(output);
        fit_fails(&segments, &output, &["--force"], &[words, "--output"])?;
        apply_fails(&model, &segments, &output, &[words, "--output"])?;
    }
    let fitted = scratch.path("fitted");
    apply_fails(
        &model,
        &segments,
        &fitted,
        &["contains a file or folder that is read"],
    )?;
    assert!(scratch.file("fitted/model.json").exists());
    assert!(files(&scratch.file("run"))? == before);
    Ok(())
}

#[test]
fn tables_that_another_program_rewrote_are_noticed() -> Result<()> {
    let scratch = Scratch::new()?;
    let segments = scratch.write("segments", &Table::toy(24, |i| i % 2 == 0))?;
    let fitted = scratch.path("fitted");
    fit(&segments, &fitted, &[])?;
    assert!(fit(&segments, &fitted, &[])?.stderr.contains("up to date"));
    // the same content, but later than the manifest: it is read again, and found to be another input
    let path = scratch.file("segments/overlaps.parquet");
    let content = fs::read(&path)?;
    fs::write(&path, &content)?;
    let printed = fit(&segments, &fitted, &[])?;
    let words = "an earlier content of --segments";
    assert!(printed.stderr.contains(words), "{printed:?}");
    fs::write(&path, &content[1..])?;
    fit_fails(
        &segments,
        &fitted,
        &[],
        &["overlaps.parquet", "but its stage wrote"],
    )?;
    change_output(&scratch.file("segments"), |_| {
        Ok(fs::write(&path, &content)?)
    })?;
    fit(&segments, &fitted, &[])?;
    Ok(())
}
