//! Segments, metrics and maps of the reference implementation: the goldens `seg`. A case may have no segment or no object.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::basis::Basis;
use artifacts::classes::ClassSet;
use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::mask::Mask;
use artifacts::score::Score;
use artifacts::tables::features::features_of;
use measures::pixel_row::{PixelRow, entropy_row, prob_margin, top_two_row, variation_ratio};
use segment_metrics::analysis::{Region, SampleMetrics, Segmentation, analyze};
use segment_metrics::components::Components;
use segment_metrics::features::features;
use segment_metrics::reference_tables;
use segment_metrics::tables::{Layout, write_sample};
use segment_metrics::uncertainty::entropy_heat;
use serde_json::Value;
use stage_testing::data::golden;
use stage_testing::npy::Npy;

/// A case's inputs.
struct Case {
    dir: PathBuf,
    json: Value,
    probs: Npy,
    labels: Mask,
}

fn cases() -> Result<Vec<Case>> {
    let folder = golden("seg");
    let mut dirs = fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    dirs.sort();
    ensure!(!dirs.is_empty(), "no cases in {}", folder.display());
    let mut cases = Vec::new();
    for dir in dirs {
        let json: Value = serde_json::from_slice(&fs::read(dir.join("case.json"))?)?;
        if json["ood_index"].is_null() {
            eprintln!(
                "skipped {}: the semantic mode of the reference has no counterpart",
                dir.display()
            );
            continue;
        }
        let probs = Npy::read(&dir.join("probs.npy"), "<f4")?;
        let labels = eval_labels(&dir, &json)?;
        ensure!(
            probs.shape[1..] == [labels.height, labels.width],
            "{}",
            dir.display()
        );
        cases.push(Case {
            dir,
            json,
            probs,
            labels,
        });
    }
    Ok(cases)
}

fn eval_labels(dir: &Path, json: &Value) -> Result<Mask> {
    let is = |id: &Value, label: u8| match id {
        Value::Array(ids) => ids.iter().any(|id| id.as_u64() == Some(label.into())),
        id => id.as_u64() == Some(label.into()),
    };
    let mut mask = Mask::read_raw(&dir.join("gt.png"))?;
    for label in &mut mask.labels {
        *label = match *label {
            IGNORE => EvalLabel::Ignore,
            id if is(&json["ood_index"], id) => EvalLabel::Out,
            id if is(&json["ood_in"], id) => EvalLabel::In,
            _ => EvalLabel::Unrated,
        } as u8;
    }
    Ok(mask)
}

impl Case {
    fn fill_row(&self, probs: &[f32], y: usize, row: &mut PixelRow) {
        let (height, width) = (self.labels.height, self.labels.width);
        for (c, out) in row.probs.chunks_exact_mut(width).enumerate() {
            out.copy_from_slice(&probs[(c * height + y) * width..][..width]);
        }
        entropy_row(&row.probs, width, &mut row.entropy);
        top_two_row(
            &row.probs,
            width,
            &mut row.first,
            &mut row.second,
            &mut row.class,
        );
    }

    fn rows(&self) -> Vec<PixelRow> {
        let probs = self.probs.floats();
        let fill = |y| {
            let mut row = PixelRow::new(self.probs.shape[0], self.labels.width);
            self.fill_row(&probs, y, &mut row);
            row
        };
        (0..self.labels.height).map(fill).collect()
    }

    fn analyze(&self, threshold: f32) -> SampleMetrics {
        let probs = self.probs.floats();
        let segmentation = Segmentation {
            score: Score::Entropy,
            threshold,
            min_size: 0,
            min_object_size: 0,
        };
        analyze(
            |y, row| self.fill_row(&probs, y, row),
            &self.labels,
            Basis::logits(self.probs.shape[0]),
            &segmentation,
            &[],
        )
    }

    fn expected(&self, name: &str) -> PathBuf {
        self.dir.join("expected").join(name)
    }
}

#[test]
fn golden_segments_and_objects() -> Result<()> {
    let mut n_runs = 0;
    for case in cases()? {
        let path = case.expected("summary.json");
        let summary: Value = serde_json::from_slice(&fs::read(path)?)?;
        for threshold in case.json["thresholds"].as_array().context("thresholds")? {
            let t = threshold.as_f64().context("threshold")?;
            let place = format!("{} at {t:?}", case.dir.display());
            let metrics = case.analyze(t as f32);
            check_side(&case, &summary, &format!("t{t:?}_pred"), &metrics)
                .with_context(|| place.clone())?;
            check_side(&case, &summary, &format!("t{t:?}_gt"), &metrics).context(place)?;
            n_runs += 1;
        }
    }
    ensure!(n_runs > 0, "nothing was compared");
    eprintln!("compared {n_runs} runs");
    Ok(())
}

/// The files that `--compat-names` writes have the header of the reference's and its values.
#[test]
fn golden_tables_under_the_names_of_the_reference() -> Result<()> {
    let mut n_files = 0;
    for case in cases()? {
        for threshold in case.json["thresholds"].as_array().context("thresholds")? {
            let t = threshold.as_f64().context("threshold")?;
            let scratch = tempfile::tempdir()?;
            let dir = scratch.path();
            let layout = Layout {
                classes: Some(ClassSet::unnamed(case.probs.shape[0])?),
                has_adopted: false,
                has_context: false,
                has_truth: true,
            };
            write_sample(dir, "case", &case.analyze(t as f32), &layout)?;
            reference_tables::write(dir, layout.basis())?;
            for (ours, theirs) in [("segments", "pred"), ("objects", "gt")] {
                let path = case.expected(&format!("t{t:?}_{theirs}.csv"));
                if !path.exists() {
                    continue; // the reference has no answer
                }
                let file = dir.join(format!("reference_{ours}.csv"));
                check_csv(&file, &path).with_context(|| path.display().to_string())?;
                n_files += 1;
            }
        }
    }
    ensure!(n_files > 0, "nothing was compared");
    Ok(())
}

fn check_csv(ours: &Path, theirs: &Path) -> Result<()> {
    let lines = |path: &Path| -> Result<Vec<Vec<String>>> {
        let text = fs::read_to_string(path)?;
        let cells = |line: &str| line.split(',').map(str::to_owned).collect();
        Ok(text.lines().map(cells).collect())
    };
    let (ours, theirs) = (lines(ours)?, lines(theirs)?);
    let (header, ours) = ours.split_first().context("no header of ours")?;
    let (names, theirs) = theirs.split_first().context("no header")?;
    if theirs.is_empty() && names.iter().all(String::is_empty) {
        // an empty data frame without columns
        ensure!(ours.is_empty(), "{} rows instead of none", ours.len());
        return Ok(());
    }
    ensure!(header[2..] == names[..], "the header is {header:?}");
    ensure!(ours.len() == theirs.len(), "{} rows", ours.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        for ((name, ours), theirs) in names.iter().zip(&ours[2..]).zip(theirs) {
            if name == "label_class" {
                ensure!(ours.is_empty(), "{name} is {ours}");
                continue;
            }
            let (ours, theirs): (f64, f64) = (ours.parse()?, theirs.parse()?);
            ensure!(
                (ours - theirs).abs() <= tolerance(name),
                "{name} is {ours}, not {theirs}"
            );
        }
    }
    Ok(())
}

/// Compares table and map of one side, whose files start with `stem`.
fn check_side(case: &Case, summary: &Value, stem: &str, metrics: &SampleMetrics) -> Result<()> {
    let is_pred = stem.ends_with("_pred");
    let (regions, map) = if is_pred {
        (&metrics.matching.segments, &metrics.matching.segment_map)
    } else {
        (&metrics.matching.objects, &metrics.object_map)
    };
    let Some(n_rows) = summary[stem].as_u64() else {
        return check_without_boundary(&summary[stem], regions);
    };
    ensure!(
        regions.len() as u64 == n_rows,
        "{} rows, not {n_rows}",
        regions.len()
    );
    let basis = Basis::logits(case.probs.shape[0]);
    let path = case.expected(&format!("{stem}.csv"));
    let rows = match n_rows {
        0 if !path.exists() => Vec::new(),
        _ => read_csv(&path)?,
    };
    ensure!(rows.len() == regions.len());
    for (number, (expected, region)) in rows.iter().zip(regions).enumerate() {
        let actual = if is_pred {
            segment_row(region, basis)
        } else {
            object_row(region, case.probs.shape[0])
        };
        compare_row(expected, &actual).with_context(|| format!("{stem}, row {number}"))?;
    }
    let signed = Npy::read(&case.expected(&format!("{stem}_comp.npy")), "<i2")?;
    let signed = signed.values(i16::from_le_bytes);
    ensure!(signed == signed_map(map), "{stem}: the maps differ");
    Ok(())
}

/// Where the reference divides by zero, there is one region, which has no boundary.
fn check_without_boundary(summary: &Value, regions: &[Region]) -> Result<()> {
    let text = summary.as_str().unwrap_or_default();
    ensure!(text.starts_with("raises ZeroDivisionError"), "{summary}");
    let [region] = regions else {
        bail!("{} regions", regions.len());
    };
    ensure!(region.sums.boundary() == 0);
    let basis = Basis::logits(region.sums.class_probs.len());
    ensure!(features(&region.sums, basis).iter().all(|v| v.is_finite()));
    Ok(())
}

fn read_csv(path: &Path) -> Result<Vec<BTreeMap<String, f64>>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap_or_default().split(',').collect();
    lines
        .map(|line| {
            let cells: Vec<_> = line.split(',').collect();
            ensure!(cells.len() == names.len(), "{line}");
            let pair = |(name, cell): (&&str, &str)| Ok(((*name).to_owned(), cell.parse()?));
            names.iter().zip(cells).map(pair).collect()
        })
        .collect()
}

/// A segment under the reference's names.
fn segment_row(region: &Region, basis: Basis) -> BTreeMap<String, f64> {
    let names = features_of(basis).into_iter().map(|f| f.reference_name);
    let mut row: BTreeMap<_, _> = names.zip(features(&region.sums, basis)).collect();
    row.insert("iou".into(), region.adjusted_iou);
    row.insert("iou0".into(), f64::from(region.n_shared == 0));
    row
}

/// An object under the reference's names.
fn object_row(region: &Region, num_classes: usize) -> BTreeMap<String, f64> {
    let sums = &region.sums;
    let size = sums.size as f64;
    let mut row = BTreeMap::from([
        ("iou".to_owned(), region.adjusted_iou),
        ("iou0".to_owned(), f64::from(region.n_shared == 0)),
        ("rec".to_owned(), region.n_shared as f64 / size),
        ("mean_x".to_owned(), sums.centroid().0),
        ("mean_y".to_owned(), sums.centroid().1),
        ("S".to_owned(), size),
        ("S_in".to_owned(), sums.interior as f64),
        ("S_bd".to_owned(), sums.boundary() as f64),
    ]);
    for c in 0..num_classes {
        row.insert(format!("S_{c}"), sums.class_sizes[c] as f64);
        row.insert(format!("cprob{c}"), sums.class_probs[c] / size);
    }
    row
}

fn compare_row(expected: &BTreeMap<String, f64>, actual: &BTreeMap<String, f64>) -> Result<()> {
    for (name, &value) in expected {
        // constants of the reference, and the raw label id, which evaluation masks do not keep
        if matches!(name.as_str(), "prc" | "train_class" | "label_class") {
            continue;
        }
        let ours = *actual.get(name).with_context(|| format!("no {name}"))?;
        ensure!(
            (ours - value).abs() <= tolerance(name),
            "{name} is {ours}, not {value}"
        );
    }
    for name in actual.keys() {
        ensure!(expected.contains_key(name), "{name} is not compared");
    }
    Ok(())
}

fn tolerance(name: &str) -> f64 {
    match name {
        "iou" | "iou0" | "prc" | "rec" | "train_class" | "S" | "S_in" | "S_bd" => 0.0,
        "E_rel" | "E_rel_in" => 1e-5,
        _ if name.starts_with("S_") && name[2..].parse::<u32>().is_ok() => 0.0,
        _ if name.starts_with('E') => 1e-6,
        _ => 1e-11,
    }
}

/// The reference's map: +k inside, −k on the boundary, 0 outside.
fn signed_map(map: &Components) -> Vec<i16> {
    let sign = |(at, &id): (usize, &u32)| {
        let is_boundary = id > 0 && map.around(at).any(|i| map.ids[i] != id);
        if is_boundary { -(id as i16) } else { id as i16 }
    };
    map.ids.iter().enumerate().map(sign).collect()
}

#[test]
fn golden_masks_entropies_and_heat_maps() -> Result<()> {
    let mut n_maps = 0;
    for case in cases()? {
        let rows = case.rows();
        for threshold in case.json["thresholds"].as_array().context("thresholds")? {
            let t = threshold.as_f64().context("threshold")?;
            let expected = Mask::read_raw(&case.expected(&format!("t{t:?}_mask.png")))?;
            let segmentation = Segmentation {
                score: Score::Entropy,
                threshold: t as f32,
                min_size: 0,
                min_object_size: 0,
            };
            let mut mask = Vec::new();
            for row in &rows {
                let mut flags = vec![false; row.width];
                segmentation.flag_row(row, &vec![0; row.width], &mut flags);
                mask.extend(flags.iter().map(|&flag| u8::from(flag) * 255));
            }
            ensure!(mask == expected.labels, "{} at {t:?}", case.dir.display());
            n_maps += 1;
        }
        let margin = |row: &PixelRow, x: usize| prob_margin(row.first[x], row.second[x]);
        let variation = |row: &PixelRow, x: usize| variation_ratio(row.first[x]);
        let entropy = |row: &PixelRow, x: usize| row.entropy[x];
        n_maps += check_map(&case, "heat_D.npy", &map(&rows, margin), 0.0)?;
        n_maps += check_map(&case, "heat_V.npy", &map(&rows, variation), 0.0)?;
        n_maps += check_map(&case, "ent_scipy_norm.npy", &map(&rows, entropy), 0.0)?;
        n_maps += check_map(&case, "entropy_normalised.npy", &map(&rows, entropy), 0.0)?;
        let mut heat = Vec::new();
        let mut heats = Vec::new();
        for row in &rows {
            entropy_heat(&row.probs, row.width, 0..row.width, &mut heat);
            heats.extend_from_slice(&heat);
        }
        n_maps += check_map(&case, "heat_E.npy", &heats, 5e-7)?;
    }
    ensure!(n_maps > 0, "nothing was compared");
    eprintln!("compared {n_maps} maps");
    Ok(())
}

fn map<T>(rows: &[PixelRow], value: impl Fn(&PixelRow, usize) -> T + Copy) -> Vec<T> {
    rows.iter()
        .flat_map(|row| (0..row.width).map(move |x| value(row, x)))
        .collect()
}

/// Compares a map, if the case has it; returns how many were compared.
fn check_map(case: &Case, name: &str, actual: &[f32], tolerance: f32) -> Result<usize> {
    let path = case.expected(name);
    if !path.exists() {
        return Ok(0);
    }
    let expected = Npy::read(&path, "<f4")?.floats();
    ensure!(expected.len() == actual.len());
    for (at, (a, e)) in actual.iter().zip(&expected).enumerate() {
        ensure!(
            (a - e).abs() <= tolerance,
            "{}: {a} instead of {e} at pixel {at}",
            path.display()
        );
    }
    Ok(1)
}
