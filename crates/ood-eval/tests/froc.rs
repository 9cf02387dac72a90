//! Objects found over false alarms per image, and several meta classifiers of the same segments, with the executable.

mod common;

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use ood_eval::metrics::froc::{FrocPoint, Ranking};
use ood_eval::results::{FrocResults, Results};
use stage_testing::command::{fail, succeed};

fn ood_eval(root: &Path, stage: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    command.current_dir(root).arg(stage).args(more);
    command
}

const BOTH: [&str; 6] = [
    "--run",
    "base=base",
    "--run",
    "retrained=retrained",
    "--output",
    "out",
];

/// Two runs of the same segments; the second with a meta classifier that is wrong about all of them, below `wrong`.
const TWO_CLASSIFIERS: [&str; 8] = [
    "--run",
    "right=retrained",
    "--run",
    "wrong=retrained",
    "--meta",
    "wrong=wrong",
    "--output",
    "out",
];

fn write_wrong_meta(root: &Path) -> Result<()> {
    let mut predicted = common::retrained();
    for segment in predicted.iter_mut().flatten() {
        segment.false_positive_prob = 1.0 - segment.false_positive_prob;
    }
    common::write_decisions(&root.join("wrong/lost"), &predicted)
}

/// Numbers of segments, false alarms and objects, and threshold at each budget.
fn numbers(froc: &FrocResults) -> Vec<(u64, u64, u64, Option<f64>)> {
    let points = froc.points.iter();
    let numbers = |p: &FrocPoint| (p.n_kept, p.false_positives, p.n_found, p.threshold);
    points.map(numbers).collect()
}

#[test]
fn found_objects_are_counted_at_budgets_of_false_alarms() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    succeed(&mut ood_eval(root, "evaluate", &BOTH))?;
    let froc = &Results::read(&root.join("out"))?.datasets[0].froc;
    let keys: Vec<_> = froc.iter().map(|f| (&*f.run, f.ranking)).collect();
    assert_eq!(
        keys,
        [
            ("base", Ranking::MeanScore),
            ("base", Ranking::Size),
            ("retrained", Ranking::Meta),
            ("retrained", Ranking::MeanScore),
            ("retrained", Ranking::Size),
        ]
    );
    assert!(froc.iter().all(|f| (f.n_images, f.n_objects) == (3, 3)));
    // 0, 0, 1, 3, 6 ... false alarms in three images. The mean scores of the toy world are all equal
    let none = (0, 0, 0, None);
    let all = (6, 5, 1, Some(0.0));
    assert_eq!(
        numbers(&froc[0]),
        [none, none, none, none, all, all, all, all]
    );
    // sizes of segments: 180, 96 and 96, which are false alarms, 80 on an object, then false alarms of 72 and 63
    let one = (1, 1, 0, Some(180.0));
    let all = (6, 5, 1, Some(63.0));
    let three = (4, 3, 1, Some(80.0));
    assert_eq!(
        numbers(&froc[1]),
        [none, none, one, three, all, all, all, all]
    );
    // probabilities of a false alarm: 0.05, 0.1 and 0.2 on objects, then false alarms of 0.8 and 0.95
    let objects = (3, 0, 3, Some(0.2));
    let (one, all) = ((4, 1, 3, Some(0.8)), (5, 2, 3, Some(0.95)));
    assert_eq!(
        numbers(&froc[2]),
        [objects, objects, one, all, all, all, all, all]
    );
    let interval = froc[2].points[0].interval.context("an interval")?;
    assert_eq!((interval.low, interval.high), (1.0, 1.0));
    Ok(())
}

#[test]
fn tables_and_files_have_the_curves() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let text = succeed(&mut ood_eval(root, "evaluate", &BOTH))?.stdout;
    for part in ["retrained, meta classifier", "3 (100.0)"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let csv = read_to_string(root.join("out/froc.csv"))?;
    assert_eq!(csv.lines().count(), 1 + 5 * 8, "{csv}");
    for line in [
        "dataset,run,ranking,budget,threshold,n_kept,false_positives,false_positives_per_image,n_found,n_objects,share,share_low,share_high",
        "lost,base,size,0.1,,0,0,0,0,3,0,0,0",
        "lost,base,size,1,80,4,3,1,1,3,0.3333333333333333,0,",
        "lost,retrained,meta,0.5,0.8,4,1,0.3333333333333333,3,3,1,1,1",
        "lost,retrained,meta,all,0.95,5,2,0.6666666666666666,3,3,1,1,1",
    ] {
        assert!(csv.contains(line), "{line}\n{csv}");
    }
    let markdown = read_to_string(root.join("out/results.md"))?;
    for part in [
        "lost: FROC, objects found over false alarms per image",
        "| retrained, meta classifier | 3 | 3 (100.0) |",
        "| base, mean entropy | 3 | 0 (0.0) |",
        "lost: FROC, 95 % intervals over images",
    ] {
        assert!(markdown.contains(part), "{part}\n{markdown}");
    }
    let table = "tables/lost-froc-objects-found-over-false-alarms-per-image.tex";
    assert!(root.join("out").join(table).exists());

    let without = [&BOTH[..], &["--resamples", "0", "--force"]].concat();
    succeed(&mut ood_eval(root, "evaluate", &without))?;
    let markdown = read_to_string(root.join("out/results.md"))?;
    assert!(markdown.contains("FROC") && !markdown.contains("intervals"));
    Ok(())
}

#[test]
fn the_report_has_a_table_and_a_chart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    succeed(&mut ood_eval(root, "report", &BOTH))?;
    let html = read_to_string(root.join("out/report.html"))?;
    for part in [
        "Objects found over false alarms per image",
        "href=\"#lost-froc\"",
        "Solid lines rank the segments by the probability of the meta classifier",
        "tinted bands are 95 % intervals",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let svg = read_to_string(root.join("out/figures/lost_froc.svg"))?;
    for part in [
        "retrained + meta",
        "base, mean score",
        "base, size",
        "false alarms per image",
        "0.01",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    for extension in ["png", "pdf"] {
        assert!(
            root.join("out/figures/lost_froc")
                .with_extension(extension)
                .exists()
        );
    }
    let without = [&BOTH[..], &["--resamples", "0", "--force"]].concat();
    succeed(&mut ood_eval(root, "report", &without))?;
    let html = read_to_string(root.join("out/report.html"))?;
    assert!(html.contains("FROC curve") && !html.contains("tinted bands"));
    Ok(())
}

#[test]
fn several_meta_classifiers_judge_the_same_segments() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    write_wrong_meta(root)?;
    let arguments = [&TWO_CLASSIFIERS[..], &["--labels", "labels"]].concat();
    succeed(&mut ood_eval(root, "report", &arguments))?;
    let results = Results::read(&root.join("out"))?;
    let by_meta = results.datasets[0].froc.iter();
    let by_meta: Vec<_> = by_meta.filter(|f| f.ranking == Ranking::Meta).collect();
    // the wrong one ranks the false alarms first: one of them, then both and all objects
    let (one, all) = ((1, 1, 0, Some(1.0 - 0.95)), (5, 2, 3, Some(1.0 - 0.05)));
    assert_eq!(numbers(by_meta[0])[0], (3, 0, 3, Some(0.2)));
    assert_eq!(
        numbers(by_meta[1])[..4],
        [(0, 0, 0, None), (0, 0, 0, None), one, all]
    );
    let svg = read_to_string(root.join("out/figures/lost_froc.svg"))?;
    for (name, is_there) in [
        ("right + meta", true),
        ("wrong + meta", true),
        ("right, size", true),
        // the same line as that of the first run
        ("wrong, size", false),
    ] {
        assert_eq!(svg.contains(name), is_there, "{name}");
    }
    let html = read_to_string(root.join("out/report.html"))?;
    assert!(html.contains("<strong>wrong</strong> · lost · meta-clf"));

    let again = succeed(&mut ood_eval(root, "report", &arguments))?;
    assert!(again.stderr.contains("up to date"));
    let swapped = [
        &["--run", "right=retrained", "--run", "wrong=retrained"],
        &TWO_CLASSIFIERS[6..],
    ]
    .concat();
    let other = succeed(&mut ood_eval(root, "report", &swapped))?;
    assert!(!other.stderr.contains("up to date"));
    Ok(())
}

#[test]
fn runs_are_compared_at_half_a_false_alarm_per_image() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    write_wrong_meta(root)?;
    let done = succeed(&mut ood_eval(root, "compare", &TWO_CLASSIFIERS))?;
    assert!(done.stdout.contains("objects found at 0.5 FP per image"));
    let csv = read_to_string(root.join("out/compare.csv"))?;
    let mut rows = csv.lines().filter(|l| l.contains("found_at_half_fppi"));
    let mut row =
        || -> Result<Vec<&str>> { Ok(rows.next().context("a row")?.split(',').collect()) };
    // equal mean scores: no segment can be kept without all others
    let without = row()?;
    assert_eq!(
        (without[3], without[4], without[7], without[10]),
        ("false", "0", "0", "0")
    );
    let with_meta = row()?;
    assert_eq!(
        (with_meta[3], with_meta[4], with_meta[7], with_meta[10]),
        ("true", "3", "0", "-3")
    );
    let again = succeed(&mut ood_eval(root, "compare", &TWO_CLASSIFIERS))?;
    assert!(again.stderr.contains("up to date"), "{}", again.stderr);
    assert_eq!(again.stdout, done.stdout);
    Ok(())
}

#[test]
fn decisions_that_are_not_there_are_errors() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    write_wrong_meta(root)?;
    for (meta, parts) in [
        ("other=wrong", &["\"other\"", "--run does not"][..]),
        ("base=wrong/lost", &["wrong/lost", "\"base\"", "base/meta"]),
        ("base=nowhere", &["nowhere", "\"base\""]),
        (
            "base=wrong,wrong",
            &["--run \"base\" has another number of directories than --meta: 1 and 2"],
        ),
        // decisions on other segments
        (
            "base=wrong",
            &["wrong/lost/decisions.parquet", "run `meta-clf` again"],
        ),
    ] {
        let arguments = [&BOTH[..], &["--meta", meta]].concat();
        fail(&mut ood_eval(root, "evaluate", &arguments), parts)?;
    }
    let twice = ["--meta", "retrained=wrong", "--meta", "retrained=wrong"];
    fail(
        &mut ood_eval(root, "evaluate", &[&BOTH[..], &twice].concat()),
        &["--meta names the run \"retrained\" twice"],
    )?;
    Ok(())
}
