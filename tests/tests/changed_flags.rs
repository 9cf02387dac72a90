//! What every stage does when it is called again with another flag on a finished output: what it says, and that the earlier
//! result stays whole, byte for byte, until the new one is complete, whether the second call is refused, fails or is killed.
//!
//! docs/ARTIFACTS.md has the same table for users.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::logits::{Logits, LogitsInfo, Precision};
use artifacts::manifest::FILE_NAME;
use clap::Parser;
use stage_testing::command::one_error_line;
use stage_testing::folder::files;
use stage_testing::toy::stage_output;

/// Arguments of the stage that a child of this test runs, one a line.
const ARGUMENTS: &str = "OODSEG_TEST_STAGE";
const DATASET: &str = "lost-and-found-test";

/// What a stage does about the result of other flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// It is replaced, which is said in one line.
    Replaced,
    /// It is replaced with `--force` alone; the error says so.
    Kept,
}

/// One stage. `DIR` in its arguments is the folder of the inputs, and `--output` is added.
struct Row {
    stage: &'static str,
    arguments: &'static str,
    /// The flag of the first call.
    flag: &'static str,
    /// The flag of the second call.
    changed: &'static str,
    rule: Rule,
    /// What the second call says that the result was finished with.
    says: &'static str,
}

/// Stages in the order of the pipeline.
const TABLE: [Row; 15] = [
    Row {
        stage: "demo-data",
        arguments: "--scale small",
        flag: "--seed 1",
        changed: "--seed 2",
        rule: Rule::Replaced,
        says: "--seed 1, asked for 2",
    },
    Row {
        stage: "cityscapes-io",
        arguments: "prepare --dataset lost-and-found-test --root DIR/data/lost_and_found",
        flag: "",
        changed: "--size 384x192",
        rule: Rule::Replaced,
        says: "--size not given, asked for 384x192",
    },
    Row {
        stage: "cityscapes-io",
        arguments: "index --root DIR/data/fishyscapes --images images/{id}.png --masks labels_masks/{id}.png --kind eval",
        flag: "",
        changed: "--split test",
        rule: Rule::Replaced,
        says: "another description of the data set",
    },
    Row {
        stage: "coco-proxy",
        arguments: "--annotations DIR/data/coco/annotations/instances_train2017.json --images DIR/data/coco/train2017",
        flag: "",
        changed: "--background 0",
        rule: Rule::Replaced,
        says: "--background 255, asked for 0",
    },
    Row {
        stage: "ood-train",
        arguments: "--network enet --labels DIR/labels/cityscapes-train --proxy DIR/proxy --crop 32 --batch-size 2 --steps 2",
        flag: "",
        changed: "--ood-weight 0.5",
        rule: Rule::Kept,
        says: "--ood-weight 0.9, asked for 0.5",
    },
    Row {
        stage: "seg-model",
        arguments: "infer --weights DIR/train/weights.safetensors --labels DIR/labels/lost-and-found-test --limit 2",
        flag: "",
        changed: "--flip",
        rule: Rule::Kept,
        says: "--flip false, asked for true",
    },
    Row {
        stage: "ood-eval",
        arguments: "export --logits DIR/run/logits/lost-and-found-test --labels DIR/labels/lost-and-found-test --format npy --limit 3",
        flag: "",
        changed: "--score energy",
        rule: Rule::Kept,
        says: "--score entropy, asked for energy",
    },
    Row {
        stage: "segment-metrics",
        arguments: "--logits DIR/run/logits/lost-and-found-test --labels DIR/labels/lost-and-found-test",
        flag: "",
        changed: "--min-size 2",
        rule: Rule::Replaced,
        says: "--min-size not given, asked for 2",
    },
    Row {
        stage: "segment-metrics",
        arguments: "merge",
        flag: "DIR/shards/0 DIR/shards/1",
        changed: "DIR/other-shards/0 DIR/other-shards/1",
        rule: Rule::Replaced,
        says: "--entropy-threshold 0.7, asked for 0.6",
    },
    Row {
        stage: "meta-clf",
        arguments: "fit --segments DIR/run/segments/lost-and-found-test",
        flag: "--threshold 0.6",
        changed: "--threshold 0.8",
        rule: Rule::Replaced,
        says: "--threshold 0.6, asked for 0.8",
    },
    Row {
        stage: "meta-clf",
        arguments: "apply --model DIR/run/meta/lost-and-found-test/model.json --segments DIR/run/segments/lost-and-found-test",
        flag: "--resamples 20",
        changed: "--resamples 30",
        rule: Rule::Replaced,
        says: "--resamples 20, asked for 30",
    },
    Row {
        stage: "ood-eval",
        arguments: "evaluate --run run=DIR/run --resamples 20",
        flag: "",
        changed: "--seed 1",
        rule: Rule::Replaced,
        says: "--seed 0, asked for 1",
    },
    Row {
        stage: "ood-eval",
        arguments: "compare --run run=DIR/run --run other=DIR/other --resamples 20",
        flag: "",
        changed: "--seed 1",
        rule: Rule::Replaced,
        says: "--seed 0, asked for 1",
    },
    Row {
        stage: "ood-eval",
        arguments: "report --run run=DIR/run --labels DIR/labels --gallery 1 --resamples 20",
        flag: "",
        changed: "--title Other",
        rule: Rule::Replaced,
        says: "--title Unknown objects in street scenes, asked for Other",
    },
    Row {
        stage: "ood-eval",
        arguments: "detect --segments DIR/run/segments/lost-and-found-test --logits DIR/labels/lost-and-found-test",
        flag: "",
        changed: "--title Other",
        rule: Rule::Replaced,
        says: "--title Unknown objects in images without labels, asked for Other",
    },
];

impl Row {
    /// The directory of the result in the output: `export` has one for each format.
    fn result(&self, output: &Path) -> PathBuf {
        if self.arguments.starts_with("export ") {
            output.join("npy")
        } else {
            output.to_owned()
        }
    }

    /// The line of the table in the documents.
    fn documented(&self) -> String {
        let subcommand = self.arguments.split(' ').next().unwrap_or_default();
        let name = if subcommand.starts_with('-') {
            self.stage.to_owned()
        } else {
            format!("{} {subcommand}", self.stage)
        };
        let rule = match self.rule {
            Rule::Replaced => "replaces",
            Rule::Kept => "refuses",
        };
        let changed = self.changed.replace("DIR/", "");
        format!("| `{name}` | `{changed}` | {rule} | `{}` |", self.says)
    }
}

#[test]
fn the_documents_have_this_table() -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ARTIFACTS.md");
    let text = fs::read_to_string(path)?;
    let lines: Vec<&str> = text.lines().collect();
    let documented = TABLE.iter().map(Row::documented);
    let missing: Vec<String> = documented.filter(|row| !lines.contains(&&**row)).collect();
    ensure!(missing.is_empty(), "{path} lacks\n{}", missing.join("\n"));
    Ok(())
}

/// What the children run; without their arguments, nothing.
#[test]
fn stage_of_a_child() -> Result<()> {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return Ok(());
    };
    let arguments: Vec<&str> = arguments.lines().collect();
    let code = run_stage(&arguments)?;
    ensure!(code == ExitCode::SUCCESS, "the stage failed");
    Ok(())
}

/// Runs a stage as its executable would.
fn run_stage(arguments: &[&str]) -> Result<ExitCode> {
    macro_rules! stage {
        ($stage:ident) => {{
            let args = $stage::Args::try_parse_from(arguments)?;
            stage_cli::main(&args.common, || $stage::run(&args))
        }};
    }
    Ok(match arguments[0] {
        "demo-data" => stage!(demo_data),
        "cityscapes-io" => stage!(cityscapes_io),
        "coco-proxy" => stage!(coco_proxy),
        "ood-train" => stage!(ood_train),
        "seg-model" => stage!(seg_model),
        "segment-metrics" => stage!(segment_metrics),
        "meta-clf" => stage!(meta_clf),
        "ood-eval" => stage!(ood_eval),
        other => bail!("there is no stage {other}"),
    })
}

#[test]
fn nothing_finished_is_lost_when_a_flag_changes() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    make_inputs(dir)?;
    let (next, errors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = TABLE.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let output = dir.join("outputs").join(format!("{row:p}"));
                    let checked = check(row, dir, &output);
                    if let (Err(error), Ok(mut errors)) = (checked, errors.lock()) {
                        errors.push(format!("{} {}: {error:#}", row.stage, row.arguments));
                    }
                }
            });
        }
    });
    let errors = errors.into_inner().ok().context("a thread died")?;
    ensure!(errors.is_empty(), "{}", errors.join("\n\n"));
    Ok(())
}

/// Calls the stage of a row twice, and the second time also so that it fails and that it is killed.
fn check(row: &Row, dir: &Path, output: &Path) -> Result<()> {
    let stage = Stage { row, dir, output };
    succeed(&stage.call(row.flag, None)?)?;
    let result = &row.result(output);
    let before = whole(result)?;
    let said = format!("was finished with {}", row.says);
    let forced = match row.rule {
        Rule::Replaced => row.changed.to_owned(),
        Rule::Kept => {
            let refused = stage.call(row.changed, None)?;
            let line = error_of(&refused)?;
            ensure!(
                line.contains(&said) && line.contains("--force"),
                "it says: {line}"
            );
            ensure!(before == whole(result)?, "a refused call changed files");
            format!("{} --force", row.changed)
        }
    };

    let limit = before.values().map(Vec::len).max().unwrap_or(0) / 2;
    let failed = stage.call(&forced, Some(Limit::Fails(limit)))?;
    let line = error_of(&failed)?;
    ensure!(line.contains("File too large"), "it failed with: {line}");
    ensure!(before == whole(result)?, "a call that failed changed files");

    let killed = stage.call(&forced, Some(Limit::Kills(limit)))?;
    ensure!(killed.status.signal().is_some(), "{}", stderr(&killed));
    ensure!(before == whole(result)?, "a call that died changed files");

    let replaced = stage.call(&forced, None)?;
    succeed(&replaced)?;
    let line = format!("replacing the result in {}, which {said}", result.display());
    let lines = stderr(&replaced);
    ensure!(
        lines.lines().filter(|l| l.contains(&line)).count() == 1,
        "{line:?} is not in {lines}"
    );
    ensure!(!result.join("in-progress").exists(), "work is left");
    let again = stage.call(row.changed, None)?;
    succeed(&again)?;
    let lines = stderr(&again);
    ensure!(lines.contains("is up to date"), "called again: {lines}");
    Ok(())
}

/// A limit in bytes on the size of the files that a call writes.
#[derive(Clone, Copy)]
enum Limit {
    /// A write beyond it is an error, as on a full disk.
    Fails(usize),
    /// A write beyond it kills the process.
    Kills(usize),
}

/// The stage of a row with its output.
struct Stage<'a> {
    row: &'a Row,
    dir: &'a Path,
    output: &'a Path,
}

impl Stage<'_> {
    /// Calls the stage with further flags in a process of its own.
    fn call(&self, flags: &str, limit: Option<Limit>) -> Result<Output> {
        let words = self.row.arguments.split(' ').chain(flags.split(' '));
        let dir = self.dir.display().to_string();
        let mut arguments = vec![self.row.stage.to_owned()];
        arguments.extend(
            words
                .filter(|word| !word.is_empty())
                .map(|word| word.replace("DIR", &dir)),
        );
        arguments.extend(["--output".into(), self.output.display().to_string()]);
        let limit = match limit {
            None => String::new(),
            Some(Limit::Fails(bytes)) => format!("trap '' XFSZ; ulimit -f {}; ", blocks(bytes)),
            Some(Limit::Kills(bytes)) => format!("ulimit -c 0; ulimit -f {}; ", blocks(bytes)),
        };
        let output = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe()?)
            .args(["stage_of_a_child", "--exact", "--nocapture"])
            .env(ARGUMENTS, arguments.join("\n"))
            .env_remove("RUST_BACKTRACE")
            .env_remove("OODSEG_THREADS")
            .output();
        output.with_context(|| format!("could not start {arguments:?}"))
    }
}

/// The shell counts in blocks of 512 bytes.
fn blocks(bytes: usize) -> usize {
    (bytes / 512).max(1)
}

/// All files of a result with its manifest; work in progress is none of them.
fn whole(output: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut whole = files(output)?;
    whole.retain(|name, _| !name.starts_with("in-progress/") && name != ".lock");
    whole.insert(FILE_NAME.to_owned(), fs::read(output.join(FILE_NAME))?);
    Ok(whole)
}

fn succeed(output: &Output) -> Result<()> {
    ensure!(output.status.success(), "it failed: {}", stderr(output));
    Ok(())
}

/// The error line of a stage that failed.
fn error_of(output: &Output) -> Result<String> {
    let text = stderr(output);
    ensure!(output.status.code().is_some_and(|c| c != 0), "{text}");
    // below it, the test that the child is says that it failed
    let end = text.find("Error: ").unwrap_or(text.len());
    Ok(one_error_line(&text[..end])?.to_owned())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the stages that make the inputs of the table.
fn make_inputs(dir: &Path) -> Result<()> {
    let run = |line: &str| {
        let line = line.replace("DIR", &dir.display().to_string());
        let output = Command::new(std::env::current_exe()?)
            .args(["stage_of_a_child", "--exact", "--nocapture"])
            .env(ARGUMENTS, line.replace(' ', "\n"))
            .output()?;
        succeed(&output).context(line)
    };
    run("demo-data --scale small --output DIR/data")?;
    for (dataset, root) in [
        ("cityscapes-train", "cityscapes"),
        (DATASET, "lost_and_found"),
    ] {
        run(&format!(
            "cityscapes-io prepare --dataset {dataset} --root DIR/data/{root} --output DIR/labels/{dataset}"
        ))?;
    }
    run(
        "coco-proxy --annotations DIR/data/coco/annotations/instances_train2017.json --images DIR/data/coco/train2017 --output DIR/proxy",
    )?;
    run(
        "ood-train --network enet --labels DIR/labels/cityscapes-train --proxy DIR/proxy --crop 32 --batch-size 2 --steps 1 --output DIR/train",
    )?;
    write_logits(
        &dir.join("labels").join(DATASET),
        &dir.join("run/logits").join(DATASET),
    )?;
    let measure =
        format!("segment-metrics --logits DIR/run/logits/{DATASET} --labels DIR/labels/{DATASET}");
    run(&format!("{measure} --output DIR/run/segments/{DATASET}"))?;
    run(&format!(
        "{measure} --entropy-threshold 0.6 --output DIR/other/segments/{DATASET}"
    ))?;
    for shard in 0..2 {
        run(&format!(
            "{measure} --shard {shard}/2 --output DIR/shards/{shard}"
        ))?;
        run(&format!(
            "{measure} --entropy-threshold 0.6 --shard {shard}/2 --output DIR/other-shards/{shard}"
        ))?;
    }
    run(&format!(
        "meta-clf fit --segments DIR/run/segments/{DATASET} --resamples 20 --output DIR/run/meta/{DATASET}"
    ))
}

/// Logits of a network that is sure of class 0 but on the unknown objects and on some squares that are none.
fn write_logits(labels: &Path, output: &Path) -> Result<()> {
    let index = Index::read(labels)?;
    let classes = ClassSet::cityscapes()?;
    stage_output(output, "seg-model infer", |dir| {
        for (number, sample) in index.samples.iter().enumerate() {
            let mask = index.read_mask(labels, sample)?;
            let (width, height) = (mask.width, mask.height);
            let mut values = vec![0.0; classes.len() * height * width];
            for (at, lead) in values[..height * width].iter_mut().enumerate() {
                let (y, x) = (at / width, at % width);
                let is_square = (y + 5 * number) % 40 < 9 && (x + 7 * number) % 48 < 11;
                *lead = match mask.labels[at] {
                    1 => 1.0 + (y % 3) as f32 / 4.0,
                    _ if is_square => (x % 5) as f32 / 2.0,
                    _ => 12.0,
                };
            }
            let info = LogitsInfo {
                sample_id: sample.sample_id.clone(),
                network: "toy".into(),
                output_height: height,
                output_width: width,
                align_corners: false,
                classes: classes.clone(),
            };
            let path: PathBuf = dir.join(format!("{}.safetensors", sample.sample_id));
            Logits::new(info, [classes.len(), height, width], values)?
                .write(&path, Precision::F16)?;
        }
        Ok(())
    })
}
