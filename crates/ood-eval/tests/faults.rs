//! Inputs and outputs at fault: what is refused, what is noticed, and what is left whole.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::score::Score;
use artifacts::tables::schema::{self, Table};
use artifacts::tables::{read_table, write_table};
use artifacts::track::{Threshold, Track};
use polars::prelude::{Column, DataFrame};
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;
use stage_testing::toy::change_output;

fn ood_eval(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    command.current_dir(root).args(args);
    command
}

/// A subcommand on both runs of the toy world.
fn on_runs(root: &Path, subcommand: &str, output: &str, more: &[&str]) -> Command {
    let runs = ["--run", "baseline=base", "--run", "retrained=retrained"];
    let args = [&[subcommand], &runs[..], &["--output", output], more].concat();
    ood_eval(root, &args)
}

const SUBCOMMANDS: [&str; 3] = ["evaluate", "compare", "report"];

#[test]
fn other_flags_replace_a_result_and_failures_leave_it_whole() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    for subcommand in SUBCOMMANDS {
        succeed(&mut on_runs(root, subcommand, subcommand, &[]))?;
        let more = ["--resamples", "20"];
        let printed = succeed(&mut on_runs(root, subcommand, subcommand, &more))?;
        let said = "--resamples 1000, asked for 20";
        assert!(
            printed.stderr.contains("replacing the result in") && printed.stderr.contains(said),
            "{printed:?}"
        );
        assert_eq!(printed.stderr.matches("replacing").count(), 1);
    }
    let before = SUBCOMMANDS.map(|name| files(&root.join(name)));
    change_output(&root.join("base/segments/lost"), |dir| {
        Ok(fs::write(dir.join("overlaps.parquet"), "no table")?)
    })?;
    for (subcommand, before) in SUBCOMMANDS.into_iter().zip(before) {
        let words = ["overlaps.parquet", "damaged"];
        fail(&mut on_runs(root, subcommand, subcommand, &[]), &words)?;
        let now = files(&root.join(subcommand))?;
        for (file, content) in before? {
            assert!(now.get(&file) == Some(&content), "{subcommand}/{file}");
        }
        assert!(root.join(subcommand).join("manifest.json").exists());
    }
    Ok(())
}

#[test]
fn outputs_that_are_also_read_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let before = files(root)?;
    for subcommand in SUBCOMMANDS {
        for (output, words) in [
            ("base/segments/lost", "is also read"),
            (
                "retrained/meta/lost/deeper",
                "is inside of a folder that is read",
            ),
            ("base", "contains a file or folder that is read"),
            ("labels/..", "contains a file or folder that is read"),
        ] {
            let mut command = on_runs(root, subcommand, output, &["--force"]);
            fail(&mut command, &[words, "choose another --output"])?;
        }
    }
    let labels = ["--labels", "labels"];
    fail(
        &mut on_runs(root, "report", "labels/lost", &labels),
        &["is also read"],
    )?;
    assert!(files(root)? == before);
    // a folder of the run that is not read is none of these
    succeed(&mut on_runs(root, "evaluate", "base/figures", &[]))?;
    Ok(())
}

#[test]
fn files_that_another_program_rewrote_are_noticed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let threshold = Threshold::new(Track::Obstacle, Score::Margin, 0.25, Some(0.5));
    common::write_benchmark(&root.join("base"), &common::retrained(), &threshold)?;
    let first = succeed(&mut on_runs(root, "evaluate", "eval", &[]))?;
    assert!(first.stdout.contains("margin ≥ 0.2500"), "{first:?}");
    // as long as before, under the same manifest
    let path = root.join("base/benchmark/lost/threshold.json");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, text.replace("0.25", "0.75"))?;
    let second = succeed(&mut on_runs(root, "evaluate", "eval", &[]))?;
    assert!(second.stdout.contains("margin ≥ 0.7500"), "{second:?}");
    assert!(
        second
            .stderr
            .contains("an earlier content of --run baseline: benchmark/lost"),
        "{second:?}"
    );
    // of another length
    let path = root.join("base/segments/lost/pixel_counts.parquet");
    fs::write(&path, "shorter")?;
    let words = [
        "pixel_counts.parquet",
        "but its stage wrote",
        "run `segment-metrics` again",
    ];
    fail(&mut on_runs(root, "evaluate", "eval", &[]), &words)?;
    Ok(())
}

#[test]
fn unfinished_folders_are_left_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    // what a call of `meta-clf fit` that failed leaves
    fs::create_dir_all(root.join("base/meta/lost/in-progress"))?;
    fs::create_dir_all(root.join("retrained/benchmark/lost"))?;
    for subcommand in SUBCOMMANDS {
        let printed = succeed(&mut on_runs(root, subcommand, subcommand, &[]))?;
        for folder in ["base/meta/lost", "retrained/benchmark/lost"] {
            let words = format!("{folder} is left out of run");
            assert!(printed.stderr.contains(&words), "{printed:?}");
        }
    }
    let markdown = fs::read_to_string(root.join("evaluate/results.md"))?;
    assert!(markdown.contains("| retrained + meta |"), "{markdown}");
    assert!(!markdown.contains("| baseline + meta |"), "{markdown}");
    Ok(())
}

/// Lets `change` edit a table of an output, as if the output had been written so.
fn edit(
    dir: &Path,
    table: &Table,
    change: impl FnOnce(&mut DataFrame) -> Result<()>,
) -> Result<()> {
    change_output(dir, |dir| {
        let path = dir.join(table.file_name());
        let mut frame = read_table(&path, table)?;
        change(&mut frame)?;
        write_table(&path, table, &frame)
    })
}

/// Puts `value` into every row of a column.
fn fill(dir: &Path, table: &Table, column: &str, value: Values<'_>) -> Result<()> {
    edit(dir, table, |frame| {
        let mut values = value(frame.height());
        values.rename(column.into());
        frame.with_column(values)?;
        Ok(())
    })
}

fn floats(value: f64) -> impl Fn(usize) -> Column {
    move |n| Column::new("".into(), vec![value; n])
}

/// The values of a column of so many rows.
type Values<'a> = &'a dyn Fn(usize) -> Column;

/// Evaluates the toy world with one column replaced, which must fail with all `words`.
fn is_refused(
    root: &Path,
    table: &Table,
    column: &str,
    values: Values<'_>,
    words: &[&str],
) -> Result<()> {
    common::write_world(root)?;
    let stage = match table.name {
        "decisions" => "meta",
        _ => "segments",
    };
    let dir = root.join("retrained").join(stage).join("lost");
    fill(&dir, table, column, values)?;
    fail(&mut on_runs(root, "evaluate", "eval", &["--force"]), words)?;
    Ok(())
}

#[test]
fn values_out_of_range_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    let check = |table: &Table, column: &str, value: Values<'_>, words: &[&str]| {
        is_refused(root, table, column, value, words)
            .with_context(|| format!("{} {column}", table.name))
    };
    let small = |n: usize| Column::new("".into(), vec![0_u32; n]);
    let none = |n: usize| Column::new("".into(), vec![0_u64; n]);
    let (table, object) = (schema::segments(0), schema::objects());
    let words = ["segments.parquet", "adjusted_iou of row 0 is inf"];
    check(&table, "adjusted_iou", &floats(f64::INFINITY), &words)?;
    check(
        &table,
        "size",
        &floats(1e9),
        &["segment 1", "1000000000 pixels"],
    )?;
    check(
        &object,
        "adjusted_iou",
        &floats(-0.5),
        &["objects.parquet", "is -0.5"],
    )?;
    check(
        &object,
        "recall",
        &floats(f64::NAN),
        &["recall of row 0 is NaN"],
    )?;
    check(&object, "centroid_row", &floats(96.0), &["around row 96"])?;
    check(&object, "size", &none, &["object 1", "0 pixels"])?;
    let (samples, pixels) = (schema::samples(), schema::sample_pixels());
    check(
        &samples,
        "height",
        &small,
        &["samples.parquet", "x0 pixels"],
    )?;
    check(
        &pixels,
        "auroc",
        &floats(1.5),
        &["sample_pixels.parquet", "auroc of row 0 is 1.5"],
    )?;
    check(
        &pixels,
        "max_score",
        &floats(f64::INFINITY),
        &["sample_pixels.parquet", "not finite"],
    )?;
    let decisions = schema::decisions();
    let words = ["decisions.parquet", "false_positive_prob of row 0 is 2"];
    check(&decisions, "false_positive_prob", &floats(2.0), &words)
}

/// Many equal rows take little room in a file, and must take little room in memory.
#[test]
fn equal_rows_are_refused_after_some_of_them() -> Result<()> {
    const ROWS: u32 = 300_000;
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let many = |frame: &mut DataFrame| -> Result<()> {
        let rows: Vec<u32> = vec![0; ROWS as usize];
        *frame = frame.take(&polars::prelude::IdxCa::from_vec("".into(), rows))?;
        Ok(())
    };
    for table in [
        schema::overlaps(),
        schema::objects(),
        schema::segments(0),
        schema::samples(),
    ] {
        let output = root.join("base/segments/lost");
        edit(&output, &table, many)?;
        let words = [table.name, "not sorted", "names"];
        fail(&mut on_runs(root, "evaluate", "eval", &[]), &words)?;
    }
    common::write_world(root)?;
    edit(
        &root.join("retrained/meta/lost"),
        &schema::decisions(),
        many,
    )?;
    let words = ["decisions.parquet", "run `meta-clf` again"];
    fail(&mut on_runs(root, "evaluate", "eval", &[]), &words)?;
    Ok(())
}

#[test]
fn names_that_cannot_be_used_are_refused_at_the_start() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let long = format!("{}=base", "n".repeat(300));
    for subcommand in ["evaluate", "report"] {
        let args = [subcommand, "--run", &long, "--output", "out"];
        fail(
            &mut ood_eval(root, &args),
            &["300 characters", "at most 100"],
        )?;
    }
    assert!(!root.join("out").exists());
    let output = ood_eval(root, &["evaluate", "--run", "a=base", "--output", "out"])
        .args(["--resamples", "1000000000"])
        .output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(
        !output.status.success() && stderr.contains("0..=10000"),
        "{stderr}"
    );
    Ok(())
}

#[test]
fn names_are_neither_markup_nor_formulas() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = [
        "evaluate",
        "--run",
        "@a <b>x</b>=base",
        "--run=-1=retrained",
        "--output",
        "eval",
    ];
    succeed(&mut ood_eval(root, &args))?;
    let markdown = fs::read_to_string(root.join("eval/results.md"))?;
    assert!(markdown.contains("| @a &lt;b&gt;x&lt;/b&gt; |") && !markdown.contains("<b>"));
    let csv = fs::read_to_string(root.join("eval/results.csv"))?;
    assert!(
        csv.contains("lost,'@a <b>x</b>,") && csv.contains("lost,'-1,"),
        "{csv}"
    );
    let images = fs::read_to_string(root.join("eval/images.csv"))?;
    assert!(
        images.lines().skip(1).all(|line| line.starts_with('\'')),
        "{images}"
    );
    let args = [
        "compare",
        "--run",
        "<i>=base",
        "--run",
        "b=retrained",
        "--output",
        "comparison",
    ];
    succeed(&mut ood_eval(root, &args))?;
    let markdown = fs::read_to_string(root.join("comparison/compare.md"))?;
    assert!(
        !markdown.contains("<i>") && markdown.contains("&lt;i&gt;"),
        "{markdown}"
    );
    Ok(())
}
