//! Calls that are interrupted and go on, and calls that have nothing to do.

use std::fs;

use anyhow::Result;
use stage_testing::command::succeed;
use stage_testing::folder::files;

use crate::toy::Toy;

#[test]
fn an_interrupted_run_goes_on() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("whole", &[])?;
    let file = toy.logits("c");
    let bytes = fs::read(&file)?;
    fs::write(&file, &bytes[..bytes.len() / 2])?;
    toy.check_fails(&["--threads", "1"], &["c.safetensors", "seg-model infer"])?;
    assert!(toy.path("out/partial/samples/a/samples.parquet").exists());
    assert!(!toy.path("out/partial/samples/c").exists());
    fs::write(&file, bytes)?;
    // a sample that is done is not read again
    fs::write(toy.logits("b"), "damaged")?;
    toy.run("out", &[])?;
    assert!(files(&toy.path("whole"))? == files(&toy.path("out"))?);
    // and neither is anything when all is done
    let done = succeed(&mut toy.command("out", &[]))?;
    assert!(
        done.stderr.contains("out is up to date: nothing to do"),
        "{}",
        done.stderr
    );
    Ok(())
}

#[test]
fn an_interrupted_run_with_additional_thresholds_goes_on() -> Result<()> {
    let toy = Toy::new()?;
    let options = ["--thresholds", "0.25,0.9", "--compat-names"];
    toy.run("whole", &options)?;
    let file = toy.logits("c");
    let bytes = fs::read(&file)?;
    fs::write(&file, &bytes[..bytes.len() / 2])?;
    let one_thread = [&options[..], &["--threads", "1"]].concat();
    toy.check_fails(&one_thread, &["c.safetensors"])?;
    let of_sample = toy.path("out/partial/samples/a/thresholds/0.25");
    assert!(of_sample.join("samples.parquet").exists());
    fs::write(&file, bytes)?;
    // a sample that is done is not read again
    fs::write(toy.logits("b"), "damaged")?;
    toy.run("out", &options)?;
    let found = files(&toy.path("out"))?;
    assert!(found.contains_key("thresholds/0.9/segments.parquet"));
    assert!(found == files(&toy.path("whole"))?);
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
