//! Runs the executable: the reference's numbers, a round trip, and what it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::{read_json, write_json};
use artifacts::manifest::Manifest;
use artifacts::mask::{ComponentMap, Mask};
use artifacts::tables::features::segment_features;
use artifacts::tables::schema::{
    coefficients, contributions, correlations, decisions, l1_path, overlaps, regression, segments,
};
use artifacts::tables::{read_table, write_table};
use assert_cmd::Command;
use measures::ranking::{auprc, auroc};
use meta_clf::classifier::{Classifier, Linear};
use meta_clf::model::Model;
use meta_clf::scaler::Scaler;
use meta_clf::segments::Segments;
use polars::prelude::{Column, DataFrame};
use serde_json::Value;

fn meta_clf(arguments: &[&str]) -> Result<Output> {
    Ok(Command::cargo_bin("meta-clf")?.args(arguments).output()?)
}

fn succeed(arguments: &[&str]) -> Result<(String, String)> {
    let output = meta_clf(arguments)?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{stderr}");
    Ok((String::from_utf8(output.stdout)?, stderr))
}

fn fail(arguments: &[&str], expected: &[&str]) -> Result<()> {
    let output = meta_clf(arguments)?;
    let stderr = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    for part in expected {
        assert!(errors[0].contains(part), "{part:?} is not in {stderr}");
    }
    Ok(())
}

/// What `segment-metrics` would have written.
struct Table {
    sample_ids: Vec<String>,
    is_false_positive: Vec<bool>,
    /// Columns by our names; absent ones are 0.
    features: BTreeMap<String, Vec<f64>>,
}

impl Table {
    /// Segments in images of four, told apart by some of the features.
    fn toy(n: usize, is_false_positive: impl Fn(usize) -> bool) -> Self {
        // the finalizer of splitmix64
        let noise = |i: usize, k: usize| {
            let z = ((i * 100 + k) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) as f64 / 2_f64.powi(32)
        };
        let truth: Vec<bool> = (0..n).map(is_false_positive).collect();
        let features = segment_features(19).into_iter().enumerate();
        let column = |k: usize| {
            let shift = |i: usize| f64::from(u8::from(truth[i])) * (k % 5) as f64 / 40.0;
            (0..n).map(|i| noise(i, k) + shift(i)).collect()
        };
        Self {
            sample_ids: (0..n).map(|i| format!("image_{:03}", i / 4)).collect(),
            features: features.map(|(k, f)| (f.name, column(k))).collect(),
            is_false_positive: truth,
        }
    }

    /// 0 for false positives, and linear in one metric for others.
    fn adjusted_ious(&self) -> Vec<f64> {
        let iou = |i: usize| match self.features.get("entropy_mean") {
            Some(column) if !self.is_false_positive[i] => 0.3 + column[i] / 4.0,
            _ => 0.0,
        };
        (0..self.sample_ids.len()).map(iou).collect()
    }

    /// Object 1 of each image is met by all true segments in it.
    fn write_overlaps(&self, dir: &Path) -> Result<()> {
        let rows: Vec<usize> = (0..self.sample_ids.len())
            .filter(|&i| !self.is_false_positive[i])
            .collect();
        let samples: Vec<&str> = rows.iter().map(|&i| &*self.sample_ids[i]).collect();
        let segments: Vec<u32> = rows.iter().map(|&i| i as u32 + 1).collect();
        let columns = vec![
            Column::new("sample_id".into(), samples),
            Column::new("segment_id".into(), segments),
            Column::new("object_id".into(), vec![1_u32; rows.len()]),
            Column::new("n_pixels".into(), vec![9_u64; rows.len()]),
        ];
        let (table, frame) = (overlaps(), DataFrame::new(rows.len(), columns)?);
        write_table(&dir.join(table.file_name()), &table, &frame)
    }

    fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir)?;
        let n = self.sample_ids.len();
        let mut columns = vec![
            Column::new("sample_id".into(), &self.sample_ids[..]),
            Column::new("segment_id".into(), (1..).take(n).collect::<Vec<u32>>()),
            Column::new("adjusted_iou".into(), self.adjusted_ious()),
            Column::new("is_false_positive".into(), &self.is_false_positive[..]),
        ];
        for feature in segment_features(19) {
            let zeros = vec![0.0; n];
            let values = self.features.get(&feature.name).unwrap_or(&zeros);
            columns.push(Column::new(feature.name.into(), &values[..]));
        }
        let (table, frame) = (segments(19), DataFrame::new(n, columns)?);
        write_table(&dir.join(table.file_name()), &table, &frame)?;
        self.write_overlaps(dir)?;
        Manifest::new("segment-metrics", n.into(), BTreeMap::new())
            .write_file(&dir.join("manifest.json"))
    }
}

/// The coefficients of a model, and its intercept.
fn linear(path: &str) -> Result<Linear> {
    Ok(Model::read(Path::new(path))?.linear()?.clone())
}

/// Segment numbers, probabilities and rejections.
fn read_decisions(dir: &Path) -> Result<(Vec<u32>, Vec<f64>, Vec<bool>)> {
    let frame = read_table(&dir.join("decisions.parquet"), &decisions())?;
    Ok((
        frame
            .column("segment_id")?
            .u32()?
            .iter()
            .flatten()
            .collect(),
        frame
            .column("false_positive_prob")?
            .f64()?
            .iter()
            .flatten()
            .collect(),
        frame
            .column("is_rejected")?
            .bool()?
            .iter()
            .flatten()
            .collect(),
    ))
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, table: &Table) -> Result<String> {
        table.write(&self.0.path().join(name))?;
        Ok(self.path(name))
    }
}

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
    let (fitted, applied) = (scratch.path("fitted"), scratch.path("applied"));
    let fit = ["fit", "--segments", &train, "--output", &fitted];
    let (stdout, _) = succeed(&fit)?;
    assert!(
        stdout.contains("60 segments, 20 false positives; held out: AUROC 0."),
        "{stdout}"
    );
    assert_eq!(succeed(&fit)?.0, "", "the same work is not done again");

    let model = scratch.path("fitted/model.json");
    let (stdout, stderr) = succeed(&[
        "apply",
        "--model",
        &model,
        "--segments",
        &test,
        "--output",
        &applied,
    ])?;
    assert!(
        stdout.contains("40 segments, 20 false positives; with a given model"),
        "{stdout}"
    );
    assert!(!stderr.contains("optimistic"), "{stderr}");
    let (ids, probs, rejected) = read_decisions(Path::new(&applied))?;
    assert_eq!(ids, (1..=40).collect::<Vec<u32>>());
    assert!(probs.iter().zip(&rejected).all(|(&p, &r)| r == (p > 0.5)));

    let again = scratch.path("again");
    let (_, stderr) = succeed(&[
        "apply",
        "--model",
        &model,
        "--segments",
        &train,
        "--output",
        &again,
    ])?;
    assert!(stderr.contains("optimistic"), "{stderr}");
    let (_, seen, _) = read_decisions(Path::new(&again))?;
    let (_, held_out, _) = read_decisions(Path::new(&fitted))?;
    let gain = auroc(&seen, &first.is_false_positive) > auroc(&held_out, &first.is_false_positive);
    assert!(
        gain,
        "held-out probabilities are worse than those of seen segments"
    );
    Ok(())
}

#[test]
fn constant_metrics_are_worth_nothing() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut table = Table::toy(60, |i| i % 3 == 0);
    for (k, column) in table.features.values_mut().enumerate() {
        // among them constants that no float has exactly, and one that is huge
        if k % 2 == 0 {
            column.fill([0.1, 1e15, -3.0, 0.0][k / 2 % 4]);
        }
    }
    let segments = scratch.write("segments", &table)?;
    for classifier in ["logistic", "l1", "trees", "network"] {
        let output = scratch.path(classifier);
        let fit = ["fit", "--segments", &segments, "--output", &output];
        succeed(&[&fit[..], &["--classifier", classifier]].concat())?;
        let (_, probs, _) = read_decisions(Path::new(&output))?;
        assert!(
            probs.iter().all(|p| (0.0..=1.0).contains(p)),
            "{classifier}"
        );
        assert!(probs.windows(2).any(|p| p[0] != p[1]), "{classifier}");
    }
    let model = linear(&scratch.path("logistic/model.json"))?;
    for (feature, weight) in segment_features(19).iter().zip(&model.coefficients) {
        let column = &table.features[&feature.name];
        let is_constant = column.iter().all(|v| *v == column[0]);
        assert_eq!(*weight == 0.0, is_constant, "{}: {weight}", feature.name);
    }
    // all metrics constant: the share of false positives is all there is to know
    for column in table.features.values_mut() {
        column.fill(0.3);
    }
    let segments = scratch.write("constant", &table)?;
    let output = scratch.path("nothing");
    succeed(&["fit", "--segments", &segments, "--output", &output])?;
    let (_, probs, _) = read_decisions(Path::new(&output))?;
    assert!(
        probs.iter().all(|p| (p - 1.0 / 3.0).abs() < 0.03),
        "{probs:?}"
    );
    Ok(())
}

#[test]
fn segments_of_another_number_of_classes_are_named() -> Result<()> {
    let scratch = Scratch::new()?;
    let usual = scratch.write("segments", &Table::toy(40, |i| i % 2 == 0))?;
    let fitted = scratch.path("fitted");
    succeed(&["fit", "--segments", &usual, "--output", &fitted])?;
    let model = scratch.path("fitted/model.json");
    for n_classes in [18, 20] {
        let name = format!("of_{n_classes}");
        let other = scratch.write(&name, &Table::toy(40, |i| i % 2 == 0))?;
        let frame = read_table(&Path::new(&other).join("segments.parquet"), &segments(19))?;
        let zeros = vec![0.0; 40];
        let columns = segments(n_classes).columns.into_iter().map(|field| {
            let known = frame.column(&field.name).ok().cloned();
            known.unwrap_or_else(|| Column::new(field.name.into(), &zeros))
        });
        let frame = DataFrame::new(40, columns.collect())?;
        let table = segments(n_classes);
        write_table(&Path::new(&other).join(table.file_name()), &table, &frame)?;
        let output = scratch.path("out");
        let of_other = format!("metrics of {n_classes} classes");
        let words = [&*name, "segments.parquet", &of_other, "19 classes"];
        fail(&["fit", "--segments", &other, "--output", &output], &words)?;
        let apply = ["apply", "--model", &model, "--segments", &other];
        fail(&[&apply[..], &["--output", &output]].concat(), &words)?;
    }
    Ok(())
}

#[test]
fn every_threshold_has_a_classifier_of_its_own() -> Result<()> {
    let scratch = Scratch::new()?;
    let (main, further) = (
        Table::toy(60, |i| i % 3 == 0),
        Table::toy(40, |i| i % 2 == 0),
    );
    let segments = scratch.write("segments", &main)?;
    scratch.write("segments/thresholds/0.25", &further)?;
    let alone = scratch.write("alone", &further)?;
    let fit = |segments: &str, output: &str| {
        succeed(&["fit", "--segments", segments, "--output", output])
    };
    let (both, single) = (scratch.path("both"), scratch.path("single"));
    fit(&segments, &both)?;
    fit(&alone, &single)?;
    for file in ["decisions.parquet", "model.json", "scores.json"] {
        let further = std::fs::read(Path::new(&both).join("thresholds/0.25").join(file))?;
        assert!(
            further == std::fs::read(Path::new(&single).join(file))?,
            "{file}"
        );
    }
    let apply = |model: &str, output: &str| {
        let (model, output) = (scratch.path(model), scratch.path(output));
        succeed(&[
            "apply",
            "--model",
            &model,
            "--segments",
            &segments,
            "--output",
            &output,
        ])
    };
    apply("both/model.json", "applied")?;
    let applied = scratch.path("applied/thresholds/0.25");
    assert_eq!(read_decisions(Path::new(&applied))?.0.len(), 40);
    let (_, stderr) = apply("single/model.json", "without")?;
    assert!(
        stderr.contains("thresholds/0.25/model.json does not exist"),
        "{stderr}"
    );
    fail(
        &[
            "fit",
            "--segments",
            &format!("{segments},{alone}"),
            "--output",
            &scratch.path("unlike"),
        ],
        &["at different thresholds"],
    )
}

#[test]
fn results_do_not_depend_on_threads_or_the_order_of_folders() -> Result<()> {
    let scratch = Scratch::new()?;
    let (a, mut b) = (
        Table::toy(30, |i| i % 3 == 0),
        Table::toy(31, |i| i % 5 < 2),
    );
    for id in &mut b.sample_ids {
        id.insert(0, 'b');
    }
    let (a, b) = (scratch.write("a", &a)?, scratch.write("b", &b)?);
    let run = |name: &str, folders: &str, threads: &str| -> Result<(Vec<u8>, Model)> {
        let output = scratch.path(name);
        succeed(&[
            "fit",
            "--segments",
            folders,
            "--output",
            &output,
            "--threads",
            threads,
        ])?;
        let table = fs::read(scratch.path(&format!("{name}/decisions.parquet")))?;
        Ok((
            table,
            Model::read(Path::new(&scratch.path(&format!("{name}/model.json"))))?,
        ))
    };
    let (one, one_model) = run("one", &format!("{a},{b}"), "1")?;
    let (two, two_model) = run("two", &format!("{b},{a}"), "3")?;
    assert!(one == two, "decisions are the same bytes");
    assert_eq!(one_model.classifier, two_model.classifier);
    assert_eq!(
        (one_model.n_segments, one_model.n_false_positives),
        (61, 23)
    );
    Ok(())
}

#[test]
fn folds_and_threshold_matter() -> Result<()> {
    let scratch = Scratch::new()?;
    let table = scratch.write("segments", &Table::toy(48, |i| i % 4 < 2))?;
    let run = |more: &[&str]| -> Result<(Vec<f64>, Vec<bool>)> {
        let output = scratch.path("out");
        succeed(&[&["fit", "--segments", &table, "--output", &output], more].concat())?;
        let (_, probs, rejected) = read_decisions(Path::new(&output))?;
        Ok((probs, rejected))
    };
    let (image, _) = run(&[])?;
    let (segment, _) = run(&["--folds", "segment"])?;
    let (compat, _) = run(&["--compat"])?;
    assert!(image != segment && segment != compat);
    let (grouped, _) = run(&["--n-folds", "3"])?;
    assert!(grouped != image);
    for (rule, value, limit) in [("--threshold", "0.9", 0.9), ("--cost-ratio", "4", 0.8)] {
        let (probs, rejected) = run(&[rule, value])?;
        assert_eq!(probs, image);
        assert!(probs.iter().zip(&rejected).all(|(&p, &r)| r == (p > limit)));
    }
    let (_, rejected) = run(&["--keep-true", "0.75"])?;
    let lost = (0..48).filter(|i| i % 4 >= 2 && rejected[*i]).count();
    assert_eq!(lost, 6, "of 24 true segments");
    Ok(())
}

#[test]
fn masks_have_the_segments_that_are_kept() -> Result<()> {
    let scratch = Scratch::new()?;
    let table = scratch.write("segments", &Table::toy(48, |i| i % 4 < 2))?;
    let maps = Path::new(&table).join("components");
    fs::create_dir_all(&maps)?;
    for i in 0..12_u16 {
        // four segments of one pixel each, numbered through the table
        let map = ComponentMap {
            width: 5,
            height: 1,
            ids: vec![4 * i + 1, 4 * i + 2, 0, 4 * i + 3, 4 * i + 4],
        };
        map.write(&maps.join(format!("image_{i:03}.png")))?;
    }
    let output = scratch.path("out");
    let fit = ["fit", "--segments", &table, "--output", &output, "--masks"];
    succeed(&fit)?;
    let (_, _, rejected) = read_decisions(Path::new(&output))?;
    assert!(rejected.contains(&true) && rejected.contains(&false));
    for i in 0..12 {
        let mask = Mask::read_raw(&Path::new(&output).join(format!("masks/image_{i:03}.png")))?;
        let kept = |k: usize| if rejected[4 * i + k] { 0 } else { 255 };
        assert_eq!(mask.labels, [kept(0), kept(1), 0, kept(2), kept(3)]);
    }
    fs::remove_dir_all(&maps)?;
    let fit = [
        "fit",
        "--segments",
        &table,
        "--output",
        &output,
        "--masks",
        "--force",
    ];
    fail(&fit, &["component maps", "segment-metrics"])
}

#[test]
fn explanations_add_up_to_the_probabilities() -> Result<()> {
    let scratch = Scratch::new()?;
    let table = scratch.write("segments", &Table::toy(60, |i| i % 3 == 0))?;
    let (fitted, applied) = (scratch.path("fitted"), scratch.path("applied"));
    succeed(&["fit", "--segments", &table, "--output", &fitted])?;
    let model = scratch.path("fitted/model.json");
    let apply = [
        "apply",
        "--model",
        &model,
        "--segments",
        &table,
        "--output",
        &applied,
        "--explain",
    ];
    succeed(&apply)?;
    let features: Vec<String> = segment_features(19).into_iter().map(|f| f.name).collect();
    let shares = contributions(&features);
    let shares = read_table(&Path::new(&applied).join(shares.file_name()), &shares)?;
    let (_, probs, _) = read_decisions(Path::new(&applied))?;
    let column = |name: &str| -> Result<Vec<f64>> {
        Ok(shares.column(name)?.f64()?.iter().flatten().collect())
    };
    let mut odds = column("intercept")?;
    for name in &features {
        for (sum, share) in odds.iter_mut().zip(column(name)?) {
            *sum += share;
        }
    }
    for (odds, prob) in odds.iter().zip(&probs) {
        assert!((1.0 / (1.0 + (-odds).exp()) - prob).abs() < 1e-12);
    }
    let found = read_table(
        &Path::new(&fitted).join("coefficients.parquet"),
        &coefficients(),
    )?;
    assert_eq!(found.height(), 76);
    let errors = found.column("standard_error")?.f64()?;
    // the prior alone has a deviation of 1, and data only make it smaller
    assert!(errors.iter().flatten().all(|e| e > 0.0 && e <= 1.0 + 1e-12));
    let found = read_table(
        &Path::new(&fitted).join("correlations.parquet"),
        &correlations(),
    )?;
    assert_eq!(found.height(), 75 * 74 / 2);
    let values = found.column("correlation")?.f64()?;
    assert!(values.iter().flatten().all(|c| c.abs() < 1.0 + 1e-9));
    let scores = fs::read_to_string(scratch.path("fitted/scores.json"))?;
    assert!(scores.contains("calibration_error"), "{scores}");
    Ok(())
}

const KINDS: [&str; 4] = ["logistic", "l1", "trees", "network"];

#[test]
fn every_classifier_is_fitted_held_out_and_applied() -> Result<()> {
    let scratch = Scratch::new()?;
    let first = Table::toy(320, |i| i % 3 == 0);
    let train = scratch.write("train", &first)?;
    let test = scratch.write("test", &Table::toy(40, |i| i % 2 == 0))?;
    for kind in KINDS {
        let run = |name: &str, more: &[&str]| -> Result<Vec<f64>> {
            let output = scratch.path(&format!("{kind}-{name}"));
            let fit = ["fit", "--segments", &train, "--output", &output];
            succeed(&[&fit[..], &["--classifier", kind], more].concat())?;
            Ok(read_decisions(Path::new(&output))?.1)
        };
        let one = run("one", &["--n-folds", "6", "--threads", "1"])?;
        let area = auroc(&one, &first.is_false_positive).context("both classes")?;
        assert!(area > 0.6, "{kind}: {area}");
        assert_eq!(one, run("three", &["--n-folds", "6", "--threads", "3"])?);
        assert_ne!(one, run("images", &["--n-folds", "7"])?, "{kind}");

        let model = scratch.path(&format!("{kind}-one/model.json"));
        let same = fs::read(scratch.path(&format!("{kind}-three/model.json")))?;
        assert!(fs::read(&model)? == same, "{kind}");
        let applied = scratch.path(&format!("{kind}-applied"));
        let apply = ["apply", "--model", &model, "--output", &applied];
        succeed(&[&apply[..], &["--segments", &test]].concat())?;
        let (_, probs, rejected) = read_decisions(Path::new(&applied))?;
        assert_eq!(probs.len(), 40);
        assert!(probs.iter().zip(&rejected).all(|(&p, &r)| r == (p > 0.5)));
        assert!(probs.iter().all(|&p| (0.0..=1.0).contains(&p)));

        // what the file holds gives, to the last bit, what was held in memory
        let model = Model::read(Path::new(&model))?;
        let segments = Segments::read(&[&test])?;
        assert_eq!(model.judge(&model.design(&segments)?).probs, probs);
        let name = match model.classifier {
            Classifier::Linear(_) => "logistic l1",
            Classifier::Trees(_) => "trees",
            Classifier::Network(_) => "network",
        };
        assert!(name.contains(kind), "{kind} is stored as {name}");
    }
    Ok(())
}

#[test]
fn seeds_matter_to_trees_and_networks_alone() -> Result<()> {
    let scratch = Scratch::new()?;
    let train = scratch.write("train", &Table::toy(48, |i| i % 3 == 0))?;
    for kind in KINDS {
        let run = |seed: &str| -> Result<Vec<f64>> {
            let output = scratch.path("out");
            let fit = ["fit", "--segments", &train, "--output", &output];
            let more = ["--classifier", kind, "--n-folds", "2", "--seed", seed];
            succeed(&[&fit[..], &more].concat())?;
            Ok(read_decisions(Path::new(&output))?.1)
        };
        let (one, two, both) = (run("1")?, run("2")?, run("1,2")?);
        let is_random = kind == "trees" || kind == "network";
        assert_eq!(one != two, is_random, "{kind}");
        for (i, mean) in both.iter().enumerate() {
            assert!((mean - f64::midpoint(one[i], two[i])).abs() < 1e-12);
        }
    }
    Ok(())
}

#[test]
fn the_l1_path_is_a_table_and_a_picture() -> Result<()> {
    let scratch = Scratch::new()?;
    let train = scratch.write("train", &Table::toy(96, |i| i % 3 == 0))?;
    let output = scratch.path("out");
    let fit = ["fit", "--segments", &train, "--output", &output];
    succeed(
        &[
            &fit[..],
            &["--classifier", "l1", "--n-folds", "2", "--explain"],
        ]
        .concat(),
    )?;
    let path = read_table(&Path::new(&output).join("l1_path.parquet"), &l1_path())?;
    assert_eq!(path.height(), 60 * 76);
    let penalties: Vec<f64> = path.column("penalty")?.f64()?.into_no_null_iter().collect();
    assert!(penalties.is_sorted_by(|a, b| a >= b));
    let is_chosen = path.column("is_chosen")?.bool()?.iter().flatten();
    let rows: Vec<usize> = is_chosen.enumerate().filter(|r| r.1).map(|r| r.0).collect();
    assert_eq!(rows.len(), 76);
    let all: Vec<f64> = path
        .column("coefficient")?
        .f64()?
        .into_no_null_iter()
        .collect();
    let chosen: Vec<f64> = rows.iter().map(|&i| all[i]).collect();
    assert_eq!(linear(&scratch.path("out/model.json"))?.theta(), chosen);
    assert!(chosen.iter().filter(|&&c| c == 0.0).count() > 30);
    let picture = fs::read_to_string(scratch.path("out/path.svg"))?;
    assert!(picture.starts_with("<svg") && picture.contains("penalty"));
    assert!(Path::new(&scratch.path("out/contributions.parquet")).exists());
    for kind in ["trees", "network"] {
        let more = ["--classifier", kind, "--explain"];
        fail(
            &[&fit[..], &more].concat(),
            &["--explain", "logistic or l1"],
        )?;
    }
    Ok(())
}

#[test]
fn the_adjusted_iou_is_regressed() -> Result<()> {
    let scratch = Scratch::new()?;
    let table = Table::toy(200, |_| false);
    let train = scratch.write("train", &table)?;
    let (fitted, applied) = (scratch.path("fitted"), scratch.path("applied"));
    let fit = ["fit", "--segments", &train, "--output", &fitted];
    succeed(&fit)?;
    assert!(!Path::new(&fitted).join("regression.parquet").exists());
    let (stdout, _) = succeed(&[&fit[..], &["--regress"]].concat())?;
    assert!(stdout.contains("adjusted IoU: R2 0."), "{stdout}");
    let model = scratch.path("fitted/model.json");
    let apply = ["apply", "--model", &model, "--segments", &train];
    succeed(&[&apply[..], &["--output", &applied]].concat())?;
    let read = |dir: &str| -> Result<Vec<f64>> {
        let found = read_table(&Path::new(dir).join("regression.parquet"), &regression())?;
        let column = found.column("predicted_iou")?.f64()?;
        Ok(column.into_no_null_iter().collect())
    };
    let truth = table.adjusted_ious();
    let error =
        |found: &[f64]| -> f64 { found.iter().zip(&truth).map(|(a, b)| (a - b).powi(2)).sum() };
    let (held_out, seen) = (read(&fitted)?, read(&applied)?);
    // the truth is linear in one metric, and the penalty is small
    assert!(error(&seen) < error(&held_out) && error(&held_out) < 0.01);
    let scores: Value = read_json(Path::new(&scratch.path("fitted/scores.json")))?;
    let r2 = scores["regression"]["r2"]["value"].as_f64();
    assert!(r2.is_some_and(|r| r > 0.95), "{scores}");
    Ok(())
}

#[test]
fn objects_that_lose_all_their_segments_are_counted() -> Result<()> {
    let scratch = Scratch::new()?;
    // two true segments in each image of four, so that each image has one object that is found
    let table = Table::toy(48, |i| i % 4 < 2);
    let train = scratch.write("train", &table)?;
    let output = scratch.path("out");
    for threshold in ["0.01", "0.5", "1"] {
        let fit = ["fit", "--segments", &train, "--output", &output];
        succeed(&[&fit[..], &["--threshold", threshold]].concat())?;
        let (_, _, rejected) = read_decisions(Path::new(&output))?;
        let images = rejected.chunks(4);
        let lost = images.filter(|r| r[2] && r[3]).count();
        let gone = (0..48).filter(|&i| rejected[i] && !table.is_false_positive[i]);
        let scores: Value = read_json(Path::new(&scratch.path("out/scores.json")))?;
        let count = |name: &str| scores["rejection"][name].as_u64();
        assert_eq!(count("objects_found"), Some(12));
        assert_eq!(count("objects_newly_missed"), Some(lost as u64));
        assert_eq!(count("true_positives_rejected"), Some(gone.count() as u64));
        match threshold {
            "0.01" => assert!(lost > 0),
            "1" => assert_eq!(lost, 0),
            _ => {}
        }
    }
    fs::remove_file(Path::new(&train).join("overlaps.parquet"))?;
    let fit = ["fit", "--segments", &train, "--output", &output, "--force"];
    fail(&fit, &["overlaps.parquet", "run `segment-metrics` first"])
}

#[test]
fn nothing_to_learn_from_rejects_nothing() -> Result<()> {
    let scratch = Scratch::new()?;
    for (n, expected) in [
        (8, "8 of 8 segments are kept"),
        (0, "there are no segments"),
    ] {
        let table = scratch.write("segments", &Table::toy(n, |_| true))?;
        let output = scratch.path("out");
        let (stdout, stderr) = succeed(&[
            "fit",
            "--segments",
            &table,
            "--output",
            &output,
            "--threshold",
            "0.1",
        ])?;
        assert!(stderr.contains(expected), "{stderr}");
        assert!(
            stdout.contains("AUROC -") && stdout.contains("0 rejected"),
            "{stdout}"
        );
        let (ids, _, rejected) = read_decisions(Path::new(&output))?;
        assert!(ids.len() == n && rejected.iter().all(|&r| !r));
        let (model, applied) = (scratch.path("out/model.json"), scratch.path("applied"));
        let some = scratch.write("some", &Table::toy(4, |i| i < 2))?;
        let (stdout, _) = succeed(&[
            "apply",
            "--model",
            &model,
            "--segments",
            &some,
            "--output",
            &applied,
        ])?;
        assert!(stdout.contains("0 rejected"), "{stdout}");
    }
    Ok(())
}

#[test]
fn wrong_inputs_are_one_clear_line() -> Result<()> {
    let scratch = Scratch::new()?;
    let output = scratch.path("out");
    let fit = |folder: &str, expected: &[&str]| {
        fail(
            &["fit", "--segments", folder, "--output", &output],
            expected,
        )
    };
    fit("/nowhere", &["--segments", "/nowhere"])?;
    let mut table = Table::toy(8, |i| i % 2 == 0);
    let good = scratch.write("good", &table)?;
    fit(
        &format!("{good},{good}"),
        &["segment 1 of image_000 occurs twice"],
    )?;
    table.features.insert("size".to_owned(), vec![f64::NAN; 8]);
    let bad = scratch.write("bad", &table)?;
    fit(
        &bad,
        &[
            "bad/segments.parquet",
            "size of segment 1 of image_000 is NaN",
        ],
    )?;
    fs::write(scratch.path("bad/segments.parquet"), "no parquet")?;
    fit(
        &bad,
        &["bad/segments.parquet is damaged", "segment-metrics"],
    )?;
    fs::remove_file(scratch.path("bad/segments.parquet"))?;
    fit(
        &bad,
        &["bad/segments.parquet", "run `segment-metrics` first"],
    )?;
    fs::remove_file(scratch.path("bad/manifest.json"))?;
    fit(&bad, &["--segments", "did not finish"])?;
    let flags = [
        "fit",
        "--segments",
        &good,
        "--output",
        &output,
        "--threshold",
    ];
    fail(
        &[&flags[..], &["1.5"]].concat(),
        &["--threshold 1.5 is no probability"],
    )?;
    assert!(!Path::new(&scratch.path("out/decisions.parquet")).exists());
    Ok(())
}

#[test]
fn wrong_models_are_one_clear_line() -> Result<()> {
    let scratch = Scratch::new()?;
    let table = scratch.write("segments", &Table::toy(8, |i| i % 2 == 0))?;
    let (output, fitted) = (scratch.path("out"), scratch.path("fitted"));
    let path = scratch.path("fitted/model.json");
    let apply = [
        "apply",
        "--model",
        &path,
        "--segments",
        &table,
        "--output",
        &output,
    ];
    fail(&apply, &["model.json does not exist", "meta-clf fit"])?;
    succeed(&["fit", "--segments", &table, "--output", &fitted])?;
    let model: Value = read_json(Path::new(&path))?;
    let refused = |key: &str, value: Value, expected: &str| {
        let mut model = model.clone();
        model[key] = value;
        write_json(Path::new(&path), &model)?;
        fail(&apply, &["model.json", expected])
    };
    refused("format_version", 1.into(), "format version 1")?;
    refused("threshold", 2.into(), "threshold 2 is no probability")?;
    refused("mean", vec![0.0; 3].into(), "3 means")?;
    refused("surprise", 1.into(), "surprise")?;
    let mut classifier = model["classifier"].clone();
    classifier["coefficients"] = vec![0.0; 3].into();
    refused("classifier", classifier.clone(), "3 coefficients")?;
    classifier["kind"] = "oracle".into();
    refused("classifier", classifier, "oracle")?;
    let mut names = model["features"].clone();
    names[3] = "colour".into();
    refused("features", names, "\"colour\" where the table has")?;
    fs::write(&path, "{")?;
    fail(&apply, &["model.json", "line 1"])
}

/// Folders with the reference's numbers.
fn golden_cases() -> Result<Vec<PathBuf>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
    let root = std::env::var_os("OODSEG_GOLDEN").map_or_else(|| default.into(), PathBuf::from);
    let mut cases = fs::read_dir(root.join("meta"))?
        .map(|e| Ok(e?.path()))
        .collect::<Result<Vec<_>>>()?;
    cases.sort();
    ensure!(
        !cases.is_empty(),
        "there are no cases in {}",
        root.display()
    );
    Ok(cases)
}

/// Columns of a CSV file of numbers, by their names; texts become NaN.
fn read_csv(path: &Path) -> Result<BTreeMap<String, Vec<f64>>> {
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().context("a header")?.split(',').collect();
    let mut columns = vec![Vec::new(); names.len()];
    for line in lines {
        for (column, cell) in columns.iter_mut().zip(line.split(',')) {
            column.push(cell.parse().unwrap_or(f64::NAN));
        }
    }
    Ok(names.into_iter().map(str::to_owned).zip(columns).collect())
}

/// The segments of a case, whose images are given by the rows at which they start.
fn golden_table(case: &Path, result: &Value) -> Result<Table> {
    let mut metrics = read_csv(&case.join("metrics.csv"))?;
    let starts: Vec<usize> = serde_json::from_value(result["start"].clone())?;
    let images = starts.windows(2).enumerate();
    let truth = metrics.remove("iou0").context("iou0")?;
    let features = segment_features(19).into_iter();
    Ok(Table {
        sample_ids: images
            .flat_map(|(i, pair)| vec![format!("image_{i:03}"); pair[1] - pair[0]])
            .collect(),
        is_false_positive: truth.iter().map(|&y| y > 0.0).collect(),
        features: features
            .map(|f| {
                let column = metrics.remove(&f.reference_name);
                Ok((f.name, column.context(f.reference_name)?))
            })
            .collect::<Result<_>>()?,
    })
}

/// Row-major values of a little-endian f64 array `[n, width]` in a file of numpy, whichever order it is in.
fn read_npy(path: &Path, width: usize) -> Result<Vec<f64>> {
    let bytes = fs::read(path)?;
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values = bytes[start..]
        .chunks_exact(8)
        .map(|b| Ok(f64::from_le_bytes(b.try_into()?)))
        .collect::<Result<Vec<_>>>()?;
    if String::from_utf8_lossy(&bytes[..start]).contains("'fortran_order': False") {
        return Ok(values);
    }
    let n = values.len() / width;
    let at = |i: usize| values[i % width * n + i / width];
    Ok((0..n * width).map(at).collect())
}

fn assert_close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what} {i}: {a} is not {b}");
    }
}

/// Reference name of each feature, sorted as the reference's columns, with the number of our column.
fn reference_order() -> Vec<(String, usize)> {
    let features = segment_features(19).into_iter().enumerate();
    let mut names: Vec<_> = features.map(|(i, f)| (f.reference_name, i)).collect();
    names.sort();
    names
}

#[test]
fn golden_standardized_features_agree() -> Result<()> {
    for case in golden_cases()? {
        let result: Value = read_json(&case.join("result.json"))?;
        let scratch = Scratch::new()?;
        let dir = scratch.write("segments", &golden_table(&case, &result)?)?;
        let segments = Segments::read(&[dir])?;
        let scaler = Scaler::fit(segments.rows(), segments.names.len());
        let design = scaler.design(segments.rows());
        let order = reference_order();
        let ours: Vec<f64> = design
            .rows()
            .flat_map(|row| order.iter().map(|(_, i)| row[*i]))
            .collect();
        assert_close(
            "X",
            &ours,
            &read_npy(&case.join("X.npy"), order.len())?,
            1e-9,
        );
    }
    Ok(())
}

#[test]
fn golden_probabilities_and_scores_agree() -> Result<()> {
    for case in golden_cases()? {
        let result: Value = read_json(&case.join("result.json"))?;
        let table = golden_table(&case, &result)?;
        let scratch = Scratch::new()?;
        let (dir, output) = (scratch.write("segments", &table)?, scratch.path("out"));
        succeed(&["fit", "--compat", "--segments", &dir, "--output", &output])?;
        let (_, probs, rejected) = read_decisions(Path::new(&output))?;
        let expected = read_csv(&case.join("loo.csv"))?;
        assert_close("p", &probs, &expected["p_exact"], 1e-8);
        assert_close("p", &probs, &expected["p_liblinear_tol1e-12"], 2e-3);
        assert_close("p", &probs, &expected["p_liblinear_default"], 2e-3);

        let truth = &table.is_false_positive;
        let n_right = truth.iter().zip(&rejected).filter(|(y, r)| y == r).count();
        let scores = [
            ("auroc", auroc(&probs, truth)),
            ("auprc", auprc(&probs, truth)),
            ("accuracy", Some(n_right as f64 / truth.len() as f64)),
        ];
        for (name, score) in scores {
            let score = score.context("defined")?;
            let expected = result["exact"][name].as_f64().context("a number")?;
            assert_close(name, &[score], &[expected], 1e-9);
        }

        let counts = Manifest::read(Path::new(&output))?.counts;
        let pairs = [
            ("segments", &result["n"]),
            ("false_positives", &result["n_fp"]),
            ("false_positives", &result["remove"]["fp_before"]),
            (
                "false_positives_kept",
                &result["remove"]["fp_after_meaningful"],
            ),
            (
                "true_positives_rejected",
                &result["remove"]["fp_after_reference_formula"],
            ),
        ];
        for (name, expected) in pairs {
            assert_eq!(
                Some(counts[name]),
                expected.as_u64(),
                "{name} of {}",
                case.display()
            );
        }
    }
    Ok(())
}

#[test]
fn golden_coefficients_agree() -> Result<()> {
    for case in golden_cases()? {
        let result: Value = read_json(&case.join("result.json"))?;
        let scratch = Scratch::new()?;
        let dir = scratch.write("segments", &golden_table(&case, &result)?)?;
        let output = scratch.path("out");
        succeed(&["fit", "--compat", "--segments", &dir, "--output", &output])?;
        let model = Model::read(Path::new(&scratch.path("out/model.json")))?;
        let linear = model.linear()?;
        let in_order = |values: &[f64], last: f64| -> Vec<f64> {
            let values = reference_order().into_iter().map(|(_, i)| values[i]);
            values.chain([last]).collect()
        };
        let expected = read_csv(&case.join("coef_all_data.csv"))?;
        let coefficients = in_order(&linear.coefficients, linear.intercept);
        assert_close("coefficient", &coefficients, &expected["coef_exact"], 1e-8);
        assert_close(
            "coefficient",
            &coefficients,
            &expected["coef_liblinear_default"],
            2e-3,
        );
        assert_close("std", &in_order(&model.std, 1.0), &expected["std"], 1e-9);
        for (got, expected) in in_order(&model.mean, 0.0).iter().zip(&expected["mean"]) {
            assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0));
        }
    }
    Ok(())
}
