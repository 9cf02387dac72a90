//! The executable on a toy world of three street scenes and two runs.

mod common;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::manifest::Manifest;
use artifacts::score::Score;
use artifacts::tables::{read_table, schema};
use artifacts::track::{Threshold, Track};
use ood_eval::metrics::metric::{
    AUPRC, AUROC, F1, FALSE_NEGATIVES, FALSE_POSITIVES, FPR95, IMAGE_AUROC_MAX, IMAGE_AUROC_MEAN,
    MEAN_AUPRC, Metric,
};
use ood_eval::metrics::size_bands::SizeBand;
use ood_eval::results::{Results, RowResults};
use stage_testing::command::{fail, succeed};
use stage_testing::toy::change_output;

fn ood_eval(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-eval"));
    command.current_dir(root).args(args);
    command
}

fn closed_set(root: &Path, run: &str) -> Command {
    let (logits, output) = (
        format!("{run}/logits/streets"),
        format!("{run}/closed_set/streets"),
    );
    ood_eval(
        root,
        &[
            "closed-set",
            "--logits",
            &logits,
            "--labels",
            "labels/streets",
            "--output",
            &output,
        ],
    )
}

const RUNS: [&str; 4] = ["--run", "baseline=base", "--run", "retrained=retrained"];

fn evaluate(root: &Path, more: &[&str]) -> Command {
    ood_eval(
        root,
        &[&["evaluate"], &RUNS[..], &["--output", "eval"], more].concat(),
    )
}

#[test]
fn evaluate_compares_the_runs() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let text = succeed(&mut closed_set(root, "base"))?.stdout;
    assert!(text.contains("mean IoU"), "{text}");
    assert!(text.contains("expected calibration error"), "{text}");
    succeed(&mut closed_set(root, "retrained"))?;
    let text = succeed(&mut evaluate(root, &["--compat"]))?.stdout;
    assert!(
        text.contains("retrained + meta") && text.contains("mIoU"),
        "{text}"
    );

    let results = Results::read(&root.join("eval"))?;
    assert_eq!(results.datasets.len(), 1);
    let rows = &results.datasets[0].rows;
    let errors: Vec<_> = rows
        .iter()
        .map(|r| {
            (
                r.with_meta,
                r.segments.count(&FALSE_POSITIVES),
                r.segments.count(&FALSE_NEGATIVES),
            )
        })
        .collect();
    assert_eq!(errors, [(false, 5, 2), (false, 2, 0), (true, 0, 0)]);
    for row in rows {
        let sum = |of: fn(&SizeBand) -> u64| row.sizes.iter().map(of).sum::<u64>();
        assert_eq!(
            sum(|b| b.false_positives),
            row.segments.count(&FALSE_POSITIVES)
        );
        assert_eq!(
            sum(|b| b.false_negatives),
            row.segments.count(&FALSE_NEGATIVES)
        );
        assert_eq!(sum(|b| b.n_kept), row.segments.n_kept);
    }
    // 308, 140 and 288 pixels
    assert_eq!(
        rows[0]
            .sizes
            .iter()
            .map(|b| b.n_objects)
            .collect::<Vec<_>>(),
        [0, 3, 0, 0]
    );
    // their centroids are in rows 66.5, 74.5 and 71.5 of 96
    let by_distance = rows[0].distances.iter();
    let by_distance: Vec<_> = by_distance
        .map(|b| (b.n_objects, b.false_negatives))
        .collect();
    assert_eq!(by_distance, [(0, 0), (0, 0), (3, 2)]);
    assert_eq!(rows[0].pixels.len(), 5);
    assert!(
        rows[0]
            .pixels
            .iter()
            .all(|p| p.values.get(&AUROC).is_some_and(|a| a > 0.5))
    );
    assert!(rows[1].pixels[0].values.get(&AUPRC) > rows[0].pixels[0].values.get(&AUPRC));
    assert_eq!(rows[1].pixels, rows[2].pixels);
    assert!(rows[1].reference.is_some_and(|r| r.auroc.is_some()));
    assert_eq!(results.closed_set.len(), 2);
    let errors = results.closed_set.iter().map(|c| c.calibration_error);
    assert!(errors.flatten().filter(|e| (0.0..1.0).contains(e)).count() == 2);

    let csv = std::fs::read_to_string(root.join("eval/results.csv"))?;
    assert_eq!(csv.lines().count(), 1 + 3 * 5);
    let columns: Vec<_> = csv.lines().map(|l| l.split(',').count()).collect();
    assert!(columns.iter().all(|&n| n == columns[0]), "{columns:?}");
    let markdown = std::fs::read_to_string(root.join("eval/results.md"))?;
    assert!(markdown.contains("| retrained + meta |"), "{markdown}");
    Ok(())
}

#[test]
fn benchmark_figures_stand_in_a_table_of_their_own() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let threshold = Threshold::new(Track::Obstacle, Score::Margin, 0.25, Some(0.5));
    common::write_benchmark(&root.join("base"), &common::retrained(), &threshold)?;
    let text = succeed(&mut evaluate(root, &["--skip-without-ood"]))?.stdout;
    assert!(text.contains("lost: SegmentMeIfYouCan"), "{text}");
    assert!(
        text.contains("obstacle") && text.contains("margin ≥ 0.2500"),
        "{text}"
    );
    let results = Results::read(&root.join("eval"))?;
    let [benchmark] = &results.benchmark[..] else {
        anyhow::bail!("one run has benchmark metrics: {:?}", results.benchmark);
    };
    assert_eq!((&*benchmark.dataset, &*benchmark.run), ("lost", "baseline"));
    let metrics = &benchmark.metrics;
    assert_eq!(metrics.threshold, threshold);
    // the segments there are those of the other run, and its meta classifier takes no part
    let retrained = &results.datasets[0].rows[1];
    assert_eq!(metrics.segments, retrained.segments);
    assert_eq!(metrics.segments.n_kept, metrics.segments.n_segments);
    // all images count, also those without objects
    let margin = retrained.pixels_of(Score::Margin).context("margin")?;
    assert!(metrics.get(&AUPRC).is_some() && metrics.get(&FPR95) != margin.values.get(&FPR95));
    let intervals = metrics.intervals.iter();
    let names: Vec<_> = intervals
        .clone()
        .map(|i| i.metric.definition.name)
        .collect();
    assert_eq!(names, ["auprc", "fpr95", "siou", "ppv", "f1"]);
    assert!(intervals.clone().all(|i| i.interval.low <= i.interval.high));
    assert!(text.contains("SegmentMeIfYouCan: 95 % intervals"), "{text}");
    let csv = std::fs::read_to_string(root.join("eval/results.csv"))?;
    let cells: Vec<_> = csv
        .lines()
        .map(|l| l.split(',').collect::<Vec<_>>())
        .collect();
    assert!(cells.iter().all(|row| row.len() == cells[0].len()), "{csv}");
    let cell = |name: &str| -> Result<&str> {
        let column = cells[0].iter().position(|&title| title == name);
        Ok(cells[1][column.context("a column")?])
    };
    assert_eq!(cell("benchmark_track")?, "obstacle");
    assert_eq!(cell("benchmark_score")?, "margin");
    assert_eq!(cell("benchmark_threshold")?, "0.25");
    let f1 = metrics.get(&F1).context("F1")?;
    assert_eq!(cell("benchmark_f1")?, f1.to_string());
    let report = ["report", "--run", "baseline=base", "--output", "report"];
    succeed(&mut ood_eval(root, &report))?;
    let html = std::fs::read_to_string(root.join("report/report.html"))?;
    assert!(html.contains("lost: SegmentMeIfYouCan") && html.contains("#benchmark"));
    change_output(&root.join("base/benchmark/lost"), |dir| {
        Ok(std::fs::remove_file(dir.join("threshold.json"))?)
    })?;
    fail(
        &mut evaluate(root, &["--force"]),
        &["threshold.json", "--track"],
    )?;
    Ok(())
}

#[test]
fn done_work_is_shown_and_not_done_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let first = succeed(&mut evaluate(root, &[]))?;
    let bytes = std::fs::read(root.join("eval/results.json"))?;
    let again = succeed(&mut evaluate(root, &[]))?;
    assert_eq!(first.stdout, again.stdout);
    assert!(again.stderr.contains("up to date"));
    succeed(&mut evaluate(root, &["--force", "--threads", "1"]))?;
    assert_eq!(bytes, std::fs::read(root.join("eval/results.json"))?);
    Ok(())
}

#[test]
fn images_without_objects_can_be_left_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    succeed(&mut evaluate(root, &[]))?;
    let all = Results::read(&root.join("eval"))?;
    succeed(&mut evaluate(root, &["--skip-without-ood"]))?;
    let some = Results::read(&root.join("eval"))?;
    let (all, some) = (&all.datasets[0].rows[0], &some.datasets[0].rows[0]);
    assert_eq!(
        all.n_in - some.n_in,
        (common::WIDTH * (common::HEIGHT - 6)) as u64
    );
    assert_eq!((all.n_out, &all.segments), (some.n_out, &some.segments));
    Ok(())
}

#[test]
fn tables_without_the_height_of_images_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    change_output(&root.join("base/segments/lost"), |dir| {
        let mut table = schema::samples();
        let path = dir.join(table.file_name());
        let frame = read_table(&path, &table)?;
        table.columns.retain(|c| c.name != "height");
        artifacts::tables::write_table(&path, &table, &frame.drop("height")?)
    })?;
    let words = [
        "samples.parquet",
        "no column \"height\"",
        "run `segment-metrics` again with --force",
    ];
    fail(&mut evaluate(root, &[]), &words)?;
    Ok(())
}

#[test]
fn errors_name_the_file_and_what_to_do() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let fails = |args: &[&str], words: &[&str]| fail(&mut ood_eval(root, args), words);
    fails(
        &["evaluate", "--run", "a=nowhere", "--output", "eval"],
        &["nowhere", "\"a\""],
    )?;
    fails(
        &["evaluate", "--run", "a=labels", "--output", "eval"],
        &["segment-metrics", "labels/segments"],
    )?;
    fails(
        &[
            "evaluate",
            "--run",
            "a=base",
            "--run",
            "a=retrained",
            "--output",
            "eval",
        ],
        &["given twice"],
    )?;
    fails(
        &[
            "closed-set",
            "--logits",
            "base/logits/lost",
            "--labels",
            "labels/lost",
            "--output",
            "c",
        ],
        &["labels/lost", "train ids"],
    )?;
    std::fs::remove_file(root.join("base/logits/streets/lost_000002.safetensors"))?;
    fails(
        &[
            "closed-set",
            "--logits",
            "base/logits/streets",
            "--labels",
            "labels/streets",
            "--output",
            "c",
        ],
        &["lost_000002", "seg-model infer"],
    )?;
    let segments = root.join("base/segments/lost");
    let table = segments.join("overlaps.parquet");
    let bytes = std::fs::read(&table)?;
    change_output(&segments, |_| {
        Ok(std::fs::write(&table, &bytes[..bytes.len() / 2])?)
    })?;
    fails(
        &["evaluate", "--run", "a=base", "--output", "eval"],
        &["overlaps.parquet", "damaged", "segment-metrics"],
    )?;
    change_output(&segments, |_| Ok(std::fs::write(&table, &bytes)?))?;
    change_output(&root.join("retrained/segments/lost"), |dir| {
        let from = segments.join("segments.parquet");
        std::fs::copy(from, dir.join("segments.parquet"))?;
        Ok(())
    })?;
    fails(
        &["evaluate", "--run", "a=retrained", "--output", "eval"],
        &["segment-metrics"],
    )?;
    std::fs::remove_file(segments.join("manifest.json"))?;
    fails(
        &["evaluate", "--run", "a=base", "--output", "eval"],
        &["no finished output of `segment-metrics`", "base/segments"],
    )?;
    Ok(())
}

/// Copies the tables of the main threshold to another threshold.
fn at_threshold(root: &Path, stage: &str, tables: &[&str], threshold: &str) -> Result<()> {
    change_output(&root.join(stage).join("lost"), |from| {
        let to = from.join("thresholds").join(threshold);
        std::fs::create_dir_all(&to)?;
        for table in tables {
            let name = format!("{table}.parquet");
            std::fs::copy(from.join(&name), to.join(&name))?;
        }
        Ok(())
    })
}

#[test]
fn figures_over_the_threshold_are_a_table_and_two_charts() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let tables = ["segments", "objects", "overlaps", "samples"];
    for threshold in ["0.6", "0.25"] {
        at_threshold(root, "base/segments", &tables, threshold)?;
        at_threshold(root, "retrained/segments", &tables, threshold)?;
    }
    at_threshold(root, "retrained/meta", &["decisions"], "0.6")?;
    // the main threshold is one of them if the manifest has it, but only once
    for (run, threshold) in [("base", 0.25), ("retrained", 0.4)] {
        let path = root.join(run).join("segments/lost/manifest.json");
        let mut manifest = Manifest::read_file(&path)?;
        manifest.arguments = serde_json::json!({ "entropy_threshold": threshold });
        manifest.write_file(&path)?;
    }
    succeed(&mut evaluate(root, &[]))?;
    let results = Results::read(&root.join("eval"))?;
    let dataset = &results.datasets[0];
    let rows = dataset.thresholds.iter();
    let keys: Vec<_> = rows.map(|r| (&*r.run, r.with_meta, r.threshold)).collect();
    assert_eq!(
        keys,
        [
            ("baseline", false, 0.25),
            ("baseline", false, 0.6),
            ("retrained", false, 0.25),
            ("retrained", false, 0.4),
            ("retrained", false, 0.6),
            ("retrained", true, 0.4),
            ("retrained", true, 0.6),
        ]
    );
    for r in &dataset.thresholds {
        let is_main = |row: &&RowResults| row.run == r.run && row.with_meta == r.with_meta;
        let main = dataset.rows.iter().find(is_main).context("a row")?;
        assert_eq!(r.segments, main.segments, "the same segments");
    }
    let csv = std::fs::read_to_string(root.join("eval/thresholds.csv"))?;
    assert_eq!(csv.lines().count(), 8, "{csv}");
    assert!(std::fs::read_to_string(root.join("eval/results.md"))?.contains("over the threshold"));
    succeed(&mut report(root, &[]))?;
    let html = std::fs::read_to_string(root.join("report/report.html"))?;
    assert!(html.contains("Missed objects over the threshold"));
    change_output(&root.join("base/segments/lost"), |dir| {
        Ok(std::fs::remove_file(
            dir.join("thresholds/0.6/overlaps.parquet"),
        )?)
    })?;
    fail(&mut evaluate(root, &["--force"]), &["at the threshold 0.6"])?;
    Ok(())
}

fn report(root: &Path, more: &[&str]) -> Command {
    ood_eval(
        root,
        &[&["report"], &RUNS[..], &["--output", "report"], more].concat(),
    )
}

/// Whether everything the page shows is inside it.
fn assert_self_contained(html: &str) {
    for marker in [
        "src=\"", "href=\"", "url(", "@import", "srcset", "<link", "<iframe",
    ] {
        for (at, _) in html.match_indices(marker) {
            let target = &html[at + marker.len()..][..40.min(html.len() - at - marker.len())];
            let is_inside = target.starts_with('#') || target.starts_with("data:image/");
            assert!(is_inside, "{marker}{target}");
        }
    }
    for outside in ["http://", "https://", "file://"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn report_is_one_page_with_everything() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    succeed(&mut closed_set(root, "base"))?;
    succeed(&mut closed_set(root, "retrained"))?;
    let title = "A <b>bold</b> title";
    let done = succeed(&mut report(root, &["--labels", "labels", "--title", title]))?;
    assert!(done.stdout.contains("report/report.html"));
    let html = std::fs::read_to_string(root.join("report/report.html"))?;
    assert_self_contained(&html);
    assert!(html.contains("A &lt;b&gt;bold&lt;&#x2f;b&gt; title"));
    for part in [
        "lost_000001",
        "ROC curve",
        "Precision and recall",
        "Known classes",
        "Provenance",
    ] {
        assert!(html.contains(part), "{part}");
    }
    // photo and truth, and prediction, entropy and segments of both runs, for three samples
    assert_eq!(html.matches("data:image/jpeg").count(), 3 * (2 + 2 * 3));
    // one false alarm less in every image, and half of the objects' intervals reach 0: as in `compare`
    for card in [
        "<li class=\"better\"><span class=\"what\">false alarms",
        "<li class=\"no_clear_difference\"><span class=\"what\">missed objects",
    ] {
        assert!(html.contains(card), "{card}");
    }
    assert!(html.contains("○ no clear difference") && html.contains("by size band"));
    // the last run makes no errors, so the samples with the fewest found objects come first
    assert!(html.find("<h4>lost_000003 <span class=\"rank\">worst") < html.find("<h4>lost_000002"));
    assert!(html.find("<h4>lost_000002") < html.find("<h4>lost_000001 <span class=\"rank\">best"));
    let n_charts = std::fs::read_dir(root.join("report/figures"))?.count();
    assert_eq!(
        n_charts,
        3 * (2 + 2 + 1 + 1 + 2 + 2 + 2),
        "SVG, PNG and PDF of curves, histograms, bars, found objects, meta, confusion, reliability"
    );
    assert_eq!(
        std::fs::read_dir(root.join("report/overlays/lost"))?.count(),
        24
    );
    for file in ["results.json", "results.csv", "results.md", "manifest.json"] {
        assert!(root.join("report").join(file).exists(), "{file}");
    }
    Ok(())
}

/// The part of the report from the heading of a sample to the next one.
fn sample<'a>(html: &'a str, id: &str) -> Result<&'a str> {
    let part = html.split("<h4>").find(|part| part.starts_with(id));
    part.with_context(|| format!("no sample {id}"))
}

#[test]
fn segments_are_true_or_false_and_kept_or_rejected() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    succeed(&mut report(root, &["--labels", "labels"]))?;
    let html = std::fs::read_to_string(root.join("report/report.html"))?;
    let first = sample(&html, "lost_000001")?;
    // true, false alarms, true and false ones that are rejected, missed objects
    for row in [
        "baseline</th><td>1</td><td>2</td><td>0</td><td>0</td><td>1 of 2",
        "retrained</th><td>2</td><td>0</td><td>0</td><td>1</td><td>0 of 2",
    ] {
        assert!(first.contains(row), "{row}: {first}");
    }
    assert!(first.contains(
        "2 true ones kept in green, 0 false alarms kept in red, 0 true and 1 false ones rejected"
    ));
    // two objects of 100 to 999 pixels
    assert!(html.contains("data-rank=\"best\" data-bands=\"1\">\n<h4>lost_000001"));
    assert!(html.contains("data-bands=\"\">\n<h4>lost_000003"));
    // captions say of which score the segments are
    assert!(first.contains("<figcaption>segments (entropy)</figcaption>"));
    // the colors of the picture are those of the legend
    let picture =
        image::open(root.join("report/overlays/lost/lost_000001.segments_0_baseline.jpg"))?;
    let picture = picture.to_rgb8();
    let near = |x: u32, y: u32, color: [u8; 3]| {
        let pixel = picture.get_pixel(x, y).0;
        pixel.iter().zip(color).all(|(&a, b)| a.abs_diff(b) < 60)
    };
    assert_eq!(picture.dimensions(), (384, 192));
    assert!(
        near(2 * 84 + 1, 2 * 66, [0, 200, 140]),
        "outline of a true segment"
    );
    assert!(
        near(2 * 20 + 1, 2 * 24, [255, 72, 48]),
        "outline of a false alarm"
    );
    Ok(())
}

#[test]
fn the_page_has_a_limit() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let args = ["--labels", "labels", "--page-megabytes"];
    let page = |megabytes: &str| -> Result<String> {
        succeed(&mut report(root, &[&args[..], &[megabytes]].concat()))?;
        Ok(std::fs::read_to_string(root.join("report/report.html"))?)
    };
    let all = page("24")?;
    assert!(all.contains("24 pictures take 0.") && all.contains("at most 24"));
    let none = page("0")?;
    assert_eq!(none.matches("data:image/jpeg").count(), 0);
    assert!(none.contains("3 more samples do not fit into the page"));
    let files = std::fs::read_dir(root.join("report/overlays/lost"))?.count();
    assert_eq!(files, 24, "the pictures are there");
    Ok(())
}

#[test]
fn tables_for_papers_have_files_and_labels() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    succeed(&mut evaluate(root, &[]))?;
    let all = std::fs::read_to_string(root.join("eval/results.tex"))?;
    for name in ["lost", "lost-all-scores", "lost-95-intervals-over-images"] {
        let file = root.join(format!("eval/tables/{name}.tex"));
        let one = std::fs::read_to_string(&file).with_context(|| name.to_owned())?;
        let label = format!("\\label{{tab:{name}}}");
        assert!(one.contains(&label) && one.contains("\\toprule"), "{one}");
        assert!(all.contains(&label), "{all}");
    }
    Ok(())
}

#[test]
fn images_without_labels_are_in_the_report() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    common::write_unlabeled(root, &common::retrained())?;
    let found = [
        "--segments",
        "segments",
        "--meta",
        "meta",
        "--logits",
        "logits",
    ];
    succeed(&mut ood_eval(
        root,
        &[&["detect", "--output", "found"], &found[..]].concat(),
    ))?;
    succeed(&mut report(root, &["--found", "night <drive>=found"]))?;
    let html = std::fs::read_to_string(root.join("report/report.html"))?;
    assert_self_contained(&html);
    assert!(html.contains("Images without labels") && html.contains("night &lt;drive&gt;"));
    assert!(html.contains("3 segments that may be unknown objects in 2 of 3 images"));
    assert!(
        html.contains("found&#x2f;report.html"),
        "the page of all images is named"
    );
    assert_eq!(html.matches("data:image/jpeg").count(), 3);
    assert!(html.find("1. lost_000001") < html.find("2. lost_000002"));
    succeed(&mut report(root, &["--found", "a=found", "--gallery", "1"]))?;
    let html = std::fs::read_to_string(root.join("report/report.html"))?;
    assert_eq!(html.matches("data:image/jpeg").count(), 1);
    assert!(html.contains("The first image is shown."));
    fail(&mut report(root, &["--found", "a=nowhere"]), &["nowhere"])?;
    Ok(())
}

#[test]
fn published_results_stand_apart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let file = root.join("published.toml");
    let row = "[[result]]\nname = \"a <method>\"\ndatasets = [\"lost\"]\nsource = \"a table\"\nauprc = 12.3\n";
    std::fs::write(&file, format!("{row}fpr95 = 45.67\n"))?;
    let published = ["--published", "published.toml"];
    succeed(&mut report(root, &published))?;
    let html = std::fs::read_to_string(root.join("report/report.html"))?;
    let rows = html.split("<tbody class=\"published\">").nth(1);
    let rows = rows.context("published rows")?;
    for part in ["a &lt;method&gt;", "<td>12.30</td>", "<td>45.67</td>"] {
        assert!(rows.contains(part), "{part}");
    }
    assert!(html.contains("Published rows: a table."));
    // they are not among the results of this report
    let results = std::fs::read_to_string(root.join("report/results.md"))?;
    assert!(!results.contains("method"));
    std::fs::write(&file, row)?;
    fail(&mut report(root, &published), &["published.toml", "fpr95"])?;
    Ok(())
}

#[test]
fn report_is_the_same_bytes_on_any_number_of_threads() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    succeed(&mut closed_set(root, "base"))?;
    let mut pages = Vec::new();
    for threads in ["1", "3"] {
        succeed(&mut report(
            root,
            &["--labels", "labels", "--threads", threads, "--force"],
        ))?;
        pages.push(std::fs::read(root.join("report/report.html"))?);
    }
    assert!(pages[0] == pages[1]);
    Ok(())
}

#[test]
fn report_does_without_what_is_missing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let page = |args: &[&str]| -> Result<String> {
        succeed(&mut ood_eval(
            root,
            &[&["report", "--output", "report"], args].concat(),
        ))?;
        Ok(std::fs::read_to_string(root.join("report/report.html"))?)
    };
    let one = page(&["--run", "only=base"])?;
    assert!(one.contains("give --labels") && !one.contains("data:image"));
    std::fs::remove_dir_all(root.join("base/logits"))?;
    let without_logits = page(&["--run", "only=base", "--labels", "labels", "--gallery", "2"])?;
    assert!(without_logits.contains("seg-model infer"));
    assert_eq!(without_logits.matches("data:image/jpeg").count(), 2 * 3);
    let ten: Vec<String> = (0..10)
        .flat_map(|i| ["--run".to_owned(), format!("run {i}=retrained")])
        .collect();
    let mut args: Vec<&str> = ten.iter().map(String::as_str).collect();
    args.extend(["--labels", "labels", "--gallery", "1"]);
    let ten = page(&args)?;
    assert_self_contained(&ten);
    assert!(ten.contains("run 9 + meta"));
    Ok(())
}

#[test]
fn report_names_a_sample_that_the_labels_lack() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let index = root.join("labels/lost/index.json");
    let text = std::fs::read_to_string(&index)?.replace("\"lost_000001\"", "\"lost_000000\"");
    std::fs::write(&index, text)?;
    fail(
        &mut report(root, &["--labels", "labels"]),
        &["lost_000001", "labels/lost/index.json", "--labels"],
    )?;
    fail(
        &mut report(root, &["--labels", "nowhere"]),
        &["nowhere/lost"],
    )?;
    Ok(())
}

/// All metrics of runs that have logits.
fn of_logits() -> impl Iterator<Item = Metric> {
    Metric::all().filter(|metric| metric.score != Some(Score::Adopted))
}

#[test]
fn figures_of_images_and_intervals_stand_beside_the_figures() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let text = succeed(&mut evaluate(root, &["--resamples", "200"]))?.stdout;
    assert!(text.contains("95 % intervals over images"), "{text}");
    let results = Results::read(&root.join("eval"))?;
    for row in &results.datasets[0].rows {
        assert_eq!(row.intervals.len(), of_logits().count(), "{}", row.run);
        for metric in of_logits() {
            let interval = row.interval(metric).context("an interval")?;
            assert!(interval.low <= interval.high, "{metric:?}");
        }
    }
    let csv = std::fs::read_to_string(root.join("eval/images.csv"))?;
    assert_eq!(csv.lines().count(), 1 + 2 * 3 * 5);
    let table = schema::images();
    let frame = read_table(&root.join("eval").join(table.file_name()), &table)?;
    assert_eq!(frame.height(), 2 * 3 * 5);
    let latex = std::fs::read_to_string(root.join("eval/results.tex"))?;
    assert_eq!(latex.matches("\\begin{tabular}").count(), 7);

    let once = std::fs::read(root.join("eval/results.json"))?;
    succeed(&mut evaluate(
        root,
        &["--resamples", "200", "--threads", "1", "--force"],
    ))?;
    assert!(once == std::fs::read(root.join("eval/results.json"))?);
    let text = succeed(&mut evaluate(root, &["--resamples", "0"]))?.stdout;
    assert!(!text.contains("intervals"), "{text}");
    Ok(())
}

#[test]
fn older_tables_lack_scores_of_images() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    change_output(&root.join("base/segments/lost"), |dir| {
        let mut table = schema::sample_pixels();
        let path = dir.join(table.file_name());
        let mut frame = read_table(&path, &table)?;
        for column in ["max_score", "mean_score"] {
            table.columns.retain(|field| field.name != column);
            frame = frame.drop(column)?;
        }
        artifacts::tables::write_table(&path, &table, &frame)
    })?;
    succeed(&mut evaluate(root, &[]))?;
    let results = Results::read(&root.join("eval"))?;
    let [old, new, _] = &results.datasets[0].rows[..] else {
        anyhow::bail!("three rows");
    };
    for definition in [&IMAGE_AUROC_MAX, &IMAGE_AUROC_MEAN] {
        assert_eq!(old.main_value(definition), None);
        assert!(
            new.main_value(definition)
                .is_some_and(|v| (0.0..=1.0).contains(&v))
        );
    }
    // two images have objects
    assert_eq!(old.main_value(&MEAN_AUPRC), Some(0.5));
    let markdown = std::fs::read_to_string(root.join("eval/results.md"))?;
    for title in [
        "image AUROC, max ↑",
        "image AUROC, mean ↑",
        "mean AUPRC ↑",
        "mean FPR95 ↓",
    ] {
        assert_eq!(
            markdown.matches(title).count(),
            2,
            "scores and intervals: {title}"
        );
    }
    Ok(())
}

#[test]
fn runs_of_several_seeds_have_a_mean() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let threshold = Threshold::new(Track::Obstacle, Score::Entropy, 0.25, Some(0.5));
    for run in ["base", "retrained"] {
        common::write_benchmark(&root.join(run), &common::retrained(), &threshold)?;
    }
    let both = "both=base,retrained";
    let text = succeed(&mut ood_eval(
        root,
        &["evaluate", "--run", both, "--output", "eval"],
    ))?
    .stdout;
    for word in [
        "both #1",
        "both #2 + meta",
        "both, mean of 2",
        "3.50 ± 2.12",
    ] {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
    let results = Results::read(&root.join("eval"))?;
    assert_eq!(results.groups[0].runs, ["both #1", "both #2"]);
    let groups = &results.datasets[0].groups;
    let false_positives = groups
        .iter()
        .find(|g| g.metric.definition == &FALSE_POSITIVES && !g.with_meta)
        .context("a mean")?;
    // 5 and 2
    assert_eq!(false_positives.spread.mean, 3.5);
    let markdown = std::fs::read_to_string(root.join("eval/results.md"))?;
    let benchmark = markdown.split("## lost: SegmentMeIfYouCan").nth(1);
    let means = benchmark.map(|table| table.matches("| both, mean of 2 | – | – |").count());
    assert_eq!(means, Some(1), "{markdown}");
    Ok(())
}

#[test]
fn the_main_table_has_the_score_of_the_run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let path = root.join("retrained/segments/lost/manifest.json");
    let mut manifest = Manifest::read_file(&path)?;
    manifest.arguments = serde_json::json!({ "score": "margin", "entropy_threshold": 0.5 });
    manifest.write_file(&path)?;
    let text = succeed(&mut evaluate(root, &[]))?.stdout;
    assert!(text.contains("retrained, margin"), "{text}");
    assert!(text.contains("by the entropy unless the row names another score"));
    let results = Results::read(&root.join("eval"))?;
    let [entropy, margin, _] = &results.datasets[0].rows[..] else {
        anyhow::bail!("three rows");
    };
    assert_eq!(entropy.score, Score::Entropy);
    let value = margin.pixels_of(Score::Margin).context("margin")?;
    assert_eq!(margin.main_value(&AUPRC), value.values.get(&AUPRC));
    let markdown = std::fs::read_to_string(root.join("eval/results.md"))?;
    assert!(
        markdown.contains("| retrained + meta, margin |"),
        "{markdown}"
    );
    assert!(markdown.contains("lost: by size band"), "{markdown}");
    assert!(markdown.contains("baseline, 100 to 999 px"), "{markdown}");
    Ok(())
}

fn compare(root: &Path, runs: [&str; 2], more: &[&str]) -> Command {
    let runs = ["compare", "--run", runs[0], "--run", runs[1]];
    ood_eval(
        root,
        &[&runs, &["--output", "comparison"][..], more].concat(),
    )
}

#[test]
fn compare_says_which_differences_are_real() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    common::write_world(root)?;
    let runs = ["a=base", "b=retrained"];
    let text = succeed(&mut compare(root, runs, &[]))?.stdout;
    assert!(text.contains("lost, 3 images"), "{text}");
    let read = |file: &str| std::fs::read_to_string(root.join("comparison").join(file));
    let csv = read("compare.csv")?;
    // and the objects found at half a false alarm per image
    assert_eq!(csv.lines().count(), 1 + of_logits().count() + 1, "{csv}");
    let row = csv.lines().find(|l| l.contains("false_positives"));
    let row: Vec<_> = row.context("a row")?.split(',').collect();
    // 2, 1 and 2 false alarms, then 1, 0 and 1: one less in every image, whichever are drawn
    assert_eq!((row[4], row[7], row[10]), ("5", "2", "-3"), "{row:?}");
    assert_eq!(
        (row[11], row[12], row[13]),
        ("-3", "-3", "better"),
        "{row:?}"
    );
    assert!(read("compare.md")?.contains("| better |"));
    assert!(read("compare.tex")?.contains("better \\\\"));
    assert!(read("compare.tex")?.contains("verdict on b \\\\"));
    let first = read("compare.json")?;
    let again = succeed(&mut compare(root, runs, &[]))?;
    assert!(again.stderr.contains("up to date"));
    assert_eq!(again.stdout, text);
    assert!(
        text.contains("b is better or worse where the interval"),
        "{text}"
    );
    succeed(&mut compare(root, runs, &["--threads", "1", "--force"]))?;
    assert_eq!(first, read("compare.json")?);

    succeed(&mut compare(root, ["a=base", "b=base"], &["--force"]))?;
    let csv = read("compare.csv")?;
    let is_same = |line: &str| line.contains(",no_clear_difference,");
    assert!(csv.lines().skip(1).all(is_same), "{csv}");
    assert!(read("compare.md")?.contains("| no clear difference |"));
    fail(
        &mut compare(root, ["a=base", "b=base,retrained"], &[]),
        &["--run NAME=DIR twice"],
    )?;
    change_output(&root.join("base/segments/lost"), |dir| {
        Ok(std::fs::remove_file(dir.join("sample_pixels.parquet"))?)
    })?;
    fail(&mut compare(root, runs, &[]), &["segment-metrics", "lost"])?;
    Ok(())
}
