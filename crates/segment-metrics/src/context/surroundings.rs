//! Scores and predicted classes of segments and of their rings.

use crate::context::Scene;
use crate::features::mean_and_variance;
use crate::region_sums::Moments;

/// Sums over a segment and its ring.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    size: u64,
    /// Σ score over the segment.
    score: f64,
    ring_size: u64,
    ring: Moments,
    /// Pixels of the ring whose score is raised.
    n_raised: u64,
    /// Pixels by predicted class, `[C]`: of the segment, of the ring.
    classes: Vec<u64>,
    ring_classes: Vec<u64>,
}

/// Sums over all segments and over their rings, which are given by the segment of each pixel.
pub(super) fn surroundings(scene: &Scene<'_>, rings: &[u32]) -> Vec<Surroundings> {
    let n = scene.basis.num_classes.unwrap_or(0);
    let sizes = scene.sizes.iter();
    let mut sums: Vec<_> = sizes.map(|&size| Surroundings::new(size, n)).collect();
    let raised = f64::midpoint(scene.threshold.into(), background(scene));
    let owners = scene.segments.ids.iter().zip(rings);
    let pixels = scene.scores.iter().zip(scene.classes);
    for ((&id, &ring), (&score, &class)) in owners.zip(pixels) {
        if id > 0 {
            sums[id as usize - 1].add(score, class);
        } else if ring > 0 {
            let is_raised = f64::from(score) >= raised;
            sums[ring as usize - 1].add_to_ring(score, class, is_raised);
        }
    }
    sums
}

/// Mean score of the pixels of no segment, 0 without such pixels.
fn background(scene: &Scene<'_>) -> f64 {
    let (mut sum, mut n) = (0.0, 0_u64);
    for (&id, &score) in scene.segments.ids.iter().zip(scene.scores) {
        if id == 0 {
            sum += f64::from(score);
            n += 1;
        }
    }
    sum / n.max(1) as f64
}

impl Surroundings {
    /// Sums over nothing yet, for a segment of `size` pixels.
    fn new(size: u64, num_classes: usize) -> Self {
        Self {
            size,
            score: 0.0,
            ring_size: 0,
            ring: Moments::default(),
            n_raised: 0,
            classes: vec![0; num_classes],
            ring_classes: vec![0; num_classes],
        }
    }

    fn add(&mut self, score: f32, class: u8) {
        self.score += f64::from(score);
        if let Some(n) = self.classes.get_mut(usize::from(class)) {
            *n += 1;
        }
    }

    fn add_to_ring(&mut self, score: f32, class: u8, is_raised: bool) {
        self.ring_size += 1;
        self.ring.add(score);
        self.n_raised += u64::from(is_raised);
        if let Some(n) = self.ring_classes.get_mut(usize::from(class)) {
            *n += 1;
        }
    }

    /// Contrast, standard deviation and share of raised scores in the ring, and its relative size.
    pub(super) fn contrast(&self) -> [f64; 4] {
        let size = self.size as f64;
        let mut contrast = [0.0; 4];
        if self.ring_size > 0 {
            let (sum, squares) = (self.ring.sum, self.ring.squares);
            let (mean, variance) = mean_and_variance(sum, squares, self.ring_size);
            contrast = [
                self.score / size - mean,
                variance.max(0.0).sqrt(),
                self.share(self.n_raised),
                self.ring_size as f64 / size,
            ];
        }
        contrast
    }

    /// Distance between the predicted classes of segment and ring, and the entropy of those in the ring.
    pub(super) fn class_metrics(&self) -> [f64; 2] {
        if self.ring_size == 0 {
            return [0.0; 2];
        }
        let pairs = self.classes.iter().zip(self.ring_classes());
        let difference = |(&n, ring): (&u64, f64)| (n as f64 / self.size as f64 - ring).abs();
        let distance = pairs.map(difference).sum::<f64>() / 2.0;
        let entropy: f64 = self
            .ring_classes()
            .filter(|&share| share > 0.0)
            .map(|share| -share * share.ln())
            .sum();
        let largest = (self.classes.len().max(2) as f64).ln();
        // a single class has -1 ln 1, which is -0
        [distance, entropy.max(0.0) / largest]
    }

    /// Shares of the predicted classes in the ring, `[C]`.
    pub(super) fn ring_classes(&self) -> impl Iterator<Item = f64> {
        self.ring_classes.iter().map(|&n| self.share(n))
    }

    /// Share of the ring's pixels, 0 of none.
    fn share(&self, n: u64) -> f64 {
        n as f64 / self.ring_size.max(1) as f64
    }
}
