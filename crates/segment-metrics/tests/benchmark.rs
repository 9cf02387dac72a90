//! Segment figures of `SegmentMeIfYouCan`'s benchmark, from score maps through segments and tables.

use anyhow::{Context, Result, ensure};
use artifacts::basis::Basis;
use artifacts::classes::ClassSet;
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use artifacts::score::Score;
use artifacts::track::Track;
use measures::curves::best_f1;
use measures::pixel_counts::ScoreCounts;
use measures::pixel_row::PixelRow;
use ood_eval::metrics::segment_totals::{SegmentTotals, object_sious, segment_ppvs};
use ood_eval::read::detections::Detections;
use segment_metrics::analysis::{SampleMetrics, Segmentation, analyze};
use segment_metrics::tables::sources::Sources;
use segment_metrics::tables::{Layout, write_joined, write_sample};
use serde_json::Value;
use stage_testing::data::golden;
use stage_testing::npy::Npy;

/// The network's classes play no part.
const CLASSES: usize = 2;

/// A score map with its labels.
struct Frame {
    scores: Vec<f32>,
    labels: Mask,
}

impl Frame {
    fn measure(&self, segmentation: &Segmentation) -> SampleMetrics {
        let width = self.labels.width;
        let fill = |y: usize, row: &mut PixelRow| {
            row.entropy
                .copy_from_slice(&self.scores[y * width..][..width]);
        };
        analyze(
            fill,
            &self.labels,
            Basis::logits(CLASSES),
            segmentation,
            &[],
        )
    }
}

/// The folder `smiyc` of the goldens, with what the benchmark's tool says.
fn golden_frames() -> Result<(Vec<Frame>, Value)> {
    let dir = golden("smiyc");
    let mut frames = Vec::new();
    for frame in 0.. {
        let path = dir.join(format!("gt_{frame}.png"));
        if !path.exists() {
            break;
        }
        let labels = Mask::read(&path, MaskKind::Eval, 0)?;
        let scores = Npy::read(&dir.join(format!("score_{frame}.npy")), "<f2")?;
        ensure!(
            scores.shape == [labels.height, labels.width],
            "score_{frame}.npy has the shape {:?}",
            scores.shape
        );
        let scores = scores.halves();
        frames.push(Frame { scores, labels });
    }
    ensure!(!frames.is_empty(), "no frames in {}", dir.display());
    let expected = std::fs::read_to_string(dir.join("expected.json"))?;
    Ok((frames, serde_json::from_str(&expected)?))
}

fn segmentation(track: Track, threshold: f32) -> Segmentation {
    Segmentation {
        score: Score::Entropy,
        threshold,
        min_size: track.min_size(),
        min_object_size: track.min_object_size(),
    }
}

/// Segments and objects of all frames, from the tables that the stage would write.
fn detections(frames: &[Frame], segmentation: &Segmentation) -> Result<Detections> {
    let scratch = tempfile::tempdir()?;
    let layout = Layout {
        classes: Some(ClassSet::unnamed(CLASSES)?),
        has_adopted: false,
        has_context: false,
        has_truth: true,
    };
    let mut folders = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        let id = format!("frame_{i:03}");
        let folder = scratch.path().join("partial").join(&id);
        std::fs::create_dir_all(&folder)?;
        write_sample(&folder, &id, &frame.measure(segmentation), &layout)?;
        folders.push(folder);
    }
    write_joined(scratch.path(), &Sources::Samples(folders), &[], &layout)?;
    Detections::read(scratch.path())
}

#[test]
fn golden_segment_figures_of_both_tracks() -> Result<()> {
    let (frames, expected) = golden_frames()?;
    let mut checked = [0; 2];
    for dtype in ["float16", "float32"] {
        for (name, case) in expected[dtype].as_object().context("cases by name")? {
            let tracks = [(Track::Anomaly, "Anomaly"), (Track::Obstacle, "Obstacle")];
            for (checked, (track, title)) in checked.iter_mut().zip(tracks) {
                if name.starts_with(&format!("SegEval-{title}Track@")) {
                    // flagged is what is more than the tool's threshold
                    let above = case["thresh_p"].as_f64().context("a threshold")? as f32;
                    let all = detections(&frames, &segmentation(track, above.next_up()))?;
                    check(name, case, &all)?;
                    *checked += 1;
                }
            }
        }
    }
    assert!(checked.iter().all(|&n| n > 0), "{checked:?}");
    Ok(())
}

fn check(name: &str, case: &Value, all: &Detections) -> Result<()> {
    let kept = vec![true; all.segments.len()];
    let frames = case["frames"].as_array().context("frames")?;
    let pooled = |key: &str| -> Result<Vec<f64>> {
        let lists = frames.iter().map(|f| f[key].as_array().context("a list"));
        let lists = lists.collect::<Result<Vec<_>>>()?;
        let values = lists.into_iter().flatten();
        values.map(|v| v.as_f64().context("a number")).collect()
    };
    let sizes = |of: &mut dyn Iterator<Item = u64>| of.map(|n| n as f64).collect::<Vec<_>>();
    for (key, ours) in [
        ("sIoU_gt", object_sious(all, &kept)),
        ("prec_pred", segment_ppvs(all, &kept)),
        ("size_gt", sizes(&mut all.objects.iter().map(|o| o.size))),
        ("size_pred", sizes(&mut all.segments.iter().map(|s| s.size))),
    ] {
        let theirs = pooled(key)?;
        assert_eq!(ours.len(), theirs.len(), "{name} {key}");
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((a - b).abs() < 1e-12, "{name} {key}: {a} instead of {b}");
        }
    }
    let totals = SegmentTotals::of_all(all, &kept);
    for (key, ours) in [
        ("f1_mean", totals.mean_f1()),
        ("sIoU_gt", totals.mean_siou()),
        ("prec_pred", totals.mean_ppv()),
    ] {
        // without segments or objects, neither of us has a value
        let theirs = case["aggregate"].get(key).context("a figure")?.as_f64();
        let is_same = match (ours, theirs) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        assert!(is_same, "{name} {key}: {ours:?} instead of {theirs:?}");
    }
    Ok(())
}

/// The threshold from bins is the best of an exact sort, and makes the same segments.
#[test]
fn golden_threshold_of_the_best_f1() -> Result<()> {
    let (frames, expected) = golden_frames()?;
    let exact = &expected["exact"];
    let best = exact["best_f1"].as_f64().context("F1")?;
    let exact_threshold = exact["best_f1_threshold_ge"].as_f64();
    let exact_threshold = exact_threshold.context("threshold")? as f32;
    let mut sums = ScoreCounts::<u64>::new();
    for frame in &frames {
        sums.add(
            &frame
                .measure(&segmentation(Track::Anomaly, exact_threshold))
                .counts,
        );
    }
    let counts = sums.of(Score::Entropy);
    let bins = counts.context("entropies are counted")?.histogram();
    let (f1, threshold) = best_f1(&bins).context("both sides have pixels")?;
    assert!((f1 - best).abs() < 1e-9, "{f1} instead of {best}");
    for (i, frame) in frames.iter().enumerate() {
        for track in Track::ALL {
            let [ours, theirs] =
                [threshold, exact_threshold].map(|t| frame.measure(&segmentation(track, t)));
            assert!(
                ours.matching.segment_map == theirs.matching.segment_map,
                "frame {i} {track:?}"
            );
            assert_eq!(ours.matching.overlaps, theirs.matching.overlaps);
        }
    }
    Ok(())
}

/// One row: an object of 5 pixels, one of 2, and pixels flagged as `#`. Small objects connect segments, but are not in them.
#[test]
fn small_objects_leave_segments_that_they_connect() {
    let labels = [1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 255, 0];
    let flagged = b"..#########..";
    let mut mask = Mask::filled(labels.len(), 1, 0);
    mask.labels.copy_from_slice(&labels);
    let frame = Frame {
        scores: flagged
            .iter()
            .map(|&f| if f == b'#' { 0.9 } else { 0.1 })
            .collect(),
        labels: mask,
    };
    let measure = |min_size, min_object_size| {
        frame.measure(&Segmentation {
            score: Score::Entropy,
            threshold: 0.5,
            min_size,
            min_object_size,
        })
    };
    let all = measure(9, 0);
    assert_eq!(
        (
            all.matching.segments[0].sums.size,
            all.matching.objects.len()
        ),
        (9, 2)
    );
    let some = measure(9, 3);
    // 9 connected pixels are not too few, 7 of them are rated, 3 of these in the object
    assert_eq!(
        some.matching.segment_map.ids,
        [0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0]
    );
    assert_eq!(some.matching.segments[0].sums.size, 7);
    assert_eq!(
        (
            some.matching.segments[0].n_shared,
            some.matching.objects.len()
        ),
        (3, 1)
    );
    assert_eq!(measure(10, 3).matching.segments.len(), 0);
    // pixel figures count the small object
    assert_eq!((some.n_in, some.n_out), (all.n_in, all.n_out));
    assert!(some.counts == all.counts);
    let every = measure(0, 6);
    assert_eq!(
        (every.matching.segments.len(), every.matching.objects.len()),
        (1, 0)
    );
    assert_eq!(every.matching.segments[0].sums.size, 4);
}
