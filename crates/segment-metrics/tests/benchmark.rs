//! Segment figures of `SegmentMeIfYouCan`'s benchmark, from score maps through segments and tables.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use artifacts::score::Score;
use artifacts::track::Track;
use half::f16;
use measures::curves::best_f1;
use measures::pixel_counts::ScoreCounts;
use measures::pixel_row::PixelRow;
use ood_eval::detections::Detections;
use ood_eval::segment_scores::{object_sious, score_segments, segment_ppvs};
use segment_metrics::analysis::{SampleMetrics, Segmentation, analyze};
use segment_metrics::joined::Folders;
use segment_metrics::tables::{write_joined, write_sample};
use serde_json::Value;

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
        analyze(fill, &self.labels, CLASSES, segmentation, &[])
    }
}

/// The folder `smiyc` of the goldens, with what the benchmark's tool says.
fn golden() -> Result<(Vec<Frame>, Value)> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let dir = std::env::var_os("OODSEG_GOLDEN").map_or(default, PathBuf::from);
    let dir = dir.join("smiyc");
    let mut frames = Vec::new();
    for frame in 0.. {
        let path = dir.join(format!("gt_{frame}.png"));
        if !path.exists() {
            break;
        }
        let labels = Mask::read(&path, MaskKind::Eval)?;
        let scores = read_f16(&dir.join(format!("score_{frame}.npy")), labels.labels.len())?;
        frames.push(Frame { scores, labels });
    }
    ensure!(!frames.is_empty(), "no frames in {}", dir.display());
    let expected = std::fs::read_to_string(dir.join("expected.json"))?;
    Ok((frames, serde_json::from_str(&expected)?))
}

/// Values of a C-order `<f2` array of `n` values in an npy file of version 1.
fn read_f16(path: &Path, n: usize) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(bytes.starts_with(b"\x93NUMPY\x01"), "npy version 1");
    let data = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..data]);
    ensure!(
        header.contains("'<f2'") && bytes.len() - data == 2 * n,
        "{header}"
    );
    let value = |&b: &[u8; 2]| f16::from_le_bytes(b).to_f32();
    Ok(bytes[data..].as_chunks::<2>().0.iter().map(value).collect())
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
    let mut folders = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        let id = format!("frame_{i:03}");
        let folder = scratch.path().join("partial").join(&id);
        std::fs::create_dir_all(&folder)?;
        write_sample(&folder, &id, &frame.measure(segmentation), CLASSES)?;
        folders.push(folder);
    }
    write_joined(scratch.path(), &Folders::OfSamples(folders), CLASSES)?;
    Detections::read(scratch.path())
}

#[test]
fn golden_segment_figures_of_both_tracks() -> Result<()> {
    let (frames, expected) = golden()?;
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
    let scores = score_segments(all, &kept);
    for (key, ours) in [
        ("f1_mean", scores.f1),
        ("sIoU_gt", scores.siou),
        ("prec_pred", scores.ppv),
    ] {
        let theirs = case["aggregate"][key].as_f64();
        let difference = ours.zip(theirs).map(|(a, b)| (a - b).abs());
        assert!(
            difference.is_some_and(|d| d < 1e-12),
            "{name} {key}: {ours:?} instead of {theirs:?}"
        );
    }
    Ok(())
}

/// The threshold from bins is the best of an exact sort, and makes the same segments.
#[test]
fn golden_threshold_of_the_best_f1() -> Result<()> {
    let (frames, expected) = golden()?;
    let exact = &expected["exact"];
    let best = exact["best_f1"].as_f64().context("F1")?;
    let cut = exact["best_f1_threshold_ge"]
        .as_f64()
        .context("threshold")? as f32;
    let mut sums = ScoreCounts::<u64>::new();
    for frame in &frames {
        sums.add(&frame.measure(&segmentation(Track::Anomaly, cut)).counts);
    }
    let bins = sums.of(Score::Entropy).histogram();
    let (f1, threshold) = best_f1(&bins).context("both sides have pixels")?;
    assert!((f1 - best).abs() < 1e-9, "{f1} instead of {best}");
    for (i, frame) in frames.iter().enumerate() {
        for track in Track::ALL {
            let [ours, theirs] = [threshold, cut].map(|t| frame.measure(&segmentation(track, t)));
            assert!(
                ours.segment_map == theirs.segment_map,
                "frame {i} {track:?}"
            );
            assert_eq!(ours.overlaps, theirs.overlaps);
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
    assert_eq!((all.segments[0].sums.size, all.objects.len()), (9, 2));
    let some = measure(9, 3);
    // 9 connected pixels are not too few, 7 of them are rated, 3 of these in the object
    assert_eq!(
        some.segment_map.ids,
        [0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0]
    );
    assert_eq!(some.segments[0].sums.size, 7);
    assert_eq!((some.segments[0].n_shared, some.objects.len()), (3, 1));
    assert_eq!(measure(10, 3).segments.len(), 0);
    // pixel figures count the small object
    assert_eq!((some.n_in, some.n_out), (all.n_in, all.n_out));
    assert!(some.counts == all.counts);
    let every = measure(0, 6);
    assert_eq!((every.segments.len(), every.objects.len()), (1, 0));
    assert_eq!(every.segments[0].sums.size, 4);
}
