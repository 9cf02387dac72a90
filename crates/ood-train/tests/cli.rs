//! The executable on tiny images: the same bytes however it runs, also when it is killed on the way, and what it
//! says of unusable inputs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use artifacts::index::{Index, ProxyInfo, Sample};
use artifacts::labels::{IGNORE, MaskKind, OOD_PROXY};
use artifacts::manifest::{Input, Manifest};
use artifacts::mask::Mask;
use artifacts::tables::{read_table, schema};
use image::RgbImage;
use seg_model::checkpoint::{Checkpoint, metadata};
use tempfile::TempDir;

const KNOWN: [(&str, u32, u32); 4] = [("a", 32, 32), ("b", 48, 40), ("c", 40, 36), ("d", 36, 30)];
const PROXIES: [(&str, u32, u32); 3] = [("p", 40, 40), ("q", 30, 50), ("r", 33, 32)];

/// A training that fits the toy.
const SMALL: [&str; 8] = [
    "--crop",
    "32",
    "--batch-size",
    "2",
    "--ood-fraction",
    "0.5",
    "--log-every",
    "1",
];

/// In-distribution images `labels` and proxies `proxy` with their masks.
struct Toy(TempDir);

impl Toy {
    fn new() -> Result<Self> {
        let toy = Self(tempfile::tempdir()?);
        toy.write_data("labels", &KNOWN, MaskKind::TrainId)?;
        toy.write_data("proxy", &PROXIES, MaskKind::Proxy)?;
        Ok(toy)
    }

    fn write_data(&self, name: &str, samples: &[(&str, u32, u32)], kind: MaskKind) -> Result<()> {
        let dir = self.path(name);
        fs::create_dir_all(&dir)?;
        for &(id, width, height) in samples {
            picture(width, height).save(dir.join(format!("{id}.png")))?;
            mask(width, height, kind).write(&dir.join(format!("{id}_mask.png")))?;
        }
        self.write_index(name, samples, kind)
    }

    /// Writes the index of the images as they are now.
    fn write_index(&self, name: &str, samples: &[(&str, u32, u32)], kind: MaskKind) -> Result<()> {
        let dir = self.path(name);
        let samples = samples
            .iter()
            .map(|&(id, width, height)| {
                let image = format!("{id}.png");
                Ok(Sample {
                    sample_id: id.into(),
                    image_bytes: fs::metadata(dir.join(&image))?.len(),
                    image: image.into(),
                    image_width: width,
                    image_height: height,
                    mask: Some(format!("{id}_mask.png").into()),
                    mask_blake3: None,
                    width,
                    height,
                    proxy: None,
                })
            })
            .collect::<Result<_>>()?;
        Index::new("toy", "train", kind, &dir, samples)?.write(&dir)?;
        let inputs = [("index".to_owned(), Input::of(&dir.join("index.json"))?)];
        Manifest::new("toy", serde_json::Value::Null, inputs.into())
            .write_file(&dir.join("manifest.json"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A training without network, initial weights and learning rate.
    fn bare(&self, output: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ood-train"));
        command
            .arg("--labels")
            .arg(self.path("labels"))
            .arg("--proxy")
            .arg(self.path("proxy"))
            .arg("--output")
            .arg(self.path(output))
            .args(SMALL)
            .args(more)
            .arg("-q")
            .env_remove("OODSEG_THREADS")
            .env_remove("RUST_BACKTRACE") // would add lines to candle's errors
            .env("CANDLE_NUM_THREADS", "1");
        command
    }

    fn train(&self, output: &str, more: &[&str]) -> Command {
        let enet = ["--network", "enet", "--learning-rate", "1e-3"];
        self.bare(output, &[&enet, more].concat())
    }

    fn check_fails(&self, more: &[&str], words: &[&str]) -> Result<()> {
        self.check_command_fails(
            self.train("out", &[&["--steps", "3"], more].concat()),
            words,
        )
    }

    /// Expects failure with one line on stderr that has all `words`, no weights and no half file.
    fn check_command_fails(&self, mut command: Command, words: &[&str]) -> Result<()> {
        assert_one_line(&command.output()?, words)?;
        for name in files(&self.path("out"))?.keys() {
            let is_whole = !name.starts_with('.');
            let is_partial = name != "manifest.json" && name != "weights.safetensors";
            assert!(is_whole && is_partial, "{name}");
        }
        Ok(())
    }
}

fn assert_one_line(output: &Output, words: &[&str]) -> Result<()> {
    let text = std::str::from_utf8(&output.stderr)?;
    assert!(!output.status.success(), "should have failed");
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    Ok(())
}

/// Runs quietly to the end.
fn succeed(mut command: Command) -> Result<()> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && text.is_empty(),
        "{}: {text}",
        output.status
    );
    Ok(())
}

/// A picture without symmetries.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(7 * x) as u8, (5 * y) as u8, (x * y) as u8])
    })
}

/// Stripes of classes or a proxy object, with some void.
fn mask(width: u32, height: u32, kind: MaskKind) -> Mask {
    let mut mask = Mask::filled(width as usize, height as usize, 0);
    for (at, label) in mask.labels.iter_mut().enumerate() {
        let (x, y) = (at % width as usize, at / width as usize);
        *label = match kind {
            _ if y < 2 => IGNORE,
            MaskKind::Proxy if x > 10 && y > 12 => OOD_PROXY,
            MaskKind::Proxy => 0,
            MaskKind::Eval => u8::from(x > 20 && y > 10),
            MaskKind::TrainId => (x / 4 % 19) as u8,
        };
    }
    mask
}

/// All files of an output by name.
fn files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    if !dir.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue; // events for TensorBoard, which hold times
        }
        let name = entry
            .file_name()
            .into_string()
            .ok()
            .context("plain names")?;
        // a training that runs may have removed it
        if let Ok(bytes) = fs::read(entry.path()) {
            found.insert(name, bytes);
        }
    }
    Ok(found)
}

/// Weights and log of a finished training.
fn results(dir: &Path) -> Result<[Vec<u8>; 2]> {
    Manifest::read(dir)?;
    ensure!(checkpoint(dir)?.is_none());
    let read = |name: &str| fs::read(dir.join(name)).with_context(|| name.to_owned());
    Ok([read("weights.safetensors")?, read("log.parquet")?])
}

/// The last checkpoint in `dir`.
fn checkpoint(dir: &Path) -> Result<Option<PathBuf>> {
    let last = files(dir)?
        .into_keys()
        .rfind(|n| n.starts_with("checkpoint-"));
    Ok(last.map(|n| dir.join(n)))
}

/// Steps that the last checkpoint in `dir` holds; 0 without one.
fn saved_step(dir: &Path) -> Result<usize> {
    // a later one may replace it while it is read
    match checkpoint(dir)?.map(fs::read) {
        Some(Ok(bytes)) => Ok(metadata(&bytes)?["step"].parse()?),
        _ => Ok(0),
    }
}

/// Waits until the checkpoint in `dir` holds at least `step` steps.
fn wait_for_step(dir: &Path, step: usize, child: &mut Child) -> Result<()> {
    let start = Instant::now();
    while saved_step(dir)? < step {
        if let Some(status) = child.try_wait()? {
            bail!("the training ended before step {step}: {status}");
        }
        ensure!(start.elapsed() < Duration::from_secs(60), "no step {step}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[test]
fn a_training_leaves_weights_and_a_log() -> Result<()> {
    let toy = Toy::new()?;
    succeed(toy.train("out", &["--epochs", "2", "--schedule", "poly"]))?;
    let out = toy.path("out");
    let names: Vec<_> = files(&out)?.into_keys().collect();
    assert_eq!(
        names,
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
    let weights = Checkpoint::read(&out.join("weights.safetensors"), None, 2)?;
    assert_eq!(
        (
            weights.network.name(),
            weights.channels,
            weights.num_classes
        ),
        ("enet", 19, 19)
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

/// Every option changes the weights, and an interrupted training with it goes on to the same bytes.
#[cfg(unix)]
#[test]
fn options_change_the_training_and_survive_a_kill() -> Result<()> {
    let toy = Toy::new()?;
    // objects that are large enough to be pasted
    toy.write_data("proxy", &[("p", 90, 80), ("q", 70, 90)], MaskKind::Proxy)?;
    succeed(toy.train("first", &["--steps", "2"]))?;
    let init = toy.path("first/weights.safetensors");
    let train = |name: &str, more: &[&str]| {
        let mut command = toy.bare(
            name,
            &[&["--steps", "10", "--learning-rate", "1e-3"], more].concat(),
        );
        command.arg("--init").arg(&init);
        command
    };
    let finish = |name: &str, more: &[&str]| {
        succeed(train(name, more))?;
        Ok::<_, anyhow::Error>(results(&toy.path(name))?[0].clone())
    };
    let mut seen = vec![finish("plain", &[])?];
    let options: [&[&str]; 15] = [
        &["--normalize", "valid-pixels"],
        &["--optimizer", "adamw", "--weight-decay", "0.1"],
        &["--optimizer", "sgd", "--clip-norm", "1e-4"],
        &["--weight-decay", "0.1"],
        &["--accumulate", "2"],
        &["--warmup", "3"],
        &["--schedule", "poly"],
        &["--distill", "1"],
        &["--paste", "1"],
        &["--paste", "1", "--paste-match-light"],
        &["--pull-to-start", "0.1"],
        &["--ema", "0.5"],
        &["--scale-jitter", "0.5:2"],
        &["--color-jitter", "0.4"],
        &["--train-only", "transposed_conv", "--batch-norm", "frozen"],
    ];
    for (number, option) in options.into_iter().enumerate() {
        let weights = finish(&format!("option{number}"), option)?;
        assert!(!seen.contains(&weights), "{option:?} changes nothing");
        let name = format!("killed{number}");
        let saving = [option, &["--checkpoint-minutes", "0"]].concat();
        let mut child = train(&name, &saving).spawn()?;
        wait_for_step(&toy.path(&name), 1 + number % 4, &mut child)?;
        child.kill()?;
        child.wait()?;
        assert!(
            weights == finish(&name, &saving)?,
            "{option:?} after a kill"
        );
        seen.push(weights);
    }
    Ok(())
}

/// Figures are told of, the best weights are kept, and neither a kill nor looking changes what is trained.
#[cfg(unix)]
#[test]
fn validation_leaves_the_training_as_it_is() -> Result<()> {
    let toy = Toy::new()?;
    toy.write_data("unknown", &[("u", 40, 40), ("v", 41, 37)], MaskKind::Eval)?;
    let (known, unknown) = (toy.path("labels"), toy.path("unknown"));
    let train = |name: &str, more: &[&str]| {
        let mut command = toy.train(name, &[&["--steps", "9", "--ema", "0.5"], more].concat());
        command.arg("--val").arg(&known);
        command.arg("--val-ood").arg(&unknown);
        command
    };
    succeed(toy.train("plain", &["--steps", "9", "--ema", "0.5"]))?;
    let every = ["--val-every", "2", "--checkpoint-minutes", "0"];
    succeed(train("whole", &every))?;
    let whole = files(&toy.path("whole"))?;
    assert!(results(&toy.path("plain"))? == results(&toy.path("whole"))?);

    let table = schema::train_validation();
    let looks = read_table(&toy.path("whole").join(table.file_name()), &table)?;
    let steps: Vec<_> = looks.column("step")?.u32()?.into_no_null_iter().collect();
    assert_eq!(steps, [2, 4, 6, 8, 9]);
    for field in &table.columns[1..] {
        let values = looks.column(&field.name)?.f64()?;
        let values: Vec<f64> = values.into_no_null_iter().collect();
        assert_eq!(values.len(), 5, "{}", field.name);
        assert!(
            values.iter().all(|v| (0.0..=1.0).contains(v)),
            "{}: {values:?}",
            field.name
        );
    }
    let auprc: Vec<f64> = looks.column("auprc")?.f64()?.into_no_null_iter().collect();
    let best = auprc.iter().copied().fold(0.0, f64::max);
    let is_last_best = auprc[..4].iter().all(|&a| a < best);
    let is_same = whole["weights.best.safetensors"] == whole["weights.safetensors"];
    assert_eq!(is_same, is_last_best);
    let events = fs::read_dir(toy.path("whole/tensorboard"))?.count();
    assert_eq!(events, 1);

    let mut child = train("killed", &every).spawn()?;
    wait_for_step(&toy.path("killed"), 5, &mut child)?;
    child.kill()?;
    child.wait()?;
    succeed(train("killed", &every))?;
    let killed = files(&toy.path("killed"))?;
    for name in [
        "weights.safetensors",
        "weights.best.safetensors",
        "log.parquet",
        "validation.parquet",
    ] {
        assert!(whole[name] == killed[name], "{name}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn the_last_checkpoints_are_kept() -> Result<()> {
    let toy = Toy::new()?;
    let saving = [
        "--steps",
        "16",
        "--checkpoint-minutes",
        "0",
        "--keep-checkpoints",
        "3",
    ];
    succeed(toy.train("whole", &saving))?;
    let out = toy.path("out");
    let mut child = toy.train("out", &saving).spawn()?;
    wait_for_step(&out, 6, &mut child)?;
    child.kill()?;
    child.wait()?;
    let kept = files(&out)?.into_keys();
    let kept: Vec<_> = kept.filter(|n| n.starts_with("checkpoint-")).collect();
    assert!((3..=4).contains(&kept.len()), "{kept:?}");
    // without the last one it goes on from the one before
    fs::remove_file(checkpoint(&out)?.context("a checkpoint")?)?;
    succeed(toy.train("out", &saving))?;
    assert!(results(&toy.path("whole"))? == results(&out)?);
    Ok(())
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
    let read = |name: &str| Checkpoint::read(&toy.path(name).join("weights.safetensors"), None, 2);
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
        &["proxy does not know the share", "in p"],
    )?;
    let mut index = Index::read(&toy.path("proxy"))?;
    for (sample, ood_fraction) in index.samples.iter_mut().zip([0.1, 0.6, 0.9]) {
        sample.proxy = Some(ProxyInfo {
            ood_fraction,
            categories: Vec::new(),
            license: None,
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
    let read = |name: &str| Checkpoint::read(&toy.path(name).join("weights.safetensors"), None, 2);
    let (first, second) = (read("first")?, read("one")?);
    for (name, tensor) in &first.tensors {
        let values = |t: &candle_core::Tensor| t.flatten_all()?.to_vec1::<f32>();
        let is_same = values(tensor)? == values(&second.tensors[name])?;
        let is_statistic = seg_model::params::is_running_statistic(name);
        assert!(!is_statistic || is_same, "{name} moved though frozen");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_killed_training_goes_on_to_the_same_bytes() -> Result<()> {
    let toy = Toy::new()?;
    let saving = ["--steps", "16", "--checkpoint-minutes", "0"];
    succeed(toy.train("whole", &saving))?;
    let expected = results(&toy.path("whole"))?;
    let out = toy.path("out");
    for (step, is_gentle) in [(1, false), (4, true), (6, false), (9, true)] {
        let mut command = toy.train("out", &saving);
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        wait_for_step(&out, step, &mut child)?;
        if is_gentle {
            let kill = format!("kill -TERM {}", child.id());
            ensure!(Command::new("sh").args(["-c", &kill]).status()?.success());
            let output = child.wait_with_output()?;
            let step = format!("stopped after step {} of 16", saved_step(&out)?);
            assert_one_line(&output, &[&step, "the same command goes on"])?;
        } else {
            child.kill()?;
            child.wait()?;
        }
        assert!(!out.join("manifest.json").exists());
        assert!(!out.join("weights.safetensors").exists());
    }
    succeed(toy.train("out", &saving))?;
    assert!(expected == results(&out)?);
    Ok(())
}

/// A limit on the size of files makes the checkpoint's write fail in its middle, as a full disk would.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_checkpoint_before() -> Result<()> {
    let toy = Toy::new()?;
    let saving = ["--steps", "8", "--checkpoint-minutes", "0"];
    succeed(toy.train("whole", &saving))?;
    let out = toy.path("out");
    let mut child = toy.train("out", &saving).spawn()?;
    wait_for_step(&out, 3, &mut child)?;
    child.kill()?;
    child.wait()?;
    let before = checkpoint(&out)?.context("a checkpoint")?;
    let bytes = fs::read(&before)?;

    let command = toy.train("out", &saving);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .env_remove("OODSEG_THREADS")
        .env_remove("RUST_BACKTRACE");
    toy.check_command_fails(limited, &["checkpoint-", "File too large"])?;
    assert!(checkpoint(&out)?.context("a checkpoint")? == before);
    assert!(fs::read(&before)? == bytes);

    succeed(toy.train("out", &saving))?;
    assert!(results(&out)? == results(&toy.path("whole"))?);
    Ok(())
}

/// A kill between the two files leaves a log that is ahead, one after the weights leaves everything but the manifest.
#[cfg(unix)]
#[test]
fn files_of_different_steps_do_no_harm() -> Result<()> {
    let toy = Toy::new()?;
    let saving = ["--steps", "8", "--checkpoint-minutes", "0"];
    let out = toy.path("out");
    let mut child = toy.train("out", &saving).spawn()?;
    wait_for_step(&out, 3, &mut child)?;
    child.kill()?;
    child.wait()?;
    let interrupted = files(&out)?;
    succeed(toy.train("out", &saving))?;
    let expected = results(&out)?;
    fs::remove_file(out.join("manifest.json"))?;
    for (name, bytes) in &interrupted {
        if name.starts_with("checkpoint-") || name == "manifest.in-progress.json" {
            fs::write(out.join(name), bytes)?;
        }
    }
    succeed(toy.train("out", &saving))?;
    assert!(expected == results(&out)?);
    // the last checkpoint was removed, and then it was killed
    fs::rename(
        out.join("manifest.json"),
        out.join("manifest.in-progress.json"),
    )?;
    succeed(toy.train("out", &saving))?;
    assert!(expected == results(&out)?);
    Ok(())
}

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
    let log = toy.path("out/log.parquet");
    fs::write(&log, "no table")?;
    toy.check_command_fails(train(), &["log.parquet"])?;
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
        &["sample c", "c_mask.png", "a color picture is no labels"],
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
    toy.check_command_fails(toy.bare("out", &[]), &["--init", "--network"])?;
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
    let mut weights = Checkpoint::read(&file, None, 2)?;
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
        ("--crop", "30", "no multiple of 8"),
        ("--crop", "0", "no multiple of 8"),
        ("--ood-weight", "1.5", "[0, 1]"),
        ("--ood-fraction", "-1", "negative"),
        ("--learning-rate", "0", "not positive"),
        ("--learning-rate", "nan", "not positive"),
        ("--weight-decay", "-1", "negative"),
        ("--checkpoint-minutes", "nan", "negative"),
        ("--channels", "18", "19 classes"),
        ("--channels", "255", "unknown objects"),
        ("--crop", "4294967288", "up to 16384"),
        ("--batch-size", "0", "1..=65536"),
        ("--batch-size", "1000000000000", "1..=65536"),
        ("--workers", "0", "at least 1"),
        ("--log-every", "0", "at least 1"),
        ("--epochs", "0", "nothing to train"),
        ("--accumulate", "0", "at least 1"),
        ("--distill", "-1", "negative"),
        ("--distill", "1", "pass --init"),
        ("--pull-to-start", "1", "pass --init"),
        ("--color-jitter", "2", "above 1"),
        ("--clip-norm", "0", "not positive"),
        ("--ema", "1", "not in [0, 1)"),
        ("--paste", "1", "need --proxy"),
        ("--ood-area", "0:1", "need --proxy"),
        ("--paste-height", "0:9", "begins at 1"),
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
        toy.check_command_fails(command, &[words])
            .with_context(|| argument.clone())?;
    }
    assert!(!toy.path("out").exists());
    fs::create_dir(toy.path("mine"))?;
    fs::write(toy.path("mine/file"), "x")?;
    let output = toy.train("mine", &["--force", "--steps", "1"]).output()?;
    assert_one_line(&output, &["mine", "no stage wrote"])?;
    assert!(toy.path("mine/file").exists());
    Ok(())
}
