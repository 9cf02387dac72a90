//! The one executable does what the stages' own executables do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use stage_testing::command::{fail, one_error_line, succeed};
use stage_testing::folder::files;

fn oodseg(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oodseg"));
    command.args(arguments).env_remove("OODSEG_THREADS");
    command
}

fn printed(arguments: &[&str]) -> Result<String> {
    Ok(succeed(&mut oodseg(arguments))?.stdout)
}

fn status(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let Output { status, stderr, .. } = oodseg(arguments).output()?;
    Ok((status.code(), String::from_utf8(stderr)?))
}

/// The names of the stages.
const STAGES: [&str; 9] = [
    "demo-data",
    "cityscapes-io",
    "coco-proxy",
    "blend-objects",
    "ood-train",
    "seg-model",
    "segment-metrics",
    "meta-clf",
    "ood-eval",
];

#[test]
fn the_version_says_commit_features_and_target() -> Result<()> {
    let long = printed(&["--version"])?;
    let lines: Vec<&str> = long.lines().collect();
    let [version, features, target] = lines[..] else {
        anyhow::bail!("{long:?} has not three lines");
    };
    let commit = version.strip_prefix(concat!("oodseg ", env!("CARGO_PKG_VERSION"), " ("));
    let commit = commit.and_then(|rest| rest.strip_suffix(')'));
    ensure!(
        commit.is_some_and(|c| c.len() > 8),
        "{version:?} has no commit"
    );
    ensure!(
        features.starts_with("features: -cuda -metal"),
        "{features:?}"
    );
    ensure!(target.starts_with("target: "), "{target:?}");
    assert_eq!(printed(&["-V"])?.trim(), version);
    assert!(printed(&["segment-metrics", "--version"])?.contains(env!("CARGO_PKG_VERSION")));
    Ok(())
}

#[test]
fn every_stage_has_its_own_help() -> Result<()> {
    let all = printed(&["--help"])?;
    for stage in STAGES {
        ensure!(
            all.contains(&format!("  {stage} ")),
            "{stage} is not in {all}"
        );
        let help = printed(&[stage, "--help"])?;
        let usage = format!("Usage: oodseg {stage} ");
        ensure!(help.contains(&usage), "{usage:?} is not in {help}");
        ensure!(help.contains("--threads"), "{help}");
    }
    let usage = printed(&["coco-proxy", "--help"])?;
    ensure!(
        usage.contains("oodseg coco-proxy check [OPTIONS]"),
        "{usage}"
    );
    Ok(())
}

#[test]
fn a_stage_writes_the_same_files_as_ever() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name).display().to_string();
    let printed = printed(&[
        "demo-data",
        "--scale",
        "small",
        "-q",
        "--output",
        &at("one"),
    ])?;
    assert!(printed.contains("drawn images in"), "{printed}");
    let args = ["demo-data", "--scale", "small", "--output", &at("library")];
    demo_data::run(&clap::Parser::try_parse_from(args)?)?;
    let (one, library) = (
        files(Path::new(&at("one")))?,
        files(Path::new(&at("library")))?,
    );
    assert!(one.len() > 50 && one == library);
    Ok(())
}

#[test]
fn exit_statuses_are_those_of_the_stages() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name).display().to_string();
    let logits = at("logits");
    let mut missing = oodseg(&["segment-metrics", "--logits", &logits, "--output", "o"]);
    fail(missing.current_dir(&dir), &["run `seg-model infer`"])?;
    assert_eq!(status(&["segment-metrics", "--logits"])?.0, Some(2));
    assert_eq!(status(&["no-such-stage"])?.0, Some(2));
    assert_eq!(status(&[])?.0, Some(2));
    // one of two images is damaged
    let photos = at("photos");
    fs::create_dir(&photos)?;
    image::RgbImage::new(64, 64).save(format!("{photos}/a.png"))?;
    let picture = fs::read(format!("{photos}/a.png"))?;
    fs::write(format!("{photos}/b.png"), &picture[..picture.len() / 2])?;
    let index = [
        "cityscapes-io",
        "index",
        "--keep-going",
        "--root",
        &photos,
        "--images",
        "{id}.png",
        "--output",
        &at("i"),
    ];
    let (code, stderr) = status(&index)?;
    assert_eq!(code, Some(3), "{stderr}");
    one_error_line(&stderr)?;
    Ok(())
}

#[test]
fn the_old_spelling_of_merge_is_understood() -> Result<()> {
    let (code, stderr) = status(&["segment-metrics", "--merge", "a,b", "--output", "o"])?;
    assert_eq!(code, Some(1));
    ensure!(!stderr.contains("unexpected argument"), "{stderr}");
    ensure!(one_error_line(&stderr)?.contains('a'), "{stderr}");
    ensure!(stderr.contains("--merge is a subcommand now"), "{stderr}");
    Ok(())
}

#[test]
fn completions_know_stages_subcommands_and_flags() -> Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell])?;
        for word in STAGES.into_iter().chain(["infer", "entropy-threshold"]) {
            ensure!(
                script.contains(word),
                "{word} is not in the script for {shell}"
            );
        }
    }
    assert_eq!(status(&["completions", "tcsh"])?.0, Some(2));
    Ok(())
}

/// What bash offers after these words, of which the last one is being typed.
#[cfg(unix)]
fn offered(script: &Path, words: &str) -> Result<Vec<String>> {
    let asked = format!(
        "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         _oodseg oodseg \"${{COMP_WORDS[COMP_CWORD]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let mut bash = Command::new("bash");
    let printed = succeed(bash.args(["--norc", "-c", &asked]))?;
    Ok(printed.stdout.lines().map(str::to_owned).collect())
}

#[cfg(unix)]
#[test]
fn bash_completes_with_the_script() -> Result<()> {
    if Command::new("bash").arg("--version").output().is_err() {
        eprintln!("skipped: there is no bash");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let script = dir.path().join("oodseg.bash");
    fs::write(&script, printed(&["completions", "bash"])?)?;
    assert_eq!(offered(&script, "oodseg segm")?, ["segment-metrics"]);
    assert_eq!(offered(&script, "oodseg seg-model inf")?, ["infer"]);
    assert_eq!(
        offered(&script, "oodseg seg-model infer --wei")?,
        ["--weights"]
    );
    assert_eq!(offered(&script, "oodseg completions f")?, ["fish"]);
    Ok(())
}

#[test]
fn there_is_a_man_page_for_each_stage_and_subcommand() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("man1");
    let at = folder.display().to_string();
    let told = printed(&["man", &at])?;
    let pages = files(&folder)?;
    ensure!(
        told.starts_with(&format!("{} pages in ", pages.len())),
        "{told}"
    );
    for page in [
        "oodseg",
        "oodseg-seg-model-infer",
        "oodseg-segment-metrics-merge",
        "oodseg-completions",
    ] {
        let text = pages.get(&format!("{page}.1"));
        let text = String::from_utf8(text.with_context(|| format!("no {page}.1"))?.clone())?;
        ensure!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{text}"
        );
    }
    ensure!(
        !pages.keys().any(|name| name.contains("help")),
        "{:?}",
        pages.keys()
    );
    // called again it writes the same
    printed(&["man", &at])?;
    assert_eq!(files(&folder)?, pages);
    // a file in the place of the folder
    fs::write(dir.path().join("file"), "")?;
    let file = dir.path().join("file").display().to_string();
    fail(&mut oodseg(&["man", &file]), &["file"])?;
    Ok(())
}
