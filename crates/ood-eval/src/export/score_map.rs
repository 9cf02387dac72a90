//! The score of each pixel of an image, from logits or from the map of another method.

use artifacts::logits::Logits;
use artifacts::score::Score;
use measures::pixel_row::PixelRow;

/// The score of each pixel of an image.
pub(super) struct ScoreMap {
    pub(super) score: Score,
    /// Number of columns.
    pub(super) width: usize,
    /// Number of rows.
    pub(super) height: usize,
    /// `[height, width]`, row-major.
    pub(super) values: Vec<f32>,
}

impl ScoreMap {
    /// The map of `logits` at their output size.
    pub(super) fn of(logits: &Logits, score: Score) -> Self {
        Self {
            score,
            width: logits.info.output_width,
            height: logits.info.output_height,
            values: score_map(logits, score),
        }
    }

    /// The map of another method at its output size.
    pub(super) fn of_adopted(map: &artifacts::score_map::ScoreMap) -> Self {
        let (width, height) = (map.output_width, map.output_height);
        let mut reader = map.row_reader();
        let mut values = vec![0.0; width * height];
        for (y, row) in values.chunks_exact_mut(width).enumerate() {
            reader.read(y, row);
        }
        Self {
            score: Score::Adopted,
            width,
            height,
            values,
        }
    }
}

/// The `score` of each pixel at the output size of the logits, `[height, width]`, row-major.
pub fn score_map(logits: &Logits, score: Score) -> Vec<f32> {
    let (width, classes) = (logits.info.output_width, logits.info.num_classes());
    let (mut reader, mut row_logits) = (logits.row_reader(), vec![0.0; classes * width]);
    let mut row = PixelRow::new(classes, width);
    let mut values = vec![0.0; width * logits.info.output_height];
    for (y, values) in values.chunks_exact_mut(width).enumerate() {
        reader.read(y, &mut row_logits);
        row.fill_from_logits(&row_logits);
        row.map_scores(score, values, |s| s);
    }
    values
}
