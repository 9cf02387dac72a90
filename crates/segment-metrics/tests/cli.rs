//! The executable on tiny samples: its tables, and what it says of unusable inputs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::logits::{Logits, LogitsInfo, Precision};
use artifacts::manifest::Manifest;
use artifacts::mask::{ComponentMap, Mask};
use artifacts::score::Score;
use artifacts::stage_dir::{Opened, StageDir};
use artifacts::tables::{read_table, schema};
use artifacts::track::{Threshold, Track};
use assert_cmd::Command;
use tempfile::TempDir;

const WIDTH: usize = 12;
const HEIGHT: usize = 8;
const CLASSES: usize = 3;

/// Labels and logits of the samples `a` (an object), `b` (none) and `c` (an object).
struct Toy(TempDir);

impl Toy {
    fn new() -> Result<Self> {
        let toy = Self(tempfile::tempdir()?);
        toy.write_labels(MaskKind::Eval)?;
        finished(&toy.path("logits"), |dir| {
            for id in ["a", "b", "c"] {
                logits(id, HEIGHT, WIDTH)?.write(&dir.join(file_name(id)), Precision::F16)?;
            }
            Ok(())
        })?;
        Ok(toy)
    }

    fn write_labels(&self, kind: MaskKind) -> Result<()> {
        finished(&self.path("labels"), |dir| {
            fs::create_dir_all(dir.join("masks"))?;
            let mut samples = Vec::new();
            for id in ["a", "b", "c"] {
                let mask = PathBuf::from(format!("masks/{id}.png"));
                labels(id).write(&dir.join(&mask))?;
                samples.push(sample(id, mask));
            }
            Index::new("toy", "val", kind, Path::new("/nowhere"), samples)?.write(dir)
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, output: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segment-metrics"));
        command
            .arg("--logits")
            .arg(self.path("logits"))
            .arg("--labels")
            .arg(self.path("labels"))
            .arg("--output")
            .arg(self.path(output))
            .args(more)
            .env_remove("OODSEG_THREADS");
        command
    }

    /// Runs and expects failure with one line on stderr that has all `words`, and no complete output.
    fn check_fails(&self, more: &[&str], words: &[&str]) -> Result<()> {
        let output = self.command("out", more).arg("--quiet").output()?;
        let text = String::from_utf8(output.stderr)?;
        assert!(!output.status.success(), "should have failed");
        assert_eq!(text.lines().count(), 1, "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        let out = self.path("out");
        assert!(!out.join("manifest.json").exists());
        assert!(!out.join("segments.parquet").exists());
        Ok(())
    }
}

/// Makes a folder look like the output of a stage.
fn finished(dir: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    match StageDir::open(dir, "toy", &(), &[], true)? {
        Opened::Work(stage) => {
            fill(stage.path())?;
            stage.finish(&[]).map(|_| ())
        }
        Opened::Done(_) => Ok(()),
    }
}

fn file_name(id: &str) -> String {
    format!("{id}.safetensors")
}

fn sample(id: &str, mask: PathBuf) -> Sample {
    Sample {
        sample_id: id.into(),
        image: format!("{id}.png").into(),
        image_bytes: 1,
        image_width: WIDTH as u32,
        image_height: HEIGHT as u32,
        mask: Some(mask),
        mask_blake3: None,
        width: WIDTH as u32,
        height: HEIGHT as u32,
        proxy: None,
    }
}

/// Void in the first row; in `a` and `c` an object of 2x3 pixels from row 2, column 2.
fn labels(id: &str) -> Mask {
    let mut mask = Mask::filled(WIDTH, HEIGHT, 0);
    mask.labels[..WIDTH].fill(255);
    if id != "b" {
        for y in 2..4 {
            mask.labels[y * WIDTH + 2..][..3].fill(1);
        }
    }
    mask
}

/// Certain of class 1, but uniform at rows 2 to 3 and columns 3 to 6, and at row 6, column 9.
fn logits(id: &str, height: usize, width: usize) -> Result<Logits> {
    let info = LogitsInfo {
        sample_id: id.into(),
        network: "toy".into(),
        output_height: height,
        output_width: width,
        align_corners: false,
        num_classes: CLASSES,
    };
    let mut values = vec![0.0; CLASSES * height * width];
    for (at, value) in values[height * width..2 * height * width]
        .iter_mut()
        .enumerate()
    {
        let (y, x) = (at / width, at % width);
        let is_uniform = ((2..4).contains(&y) && (3..7).contains(&x)) || (y, x) == (6, 9);
        *value = if is_uniform { 0.0 } else { 12.0 };
    }
    Logits::new(info, [CLASSES, height, width], values)
}

/// All files but the manifest, which has the duration.
fn files(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if !path.ends_with("manifest.json") {
            found.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(found)
}

fn relative_files(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let strip = |(path, bytes): (PathBuf, _)| Ok((path.strip_prefix(dir)?.to_owned(), bytes));
    files(dir)?.into_iter().map(strip).collect()
}

#[test]
fn tables_of_a_tiny_run() -> Result<()> {
    let toy = Toy::new()?;
    let stdout = toy.command("out", &[]).output()?.stdout;
    let text = String::from_utf8(stdout)?;
    for line in [
        "segments: 6",
        "false_positives: 4",
        "objects: 2",
        "samples: 3",
        "skipped: 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{text}");
    }
    let out = toy.path("out");
    assert_eq!(Manifest::read(&out)?.counts["segments"], 6);
    assert!(!out.join("partial").exists());
    let map = ComponentMap::read(&out.join("components/a.png"))?;
    assert_eq!((map.width, map.height), (WIDTH, HEIGHT));
    assert_eq!(map.ids[2 * WIDTH + 3], 1);
    assert_eq!(map.ids[6 * WIDTH + 9], 2);
    assert_eq!(map.ids.iter().filter(|&&id| id > 0).count(), 9);

    let table = schema::segments(CLASSES);
    let segments = read_table(&out.join(table.file_name()), &table)?;
    let float = |name: &str| -> Result<Vec<f64>> {
        Ok(segments.column(name)?.f64()?.into_no_null_iter().collect())
    };
    let ids: Vec<_> = segments
        .column("sample_id")?
        .str()?
        .iter()
        .flatten()
        .collect();
    assert_eq!(ids, ["a", "a", "b", "b", "c", "c"]);
    // 4 of 8 pixels are on the object of 6, so that the union is 10
    assert_eq!(float("adjusted_iou")?, [0.4, 0.0, 0.0, 0.0, 0.4, 0.0]);
    assert_eq!(float("size")?, [8.0, 1.0, 8.0, 1.0, 8.0, 1.0]);
    assert_eq!(float("neighbor_class_01")?, [1.0; 6]);
    assert_eq!(float("centroid_col")?[0], 4.5);
    for mean in float("entropy_mean")? {
        assert!((mean - 1.0).abs() < 1e-6, "{mean}");
    }

    let table = schema::objects();
    let objects = read_table(&out.join(table.file_name()), &table)?;
    let recall: Vec<_> = objects
        .column("recall")?
        .f64()?
        .into_no_null_iter()
        .collect();
    assert_eq!(recall, [4.0 / 6.0; 2]);
    let table = schema::overlaps();
    let overlaps = read_table(&out.join(table.file_name()), &table)?;
    let shared: Vec<_> = overlaps
        .column("n_pixels")?
        .u64()?
        .into_no_null_iter()
        .collect();
    assert_eq!(shared, [4, 4]);
    let table = schema::samples();
    let samples = read_table(&out.join(table.file_name()), &table)?;
    let n_in: Vec<_> = samples.column("n_in")?.u64()?.into_no_null_iter().collect();
    assert_eq!(n_in, [78, 84, 78]);
    for (name, expected) in [("height", HEIGHT), ("width", WIDTH)] {
        let column = samples.column(name)?.u32()?;
        assert!(
            column.into_no_null_iter().eq([expected as u32; 3]),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn pixel_counts_add_up_and_are_sorted() -> Result<()> {
    let toy = Toy::new()?;
    toy.command("out", &["-q"]).assert().success();
    let table = schema::pixel_counts();
    let counts = read_table(&toy.path("out").join(table.file_name()), &table)?;
    let scores: Vec<_> = counts.column("score")?.str()?.iter().flatten().collect();
    let has_ood: Vec<_> = counts.column("has_ood")?.bool()?.iter().flatten().collect();
    let bins: Vec<_> = counts.column("bin")?.u32()?.into_no_null_iter().collect();
    let n_in: Vec<_> = counts.column("n_in")?.u64()?.into_no_null_iter().collect();
    let n_out: Vec<_> = counts.column("n_out")?.u64()?.into_no_null_iter().collect();
    let keys: Vec<_> = (0..bins.len())
        .map(|i| (scores[i], has_ood[i], bins[i]))
        .collect();
    assert!(keys.is_sorted());
    let mut sums: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for i in 0..bins.len() {
        let sum = sums.entry((scores[i], has_ood[i])).or_default();
        *sum = (sum.0 + n_in[i], sum.1 + n_out[i]);
    }
    for score in ["energy", "entropy", "margin", "max_logit", "max_softmax"] {
        assert_eq!(sums[&(score, true)], (156, 12));
        assert_eq!(sums[&(score, false)], (84, 0));
    }
    assert_eq!(sums.len(), 10);
    Ok(())
}

#[test]
fn options_choose_samples_and_segments() -> Result<()> {
    let toy = Toy::new()?;
    let check = |name: &str, options: &[&str], line: &str| -> Result<()> {
        let stdout = toy.command(name, options).output()?.stdout;
        let text = String::from_utf8(stdout)?;
        assert!(text.lines().any(|l| l == line), "{options:?}: {text}");
        Ok(())
    };
    check("size", &["--min-size", "2"], "segments: 3")?;
    check("skip", &["--skip-without-ood"], "segments: 4")?;
    check("shard", &["--shard", "1/2"], "samples: 1")?;
    check("limit", &["--limit", "2"], "samples: 2")?;
    check("none", &["--entropy-threshold", "1.5"], "segments: 0")?;
    let only_b = ["--shard", "1/2", "--skip-without-ood"];
    check("empty", &only_b, "samples: 0")?;
    let energy = ["--score", "energy", "--entropy-threshold", "-5"];
    check("energy", &energy, "segments: 6")?;
    let mut region = Mask::filled(WIDTH, HEIGHT, 1);
    region.labels[6 * WIDTH..7 * WIDTH].fill(0);
    let path = toy.path("region.png");
    region.write(&path)?;
    let inside = ["--region", &path.to_string_lossy()];
    check("region", &inside, "segments: 3")?;
    Mask::filled(1, 1, 1).write(&path)?;
    toy.check_fails(&inside, &["--region has 1x1 pixels"])
}

#[test]
fn further_thresholds_have_the_tables_of_calls_of_their_own() -> Result<()> {
    let toy = Toy::new()?;
    toy.command("plain", &[]).assert().success();
    let many = ["--thresholds", "0.25,1.5"];
    toy.command("many", &many).assert().success();
    let many = relative_files(&toy.path("many"))?;
    for (name, bytes) in relative_files(&toy.path("plain"))? {
        assert!(many[&name] == bytes, "{}", name.display());
    }
    for threshold in ["0.25", "1.5"] {
        let alone = ["--entropy-threshold", threshold];
        toy.command(threshold, &alone).assert().success();
        let alone = relative_files(&toy.path(threshold))?;
        for table in ["segments", "objects", "overlaps", "samples"] {
            let name = PathBuf::from(format!("{table}.parquet"));
            let further = Path::new("thresholds").join(threshold).join(&name);
            assert!(
                many[&further] == alone[&name],
                "{table} at the threshold {threshold}"
            );
        }
    }
    toy.check_fails(&["--thresholds", "0.5,0.50"], &["0.5 twice"])?;
    toy.check_fails(&["--thresholds", "NaN"], &["--thresholds", "no number"])
}

#[test]
fn one_and_three_threads_write_the_same_bytes() -> Result<()> {
    let toy = Toy::new()?;
    toy.command("one", &["--threads", "1"]).assert().success();
    toy.command("three", &["--threads", "3"]).assert().success();
    let one = relative_files(&toy.path("one"))?;
    assert_eq!(one.len(), 9, "{:?}", one.keys());
    assert!(one == relative_files(&toy.path("three"))?);
    Ok(())
}

#[test]
fn histograms_of_images_add_up_to_those_of_all() -> Result<()> {
    let toy = Toy::new()?;
    toy.command("out", &[]).assert().success();
    let read = |t: schema::Table| read_table(&toy.path("out").join(t.file_name()), &t);
    let (pooled, images) = (
        read(schema::pixel_counts())?,
        read(schema::sample_pixels())?,
    );
    assert_eq!(images.height(), 3 * 5);
    let mut expected: BTreeMap<(String, u32), [u64; 2]> = BTreeMap::new();
    for row in 0..pooled.height() {
        let score = pooled.column("score")?.str()?.get(row).context("score")?;
        let bin = pooled.column("bin")?.u32()?.get(row).context("bin")?;
        let sums = expected.entry((score.to_owned(), bin / 512)).or_default();
        for (sum, name) in sums.iter_mut().zip(["n_in", "n_out"]) {
            *sum += pooled.column(name)?.u64()?.get(row).context("count")?;
        }
    }
    let mut found: BTreeMap<(String, u32), [u64; 2]> = BTreeMap::new();
    for row in 0..images.height() {
        let text = |name: &str| -> Result<String> {
            let value = images.column(name)?.str()?.get(row);
            Ok(value.context("a text")?.to_owned())
        };
        let list = |name: &str| -> Result<_> {
            let list = images.column(name)?.list()?.get_as_series(row);
            list.context("a list")
        };
        let bins = list("coarse_bins")?;
        for (i, name) in ["bins_in", "bins_out"].into_iter().enumerate() {
            for (bin, n) in bins.u32()?.iter().zip(list(name)?.u64()?.iter()) {
                let key = (text("score")?, bin.context("bin")?);
                found.entry(key).or_default()[i] += n.context("count")?;
            }
        }
        for name in ["auroc", "auprc", "fpr95"] {
            let figure = images.column(name)?.f64()?.get(row);
            // sample b has no object
            assert_eq!(figure.is_none(), text("sample_id")? == "b", "{name}");
        }
    }
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn an_interrupted_run_goes_on() -> Result<()> {
    let toy = Toy::new()?;
    toy.command("whole", &[]).assert().success();
    let file = toy.path("logits").join(file_name("c"));
    let bytes = fs::read(&file)?;
    fs::write(&file, &bytes[..bytes.len() / 2])?;
    toy.check_fails(&["--threads", "1"], &["c.safetensors", "seg-model infer"])?;
    assert!(toy.path("out/partial/samples/a/samples.parquet").exists());
    assert!(!toy.path("out/partial/samples/c").exists());
    fs::write(&file, bytes)?;
    // a sample that is done is not read again
    fs::write(toy.path("logits").join(file_name("b")), "damaged")?;
    toy.command("out", &[]).assert().success();
    assert!(relative_files(&toy.path("whole"))? == relative_files(&toy.path("out"))?);
    let done = toy.command("out", &[]).assert().success();
    let text = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(text.contains("complete already"), "{text}");
    Ok(())
}

#[test]
fn an_interrupted_run_with_further_thresholds_goes_on() -> Result<()> {
    let toy = Toy::new()?;
    let options = ["--thresholds", "0.25,0.9", "--compat-names"];
    toy.command("whole", &options).assert().success();
    let file = toy.path("logits").join(file_name("c"));
    let bytes = fs::read(&file)?;
    fs::write(&file, &bytes[..bytes.len() / 2])?;
    let one_thread = [&options[..], &["--threads", "1"]].concat();
    toy.check_fails(&one_thread, &["c.safetensors"])?;
    let of_sample = toy.path("out/partial/samples/a/thresholds/0.25");
    assert!(of_sample.join("samples.parquet").exists());
    fs::write(&file, bytes)?;
    // a sample that is done is not read again
    fs::write(toy.path("logits").join(file_name("b")), "damaged")?;
    toy.command("out", &options).assert().success();
    let found = relative_files(&toy.path("out"))?;
    assert!(found.contains_key(Path::new("thresholds/0.9/segments.parquet")));
    assert!(found == relative_files(&toy.path("whole"))?);
    Ok(())
}

#[test]
fn whole_images_may_be_flagged_and_no_object_be_anywhere() -> Result<()> {
    let toy = Toy::new()?;
    for id in ["a", "b", "c"] {
        let path = toy.path("labels/masks").join(format!("{id}.png"));
        Mask::filled(WIDTH, HEIGHT, 0).write(&path)?;
    }
    let all = ["--entropy-threshold", "-1"];
    toy.command("out", &all).assert().success();
    let table = schema::segments(CLASSES);
    let segments = read_table(&toy.path("out").join(table.file_name()), &table)?;
    assert_eq!(segments.height(), 3, "one segment an image");
    let values = |name: &str| -> Result<Vec<f64>> {
        Ok(segments.column(name)?.f64()?.into_no_null_iter().collect())
    };
    let size = (WIDTH * HEIGHT) as f64;
    assert_eq!(values("size")?, [size; 3]);
    // no boundary: relative sizes divide by 1, and there is nothing to average
    assert_eq!(values("size_boundary")?, [0.0; 3]);
    assert_eq!(values("size_rel")?, [size; 3]);
    assert_eq!(values("entropy_mean_boundary")?, [0.0; 3]);
    assert_eq!(values("neighbor_class_01")?, [0.0; 3]);
    let is_wrong = segments.column("is_false_positive")?.bool()?;
    assert!(is_wrong.iter().all(|wrong| wrong == Some(true)));
    let table = schema::objects();
    let objects = read_table(&toy.path("out").join(table.file_name()), &table)?;
    assert_eq!(objects.height(), 0);
    Ok(())
}

#[test]
fn logits_that_are_no_numbers_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let file = toy.path("logits").join(file_name("b"));
    let mut bytes = fs::read(&file)?;
    let last = bytes.len() - 2;
    bytes[last..].copy_from_slice(&half::f16::NAN.to_le_bytes());
    fs::write(&file, bytes)?;
    toy.check_fails(
        &[],
        &["b.safetensors", "channel 2, row 7, column 11", "NaN"],
    )
}

#[test]
fn missing_and_foreign_logits_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let file = toy.path("logits").join(file_name("b"));
    logits("other", HEIGHT, WIDTH)?.write(&file, Precision::F32)?;
    toy.check_fails(&[], &["b.safetensors", "logits of other"])?;
    logits("b", HEIGHT, WIDTH + 1)?.write(&file, Precision::F32)?;
    toy.check_fails(&[], &["b.safetensors", "13x8", "12x8"])?;
    let mut two_classes = logits("b", HEIGHT, WIDTH)?;
    two_classes.info.num_classes = 2;
    two_classes.write(&file, Precision::F32)?;
    toy.check_fails(&[], &["b.safetensors", "2 classes"])?;
    fs::remove_file(&file)?;
    toy.check_fails(&[], &["b.safetensors", "does not exist", "seg-model infer"])?;
    fs::remove_file(toy.path("logits/manifest.json"))?;
    toy.check_fails(&["--limit", "1"], &["--logits", "did not finish"])
}

#[test]
fn unusable_labels_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let mask = toy.path("labels/masks/c.png");
    Mask::filled(WIDTH, HEIGHT, 7).write(&mask)?;
    toy.check_fails(&[], &["masks/c.png", "value 7"])?;
    Mask::filled(HEIGHT, WIDTH, 0).write(&mask)?;
    toy.check_fails(&[], &["masks/c.png", "8x12", "12x8"])?;
    let bytes = fs::read(toy.path("labels/masks/a.png"))?;
    fs::write(&mask, &bytes[..bytes.len() / 2])?;
    toy.check_fails(&[], &["masks/c.png"])?;
    toy.write_labels(MaskKind::TrainId)?;
    toy.check_fails(&[], &["labels", "TrainId", "Eval"])?;
    fs::remove_file(toy.path("labels/index.json")).context("there was an index")?;
    toy.check_fails(&[], &["index.json", "cityscapes-io prepare"])
}

/// Makes `a` the only sample, of another size and all in-distribution.
fn one_sample(toy: &Toy, width: usize, height: usize) -> Result<()> {
    finished(&toy.path("labels"), |dir| {
        Mask::filled(width, height, 0).write(&dir.join("a.png"))?;
        let mut sample = sample("a", "a.png".into());
        (sample.width, sample.height) = (width as u32, height as u32);
        let folder = Path::new("/nowhere");
        Index::new("toy", "val", MaskKind::Eval, folder, vec![sample])?.write(dir)
    })
}

/// The reference numbers rows and columns with 16 bits; ours are as many as an image can have.
#[test]
fn sides_may_be_longer_than_65535() -> Result<()> {
    let toy = Toy::new()?;
    for (width, height) in [(70_001, 2), (2, 70_001)] {
        one_sample(&toy, width, height)?;
        let long = logits("a", height, width)?;
        let is_flagged = |i: usize| i == width * height - 1;
        let values = (0..CLASSES * width * height).map(|i| {
            let is_certain = i < width * height && !is_flagged(i);
            if is_certain { 12.0 } else { 0.0 }
        });
        let long = Logits::new(long.info, [CLASSES, height, width], values.collect())?;
        long.write(&toy.path("logits").join(file_name("a")), Precision::F16)?;
        toy.command("out", &["--force"]).assert().success();
        let table = schema::segments(CLASSES);
        let segments = read_table(&toy.path("out").join(table.file_name()), &table)?;
        let value = |name: &str| -> Result<f64> {
            let column = segments.column(name)?.f64()?;
            column.first().with_context(|| format!("no {name}"))
        };
        assert_eq!(segments.height(), 1);
        assert_eq!(value("size")?, 1.0);
        assert_eq!(value("centroid_row")?, (height - 1) as f64);
        assert_eq!(value("centroid_col")?, (width - 1) as f64);
    }
    Ok(())
}

#[test]
fn too_many_segments_for_a_map() -> Result<()> {
    let toy = Toy::new()?;
    let (width, height) = (512, 514);
    one_sample(&toy, width, height)?;
    let mut lattice = logits("a", height, width)?;
    let values = (0..CLASSES * width * height)
        .map(|i| {
            let (y, x) = (i / width % height, i % width);
            let is_certain = i < width * height && (y % 2 == 1 || x % 2 == 1);
            if is_certain { 12.0 } else { 0.0 }
        })
        .collect();
    lattice = Logits::new(lattice.info, [CLASSES, height, width], values)?;
    lattice.write(&toy.path("logits").join(file_name("a")), Precision::F16)?;
    toy.check_fails(&[], &["sample a", "65792 segments", "--min-size"])?;
    toy.command("out", &["--min-size", "2"]).assert().success();
    Ok(())
}

/// 27 pixels are uniform, 8 of them on the 12 of the objects.
#[test]
fn a_track_cuts_at_the_best_threshold() -> Result<()> {
    let toy = Toy::new()?;
    let own_sizes = [
        "--track",
        "obstacle",
        "--min-size",
        "2",
        "--min-object-size",
        "6",
    ];
    let stdout = toy.command("out", &own_sizes).output()?.stdout;
    let text = String::from_utf8(stdout)?;
    for line in ["segments: 3", "objects: 2", "threshold: 1"] {
        assert!(text.lines().any(|l| l == line), "{text}");
    }
    let found = Threshold::read(&toy.path("out"))?;
    let expected = Threshold {
        min_size: 2,
        min_object_size: 6,
        ..Threshold::new(Track::Obstacle, Score::Entropy, 1.0, Some(16.0 / 39.0))
    };
    assert_eq!(found, expected);
    let tables = relative_files(&toy.path("out"))?;
    toy.command(
        "out",
        &[&own_sizes[..], &["--threads", "3", "--force"]].concat(),
    )
    .assert()
    .success();
    assert!(tables == relative_files(&toy.path("out"))?);
    // the track's own sizes are too large for these images, whose pixels count all the same
    let stdout = toy
        .command("track", &["--track", "anomaly"])
        .output()?
        .stdout;
    let text = String::from_utf8(stdout)?;
    for line in ["segments: 0", "objects: 0", "threshold: 1"] {
        assert!(text.lines().any(|l| l == line), "{text}");
    }
    let counts = schema::pixel_counts().file_name();
    let read = |dir: &str| fs::read(toy.path(dir).join(&counts));
    assert_eq!(read("track")?, read("out")?);
    Ok(())
}

#[test]
fn a_track_knows_no_unrated_pixels() -> Result<()> {
    let toy = Toy::new()?;
    let path = toy.path("labels/masks/b.png");
    let mut mask = labels("b");
    mask.labels[6 * WIDTH + 9] = 2;
    mask.write(&path)?;
    let count = |name: &str, more: &[&str]| -> Result<u64> {
        toy.command(name, more).assert().success();
        Ok(Manifest::read(&toy.path(name))?.counts["segments"])
    };
    assert_eq!(count("usual", &[])?, 6);
    assert_eq!(
        count("track", &["--track", "obstacle", "--min-size", "1"])?,
        5
    );
    Ok(())
}

#[test]
fn shards_of_a_track_need_the_threshold_of_all() -> Result<()> {
    let toy = Toy::new()?;
    let shard = ["--track", "obstacle", "--shard", "1/2"];
    toy.check_fails(&shard, &["threshold of all samples", "--entropy-threshold"])?;
    let given = [&shard[..], &["--entropy-threshold", "0.5"]].concat();
    toy.command("shard", &given).assert().success();
    let threshold = Threshold::read(&toy.path("shard"))?;
    assert_eq!((threshold.threshold, threshold.best_f1), (0.5, None));
    for id in ["a", "c"] {
        labels("b").write(&toy.path("labels/masks").join(format!("{id}.png")))?;
    }
    toy.check_fails(
        &shard[..2],
        &["no threshold is best", "--entropy-threshold"],
    )
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

/// The command `--merge` of some folders, into `output`.
fn merge(toy: &Toy, output: &str, parts: &[&str]) -> Command {
    let dirs = parts
        .iter()
        .map(|p| toy.path(p).to_string_lossy().into_owned());
    let mut command = Command::new(env!("CARGO_BIN_EXE_segment-metrics"));
    command
        .arg("--merge")
        .arg(dirs.collect::<Vec<_>>().join(","))
        .arg("--output")
        .arg(toy.path(output))
        .arg("--quiet");
    command
}

#[test]
fn merged_shards_are_what_one_call_writes() -> Result<()> {
    let toy = Toy::new()?;
    let further = ["--thresholds", "0.25,0.9", "--compat-names"];
    for more in [&[][..], &["--skip-without-ood"], &further] {
        let with = |output: &str, shard: &str| {
            let options = [&["--shard", shard, "--force"], more].concat();
            toy.command(output, &options).assert().success();
        };
        with("whole", "0/1");
        for i in 0..3 {
            with(&format!("{i}"), &format!("{i}/3"));
        }
        for i in 0..2 {
            with(&format!("half{i}"), &format!("{i}/2"));
        }
        for parts in [&["2", "0", "1"][..], &["half1", "half0"], &["whole"]] {
            merge(&toy, "merged", parts)
                .arg("--force")
                .assert()
                .success();
            let whole = relative_files(&toy.path("whole"))?;
            let has = |file: &str| whole.contains_key(Path::new(file));
            let is_further = more == further;
            assert_eq!(has("thresholds/0.9/segments.parquet"), is_further);
            assert_eq!(has("reference_segments.csv"), is_further);
            assert!(whole == relative_files(&toy.path("merged"))?, "{parts:?}");
            let manifests = (
                Manifest::read(&toy.path("whole"))?,
                Manifest::read(&toy.path("merged"))?,
            );
            assert!(manifests.0.same_work(&manifests.1));
            assert_eq!(manifests.0.counts, manifests.1.counts);
        }
        // so that measuring everything has nothing left to do
        let done = toy.command("merged", more).assert().success();
        let text = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
        assert!(text.contains("complete already"), "{text}");
    }
    Ok(())
}

#[test]
fn shards_that_do_not_fit_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let shard = |output: &str, more: &[&str]| {
        toy.command(output, more).assert().success();
    };
    for i in 0..3 {
        shard(&format!("s{i}"), &["--shard", &format!("{i}/3")]);
    }
    shard("again", &["--shard", "1/3"]);
    shard("of_two", &["--shard", "1/2"]);
    shard("other", &["--shard", "2/3", "--min-size", "2"]);
    shard("limited", &["--shard", "2/3", "--limit", "1"]);
    fs::create_dir(toy.path("unfinished"))?;
    let check = |parts: &[&str], words: &[&str]| -> Result<()> {
        let output = merge(&toy, "out", parts).output()?;
        let text = String::from_utf8(output.stderr)?;
        assert!(
            !output.status.success() && text.lines().count() == 1,
            "{text}"
        );
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert!(!toy.path("out").exists());
        Ok(())
    };
    check(&["s0", "s2"], &["lacks shard 1/3", "s0"])?;
    check(&["s0"], &["lacks shard 1/3, 2/3"])?;
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
        &["unfinished", "not a finished stage"],
    )?;
    check(&["s0", "s1", "labels"], &["labels", "written by `toy`"])?;
    let output = merge(&toy, "s0", &["s0", "s1", "s2"]).output()?;
    let text = String::from_utf8(output.stderr)?;
    assert!(text.contains("holds the shard") && toy.path("s0/manifest.json").exists());

    Mask::filled(WIDTH, HEIGHT, 1).write(&toy.path("region.png"))?;
    let region = toy.path("region.png").to_string_lossy().into_owned();
    shard("s2", &["--shard", "2/3", "--region", &region]);
    check(&["s0", "s1", "s2"], &["s2 was made with other inputs"])?;
    let output = toy.command("out", &["--merge", "s0"]).output()?;
    assert!(String::from_utf8(output.stderr)?.contains("cannot be used with"));
    Ok(())
}
