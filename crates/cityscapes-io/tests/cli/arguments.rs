//! Help and flags.

use std::fs;

use anyhow::Result;
use artifacts::index::Index;

use crate::toy::{PREPARE, call, fail, succeed, toy, write_labels};

#[test]
fn help_names_flags_and_data_sets() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let help = succeed(dir.path(), "--help")?;
    for word in ["prepare", "check", "index", "--threads"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert!(!help.contains("demo"), "{help}");
    let help = succeed(dir.path(), "prepare --help")?;
    let names = cityscapes_io::manifest::SHIPPED.map(|(name, _)| name);
    for word in ["--dataset", "--size", "--strict"].into_iter().chain(names) {
        assert!(help.contains(word), "{word} in {help}");
    }
    Ok(())
}

#[test]
fn the_former_demo_names_the_executable_that_draws_now() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for flags in ["", "--scale small --output data"] {
        let error = fail(dir.path(), &format!("demo {flags}"))?;
        assert!(error.contains("`demo-data`"), "{error}");
    }
    Ok(())
}

#[test]
fn sizes_have_one_limit_in_all_stages() -> Result<()> {
    let dir = toy()?;
    for size in ["40000x1", "1x32769", "0x5", "axb", "1x2x3"] {
        let output = call(dir.path(), &format!("{PREPARE} --size {size}")).output()?;
        let stderr = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{size}: {stderr}");
        assert!(stderr.contains("from 1 to 32768 pixels"), "{stderr}");
    }
    assert!(!dir.path().join("out").exists());
    Ok(())
}

/// Progress and log lines may be lost, work may not.
#[test]
#[cfg(target_os = "linux")]
fn a_stderr_that_cannot_be_written_ends_nothing() -> Result<()> {
    let dir = toy()?;
    let at = dir.path();
    let (reader, closed) = std::io::pipe()?;
    drop(reader);
    let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
    for (name, stderr) in [
        ("full", full.into()),
        ("closed", std::process::Stdio::from(closed)),
    ] {
        // the second label file has no image, so that there is a warning besides the progress
        write_labels(at, "orphan", 4, &[0; 8])?;
        let prepare = PREPARE.replace("output out", &format!("output {name}"));
        let status = call(at, &prepare).stderr(stderr).status()?;
        assert_eq!(status.code(), Some(0), "{name}");
        assert_eq!(Index::read(&at.join(name))?.samples.len(), 2);
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
    let status = call(at, "prepare --dataset none --root set --output out")
        .stderr(full)
        .status()?;
    assert_eq!(status.code(), Some(1));
    Ok(())
}
