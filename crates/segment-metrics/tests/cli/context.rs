//! `--context`: more columns, and nothing else changes.

use anyhow::Result;
use artifacts::basis::Basis;
use artifacts::manifest::Manifest;
use artifacts::score::Score;
use artifacts::tables::{read_table, schema};
use segment_metrics::analysis::Segmentation;
use segment_metrics::pixels::Pixels;
use segment_metrics::sample::{Request, measure};
use stage_testing::command::succeed;
use stage_testing::folder::files;

use crate::merge::merge;
use crate::scores::{IDS, entropies, toy, various_logits};
use crate::toy::{CLASSES, Toy, executable, floats, labels};

#[test]
fn the_context_adds_columns_and_changes_nothing_else() -> Result<()> {
    let toy = Toy::new()?;
    let more = ["--thresholds", "0.25", "--compat-names"];
    toy.run("plain", &more)?;
    toy.run("context", &[&more[..], &["--context"]].concat())?;
    let arguments =
        |output: &str| -> Result<_> { Ok(Manifest::read(&toy.path(output))?.arguments) };
    assert!(arguments("plain")?.get("context").is_none());
    assert_eq!(arguments("context")?["context"], true);
    let (plain, context) = (files(&toy.path("plain"))?, files(&toy.path("context"))?);
    assert!(plain.keys().eq(context.keys()));
    for (name, bytes) in &plain {
        let has_metrics = name.ends_with("segments.parquet") || name == "manifest.json";
        assert_eq!(has_metrics, *bytes != context[name], "{name}");
    }
    let basis = Basis::logits(CLASSES);
    for folder in ["", "thresholds/0.25"] {
        let table = schema::segments_of(basis);
        let [plain, context] = ["plain", "context"].map(|output| toy.path(output).join(folder));
        let before = read_table(&plain.join(table.file_name()), &table)?;
        let table = schema::segments_of(basis.with_context());
        let after = read_table(&context.join(table.file_name()), &table)?;
        assert!(after.height() > 0);
        assert_eq!(after.width(), before.width() + 22 + CLASSES);
        assert!(
            after
                .select(before.get_column_names_owned())?
                .equals(&before)
        );
        assert!(
            floats(&after, "solidity")?
                .iter()
                .all(|s| (0.0..=1.0).contains(s))
        );
        // the contrast is computed even where the columns of the basis do not have the score
        assert!(floats(&after, "ring_contrast")?.iter().any(|c| *c > 0.0));
    }
    Ok(())
}

#[test]
fn merged_shards_have_the_context_of_one_call() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("whole", &["--context"])?;
    toy.run("0", &["--context", "--shard", "0/2"])?;
    toy.run("1", &["--context", "--shard", "1/2"])?;
    succeed(&mut merge(&toy, "merged", &["1", "0"]))?;
    assert!(files(&toy.path("whole"))? == files(&toy.path("merged"))?);
    Ok(())
}

#[test]
fn score_maps_have_the_context_that_needs_no_classes() -> Result<()> {
    let toy = toy(entropies)?;
    let mut command = executable();
    for (flag, folder) in [
        ("--scores", "scores"),
        ("--labels", "labels"),
        ("--output", "out"),
    ] {
        command.arg(flag).arg(toy.path(folder));
    }
    succeed(command.args(["--threshold", "0.6", "--context"]))?;
    let table = schema::segments_of(Basis::adopted().with_context());
    let written = toy.table("out", &table)?;
    let plain = schema::segments_of(Basis::adopted());
    assert_eq!(written.width(), plain.columns.len() + 18);
    // images in memory, whose entropy is thresholded, have the same segments
    let mut rows = written.clear();
    let columns = ["solidity", "ring_size_rel", "ring_contrast", "ring_raised"];
    rows = rows.select(columns)?;
    for id in IDS {
        let (logits, mask) = (various_logits(id, false)?, labels(id));
        let measured = measure(&Request {
            pixels: Pixels::of_logits(&logits),
            labels: Some(&mask),
            segmentation: Segmentation {
                score: Score::Entropy,
                threshold: 0.6,
                min_size: 0,
                min_object_size: 0,
            },
            additional_thresholds: &[],
            has_context: true,
        })?;
        rows = rows.vstack(&measured.segments(id)?.select(columns)?)?;
    }
    assert!(rows.height() > 2);
    for column in columns {
        let (of_maps, of_logits) = (floats(&written, column)?, floats(&rows, column)?);
        assert_eq!(of_maps.len(), of_logits.len());
        for (a, b) in of_maps.iter().zip(of_logits) {
            assert!((a - b).abs() < 1e-6, "{column}: {a} {b}");
        }
    }
    Ok(())
}
