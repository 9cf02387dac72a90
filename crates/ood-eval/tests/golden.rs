//! Figures of the reference implementation and of `SegmentMeIfYouCan`'s benchmark.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use half::f16;
use ood_eval::calibration::Calibration;
use ood_eval::confusion::Confusion;
use ood_eval::detections::{Detections, Object, Overlap, Segment};
use ood_eval::distance_bands::Distance;
use ood_eval::reference_curves::{NUM_BINS, reference_curves};
use ood_eval::segment_scores::{object_sious, score_segments, segment_ppvs};
use serde_json::Value;

/// Goldens, `OODSEG_GOLDEN` or the checkout's copy.
fn golden() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    std::env::var_os("OODSEG_GOLDEN").map_or(default, PathBuf::from)
}

fn read_json(path: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn numbers(value: &Value) -> Result<Vec<f64>> {
    let list = value.as_array().context("a list")?;
    list.iter()
        .map(|v| v.as_f64().context("a number"))
        .collect()
}

fn bins(value: &Value) -> Result<[u64; NUM_BINS]> {
    let list = value.as_array().context("a list")?;
    let counts = list.iter().map(|v| v.as_u64().context("a count"));
    let counts: Vec<u64> = counts.collect::<Result<_>>()?;
    counts.try_into().ok().context("100 bins")
}

#[test]
fn golden_pixel_figures_of_the_reference() -> Result<()> {
    let cases = read_json(&golden().join("pixel/pixel.json"))?;
    let cases = cases.as_object().context("cases by name")?;
    assert!(!cases.is_empty());
    for (name, case) in cases {
        let ours = reference_curves(&bins(&case["counts_in"])?, &bins(&case["counts_out"])?);
        let expected = &case["reference"];
        for (figure, ours) in [
            ("auroc", ours.auroc),
            ("fpr95", ours.fpr95),
            ("auprc", ours.auprc),
        ] {
            let theirs = expected[figure].as_f64();
            let same = match (ours, theirs) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                (a, b) => a == b,
            };
            assert!(same, "{name}: {figure} is {ours:?} instead of {theirs:?}");
        }
    }
    Ok(())
}

/// Every folder of `closed_set` is a case; `closed_set/make.py` has made them with cityscapesScripts.
#[test]
fn golden_closed_set_figures_of_cityscapes_scripts() -> Result<()> {
    let dir = golden().join("closed_set");
    let expected = read_json(&dir.join("expected.json"))?;
    let cases = expected["cases"].as_object().context("cases by name")?;
    assert!(!cases.is_empty());
    for (name, case) in cases {
        let mut confusion = Confusion::default();
        for image in 0.. {
            let truth = dir.join(name).join(format!("{image}.truth.png"));
            if !truth.exists() {
                assert!(image > 0, "{name} has no images");
                break;
            }
            let pred = truth.with_file_name(format!("{image}.pred.png"));
            let truth = Mask::read(&truth, MaskKind::TrainId)?;
            confusion.count(&truth.labels, &Mask::read_raw(&pred)?.labels);
        }
        let close = |ours: Option<f64>, theirs: &Value| match (ours, theirs.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            (a, b) => a == b,
        };
        for (class, theirs) in case["iou"].as_array().context("a list")?.iter().enumerate() {
            let ours = confusion.iou(class);
            assert!(close(ours, theirs), "{name}, class {class}: {ours:?}");
        }
        for (figure, ours) in [
            ("mean_iou", confusion.mean_iou_with_absent()),
            ("pixel_accuracy", confusion.pixel_accuracy()),
        ] {
            let theirs = &case[figure];
            assert!(close(ours, theirs), "{name}: {figure} is {ours:?}");
        }
    }
    Ok(())
}

/// Confidences are rounded to 2^-24 in sums, hence the tolerance.
#[test]
fn golden_calibration_error() -> Result<()> {
    let expected = read_json(&golden().join("closed_set/expected.json"))?;
    let cases = expected["calibration"].as_object().context("cases")?;
    assert!(!cases.is_empty());
    for (name, case) in cases {
        let right = case["right"].as_array().context("a list")?;
        let mut calibration = Calibration::default();
        for (confidence, right) in numbers(&case["confidence"])?.into_iter().zip(right) {
            calibration.count(confidence as f32, right.as_bool().context("a bool")?);
        }
        let (ours, theirs) = (calibration.error(), case["error"].as_f64());
        let difference = ours.zip(theirs).map(|(a, b)| (a - b).abs());
        assert!(difference.is_some_and(|d| d < 1e-7), "{name}: {ours:?}");
    }
    Ok(())
}

/// What the benchmark's tool drops before it rates segments: predictions and objects under these sizes.
const TRACKS: [(&str, u64, u64); 2] = [("AnomalyTrack", 500, 100), ("ObstacleTrack", 50, 10)];

#[test]
fn golden_segment_figures_of_the_benchmark() -> Result<()> {
    let dir = golden().join("smiyc");
    let expected = read_json(&dir.join("expected.json"))?;
    let mut checked = 0;
    for (name, case) in expected["float16"].as_object().context("cases by name")? {
        for (track, min_segment, min_object) in TRACKS {
            if name.starts_with(&format!("SegEval-{track}@")) {
                let all = detections(&dir, &case["thresh_p"], min_segment, min_object)?;
                check_case(name, case, &all)?;
                checked += 1;
            }
        }
    }
    assert!(checked > 0);
    Ok(())
}

fn check_case(name: &str, case: &Value, all: &Detections) -> Result<()> {
    let kept = vec![true; all.segments.len()];
    let (siou, ppv) = (object_sious(all, &kept), segment_ppvs(all, &kept));
    let frames = case["frames"].as_array().context("frames")?;
    let pooled = |key: &str| -> Result<Vec<f64>> {
        let lists = frames.iter().map(|f| numbers(&f[key]));
        Ok(lists.collect::<Result<Vec<_>>>()?.concat())
    };
    for (what, ours, theirs) in [
        ("sIoU", &siou, pooled("sIoU_gt")?),
        ("PPV", &ppv, pooled("prec_pred")?),
    ] {
        assert_eq!(ours.len(), theirs.len(), "{name} {what}");
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((a - b).abs() < 1e-12, "{name} {what}: {a} instead of {b}");
        }
    }
    let scores = score_segments(all, &kept);
    let aggregate = &case["aggregate"];
    for (figure, ours) in [
        ("f1_mean", scores.f1),
        ("sIoU_gt", scores.siou),
        ("prec_pred", scores.ppv),
    ] {
        let theirs = aggregate[figure]
            .as_f64()
            .with_context(|| format!("{name} {figure}"))?;
        let ours = ours.with_context(|| format!("{name} {figure}"))?;
        assert!(
            (ours - theirs).abs() < 1e-12,
            "{name} {figure}: {ours} instead of {theirs}"
        );
    }
    Ok(())
}

/// Segments of scores above the threshold, joined with the objects of the masks.
fn detections(
    dir: &Path,
    threshold: &Value,
    min_segment: u64,
    min_object: u64,
) -> Result<Detections> {
    let threshold = threshold.as_f64().context("a threshold")?;
    let mut all = Detections::default();
    for frame in 0.. {
        let path = dir.join(format!("gt_{frame}.png"));
        if !path.exists() {
            break;
        }
        let mut truth = Mask::read_raw(&path)?;
        let scores = read_f16(&dir.join(format!("score_{frame}.npy")), truth.labels.len())?;
        let is_object: Vec<bool> = truth.labels.iter().map(|&v| v == 1).collect();
        let (mut objects, sizes) = components(&is_object, truth.width);
        for (at, object) in objects.iter_mut().enumerate() {
            if *object > 0 && sizes[*object - 1] < min_object {
                (*object, truth.labels[at]) = (0, 255);
            }
        }
        let flagged: Vec<bool> = scores
            .iter()
            .zip(&truth.labels)
            .map(|(&s, &v)| s > threshold && v != 255)
            .collect();
        let (mut segments, segment_sizes) = components(&flagged, truth.width);
        for segment in &mut segments {
            if *segment > 0 && segment_sizes[*segment - 1] < min_segment {
                *segment = 0;
            }
        }
        all.sample_ids.push(format!("frame_{frame}"));
        join(
            &mut all,
            frame,
            (&segments, &segment_sizes),
            (&objects, &sizes),
        );
    }
    Ok(all)
}

fn join(
    all: &mut Detections,
    sample: usize,
    (segments, segment_sizes): (&[usize], &[u64]),
    (objects, object_sizes): (&[usize], &[u64]),
) {
    let mut shared = std::collections::BTreeMap::new();
    for (&s, &o) in segments
        .iter()
        .zip(objects)
        .filter(|&(&s, &o)| s > 0 && o > 0)
    {
        *shared.entry((s, o)).or_insert(0) += 1;
    }
    let (mut segment_at, mut object_at) =
        (vec![0; segment_sizes.len()], vec![0; object_sizes.len()]);
    for (i, &size) in segment_sizes.iter().enumerate() {
        if segments.contains(&(i + 1)) {
            segment_at[i] = all.segments.len();
            all.segments.push(Segment {
                sample,
                id: i as u32 + 1,
                size,
                is_false_positive: !shared.keys().any(|k| k.0 == i + 1),
            });
        }
    }
    for (i, &size) in object_sizes.iter().enumerate() {
        if objects.contains(&(i + 1)) {
            object_at[i] = all.objects.len();
            all.objects.push(Object {
                sample,
                id: i as u32 + 1,
                size,
                distance: Distance::Near,
            });
        }
    }
    for ((s, o), n_pixels) in shared {
        all.overlaps.push(Overlap {
            segment: segment_at[s - 1],
            object: object_at[o - 1],
            n_pixels,
        });
    }
}

/// 8-connected components, numbered from 1, and their sizes.
fn components(set: &[bool], width: usize) -> (Vec<usize>, Vec<u64>) {
    let height = set.len() / width;
    let (mut numbers, mut sizes) = (vec![0; set.len()], Vec::new());
    for start in 0..set.len() {
        if !set[start] || numbers[start] > 0 {
            continue;
        }
        sizes.push(0);
        numbers[start] = sizes.len();
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            sizes[numbers[start] - 1] += 1;
            let (x, y) = (at % width, at / width);
            for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let next = ny * width + nx;
                    if set[next] && numbers[next] == 0 {
                        numbers[next] = numbers[start];
                        open.push(next);
                    }
                }
            }
        }
    }
    (numbers, sizes)
}

/// Values of a C-order `<f2` array of `n` values in an npy file of version 1.
fn read_f16(path: &Path, n: usize) -> Result<Vec<f64>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(bytes.starts_with(b"\x93NUMPY\x01"), "npy version 1");
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..data]);
    ensure!(
        header.contains("'<f2'") && bytes.len() - data == 2 * n,
        "{header}"
    );
    let value = |b: &[u8]| f64::from(f16::from_le_bytes([b[0], b[1]]));
    Ok(bytes[data..].chunks_exact(2).map(value).collect())
}
