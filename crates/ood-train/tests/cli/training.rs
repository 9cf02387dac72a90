//! Trainings that run to the end.

use std::fs;
use std::process::Command;

use anyhow::Result;
use artifacts::index::{Index, ProxyInfo};
use artifacts::manifest::Manifest;
use artifacts::tables::{read_table, schema};
use seg_model::checkpoint::Checkpoint;

use crate::output::{names, results};
use crate::toy::{Toy, assert_one_line, succeed};

#[test]
fn a_training_leaves_weights_and_a_log() -> Result<()> {
    let toy = Toy::new()?;
    succeed(toy.train("out", &["--epochs", "2", "--schedule", "poly"]))?;
    let out = toy.path("out");
    assert_eq!(
        names(&out)?,
        [
            "crops.png",
            "curves.svg",
            "log.parquet",
            "manifest.json",
            "weights.safetensors"
        ]
    );
    // 12 crops of 32, with gaps between
    let crops = image::open(out.join("crops.png"))?.into_rgb8();
    assert_eq!(crops.dimensions(), (4 * 36 + 4, 3 * 36 + 4));
    let line = image::Rgb([255, 0, 255]);
    assert!(crops.pixels().any(|&p| p == line), "no outline of a proxy");
    // 4 images and 2 proxies, twice, in pairs
    assert_eq!(Manifest::read(&out)?.counts["steps"], 6);
    let weights = Checkpoint::read(&out.join("weights.safetensors"), None)?;
    assert_eq!(
        (
            weights.network.name(),
            weights.channels(),
            weights.classes().name.as_str()
        ),
        ("enet", 19, "cityscapes")
    );
    let table = schema::train_log();
    let log = read_table(&out.join(table.file_name()), &table)?;
    let steps: Vec<_> = log.column("step")?.u32()?.into_no_null_iter().collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    let epochs: Vec<_> = log.column("epoch")?.u32()?.into_no_null_iter().collect();
    assert_eq!(epochs, [0, 0, 0, 1, 1, 1]);
    for name in ["loss_in", "loss_out"] {
        let losses: Vec<_> = log.column(name)?.f64()?.into_no_null_iter().collect();
        assert!(
            losses.iter().all(|l| l.is_finite() && *l >= 0.0),
            "{losses:?}"
        );
        assert!(losses.iter().any(|l| *l > 0.0), "{name}");
    }
    let before = fs::metadata(out.join("weights.safetensors"))?.modified()?;
    succeed(toy.train("out", &["--epochs", "2", "--schedule", "poly"]))?;
    assert_eq!(
        fs::metadata(out.join("weights.safetensors"))?.modified()?,
        before
    );
    Ok(())
}

/// The log of the training in `output`: steps, and the losses by name.
fn log(toy: &Toy, output: &str) -> Result<(Vec<u32>, [Vec<f64>; 4])> {
    let table = schema::train_log();
    let log = read_table(&toy.path(output).join(table.file_name()), &table)?;
    let steps = log.column("step")?.u32()?.into_no_null_iter().collect();
    let mut losses = ["loss", "loss_in", "loss_out", "loss_distilled"].map(|_| Vec::new());
    for (name, losses) in ["loss", "loss_in", "loss_out", "loss_distilled"]
        .iter()
        .zip(&mut losses)
    {
        *losses = log.column(name)?.f64()?.into_no_null_iter().collect();
    }
    Ok((steps, losses))
}

#[test]
fn logged_losses_are_means_since_the_row_before() -> Result<()> {
    let toy = Toy::new()?;
    succeed(toy.train("init", &["--steps", "2"]))?;
    let init = toy.path("init/weights.safetensors");
    let run = |output: &str, more: &[&str]| {
        let flags = [
            "--steps",
            "8",
            "--accumulate",
            "2",
            "--distill",
            "0.5",
            "--learning-rate",
            "1e-2",
        ];
        let mut command = toy.bare(output, &[&flags, more].concat());
        command.arg("--init").arg(&init);
        succeed(command)?;
        log(&toy, output)
    };
    let (steps, each) = run("each", &[])?;
    assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7, 8]);
    let (steps, means) = run("means", &["--log-every", "3"])?;
    assert_eq!(steps, [3, 6, 8]);
    for (each, means) in each.iter().zip(&means) {
        for (some, mean) in [&each[..3], &each[3..6], &each[6..]].iter().zip(means) {
            let expected = some.iter().sum::<f64>() / some.len() as f64;
            assert!((mean - expected).abs() < 1e-12, "{mean} {expected}");
            assert!(*mean > 0.0 && some.iter().any(|loss| loss != mean));
        }
    }
    assert!(results(&toy.path("each"))?[0] == results(&toy.path("means"))?[0]);
    Ok(())
}

#[test]
fn it_is_said_what_an_epoch_is() -> Result<()> {
    let toy = Toy::new()?;
    let quiet = toy.train("out", &["--steps", "4"]);
    let mut command = Command::new(quiet.get_program());
    command.args(quiet.get_args().filter(|argument| *argument != "-q"));
    let text = stage_testing::command::succeed(&mut command)?.stderr;
    let (labels, proxy) = (toy.path("labels"), toy.path("proxy"));
    let line = format!(
        "an epoch has in-distribution crops: 4 from the 4 images of {}; proxy crops: 2 from the 3 images of {}: 3 steps of 2 crops; the training has 4 steps, 1.3 epochs",
        labels.display(),
        proxy.display()
    );
    assert!(text.contains(&line), "{text}");
    Ok(())
}

#[test]
fn threads_workers_and_checkpoints_change_no_byte() -> Result<()> {
    let toy = Toy::new()?;
    let run = |name: &str, more: &[&str]| {
        succeed(toy.train(name, &[&["--steps", "5"], more].concat()))?;
        results(&toy.path(name))
    };
    let expected = run("once", &["--threads", "1", "--workers", "1"])?;
    assert!(expected == run("twice", &["--threads", "1", "--workers", "1"])?);
    assert!(expected == run("threads", &["--threads", "3", "--workers", "1"])?);
    assert!(expected == run("workers", &["--threads", "1", "--workers", "3"])?);
    assert!(expected == run("saving", &["--checkpoint-minutes", "0"])?);
    assert!(expected != run("seed", &["--seed", "1"])?);
    Ok(())
}

#[test]
fn bf16_products_change_the_losses_a_little_and_stay_deterministic() -> Result<()> {
    let toy = Toy::new()?;
    let run = |name: &str, more: &[&str]| {
        succeed(toy.train(name, &[&["--steps", "3"], more].concat()))?;
        results(&toy.path(name))
    };
    let exact = run("f32", &[])?;
    assert!(exact == run("named", &["--dtype", "f32"])?);
    let rounded = run("one", &["--dtype", "bf16", "--threads", "1"])?;
    assert!(rounded == run("three", &["--dtype", "bf16", "--threads", "3"])?);
    assert!(rounded != exact);
    let (_, [exact, ..]) = log(&toy, "f32")?;
    let (_, [rounded, ..]) = log(&toy, "one")?;
    for (exact, rounded) in exact.iter().zip(&rounded) {
        assert!(exact != rounded && (exact - rounded).abs() < 0.03 * exact);
    }
    // what was trained in one precision is not taken for the result of the other
    assert_one_line(
        &toy.train("one", &["--steps", "3"]).output()?,
        &["was finished with --dtype bf16, asked for f32", "--force"],
    )
}

#[test]
fn only_the_chosen_tensors_move() -> Result<()> {
    let toy = Toy::new()?;
    succeed(toy.train("first", &["--steps", "1"]))?;
    let mut command = toy.bare(
        "out",
        &[
            "--steps",
            "2",
            "--batch-norm",
            "frozen",
            "--train-only",
            "transposed_conv",
        ],
    );
    command
        .arg("--init")
        .arg(toy.path("first/weights.safetensors"));
    succeed(command)?;
    let read = |name: &str| Checkpoint::read(&toy.path(name).join("weights.safetensors"), None);
    let (first, second) = (read("first")?, read("out")?);
    for (name, tensor) in &first.tensors {
        let values = |t: &candle_core::Tensor| t.flatten_all()?.to_vec1::<f32>();
        let is_same = values(tensor)? == values(&second.tensors[name])?;
        assert_eq!(is_same, !name.starts_with("transposed_conv"), "{name}");
    }
    Ok(())
}

#[test]
fn proxies_of_another_area_are_left_out() -> Result<()> {
    let toy = Toy::new()?;
    toy.check_fails(
        &["--ood-area", "0:0.5"],
        &["proxy does not state the share", "in p"],
    )?;
    let mut index = Index::read(&toy.path("proxy"))?;
    for (sample, ood_fraction) in index.samples.iter_mut().zip([0.1, 0.6, 0.9]) {
        sample.proxy = Some(ProxyInfo {
            ood_fraction,
            categories: Vec::new(),
            license: None,
            objects: Vec::new(),
        });
    }
    index.write(&toy.path("proxy"))?;
    toy.check_fails(&["--ood-area", "0.2:0.5"], &["no image", "0.2:0.5"])?;
    // without q and r a training does not notice that they are gone
    fs::remove_file(toy.path("proxy/q.png"))?;
    fs::remove_file(toy.path("proxy/r.png"))?;
    toy.check_fails(&[], &["is missing"])?;
    succeed(toy.train("out", &["--steps", "3", "--ood-area", "0:0.5", "--force"]))
}

#[test]
fn weights_can_be_trained_on() -> Result<()> {
    let toy = Toy::new()?;
    succeed(toy.train("first", &["--steps", "1"]))?;
    let weights = toy.path("first/weights.safetensors");
    let copy = toy.path("elsewhere");
    fs::create_dir(&copy)?;
    fs::copy(&weights, copy.join("weights.safetensors"))?;
    let frozen = ["--steps", "2", "--batch-norm", "frozen", "--no-dropout"];
    for (name, init) in [("one", weights), ("two", copy.join("weights.safetensors"))] {
        let mut command = toy.bare(name, &frozen);
        command.arg("--init").arg(init);
        succeed(command)?;
    }
    assert!(results(&toy.path("one"))? == results(&toy.path("two"))?);
    let read = |name: &str| Checkpoint::read(&toy.path(name).join("weights.safetensors"), None);
    let (first, second) = (read("first")?, read("one")?);
    for (name, tensor) in &first.tensors {
        let values = |t: &candle_core::Tensor| t.flatten_all()?.to_vec1::<f32>();
        let is_same = values(tensor)? == values(&second.tensors[name])?;
        let is_statistic = seg_model::params::is_running_statistic(name);
        assert!(!is_statistic || is_same, "{name} moved though frozen");
    }
    Ok(())
}
