//! Errors name the input, argument or checkpoint that cannot be used.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use artifacts::tables::{read_table, schema, write_table};
use polars::prelude::Column;
use seg_model::checkpoint::Checkpoint;
use stage_testing::folder::files;

use crate::output::checkpoint;
use crate::toy::{KNOWN, PROXIES, Toy, assert_one_line, picture, succeed};

#[test]
fn a_damaged_checkpoint_is_named() -> Result<()> {
    let toy = Toy::new()?;
    let diverging = [
        "--network",
        "enet",
        "--learning-rate",
        "1e30",
        "--steps",
        "9",
        "--checkpoint-minutes",
        "0",
    ];
    let train = || toy.bare("out", &diverging);
    toy.check_command_fails(train(), &["the loss is"])?;
    let file = checkpoint(&toy.path("out"))?.context("a checkpoint")?;
    let bytes = fs::read(&file)?;
    for end in [0, 5, 100, bytes.len() - 1] {
        fs::write(&file, &bytes[..end])?;
        toy.check_command_fails(train(), &["checkpoint-", "is damaged", "--force"])?;
    }
    fs::write(&file, &bytes)?;
    let log = toy.path("out/in-progress/log.parquet");
    let bytes = fs::read(&log)?;
    fs::write(&log, "no table")?;
    toy.check_command_fails(train(), &["log.parquet", "--force"])?;
    fs::write(&log, bytes)?;
    // the charts' axes have no end at infinity
    let table = schema::train_log();
    let mut frame = read_table(&log, &table)?;
    let losses = vec![f64::INFINITY; frame.height()];
    frame.with_column(Column::new("loss_in".into(), losses))?;
    write_table(&log, &table, &frame)?;
    let place = ["in-progress/log.parquet, row 1: loss_in is inf", "--force"];
    toy.check_command_fails(train(), &place)?;
    succeed(toy.train("out", &["--steps", "1", "--force"]))
}

#[test]
fn a_diverging_training_stops() -> Result<()> {
    let toy = Toy::new()?;
    let wild = [
        "--network",
        "enet",
        "--learning-rate",
        "1e30",
        "--steps",
        "20",
    ];
    toy.check_command_fails(
        toy.bare("out", &wild),
        &[
            "the loss is",
            "step 2 failed",
            "with the samples",
            "--learning-rate",
        ],
    )?;
    // the loss is computed before the step that makes the weights infinite
    let last = [
        "--network",
        "enet",
        "--learning-rate",
        "1e39",
        "--steps",
        "1",
        "--force",
    ];
    toy.check_command_fails(toy.bare("out", &last), &["not finite", "--learning-rate"])
}

#[test]
fn unusable_data_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let image = toy.path("labels/b.png");
    let bytes = fs::read(&image)?;
    fs::write(&image, &bytes[..bytes.len() / 2])?;
    toy.check_fails(&[], &["b.png", "prepare the data set again"])?;
    toy.write_index("labels", &KNOWN, MaskKind::TrainId)?;
    toy.check_fails(&[], &["sample b", "b.png is damaged"])?;
    fs::remove_file(&image)?;
    toy.check_fails(&["--workers", "3"], &["image of b is missing"])?;

    toy.write_data("labels", &KNOWN, MaskKind::TrainId)?;
    let path = toy.path("labels/c_mask.png");
    Mask::filled(40, 36, 77).write(&path)?;
    toy.check_fails(&[], &["sample c", "c_mask.png", "value 77"])?;
    let bytes = fs::read(&path)?;
    fs::write(&path, &bytes[..bytes.len() / 2])?;
    toy.check_fails(&[], &["sample c", "c_mask.png", "damaged"])?;
    picture(40, 36).save(&path)?;
    toy.check_fails(
        &[],
        &[
            "sample c",
            "c_mask.png",
            "a color image is not a label image",
        ],
    )?;
    fs::remove_file(&path)?;
    toy.check_fails(&[], &["sample c", "c_mask.png"])?;

    toy.write_data("labels", &KNOWN, MaskKind::TrainId)?;
    for (id, width, height) in PROXIES {
        let path = toy.path("proxy").join(format!("{id}_mask.png"));
        Mask::filled(width as usize, height as usize, 7).write(&path)?;
    }
    toy.check_fails(&[], &["_mask.png", "value 7"])?;

    toy.write_data("proxy", &PROXIES, MaskKind::Proxy)?;
    toy.check_fails(
        &["--paste", "1"],
        &["proxy", "2500 pixels to be pasted", "--paste"],
    )
}

#[test]
fn unusable_indices_are_named() -> Result<()> {
    let toy = Toy::new()?;
    toy.write_index("proxy", &PROXIES, MaskKind::Eval)?;
    toy.check_fails(&[], &["proxy", "Eval", "Proxy"])?;
    toy.write_index("proxy", &[], MaskKind::Proxy)?;
    toy.check_fails(&[], &["proxy", "lists no images"])?;
    fs::write(toy.path("proxy/index.json"), "{")?;
    toy.check_fails(&[], &["index.json is damaged"])?;
    fs::remove_dir_all(toy.path("proxy"))?;
    toy.check_fails(&[], &["proxy/index.json does not exist", "coco-proxy"])?;
    toy.write_index("labels", &[], MaskKind::TrainId)?;
    toy.check_fails(&[], &["labels", "lists no images"])?;
    fs::remove_file(toy.path("labels/index.json"))?;
    toy.check_fails(
        &[],
        &["labels/index.json does not exist", "cityscapes-io prepare"],
    )?;
    assert!(
        !toy.path("out").exists(),
        "indices are read before the output is touched"
    );
    Ok(())
}

#[test]
fn unusable_initial_weights_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let all = ["--init", "--network", "erfnet, enet", "dinov2-vitl14"];
    toy.check_command_fails(toy.bare("out", &[]), &all)?;
    succeed(toy.train("first", &["--steps", "1"]))?;
    let file = toy.path("first/weights.safetensors");
    let fails = |more: &[&str], words: &[&str]| {
        let mut command = toy.bare("out", more);
        command.arg("--init").arg(&file);
        toy.check_command_fails(command, words)
    };
    fails(
        &["--network", "erfnet"],
        &["weights.safetensors", "not erfnet"],
    )?;
    let mut weights = Checkpoint::read(&file, None)?;
    weights.tensors.remove("initial_block.batch_norm.bias");
    weights.write(&file)?;
    fails(
        &[],
        &[
            "weights.safetensors",
            "initial_block.batch_norm.bias [16] is missing",
        ],
    )?;
    let bytes = fs::read(&file)?;
    fs::write(&file, &bytes[..bytes.len() / 2])?;
    fails(&[], &["weights.safetensors", "damaged"])?;
    fs::remove_file(&file)?;
    fails(&[], &["weights.safetensors", "do not exist"])?;
    assert!(
        !toy.path("out").exists(),
        "weights are read before the output is touched"
    );
    Ok(())
}

#[cfg(not(target_os = "macos"))]
#[test]
fn a_device_that_is_not_built_in_is_named() -> Result<()> {
    Toy::new()?.check_fails(&["--device", "metal"], &["seg-model/metal"])
}

#[test]
fn unusable_arguments_are_named() -> Result<()> {
    let toy = Toy::new()?;
    for (option, value, words) in [
        ("--crop", "30", "not a multiple of 8"),
        ("--crop", "0", "not a multiple of 8"),
        ("--dtype", "f16", "the range of f16 is too small"),
        ("--ood-weight", "1.5", "[0, 1]"),
        ("--ood-fraction", "-1", "negative"),
        ("--learning-rate", "0", "not positive"),
        ("--learning-rate", "nan", "not positive"),
        ("--weight-decay", "-1", "negative"),
        ("--checkpoint-minutes", "nan", "negative"),
        (
            "--classes",
            "camvid",
            "without it, the network has the classes of --labels",
        ),
        (
            "--void",
            "last",
            "without it, the network has the classes of --labels",
        ),
        ("--crop", "4294967288", "up to 16384"),
        ("--batch-size", "0", "1..=65536"),
        ("--batch-size", "1000000000000", "1..=65536"),
        ("--workers", "0", "1..=1024"),
        ("--workers", "18446744073709551615", "1..=1024"),
        ("--log-every", "0", "at least 1"),
        ("--epochs", "0", "nothing to train"),
        ("--epochs", "18446744073709551615", "1..=1000000"),
        ("--steps", "4294967296", "1..=4294967295"),
        ("--accumulate", "0", "1..=4096"),
        ("--accumulate", "18446744073709551615", "1..=4096"),
        ("--ood-fraction", "1e18", "above 1000"),
        ("--ood-fraction", "0", "unknown objects to train on"),
        ("--ood-fraction", "0.1", "less than one proxy image"),
        ("--ood-weight", "0.5", "needs --proxy or --ood-weight 0"),
        ("--distill", "-1", "negative"),
        ("--distill", "1", "pass --init"),
        ("--pull-to-start", "1", "pass --init"),
        ("--color-jitter", "2", "above 1"),
        ("--clip-norm", "0", "not positive"),
        ("--ema", "1", "not in [0, 1)"),
        ("--paste", "1", "needs --proxy"),
        ("--ood-area", "0:1", "needs --proxy"),
        ("--paste-height", "0:9", "must begin at 1"),
        ("--train-only", "decoder", "needs --batch-norm frozen"),
    ] {
        let argument = format!("{option}={value}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ood-train"));
        command
            .arg("--labels")
            .arg(toy.path("labels"))
            .arg("--output")
            .arg(toy.path("out"))
            .args(["--network", "enet", &argument]);
        if !words.starts_with("needs --proxy") {
            command.arg("--proxy").arg(toy.path("proxy"));
        }
        toy.check_command_fails(command, &[words])
            .with_context(|| argument.clone())?;
    }
    assert!(!toy.path("out").exists());
    Ok(())
}

#[test]
fn outputs_that_hold_other_files_or_inputs_are_refused() -> Result<()> {
    let toy = Toy::new()?;
    succeed(toy.train("first", &["--steps", "1"]))?;
    let before = files(&toy.path(""))?;
    for (output, reason) in [
        ("labels", "is also read"),
        ("proxy/deeper", "is inside of a folder that is read"),
        ("first", "contains a file or folder that is read"),
        ("first/..", "contains a file or folder that is read"),
    ] {
        for flags in [&["--steps", "1"][..], &["--steps", "1", "--force"]] {
            let mut command = toy.bare(output, flags);
            command
                .arg("--init")
                .arg(toy.path("first/weights.safetensors"));
            assert_one_line(&command.output()?, &[reason, "choose another --output"])?;
        }
    }
    assert!(before == files(&toy.path(""))?);
    fs::create_dir(toy.path("mine"))?;
    fs::write(toy.path("mine/file"), "x")?;
    let output = toy.train("mine", &["--force", "--steps", "1"]).output()?;
    assert_one_line(&output, &["mine", "no stage wrote"])?;
    assert!(toy.path("mine/file").exists());
    Ok(())
}
