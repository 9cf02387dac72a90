//! A training on the small demo that is killed again and again gives the weights of one that was not.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Arguments of the training that a child of this test does, one a line.
const ARGUMENTS: &str = "OODSEG_TEST_TRAINING";
const STEPS: u64 = 40;
const KILLS: usize = 6;

/// What the children run; without their arguments, nothing.
#[test]
fn training_of_a_child() -> Result<()> {
    match std::env::var(ARGUMENTS) {
        Ok(arguments) => ood_train::run(&ood_train::Args::try_parse_from(arguments.lines())?),
        Err(_) => Ok(()),
    }
}

fn make_data(dir: &Path) -> Result<()> {
    let data = dir.join("data");
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let (data, dir) = (data.display(), dir.display());
    let demo = words(&format!("demo-data --scale small --output {data} --quiet"));
    demo_data::run(&demo_data::Args::try_parse_from(demo)?)?;
    let labels = words(&format!(
        "cityscapes-io prepare --dataset cityscapes-train --root {data}/cityscapes --output {dir}/labels --quiet"
    ));
    cityscapes_io::run(&cityscapes_io::Args::try_parse_from(labels)?)?;
    let proxy = words(&format!(
        "coco-proxy --annotations {data}/coco/annotations/instances_train2017.json --images {data}/coco/train2017 --output {dir}/proxy --quiet"
    ));
    coco_proxy::run(&coco_proxy::Args::try_parse_from(proxy)?)
}

/// A training into `dir/output` in a process of its own.
fn train(dir: &Path, output: &str) -> Result<Child> {
    let (labels, proxy, output) = (dir.join("labels"), dir.join("proxy"), dir.join(output));
    let flags = format!(
        "ood-train --network enet --crop 64 --batch-size 4 --proxy-short-side 96 --ood-fraction 0.5 --steps {STEPS} \
         --learning-rate 1e-3 --checkpoint-minutes 0 --log-every 1 --quiet"
    );
    let mut arguments: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
    for (flag, path) in [
        ("--labels", labels),
        ("--proxy", proxy),
        ("--output", output),
    ] {
        arguments.extend([flag.to_owned(), path.display().to_string()]);
    }
    let child = Command::new(std::env::current_exe()?)
        .args(["training_of_a_child", "--exact"])
        .env(ARGUMENTS, arguments.join("\n"))
        .stdout(Stdio::null())
        .spawn();
    child.context("could not start the training")
}

/// The step of the last checkpoint of the training that is in progress in `output`.
fn last_step(output: &Path) -> Option<u64> {
    let checkpoints = output.join("in-progress/partial");
    let names = fs::read_dir(checkpoints).ok()?.filter_map(Result::ok);
    let step = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let step = name
            .strip_prefix("checkpoint-")?
            .strip_suffix(".safetensors")?;
        step.parse().ok()
    };
    names.filter_map(step).max()
}

#[test]
fn killed_at_random_steps_it_ends_with_the_same_bytes() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    make_data(dir)?;
    ensure!(
        train(dir, "whole")?.wait()?.success(),
        "the training failed"
    );

    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut kills: Vec<u64> = (0..KILLS).map(|_| rng.random_range(1..STEPS - 8)).collect();
    kills.sort_unstable();
    kills.dedup();
    let output = dir.join("killed");
    for step in kills {
        let mut child = train(dir, "killed")?;
        let deadline = Instant::now() + Duration::from_secs(120);
        while last_step(&output).is_none_or(|last| last < step) {
            let is_running = child.try_wait()?.is_none();
            ensure!(is_running, "it ended before step {step} was killed");
            ensure!(Instant::now() < deadline, "step {step} does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
        // not between two steps, but anywhere in one
        std::thread::sleep(Duration::from_millis(rng.random_range(0..60)));
        child.kill()?;
        child.wait()?;
    }
    ensure!(
        last_step(&output).is_some(),
        "the last kill left no checkpoint to go on from"
    );
    ensure!(
        train(dir, "killed")?.wait()?.success(),
        "going on after the kills failed"
    );
    for file in ["weights.safetensors", "log.parquet"] {
        let read = |run: &str| fs::read(dir.join(run).join(file));
        ensure!(read("whole")? == read("killed")?, "{file} differs");
    }
    Ok(())
}
