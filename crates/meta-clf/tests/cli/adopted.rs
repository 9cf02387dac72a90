//! Segments of score maps of other methods: alone, beside logits, and in memory.

use anyhow::Result;
use artifacts::basis::Basis;
use artifacts::classes::ClassSet;
use artifacts::score::Score;
use artifacts::tables::features::features_of;
use artifacts::tables::{read_table, schema};
use meta_clf::apply::probabilities;
use meta_clf::segments::Segments;
use serde_json::{Value, json};

use crate::run::{Scratch, apply, apply_fails, fit, fit_fails};
use crate::toy::{Table, usual_arguments};

/// Logits of three classes and a score map.
fn both() -> Result<(Basis, ClassSet)> {
    let basis = Basis {
        has_adopted: true,
        ..Basis::logits(3)
    };
    Ok((basis, ClassSet::unnamed(3)?))
}

/// Arguments of `segment-metrics` on score maps of this method.
fn arguments(method: &str) -> Value {
    json!({ "score": "adopted", "method": method, "entropy_threshold": 2.5, "min_size": null })
}

/// Segments of score maps of a method alone.
fn write(scratch: &Scratch, name: &str, method: &str) -> Result<String> {
    let table = Table::of_basis(Basis::adopted(), None, 60, |i| i % 3 == 0);
    table.write_as(&scratch.file(name), &arguments(method), &[], [2048, 1024])?;
    Ok(scratch.path(name))
}

#[test]
fn models_of_score_maps_are_fitted_and_applied() -> Result<()> {
    let scratch = Scratch::new()?;
    let train = write(&scratch, "train", "rba")?;
    let (fitted, model) = (scratch.path("fitted"), scratch.path("fitted/model.json"));
    for kind in ["logistic", "l1", "trees", "network"] {
        fit(&train, &fitted, &["--classifier", kind, "--force"])?;
        let read = scratch.model("fitted")?;
        let names = features_of(Basis::adopted()).into_iter().map(|f| f.name);
        assert!(names.eq(read.features.clone()), "{:?}", read.features);
        assert_eq!(read.classes, None);
        assert_eq!(read.origin.score, Some(Score::Adopted));
        assert_eq!(read.origin.method.as_deref(), Some("rba"));
        apply(&model, &train, &scratch.path("applied"), &["--force"])?;
        let decisions = scratch.decisions("applied")?;
        assert!(decisions.probs.len() == 60 && decisions.follow(read.threshold));
    }
    Ok(())
}

#[test]
fn another_method_is_refused_by_name() -> Result<()> {
    let scratch = Scratch::new()?;
    let train = write(&scratch, "train", "rba")?;
    let other = write(&scratch, "other", "uno")?;
    fit(&train, &scratch.path("fitted"), &[])?;
    let (model, output) = (scratch.path("fitted/model.json"), scratch.path("out"));
    let words = ["score maps of rba, these are of score maps of uno"];
    apply_fails(&model, &other, &output, &words)?;
    let joined = format!("{train},{other}");
    let words = [
        "cannot be joined",
        "score maps of rba, and score maps of uno",
    ];
    fit_fails(&joined, &output, &[], &words)?;
    let logits = scratch.write("logits", &Table::toy(40, |i| i % 2 == 0))?;
    let words = [
        "the score adopted and score maps of rba",
        "the score entropy and no score maps",
    ];
    apply_fails(&model, &logits, &output, &words)
}

/// The manifests of earlier versions may not say how segments were made: then the columns tell.
#[test]
fn segments_measured_from_other_inputs_are_not_joined() -> Result<()> {
    let scratch = Scratch::new()?;
    let silent = json!({});
    let (basis, classes) = both()?;
    let alone = Table::of_basis(Basis::adopted(), None, 40, |i| i % 2 == 0);
    let beside = Table::of_basis(basis, Some(classes.clone()), 40, |i| i % 2 == 0);
    let logits = Table::toy_of(Some(classes), 40, |i| i % 2 == 0);
    for (name, table) in [("alone", &alone), ("beside", &beside), ("logits", &logits)] {
        table.write_as(&scratch.file(name), &silent, &[], [2048, 1024])?;
    }
    let joined = |a: &str, b: &str| format!("{},{}", scratch.path(a), scratch.path(b));
    let output = scratch.path("out");
    fit_fails(
        &joined("beside", "logits"),
        &output,
        &[],
        &["logits and score maps", "logits alone"],
    )?;
    fit_fails(
        &joined("alone", "logits"),
        &output,
        &[],
        &["cannot be joined", "metrics of classes"],
    )?;
    fit(&scratch.path("beside"), &scratch.path("fitted"), &[])?;
    assert_eq!(scratch.model("fitted")?.features.len(), 53);
    apply_fails(
        &scratch.path("fitted/model.json"),
        &scratch.path("logits"),
        &output,
        &["expects the feature \"adopted_mean\""],
    )
}

/// What `apply` writes and what the library says of the same rows in memory.
#[test]
fn rows_in_memory_get_the_same_probabilities() -> Result<()> {
    let scratch = Scratch::new()?;
    let (basis, classes) = both()?;
    let tables = [
        (Basis::adopted(), None, arguments("rba")),
        (basis, Some(classes.clone()), usual_arguments()),
        (Basis::logits(3), Some(classes), usual_arguments()),
    ];
    for (i, (basis, classes, arguments)) in tables.into_iter().enumerate() {
        let table = Table::of_basis(basis, classes.clone(), 60, |i| i % 3 == 0);
        let names = ["segments", "fitted", "applied"];
        let [segments, fitted, applied] = names.map(|name| format!("{name}{i}"));
        table.write_as(&scratch.file(&segments), &arguments, &[], [2048, 1024])?;
        fit(&scratch.path(&segments), &scratch.path(&fitted), &[])?;
        let model = scratch.path(&format!("{fitted}/model.json"));
        apply(
            &model,
            &scratch.path(&segments),
            &scratch.path(&applied),
            &[],
        )?;
        let schema = schema::segments_of(basis);
        let file = scratch.file(&segments).join(schema.file_name());
        let rows = read_table(&file, &schema)?;
        let truth = schema.columns.iter().filter(|field| field.needs_truth());
        let unlabeled = rows.drop_many(truth.map(|field| field.name.as_str()));
        for rows in [&rows, &unlabeled] {
            let segments = Segments::of_rows(rows, classes.as_ref())?;
            let found = probabilities(&scratch.model(&fitted)?, &segments)?;
            assert_eq!(found, scratch.decisions(&applied)?.probs);
        }
        let of_others = Segments::of_rows(&rows, Some(&ClassSet::unnamed(4)?));
        let error = of_others.expect_err("other classes").to_string();
        assert!(error.contains("not of 4"), "{error}");
        let error = Segments::of_rows(&rows.drop("size")?, classes.as_ref());
        let error = error.expect_err("a missing column").to_string();
        assert!(error.contains("no column \"size\""), "{error}");
    }
    Ok(())
}
