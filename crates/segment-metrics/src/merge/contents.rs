//! What is taken from each shard one by one: component maps and pixel counts.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_atomic;
use artifacts::basis::Basis;
use artifacts::score::Score;
use artifacts::tables::columns::{IS_FALSE_POSITIVE, N_IN, N_OUT, SAMPLE_ID, SCORE};
use artifacts::tables::{features, read_table, read_table_parts, schema};
use measures::pixel_counts::BinCount;
use polars::prelude::DataFrame;

use crate::output::COMPONENTS;
use crate::pixel_sums::PixelSums;
use crate::tables::Layout;

/// Copies the component maps of all samples of a shard into the folder `to`.
pub(super) fn copy_components(shard: &Path, to: &Path) -> Result<()> {
    let table = schema::samples().with_optional_truth();
    let samples = read_table(&shard.join(table.file_name()), &table)?;
    for id in samples.column(SAMPLE_ID)?.str()?.iter().flatten() {
        let name = format!("{id}.png");
        let from = shard.join(COMPONENTS).join(&name);
        let bytes = fs::read(&from).with_context(|| {
            let from = from.display();
            format!("could not read {from}: run the shard again with --force")
        })?;
        write_atomic(&to.join(name), |w| Ok(w.write_all(&bytes)?))?;
    }
    Ok(())
}

/// Adds the pixel counts of a shard to `sums`.
pub(super) fn add_pixels(shard: &Path, sums: &mut PixelSums) -> Result<()> {
    let table = schema::pixel_counts();
    let path = shard.join(table.file_name());
    for rows in read_table_parts(&path, &table)? {
        add_rows(&rows?, sums).with_context(|| {
            let path = path.display();
            format!("{path} is damaged: run the shard again with --force")
        })?;
    }
    Ok(())
}

fn add_rows(rows: &DataFrame, sums: &mut PixelSums) -> Result<()> {
    let scores = rows.column(SCORE)?.str()?.iter();
    let has_ood = rows.column("has_ood")?.bool()?.iter();
    let bins = rows.column("bin")?.u32()?.iter();
    let n_in = rows.column(N_IN)?.u64()?.iter();
    let n_out = rows.column(N_OUT)?.u64()?.iter();
    let rows = scores.zip(has_ood).zip(bins).zip(n_in.zip(n_out));
    for (((score, has_ood), bin), (n_in, n_out)) in rows {
        let score = score.and_then(Score::of_name);
        let row = score.zip(has_ood).zip(bin).zip(n_in.zip(n_out));
        let (((score, has_ood), bin), (n_in, n_out)) =
            row.context("a row lacks a value or has an unknown score")?;
        let counts = sums.of_mut(has_ood).of_mut(score);
        let counts = counts.with_context(|| not_in_segments(score))?;
        counts.add_bin(BinCount { bin, n_in, n_out }, 1)?;
    }
    Ok(())
}

fn not_in_segments(score: Score) -> String {
    format!(
        "it counts the score {}, which the segments lack",
        score.name()
    )
}

/// Which tables and columns a shard has, which follows from those of its segments.
pub(super) fn layout(shard: &Path) -> Result<Layout> {
    let table = schema::segments_of(Basis::NOTHING).with_optional_truth();
    let mut parts = read_table_parts(&shard.join(table.file_name()), &table)?;
    let frame = parts.next().context("a table has at least one part")??;
    let basis = features::basis_of(&frame);
    let classes = features::classes_in(shard, basis.num_classes.unwrap_or(0))?;
    ensure!(
        !basis.scores().is_empty() && basis.num_classes.is_some() == classes.is_some(),
        "the segments in {} have neither classes nor another method's score: run the shard again with --force",
        shard.display()
    );
    Ok(Layout {
        classes,
        has_adopted: basis.has_adopted,
        has_context: basis.has_context,
        has_truth: frame.column(IS_FALSE_POSITIVE).is_ok(),
    })
}
