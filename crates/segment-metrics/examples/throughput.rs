//! Time and memory per image of 1024x2048 pixels and 19 classes from logits of a quarter of the size, on one thread.
//!
//! `cargo run --release -p segment-metrics --example throughput`

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::labels::EvalLabel;
use artifacts::logits::{Logits, LogitsInfo};
use artifacts::mask::Mask;
use artifacts::score::Score;
use artifacts::vectorized;
use measures::entropy_terms::neg_x_ln_x;
use measures::pixel_row::PixelRow;
use measures::vector::exp;
use multiversion::target::target_cfg_f;
use segment_metrics::analysis::Segmentation;
use segment_metrics::pixels::Pixels;
use segment_metrics::sample::{Request, measure};
use stage_cli::print_result;

const CLASSES: usize = 19;
const HEIGHT: usize = 1024;
const WIDTH: usize = 2048;

fn main() -> Result<()> {
    let segmentation = Segmentation {
        score: Score::Entropy,
        threshold: 0.7,
        min_size: 0,
        min_object_size: 0,
    };
    let mut labels = Mask::filled(WIDTH, HEIGHT, EvalLabel::In as u8);
    for row in labels.labels.chunks_exact_mut(WIDTH).skip(400).take(200) {
        row[900..1300].fill(EvalLabel::Out as u8);
    }
    for (contrast, ripple) in [(6.0, 0.3), (3.0, 0.3), (3.0, 1.5), (1.0, 0.3)] {
        let logits = waves(contrast, ripple)?;
        let before = peak_memory()?;
        let request = Request {
            pixels: Pixels::of_logits(&logits),
            labels: Some(&labels),
            segmentation,
            additional_thresholds: &[],
            has_context: false,
        };
        let metrics = measure(&request)?.metrics;
        let memory = peak_memory()? - before;
        let flagged: u64 = metrics.matching.segments.iter().map(|s| s.sums.size).sum();
        let n_segments = metrics.matching.segments.len();
        drop(metrics);
        let [all, with_context] = [false, true].map(|has_context| {
            let request = Request {
                has_context,
                ..request
            };
            shortest(|| {
                let _ = black_box(measure(&request));
            })
        });
        let scores_only = shortest(|| fill_rows(&logits));
        print_result(format_args!(
            "{:5.1} % flagged, {n_segments:4} segments: {all:6.1?}, of which {scores_only:6.1?} for upsampling, softmax and entropy; \
             {with_context:6.1?} with --context; peak memory grows by {memory} MB",
            100.0 * flagged as f64 / (WIDTH * HEIGHT) as f64,
        ));
    }
    let limit = shortest(exponentials);
    print_result(format_args!(
        "{limit:6.1?} for the exponentials and the terms of the entropy alone, from registers"
    ));
    Ok(())
}

/// Largest resident size so far, in MB (Linux).
fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let number = line.and_then(|l| l.split_whitespace().next());
    Ok(number.context("no VmHWM")?.parse::<u64>()? / 1024)
}

vectorized! {
    /// One exponential and one term of the entropy for each class and pixel.
    fn exponentials() {
        let fused = target_cfg_f!(target_feature = "fma");
        let values: [f32; 64] = std::array::from_fn(|i| -(i as f32) / 7.0);
        let mut sums = [0.0; 64];
        for _ in 0..CLASSES * HEIGHT * WIDTH / 64 {
            let terms = neg_x_ln_x(&black_box(values).map(exp), fused);
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += term;
            }
        }
        black_box(sums);
    }
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
    let mut reader = logits.row_reader();
    let mut row_logits = vec![0.0; CLASSES * WIDTH];
    let mut row = PixelRow::new(CLASSES, WIDTH);
    for y in 0..HEIGHT {
        reader.read(y, &mut row_logits);
        row.fill_from_logits(&row_logits);
        black_box(&row);
    }
}

/// Smooth logits, different in each class; the entropy falls with the contrast, and the ripple makes many segments.
fn waves(contrast: f32, ripple: f32) -> Result<Logits> {
    let (height, width) = (HEIGHT / 4, WIDTH / 4);
    let info = LogitsInfo {
        sample_id: "waves".into(),
        network: "none".into(),
        output_height: HEIGHT,
        output_width: WIDTH,
        align_corners: false,
        classes: ClassSet::unnamed(CLASSES)?,
    };
    let value = |i: usize| {
        let class = (i / (height * width)) as f32;
        let (y, x) = ((i / width % height) as f32, (i % width) as f32);
        let wave = (y * 0.004 * (class + 1.0) + class).sin() + (x * 0.003 * (20.0 - class)).cos();
        contrast * wave + ripple * (x * 1.7 + y * 2.3 + class).sin()
    };
    let values = (0..CLASSES * height * width).map(value).collect();
    Logits::new(info, [CLASSES, height, width], values)
}
