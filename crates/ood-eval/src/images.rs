//! `images.parquet` and `images.csv`: the pixel figures of every image, score, data set and run.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_bytes;
use artifacts::score::Score;
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::evaluate::{csv_number, csv_text};
use crate::runs::Run;
use crate::sample_pixels::SamplePixels;

/// An image with one score of one run.
struct Row<'a> {
    run: &'a str,
    dataset: &'a str,
    sample_id: &'a str,
    pixels: &'a SamplePixels,
}

/// Writes both tables; runs and data sets whose images are not known have no rows.
pub(crate) fn write(runs: &[Run], dir: &Path) -> Result<()> {
    let rows = rows(runs);
    let table = schema::images();
    write_table(&dir.join(table.file_name()), &table, &frame(&rows)?)?;
    write_bytes(&dir.join("images.csv"), csv(&rows).as_bytes())
}

fn rows(runs: &[Run]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for run in runs {
        for (dataset, data) in &run.datasets {
            let samples = data.samples.iter();
            let scores = samples.flat_map(|(all, _)| all.chunks(Score::ALL.len()));
            for (sample_id, scores) in data.detections.sample_ids.iter().zip(scores) {
                rows.extend(scores.iter().map(|pixels| Row {
                    run: &run.name,
                    dataset,
                    sample_id,
                    pixels,
                }));
            }
        }
    }
    rows
}

fn frame(rows: &[Row]) -> Result<DataFrame> {
    let texts = |name: &str, of: fn(&Row) -> String| {
        let values: Vec<String> = rows.iter().map(of).collect();
        Column::new(name.into(), values)
    };
    let counts = |name: &str, of: fn(&SamplePixels) -> u64| {
        let values: Vec<u64> = rows.iter().map(|r| of(r.pixels)).collect();
        Column::new(name.into(), values)
    };
    let figures = |name: &str, of: fn(&SamplePixels) -> Option<f64>| {
        let values: Vec<Option<f64>> = rows.iter().map(|r| of(r.pixels)).collect();
        Column::new(name.into(), values)
    };
    Ok(DataFrame::new_infer_height(vec![
        texts("run", |r| r.run.to_owned()),
        texts("dataset", |r| r.dataset.to_owned()),
        texts("sample_id", |r| r.sample_id.to_owned()),
        texts("score", |r| r.pixels.score.name().to_owned()),
        counts("n_in", |p| p.n_in),
        counts("n_out", |p| p.n_out),
        figures("auroc", |p| p.auroc),
        figures("auprc", |p| p.auprc),
        figures("fpr95", |p| p.fpr95),
    ])?)
}

fn csv(rows: &[Row]) -> String {
    let mut text = "run,dataset,sample_id,score,n_in,n_out,auroc,auprc,fpr95\n".to_owned();
    for row in rows {
        let p = row.pixels;
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{}",
            csv_text(row.run),
            csv_text(row.dataset),
            row.sample_id,
            p.score.name(),
            p.n_in,
            p.n_out,
            csv_number(p.auroc),
            csv_number(p.auprc),
            csv_number(p.fpr95)
        );
    }
    text
}
