//! Score maps: what `ood-eval export` writes in each format comes back by `seg-model adopt` with the figures of the score that it
//! is of, and everything that needs no classes is made of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::logits::{Logits, LogitsInfo, Precision, logits_path};
use artifacts::mask::Mask;
use artifacts::score::Score;
use clap::Parser;
use ood_eval::metrics::metric::{AUPRC, AUROC, Definition, FPR95};
use ood_eval::results::{Results, RowResults};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stage_testing::folder::files;
use stage_testing::toy::{sample, stage_output};

/// Pixels of an image, columns and rows; logits have half of them in both directions.
const SIZE: (usize, usize) = (96, 48);
const N_CLASSES: usize = 7;
const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Runs a stage as its command line would.
macro_rules! stage {
    ($stage:ident $($arguments:tt)*) => {{
        let arguments = format!("{} {}", stringify!($stage), format!($($arguments)*));
        let args = $stage::Args::try_parse_from(arguments.split_whitespace())?;
        $stage::run(&args).with_context(|| format!("{arguments:?} failed"))?;
    }};
}

/// A folder with `labels/toy`, and the run `ours` with logits.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Result<Self> {
        let world = Self {
            dir: tempfile::tempdir()?,
        };
        let (labels, logits) = (world.at("labels/toy"), world.at("ours/logits/toy"));
        stage_output(&labels, "cityscapes-io prepare", |dir| {
            for id in IDS {
                mask().write(&dir.join(format!("{id}.png")))?;
            }
            index(|id| Some(format!("{id}.png").into()))?.write(dir)
        })?;
        stage_output(&logits, "seg-model infer", |dir| {
            let mut random = ChaCha8Rng::seed_from_u64(5);
            for id in IDS {
                write_logits(dir, id, &mut random)?;
            }
            index(|_| None)?.write(dir)
        })?;
        Ok(world)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Segments of the run `ours` and its results; `flags` are those of `segment-metrics`.
    fn ours(&self, flags: &str) -> Result<RowResults> {
        let at = self.dir.path().display();
        stage!(segment_metrics "--logits {at}/ours/logits/toy --labels {at}/labels/toy --output {at}/ours/segments/toy {flags}");
        self.evaluated("ours")
    }

    /// Exports `score` of the run `ours`. Returns the folder of the maps.
    fn export(&self, score: Score, format: &str) -> Result<PathBuf> {
        let (at, name) = (self.dir.path().display(), score.name());
        stage!(ood_eval "export --logits {at}/ours/logits/toy --score {name} --format {format} --output {at}/maps/{name}");
        let folder = match format {
            "smiyc" => "anomaly_p/oodseg/toy",
            format => format,
        };
        Ok(self.at(&format!("maps/{name}")).join(folder))
    }

    /// Adopts the maps in a folder as those of `RbA`, into the run `run`, and makes segments of them with `flags`.
    fn adopt(&self, maps: &Path, run: &str, flags: &str) -> Result<()> {
        let (at, maps) = (self.dir.path().display(), maps.display());
        stage!(seg_model "adopt --kind score --name RbA --from {maps} --labels {at}/labels/toy --output {at}/{run}/scores/toy");
        stage!(segment_metrics "--scores {at}/{run}/scores/toy --labels {at}/labels/toy --output {at}/{run}/segments/toy {flags}");
        Ok(())
    }

    /// The results of a run without meta classifier.
    fn evaluated(&self, run: &str) -> Result<RowResults> {
        Ok(self.results(run)?.datasets[0].rows[0].clone())
    }

    fn results(&self, run: &str) -> Result<Results> {
        let at = self.dir.path().display();
        stage!(ood_eval "evaluate --run {run}={at}/{run} --resamples 20 --output {at}/evaluated/{run}");
        Results::read(&self.at(&format!("evaluated/{run}")))
    }
}

/// An unknown object and a void border.
fn mask() -> Mask {
    let (width, height) = SIZE;
    let mut mask = Mask::filled(width, height, 0);
    for (at, label) in mask.labels.iter_mut().enumerate() {
        let (x, y) = (at % width, at / width);
        if (20..52).contains(&x) && (10..32).contains(&y) {
            *label = 1;
        } else if y >= 44 {
            *label = 255;
        }
    }
    mask
}

fn index(mask: impl Fn(&str) -> Option<PathBuf>) -> Result<Index> {
    let (width, height) = (SIZE.0 as u32, SIZE.1 as u32);
    let samples = IDS.map(|id| sample(id, width, height, mask(id)));
    Index::new(
        "toy",
        "test",
        MaskKind::Eval,
        Path::new("/no-images"),
        samples.to_vec(),
    )
}

/// Logits of a network that is sure, but less so on the unknown object and in spots.
fn write_logits(dir: &Path, id: &str, random: &mut ChaCha8Rng) -> Result<()> {
    let (width, height) = (SIZE.0 / 2, SIZE.1 / 2);
    let mut values = vec![0.0; N_CLASSES * width * height];
    for at in 0..width * height {
        let (x, y) = (at % width, at / width);
        let is_unknown = (10..26).contains(&x) && (5..16).contains(&y);
        let is_spot = (x / 4 + y / 3) % 7 == 3;
        let lead = if is_unknown || is_spot { 1.5 } else { 9.0 };
        for class in 0..N_CLASSES {
            values[class * width * height + at] = random.random_range(-1.0..1.0);
        }
        values[(x / 12) * width * height + at] += lead * random.random_range(0.5..1.5);
    }
    let info = LogitsInfo {
        sample_id: id.to_owned(),
        network: "toy".to_owned(),
        output_height: SIZE.1,
        output_width: SIZE.0,
        align_corners: false,
        classes: ClassSet::open("idd-lite")?,
    };
    let logits = Logits::new(info, [N_CLASSES, height, width], values)?;
    logits.write(&logits_path(dir, id), Precision::F32)
}

/// The figures of a score over all pixels.
fn figures(row: &RowResults, score: Score) -> Result<[f64; 3]> {
    let metrics = row.pixels_of(score).with_context(|| score.name())?;
    let value = |definition: &Definition| metrics.values.get(definition).context(definition.name);
    Ok([value(&AUROC)?, value(&AUPRC)?, value(&FPR95)?])
}

#[test]
fn figures_of_exported_maps_come_back() -> Result<()> {
    let world = World::new()?;
    let ours = world.ours("--entropy-threshold 0.6")?;
    // 16-bit floats have steps of a thousandth of the score, 16-bit gray levels of 1/65535
    for (format, tolerance) in [("npy", 0.0), ("tiff", 0.0), ("png", 1e-4), ("smiyc", 2e-3)] {
        for score in Score::OF_LOGITS {
            if format == "png" && score.is_signed() {
                continue;
            }
            let run = format!("{format}-{}", score.name());
            let maps = world.export(score, format)?;
            world.adopt(&maps, &run, "--threshold 0.6")?;
            let row = world.evaluated(&run)?;
            let (expected, found) = (figures(&ours, score)?, figures(&row, Score::Adopted)?);
            for (a, b) in expected.into_iter().zip(found) {
                assert!((a - b).abs() <= tolerance, "{run}: {expected:?}, {found:?}");
            }
            assert_eq!(row.pixels.len(), 1, "{run} has one score");
            let is_named = (row.score, row.method.as_deref());
            assert_eq!(is_named, (Score::Adopted, Some("RbA")), "{run}");
            if score == Score::Entropy && tolerance == 0.0 {
                assert_eq!(row.segments, ours.segments, "{run}");
            }
        }
    }
    Ok(())
}

#[test]
fn maps_are_exported_again_as_they_were_adopted() -> Result<()> {
    let world = World::new()?;
    let at = world.dir.path().display();
    let maps = world.export(Score::Entropy, "npy")?;
    world.adopt(&maps, "theirs", "--threshold 0.6")?;
    for format in ["npy", "tiff", "png", "smiyc"] {
        let expected = files(&world.export(Score::Entropy, format)?)?;
        stage!(ood_eval "export --scores {at}/theirs/scores/toy --format {format} --output {at}/again");
        let folder = match format {
            "smiyc" => "again/anomaly_p/oodseg/toy",
            format => &format!("again/{format}"),
        };
        let mut found = files(&world.at(folder))?;
        for (name, content) in expected {
            assert!(found.remove(&name) == Some(content), "{format}: {name}");
        }
        assert!(found.is_empty(), "{format}: {found:?}");
    }
    Ok(())
}

#[test]
fn a_score_beside_logits_is_evaluated_with_the_others() -> Result<()> {
    let world = World::new()?;
    let at = world.dir.path().display();
    let maps = world.export(Score::MaxLogit, "npy")?;
    world.adopt(&maps, "theirs", "--threshold -4")?;
    let theirs = world.evaluated("theirs")?;
    stage!(segment_metrics "--logits {at}/ours/logits/toy --scores {at}/theirs/scores/toy --threshold -4 --labels {at}/labels/toy --output {at}/both/segments/toy");
    let both = world.evaluated("both")?;
    assert_eq!(both.pixels.len(), Score::ALL.len());
    assert_eq!(both.score, Score::Adopted);
    assert_eq!(both.segments, theirs.segments);
    let expected = figures(&both, Score::MaxLogit)?;
    assert_eq!(figures(&both, Score::Adopted)?, expected);
    assert_eq!(figures(&theirs, Score::Adopted)?, expected);
    let tables = std::fs::read_to_string(world.at("evaluated/both/results.md"))?;
    assert!(tables.contains("| both, RbA |"), "{tables}");
    let csv = std::fs::read_to_string(world.at("evaluated/both/results.csv"))?;
    let adopted = csv
        .lines()
        .filter(|line| line.starts_with("toy,both,false,adopted,"));
    assert_eq!(
        adopted.filter(|line| line.ends_with(",RbA")).count(),
        1,
        "{csv}"
    );
    Ok(())
}

#[test]
fn runs_of_different_scores_are_compared() -> Result<()> {
    let world = World::new()?;
    let at = world.dir.path().display();
    world.ours("--entropy-threshold 0.6")?;
    let maps = world.export(Score::Entropy, "npy")?;
    world.adopt(&maps, "theirs", "--threshold 0.6")?;
    stage!(ood_eval "compare --run ours={at}/ours --run theirs={at}/theirs --resamples 20 --output {at}/compared");
    let table = std::fs::read_to_string(world.at("compared/compare.md"))?;
    let row = table
        .lines()
        .find(|line| line.contains("AUROC ↑, entropy → RbA"));
    let row = row.with_context(|| table.clone())?;
    assert!(
        row.contains("| 0.00 | 0.00 to 0.00 | no clear difference |"),
        "{row}"
    );
    assert_eq!(table.matches("AUROC ↑, ").count(), 1, "{table}");
    let csv = std::fs::read_to_string(world.at("compared/compare.csv"))?;
    let row = csv
        .lines()
        .find(|line| line.starts_with("toy,auroc,entropy,false,"));
    assert!(
        row.is_some_and(|row| row.ends_with(",no_clear_difference,adopted")),
        "{csv}"
    );
    Ok(())
}

#[test]
fn the_rules_of_a_benchmark_apply_to_the_maps_of_another_method() -> Result<()> {
    let world = World::new()?;
    let at = world.dir.path().display();
    world.ours("--entropy-threshold 0.6")?;
    let maps = world.export(Score::Entropy, "tiff")?;
    world.adopt(&maps, "theirs", "--threshold 0.6")?;
    let track = "--track obstacle --min-object-size 10";
    stage!(segment_metrics "--logits {at}/ours/logits/toy --labels {at}/labels/toy --output {at}/ours/benchmark/toy {track}");
    stage!(segment_metrics "--scores {at}/theirs/scores/toy --labels {at}/labels/toy --output {at}/theirs/benchmark/toy {track}");
    let [ours, theirs] = ["ours", "theirs"].map(|run| world.results(run));
    let (ours, theirs) = (ours?.benchmark.remove(0), theirs?.benchmark.remove(0));
    assert_eq!(theirs.metrics.threshold.score, Score::Adopted);
    assert_eq!(theirs.method.as_deref(), Some("RbA"));
    assert_eq!(theirs.metrics.pixels, ours.metrics.pixels);
    assert_eq!(theirs.metrics.segments, ours.metrics.segments);
    let threshold = |b: &ood_eval::results::BenchmarkResults| b.metrics.threshold.threshold;
    assert!((threshold(&theirs) - threshold(&ours)).abs() < 1e-6);
    let tables = std::fs::read_to_string(world.at("evaluated/theirs/results.md"))?;
    assert!(tables.contains("| RbA ≥ 0."), "{tables}");
    Ok(())
}

#[test]
fn a_meta_classifier_is_fitted_to_segments_of_score_maps() -> Result<()> {
    let world = World::new()?;
    let at = world.dir.path().display();
    let maps = world.export(Score::Entropy, "npy")?;
    world.adopt(&maps, "theirs", "--threshold 0.6")?;
    stage!(meta_clf "fit --segments {at}/theirs/segments/toy --output {at}/theirs/meta/toy");
    let results = world.results("theirs")?;
    let [without, with] = &results.datasets[0].rows[..] else {
        anyhow::bail!("two rows, without and with meta classifier: {results:?}");
    };
    assert!(with.with_meta && with.segments.n_kept < without.segments.n_kept);
    assert_eq!(with.pixels, without.pixels);
    Ok(())
}
