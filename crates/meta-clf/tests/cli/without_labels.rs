//! Segments of images without labels: a model is applied to them, and none is fitted.

use std::fs;

use anyhow::Result;
use artifacts::atomic::read_json;
use artifacts::classes::ClassSet;
use artifacts::mask::{ComponentMap, Mask};
use artifacts::tables::{read_table, schema};
use serde_json::{Value, json};
use stage_testing::toy::change_output;

use crate::run::{Scratch, apply, apply_fails, fit, fit_fails};
use crate::toy::Table;

/// A fitted model, and the same segments with (`known`) and without (`unknown`) the truth.
struct Inputs {
    scratch: Scratch,
    known: String,
    unknown: String,
    model: String,
}

impl Inputs {
    fn new(classes: Option<&ClassSet>, flags: &[&str]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let classes = || classes.cloned();
        let train = Table::toy_of(classes(), 60, |i| i % 3 == 0);
        fit(
            &scratch.write("train", &train)?,
            &scratch.path("fitted"),
            flags,
        )?;
        let known = Table::toy_of(classes(), 40, |i| i % 2 == 0);
        let unknown = Table {
            has_truth: false,
            ..Table::toy_of(classes(), 40, |i| i % 2 == 0)
        };
        Ok(Self {
            known: scratch.write("known", &known)?,
            unknown: scratch.write("unknown", &unknown)?,
            model: scratch.path("fitted/model.json"),
            scratch,
        })
    }
}

#[test]
fn predictions_are_those_of_segments_with_labels() -> Result<()> {
    for classes in [None, Some(ClassSet::unnamed(3)?)] {
        let inputs = Inputs::new(classes.as_ref(), &["--threshold", "0.4"])?;
        let scratch = &inputs.scratch;
        let printed = apply(
            &inputs.model,
            &inputs.known,
            &scratch.path("with"),
            &["--explain"],
        )?;
        assert!(printed.stdout.contains("AUROC"), "{printed:?}");
        let without = scratch.path("without");
        let printed = apply(&inputs.model, &inputs.unknown, &without, &["--explain"])?;
        let table = schema::decisions();
        let read = |name: &str, table: &schema::Table| {
            read_table(&scratch.file(name).join(table.file_name()), table)
        };
        let known = read("with", &table)?;
        let found = read("without", &table.without_truth())?;
        assert!(found.equals(&known.drop("is_false_positive")?));

        let n_rejected = found.column("is_rejected")?.bool()?.sum().unwrap_or(0);
        assert!((1..40).contains(&n_rejected));
        let scores: Value = read_json(&scratch.file("without/scores.json"))?;
        let expected = json!({
            "format_version": 1,
            "n_segments": 40,
            "n_images": 10,
            "threshold": 0.4,
            "kept": 40 - n_rejected,
            "rejected": n_rejected,
        });
        assert_eq!(scores, expected);
        let line = format!(
            "40 segments in 10 images without labels; with a given model: keeps {} and drops {n_rejected} at threshold 0.4000",
            40 - n_rejected
        );
        assert_eq!(printed.stdout.trim_end(), line);
        let contributions = |name: &str| fs::read(scratch.file(name).join("contributions.parquet"));
        assert!(contributions("with")? == contributions("without")?);
    }
    Ok(())
}

#[test]
fn masks_and_regressions_do_not_need_labels() -> Result<()> {
    let inputs = Inputs::new(None, &["--regress"])?;
    let scratch = &inputs.scratch;
    change_output(&scratch.file("unknown"), |dir| {
        let folder = dir.join("components");
        fs::create_dir(&folder)?;
        for image in 0..10 {
            let first = 4 * image + 1;
            let map = ComponentMap {
                width: 4,
                height: 1,
                ids: (first..first + 4).collect(),
            };
            map.write(&folder.join(format!("image_{image:03}.png")))?;
        }
        Ok(())
    })?;
    apply(
        &inputs.model,
        &inputs.unknown,
        &scratch.path("out"),
        &["--masks"],
    )?;
    let decisions = read_table(
        &scratch.file("out/decisions.parquet"),
        &schema::decisions().without_truth(),
    )?;
    let rejected = decisions.column("is_rejected")?.bool()?;
    for (image, rejected) in rejected
        .iter()
        .flatten()
        .collect::<Vec<_>>()
        .chunks(4)
        .enumerate()
    {
        let path = scratch.file(&format!("out/masks/image_{image:03}.png"));
        let expected = rejected.iter().map(|&r| if r { 0 } else { 255 });
        assert!(Mask::read_raw(&path)?.labels.into_iter().eq(expected));
    }
    let table = schema::regression();
    let path = scratch.file("out").join(table.file_name());
    assert!(read_table(&path, &table).is_err());
    assert_eq!(read_table(&path, &table.without_truth())?.height(), 40);
    Ok(())
}

#[test]
fn nothing_is_learned_without_labels() -> Result<()> {
    let inputs = Inputs::new(None, &[])?;
    let (scratch, output) = (&inputs.scratch, inputs.scratch.path("out"));
    let words = [
        "have no labels",
        "segment-metrics",
        "--labels",
        "meta-clf apply",
    ];
    fit_fails(&inputs.unknown, &output, &[], &words)?;
    assert!(!scratch.file("out/model.json").exists());
    let both = format!("{},{}", inputs.known, inputs.unknown);
    let words = [
        "known and",
        "unknown cannot be joined",
        "of images with labels",
    ];
    apply_fails(&inputs.model, &both, &output, &words)
}
