//! `infer --merge`: shards become what one call writes.

mod common;

use std::fs;

use anyhow::Result;
use artifacts::manifest::Manifest;
use common::{Toy, infer_folder};
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;

#[test]
fn merged_shards_are_what_one_call_writes() -> Result<()> {
    let toy = Toy::new()?;
    for more in [&[][..], &["--save-overlay"]] {
        let call = |output: &str, flags: &[&str]| {
            let flags = [flags, more, &["--force"]].concat();
            succeed(&mut toy.infer(output, &flags))
        };
        call("whole", &[])?;
        for i in 0..3 {
            call(&format!("{i}"), &["--shard", &format!("{i}/3")])?;
        }
        let shards = [2, 0, 1].map(|i| toy.path(&i.to_string()).display().to_string());
        call("merged", &["--merge", &shards.join(",")])?;
        let whole = files(&toy.path("whole"))?;
        assert!(whole.len() > 4 && whole == files(&toy.path("merged"))?);
        let manifests = ["whole", "merged"].map(|name| Manifest::read(&toy.path(name)));
        let [whole, merged] = manifests;
        let (whole, merged) = (whole?, merged?);
        assert!(whole.same_work(&merged));
        assert_eq!(whole.counts, merged.counts);
        assert_eq!(whole.files, merged.files);
        // nothing was computed again: the files are those of the shards
        let done = succeed(&mut toy.infer("merged", more))?.stderr;
        assert!(done.contains("merged is up to date"), "{done}");
    }
    Ok(())
}

#[test]
fn images_of_a_folder_are_merged_too() -> Result<()> {
    let toy = Toy::new()?;
    succeed(&mut infer_folder(&toy, "images", "whole", &[]))?;
    for i in 0..2 {
        let shard = format!("{i}/2");
        succeed(&mut infer_folder(
            &toy,
            "images",
            &format!("{i}"),
            &["--shard", &shard],
        ))?;
    }
    let shards = format!("{},{}", toy.path("0").display(), toy.path("1").display());
    succeed(&mut infer_folder(
        &toy,
        "images",
        "merged",
        &["--merge", &shards],
    ))?;
    assert!(files(&toy.path("whole"))? == files(&toy.path("merged"))?);
    Ok(())
}

#[test]
fn shards_of_another_call_are_refused() -> Result<()> {
    let toy = Toy::new()?;
    for i in 0..2 {
        succeed(&mut toy.infer(&format!("{i}"), &["--shard", &format!("{i}/2")]))?;
    }
    let path = |name: &str| toy.path(name).display().to_string();
    let both = format!("{},{}", path("0"), path("1"));
    let refused = |flags: &[&str], words: &[&str]| {
        let error = fail(&mut toy.infer("out", flags), words);
        assert!(!toy.path("out/manifest.json").exists());
        error
    };
    refused(&["--merge", &path("1")], &["shard 0/2 is missing"])?;
    refused(
        &["--merge", &both, "--precision", "f32"],
        &["other arguments", "run the shards again"],
    )?;
    let usage = toy
        .infer("out", &["--merge", &both, "--shard", "0/2"])
        .output()?;
    assert!(!usage.status.success());
    assert!(String::from_utf8(usage.stderr)?.contains("cannot be used with '--shard"));
    refused(&["--merge", &path("labels")], &["labels"])?;
    // a file that was damaged afterwards
    fs::write(toy.path("1/b.safetensors"), "short")?;
    refused(
        &["--merge", &both],
        &["b.safetensors", "missing or damaged", "1/2"],
    )?;
    Ok(())
}
