//! Calls that are interrupted and go on, and calls that have nothing to do.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use artifacts::manifest::Manifest;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;
use stage_testing::toy::replace_content;

use crate::toy::Toy;

/// Work that was interrupted at the sample `c`: the sums have `a`, and `b` if it is measured and not skipped.
struct Interrupted {
    toy: Toy,
    options: Vec<&'static str>,
}

impl Interrupted {
    fn new(options: &[&'static str]) -> Result<Self> {
        let toy = Toy::new()?;
        toy.run("whole", options)?;
        let file = toy.logits("c");
        let content = fs::read(&file)?;
        replace_content(&file, &damaged(&content))?;
        let one_thread = [options, &["--threads", "1"]].concat();
        toy.check_fails(&one_thread, &["c.safetensors", "seg-model infer"])?;
        replace_content(&file, &content)?;
        Ok(Self {
            toy,
            options: options.to_vec(),
        })
    }

    /// A path of the interrupted work.
    fn work(&self, name: &str) -> PathBuf {
        self.toy.path("out/in-progress").join(name)
    }

    /// Makes the logits of a sample unreadable, so that a call which measures it again fails.
    fn forbid(&self, id: &str) -> Result<()> {
        let file = self.toy.logits(id);
        replace_content(&file, &damaged(&fs::read(&file)?))
    }

    /// Completes the work, which must give the bytes and the counts of work that was not interrupted. Returns what was logged.
    fn complete(&self) -> Result<String> {
        let printed = succeed(&mut self.toy.command("out", &self.options))?;
        let (whole, out) = (self.toy.path("whole"), self.toy.path("out"));
        assert!(files(&whole)? == files(&out)?);
        assert_eq!(Manifest::read(&whole)?.counts, Manifest::read(&out)?.counts);
        Ok(printed.stderr)
    }
}

/// As many bytes that are no logits.
fn damaged(content: &[u8]) -> Vec<u8> {
    vec![0xFF; content.len()]
}

#[test]
fn an_interrupted_run_goes_on() -> Result<()> {
    let interrupted = Interrupted::new(&[])?;
    let tables = interrupted.work("partial/samples/a/samples.parquet");
    assert!(tables.exists());
    assert!(!interrupted.work("partial/samples/c").exists());
    // a sample that is done is not read again
    interrupted.forbid("b")?;
    interrupted.complete()?;
    assert!(!interrupted.work("").exists());
    // and neither is anything when all is done
    let done = succeed(&mut interrupted.toy.command("out", &[]))?;
    assert!(
        done.stderr.contains("out is up to date: nothing to do"),
        "{}",
        done.stderr
    );
    Ok(())
}

#[test]
fn an_interrupted_run_with_additional_thresholds_goes_on() -> Result<()> {
    let interrupted = Interrupted::new(&["--thresholds", "0.25,0.9", "--compat-names"])?;
    let of_sample = interrupted.work("partial/samples/a/thresholds/0.25");
    assert!(of_sample.join("samples.parquet").exists());
    // a sample that is done is not read again
    interrupted.forbid("b")?;
    interrupted.complete()?;
    let found = files(&interrupted.toy.path("out"))?;
    assert!(found.contains_key("thresholds/0.9/segments.parquet"));
    Ok(())
}

/// That a sample's folder is absent does not mean that the sample was skipped.
#[test]
fn samples_whose_work_is_gone_are_measured_again() -> Result<()> {
    for options in [&[][..], &["--skip-without-ood"]] {
        let interrupted = Interrupted::new(options)?;
        fs::remove_dir_all(interrupted.work("partial/samples/a"))?;
        let log = interrupted.complete()?;
        assert!(log.contains("sample a is damaged or gone"), "{log}");
        let n_skipped = u64::from(!options.is_empty());
        let manifest = Manifest::read(&interrupted.toy.path("out"))?;
        assert_eq!(manifest.counts["skipped"], n_skipped);
    }
    let interrupted = Interrupted::new(&[])?;
    fs::remove_dir_all(interrupted.work("partial"))?;
    interrupted.complete()?;
    Ok(())
}

#[test]
fn damaged_work_is_measured_again() -> Result<()> {
    for (name, words) in [
        ("components/a.png", "sample a is damaged or gone"),
        (
            "partial/samples/a/segments.parquet",
            "sample a is damaged or gone",
        ),
        ("partial/pixel_sums", "pixel_sums is damaged"),
    ] {
        let interrupted = Interrupted::new(&[])?;
        let path = interrupted.work(name);
        let content = fs::read(&path).with_context(|| path.display().to_string())?;
        let mut flipped = content.clone();
        flipped[content.len() / 2] ^= 1;
        // a flipped bit, and what a power failure leaves of a file that was not synced
        for found in [flipped, Vec::new()] {
            let interrupted = Interrupted::new(&[])?;
            fs::write(interrupted.work(name), found)?;
            let log = interrupted.complete()?;
            assert!(log.contains(words), "{name}: {log}");
        }
        fs::remove_file(&path)?;
        interrupted.complete()?;
    }
    Ok(())
}

/// A call that was killed between any two changes on the disk after its last sample.
#[test]
fn a_call_that_was_killed_while_it_cleared_up_is_complete() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("whole", &[])?;
    toy.run("out", &[])?;
    // the manifest was written, and partial work was being removed
    let work = toy.path("out/in-progress");
    fs::create_dir_all(work.join("partial/samples"))?;
    fs::copy(toy.path("out/manifest.json"), work.join("work.json"))?;
    fs::write(work.join("partial/pixel_sums"), "")?;
    toy.run("out", &[])?;
    assert!(!work.exists());
    assert!(files(&toy.path("whole"))? == files(&toy.path("out"))?);
    Ok(())
}

#[test]
fn an_earlier_result_stays_whole_until_the_next_is_complete() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("out", &[])?;
    let earlier = files(&toy.path("out"))?;
    let file = toy.logits("c");
    let content = fs::read(&file)?;
    replace_content(&file, &damaged(&content))?;
    let other = ["--min-size", "2"];
    fail(&mut toy.command("out", &other), &["c.safetensors"])?;
    let mut left = files(&toy.path("out"))?;
    left.retain(|name, _| !name.starts_with("in-progress/"));
    assert!(left == earlier && toy.path("out/manifest.json").exists());
    replace_content(&file, &content)?;
    let printed = succeed(&mut toy.command("out", &other))?;
    assert!(
        printed
            .stderr
            .contains("which was finished with --min-size not given, asked for 2"),
        "{}",
        printed.stderr
    );
    toy.run("other", &other)?;
    assert!(files(&toy.path("out"))? == files(&toy.path("other"))?);
    Ok(())
}

#[test]
fn another_shard_is_not_replaced_without_force() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("out", &["--shard", "0/2"])?;
    let earlier = files(&toy.path("out"))?;
    let other = ["--shard", "1/2", "--min-size", "2"];
    let words = ["finished with", "--shard 0/2, asked for 1/2", "--force"];
    fail(&mut toy.command("out", &other), &words)?;
    assert!(files(&toy.path("out"))? == earlier);
    toy.run("out", &[&other[..], &["--force"]].concat())?;
    toy.run("other", &other)?;
    assert!(files(&toy.path("out"))? == files(&toy.path("other"))?);
    Ok(())
}

#[test]
fn foreign_output_is_left_alone() -> Result<()> {
    let toy = Toy::new()?;
    fs::create_dir(toy.path("out"))?;
    fs::write(toy.path("out/mine"), "x")?;
    toy.check_fails(&["--force"], &["no stage wrote"])?;
    assert!(toy.path("out/mine").exists());
    Ok(())
}

#[test]
fn an_input_is_never_the_output() -> Result<()> {
    let toy = Toy::new()?;
    let inputs = (files(&toy.path("logits"))?, files(&toy.path("labels"))?);
    for output in ["logits", "labels", "logits/new", ".", "new/../labels"] {
        for force in [&[][..], &["--force"]] {
            fail(
                &mut toy.command(output, force),
                &["the output", "choose another --output"],
            )?;
        }
    }
    assert!(inputs == (files(&toy.path("logits"))?, files(&toy.path("labels"))?));
    assert!(toy.path("logits/manifest.json").exists() && toy.path("labels/manifest.json").exists());
    Ok(())
}

/// Of two calls into one output at once, one may be refused, but the result is that of one call.
#[test]
fn two_calls_at_once_write_one_result() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("whole", &[])?;
    let mut children = Vec::new();
    for _ in 0..4 {
        let mut command = toy.command("out", &["--quiet"]);
        command.stdout(std::process::Stdio::null());
        children.push(command.stderr(std::process::Stdio::piped()).spawn()?);
    }
    let mut n_successes = 0;
    for child in children {
        let output = child.wait_with_output()?;
        let text = String::from_utf8(output.stderr)?;
        if output.status.success() {
            n_successes += 1;
        } else {
            assert!(text.contains("is being written by another call"), "{text}");
        }
    }
    assert!(n_successes > 0);
    assert!(files(&toy.path("whole"))? == files(&toy.path("out"))?);
    Ok(())
}
