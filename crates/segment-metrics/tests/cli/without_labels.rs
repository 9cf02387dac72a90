//! Images without labels: what only labels tell is absent, everything else is as with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::logits::{Logits, Precision};
use artifacts::manifest::Manifest;
use artifacts::tables::schema;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;
use stage_testing::toy::{change_output, replace_content, sample, stage_output};

use crate::merge::merge;
use crate::toy::{CLASSES, HEIGHT, Toy, WIDTH, executable, logits};

/// Files that do not need labels.
const WITHOUT_TRUTH: [&str; 6] = [
    "classes.json",
    "components/a.png",
    "components/b.png",
    "components/c.png",
    "samples.parquet",
    "segments.parquet",
];

/// An index of the three images, of which those in `masked` have masks.
fn index(masked: &[&str]) -> Result<Index> {
    let samples = ["a", "b", "c"].map(|id| {
        let mask = masked.contains(&id);
        let mask = mask.then(|| PathBuf::from(format!("masks/{id}.png")));
        sample(id, WIDTH as u32, HEIGHT as u32, mask)
    });
    Index::new(
        "photos",
        "all",
        MaskKind::Eval,
        Path::new("/nowhere"),
        samples.to_vec(),
    )
}

/// The three samples, with the index of the images beside the logits as `seg-model infer` leaves it: with masks that are elsewhere.
fn toy() -> Result<Toy> {
    let toy = Toy::new()?;
    change_output(&toy.path("logits"), |dir| {
        index(&["a", "b", "c"])?.write(dir)
    })?;
    Ok(toy)
}

/// The command that measures all samples without labels.
fn command(toy: &Toy, output: &str, more: &[&str]) -> Command {
    let mut command = executable();
    command.arg("--logits").arg(toy.path("logits"));
    command.arg("--output").arg(toy.path(output)).args(more);
    command
}

fn names(toy: &Toy, output: &str) -> Result<Vec<String>> {
    Ok(files(&toy.path(output))?.into_keys().collect())
}

/// Compares the tables of an output without the truth with those of one that has it, in the folder `at` of both.
fn check_columns(
    toy: &Toy,
    [with, without]: [&str; 2],
    at: &str,
    num_classes: usize,
) -> Result<()> {
    for table in [schema::segments(num_classes), schema::samples()] {
        let known = toy.table(&format!("{with}/{at}"), &table)?;
        let found = toy.table(&format!("{without}/{at}"), &table.clone().without_truth())?;
        let of_truth = table.columns.iter().filter(|field| field.needs_truth());
        let expected = known.drop_many(of_truth.map(|field| field.name.as_str()));
        assert!(found.equals(&expected), "{}: {found}", table.name);
        assert!(found.width() < known.width() && found.height() > 0);
    }
    Ok(())
}

#[test]
fn everything_but_the_truth_is_as_with_labels() -> Result<()> {
    let toy = toy()?;
    let more = ["--thresholds", "0.25,0.9"];
    toy.run("with", &more)?;
    let printed = succeed(&mut command(&toy, "without", &more))?.stdout;
    assert_eq!(printed, "segments: 6\nsamples: 3\nskipped: 0\n");
    let (with, without) = (files(&toy.path("with"))?, files(&toy.path("without"))?);
    for threshold in ["0.25", "0.9"] {
        check_columns(
            &toy,
            ["with", "without"],
            &format!("thresholds/{threshold}"),
            CLASSES,
        )?;
        let folder = format!("thresholds/{threshold}/");
        let names = without.keys().filter_map(|name| name.strip_prefix(&folder));
        assert!(names.eq(["classes.json", "samples.parquet", "segments.parquet"]));
    }
    check_columns(&toy, ["with", "without"], "", CLASSES)?;
    let main = without
        .keys()
        .filter(|name| !name.starts_with("thresholds"));
    assert!(main.eq(WITHOUT_TRUTH));
    for name in without.keys().filter(|name| !name.ends_with("parquet")) {
        assert!(with[name] == without[name], "{name}");
    }
    assert_eq!(
        ClassSet::read(&toy.path("without"))?,
        ClassSet::unnamed(CLASSES)?
    );
    let inputs = Manifest::read(&toy.path("without"))?.inputs;
    assert!(inputs.keys().eq(["logits"]), "{inputs:?}");
    Ok(())
}

/// The classes of the logits are named beside the tables, whichever they are.
#[test]
fn classes_travel_from_the_logits_to_the_tables() -> Result<()> {
    for set in [ClassSet::cityscapes()?, ClassSet::open("camvid")?] {
        let toy = toy()?;
        let n = set.len();
        change_output(&toy.path("logits"), |_| {
            for id in ["a", "b", "c"] {
                let mut info = logits(id, HEIGHT, WIDTH)?.info;
                info.classes = set.clone();
                let value = |i: usize| if i / (HEIGHT * WIDTH) == 1 { 12.0 } else { 0.0 };
                // not in the first row, which is void in the labels
                let uniform = |i: usize| {
                    let at = i % (HEIGHT * WIDTH);
                    at >= WIDTH && at.is_multiple_of(5)
                };
                let values =
                    (0..n * HEIGHT * WIDTH).map(|i| if uniform(i) { 0.0 } else { value(i) });
                Logits::new(info, [n, HEIGHT, WIDTH], values.collect())?
                    .write(&toy.logits(id), Precision::F32)?;
            }
            Ok(())
        })?;
        toy.run("with", &[])?;
        succeed(&mut command(&toy, "without", &[]))?;
        check_columns(&toy, ["with", "without"], "", n)?;
        for output in ["with", "without"] {
            assert_eq!(ClassSet::read(&toy.path(output))?, set);
        }
    }
    Ok(())
}

#[test]
fn all_samples_have_the_same_classes_and_shards_too() -> Result<()> {
    let toy = toy()?;
    let set_classes = |id: &str, name: &str| -> Result<()> {
        let mut other = logits(id, HEIGHT, WIDTH)?;
        name.clone_into(&mut other.info.classes.classes[1].name);
        other.write(&toy.logits(id), Precision::F32)?;
        toy.relist("logits")
    };
    set_classes("b", "sky")?;
    let words = [
        "a.safetensors and",
        "b.safetensors have different classes",
        "\"sky\"",
    ];
    fail(&mut command(&toy, "out", &[]), &words)?;
    set_classes("b", "class 1")?;
    for i in ["0", "1"] {
        let shard = format!("{i}/2");
        succeed(&mut command(&toy, i, &["--shard", &shard]))?;
    }
    change_output(&toy.path("1"), |dir| {
        let mut other = ClassSet::unnamed(CLASSES)?;
        "sky".clone_into(&mut other.classes[1].name);
        other.write(dir)
    })?;
    let words = [
        "0 and",
        "1 cannot be merged",
        "class 1 is \"class 1\"",
        "\"sky\"",
    ];
    fail(&mut merge(&toy, "merged", &["0", "1"]), &words)?;
    Ok(())
}

#[test]
fn an_index_without_any_mask_has_no_truth_and_one_with_some_is_refused() -> Result<()> {
    let toy = toy()?;
    succeed(&mut command(&toy, "beside", &[]))?;
    let set_index =
        |masked: &[&str]| stage_output(&toy.path("labels"), "toy", |dir| index(masked)?.write(dir));
    set_index(&[])?;
    toy.run("named", &[])?;
    assert!(files(&toy.path("named"))? == files(&toy.path("beside"))?);
    set_index(&["b"])?;
    let words = [
        "2 of 3 images in",
        "have no mask, the first is a",
        "--keep-going",
        "leaving out --labels",
    ];
    toy.check_fails(&[], &words)
}

#[test]
fn flags_that_need_labels_are_refused() -> Result<()> {
    let toy = toy()?;
    for (flags, words) in [
        (&["--track", "obstacle"][..], "--track follows the rules"),
        (
            &["--track", "anomaly", "--entropy-threshold", "0.5"],
            "--track",
        ),
        (&["--skip-without-ood"], "--skip-without-ood"),
        (&["--min-object-size", "3"], "--min-object-size"),
        (&["--compat-names"], "--compat-names"),
    ] {
        fail(
            &mut command(&toy, "out", flags),
            &["there are no labels", words, "--labels"],
        )?;
        assert!(!toy.path("out").exists());
    }
    change_output(&toy.path("logits"), |dir| {
        Ok(fs::remove_file(dir.join("index.json"))?)
    })?;
    let words = [
        "logits does not list its images in index.json",
        "--labels",
        "seg-model infer",
    ];
    fail(&mut command(&toy, "out", &[]), &words)?;
    Ok(())
}

#[test]
fn interrupted_calls_go_on_and_shards_are_merged_without_labels() -> Result<()> {
    let toy = toy()?;
    let more = ["--thresholds", "0.25", "--min-size", "2"];
    succeed(&mut command(&toy, "whole", &more))?;
    let file = toy.logits("c");
    let content = fs::read(&file)?;
    replace_content(&file, &vec![0xFF; content.len()])?;
    let one_thread = [&more[..], &["--threads", "1"]].concat();
    fail(&mut command(&toy, "out", &one_thread), &["c.safetensors"])?;
    let keep_going = [&more[..], &["--keep-going"]].concat();
    let found = command(&toy, "some", &keep_going).output()?;
    assert_eq!(found.status.code(), Some(3));
    assert!(names(&toy, "some")?.contains(&"failed.csv".to_owned()));
    replace_content(&file, &content)?;
    // a sample that is done is not read again
    let done = toy.logits("b");
    let kept = fs::read(&done)?;
    replace_content(&done, &vec![0xFF; kept.len()])?;
    succeed(&mut command(&toy, "out", &more))?;
    replace_content(&done, &kept)?;
    let whole = files(&toy.path("whole"))?;
    assert!(whole == files(&toy.path("out"))?);
    for i in ["0", "1"] {
        let shard = format!("{i}/2");
        succeed(&mut command(
            &toy,
            i,
            &[&more[..], &["--shard", &shard]].concat(),
        ))?;
    }
    succeed(&mut merge(&toy, "merged", &["1", "0"]))?;
    assert!(whole == files(&toy.path("merged"))?);
    let [whole, merged] = ["whole", "merged"].map(|name| Manifest::read(&toy.path(name)));
    assert_eq!(whole?.counts, merged?.counts);
    Ok(())
}
