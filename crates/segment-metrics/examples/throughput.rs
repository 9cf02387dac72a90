//! Time per image of 1024x2048 pixels and 19 classes from logits of a quarter of the size, on one thread.
//!
//! `cargo run --release -p segment-metrics --example throughput`

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use artifacts::labels::EvalLabel;
use artifacts::logits::{Logits, LogitsInfo};
use artifacts::mask::Mask;
use artifacts::scores::{PixelRow, Score};
use segment_metrics::analysis::Segmentation;
use segment_metrics::analyze_logits;
use stage_cli::print_result;

const CLASSES: usize = 19;
const HEIGHT: usize = 1024;
const WIDTH: usize = 2048;

fn main() -> Result<()> {
    let segmentation = Segmentation {
        score: Score::Entropy,
        threshold: 0.7,
        min_size: 0,
    };
    let mut labels = Mask::filled(WIDTH, HEIGHT, EvalLabel::In as u8);
    for row in labels.labels.chunks_exact_mut(WIDTH).skip(400).take(200) {
        row[900..1300].fill(EvalLabel::Out as u8);
    }
    for contrast in [6.0, 3.0, 1.0] {
        let logits = waves(contrast)?;
        let metrics = analyze_logits(&logits, &labels, &segmentation);
        let flagged: u64 = metrics.segments.iter().map(|s| s.sums.size).sum();
        let all = shortest(|| {
            black_box(analyze_logits(&logits, &labels, &segmentation));
        });
        let scores_only = shortest(|| fill_rows(&logits));
        print_result(format_args!(
            "{:5.1} % flagged, {:3} segments: {all:6.1?}, of which {scores_only:6.1?} for upsampling, softmax and entropy",
            100.0 * flagged as f64 / (WIDTH * HEIGHT) as f64,
            metrics.segments.len()
        ));
    }
    Ok(())
}

fn shortest(mut work: impl FnMut()) -> Duration {
    let mut time = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..5).map(|_| time()).min().unwrap_or_default()
}

fn fill_rows(logits: &Logits) {
    let taps = logits.column_taps();
    let mut row_logits = vec![0.0; CLASSES * WIDTH];
    let mut row = PixelRow::new(CLASSES, WIDTH);
    for y in 0..HEIGHT {
        logits.row(y, &taps, &mut row_logits);
        row.fill_from_logits(&row_logits);
        black_box(&row);
    }
}

/// Smooth logits, different in each class; the entropy falls with the contrast.
fn waves(contrast: f32) -> Result<Logits> {
    let (height, width) = (HEIGHT / 4, WIDTH / 4);
    let info = LogitsInfo {
        sample_id: "waves".into(),
        network: "none".into(),
        output_height: HEIGHT,
        output_width: WIDTH,
        align_corners: false,
        num_classes: CLASSES,
    };
    let value = |i: usize| {
        let class = (i / (height * width)) as f32;
        let (y, x) = ((i / width % height) as f32, (i % width) as f32);
        let wave = (y * 0.004 * (class + 1.0) + class).sin() + (x * 0.003 * (20.0 - class)).cos();
        contrast * wave + 0.3 * (x * 1.7 + y * 2.3 + class).sin()
    };
    let values = (0..CLASSES * height * width).map(value).collect();
    Logits::new(info, [CLASSES, height, width], values)
}
