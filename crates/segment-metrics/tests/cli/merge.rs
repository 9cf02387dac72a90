//! `merge`: what shards become, and which folders are refused.

use std::fs;
use std::process::Command;

use anyhow::Result;
use artifacts::manifest::Manifest;
use artifacts::mask::Mask;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;

use crate::toy::{HEIGHT, Toy, WIDTH, executable};

/// The command that merges some folders into `output`.
pub(crate) fn merge(toy: &Toy, output: &str, shards: &[&str]) -> Command {
    let mut command = executable();
    command
        .arg("merge")
        .arg("--output")
        .arg(toy.path(output))
        .args(shards.iter().map(|shard| toy.path(shard)));
    command
}

/// The same command as it was spelled before there were subcommands.
fn old_merge(toy: &Toy, output: &str, shards: &[&str]) -> Command {
    let shards = shards.iter().map(|shard| toy.path(shard));
    let shards: Vec<_> = shards.map(|s| s.to_string_lossy().into_owned()).collect();
    let mut command = executable();
    command
        .arg("--merge")
        .arg(shards.join(","))
        .arg("--output")
        .arg(toy.path(output));
    command
}

#[test]
fn merged_shards_are_what_one_call_writes() -> Result<()> {
    let toy = Toy::new()?;
    let additional = ["--thresholds", "0.25,0.9", "--compat-names"];
    for more in [&[][..], &["--skip-without-ood"], &additional] {
        let with = |output: &str, shard: &str| {
            toy.run(output, &[&["--shard", shard, "--force"], more].concat())
        };
        with("whole", "0/1")?;
        for i in 0..3 {
            with(&format!("{i}"), &format!("{i}/3"))?;
        }
        for i in 0..2 {
            with(&format!("half{i}"), &format!("{i}/2"))?;
        }
        for shards in [&["2", "0", "1"][..], &["half1", "half0"], &["whole"]] {
            succeed(merge(&toy, "merged", shards).arg("--force"))?;
            let whole = files(&toy.path("whole"))?;
            let is_additional = more == additional;
            assert_eq!(
                whole.contains_key("thresholds/0.9/segments.parquet"),
                is_additional
            );
            assert_eq!(whole.contains_key("reference_segments.csv"), is_additional);
            assert!(whole == files(&toy.path("merged"))?, "{shards:?}");
            let manifests = (
                Manifest::read(&toy.path("whole"))?,
                Manifest::read(&toy.path("merged"))?,
            );
            assert!(manifests.0.same_work(&manifests.1));
            assert_eq!(manifests.0.arguments, manifests.1.arguments);
            assert_eq!(manifests.0.counts, manifests.1.counts);
        }
        // so that measuring everything has nothing left to do
        let done = succeed(&mut toy.command("merged", more))?.stderr;
        assert!(done.contains("merged is up to date"), "{done}");
    }
    Ok(())
}

#[test]
fn shards_that_do_not_fit_are_named() -> Result<()> {
    let toy = Toy::new()?;
    for i in 0..3 {
        toy.run(&format!("s{i}"), &["--shard", &format!("{i}/3")])?;
    }
    toy.run("again", &["--shard", "1/3"])?;
    toy.run("of_two", &["--shard", "1/2"])?;
    toy.run("other", &["--shard", "2/3", "--min-size", "2"])?;
    toy.run("limited", &["--shard", "2/3", "--limit", "1"])?;
    fs::create_dir(toy.path("unfinished"))?;
    let check = |shards: &[&str], words: &[&str]| -> Result<()> {
        fail(&mut merge(&toy, "out", shards), words)?;
        assert!(!toy.path("out").exists());
        Ok(())
    };
    check(&["s0", "s2"], &["shard 1/3 is missing", "s0"])?;
    check(&["s0"], &["shard 1/3, 2/3 is missing"])?;
    check(
        &["s0", "s1", "s2", "again"],
        &["s1", "again", "both shard 1/3"],
    )?;
    check(&["s0", "of_two", "s2"], &["of_two", "1/2", "0/3"])?;
    check(
        &["s0", "s1", "other"],
        &["other was made with other arguments"],
    )?;
    check(&["s0", "s1", "limited"], &["limited", "--limit"])?;
    check(
        &["s0", "s1", "unfinished"],
        &["unfinished is not the output of a finished stage"],
    )?;
    check(&["s0", "s1", "labels"], &["labels", "written by `toy`"])?;
    for force in [&[][..], &["--force"]] {
        let mut into_shard = merge(&toy, "s0", &["s0", "s1", "s2"]);
        fail(into_shard.args(force), &["s0 is also read"])?;
    }
    assert!(toy.path("s0/manifest.json").exists());

    Mask::filled(WIDTH, HEIGHT, 1).write(&toy.path("region.png"))?;
    let region = toy.path("region.png").to_string_lossy().into_owned();
    let with_region = ["--shard", "2/3", "--region", region.as_str()];
    let replaced = succeed(&mut toy.command("s2", &with_region))?.stderr;
    assert!(
        replaced.contains("replacing the result in") && replaced.contains("no --region"),
        "{replaced}"
    );
    let other_shard = ["--shard", "1/3", "--region", region.as_str()];
    let words = ["--shard 2/3, asked for 1/3", "replace it with --force"];
    fail(&mut toy.command("s2", &other_shard), &words)?;
    check(&["s0", "s1", "s2"], &["s2 was made with other inputs"])
}

#[test]
fn the_old_spelling_works_and_names_the_new_one() -> Result<()> {
    let toy = Toy::new()?;
    for i in 0..2 {
        toy.run(&format!("{i}"), &["--shard", &format!("{i}/2")])?;
    }
    let note = "--merge is a subcommand now: segment-metrics merge --output DIR DIR...";
    let new = succeed(&mut merge(&toy, "new", &["0", "1"]))?;
    assert!(!new.stderr.contains(note), "{}", new.stderr);
    let old = succeed(&mut old_merge(&toy, "old", &["0", "1"]))?;
    assert!(old.stderr.contains(note), "{}", old.stderr);
    assert_eq!(old.stdout, new.stdout);
    assert!(files(&toy.path("old"))? == files(&toy.path("new"))?);
    Ok(())
}

#[test]
fn merging_takes_no_flags_of_measuring() -> Result<()> {
    let toy = Toy::new()?;
    let check = |command: &mut Command, words: &str| -> Result<()> {
        let output = command.output()?;
        let text = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(words), "{words:?} is not in: {text}");
        Ok(())
    };
    for flag in [
        &["--logits", "x"][..],
        &["--region", "x"],
        &["--compat-names"],
        &["--entropy-threshold", "0.5"],
        &["--thresholds", "0.5"],
        &["--score", "energy"],
        &["--track", "obstacle"],
        &["--min-size", "1"],
        &["--min-object-size", "1"],
        &["--skip-without-ood"],
        &["--shard", "0/2"],
        &["--limit", "1"],
    ] {
        for mut command in [merge, old_merge].map(|merge| merge(&toy, "out", &["0", "1"])) {
            check(command.args(flag), "unexpected argument")?;
        }
    }
    check(&mut merge(&toy, "out", &[]), "<DIR>")?;
    check(&mut executable(), "--logits")?;
    check(executable().args(["--output", "x"]), "--logits")?;
    Ok(())
}
