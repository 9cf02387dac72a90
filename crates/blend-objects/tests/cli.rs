//! Runs the executable on drawn streets and objects.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::index::{Index, ObjectInfo, ProxyInfo, Sample};
use artifacts::labels::{IGNORE, MaskKind};
use artifacts::manifest::{Input, Manifest};
use artifacts::mask::Mask;
use image::{Rgb, RgbImage};
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;
use stage_testing::toy::{sample, stage_output};
use tempfile::TempDir;

const WIDTH: u32 = 200;
const HEIGHT: u32 = 120;

/// Folders `labels` with five streets, and `objects` with a dog, a kite and a dog that its image cuts off.
struct Toy(TempDir);

impl Toy {
    fn new() -> Result<Self> {
        let toy = Self(tempfile::tempdir()?);
        toy.write(
            "labels",
            MaskKind::TrainId,
            &["a", "b", "c", "d", "e"],
            street,
        )?;
        toy.write("objects", MaskKind::Object, &["o"], objects)?;
        Ok(toy)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a data set whose images and masks `draw` gives for the number of the sample.
    fn write(
        &self,
        name: &str,
        kind: MaskKind,
        ids: &[&str],
        draw: fn(u32) -> (RgbImage, Mask, Option<ProxyInfo>),
    ) -> Result<()> {
        let images = self.path(&format!("{name}-images"));
        fs::create_dir_all(&images)?;
        stage_output(&self.path(name), "toy", |dir| {
            let samples = (0..).zip(ids).map(|(number, id)| {
                let (image, mask, proxy) = draw(number);
                image.save(images.join(format!("{id}.png")))?;
                mask.write(&dir.join(format!("{id}.png")))?;
                let file = Some(format!("{id}.png").into());
                Ok(Sample {
                    image_bytes: fs::metadata(images.join(format!("{id}.png")))?.len(),
                    proxy,
                    ..sample(id, image.width(), image.height(), file)
                })
            });
            let samples = samples.collect::<Result<_>>()?;
            let mut index = Index::new("streets", "val", kind, &images, samples)?;
            if kind == MaskKind::TrainId {
                index = index.with_classes(ClassSet::cityscapes()?);
            }
            index.write(dir)
        })
    }

    fn command(&self, output: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blend-objects"));
        command.arg("--labels").arg(self.path("labels"));
        command.arg("--objects").arg(self.path("objects"));
        command.arg("--output").arg(self.path(output));
        command.args(["--object-size", "0.15:0.4"]).args(more);
        command
    }

    fn run(&self, output: &str, more: &[&str]) -> Result<BTreeMap<String, Vec<u8>>> {
        succeed(&mut self.command(output, more))?;
        let mut all = files(&self.path(output))?;
        all.retain(|name, _| !name.ends_with("manifest.json") && !name.ends_with("index.json"));
        Ok(all)
    }

    fn index(&self, name: &str) -> Result<Index> {
        Index::read(&self.path(name))
    }
}

/// A gray road below row 50, a house above it, and void at the bottom.
fn street(number: u32) -> (RgbImage, Mask, Option<ProxyInfo>) {
    let image = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        Rgb([(60 + number * 10 + (x * 7 + y * 13) % 40) as u8; 3])
    });
    let mut mask = Mask::filled(WIDTH as usize, HEIGHT as usize, 0);
    mask.labels[..50 * WIDTH as usize].fill(2);
    mask.labels[114 * WIDTH as usize..].fill(IGNORE);
    (image, mask, None)
}

/// Three objects: a dog, a kite, and a dog at the border.
fn objects(_: u32) -> (RgbImage, Mask, Option<ProxyInfo>) {
    let image = RgbImage::from_fn(240, 100, |x, y| Rgb([220, (x % 200) as u8, (2 * y) as u8]));
    let mut mask = Mask::filled(240, 100, 0);
    let boxes = [
        ("dog", 10, 20, 80, 60),
        ("kite", 100, 10, 60, 60),
        ("dog", 180, 20, 60, 60),
    ];
    let mut infos = Vec::new();
    for (number, (category, left, top, width, height)) in (1..).zip(boxes) {
        for y in top..top + height {
            mask.labels[(y * 240 + left) as usize..][..width as usize].fill(number);
        }
        infos.push(ObjectInfo {
            annotation: number.to_string(),
            category: category.to_owned(),
            area: u64::from(width * height),
            visible: 1.0,
            left,
            top,
            width,
            height,
        });
    }
    let proxy = ProxyInfo {
        ood_fraction: 0.5,
        categories: vec!["dog".to_owned(), "kite".to_owned()],
        license: None,
        objects: infos,
    };
    (image, mask, Some(proxy))
}

/// The rows of `objects.csv` by the names of the columns.
fn records(dir: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    let text = fs::read_to_string(dir.join("objects.csv"))?;
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
    let header: Vec<String> = lines.next().context("a header")?.collect();
    Ok(lines
        .map(|line| header.iter().cloned().zip(line).collect())
        .collect())
}

#[test]
fn objects_are_in_images_masks_and_records() -> Result<()> {
    let toy = Toy::new()?;
    let printed = succeed(&mut toy.command("out", &["--empty-fraction", "0"]))?;
    assert!(
        printed.stderr.contains("2 whole objects: dog 1, kite 1"),
        "{}",
        printed.stderr
    );
    assert!(
        printed.stderr.contains("--held-out-of"),
        "categories could have been seen"
    );
    let (out, known) = (toy.path("out"), toy.path("out/known"));
    let (index, known_index) = (Index::read(&out)?, Index::read(&known)?);
    assert_eq!(
        (index.mask_kind, known_index.mask_kind),
        (MaskKind::Eval, MaskKind::TrainId)
    );
    assert_eq!(
        (index.dataset.as_str(), index.split.as_str()),
        ("streets-blended", "val")
    );
    assert_eq!(known_index.classes()?.name, "cityscapes");
    let records = records(&out)?;
    let labels = toy.index("labels")?;
    let mut categories = std::collections::BTreeSet::new();
    for (sample, known_sample) in index.samples.iter().zip(&known_index.samples) {
        let (image, mask) = (index.read_image(sample)?, index.read_mask(&out, sample)?);
        let known_mask = known_index.read_mask(&known, known_sample)?;
        let number = labels
            .samples
            .iter()
            .position(|s| s.sample_id == sample.sample_id);
        let (before, street, _) = street(number.context("a street")? as u32);
        let of_sample = records
            .iter()
            .filter(|record| record["sample_id"] == sample.sample_id);
        let mut area = 0;
        for record in of_sample {
            area += record["area"].parse::<usize>()?;
            categories.insert(record["category"].clone());
            let feet = record["top"].parse::<u32>()? + record["height"].parse::<u32>()?;
            assert_eq!(record["on_ground"] == "true", record["category"] == "dog");
            assert_eq!(feet > 50, record["category"] == "dog", "{record:?}");
        }
        let n_out: usize = mask
            .labels
            .iter()
            .map(|&label| usize::from(label == 1))
            .sum();
        assert_eq!(n_out, area);
        assert!(area > 50, "{}", sample.sample_id);
        for (at, &label) in mask.labels.iter().enumerate() {
            let expected = if label == 0 {
                street.labels[at]
            } else {
                IGNORE
            };
            assert_eq!(known_mask.labels[at], expected);
        }
        assert!(before.as_raw() != image.as_raw());
        assert_eq!(mask.labels[119 * WIDTH as usize], IGNORE, "void stays void");
    }
    assert_eq!(categories.len(), 2);
    let counts = Manifest::read(&out)?.counts;
    assert_eq!(
        (counts["samples"], counts["objects"]),
        (5, records.len() as u64)
    );
    assert_eq!(Manifest::read(&known)?.stage, "blend-objects");
    Input::of(&known).context("known classes can be an input of other stages")?;
    assert!(image::open(out.join("preview.png"))?.width() > 2 * WIDTH);
    Ok(())
}

#[test]
fn threads_and_interruptions_change_no_byte() -> Result<()> {
    let toy = Toy::new()?;
    let once = toy.run("once", &["--threads", "1"])?;
    assert!(once == toy.run("threads", &["--threads", "3"])?);
    assert!(once != toy.run("seed", &["--seed", "1"])?);
    // an image does not depend on what other images there are
    let few = toy.run("few", &["--limit", "2"])?;
    assert!(few["images/b.png"] == once["images/b.png"] && !few.contains_key("images/c.png"));
    // as if it was killed: a mask is damaged, and the last image is missing
    let out = toy.path("threads");
    let time = |name: &str| Ok::<_, anyhow::Error>(fs::metadata(out.join(name))?.modified()?);
    let before = time("images/a.png")?;
    succeed(&mut toy.command("threads", &[]))?;
    assert_eq!(time("images/a.png")?, before, "nothing to do");
    fs::write(out.join("masks/b.png"), "damaged")?;
    succeed(&mut toy.command("threads", &[]))?;
    let mut again = files(&out)?;
    again.retain(|name, _| once.contains_key(name));
    assert!(once == again);
    Ok(())
}

#[test]
fn numbers_of_images_and_objects_are_as_asked_for() -> Result<()> {
    let toy = Toy::new()?;
    let none = toy.run("none", &["--empty-fraction", "1"])?;
    assert_eq!(records(&toy.path("none"))?.len(), 0);
    let street = toy.path("labels-images/a.png");
    assert_eq!(
        image::open(toy.path("none/images/a.png"))?,
        image::open(street)?
    );
    assert!(none["masks/a.png"].len() > 50);
    let flags = [
        "--copies",
        "3",
        "--max-objects",
        "1",
        "--empty-fraction",
        "0",
        "--preview",
        "0",
    ];
    let copies = toy.run("copies", &flags)?;
    assert_eq!(toy.index("copies")?.samples.len(), 15);
    assert!(copies["images/a-1.png"] != copies["images/a-2.png"]);
    assert!(!copies.contains_key("preview.png"));
    let records = records(&toy.path("copies"))?;
    assert_eq!(records.len(), 15);
    assert!(records.iter().all(|record| record["number"] == "1"));
    toy.run("dogs", &["--categories", "dog", "--empty-fraction", "0"])?;
    let dogs = self::records(&toy.path("dogs"))?;
    assert!(
        dogs.iter()
            .all(|record| record["category"] == "dog" && record["annotation"] == "1")
    );
    Ok(())
}

/// Writes an output of `coco-proxy` that holds out these categories.
fn write_training(toy: &Toy, name: &str, held_out: &[&str]) -> Result<()> {
    stage_output(&toy.path(name), "coco-proxy", |dir| {
        let mut index = toy.index("objects")?;
        index.held_out = held_out.iter().map(ToString::to_string).collect();
        index.samples.clear();
        index.write(dir)
    })
}

#[test]
fn categories_are_those_that_training_holds_out() -> Result<()> {
    let toy = Toy::new()?;
    write_training(&toy, "kites", &["kite"])?;
    write_training(&toy, "both", &["dog", "kite"])?;
    write_training(&toy, "nothing", &[])?;
    let held_out = |names: &[&str]| {
        let paths = names
            .iter()
            .map(|name| toy.path(name).display().to_string());
        paths.collect::<Vec<_>>().join(",")
    };
    toy.run(
        "out",
        &[
            "--held-out-of",
            &held_out(&["kites"]),
            "--empty-fraction",
            "0",
        ],
    )?;
    let records = records(&toy.path("out"))?;
    assert!(!records.is_empty() && records.iter().all(|record| record["category"] == "kite"));
    let fails = |names: &[&str], more: &[&str], words: &[&str]| {
        let dirs = held_out(names);
        let flags = [&["--held-out-of", &dirs], more].concat();
        fail(&mut toy.command("failed", &flags), words)
    };
    fails(
        &["nothing"],
        &[],
        &["nothing holds out no category", "--hold-out"],
    )?;
    fails(
        &["kites", "both"],
        &[],
        &["both holds out other categories than", "kites"],
    )?;
    fails(
        &["kites"],
        &["--categories", "dog"],
        &["--categories names dog", "training shows it"],
    )?;
    Ok(())
}

#[test]
fn wrong_flags_and_inputs_are_one_clear_line() -> Result<()> {
    let toy = Toy::new()?;
    for (flags, words) in [
        (
            &["--empty-fraction", "1.5"][..],
            &["--empty-fraction 1.5 is not from 0 to 1"][..],
        ),
        (
            &["--object-size", "0:0.2"],
            &["--object-size 0:0.2 is not above 0"],
        ),
        (&["--camera-height", "0"], &["--camera-height 0"]),
        (&["--copies", "0"], &["--copies 0 is not in 1..=1000"]),
        (
            &["--categories", "horse"],
            &["--categories names \"horse\"", "dog, kite"],
        ),
        (
            &["--ground", "floor"],
            &["--ground names \"floor\"", "road, sidewalk"],
        ),
        (
            &["--horizon", "0.95", "--categories", "dog"],
            &["no object found a place", "--horizon"],
        ),
    ] {
        let mut flags = flags.to_vec();
        flags.push("--force");
        let mut command = toy.command("out", &[]);
        // the last one of a flag counts
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let keep = if flags[0] == "--object-size" {
            6
        } else {
            arguments.len()
        };
        command = Command::new(env!("CARGO_BIN_EXE_blend-objects"));
        command.args(&arguments[..keep]).args(&flags);
        fail(&mut command, words)?;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_blend-objects"));
    for (flag, name) in [
        ("--labels", "objects"),
        ("--objects", "objects"),
        ("--output", "out"),
    ] {
        command.arg(flag).arg(toy.path(name));
    }
    fail(&mut command, &["holds Object masks", "train ids"])?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_blend-objects"));
    for (flag, name) in [
        ("--labels", "labels"),
        ("--objects", "labels"),
        ("--output", "out"),
    ] {
        command.arg(flag).arg(toy.path(name));
    }
    fail(
        &mut command,
        &["labels holds TrainId masks", "coco-proxy --objects"],
    )?;
    Ok(())
}

#[test]
fn an_image_that_fails_is_left_out_if_asked_for() -> Result<()> {
    let toy = Toy::new()?;
    let image = toy.path("labels-images/c.png");
    let bytes = fs::read(&image)?;
    fs::write(&image, &bytes[..bytes.len() / 2])?;
    fail(
        &mut toy.command("out", &[]),
        &["c.png", "prepare the data set again"],
    )?;
    let output = toy.command("out", &["--keep-going"]).output()?;
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(toy.index("out")?.samples.len(), 4);
    let failed = fs::read_to_string(toy.path("out/failed.csv"))?;
    assert!(
        failed
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("c,")),
        "{failed}"
    );
    Ok(())
}
