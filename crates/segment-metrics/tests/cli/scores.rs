//! Score maps of other methods: alone, beside logits, and compared with the same scores computed from logits.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use artifacts::basis::Basis;
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::logits::{Logits, Precision};
use artifacts::manifest::Manifest;
use artifacts::score::Score;
use artifacts::score_map::{ScoreMap, score_map_path};
use artifacts::tables::schema;
use artifacts::track::Threshold;
use measures::pixel_row::PixelRow;
use polars::prelude::DataFrame;
use stage_testing::command::{fail, succeed};
use stage_testing::folder::files;
use stage_testing::toy::{change_output, sample, stage_output};

use crate::merge::merge;
use crate::toy::{CLASSES, HEIGHT, Toy, WIDTH, executable, logits};

pub(crate) const IDS: [&str; 3] = ["a", "b", "c"];

/// Logits of many values at half of the output's size.
pub(crate) fn various_logits(id: &str, align_corners: bool) -> Result<Logits> {
    let (height, width) = (HEIGHT / 2, WIDTH / 2);
    let seed = usize::from(id.as_bytes()[0]);
    let value = |i: usize| ((i * i * seed + 31 * i) % 97) as f32 / 9.0 - 5.0;
    let values = (0..CLASSES * height * width).map(value).collect();
    let mut info = logits(id, HEIGHT, WIDTH)?.info;
    info.align_corners = align_corners;
    Logits::new(info, [CLASSES, height, width], values)
}

/// A score of logits at the output's size, as `ood-eval export` writes it.
fn full_size(logits: &Logits, score: Score) -> ScoreMap {
    let mut row = PixelRow::new(CLASSES, WIDTH);
    let (mut reader, mut values) = (logits.row_reader(), vec![0.0; CLASSES * WIDTH]);
    let mut scores = Vec::new();
    for y in 0..HEIGHT {
        reader.read(y, &mut values);
        row.fill_from_logits(&values);
        scores.extend((0..WIDTH).map(|x| row.score(score, x)));
    }
    map(&logits.info.sample_id, (HEIGHT, WIDTH), scores)
}

fn map(id: &str, (height, width): (usize, usize), values: Vec<f32>) -> ScoreMap {
    ScoreMap {
        sample_id: id.to_owned(),
        method: "rba".to_owned(),
        output_height: HEIGHT,
        output_width: WIDTH,
        align_corners: false,
        height,
        width,
        values,
    }
}

/// The index of the three images without labels.
fn index() -> Result<Index> {
    let samples = IDS.map(|id| sample(id, WIDTH as u32, HEIGHT as u32, None));
    let folder = Path::new("/nowhere");
    Index::new("photos", "all", MaskKind::Eval, folder, samples.to_vec())
}

/// The toy with various logits, and in the folder `scores` what `of` makes of them, as `seg-model adopt` leaves it.
pub(crate) fn toy(of: impl Fn(&Logits) -> ScoreMap) -> Result<Toy> {
    toy_of(false, of)
}

fn toy_of(align_corners: bool, of: impl Fn(&Logits) -> ScoreMap) -> Result<Toy> {
    let toy = Toy::new()?;
    change_output(&toy.path("logits"), |_| {
        IDS.iter().try_for_each(|id| {
            various_logits(id, align_corners)?.write(&toy.logits(id), Precision::F32)
        })
    })?;
    stage_output(&toy.path("scores"), "seg-model adopt", |dir| {
        for id in IDS {
            of(&various_logits(id, align_corners)?).write(&score_map_path(dir, id))?;
        }
        index()?.write(dir)
    })?;
    Ok(toy)
}

pub(crate) fn entropies(logits: &Logits) -> ScoreMap {
    full_size(logits, Score::Entropy)
}

/// The command that measures the score maps alone.
fn command(toy: &Toy, output: &str, more: &[&str]) -> Command {
    let mut command = executable();
    command.arg("--scores").arg(toy.path("scores"));
    command.arg("--output").arg(toy.path(output)).args(more);
    command
}

/// The same with labels.
fn labeled(toy: &Toy, output: &str, more: &[&str]) -> Command {
    let mut command = command(toy, output, more);
    command.arg("--labels").arg(toy.path("labels"));
    command
}

/// The rows of a table of pixel scores that are of `score`, without the name of the score.
fn of_score(frame: &DataFrame, score: Score) -> Result<DataFrame> {
    let names = frame.column("score")?.str()?;
    let is_wanted = names.iter().map(|name| name == Some(score.name()));
    Ok(frame.filter(&is_wanted.collect())?.drop("score")?)
}

/// Compares the pixel tables of `toy`: those of its logits' score `score`, and those of the adopted one.
fn check_same_pixels(toy: &Toy, score: Score) -> Result<()> {
    for table in [schema::pixel_counts(), schema::sample_pixels()] {
        let computed = of_score(&toy.table("logits_out", &table)?, score)?;
        let adopted = of_score(&toy.table("scores_out", &table)?, Score::Adopted)?;
        assert!(computed.height() > 0);
        assert!(
            computed.equals_missing(&adopted),
            "{} of {}: {computed} {adopted}",
            table.name,
            score.name()
        );
    }
    Ok(())
}

/// Figures follow from the counts by bin, so they are the same to the last digit, and so are the segments.
#[test]
fn adopted_scores_of_logits_give_the_same_pixels_and_segments() -> Result<()> {
    for score in Score::OF_LOGITS {
        let toy = toy(|logits| full_size(logits, score))?;
        let threshold = if score.is_signed() { "-3.5" } else { "0.6" };
        let more = ["--threshold", threshold];
        toy.run(
            "logits_out",
            &[&more[..], &["--score", score.name()]].concat(),
        )?;
        succeed(&mut labeled(&toy, "scores_out", &more))?;
        check_same_pixels(&toy, score)?;
        let truth_and_shape = schema::segments_of(Basis::NOTHING);
        let names = truth_and_shape.columns.iter().map(|field| &field.name);
        let names: Vec<_> = names.map(String::as_str).collect();
        let shapes = |output: &str| -> Result<_> {
            Ok(toy.table(output, &truth_and_shape)?.select(names.clone())?)
        };
        let (computed, adopted) = (shapes("logits_out")?, shapes("scores_out")?);
        assert!(computed.height() > 2 && computed.equals(&adopted));
        for table in ["overlaps", "samples"] {
            let file = |output: &str| fs::read(toy.path(output).join(format!("{table}.parquet")));
            assert_eq!(file("logits_out")?, file("scores_out")?, "{table}");
        }
    }
    Ok(())
}

/// Logits that were made of probabilities say so, and the segments remember it: two scores are not those of the network.
#[test]
fn logits_of_probabilities_have_no_energy() -> Result<()> {
    let toy = toy(entropies)?;
    toy.run("of_logits", &[])?;
    change_output(&toy.path("logits"), |_| {
        IDS.iter().try_for_each(|id| {
            let mut logits = various_logits(id, false)?;
            logits.of_probabilities = true;
            logits.write(&toy.logits(id), Precision::F32)
        })
    })?;
    toy.run(
        "of_probabilities",
        &["--score", "margin", "--threshold", "0.5"],
    )?;
    let said = |output: &str| -> Result<_> {
        let manifest = Manifest::read(&toy.path(output))?;
        Ok(manifest.arguments.get("of_probabilities").cloned())
    };
    assert_eq!(said("of_logits")?, None);
    assert_eq!(said("of_probabilities")?, Some(true.into()));
    for score in ["max_logit", "energy"] {
        let mut command = executable();
        command.arg("--logits").arg(toy.path("logits"));
        command.arg("--labels").arg(toy.path("labels"));
        command.arg("--output").arg(toy.path("no"));
        command.args(["--score", score, "--threshold", "-4"]);
        fail(
            &mut command,
            &[score, "logarithms of probabilities", "entropy"],
        )?;
    }
    assert!(!toy.path("no").exists(), "nothing was begun");
    Ok(())
}

/// Scores of half of the image's size.
fn small_scores(id: &str) -> Vec<f32> {
    let seed = usize::from(id.as_bytes()[0]);
    let value = |i: usize| ((i * i * seed + 7 * i) % 89) as f32 / 30.0 - 1.0;
    (0..HEIGHT / 2 * (WIDTH / 2)).map(value).collect()
}

/// A map of another size is upsampled as logits are: the negated logit of a class that is always the largest is a score, too.
#[test]
fn small_maps_are_upsampled_as_logits_are() -> Result<()> {
    let size = (HEIGHT / 2, WIDTH / 2);
    for align_corners in [false, true] {
        let toy = toy_of(align_corners, entropies)?;
        change_output(&toy.path("logits"), |_| {
            for id in IDS {
                let mut values: Vec<f32> = small_scores(id).iter().map(|s| -s).collect();
                values.resize(CLASSES * size.0 * size.1, -99.0);
                let info = various_logits(id, align_corners)?.info;
                Logits::new(info, [CLASSES, size.0, size.1], values)?
                    .write(&toy.logits(id), Precision::F32)?;
            }
            Ok(())
        })?;
        change_output(&toy.path("scores"), |dir| {
            IDS.iter().try_for_each(|id| {
                let mut small = map(id, size, small_scores(id));
                small.align_corners = align_corners;
                small.write(&score_map_path(dir, id))
            })
        })?;
        let more = ["--threshold", "0.5"];
        toy.run(
            "logits_out",
            &[&more[..], &["--score", "max_logit"]].concat(),
        )?;
        succeed(&mut labeled(&toy, "scores_out", &more))?;
        check_same_pixels(&toy, Score::MaxLogit)?;
    }
    Ok(())
}

#[test]
fn score_maps_alone_have_the_metrics_that_need_no_class() -> Result<()> {
    let toy = toy(entropies)?;
    let more = ["--threshold", "0.6", "--thresholds", "0.3"];
    let printed = succeed(&mut labeled(&toy, "out", &more))?.stdout;
    assert!(printed.contains("samples: 3"), "{printed}");
    let names: Vec<_> = files(&toy.path("out"))?.into_keys().collect();
    assert!(
        !names.iter().any(|name| name.contains("classes")),
        "{names:?}"
    );
    for output in ["out", "out/thresholds/0.3"] {
        let table = schema::segments_of(Basis::adopted());
        let segments = toy.table(output, &table)?;
        let expected: Vec<_> = table.columns.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(segments.get_column_names(), expected);
        assert!(segments.height() > 0);
    }
    let manifest = Manifest::read(&toy.path("out"))?;
    let arguments = manifest.arguments;
    assert_eq!(arguments["score"], "adopted");
    assert_eq!(arguments["method"], "rba");
    assert_eq!(arguments["entropy_threshold"], 0.6);
    assert!(manifest.inputs.keys().eq(["labels", "scores"]));
    let done = succeed(&mut labeled(&toy, "out", &more))?.stderr;
    assert!(done.contains("out is up to date"), "{done}");
    Ok(())
}

/// With logits, the score map adds its metrics and its pixels; everything else is as without it.
#[test]
fn beside_logits_all_metrics_are_there() -> Result<()> {
    let toy = toy(entropies)?;
    let scores = toy.path("scores").to_string_lossy().into_owned();
    let both =
        |output: &str, more: &[&str]| toy.run(output, &[&["--scores", &scores], more].concat());
    toy.run("logits_out", &[])?;
    both("entropy", &["--score", "entropy", "--compat-names"])?;
    both("adopted", &["--entropy-threshold", "0.7"])?;
    let basis = Basis {
        has_adopted: true,
        ..Basis::logits(CLASSES)
    };
    let table = schema::segments_of(basis);
    let with = toy.table("entropy", &table)?;
    let without = toy.table("logits_out", &schema::segments(CLASSES))?;
    assert!(
        with.select(without.get_column_names_owned())?
            .equals(&without)
    );
    assert_eq!(with.width(), without.width() + 10);
    let adopted = toy.table("adopted", &table)?;
    assert!(adopted.equals(&with), "the map holds the entropies");
    let counts = schema::sample_pixels();
    let scores = toy.table("adopted", &counts)?;
    let scores = scores.column("score")?.str()?.iter().flatten();
    let expected = IDS.iter().flat_map(|_| Score::ALL.map(Score::name));
    assert!(scores.eq(expected));
    let manifest = |output: &str| Manifest::read(&toy.path(output));
    assert_eq!(manifest("adopted")?.arguments["score"], "adopted");
    assert_eq!(manifest("entropy")?.arguments["method"], "rba");
    assert_eq!(manifest("logits_out")?.arguments.get("method"), None);
    assert_eq!(ClassSet::read(&toy.path("adopted"))?.len(), CLASSES);
    // the paper's tables are about logits
    assert!(toy.path("entropy/reference_segments.csv").exists());
    Ok(())
}

#[test]
fn images_of_score_maps_need_no_labels() -> Result<()> {
    let toy = toy(entropies)?;
    succeed(&mut labeled(&toy, "with", &["--threshold", "0.6"]))?;
    succeed(&mut command(&toy, "without", &["--threshold", "0.6"]))?;
    for table in [schema::segments_of(Basis::adopted()), schema::samples()] {
        let of_truth = table.columns.iter().filter(|field| field.needs_truth());
        let of_truth: Vec<_> = of_truth.map(|field| field.name.clone()).collect();
        let known = toy.table("with", &table)?.drop_many(of_truth);
        let found = toy.table("without", &table.without_truth())?;
        // void pixels belong to no segment, and without labels there are none
        assert_eq!(found.get_column_names(), known.get_column_names());
        assert!(found.height() > 0);
    }
    Ok(())
}

#[test]
fn shards_of_score_maps_are_merged() -> Result<()> {
    let toy = toy(entropies)?;
    let more = ["--threshold", "0.6", "--thresholds", "0.3"];
    succeed(&mut labeled(&toy, "whole", &more))?;
    for (output, shard) in [("0", "0/2"), ("1", "1/2")] {
        let flags = [&more[..], &["--shard", shard]].concat();
        succeed(&mut labeled(&toy, output, &flags))?;
    }
    succeed(&mut merge(&toy, "merged", &["1", "0"]))?;
    assert!(files(&toy.path("whole"))? == files(&toy.path("merged"))?);
    let done = succeed(&mut labeled(&toy, "merged", &more))?.stderr;
    assert!(done.contains("merged is up to date"), "{done}");
    // a shard of another method is another work
    rename_method(&toy, &IDS, "uno")?;
    let flags = [&more[..], &["--shard", "1/2", "--force"]].concat();
    succeed(&mut labeled(&toy, "1", &flags))?;
    fail(
        merge(&toy, "other", &["0", "1"]).arg("--quiet"),
        &["was made with other arguments than"],
    )
    .map(drop)
}

fn rename_method(toy: &Toy, ids: &[&str], name: &str) -> Result<()> {
    change_output(&toy.path("scores"), |dir| {
        ids.iter().try_for_each(|id| {
            let mut map = ScoreMap::read_sample(dir, id, None)?;
            name.clone_into(&mut map.method);
            map.write(&score_map_path(dir, id))
        })
    })
}

#[test]
fn a_track_finds_the_threshold_of_score_maps() -> Result<()> {
    let toy = toy(entropies)?;
    let sizes = ["--track", "obstacle", "--min-size", "2"];
    toy.run("logits_out", &sizes)?;
    succeed(&mut labeled(&toy, "scores_out", &sizes))?;
    let computed = Threshold::read(&toy.path("logits_out"))?;
    let expected = Threshold {
        score: Score::Adopted,
        ..computed
    };
    assert_eq!(Threshold::read(&toy.path("scores_out"))?, expected);
    let error = fail(
        command(&toy, "out", &sizes).arg("--quiet"),
        &["there are no labels", "--threshold"],
    );
    error.map(drop)
}

/// Runs and expects failure with one error line that has all `words`, and no complete output.
fn check_fails(toy: &Toy, more: &[&str], words: &[&str]) -> Result<()> {
    fail(labeled(toy, "out", more).arg("--quiet"), words)?;
    assert!(!toy.path("out/manifest.json").exists());
    Ok(())
}

#[test]
fn what_contradicts_itself_is_refused() -> Result<()> {
    let toy = toy(entropies)?;
    let words = [
        "--score adopted has no usual threshold (in 3 of 3 score maps it is from 0.",
        "in 99 % of the pixels)",
        "--threshold T",
        "--track anomaly or --track obstacle",
    ];
    check_fails(&toy, &[], &words)?;
    check_fails(
        &toy,
        &["--score", "entropy"],
        &["--score entropy is computed from logits", "--logits"],
    )?;
    check_fails(
        &toy,
        &["--threshold", "0.5", "--compat-names"],
        &["--compat-names", "--logits"],
    )?;
    toy.check_fails(
        &["--score", "adopted", "--threshold", "1"],
        &["name them with --scores"],
    )?;
    let folder = |name: &str| toy.path(name).to_string_lossy().into_owned();
    let logits = folder("logits");
    toy.check_fails(
        &["--scores", &logits, "--threshold", "1"],
        &["it holds logits", "--logits"],
    )?;
    let mut scores_as_logits = executable();
    scores_as_logits.args(["--logits", &folder("scores"), "--output", &folder("out")]);
    fail(scores_as_logits.arg("--quiet"), &["score map", "--scores"])?;
    let mut nothing = executable();
    nothing.arg("--output").arg(folder("out"));
    let text = String::from_utf8(nothing.output()?.stderr)?;
    assert!(text.contains("--logits <DIR>"), "{text}");
    Ok(())
}

/// Changes the score map of sample `b`.
type Spoil = fn(&Path) -> Result<()>;

const SPOILED: [(&str, Spoil); 5] = [
    (
        "b.safetensors does not exist: run `seg-model adopt`",
        |path| Ok(fs::remove_file(path)?),
    ),
    ("b.safetensors is not a usable score map", |path| {
        Ok(fs::write(path, "")?)
    }),
    ("the score of row 0, column 1 of b is NaN", |path| {
        change(path, |map| map.values[1] = f32::NAN)
    }),
    ("is for 12x16 pixels, but the sample has 12x8", |path| {
        change(path, |map| map.output_height *= 2)
    }),
    ("of the method \"rba\"", |path| {
        change(path, |map| "uno".clone_into(&mut map.method))
    }),
];

fn change(path: &Path, of: fn(&mut ScoreMap)) -> Result<()> {
    let mut map = ScoreMap::read(path)?;
    of(&mut map);
    map.write(path)
}

#[test]
fn score_maps_that_cannot_be_used_are_named_or_left_out() -> Result<()> {
    for (words, spoil) in SPOILED {
        let toy = toy(entropies)?;
        change_output(&toy.path("scores"), |dir| spoil(&score_map_path(dir, "b")))?;
        check_fails(&toy, &["--threshold", "0.6"], &[words])?;
        let flags = ["--threshold", "0.6", "--keep-going"];
        let found = labeled(&toy, "some", &flags).output()?;
        assert_eq!(found.status.code(), Some(3), "{words}");
        let list = fs::read_to_string(toy.path("some/failed.csv"))?;
        let line = list.lines().nth(1).context("a failure")?;
        assert!(line.starts_with("b,"), "{line}");
        let samples = toy.table("some", &schema::samples())?;
        assert_eq!(samples.height(), 2);
    }
    Ok(())
}

/// Maps of samples that the index does not name are left alone, as logits are.
#[test]
fn further_maps_do_no_harm() -> Result<()> {
    let toy = toy(entropies)?;
    change_output(&toy.path("scores"), |dir| {
        map("z", (1, 1), vec![0.0]).write(&score_map_path(dir, "z"))
    })?;
    succeed(&mut labeled(&toy, "out", &["--threshold", "0.6"]))?;
    assert_eq!(toy.table("out", &schema::samples())?.height(), 3);
    Ok(())
}

#[test]
fn scores_beyond_the_histograms_are_warned_of_once() -> Result<()> {
    let toy = toy(|logits| {
        let mut map = entropies(logits);
        map.values.iter_mut().for_each(|value| *value *= 1e6);
        map
    })?;
    let log = succeed(&mut labeled(&toy, "out", &["--threshold", "6e5"]))?.stderr;
    assert_eq!(
        log.matches("take all scores beyond 65536").count(),
        1,
        "{log}"
    );
    // segments do not depend on it
    let segments = toy.table("out", &schema::segments_of(Basis::adopted()))?;
    assert!(segments.height() > 2);
    let log = succeed(&mut command(&toy, "unlabeled", &["--threshold", "6e5"]))?.stderr;
    assert!(!log.contains("65536"), "{log}");
    Ok(())
}
