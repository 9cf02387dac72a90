//! A toy world: street scenes with unknown objects, and runs that find some of them, written with `artifacts` alone.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::index::{Index, Sample};
use artifacts::labels::{EvalLabel, IGNORE, MaskKind, NUM_CLASSES};
use artifacts::logits::{Logits, LogitsInfo, Precision};
use artifacts::mask::{ComponentMap, Mask};
use artifacts::model_file::{Classifier, FORMAT_VERSION, Linear, Model};
use artifacts::score::Score;
use artifacts::tables::features::segment_features;
use artifacts::tables::schema::{self, Table};
use artifacts::tables::write_table;
use artifacts::track::Threshold;
use image::RgbImage;
use measures::pixel_counts::{BinCount, max_score, mean_score};
use measures::pixel_row::PixelRow;
use measures::score_bins::{BINS_PER_COARSE_BIN, bin_of};
use polars::prelude::{Column, DataFrame, Series};
use stage_testing::toy::stage_output;

pub(crate) const WIDTH: usize = 192;
pub(crate) const HEIGHT: usize = 96;

/// Left, top, width, height.
pub(crate) type Rect = (usize, usize, usize, usize);

/// One street with its unknown objects.
pub(crate) struct Scene {
    pub(crate) id: &'static str,
    pub(crate) objects: Vec<Rect>,
}

/// A segment that a run predicts, and the meta classifier's probability that it is wrong.
#[derive(Clone, Copy)]
pub(crate) struct PredictedSegment {
    pub(crate) rect: Rect,
    pub(crate) false_positive_prob: f64,
}

pub(crate) fn scenes() -> Vec<Scene> {
    let scene = |id, objects: &[Rect]| Scene {
        id,
        objects: objects.to_vec(),
    };
    vec![
        scene("lost_000001", &[(80, 60, 22, 14), (130, 70, 14, 10)]),
        scene("lost_000002", &[(40, 64, 18, 16)]),
        scene("lost_000003", &[]),
    ]
}

/// What the baseline predicts in each scene.
pub(crate) fn baseline() -> Vec<Vec<PredictedSegment>> {
    predicted(&[
        &[
            ((84, 62, 10, 8), 0.3),
            ((20, 20, 12, 8), 0.9),
            ((150, 30, 8, 9), 0.4),
        ],
        &[((100, 50, 20, 9), 0.8)],
        &[((60, 58, 9, 7), 0.7), ((10, 70, 16, 6), 0.6)],
    ])
}

/// What the re-trained network predicts in each scene.
pub(crate) fn retrained() -> Vec<Vec<PredictedSegment>> {
    predicted(&[
        &[
            ((79, 60, 22, 15), 0.05),
            ((131, 70, 13, 10), 0.2),
            ((20, 20, 6, 5), 0.95),
        ],
        &[((41, 65, 17, 15), 0.1)],
        &[((60, 58, 5, 4), 0.8)],
    ])
}

fn predicted(all: &[&[(Rect, f64)]]) -> Vec<Vec<PredictedSegment>> {
    let one = |&(rect, false_positive_prob): &(Rect, f64)| PredictedSegment {
        rect,
        false_positive_prob,
    };
    all.iter().map(|s| s.iter().map(one).collect()).collect()
}

fn inside((left, top, width, height): Rect, x: usize, y: usize) -> bool {
    (left..left + width).contains(&x) && (top..top + height).contains(&y)
}

/// Class of a pixel of the street: sky, buildings, trees, road with a car and sidewalks.
fn street(x: usize, y: usize) -> u8 {
    let half = 12 + (y.saturating_sub(40)) * 3 / 2;
    let off = x.abs_diff(WIDTH / 2);
    match y {
        _ if inside((108, 40, 22, 12), x, y) => 13,
        0..24 if off < 60 => 10,
        0..40 if off < 34 => 8,
        0..44 => 2,
        _ if off < half => 0,
        _ if off < half + 22 => 1,
        _ => 9,
    }
}

/// Numbers that look random, the same ones always.
fn noise(seed: usize) -> f32 {
    let mixed = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed >> 40) as f32) / (1 << 24) as f32
}

/// Writes pictures and labels of the out-of-distribution data set `lost` and of the known classes, `streets`.
pub(crate) fn write_labels(root: &Path) -> Result<()> {
    let images = root.join("images");
    fs::create_dir_all(&images)?;
    for (dataset, kind) in [("lost", MaskKind::Eval), ("streets", MaskKind::TrainId)] {
        let dir = root.join("labels").join(dataset);
        stage_output(&dir, "cityscapes-io prepare", |dir| {
            fs::create_dir_all(dir.join("masks"))?;
            let samples = scenes()
                .iter()
                .map(|scene| write_sample(dir, &images, scene, kind))
                .collect::<Result<_>>()?;
            Index::new(dataset, "test", kind, &images, samples)?.write(dir)
        })?;
    }
    Ok(())
}

fn write_sample(dir: &Path, images: &Path, scene: &Scene, kind: MaskKind) -> Result<Sample> {
    let file = format!("{}.png", scene.id);
    // twice as large as the masks, as when a data set is prepared with --size
    let picture = RgbImage::from_fn(2 * WIDTH as u32, 2 * HEIGHT as u32, |x, y| {
        let (x, y) = (x as usize / 2, y as usize / 2);
        let hit = scene.objects.iter().any(|&o| inside(o, x, y));
        let base = if hit {
            [200, 90, 40]
        } else {
            artifacts::labels::CLASS_COLORS[usize::from(street(x, y))].map(|c| c / 2 + 60)
        };
        image::Rgb(base.map(|c: u8| c.saturating_add((noise(x + y * WIDTH) * 24.0) as u8)))
    });
    picture.save(images.join(&file))?;
    let mut mask = Mask::filled(WIDTH, HEIGHT, IGNORE);
    for (at, label) in mask.labels.iter_mut().enumerate() {
        let (x, y) = (at % WIDTH, at / WIDTH);
        let hit = scene.objects.iter().any(|&o| inside(o, x, y));
        *label = match kind {
            _ if y >= HEIGHT - 6 => IGNORE,
            MaskKind::Eval if hit => EvalLabel::Out as u8,
            MaskKind::Eval => EvalLabel::In as u8,
            _ if hit => IGNORE,
            _ => street(x, y),
        };
    }
    mask.write(&dir.join("masks").join(&file))?;
    Ok(Sample {
        sample_id: scene.id.into(),
        image: file.clone().into(),
        image_bytes: fs::metadata(images.join(&file))?.len(),
        image_width: 2 * WIDTH as u32,
        image_height: 2 * HEIGHT as u32,
        mask: Some(PathBuf::from("masks").join(&file)),
        mask_blake3: None,
        width: WIDTH as u32,
        height: HEIGHT as u32,
        proxy: None,
    })
}

/// Writes logits and segments of a run, with decisions of a meta classifier if asked for.
pub(crate) fn write_run(
    run: &Path,
    predicted: &[Vec<PredictedSegment>],
    with_meta: bool,
) -> Result<()> {
    for dataset in ["lost", "streets"] {
        stage_output(
            &run.join("logits").join(dataset),
            "seg-model infer",
            |dir| {
                for (scene, predicted) in scenes().iter().zip(predicted) {
                    let path = dir.join(format!("{}.safetensors", scene.id));
                    logits(scene, predicted)?.write(&path, Precision::F16)?;
                }
                Ok(())
            },
        )?;
    }
    let segments = run.join("segments/lost");
    stage_output(&segments, "segment-metrics", |dir| {
        write_tables(dir, predicted)?;
        write_pixel_counts(dir, predicted)?;
        write_sample_pixels(dir, predicted)
    })?;
    if with_meta {
        stage_output(&run.join("meta/lost"), "meta-clf", |dir| {
            write_meta(dir, predicted)
        })?;
    }
    Ok(())
}

fn logits(scene: &Scene, predicted: &[PredictedSegment]) -> Result<Logits> {
    let mut values = vec![0.0; NUM_CLASSES * WIDTH * HEIGHT];
    for at in 0..WIDTH * HEIGHT {
        let (x, y) = (at % WIDTH, at / WIDTH);
        let uncertain = predicted.iter().any(|f| inside(f.rect, x, y));
        let unknown = scene.objects.iter().any(|&o| inside(o, x, y));
        let sure = match (uncertain, unknown) {
            (true, _) => 1.0,
            (false, true) => 3.5,
            _ => 7.0,
        };
        for class in 0..NUM_CLASSES {
            values[class * WIDTH * HEIGHT + at] = 2.0 * noise(class * 31 + at);
        }
        values[usize::from(street(x, y)) * WIDTH * HEIGHT + at] += sure + 2.0 * noise(at + 7);
    }
    let info = LogitsInfo {
        sample_id: scene.id.into(),
        network: "toy".into(),
        output_height: HEIGHT,
        output_width: WIDTH,
        align_corners: false,
        num_classes: NUM_CLASSES,
    };
    Logits::new(info, [NUM_CLASSES, HEIGHT, WIDTH], values)
}

/// Adds the directory of `segment-metrics --track` to a run.
pub(crate) fn write_benchmark(
    run: &Path,
    predicted: &[Vec<PredictedSegment>],
    threshold: &Threshold,
) -> Result<()> {
    stage_output(&run.join("benchmark/lost"), "segment-metrics", |dir| {
        write_tables(dir, predicted)?;
        write_pixel_counts(dir, predicted)?;
        write_sample_pixels(dir, predicted)?;
        threshold.write(dir)
    })
}

#[derive(Default)]
struct Columns {
    ids: BTreeMap<&'static str, Vec<String>>,
    u32s: BTreeMap<&'static str, Vec<u32>>,
    u64s: BTreeMap<&'static str, Vec<u64>>,
    f64s: BTreeMap<String, Vec<f64>>,
    bools: BTreeMap<&'static str, Vec<bool>>,
}

impl Columns {
    fn write(&self, dir: &Path, table: &Table) -> Result<()> {
        let column = |name: &str| {
            let name_of_column = name.into();
            if let Some(v) = self.ids.get(name) {
                return Column::new(name_of_column, v);
            } else if let Some(v) = self.u32s.get(name) {
                return Column::new(name_of_column, v);
            } else if let Some(v) = self.u64s.get(name) {
                return Column::new(name_of_column, v);
            } else if let Some(v) = self.bools.get(name) {
                return Column::new(name_of_column, v);
            }
            let rows = self.ids.values().map(Vec::len).max().unwrap_or(0);
            let zeros = vec![0.0; rows];
            Column::new(name_of_column, self.f64s.get(name).unwrap_or(&zeros))
        };
        let columns = table.columns.iter().map(|f| column(&f.name)).collect();
        let frame = DataFrame::new_infer_height(columns)?;
        write_table(&dir.join(table.file_name()), table, &frame)
    }
}

fn overlap(a: Rect, b: Rect) -> u64 {
    let span =
        |a: usize, an: usize, b: usize, bn: usize| (a + an).min(b + bn).saturating_sub(a.max(b));
    (span(a.0, a.2, b.0, b.2) * span(a.1, a.3, b.1, b.3)) as u64
}

fn area(rect: Rect) -> u64 {
    (rect.2 * rect.3) as u64
}

fn write_tables(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    let [mut segments, mut objects, mut overlaps, mut samples] =
        std::array::from_fn(|_| Columns::default());
    fs::create_dir_all(dir.join("components"))?;
    for (scene, predicted) in scenes().iter().zip(predicted) {
        let mut ids = vec![0; WIDTH * HEIGHT];
        for (number, f) in (1..).zip(predicted) {
            let hits: u64 = scene.objects.iter().map(|&o| overlap(f.rect, o)).sum();
            push(&mut segments.ids, "sample_id", scene.id.into());
            push(&mut segments.u32s, "segment_id", number);
            push(&mut segments.bools, "is_false_positive", hits == 0);
            let size = segments.f64s.entry("size".into()).or_default();
            size.push(area(f.rect) as f64);
            for (at, id) in ids.iter_mut().enumerate() {
                if inside(f.rect, at % WIDTH, at / WIDTH) {
                    *id = number as u16;
                }
            }
            for (object, &o) in (1..).zip(&scene.objects) {
                if overlap(f.rect, o) > 0 {
                    push(&mut overlaps.ids, "sample_id", scene.id.into());
                    push(&mut overlaps.u32s, "segment_id", number);
                    push(&mut overlaps.u32s, "object_id", object);
                    push(&mut overlaps.u64s, "n_pixels", overlap(f.rect, o));
                }
            }
        }
        for (number, &o) in (1..).zip(&scene.objects) {
            push(&mut objects.ids, "sample_id", scene.id.into());
            push(&mut objects.u32s, "object_id", number);
            push(&mut objects.u64s, "size", area(o));
            let row = o.1 as f64 + (o.3 as f64 - 1.0) / 2.0;
            let rows = objects.f64s.entry("centroid_row".into()).or_default();
            rows.push(row);
            let missed = predicted.iter().all(|f| overlap(f.rect, o) == 0);
            push(&mut objects.bools, "is_false_negative", missed);
        }
        push(&mut samples.ids, "sample_id", scene.id.into());
        for name in ["n_in", "n_out", "n_ignored"] {
            push(&mut samples.u64s, name, 0);
        }
        push(&mut samples.u32s, "height", HEIGHT as u32);
        push(&mut samples.u32s, "width", WIDTH as u32);
        push(&mut samples.u32s, "n_segments", predicted.len() as u32);
        push(&mut samples.u32s, "n_objects", scene.objects.len() as u32);
        let map = ComponentMap {
            width: WIDTH,
            height: HEIGHT,
            ids,
        };
        map.write(&dir.join(format!("components/{}.png", scene.id)))?;
    }
    segments.write(dir, &schema::segments(NUM_CLASSES))?;
    objects.write(dir, &schema::objects())?;
    overlaps.write(dir, &schema::overlaps())?;
    samples.write(dir, &schema::samples())
}

fn push<T>(columns: &mut BTreeMap<&'static str, Vec<T>>, name: &'static str, value: T) {
    columns.entry(name).or_default().push(value);
}

/// Pixels of a scene by score and bin: known ones, and unknown ones.
fn bins_of(
    scene: &Scene,
    predicted: &[PredictedSegment],
) -> Result<BTreeMap<(Score, u32), [u64; 2]>> {
    let mut counts: BTreeMap<_, [u64; 2]> = BTreeMap::new();
    let logits = logits(scene, predicted)?;
    let (mut reader, mut values) = (logits.row_reader(), vec![0.0; NUM_CLASSES * WIDTH]);
    let mut row = PixelRow::new(NUM_CLASSES, WIDTH);
    for y in 0..HEIGHT - 6 {
        reader.read(y, &mut values);
        row.fill_from_logits(&values);
        for x in 0..WIDTH {
            let unknown = scene.objects.iter().any(|&o| inside(o, x, y));
            for score in Score::ALL {
                let key = (score, bin_of(row.score(score, x))?);
                counts.entry(key).or_default()[usize::from(unknown)] += 1;
            }
        }
    }
    Ok(counts)
}

fn write_sample_pixels(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    let (mut ids, mut names, mut totals) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    let (mut max_scores, mut mean_scores) = (Vec::new(), Vec::new());
    for (scene, predicted) in scenes().iter().zip(predicted) {
        let fine = bins_of(scene, predicted)?;
        for score in Score::ALL {
            let mut coarse: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
            let of_score = || fine.iter().filter(|((s, _), _)| *s == score);
            let count = |(&(_, bin), &[n_in, n_out]): (&(Score, u32), &[u64; 2])| BinCount {
                bin,
                n_in,
                n_out,
            };
            let histogram: Vec<BinCount> = of_score().map(count).collect();
            max_scores.push(max_score(&histogram));
            mean_scores.push(mean_score(&histogram));
            for (&(_, bin), n) in of_score() {
                let sums = coarse.entry(bin / BINS_PER_COARSE_BIN).or_default();
                *sums = [sums[0] + n[0], sums[1] + n[1]];
            }
            ids.push(scene.id);
            names.push(score.name());
            for (side, totals) in totals.iter_mut().enumerate() {
                totals.push(coarse.values().map(|n| n[side]).sum::<u64>());
                lists[1 + side].push(coarse.values().map(|n| n[side]).collect::<Series>());
            }
            lists[0].push(coarse.into_keys().collect::<Series>());
        }
    }
    let [n_in, n_out] = totals;
    let [bins, bins_in, bins_out] = lists;
    let figures = vec![Some(0.5); ids.len()];
    let columns = vec![
        Column::new("sample_id".into(), ids),
        Column::new("score".into(), names),
        Column::new("n_in".into(), n_in),
        Column::new("n_out".into(), n_out),
        Column::new("auroc".into(), &figures),
        Column::new("auprc".into(), &figures),
        Column::new("fpr95".into(), &figures),
        Column::new("max_score".into(), max_scores),
        Column::new("mean_score".into(), mean_scores),
        Column::new("coarse_bins".into(), bins),
        Column::new("bins_in".into(), bins_in),
        Column::new("bins_out".into(), bins_out),
    ];
    let table = schema::sample_pixels();
    let frame = DataFrame::new_infer_height(columns)?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

fn write_pixel_counts(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    let mut counts: BTreeMap<(&str, bool, u32), [u64; 2]> = BTreeMap::new();
    for (scene, predicted) in scenes().iter().zip(predicted) {
        for ((score, bin), n) in bins_of(scene, predicted)? {
            let key = (score.name(), !scene.objects.is_empty(), bin);
            let sums = counts.entry(key).or_default();
            *sums = [sums[0] + n[0], sums[1] + n[1]];
        }
    }
    let mut columns = Columns::default();
    for ((score, has_ood, bin), [n_in, n_out]) in counts {
        push(&mut columns.ids, "score", score.into());
        push(&mut columns.bools, "has_ood", has_ood);
        push(&mut columns.u32s, "bin", bin);
        push(&mut columns.u64s, "n_in", n_in);
        push(&mut columns.u64s, "n_out", n_out);
    }
    columns.write(dir, &schema::pixel_counts())
}

fn write_meta(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    let mut columns = Columns::default();
    for (scene, predicted) in scenes().iter().zip(predicted) {
        for (number, f) in (1..).zip(predicted) {
            push(&mut columns.ids, "sample_id", scene.id.into());
            push(&mut columns.u32s, "segment_id", number);
            let wrong = scene.objects.iter().all(|&o| overlap(f.rect, o) == 0);
            push(&mut columns.bools, "is_false_positive", wrong);
            push(
                &mut columns.bools,
                "is_rejected",
                f.false_positive_prob > 0.5,
            );
            let probs = columns
                .f64s
                .entry("false_positive_prob".into())
                .or_default();
            probs.push(f.false_positive_prob);
        }
    }
    columns.write(dir, &schema::decisions())?;
    let features: Vec<_> = segment_features(NUM_CLASSES)
        .into_iter()
        .map(|f| f.name)
        .collect();
    let coefficients: Vec<f64> = (0..features.len())
        .map(|i| f64::from(noise(i)) * 2.0 - 1.0)
        .collect();
    let model = Model {
        format_version: FORMAT_VERSION,
        mean: vec![0.0; features.len()],
        std: vec![1.0; features.len()],
        features,
        classifier: Classifier::Linear(Linear {
            coefficients,
            intercept: -0.25,
        }),
        regression: None,
        threshold: 0.5,
        n_segments: 5,
        n_false_positives: 2,
        training_tables: Vec::new(),
    };
    model.write(dir)
}

/// Labels, `base` without and `retrained` with a meta classifier.
pub(crate) fn write_world(root: &Path) -> Result<()> {
    write_labels(root)?;
    write_run(&root.join("base"), &baseline(), false)?;
    write_run(&root.join("retrained"), &retrained(), true)
}
