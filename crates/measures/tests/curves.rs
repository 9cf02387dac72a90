//! Curves from histograms against a brute-force sort of all pixels.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use artifacts::score::Score;
use measures::curves::{auprc, auroc, best_f1, fpr95, points};
use measures::pixel_counts::{BinCount, Histogram};
use measures::pixel_row::PixelRow;
use measures::score_bins::bin_of;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// AUROC, average precision and FPR95 as scikit-learn's definitions read, tied scores together.
fn brute_force(pixels: &[(f32, bool)]) -> [f64; 3] {
    let mut sorted = pixels.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n_out = sorted.iter().filter(|p| p.1).count() as f64;
    let n_in = sorted.len() as f64 - n_out;
    let (mut fp, mut tp, mut area, mut precision, mut fpr95) = (0.0, 0.0, 0.0, 0.0, None);
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let (last_fp, last_tp): (f64, f64) = (fp, tp);
        tp += tied.iter().filter(|p| p.1).count() as f64;
        fp += tied.iter().filter(|p| !p.1).count() as f64;
        area += (fp - last_fp) / n_in * (tp + last_tp) / (2.0 * n_out);
        precision += (tp - last_tp) / n_out * (tp / (tp + fp));
        if tp / n_out >= 0.95 {
            fpr95.get_or_insert(fp / n_in);
        }
    }
    [area, precision, fpr95.unwrap_or(1.0)]
}

/// F1 if pixels are flagged from `threshold` on.
fn f1(pixels: &[(f32, bool)], threshold: f32) -> f64 {
    let count = |flagged: bool, is_out: bool| {
        let is_counted = |p: &&(f32, bool)| (p.0 >= threshold) == flagged && p.1 == is_out;
        pixels.iter().filter(is_counted).count()
    };
    let twice = 2 * count(true, true);
    twice as f64 / (twice + count(true, false) + count(false, true)) as f64
}

fn histogram(pixels: &[(f32, bool)]) -> Result<Histogram> {
    let mut bins: BTreeMap<u32, BinCount> = BTreeMap::new();
    for &(score, is_out) in pixels {
        let bin = bin_of(score)?;
        let count = bins.entry(bin).or_insert(BinCount {
            bin,
            n_in: 0,
            n_out: 0,
        });
        *(if is_out {
            &mut count.n_out
        } else {
            &mut count.n_in
        }) += 1;
    }
    Ok(bins.into_values().collect())
}

fn ours(histogram: &[BinCount]) -> [Option<f64>; 3] {
    [auroc(histogram), auprc(histogram), fpr95(histogram)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Scores with ties, infinities among them, far enough apart to have bins of their own.
    #[test]
    fn tied_scores_agree_with_brute_force(
        pixels in prop::collection::vec((-40i8..40, any::<bool>()), 2..300)
    ) {
        let score = |s: i8| match s {
            -40 => f32::NEG_INFINITY,
            39 => f32::INFINITY,
            s => f32::from(s) / 8.0,
        };
        let pixels: Vec<_> = pixels.into_iter().map(|(s, o)| (score(s), o)).collect();
        let histogram = histogram(&pixels).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let both = pixels.iter().any(|p| p.1) && pixels.iter().any(|p| !p.1);
        if both {
            for (a, b) in ours(&histogram).into_iter().zip(brute_force(&pixels)) {
                prop_assert!(a.is_some_and(|a| (a - b).abs() < 1e-12), "{a:?} instead of {b}");
            }
            let (best, threshold) = best_f1(&histogram).ok_or_else(|| TestCaseError::fail("no F1"))?;
            prop_assert_eq!(f1(&pixels, threshold), best);
            for &(score, _) in &pixels {
                // no threshold is better, and none as good is higher
                let other = f1(&pixels, score);
                let is_worse = other < best || (other == best && bin_of(score).ok() <= bin_of(threshold).ok());
                prop_assert!(is_worse, "{other} at {score} instead of {best} at {threshold}");
            }
            let curve = points(&histogram);
            prop_assert!(curve.is_sorted_by(|a, b| a.true_positive_rate <= b.true_positive_rate));
            prop_assert_eq!(curve.last().map(|p| p.true_positive_rate), Some(1.0));
        } else {
            prop_assert_eq!(ours(&histogram), [None; 3]);
            prop_assert_eq!(best_f1(&histogram), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    /// Scores of all magnitudes between 1e-38 and 1e4, negative ones too: their logarithms are normal, so that they may lie in
    /// one octave or in all.
    #[test]
    fn scores_of_any_magnitude_agree_with_an_exact_sort(
        seed: u64,
        center in -38.0..4.0_f64,
        spread in 0.5..20.0_f64,
        shift in -2.0..2.0_f64,
        is_signed: bool,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pixel = || {
            let is_out = rng.random_bool(0.3);
            let shift = if is_out { shift * spread } else { 0.0 };
            let exponent = center + shift + spread * normal(&mut rng);
            // beyond the ends of the range, any magnitude: one value would be a tie of many
            let exponent = if (-38.0..4.0).contains(&exponent) {
                exponent
            } else {
                rng.random_range(-38.0..4.0)
            };
            let sign = if is_signed && rng.random() { -1.0 } else { 1.0 };
            ((sign * 10_f64.powf(exponent)) as f32, is_out)
        };
        let pixels: Vec<_> = (0..100_000).map(|_| pixel()).collect();
        check_against_sort(&pixels).map_err(|e| TestCaseError::fail(e.to_string()))?;
    }
}

/// Figures of networks whose first logit leads by up to 80, for scores like e^−lead (entropy, probabilities) and −lead (logits).
#[test]
fn sure_networks_agree_with_an_exact_sort() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    for (lead, spread) in [
        (10.0, 3.0),
        (22.0, 3.0),
        (40.0, 4.0),
        (60.0, 6.0),
        (76.0, 8.0),
    ] {
        let mut pixel = || {
            let is_out = rng.random_bool(0.1);
            let lead = lead + spread * (normal(&mut rng) - if is_out { 1.8 } else { 0.0 });
            (lead as f32, is_out)
        };
        let leads: Vec<_> = (0..1_000_000).map(|_| pixel()).collect();
        let scores =
            |of: fn(f32) -> f32| leads.iter().map(|&(l, o)| (of(l), o)).collect::<Vec<_>>();
        check_against_sort(&scores(|lead| -lead))?;
        check_against_sort(&scores(|lead| f64::exp(-f64::from(lead)) as f32))?;
    }
    Ok(())
}

/// Figures from logits beside an exact sort of entropies in double precision: leads around 17, where f32 rounds the largest
/// probability to 1, and 22.
#[test]
fn entropies_of_sure_networks_agree_with_double_precision() -> Result<()> {
    const WIDTH: usize = 200_000;
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    for center in [17.0, 22.0] {
        let mut logits = vec![0.0_f32; 4 * WIDTH];
        let mut exact = Vec::new();
        let mut is_out = Vec::new();
        for x in 0..WIDTH {
            let out = rng.random_bool(0.1);
            let lead = center + 3.0 * (normal(&mut rng) - if out { 1.8 } else { 0.0 });
            let z: [f64; 4] = [f64::from(lead.max(0.0) as f32), 0.0, -1.0, -1.0];
            for (class, z) in z.into_iter().enumerate() {
                logits[class * WIDTH + x] = z as f32;
            }
            let rest: f64 = z[1..].iter().map(|other| (other - z[0]).exp()).sum();
            let log_sum = rest.ln_1p();
            let terms = z.map(|other| (log_sum + z[0] - other) * (other - z[0] - log_sum).exp());
            exact.push((terms.iter().sum::<f64>() as f32, out));
            is_out.push(out);
        }
        let mut row = PixelRow::new(4, WIDTH);
        row.fill_from_logits(&logits);
        let pixels = (0..WIDTH).map(|x| (row.score(Score::Entropy, x), is_out[x]));
        check_histogram(&histogram(&pixels.collect::<Vec<_>>())?, &exact)?;
    }
    Ok(())
}

/// Fails if a figure is off by more than 1e-5, or the FPR95, which counts whole pixels, by more than that and a pixel.
fn check_against_sort(pixels: &[(f32, bool)]) -> Result<()> {
    check_histogram(&histogram(pixels)?, pixels)
}

/// The same for a histogram of the pixels.
fn check_histogram(histogram: &[BinCount], pixels: &[(f32, bool)]) -> Result<()> {
    let exact = brute_force(pixels);
    let binned = ours(histogram);
    let one_pixel = 1.0 / pixels.iter().filter(|p| !p.1).count() as f64;
    let tolerances = [1e-5, 1e-5, 1e-5 + one_pixel];
    for ((a, b), tolerance) in binned.into_iter().zip(exact).zip(tolerances) {
        let is_close = a.is_some_and(|a| (a - b).abs() <= tolerance);
        ensure!(is_close, "{binned:?} instead of {exact:?}");
    }
    Ok(())
}

/// A number of about the standard normal distribution.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// Entropies of a network that is mostly certain of what it knows and mostly uncertain of what it does not.
fn realistic(seed: u64, n: usize, overlap: f32) -> Vec<(f32, bool)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut pixel = || {
        let is_out = rng.random_bool(0.1);
        let normal: f32 = (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
        let center = if is_out { overlap } else { -2.5 };
        (1.0 / (1.0 + (-(center + 1.3 * normal)).exp()), is_out)
    };
    (0..n).map(|_| pixel()).collect()
}

/// The error of average precision and FPR95 is at most the share of pixels in one bin: scores are said to be exact to 1e-5.
#[test]
fn bins_agree_with_an_exact_sort() -> Result<()> {
    for (seed, overlap) in [
        (1, -1.5),
        (2, 0.0),
        (3, 1.5),
        (4, -2.0),
        (5, -0.5),
        (6, 0.5),
        (7, 1.0),
        (8, 2.0),
    ] {
        let pixels = realistic(seed, 1_000_000, overlap);
        let exact = brute_force(&pixels);
        let binned = ours(&histogram(&pixels)?).map(|v| v.unwrap_or(f64::NAN));
        let differences: Vec<f64> = binned
            .iter()
            .zip(exact)
            .map(|(a, b)| (a - b).abs())
            .collect();
        for (figure, (difference, tolerance)) in ["AUROC", "AUPRC", "FPR95"]
            .iter()
            .zip(differences.iter().zip([1e-7, 1e-5, 1e-5]))
        {
            assert!(
                *difference < tolerance,
                "{figure} of seed {seed}: {differences:?}"
            );
        }
    }
    Ok(())
}
