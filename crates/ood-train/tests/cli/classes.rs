//! Trainings on other classes than those of Cityscapes, from nothing and from weights.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::classes::{Channel, ClassSet, OtherChannel};
use candle_core::Tensor;
use seg_model::checkpoint::{Checkpoint, write_tensors};

use crate::output::results;
use crate::toy::{Toy, succeed};

/// A toy whose folder `three` has labels of three classes of the user's own.
fn toy() -> Result<(Toy, ClassSet)> {
    let toy = Toy::new()?;
    let file = toy.path("own.toml");
    let classes = r##"name = "own"
classes = [{ name = "a", color = "#FF0000" }, { name = "b", color = "#00FF00" }, { name = "c", color = "#0000FF" }]"##;
    fs::write(&file, classes)?;
    let set = ClassSet::open(file.to_str().context("a plain path")?)?;
    toy.write_classes("three", &set)?;
    Ok((toy, set))
}

/// A training of two steps on `labels`, with validation on them, without proxies.
fn train(toy: &Toy, labels: &str, output: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ood-train"));
    command
        .arg("--labels")
        .arg(toy.path(labels))
        .arg("--val")
        .arg(toy.path(labels))
        .arg("--output")
        .arg(toy.path(output))
        .args([
            "--ood-weight",
            "0",
            "--crop",
            "32",
            "--batch-size",
            "2",
            "--steps",
            "2",
            "-q",
        ])
        .args(more)
        .env_remove("OODSEG_THREADS")
        .env_remove("RUST_BACKTRACE")
        .env("CANDLE_NUM_THREADS", "1");
    command
}

/// The same from the weights `init`.
fn train_from(toy: &Toy, init: &str, labels: &str, output: &str, more: &[&str]) -> Command {
    let mut command = train(toy, labels, output, more);
    command.arg("--init").arg(toy.path(init));
    command
}

fn weights(toy: &Toy, output: &str) -> Result<Checkpoint> {
    Checkpoint::read(&toy.path(output).join("weights.safetensors"), None)
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

#[test]
fn a_network_from_nothing_has_the_classes_of_the_labels() -> Result<()> {
    let (toy, set) = toy()?;
    succeed(train(&toy, "three", "out", &["--network", "enet"]))?;
    let weights = weights(&toy, "out")?;
    assert_eq!((weights.classes(), weights.channels()), (&set, 3));
    assert_eq!(
        weights.tensors["transposed_conv.weight"].dims(),
        [16, 3, 3, 3]
    );
    // they can be trained on without a word
    succeed(train_from(
        &toy,
        "out/weights.safetensors",
        "three",
        "more",
        &[],
    ))
}

#[test]
fn a_new_head_keeps_the_body() -> Result<()> {
    let (toy, set) = toy()?;
    succeed(train(&toy, "labels", "city", &["--network", "enet"]))?;
    let init = "city/weights.safetensors";
    toy.check_command_fails(
        train_from(&toy, init, "three", "out", &[]),
        &[
            "has other classes than --labels (\"cityscapes\" has 19 classes, \"own\" has 3)",
            "--reset-head",
        ],
    )?;
    let frozen = [
        "--reset-head",
        "--batch-norm",
        "frozen",
        "--train-only",
        "transposed_conv",
    ];
    succeed(train_from(&toy, init, "three", "out", &frozen))?;
    let (before, after) = (weights(&toy, "city")?, weights(&toy, "out")?);
    assert_eq!((after.classes(), after.channels()), (&set, 3));
    assert!(
        after.source.ends_with("with a new head from seed 0"),
        "{}",
        after.source
    );
    for (name, tensor) in &before.tensors {
        if !name.starts_with("transposed_conv") {
            assert_eq!(values(tensor)?, values(&after.tensors[name])?, "{name}");
        }
    }
    succeed(train_from(&toy, init, "three", "again", &frozen))?;
    assert!(results(&toy.path("out"))? == results(&toy.path("again"))?);
    Ok(())
}

#[test]
fn channels_that_nothing_explains_are_a_question() -> Result<()> {
    let (toy, _) = toy()?;
    succeed(train(&toy, "labels", "city", &["--network", "enet"]))?;
    let mut tensors = weights(&toy, "city")?.tensors;
    let head = &tensors["transposed_conv.weight"];
    let head = Tensor::cat(&[&head.narrow(1, 0, 1)?, head], 1)?; // void first
    tensors.insert("transposed_conv.weight".into(), head);
    write_tensors(&toy.path("plain.safetensors"), &BTreeMap::new(), &tensors)?;
    let from =
        |output: &str, more: &[&str]| train_from(&toy, "plain.safetensors", "labels", output, more);
    toy.check_command_fails(from("out", &[]), &["20 output channels", "pass --classes"])?;
    let half = ["--classes", "cityscapes"];
    toy.check_command_fails(from("out", &half), &["--void first or --void last"])?;
    let said = ["--classes", "cityscapes", "--void", "first"];
    let both = [&said[..], &["--reset-head"]].concat();
    toy.check_command_fails(from("out", &both), &["--reset-head replaces"])?;
    succeed(from("out", &said))?;
    let trained = weights(&toy, "out")?;
    assert_eq!(trained.channels(), 20);
    assert_eq!(
        trained.table.channels[19],
        Channel::Other(OtherChannel::Void)
    );
    Ok(())
}

#[test]
fn validation_must_have_the_classes_of_the_labels() -> Result<()> {
    let (toy, _) = toy()?;
    let mut command = toy.train("out", &["--steps", "1"]);
    command.arg("--val").arg(toy.path("three"));
    toy.check_command_fails(
        command,
        &["--val", "\"own\" has 3 classes, \"cityscapes\" has 19"],
    )
}
