//! Measures how long exact held-out probabilities of 5,000 segments with 75 metrics take.
//!
//! `RAYON_NUM_THREADS=2 cargo run --release -p meta-clf --example leave_out`

use std::time::Instant;

use anyhow::Result;
use meta_clf::exact_folds::held_out;
use meta_clf::folds::{Folding, Folds, Scaling};
use meta_clf::segments::Segments;
use stage_cli::print_result;

const FEATURES: usize = 75;

fn main() -> Result<()> {
    let segments = random_segments(5_000, 1_000);
    for folds in [Folds::Segment, Folds::Image] {
        for scaling in [Scaling::AllRows, Scaling::InsideFold] {
            let ranges = folds.ranges(&segments.sample_ids, 0);
            let n_folds = ranges.len();
            let start = Instant::now();
            held_out(&segments, &Folding { ranges, scaling })?;
            let time = start.elapsed();
            print_result(format_args!(
                "{n_folds} folds by {folds:?}, {scaling:?}, with the fit to all: {time:.2?}"
            ));
        }
    }
    Ok(())
}

/// `n` segments with groups of correlated metrics, some skewed, some mostly zero, like those of real segments.
fn random_segments(n: usize, n_images: usize) -> Segments {
    let mut state = 7_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    let mut all = Segments {
        names: (0..FEATURES).map(|j| format!("metric_{j:02}")).collect(),
        ..Segments::default()
    };
    for i in 0..n {
        let common: Vec<f64> = (0..10).map(|_| random() - 0.5).collect();
        for j in 0..FEATURES {
            let mixed = common[j % 10] + 0.3 * common[(j + 3) % 10] + 0.2 * random();
            all.features.push(match j % 5 {
                0 => (4.0 * mixed).exp(),
                1 if mixed < 0.5 => 0.0,
                _ => mixed,
            });
        }
        let signal = 2.0 * common[0] - common[4] + common[7] * common[2];
        all.is_false_positive.push(signal + random() - 0.5 > 0.3);
        all.adjusted_iou.push(0.0);
        all.sample_ids.push(format!("{:05}", i * n_images / n));
        all.segment_ids.push(i as u32);
    }
    all
}
