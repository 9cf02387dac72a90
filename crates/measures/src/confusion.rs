//! The confusion matrix of the known classes, and the accuracy and `IoU` that follow from it.

use anyhow::{Context, Result, ensure};
use artifacts::labels::IGNORE;

/// Numbers of pixels per pair of true and predicted class; void pixels are not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    num_classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// No pixels of `num_classes` classes.
    pub fn new(num_classes: usize) -> Self {
        Self {
            num_classes,
            counts: vec![0; num_classes * num_classes],
        }
    }

    /// Number of classes.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// Counts pixels; `truth` holds train ids or [`IGNORE`], `predicted` train ids.
    pub fn count(&mut self, truth: &[u8], predicted: &[u8]) {
        for (&t, &p) in truth.iter().zip(predicted).filter(|&(&t, _)| t != IGNORE) {
            self.counts[usize::from(t) * self.num_classes + usize::from(p)] += 1;
        }
    }

    /// Adds `n` pixels of `truth` that are predicted as `predicted`.
    ///
    /// # Errors
    /// Returns an error if there is no such class, or the sum does not fit into 64 bits.
    pub fn add(&mut self, truth: usize, predicted: usize, n: u64) -> Result<()> {
        let class = truth.max(predicted);
        ensure!(
            class < self.num_classes,
            "class {class} does not exist: there are {}",
            self.num_classes
        );
        let count = &mut self.counts[truth * self.num_classes + predicted];
        *count = count.checked_add(n).context("pixel counts overflow")?;
        Ok(())
    }

    /// Adds the pixels of `other`.
    #[must_use]
    pub fn merge(mut self, other: &Self) -> Self {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
        self
    }

    /// Number of pixels of class `truth` that are predicted as `predicted`.
    pub fn pixels(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.num_classes + predicted]
    }

    /// Number of pixels of class `truth`.
    pub fn true_pixels(&self, truth: usize) -> u64 {
        (0..self.num_classes).map(|p| self.pixels(truth, p)).sum()
    }

    fn predicted_pixels(&self, predicted: usize) -> u64 {
        (0..self.num_classes)
            .map(|t| self.pixels(t, predicted))
            .sum()
    }

    /// Share of pixels whose class is predicted correctly, in [0, 1]; `None` without pixels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let right: u64 = (0..self.num_classes).map(|c| self.pixels(c, c)).sum();
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
        let classes = (0..self.num_classes).filter(|&c| counts(c));
        let ious: Vec<f64> = classes.filter_map(|c| self.iou(c)).collect();
        (!ious.is_empty()).then(|| ious.iter().sum::<f64>() / ious.len() as f64)
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
        let mut confusion = Confusion::new(19);
        confusion.count(&[0, 0, 0, 1, 1, IGNORE], &[0, 0, 1, 1, 2, 5]);
        assert_eq!(confusion.pixel_accuracy(), Some(0.6));
        assert_eq!(confusion.iou(0), Some(2.0 / 3.0));
        assert_eq!(confusion.iou(1), Some(1.0 / 3.0));
        assert_eq!((confusion.iou(2), confusion.iou(5)), (Some(0.0), None));
        assert_eq!(confusion.mean_iou(), Some(0.5));
        assert_eq!(confusion.mean_iou_with_absent(), Some(1.0 / 3.0));
        assert_eq!(Confusion::new(19).mean_iou(), None);
    }
}
