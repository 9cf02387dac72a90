//! `images.parquet` and `images.csv`: the numbers of every image, score, data set and run.

use anyhow::Result;
use artifacts::score::Score;
use artifacts::tables::schema;
use polars::prelude::{Column, DataFrame};

use super::csv::{csv_line, csv_number, csv_text};
use crate::read::runs::Run;
use crate::read::sample_pixels::SamplePixels;

/// An image with one score of one run.
pub struct ImageRow<'a> {
    run: &'a str,
    dataset: &'a str,
    sample_id: &'a str,
    pixels: &'a SamplePixels,
}

/// All rows; runs and data sets whose images are not known have none.
pub fn image_rows(runs: &[Run]) -> Vec<ImageRow<'_>> {
    let mut rows = Vec::new();
    for run in runs {
        for (dataset, data) in &run.datasets {
            let samples = data.samples.iter();
            let scores = samples.flat_map(|all| all.chunks(Score::ALL.len()));
            for (sample_id, scores) in data.detections.sample_ids.iter().zip(scores) {
                rows.extend(scores.iter().map(|pixels| ImageRow {
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

/// The table [`schema::images`].
///
/// # Errors
/// Returns an error if the columns do not fit together.
pub fn images_frame(rows: &[ImageRow<'_>]) -> Result<DataFrame> {
    let texts = |name: &str, of: fn(&ImageRow<'_>) -> String| {
        Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>())
    };
    let counts = |name: &str, of: fn(&SamplePixels) -> u64| {
        let values = rows.iter().map(|r| of(r.pixels));
        Column::new(name.into(), values.collect::<Vec<_>>())
    };
    let mut columns = vec![
        texts("run", |r| r.run.to_owned()),
        texts("dataset", |r| r.dataset.to_owned()),
        texts("sample_id", |r| r.sample_id.to_owned()),
        texts("score", |r| r.pixels.score.name().to_owned()),
        counts("n_in", |p| p.n_in),
        counts("n_out", |p| p.n_out),
    ];
    for (name, of) in SamplePixels::COLUMNS {
        let values = rows.iter().map(|r| of(r.pixels));
        columns.push(Column::new(name.into(), values.collect::<Vec<_>>()));
    }
    Ok(DataFrame::new_infer_height(columns)?)
}

/// The same as CSV.
pub fn images_csv(rows: &[ImageRow<'_>]) -> String {
    let columns = schema::images().columns.into_iter();
    let mut text = csv_line(columns.map(|field| field.name));
    for row in rows {
        let p = row.pixels;
        let keys = [
            csv_text(row.run),
            csv_text(row.dataset),
            row.sample_id.to_owned(),
            p.score.name().to_owned(),
            p.n_in.to_string(),
            p.n_out.to_string(),
        ];
        let numbers = SamplePixels::COLUMNS.map(|(_, of)| csv_number(of(p)));
        text += &csv_line(keys.into_iter().chain(numbers));
    }
    text
}
