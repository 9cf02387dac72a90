//! Files of other programs in place of logits and score maps: the error has the command that takes them in.

use std::fs;
use std::path::Path;

use anyhow::Result;
use stage_testing::command::fail;

use crate::toy::{Toy, executable};

/// Runs on `input`, with `more` flags, and expects an error with `command`.
fn check(toy: &Toy, [flag, input]: [&str; 2], more: &[&str], command: &str) -> Result<()> {
    let mut stage = executable();
    stage.current_dir(toy.path("")).args([flag, input]);
    stage.args(["--output", "out", "--quiet"]).args(more);
    let words = [
        &format!("{flag} {input} is not the output of a stage"),
        command,
        &format!("pass {flag} ADOPTED then"),
    ];
    fail(&mut stage, &words.map(|word| word as &str))?;
    assert!(!toy.path("out").exists());
    Ok(())
}

fn write(path: &Path) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    Ok(fs::write(path, "any")?)
}

#[test]
fn files_of_other_programs_are_to_be_adopted_first() -> Result<()> {
    let toy = Toy::new()?;
    for (flag, kind) in [("--logits", ""), ("--scores", " --kind score")] {
        for name in ["a.npy", "a.npz", "a.png", "a.safetensors", "night/a.npy"] {
            let folder = format!("{}-{}", name.replace('/', "-"), kind.len());
            write(&toy.path(&format!("{folder}/{name}")))?;
            write(&toy.path(&format!("{folder}/.hidden")))?;
            let command = |samples: &str| {
                format!(
                    "(such as {folder}/{name}): `oodseg seg-model adopt{kind} --from {folder} {samples} --output ADOPTED` takes them in"
                )
            };
            let labels = ["--labels", "labels"];
            check(&toy, [flag, &folder], &labels, &command("--labels labels"))?;
            check(&toy, [flag, &folder], &[], &command("--folder IMAGES"))?;
        }
    }
    let command = "--from maps --folder IMAGES --output ADOPTED";
    write(&toy.path("maps/a.npy"))?;
    check(&toy, ["--scores", "maps/a.npy"], &[], command)?;
    write(&toy.path("a.npy"))?;
    check(&toy, ["--scores", "a.npy"], &[], "--from . --folder IMAGES")
}

#[test]
fn folders_that_do_not_exist_are_named() -> Result<()> {
    let toy = Toy::new()?;
    for (flag, stage) in [("--logits", "infer"), ("--scores", "adopt")] {
        let mut command = executable();
        command.current_dir(toy.path("")).args([flag, "none"]);
        command.args(["--threshold", "0.5", "--output", "out", "--quiet"]);
        let words = format!("none does not exist: run `seg-model {stage}` with --output none");
        fail(&mut command, &[&words])?;
    }
    Ok(())
}
