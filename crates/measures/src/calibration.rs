//! Calibration: whether the confidence of a network agrees with how often it is right.
//!
//! The expected calibration error (Guo et al. 2017, Eq. 3): pixels are put into 15 equal bins of their confidence, the
//! largest softmax probability; the error is the mean over pixels of |share of right pixels − mean confidence| of their
//! bin. Void pixels do not count.

/// Number of bins.
pub const NUM_BINS: usize = 15;

/// Sums of confidences are integers of this unit, so that they do not depend on the order of pixels.
const UNITS: f64 = (1 << 24) as f64;

/// Pixels of each bin of confidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calibration {
    /// By growing confidence.
    pub bins: [Bin; NUM_BINS],
}

/// Pixels of one bin of confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Pixels.
    pub n_pixels: u64,
    /// Pixels whose class is right.
    pub n_right: u64,
    /// Sum of confidences in units of 2⁻²⁴.
    pub confidence: u64,
}

impl Calibration {
    /// Counts a pixel with a confidence in [0, 1] whose class is right or not.
    pub fn count(&mut self, confidence: f32, is_right: bool) {
        let confidence = f64::from(confidence);
        let bin = ((confidence * NUM_BINS as f64) as usize).min(NUM_BINS - 1);
        let bin = &mut self.bins[bin];
        bin.n_pixels += 1;
        bin.n_right += u64::from(is_right);
        bin.confidence += (confidence * UNITS).round() as u64;
    }

    /// Adds the pixels of `other`.
    #[must_use]
    pub fn merge(mut self, other: &Self) -> Self {
        for (a, b) in self.bins.iter_mut().zip(&other.bins) {
            a.n_pixels += b.n_pixels;
            a.n_right += b.n_right;
            a.confidence += b.confidence;
        }
        self
    }

    /// Expected calibration error, in [0, 1]; `None` without pixels.
    pub fn error(&self) -> Option<f64> {
        let n: u64 = self.bins.iter().map(|b| b.n_pixels).sum();
        let gap = |b: &Bin| (b.n_right as f64 - b.confidence as f64 / UNITS).abs();
        (n > 0).then(|| self.bins.iter().map(gap).sum::<f64>() / n as f64)
    }

    /// Mean confidence and share of right pixels of each bin that has pixels, from low to high confidence.
    pub fn reliability(&self) -> Vec<(f64, f64)> {
        let bins = self.bins.iter().filter(|b| b.n_pixels > 0);
        bins.map(Bin::means).collect()
    }
}

impl Bin {
    /// Mean confidence and share of right pixels; there is at least one pixel.
    fn means(&self) -> (f64, f64) {
        let n = self.n_pixels as f64;
        let confidence = self.confidence as f64 / UNITS / n;
        (confidence, self.n_right as f64 / n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_the_mean_gap() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.error(), None);
        for (confidence, is_right) in [(1.0, true), (1.0, false), (0.5, true), (0.5, true)] {
            calibration.count(confidence, is_right);
        }
        // half of the sure pixels are wrong, and half as many unsure ones are wrong as said
        assert_eq!(calibration.error(), Some(0.5));
        assert_eq!(calibration.reliability(), [(0.5, 1.0), (1.0, 0.5)]);
        assert_eq!(calibration.clone().merge(&calibration).error(), Some(0.5));
    }
}
