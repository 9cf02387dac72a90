//! `oodseg detect` finds in one pass what the stages find one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use artifacts::manifest::Manifest;
use stage_testing::command::{Printed, fail, one_error_line, succeed};
use stage_testing::data::real;
use stage_testing::folder::files;
use tempfile::TempDir;

/// Photos in the folder.
const N_PHOTOS: usize = 5;

fn oodseg(dir: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oodseg"));
    command
        .current_dir(dir)
        .env_remove("OODSEG_THREADS")
        .args(line.split_whitespace());
    command
}

fn call(dir: &Path, line: &str) -> Result<Printed> {
    succeed(&mut oodseg(dir, line))
}

/// Drawn scenes, a network that was trained on a few of them, and a meta classifier.
struct Trained(TempDir);

impl Trained {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for line in [
            "demo-data --scale small --output data",
            "cityscapes-io prepare --dataset cityscapes-train --root data/cityscapes --output train-labels",
            "cityscapes-io prepare --dataset fishyscapes-static --root data/fishyscapes --output labels",
            "ood-train --network enet --ood-weight 0 --labels train-labels --crop 64 --no-dropout --batch-size 8 --steps 60 --learning-rate 4e-3 --output train",
            "seg-model infer --weights train/weights.safetensors --labels labels --output logits",
            "segment-metrics --logits logits --labels labels --threshold 0.6 --output segments",
            "meta-clf fit --segments segments --output meta",
        ] {
            call(dir.path(), line).with_context(|| line.to_owned())?;
        }
        Ok(Self(dir))
    }

    fn get() -> Result<&'static Self> {
        static TRAINED: OnceLock<Option<Trained>> = OnceLock::new();
        let made = TRAINED.get_or_init(|| Self::new().map_err(|error| eprintln!("{error:#}")).ok());
        made.as_ref().context("there is no trained network")
    }

    /// A scratch folder with the network, the model and some photos in `photos`.
    fn scratch(&self) -> Result<TempDir> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("photos"))?;
        for (at, photo) in self.photos()?.iter().take(N_PHOTOS).enumerate() {
            fs::copy(photo, dir.path().join(format!("photos/{at}.png")))?;
        }
        let from = self.0.path();
        fs::copy(
            from.join("train/weights.safetensors"),
            dir.path().join("w.safetensors"),
        )?;
        fs::copy(from.join("meta/model.json"), dir.path().join("model.json"))?;
        Ok(dir)
    }

    fn photos(&self) -> Result<Vec<PathBuf>> {
        let folder = self.0.path().join("data/fishyscapes");
        let mut photos = Vec::new();
        for entry in walk(&folder)? {
            if entry.to_string_lossy().contains("images") {
                photos.push(entry);
            }
        }
        photos.sort();
        ensure!(
            photos.len() > N_PHOTOS,
            "{} photos in {}",
            photos.len(),
            folder.display()
        );
        Ok(photos)
    }
}

/// All files below a folder.
fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(walk(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// The files that `ood-eval detect` writes too.
fn shown(output: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = files(output)?;
    found.retain(|name, _| !name.starts_with("found/") && name != "index.json");
    Ok(found)
}

/// Compares two sets of files by name and content.
fn same(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        other.keys().collect::<Vec<_>>()
    );
    let differs = one
        .iter()
        .find(|(name, bytes)| other.get(*name) != Some(bytes));
    ensure!(
        differs.is_none(),
        "{:?} differs",
        differs.map(|(name, _)| name)
    );
    Ok(())
}

/// Calls the stages one after the other on `photos`; the result is in `stages`.
fn stages(dir: &Path, segments: &str, meta: bool) -> Result<()> {
    call(
        dir,
        "seg-model infer --weights w.safetensors --folder photos --output logits",
    )?;
    call(
        dir,
        &format!("segment-metrics --logits logits --output segments {segments}"),
    )?;
    let mut detect =
        "ood-eval detect --segments segments --logits logits --output stages".to_owned();
    if meta {
        call(
            dir,
            "meta-clf apply --model model.json --segments segments --output meta",
        )?;
        detect += " --meta meta";
    }
    call(dir, &detect)?;
    Ok(())
}

const DETECT: &str = "detect --folder photos --weights w.safetensors --output found";

#[test]
fn files_are_those_of_the_stages_one_after_the_other() -> Result<()> {
    let dir = Trained::get()?.scratch()?;
    stages(dir.path(), "--threshold 0.6", true)?;
    let printed = call(dir.path(), &format!("{DETECT} --meta model.json"))?;
    let summary = format!("{N_PHOTOS} images, {N_PHOTOS} of them new: ");
    ensure!(printed.stdout.starts_with(&summary), "{}", printed.stdout);
    ensure!(
        printed.stdout.trim().ends_with("report.html"),
        "{}",
        printed.stdout
    );
    let (ours, theirs) = (
        shown(&dir.path().join("found"))?,
        shown(&dir.path().join("stages"))?,
    );
    same(&ours, &theirs)?;
    let manifest = Manifest::read(&dir.path().join("found"))?;
    let (kept, rejected) = (
        manifest.counts["kept_segments"],
        manifest.counts["rejected_segments"],
    );
    ensure!(
        kept > 0 && rejected > 0,
        "{kept} kept, {rejected} rejected test nothing"
    );
    assert_eq!(ours.len(), 6 + N_PHOTOS);
    ensure!(
        !walk(dir.path().join("found").as_path())?
            .iter()
            .any(|p| p.ends_with(".safetensors")),
        "logits are stored"
    );
    Ok(())
}

#[test]
fn the_same_holds_without_a_meta_classifier_and_for_small_segments() -> Result<()> {
    let dir = Trained::get()?.scratch()?;
    stages(dir.path(), "--threshold 0.5 --min-size 20", false)?;
    let line = format!("{DETECT} --threshold 0.5 --min-size 20");
    call(dir.path(), &line)?;
    same(
        &shown(&dir.path().join("found"))?,
        &shown(&dir.path().join("stages"))?,
    )
}

#[test]
fn only_new_images_are_looked_at_and_removed_ones_leave() -> Result<()> {
    let dir = Trained::get()?.scratch()?;
    let at = |name: &str| dir.path().join(name);
    let line = format!("{DETECT} --meta model.json");
    call(dir.path(), &line)?;
    let again = call(dir.path(), &line)?;
    ensure!(again.stderr.contains("up to date"), "{}", again.stderr);
    let summary = format!("{N_PHOTOS} images, 0 of them new: ");
    ensure!(again.stdout.starts_with(&summary), "{}", again.stdout);
    ensure!(
        again.stdout.ends_with("\nfound/report.html\n"),
        "{}",
        again.stdout
    );
    // a night without anything to mend
    let quiet = call(dir.path(), &format!("{line} --quiet"))?;
    assert_eq!((quiet.stdout, quiet.stderr), (again.stdout, String::new()));
    fs::copy(at("photos/1.png"), at("photos/new.png"))?;
    fs::remove_file(at("photos/0.png"))?;
    let printed = call(dir.path(), &format!("{line} --quiet"))?;
    assert_eq!(printed.stderr, "");
    let summary = format!("{N_PHOTOS} images, 1 of them new: ");
    ensure!(printed.stdout.starts_with(&summary), "{}", printed.stdout);
    let grown = files(&at("found"))?;
    ensure!(
        !grown.keys().any(|name| name.contains("/0.")),
        "{:?}",
        grown.keys()
    );
    // as if it had been done at once, on one thread
    let mut fresh = oodseg(
        dir.path(),
        &line.replace("--output found", "--output fresh --threads 1"),
    );
    succeed(&mut fresh)?;
    same(&grown, &files(&at("fresh"))?)
}

#[test]
fn damaged_images_end_the_work_or_are_left_out() -> Result<()> {
    let dir = Trained::get()?.scratch()?;
    let photo = dir.path().join("photos/2.png");
    let mut bytes = fs::read(&photo)?;
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(0xA5);
    fs::write(&photo, bytes)?;
    fail(&mut oodseg(dir.path(), DETECT), &["2.png", "--keep-going"])?;
    assert!(!dir.path().join("found/manifest.json").exists());
    // no image at all, and a name that would be markup
    let text = dir.path().join("photos/text<b>.png");
    fs::write(&text, "no image")?;
    let line = format!("{DETECT} --keep-going");
    let left_out = oodseg(dir.path(), &line).output()?;
    let stderr = String::from_utf8(left_out.stderr)?;
    assert_eq!(left_out.status.code(), Some(3), "{stderr}");
    ensure!(
        one_error_line(&stderr)?.contains("failed.csv; the first, 2: "),
        "{stderr}"
    );
    let stdout = String::from_utf8(left_out.stdout)?;
    // the call that ended may have looked at some of them
    ensure!(stdout.starts_with("4 images, "), "{stdout}");
    let summary = stdout.lines().next().context("a summary")?;
    let (_, segments) = summary.split_once(" of them new, ").context("new ones")?;
    ensure!(segments.starts_with("2 more left out: "), "{stdout}");
    let found = dir.path().join("found");
    let page = fs::read_to_string(found.join("report.html"))?;
    ensure!(page.contains("<a href=\"#failed\">2 other images</a> could not be used"));
    ensure!(page.contains("<th scope=\"row\">2</th><td>"));
    ensure!(page.contains("text&lt;b&gt;.png is damaged") && !page.contains("<b>"));
    // it is still left out, and the summary and the path are printed again
    let again = oodseg(dir.path(), &line).output()?;
    assert_eq!(again.status.code(), Some(3));
    let (segments, _) = segments.rsplit_once(", ").context("a speed")?;
    let expected = format!("4 images, 0 of them new, {segments}\nfound/report.html\n");
    assert_eq!(String::from_utf8(again.stdout)?, expected);
    ensure!(fs::read_to_string(found.join("failed.csv"))?.contains("2,"));
    ensure!(!found.join("overlays/2.jpg").exists() && found.join("overlays/1.jpg").exists());
    // mended, it is the only new one
    fs::remove_file(text)?;
    fs::copy(dir.path().join("photos/1.png"), &photo)?;
    let printed = call(dir.path(), &line)?;
    ensure!(
        printed.stdout.starts_with("5 images, 1 of them new"),
        "{}",
        printed.stdout
    );
    ensure!(!found.join("failed.csv").exists());
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_before_any_work() -> Result<()> {
    let dir = Trained::get()?.scratch()?;
    let fails = |more: &str, parts: &[&str]| -> Result<()> {
        fail(&mut oodseg(dir.path(), &format!("{DETECT} {more}")), parts)?;
        ensure!(!dir.path().join("found").exists(), "{more} left something");
        Ok(())
    };
    fails(
        "--meta model.json --threshold 0.7",
        &["model.json does not fit", "the threshold 0.6", "0.7"],
    )?;
    fails("--meta w.safetensors", &["w.safetensors"])?;
    fails(
        "--meta model.json --meta-threshold 2",
        &["--meta-threshold", "2"],
    )?;
    fails("--score energy", &["energy", "--threshold"])?;
    fails("--score adopted", &["adopted", "--score"])?;
    fails("--precision none", &["--precision none"])?;
    let missing = DETECT.replace("w.safetensors", "none.safetensors");
    fail(&mut oodseg(dir.path(), &missing), &["none.safetensors"])?;
    let empty = DETECT.replace("photos", "no-photos");
    fs::create_dir(dir.path().join("no-photos"))?;
    fail(&mut oodseg(dir.path(), &empty), &["no-photos"])?;
    Ok(())
}

#[test]
fn other_flags_are_refused_on_a_finished_output_and_replaced_with_force() -> Result<()> {
    let dir = Trained::get()?.scratch()?;
    call(dir.path(), DETECT)?;
    let before = files(&dir.path().join("found"))?;
    let line = format!("{DETECT} --threshold 0.5");
    fail(
        &mut oodseg(dir.path(), &line),
        &["was finished with", "0.7", "0.5", "--force"],
    )?;
    same(&files(&dir.path().join("found"))?, &before)?;
    call(dir.path(), &format!("{line} --force"))?;
    ensure!(
        files(&dir.path().join("found"))? != before,
        "nothing changed"
    );
    Ok(())
}

#[test]
fn real_photos_give_the_figures_of_the_stages() -> Result<()> {
    let (Some(images), Some(weights)) = (
        real("ood/RoadAnomaly21/images"),
        real("weights/erfnet_dequant_city20.safetensors"),
    ) else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("photos"))?;
    let mut photos = walk(&images)?;
    photos.sort();
    for photo in photos.iter().take(2) {
        let name = photo.file_name().context("a photo without a name")?;
        fs::copy(photo, dir.path().join("photos").join(name))?;
    }
    let import = "seg-model import --classes cityscapes --void last --output w.safetensors";
    succeed(oodseg(dir.path(), import).arg(weights))?;
    let size = "--input-size 512x256";
    call(
        dir.path(),
        &format!("seg-model infer --weights w.safetensors --folder photos --output logits {size}"),
    )?;
    call(
        dir.path(),
        "segment-metrics --logits logits --output segments",
    )?;
    call(
        dir.path(),
        "ood-eval detect --segments segments --logits logits --output stages",
    )?;
    call(dir.path(), &format!("{DETECT} {size}"))?;
    same(
        &shown(&dir.path().join("found"))?,
        &shown(&dir.path().join("stages"))?,
    )
}
