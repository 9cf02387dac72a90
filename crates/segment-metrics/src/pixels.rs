//! What is known of the pixels of one image: logits, the score map of another method, or both.

use artifacts::basis::Basis;
use artifacts::logits::{Logits, RowReader};
use artifacts::score_map::ScoreMap;
use measures::pixel_row::PixelRow;

/// Logits, a score map, or both, of the same output size. They are upsampled row by row.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// The outputs of a network, if they are known.
    pub logits: Option<&'a Logits>,
    /// The score of another method, if there is one.
    pub scores: Option<&'a ScoreMap>,
}

impl<'a> Pixels<'a> {
    /// Logits alone.
    pub fn of_logits(logits: &'a Logits) -> Self {
        let (logits, scores) = (Some(logits), None);
        Self { logits, scores }
    }

    /// Which scores and metrics follow from them.
    pub fn basis(self) -> Basis {
        Basis {
            num_classes: self.logits.map(|logits| logits.info.num_classes()),
            has_adopted: self.scores.is_some(),
            has_context: false,
        }
    }

    /// Columns and rows after upsampling; `None` if nothing is known.
    pub fn size(self) -> Option<(usize, usize)> {
        let of_logits = |l: &Logits| (l.info.output_width, l.info.output_height);
        let of_scores = |s: &ScoreMap| (s.output_width, s.output_height);
        self.logits.map(of_logits).or(self.scores.map(of_scores))
    }

    /// A reader of the rows, which is fastest from the top down.
    pub(crate) fn rows(self) -> Rows<'a> {
        Rows {
            logits: self.logits.map(LogitRows::new),
            scores: self.scores.map(ScoreMap::row_reader),
        }
    }
}

/// Reads the rows of [`Pixels`].
pub(crate) struct Rows<'a> {
    logits: Option<LogitRows<'a>>,
    scores: Option<RowReader<'a>>,
}

/// Reads the rows of logits.
struct LogitRows<'a> {
    reader: RowReader<'a>,
    /// One row, `[C, W]`.
    values: Vec<f32>,
}

impl<'a> LogitRows<'a> {
    fn new(logits: &'a Logits) -> Self {
        let n_values = logits.info.num_classes() * logits.info.output_width;
        Self {
            reader: logits.row_reader(),
            values: vec![0.0; n_values],
        }
    }
}

impl Rows<'_> {
    /// Fills in row `y`, which was made for the same basis.
    pub(crate) fn fill(&mut self, y: usize, row: &mut PixelRow) {
        if let Some(LogitRows { reader, values }) = &mut self.logits {
            reader.read(y, values);
            row.fill_from_logits(values);
        }
        if let Some(reader) = &mut self.scores {
            reader.read(y, &mut row.adopted);
        }
    }
}
