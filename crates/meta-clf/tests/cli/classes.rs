//! Segments of any classes: a model knows its own, and refuses others.

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::tables::{read_table, schema};

use crate::run::{Scratch, apply, apply_fails, fit, fit_fails};
use crate::toy::Table;

/// `own` with the classes `road`, `sky` and the third one that is given.
fn three(third: &str) -> Result<ClassSet> {
    let mut set = ClassSet::unnamed(3)?;
    set.name = format!("own_{third}");
    for (class, name) in set.classes.iter_mut().zip(["road", "sky", third]) {
        name.clone_into(&mut class.name);
    }
    Ok(set)
}

fn segments(scratch: &Scratch, name: &str, classes: &ClassSet) -> Result<String> {
    let table = Table::toy_of(Some(classes.clone()), 60, |i| i % 3 == 0);
    scratch.write(name, &table)
}

#[test]
fn a_model_keeps_its_classes_and_fits_segments_of_the_same() -> Result<()> {
    let scratch = Scratch::new()?;
    for set in [
        three("dog")?,
        ClassSet::open("camvid")?,
        ClassSet::cityscapes()?,
    ] {
        let train = segments(&scratch, &format!("train_{}", set.name), &set)?;
        let fitted = format!("fitted_{}", set.name);
        fit(&train, &scratch.path(&fitted), &[])?;
        let model = scratch.model(&fitted)?;
        assert_eq!(model.classes.as_ref(), Some(&set));
        assert_eq!(model.features.len(), 37 + 2 * set.len());
        let path = scratch.path(&format!("{fitted}/model.json"));
        let applied = scratch.path(&format!("applied_{}", set.name));
        apply(&path, &train, &applied, &[])?;

        let table = schema::coefficients();
        let file = scratch.file(&fitted).join(table.file_name());
        let rows = read_table(&file, &table)?;
        let (features, classes) = (rows.column("feature")?.str()?, rows.column("class")?.str()?);
        let mut named = 0;
        for (feature, class) in features.iter().zip(classes.iter()) {
            let feature = feature.context("a name")?;
            let number = feature.strip_prefix("class_prob_");
            let number = number.or_else(|| feature.strip_prefix("neighbor_class_"));
            let number: Option<usize> = number.map(str::parse).transpose()?;
            assert_eq!(class, number.and_then(|n| set.names().nth(n)), "{feature}");
            named += usize::from(class.is_some());
        }
        assert_eq!(named, 2 * set.len());
    }
    Ok(())
}

#[test]
fn other_classes_are_refused_by_name() -> Result<()> {
    let scratch = Scratch::new()?;
    let dogs = segments(&scratch, "dogs", &three("dog")?)?;
    let cats = segments(&scratch, "cats", &three("cat")?)?;
    fit(&dogs, &scratch.path("fitted"), &[])?;
    let (model, output) = (scratch.path("fitted/model.json"), scratch.path("out"));
    let difference = "class 2 is \"dog\" in \"own_dog\", but \"cat\" in \"own_cat\"";
    apply_fails(
        &model,
        &cats,
        &output,
        &["model.json does not fit", difference],
    )?;
    let words = ["dogs and", "cats cannot be joined", "\"cat\"", "\"dog\""];
    fit_fails(&format!("{dogs},{cats}"), &output, &[], &words)
}

/// What `--explain` writes names the class of each column in the description of the file.
#[test]
fn explanations_name_the_class() -> Result<()> {
    let scratch = Scratch::new()?;
    let dogs = segments(&scratch, "dogs", &three("dog")?)?;
    fit(&dogs, &scratch.path("fitted"), &["--explain"])?;
    let file = std::fs::read(scratch.file("fitted/contributions.parquet"))?;
    let expected = b"class_prob_02 (f64): what this metric adds to the log odds, nats (class: dog)";
    assert!(file.windows(expected.len()).any(|bytes| bytes == expected));
    Ok(())
}

#[test]
fn values_that_are_no_numbers_are_named_with_their_class() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut table = Table::toy_of(Some(three("dog")?), 8, |i| i % 2 == 0);
    table
        .features
        .insert("class_prob_02".to_owned(), vec![f64::NAN; 8]);
    let bad = scratch.write("bad", &table)?;
    let words = ["class_prob_02 (dog) of segment 1 of image_000 is NaN"];
    fit_fails(&bad, &scratch.path("out"), &[], &words)
}
