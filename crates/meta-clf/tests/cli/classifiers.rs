//! The kinds of classifiers.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::model_file::{Classifier, Model};
use artifacts::tables::features::segment_features;
use artifacts::tables::read_table;
use artifacts::tables::schema::l1_path;
use measures::ranking::auroc;
use meta_clf::classifier::{predict, standardize};
use meta_clf::segments::Segments;

use crate::run::{Scratch, apply, fit, fit_fails};
use crate::toy::Table;

const KINDS: [&str; 4] = ["logistic", "l1", "trees", "network"];

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
    for kind in KINDS {
        fit(&segments, &scratch.path(kind), &["--classifier", kind])?;
        let probs = scratch.decisions(kind)?.probs;
        assert!(probs.iter().all(|p| (0.0..=1.0).contains(p)), "{kind}");
        assert!(probs.windows(2).any(|p| p[0] != p[1]), "{kind}");
    }
    let model = scratch.linear("logistic")?;
    for (feature, weight) in segment_features(19).iter().zip(&model.coefficients) {
        let column = &table.features[&feature.name];
        let is_constant = column.iter().all(|v| *v == column[0]);
        assert_eq!(*weight == 0.0, is_constant, "{}: {weight}", feature.name);
    }
    // all metrics constant: the share of false positives is all that can be learned
    for column in table.features.values_mut() {
        column.fill(0.3);
    }
    let segments = scratch.write("constant", &table)?;
    fit(&segments, &scratch.path("nothing"), &[])?;
    let probs = scratch.decisions("nothing")?.probs;
    assert!(
        probs.iter().all(|p| (p - 1.0 / 3.0).abs() < 0.03),
        "{probs:?}"
    );
    Ok(())
}

#[test]
fn every_classifier_is_fitted_held_out_and_applied() -> Result<()> {
    let scratch = Scratch::new()?;
    let first = Table::toy(320, |i| i % 3 == 0);
    let train = scratch.write("train", &first)?;
    let test = scratch.write("test", &Table::toy(40, |i| i % 2 == 0))?;
    for kind in KINDS {
        let run = |name: &str, flags: &[&str]| -> Result<Vec<f64>> {
            let output = format!("{kind}-{name}");
            let flags = [&["--classifier", kind], flags].concat();
            fit(&train, &scratch.path(&output), &flags)?;
            Ok(scratch.decisions(&output)?.probs)
        };
        let one = run("one", &["--n-folds", "6", "--threads", "1"])?;
        let area = auroc(&one, &first.is_false_positive).context("both classes")?;
        assert!(area > 0.6, "{kind}: {area}");
        assert_eq!(one, run("three", &["--n-folds", "6", "--threads", "3"])?);
        assert_ne!(one, run("images", &["--n-folds", "7"])?, "{kind}");

        let model = scratch.path(&format!("{kind}-one/model.json"));
        let same = fs::read(scratch.file(&format!("{kind}-three/model.json")))?;
        assert!(fs::read(&model)? == same, "{kind}");
        let applied = format!("{kind}-applied");
        apply(&model, &test, &scratch.path(&applied), &[])?;
        let decisions = scratch.decisions(&applied)?;
        let probs = &decisions.probs;
        assert_eq!(probs.len(), 40);
        assert!(decisions.follow(scratch.model(&format!("{kind}-one"))?.threshold));
        assert!(probs.iter().all(|&p| (0.0..=1.0).contains(&p)));

        // the file gives, to the last bit, the same probabilities as the fitted classifier in memory
        let model = Model::read(Path::new(&model))?;
        let design = standardize(&model, &Segments::read(&[&test])?)?;
        assert_eq!(predict(&model, &design).probs, *probs);
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
            let flags = ["--classifier", kind, "--n-folds", "2", "--seed", seed];
            fit(&train, &scratch.path("out"), &flags)?;
            Ok(scratch.decisions("out")?.probs)
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
fn the_l1_path_is_a_table_and_a_chart() -> Result<()> {
    let scratch = Scratch::new()?;
    let train = scratch.write("train", &Table::toy(96, |i| i % 3 == 0))?;
    let output = scratch.path("out");
    let flags = ["--classifier", "l1", "--n-folds", "2", "--explain"];
    fit(&train, &output, &flags)?;
    let path = read_table(&scratch.file("out/l1_path.parquet"), &l1_path())?;
    assert_eq!(path.height(), 60 * 76);
    let penalties: Vec<f64> = path.column("penalty")?.f64()?.into_no_null_iter().collect();
    assert!(penalties.is_sorted_by(|a, b| a >= b));
    let is_chosen = path.column("is_chosen")?.bool()?.iter().flatten();
    let rows: Vec<usize> = is_chosen.enumerate().filter(|r| r.1).map(|r| r.0).collect();
    assert_eq!(rows.len(), 76);
    let column = path.column("coefficient")?.f64()?;
    let all: Vec<f64> = column.into_no_null_iter().collect();
    let chosen: Vec<f64> = rows.iter().map(|&i| all[i]).collect();
    assert_eq!(scratch.linear("out")?.theta(), chosen);
    assert!(chosen.iter().filter(|&&c| c == 0.0).count() > 30);
    let chart = fs::read_to_string(scratch.file("out/path.svg"))?;
    assert!(chart.starts_with("<svg") && chart.contains("penalty"));
    assert!(scratch.file("out/contributions.parquet").exists());
    for kind in ["trees", "network"] {
        let flags = ["--classifier", kind, "--explain"];
        fit_fails(&train, &output, &flags, &["--explain", "logistic or l1"])?;
    }
    Ok(())
}
