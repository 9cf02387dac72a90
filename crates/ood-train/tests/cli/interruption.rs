//! Trainings that are interrupted: the same command goes on to the same bytes.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use artifacts::labels::MaskKind;
use artifacts::tables::{read_table, schema};
use stage_testing::folder::files;

use crate::output::{IN_PROGRESS, checkpoint, checkpoints, results, saved_step, wait_for_step};
use crate::toy::{Toy, assert_one_line, succeed};

/// Every option changes the weights, and an interrupted training with it goes on to the same bytes.
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

/// Metrics are recorded, the best weights are kept, and neither a kill nor the validation changes what is trained.
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
    let runs = read_table(&toy.path("whole").join(table.file_name()), &table)?;
    let steps: Vec<_> = runs.column("step")?.u32()?.into_no_null_iter().collect();
    assert_eq!(steps, [2, 4, 6, 8, 9]);
    let metrics = table.columns.iter();
    for field in metrics.filter(|field| !["step", "dataset"].contains(&field.name.as_str())) {
        let values = runs.column(&field.name)?.f64()?;
        let values: Vec<f64> = values.into_no_null_iter().collect();
        assert_eq!(values.len(), 5, "{}", field.name);
        assert!(
            values.iter().all(|v| (0.0..=1.0).contains(v)),
            "{}: {values:?}",
            field.name
        );
    }
    let auprc: Vec<f64> = runs.column("auprc")?.f64()?.into_no_null_iter().collect();
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
    let mut kept = checkpoints(&out)?;
    assert!((3..=4).contains(&kept.len()), "{kept:?}");
    // without the last one it goes on from the one before
    fs::remove_file(kept.pop().context("a checkpoint")?)?;
    succeed(toy.train("out", &saving))?;
    assert!(results(&toy.path("whole"))? == results(&out)?);
    Ok(())
}

#[test]
fn a_killed_training_goes_on_to_the_same_bytes() -> Result<()> {
    let toy = Toy::new()?;
    // the log has means over steps before and after a checkpoint
    let saving = [
        "--steps",
        "16",
        "--checkpoint-minutes",
        "0",
        "--log-every",
        "5",
    ];
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

/// A kill between the two files leaves a log that is ahead, one after the weights leaves everything but the manifest, one after
/// the manifest only files to be moved.
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

    let ahead = toy.path("ahead");
    copy_files(&interrupted, &ahead)?;
    copy_files(&files(&out)?, &ahead.join(IN_PROGRESS))?;
    succeed(toy.train("ahead", &saving))?;
    assert!(expected == results(&ahead)?);

    let ready = toy.path("ready");
    copy_files(&interrupted, &ready)?;
    copy_files(&files(&out)?, &ready.join(IN_PROGRESS))?;
    let manifest = format!("{IN_PROGRESS}/manifest.json");
    fs::copy(out.join("manifest.json"), ready.join(manifest))?;
    succeed(toy.train("ready", &saving))?;
    assert!(expected == results(&ready)?);
    Ok(())
}

fn copy_files(files: &BTreeMap<String, Vec<u8>>, dir: &Path) -> Result<()> {
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(())
}

/// Weights that took hours are given up neither for another flag nor for a training that fails or is killed.
#[test]
fn weights_are_replaced_with_force_alone_and_when_the_new_ones_are_complete() -> Result<()> {
    let toy = Toy::new()?;
    let out = toy.path("out");
    succeed(toy.train("out", &["--steps", "3"]))?;
    let before = kept_files(&out)?;
    let other = ["--steps", "3", "--ood-weight", "0.5"];
    let refusal = [
        "out was finished with --ood-weight 0.9, asked for 0.5",
        "--force",
        "another --output",
    ];
    assert_one_line(&toy.train("out", &other).output()?, &refusal)?;
    assert!(before == kept_files(&out)? && !out.join(IN_PROGRESS).exists());

    let wild = ["--network", "enet", "--lr", "1e10", "--steps", "9"];
    let forced = toy
        .bare("out", &[&wild[..], &["--force"]].concat())
        .output()?;
    assert_one_line(&forced, &["the loss is", "--learning-rate"])?;
    assert!(before == kept_files(&out)?);

    let saving = ["--steps", "16", "--checkpoint-minutes", "0"];
    succeed(toy.train("whole", &saving))?;
    let mut child = toy
        .train("out", &[&saving[..], &["--force"]].concat())
        .spawn()?;
    wait_for_step(&out, 5, &mut child)?;
    child.kill()?;
    child.wait()?;
    assert!(before == kept_files(&out)?);
    // it replaces the weights, having been told so, and goes on where it was
    let saved = saved_step(&out)?;
    let mut child = toy.train("out", &saving).spawn()?;
    wait_for_step(&out, saved + 1, &mut child)?;
    child.kill()?;
    child.wait()?;
    assert!(before == kept_files(&out)?);
    succeed(toy.train("out", &saving))?;
    assert!(results(&toy.path("whole"))? == results(&out)?);
    Ok(())
}

#[test]
fn an_interrupted_training_is_discarded_with_force_alone() -> Result<()> {
    let toy = Toy::new()?;
    let saving = ["--steps", "16", "--checkpoint-minutes", "0"];
    let out = toy.path("out");
    let mut child = toy.train("out", &saving).spawn()?;
    wait_for_step(&out, 3, &mut child)?;
    child.kill()?;
    child.wait()?;
    let before = files(&out)?;
    let other = ["--steps", "2", "--seed", "1"];
    let refusal = [
        "was interrupted with --seed 0, asked for 1; --steps 16, asked for 2",
        "--force",
    ];
    assert_one_line(&toy.train("out", &other).output()?, &refusal)?;
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let after = files(&out)?;
    for name in names(&before).iter().filter(|name| !name.contains(".tmp")) {
        // the lock's file goes with the process
        assert!(
            name == ".lock" || before.get(name) == after.get(name),
            "{name}"
        );
    }
    succeed(toy.train("out", &[&other[..], &["--force"]].concat()))?;
    results(&out).map(drop)
}

/// Everything in `dir` but work in progress, the manifest too.
fn kept_files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut kept = files(dir)?;
    kept.retain(|name, _| !name.starts_with(IN_PROGRESS) && name != ".lock");
    kept.insert("manifest".into(), fs::read(dir.join("manifest.json"))?);
    Ok(kept)
}

/// A terminal that was closed or a full disk behind stderr costs the messages alone.
#[test]
fn no_reader_of_stderr_is_needed() -> Result<()> {
    let toy = Toy::new()?;
    let flags = ["--steps", "4", "--checkpoint-minutes", "0"];
    succeed(toy.train("whole", &flags))?;
    let redirections = ["2>&-", ">&- 2>&-", "2>/dev/full"];
    for (number, redirection) in redirections.into_iter().enumerate() {
        if redirection.ends_with("full") && !Path::new("/dev/full").exists() {
            continue;
        }
        let name = format!("out{number}");
        let command = toy.train(&name, &flags);
        let arguments = command.get_args().filter(|argument| *argument != "-q");
        let status = Command::new("sh")
            .args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")])
            .arg(command.get_program())
            .args(arguments)
            .args(["-vv"])
            .env("CANDLE_NUM_THREADS", "1")
            .status()?;
        ensure!(status.success(), "{redirection}: {status}");
        assert!(results(&toy.path("whole"))? == results(&toy.path(&name))?);
    }
    Ok(())
}
