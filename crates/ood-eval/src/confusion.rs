//! Pixels per pair of true and predicted class, and what follows from them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::labels::{IGNORE, NUM_CLASSES};
use artifacts::tables::{read_table, schema, write_table};
use polars::prelude::{Column, DataFrame, IntoColumn, IntoSeries, UInt8Chunked};

/// Pixels `[true class][predicted class]`; void pixels are in none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<u64>,
}

impl Default for Confusion {
    fn default() -> Self {
        Self {
            counts: vec![0; NUM_CLASSES * NUM_CLASSES],
        }
    }
}

impl Confusion {
    /// Counts pixels; `truth` holds train ids or [`IGNORE`], `predicted` train ids.
    pub fn count(&mut self, truth: &[u8], predicted: &[u8]) {
        for (&t, &p) in truth.iter().zip(predicted).filter(|&(&t, _)| t != IGNORE) {
            self.counts[usize::from(t) * NUM_CLASSES + usize::from(p)] += 1;
        }
    }

    /// Adds the pixels of `other`.
    #[must_use]
    pub fn merge(mut self, other: &Self) -> Self {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
        self
    }

    /// Pixels of `truth` that are predicted as `predicted`.
    pub fn pixels(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * NUM_CLASSES + predicted]
    }

    /// Pixels of `truth`.
    pub fn true_pixels(&self, truth: usize) -> u64 {
        (0..NUM_CLASSES).map(|p| self.pixels(truth, p)).sum()
    }

    fn predicted_pixels(&self, predicted: usize) -> u64 {
        (0..NUM_CLASSES).map(|t| self.pixels(t, predicted)).sum()
    }

    /// Share of pixels whose class is right; `None` without pixels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let right: u64 = (0..NUM_CLASSES).map(|c| self.pixels(c, c)).sum();
        ratio(right, self.counts.iter().sum())
    }

    /// Intersection over union of a class, TP / (TP + FP + FN); `None` for a class that occurs neither in the truth
    /// nor in the prediction.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let both = self.pixels(class, class);
        ratio(
            both,
            self.true_pixels(class) + self.predicted_pixels(class) - both,
        )
    }

    /// Mean `IoU` of the classes that have true pixels; `None` without any.
    ///
    /// On a whole benchmark, where every class occurs, this is the Cityscapes figure. On a few images, a class that
    /// has no true pixel would count as 0 there as soon as one pixel is predicted so
    /// ([`Confusion::mean_iou_with_absent`]).
    pub fn mean_iou(&self) -> Option<f64> {
        self.mean_iou_where(|c| self.true_pixels(c) > 0)
    }

    /// Mean `IoU` of the classes that occur in the truth or in the prediction.
    ///
    /// Source: cityscapesScripts, `evalPixelLevelSemanticLabeling.getIouScoreForLabel`, where only classes with an
    /// empty union are not a number.
    pub fn mean_iou_with_absent(&self) -> Option<f64> {
        self.mean_iou_where(|_| true)
    }

    fn mean_iou_where(&self, counts: impl Fn(usize) -> bool) -> Option<f64> {
        let classes = (0..NUM_CLASSES).filter(|&c| counts(c));
        let ious: Vec<f64> = classes.filter_map(|c| self.iou(c)).collect();
        (!ious.is_empty()).then(|| ious.iter().sum::<f64>() / ious.len() as f64)
    }

    /// Writes `confusion.parquet` into `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let table = schema::confusion();
        let classes = 0..NUM_CLASSES as u8;
        let pairs = classes
            .clone()
            .flat_map(|t| classes.clone().map(move |p| (t, p)));
        let (truth, predicted): (Vec<u8>, Vec<u8>) = pairs.unzip();
        let bytes = |name: &str, values| {
            UInt8Chunked::from_vec(name.into(), values)
                .into_series()
                .into_column()
        };
        let frame = DataFrame::new_infer_height(vec![
            bytes("true_class", truth),
            bytes("predicted_class", predicted),
            Column::new("n_pixels".into(), &self.counts),
        ])?;
        write_table(&dir.join(table.file_name()), &table, &frame)
    }

    /// Reads `confusion.parquet` of `dir`.
    ///
    /// # Errors
    /// If it is absent, damaged or names a class that does not exist.
    pub fn read(dir: &Path) -> Result<Self> {
        let table = schema::confusion();
        let path = dir.join(table.file_name());
        let frame = read_table(&path, &table)?;
        let mut confusion = Self::default();
        let column = |name: &str| -> Result<Vec<u8>> {
            Ok(frame.column(name)?.u8()?.into_no_null_iter().collect())
        };
        let pixels = frame.column("n_pixels")?.u64()?.into_no_null_iter();
        let pairs = column("true_class")?
            .into_iter()
            .zip(column("predicted_class")?);
        for ((t, p), n) in pairs.zip(pixels) {
            let (t, p) = (usize::from(t), usize::from(p));
            ensure!(
                t < NUM_CLASSES && p < NUM_CLASSES,
                "{} names class {}, but there are {NUM_CLASSES}: run `{}` again",
                path.display(),
                t.max(p),
                table.written_by
            );
            let count = &mut confusion.counts[t * NUM_CLASSES + p];
            *count = count.checked_add(n).context("pixel counts overflow")?;
        }
        Ok(confusion)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_few_pixels() {
        let mut confusion = Confusion::default();
        confusion.count(&[0, 0, 0, 1, 1, IGNORE], &[0, 0, 1, 1, 2, 5]);
        assert_eq!(confusion.pixel_accuracy(), Some(0.6));
        assert_eq!(confusion.iou(0), Some(2.0 / 3.0));
        assert_eq!(confusion.iou(1), Some(1.0 / 3.0));
        assert_eq!((confusion.iou(2), confusion.iou(5)), (Some(0.0), None));
        assert_eq!(confusion.mean_iou(), Some(0.5));
        assert_eq!(confusion.mean_iou_with_absent(), Some(1.0 / 3.0));
        assert_eq!(Confusion::default().mean_iou(), None);
    }
}
