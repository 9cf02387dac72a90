//! What tables say in words, and what they leave out: in the terminal's output, the files and the report.

mod common;

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use artifacts::manifest::{Input, Manifest};
use artifacts::score::Score;
use artifacts::track::{Threshold, Track};
use ood_eval::results::{Results, RowResults};
use stage_testing::command::{fail, succeed};

fn ood_eval(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    command.current_dir(root).args(args);
    command
}

const BOTH: [&str; 4] = ["--run", "baseline=base", "--run", "retrained=retrained"];

/// A call with both runs of the toy world and the output `out`.
fn with_both(root: &Path, stage: &str) -> Command {
    let mut command = ood_eval(root, &[stage]);
    command.args(BOTH).args(["--output", "out"]);
    command
}

fn compare(root: &Path, runs: [&str; 2], more: &[&str]) -> Command {
    let runs = ["compare", "--run", runs[0], "--run", runs[1]];
    let output = ["--output", "comparison"];
    ood_eval(root, &[&runs[..], &output[..], more].concat())
}

/// Changes the arguments in the manifest of the segments of the run `retrained`.
fn segments_with(root: &Path, arguments: serde_json::Value) -> Result<()> {
    let path = root.join("retrained/segments/lost/manifest.json");
    let mut manifest = Manifest::read_file(&path)?;
    manifest.arguments = arguments;
    manifest.write_file(&path)
}

#[test]
fn metrics_that_are_not_defined_are_not_compared() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    // with images that have objects alone, images cannot be told apart by having one
    let runs = ["a=retrained", "b=retrained"];
    let text = succeed(&mut compare(root, runs, &["--skip-without-ood"]))?.stdout;
    assert!(
        !text.contains("image AUROC") && text.contains("mean AUPRC"),
        "{text}"
    );
    assert!(
        text.contains("not defined on the images are left out"),
        "{text}"
    );
    assert!(text.contains("FP + meta ↓"), "{text}");
    let csv = std::fs::read_to_string(root.join("comparison/compare.csv"))?;
    assert!(csv.contains("image_auroc_max"), "the file has all: {csv}");
    let all = succeed(&mut compare(root, runs, &["--resamples", "0"]))?.stdout;
    assert!(
        all.contains("image AUROC") && !all.contains("left out"),
        "{all}"
    );
    assert!(
        !all.contains("│ no clear difference"),
        "nothing was resampled: {all}"
    );
    assert!(
        all.contains("Nothing was resampled") && !all.contains("0 bootstrap resamples"),
        "{all}"
    );
    Ok(())
}

/// Lets the run `base` have nothing but the benchmark of its data set, made from these scores.
fn only_benchmark(root: &Path, threshold: &Threshold) -> Result<()> {
    common::write_benchmark(&root.join("base"), &common::retrained(), threshold)?;
    let segments = root.join("base/segments");
    if segments.exists() {
        std::fs::remove_dir_all(segments)?;
    }
    let path = root.join("base/benchmark/lost/manifest.json");
    let mut manifest = Manifest::read_file(&path)?;
    manifest.arguments = serde_json::json!({ "score": threshold.score });
    for (name, dir) in [("logits", "base/logits/lost"), ("labels", "my labels/lost")] {
        let input = Input {
            path: dir.into(),
            bytes: 0,
            blake3: String::new(),
        };
        manifest.inputs.insert(name.to_owned(), input);
    }
    manifest.write_file(&path)
}

#[test]
fn a_benchmark_alone_is_evaluated() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    only_benchmark(
        root,
        &Threshold::new(Track::Obstacle, Score::Entropy, 0.25, Some(0.5)),
    )?;
    let one = ["evaluate", "--run", "a=base", "--output", "eval"];
    let done = succeed(&mut ood_eval(root, &one))?;
    for word in ["lost: SegmentMeIfYouCan", "sIoU", "PPV", "F1*", "AUPRC"] {
        assert!(done.stdout.contains(word), "{word}: {}", done.stdout);
    }
    let call = "oodseg segment-metrics --logits base/logits/lost --labels 'my labels/lost' --output base/segments/lost";
    assert!(
        done.stderr.contains(&format!("`{call}` makes")),
        "{}",
        done.stderr
    );
    let csv = std::fs::read_to_string(root.join("eval/results.csv"))?;
    let columns: Vec<_> = csv.lines().map(|l| l.split(',').count()).collect();
    assert_eq!(columns, [columns[0]; 2], "{csv}");
    assert!(
        csv.contains("\nlost,a,false,,") && csv.contains(",obstacle,entropy,0.25,"),
        "{csv}"
    );
    let report = [
        "report", "--run", "a=base", "--output", "report", "--labels", "labels",
    ];
    succeed(&mut ood_eval(root, &report))?;
    let html = std::fs::read_to_string(root.join("report/report.html"))?;
    assert!(
        html.contains("only the benchmark of lost")
            && html.contains("base&#x2f;segments&#x2f;lost")
    );

    // beside a run with segments it has rows in the benchmark's table alone
    let done = succeed(&mut with_both(root, "evaluate"))?;
    assert!(!done.stderr.contains("has no data set"), "{}", done.stderr);
    let results = Results::read(&root.join("out"))?;
    assert!(
        results.datasets[0]
            .rows
            .iter()
            .all(|row| row.run == "retrained")
    );
    assert_eq!(results.benchmark.len(), 1);
    fail(
        &mut compare(root, ["a=base", "b=retrained"], &[]),
        &["in common", call],
    )?;

    // a score without a usual threshold gets that of the benchmark
    let of_margin = Threshold::new(Track::Obstacle, Score::Margin, 0.5, Some(0.5));
    only_benchmark(root, &of_margin)?;
    let done = succeed(&mut ood_eval(root, &one))?;
    let flags = "base/segments/lost --score margin --threshold 0.5` makes";
    assert!(done.stderr.contains(flags), "{}", done.stderr);
    Ok(())
}

#[test]
fn a_run_without_segments_is_told_what_makes_them() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    std::fs::remove_dir_all(root.join("base/segments"))?;
    let call = "`oodseg segment-metrics --logits base/logits/lost --labels labels/lost --output base/segments/lost` makes one";
    fail(
        &mut ood_eval(root, &["evaluate", "--run", "a=base", "--output", "eval"]),
        &["nothing to evaluate", call],
    )?;
    Ok(())
}

#[test]
fn scores_that_probabilities_do_not_tell_are_left_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    segments_with(root, serde_json::json!({ "of_probabilities": true }))?;
    let note = "Left out: max logit and energy of retrained. Probabilities";
    let text = succeed(&mut with_both(root, "evaluate"))?.stdout;
    assert!(text.contains(note), "{text}");
    let results = Results::read(&root.join("out"))?;
    let [all, some, with_meta] = &results.datasets[0].rows[..] else {
        anyhow::bail!("three rows");
    };
    let scores = |row: &RowResults| row.pixels.iter().map(|p| p.score).collect::<Vec<_>>();
    assert_eq!(scores(all), Score::OF_LOGITS);
    for row in [some, with_meta] {
        assert_eq!(
            scores(row),
            [Score::Entropy, Score::MaxSoftmax, Score::Margin]
        );
        let mut unknown = row.intervals.iter().filter_map(|i| i.metric.score);
        assert!(unknown.all(Score::survives_softmax), "{:?}", row.intervals);
    }
    let read = |file: &str| std::fs::read_to_string(root.join(file));
    let markdown = read("out/results.md")?;
    assert!(
        markdown.contains("| baseline, energy |") && markdown.contains(note),
        "{markdown}"
    );
    assert!(!markdown.contains("| retrained, energy |"), "{markdown}");
    assert!(!markdown.contains("| retrained, max logit |"), "{markdown}");
    let of_retrained = |file: &str| -> Result<usize> {
        let text = read(file)?;
        let lines = text.lines().filter(|l| l.contains("retrained"));
        Ok(lines
            .filter(|l| l.contains(",energy,") || l.contains(",max_logit,"))
            .count())
    };
    assert_eq!(
        (
            of_retrained("out/results.csv")?,
            of_retrained("out/images.csv")?
        ),
        (0, 0)
    );
    succeed(with_both(root, "report").arg("--force"))?;
    assert!(read("out/report.html")?.contains(note));
    let text = succeed(&mut compare(
        root,
        ["baseline=base", "retrained=retrained"],
        &[],
    ))?
    .stdout;
    assert!(
        text.contains(note) && !text.contains("↑, energy") && text.contains("↑, margin"),
        "{text}"
    );
    Ok(())
}

#[test]
fn names_are_said_once_and_nothing_is_marked_in_a_pipe() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let of_margin = serde_json::json!({ "score": "margin", "entropy_threshold": 0.5 });
    segments_with(root, of_margin)?;
    let args = [
        "evaluate",
        "--run",
        "base=base",
        "--run",
        "Margin=retrained",
        "--output",
        "eval",
    ];
    let text = succeed(&mut ood_eval(root, &args))?.stdout;
    assert!(
        text.contains("│ Margin ") && text.contains("│ Margin + meta "),
        "{text}"
    );
    assert!(
        !text.contains("Margin, margin") && !text.contains("meta, margin"),
        "{text}"
    );
    assert_eq!(
        text.matches('*').count(),
        text.matches("F1*").count(),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && !text.contains("Bold"), "{text}");
    let markdown = std::fs::read_to_string(root.join("eval/results.md"))?;
    assert!(
        markdown.contains("| Margin |") && markdown.contains("| Margin, entropy |"),
        "{markdown}"
    );
    assert!(
        markdown.contains("**") && markdown.contains("Bold: the best"),
        "{markdown}"
    );
    Ok(())
}
