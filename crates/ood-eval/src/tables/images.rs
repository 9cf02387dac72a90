//! `images.parquet` and `images.csv`: the numbers of every image, score, data set and run.

use anyhow::Result;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use super::csv::{csv_line, csv_number, csv_text};
use crate::read::runs::Run;
use crate::read::sample_pixels::{ImagePixels, SamplePixels};

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
            let scores = data.samples.iter().flat_map(ImagePixels::by_image);
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

/// The table [`images`](artifacts::tables::schema::images).
///
/// # Errors
/// Returns an error if the columns do not fit together.
pub fn images_frame(rows: &[ImageRow<'_>]) -> Result<DataFrame> {
    let mut columns = vec![
        column("run", rows, |r| r.run),
        column("dataset", rows, |r| r.dataset),
        column("sample_id", rows, |r| r.sample_id),
        column("score", rows, |r| r.pixels.score.name()),
        column("n_in", rows, |r| r.pixels.n_in),
        column("n_out", rows, |r| r.pixels.n_out),
    ];
    for (name, of) in SamplePixels::COLUMNS {
        columns.push(column(name, rows, |r| of(r.pixels)));
    }
    Ok(DataFrame::new_infer_height(columns)?)
}

fn column<'a, T>(name: &str, rows: &'a [ImageRow<'_>], of: impl Fn(&'a ImageRow<'_>) -> T) -> Column
where
    Series: NamedFrom<Vec<T>, [T]>,
{
    Series::new(name.into(), rows.iter().map(of).collect::<Vec<T>>()).into()
}

/// The same as CSV.
pub fn images_csv(rows: &[ImageRow<'_>]) -> String {
    let keys = ["run", "dataset", "sample_id", "score", "n_in", "n_out"];
    let names = keys
        .into_iter()
        .chain(SamplePixels::COLUMNS.map(|(name, _)| name));
    let mut text = csv_line(names.map(str::to_owned));
    for row in rows {
        let p = row.pixels;
        let keys = [
            csv_text(row.run),
            csv_text(row.dataset),
            csv_text(row.sample_id),
            p.score.name().to_owned(),
            p.n_in.to_string(),
            p.n_out.to_string(),
        ];
        let numbers = SamplePixels::COLUMNS.map(|(_, of)| csv_number(of(p)));
        text += &csv_line(keys.into_iter().chain(numbers));
    }
    text
}
