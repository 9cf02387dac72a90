//! What the documents show of the demo: docs/demo.py writes it from a finished demo, and what is committed can be read.
//!
//! Python is the one that `OODSEG_PYTORCH` names, else that of `just demo-docs` or `python3`. It needs Pillow.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use stage_testing::command::{fail, succeed};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DATASETS: [&str; 2] = ["lost-and-found-test", "fishyscapes-static"];
const ROWS: [&str; 4] = [
    "baseline",
    "baseline + meta",
    "retrained",
    "retrained + meta",
];

/// Runs a stage as its command line would.
macro_rules! stage {
    ($stage:ident $arguments:expr) => {{
        let arguments = format!("{} {}", stringify!($stage), $arguments);
        let args = $stage::Args::try_parse_from(arguments.split_whitespace())?;
        $stage::run(&args).with_context(|| format!("{arguments:?} failed"))?;
    }};
}

/// A row of a table of the demo's results.
#[derive(Debug)]
struct Row {
    run: String,
    /// AUROC, FPR95 and AUPRC in percent.
    pixels: [f64; 3],
    false_alarms: u32,
    missed: u32,
    /// In percent.
    miou: f64,
}

/// The rows of each table between `<!-- demo DATASET -->` and `<!-- end -->`, with the data set and the number of its objects.
fn tables(text: &str) -> Result<Vec<(String, u32, Vec<Row>)>> {
    text.split("<!-- demo ").skip(1).map(table).collect()
}

/// The table that follows the words `<!-- demo `.
fn table(text: &str) -> Result<(String, u32, Vec<Row>)> {
    let (dataset, rest) = text.split_once(" -->\n").context("no end of the mark")?;
    let (body, _) = rest.split_once("<!-- end -->").context("no end mark")?;
    let mut lines = body.lines();
    let header = cells(lines.next().context("no header")?)?;
    ensure!(header[0] == dataset, "{header:?} is not of {dataset}");
    let n_objects = header[5].strip_prefix("missed of ").context("no objects")?;
    let n_objects = n_objects.trim_end_matches(" ↓").parse()?;
    ensure!(lines.next() == Some("|---|---|---|---|---|---|---|"));
    let rows: Vec<Row> = lines
        .by_ref()
        .take_while(|line| !line.is_empty())
        .map(row)
        .collect::<Result<_>>()?;
    let note = lines.next().context("no note")?;
    ensure!(
        note.starts_with("`just demo`, 20") && note.contains(" cores of "),
        "{note}"
    );
    Ok((dataset.to_owned(), n_objects, rows))
}

/// The seven cells of a line of a table.
fn cells(line: &str) -> Result<Vec<&str>> {
    let inner = line.strip_prefix("| ").and_then(|l| l.strip_suffix(" |"));
    let cells: Vec<&str> = inner.context("not a row")?.split(" | ").collect();
    ensure!(cells.len() == 7, "{line} has {} cells", cells.len());
    Ok(cells)
}

fn row(line: &str) -> Result<Row> {
    let cells = cells(line)?;
    let percent = |at: usize| -> Result<f64> {
        let value: f64 = cells[at].parse()?;
        ensure!((0.0..=100.0).contains(&value), "{line}");
        Ok(value)
    };
    Ok(Row {
        run: cells[0].to_owned(),
        pixels: [percent(1)?, percent(2)?, percent(3)?],
        false_alarms: cells[4].parse()?,
        missed: cells[5].parse()?,
        miou: percent(6)?,
    })
}

#[test]
fn committed_tables_say_that_both_steps_help() -> Result<()> {
    let mut n_tables = 0;
    for document in ["README.md", "docs/RESULTS.md", "docs/results/demo.md"] {
        let text = fs::read_to_string(Path::new(ROOT).join(document))?;
        for (dataset, n_objects, rows) in tables(&text)? {
            n_tables += 1;
            assert!(rows.iter().map(|r| r.run.as_str()).eq(ROWS), "{rows:?}");
            let (before, after) = (&rows[0], &rows[3]);
            assert!(rows.iter().all(|r| r.missed <= n_objects), "{rows:?}");
            assert!(
                after.false_alarms < before.false_alarms && after.missed < before.missed,
                "{document}, {dataset}: {rows:?}"
            );
            assert!(after.pixels[0] > before.pixels[0], "{rows:?}");
            assert!(after.miou > 0.0, "{rows:?}");
        }
    }
    assert_eq!(n_tables, 4);
    Ok(())
}

/// A finished demo with a training of a few steps.
fn finished_demo(dir: &Path) -> Result<()> {
    let d = dir.display();
    stage!(demo_data format!("--quiet --scale small --output {d}/data"));
    let roots = [
        ("cityscapes-train", "cityscapes"),
        ("cityscapes-val", "cityscapes"),
        (DATASETS[0], "lost_and_found"),
        (DATASETS[1], "fishyscapes"),
    ];
    for (dataset, root) in roots {
        stage!(cityscapes_io format!("prepare --quiet --dataset {dataset} --root {d}/data/{root} --output {d}/labels/{dataset}"));
    }
    let coco = format!("{d}/data/coco");
    stage!(coco_proxy format!("--quiet --annotations {coco}/annotations/instances_train2017.json --images {coco}/train2017 --output {d}/proxy"));
    // a process can train once; for the form of tables and picture, both networks may be the same
    stage!(ood_train format!("--quiet --labels {d}/labels/cityscapes-train --crop 64 --batch-size 4 --steps 10 --network enet --proxy {d}/proxy --paste 1 --output {d}/train"));
    for run in ["baseline", "retrained"] {
        judge(dir, run)?;
    }
    stage!(ood_eval format!("report --quiet --resamples 10 --run baseline={d}/baseline --run retrained={d}/retrained --labels {d}/labels --gallery 3 --output {d}/report"));
    Ok(())
}

/// What the demo does with the weights of one run.
fn judge(dir: &Path, run: &str) -> Result<()> {
    let d = dir.display();
    for dataset in ["cityscapes-val", DATASETS[0], DATASETS[1]] {
        stage!(seg_model format!("infer --quiet --weights {d}/train/weights.safetensors --labels {d}/labels/{dataset} --output {d}/{run}/logits/{dataset}"));
    }
    let known = "cityscapes-val";
    stage!(ood_eval format!("closed-set --quiet --logits {d}/{run}/logits/{known} --labels {d}/labels/{known} --output {d}/{run}/closed_set/{known}"));
    for dataset in DATASETS {
        stage!(segment_metrics format!("--quiet --min-size 8 --logits {d}/{run}/logits/{dataset} --labels {d}/labels/{dataset} --output {d}/{run}/segments/{dataset}"));
        stage!(meta_clf format!("fit --quiet --n-folds 2 --segments {d}/{run}/segments/{dataset} --output {d}/{run}/meta/{dataset}"));
    }
    Ok(())
}

/// Python with Pillow, if there is one.
fn python_with_pillow() -> Option<PathBuf> {
    let candidates = [
        std::env::var("OODSEG_PYTORCH").map(PathBuf::from).ok(),
        Some(Path::new(ROOT).join("target/pytorch/bin/python")),
        Some("python3".into()),
    ];
    candidates.into_iter().flatten().find(|python| {
        let mut command = Command::new(python);
        let tried = command.args(["-c", "import PIL"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    })
}

#[test]
fn documents_are_written_from_a_finished_demo() -> Result<()> {
    let Some(python) = python_with_pillow() else {
        eprintln!("skipped: no Python with Pillow, which OODSEG_PYTORCH can name");
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let (demo, root) = (dir.path().join("demo"), dir.path().join("root"));
    finished_demo(&demo)?;
    fs::create_dir_all(root.join("docs"))?;
    let old = "before\n<!-- demo lost-and-found-test -->\nold\n<!-- end -->\nafter\n";
    fs::write(root.join("README.md"), old)?;
    fs::write(
        root.join("docs/demo.md"),
        old.replace(DATASETS[0], DATASETS[1]),
    )?;
    fs::write(root.join("docs/other.md"), "nothing to do\n")?;
    let script = Path::new(ROOT).join("docs/demo.py");
    let mut command = Command::new(&python);
    let printed = succeed(command.arg(&script).arg(&demo).arg("--root").arg(&root))?;
    assert!(printed.stdout.starts_with("docs/picture.png shows "));
    let picture = fs::read(root.join("docs/picture.png"))?;
    assert!(picture.starts_with(b"\x89PNG") && picture.len() < 300_000);
    for (document, dataset) in [("README.md", DATASETS[0]), ("docs/demo.md", DATASETS[1])] {
        let text = fs::read_to_string(root.join(document))?;
        assert!(text.starts_with("before\n") && text.ends_with("<!-- end -->\nafter\n"));
        let tables = tables(&text)?;
        assert_eq!(tables.len(), 1);
        assert_eq!(tables[0].0, dataset);
        assert!(tables[0].2.iter().map(|r| r.run.as_str()).eq(ROWS));
    }
    let other = fs::read_to_string(root.join("docs/other.md"))?;
    assert_eq!(other, "nothing to do\n");
    fs::remove_dir_all(demo.join("report/overlays"))?;
    let mut command = Command::new(&python);
    fail(
        command.arg(&script).arg(&demo).arg("--root").arg(&root),
        &["has no pictures of lost-and-found-test", "`just demo`"],
    )?;
    Ok(())
}
