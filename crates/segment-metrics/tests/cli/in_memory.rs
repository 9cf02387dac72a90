//! One image in memory is measured as the stage measures those in files.

use anyhow::Result;
use artifacts::logits::Logits;
use artifacts::mask::{ComponentMap, Mask};
use artifacts::score::Score;
use artifacts::score_map::ScoreMap;
use artifacts::tables::columns::SAMPLE_ID;
use artifacts::tables::schema::Table;
use polars::prelude::DataFrame;
use segment_metrics::analysis::Segmentation;
use segment_metrics::pixels::Pixels;
use segment_metrics::sample::{Measured, Request, measure};
use stage_testing::command::succeed;

use crate::scores::{IDS, entropies, toy, various_logits};
use crate::toy::{HEIGHT, Toy, WIDTH, executable, labels};

fn request<'a>(pixels: Pixels<'a>, labels: Option<&'a Mask>, score: Score) -> Request<'a> {
    Request {
        pixels,
        labels,
        segmentation: Segmentation {
            score,
            threshold: 0.6,
            min_size: 2,
            min_object_size: 0,
        },
        additional_thresholds: &[],
        has_context: false,
    }
}

/// The rows of a sample in a table of an output.
fn rows(toy: &Toy, output: &str, table: &Table, id: &str) -> Result<DataFrame> {
    let all = toy.table(output, table)?;
    let samples = all.column(SAMPLE_ID)?.str()?;
    let is_wanted = samples.iter().map(|sample| sample == Some(id));
    Ok(all.filter(&is_wanted.collect())?)
}

/// Compares all rows of a sample, and returns how many segments it has.
fn check(toy: &Toy, output: &str, id: &str, measured: &Measured) -> Result<usize> {
    let tables = measured.tables(id)?;
    let of_truth = tables.of_truth.iter().flatten();
    for (table, found) in [&tables.segments, &tables.samples]
        .into_iter()
        .chain(of_truth)
    {
        let expected = rows(toy, output, table, id)?;
        assert!(
            found.equals(&expected),
            "{}: {found} {expected}",
            table.name
        );
    }
    assert!(measured.segments(id)?.equals(&tables.segments.1));
    let map = toy
        .path(output)
        .join("components")
        .join(format!("{id}.png"));
    assert!(ComponentMap::read(&map)? == measured.components);
    Ok(tables.segments.1.height())
}

#[test]
fn what_is_measured_in_memory_is_what_the_stage_writes() -> Result<()> {
    let toy = toy(entropies)?;
    let folder = |name: &str| toy.path(name).to_string_lossy().into_owned();
    let (logits, scores, truth) = (folder("logits"), folder("scores"), folder("labels"));
    for (has_logits, has_scores) in [(true, false), (false, true), (true, true)] {
        for has_truth in [true, false] {
            let mut command = executable();
            command.args(["--threshold", "0.6", "--min-size", "2", "--force"]);
            for (is_given, flag, folder) in [
                (has_logits, "--logits", &logits),
                (has_scores, "--scores", &scores),
                (has_truth, "--labels", &truth),
            ] {
                if is_given {
                    command.args([flag, folder]);
                } else if flag == "--labels" {
                    // the index beside the score maps names the images, as does one beside logits
                    command.args(["--labels", &scores]);
                }
            }
            succeed(command.args(["--output", &folder("out")]))?;
            let mut n_segments = 0;
            for id in IDS {
                let logits = various_logits(id, false)?;
                let (map, mask) = (entropies(&logits), labels(id));
                let pixels = Pixels {
                    logits: has_logits.then_some(&logits),
                    scores: has_scores.then_some(&map),
                };
                let score = if has_scores {
                    Score::Adopted
                } else {
                    Score::Entropy
                };
                let measured = measure(&request(pixels, has_truth.then_some(&mask), score))?;
                n_segments += check(&toy, "out", id, &measured)?;
            }
            assert!(n_segments > 2, "{n_segments} segments");
        }
    }
    Ok(())
}

fn fails(request: &Request<'_>, words: &str) {
    let error = measure(request).expect_err(words).to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn what_does_not_fit_together_is_refused() -> Result<()> {
    let logits: Logits = various_logits("a", false)?;
    let pixels = Pixels::of_logits(&logits);
    fails(
        &request(pixels, None, Score::Adopted),
        "the score adopted is not known",
    );
    let nothing = Pixels {
        logits: None,
        scores: None,
    };
    fails(&request(nothing, None, Score::Entropy), "neither logits");
    let mask = Mask::filled(HEIGHT, WIDTH, 0);
    fails(
        &request(pixels, Some(&mask), Score::Entropy),
        "the mask has 8x12 pixels instead of 12x8",
    );
    let map = ScoreMap {
        output_width: WIDTH + 1,
        ..entropies(&logits)
    };
    let both = Pixels {
        scores: Some(&map),
        ..pixels
    };
    fails(
        &request(both, None, Score::Entropy),
        "the score map has 13x8 pixels",
    );
    Ok(())
}
