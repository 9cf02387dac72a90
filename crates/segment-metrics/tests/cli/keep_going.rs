//! Samples that cannot be used are listed, and left out of all tables.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use artifacts::manifest::Manifest;
use stage_testing::command::{fail, one_error_line};
use stage_testing::folder::files;
use stage_testing::toy::replace_content;

use crate::merge::merge;
use crate::toy::Toy;

const KEEP_GOING: &str = "--keep-going";

/// Runs a call that must finish without some samples, and returns its error line.
fn finish_without_some(toy: &Toy, output: &str, flags: &[&str]) -> Result<String> {
    let found = toy.command(output, flags).output()?;
    let text = String::from_utf8(found.stderr)?;
    assert_eq!(found.status.code(), Some(3), "{text}");
    Ok(one_error_line(&text)?.to_owned())
}

/// The files of an output but for the list of failures, and that list.
fn without_list(toy: &Toy, output: &str) -> Result<(BTreeMap<String, Vec<u8>>, String)> {
    let mut found = files(&toy.path(output))?;
    let list = found.remove("failed.csv").context("a list of failures")?;
    Ok((found, String::from_utf8(list)?))
}

/// Damages the inputs of a toy.
type Spoil = fn(&Toy) -> Result<()>;

/// The sample `b`, the only one without an object, can also be left out on purpose: everything but the list must be the same.
#[test]
fn samples_that_cannot_be_used_are_left_out() -> Result<()> {
    let whole = Toy::new()?;
    whole.run("out", &["--skip-without-ood"])?;
    let expected = files(&whole.path("out"))?;
    let cases: [(&str, Spoil); 4] = [
        ("b.safetensors does not exist", |toy| {
            Ok(fs::remove_file(toy.logits("b"))?)
        }),
        ("b.safetensors is not a usable logits file", |toy| {
            let bytes = fs::read(toy.logits("b"))?;
            Ok(fs::write(toy.logits("b"), &bytes[..bytes.len() / 2])?)
        }),
        ("b.safetensors is not a usable logits file", |toy| {
            Ok(fs::write(toy.logits("b"), "")?)
        }),
        ("masks/b.png", |toy| {
            let path = toy.path("labels/masks/b.png");
            let bytes = fs::read(&path)?;
            Ok(fs::write(&path, &bytes[..bytes.len() / 2])?)
        }),
    ];
    for (words, damage) in cases {
        let toy = Toy::new()?;
        damage(&toy)?;
        fail(toy.command("out", &[]).arg("--quiet"), &[])?;
        let line = finish_without_some(&toy, "out", &[KEEP_GOING])?;
        assert!(
            line.contains("but for 1 of its inputs") && line.contains("failed.csv"),
            "{line}"
        );
        let (found, list) = without_list(&toy, "out")?;
        assert!(found == expected, "{words}");
        assert!(
            list.starts_with("input,error\nb,") && list.contains(words),
            "{list}"
        );
        let counts = Manifest::read(&toy.path("out"))?.counts;
        assert_eq!(
            (counts["samples"], counts["skipped"], counts["failed"]),
            (2, 0, 1)
        );
        // what is finished stays so, and its status too
        finish_without_some(&toy, "out", &[KEEP_GOING])?;
        let track = ["--track", "obstacle", KEEP_GOING];
        finish_without_some(&toy, "track", &track)?;
    }
    Ok(())
}

#[test]
fn mended_samples_are_measured_by_the_next_call() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("whole", &[])?;
    let bytes = fs::read(toy.logits("a"))?;
    fs::write(toy.logits("a"), "no logits")?;
    finish_without_some(&toy, "out", &[KEEP_GOING])?;
    fs::write(toy.logits("a"), bytes)?;
    toy.run("out", &[KEEP_GOING])?;
    assert!(files(&toy.path("whole"))? == files(&toy.path("out"))?);
    Ok(())
}

#[test]
fn an_interrupted_call_goes_on_without_a_sample() -> Result<()> {
    let toy = Toy::new()?;
    let damage = |id: &str| -> Result<()> {
        let path = toy.logits(id);
        replace_content(&path, &vec![0xFF; fs::read(&path)?.len()])
    };
    damage("b")?;
    finish_without_some(&toy, "whole", &[KEEP_GOING])?;
    toy.check_fails(&["--threads", "1"], &["b.safetensors", KEEP_GOING])?;
    // a sample that is done is not read again
    let first = toy.path("out/in-progress/partial/samples/a");
    assert!(first.exists());
    finish_without_some(&toy, "out", &[KEEP_GOING])?;
    assert!(files(&toy.path("whole"))? == files(&toy.path("out"))?);
    Ok(())
}

#[test]
fn merged_shards_list_what_each_has_left_out() -> Result<()> {
    let toy = Toy::new()?;
    fs::write(toy.logits("c"), "no logits")?;
    finish_without_some(&toy, "whole", &[KEEP_GOING])?;
    finish_without_some(&toy, "0", &["--shard", "0/2", KEEP_GOING])?;
    toy.run("1", &["--shard", "1/2", KEEP_GOING])?;
    let mut merge = merge(&toy, "out", &["0", "1"]);
    assert_eq!(merge.output()?.status.code(), Some(3));
    assert!(files(&toy.path("whole"))? == files(&toy.path("out"))?);
    let [whole, merged] = ["whole", "out"].map(|name| Manifest::read(&toy.path(name)));
    assert_eq!(whole?.counts, merged?.counts);
    Ok(())
}

#[test]
fn without_any_usable_sample_there_is_no_result() -> Result<()> {
    let toy = Toy::new()?;
    for id in ["a", "b", "c"] {
        fs::write(toy.logits(id), "no logits")?;
    }
    toy.check_fails(
        &[KEEP_GOING],
        &["logits of no sample can be used", "a.safetensors"],
    )
}
