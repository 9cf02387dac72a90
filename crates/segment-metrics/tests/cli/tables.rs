//! Tables of the three samples, and the options that change them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use artifacts::logits::Precision;
use artifacts::manifest::Manifest;
use artifacts::mask::{ComponentMap, Mask};
use artifacts::tables::schema;
use stage_testing::folder::files;

use crate::toy::{CLASSES, HEIGHT, Toy, WIDTH, counts, flagged_logits, floats};

#[test]
fn tables_of_a_tiny_run() -> Result<()> {
    let toy = Toy::new()?;
    let lines = [
        "segments: 6",
        "false_positives: 4",
        "objects: 2",
        "samples: 3",
        "skipped: 0",
    ];
    toy.check_prints("out", &[], &lines)?;
    let out = toy.path("out");
    assert_eq!(Manifest::read(&out)?.counts["segments"], 6);
    assert!(!out.join("partial").exists());
    let map = ComponentMap::read(&out.join("components/a.png"))?;
    assert_eq!((map.width, map.height), (WIDTH, HEIGHT));
    assert_eq!(map.ids[2 * WIDTH + 3], 1);
    assert_eq!(map.ids[6 * WIDTH + 9], 2);
    assert_eq!(map.ids.iter().filter(|&&id| id > 0).count(), 9);

    let segments = toy.table("out", &schema::segments(CLASSES))?;
    let ids = segments.column("sample_id")?.str()?.iter();
    assert!(ids.flatten().eq(["a", "a", "b", "b", "c", "c"]));
    // 4 of 8 pixels are on the object of 6, so that the union is 10
    assert_eq!(
        floats(&segments, "adjusted_iou")?,
        [0.4, 0.0, 0.0, 0.0, 0.4, 0.0]
    );
    assert_eq!(floats(&segments, "size")?, [8.0, 1.0, 8.0, 1.0, 8.0, 1.0]);
    assert_eq!(floats(&segments, "neighbor_class_01")?, [1.0; 6]);
    assert_eq!(floats(&segments, "centroid_col")?[0], 4.5);
    for mean in floats(&segments, "entropy_mean")? {
        assert!((mean - 1.0).abs() < 1e-6, "{mean}");
    }

    let objects = toy.table("out", &schema::objects())?;
    assert_eq!(floats(&objects, "recall")?, [4.0 / 6.0; 2]);
    let overlaps = toy.table("out", &schema::overlaps())?;
    assert_eq!(counts(&overlaps, "n_pixels")?, [4, 4]);
    let samples = toy.table("out", &schema::samples())?;
    assert_eq!(counts(&samples, "n_in")?, [78, 84, 78]);
    for (name, expected) in [("height", HEIGHT), ("width", WIDTH)] {
        let column = samples.column(name)?.u32()?;
        assert!(
            column.into_no_null_iter().eq([expected as u32; 3]),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn pixel_counts_add_up_and_are_sorted() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("out", &["-q"])?;
    let table = toy.table("out", &schema::pixel_counts())?;
    let scores: Vec<_> = table.column("score")?.str()?.iter().flatten().collect();
    let has_ood: Vec<_> = table.column("has_ood")?.bool()?.iter().flatten().collect();
    let bins: Vec<_> = table.column("bin")?.u32()?.iter().flatten().collect();
    let (n_in, n_out) = (counts(&table, "n_in")?, counts(&table, "n_out")?);
    assert_eq!(n_in.len(), bins.len());
    let keys: Vec<_> = (0..bins.len())
        .map(|i| (scores[i], has_ood[i], bins[i]))
        .collect();
    assert!(keys.is_sorted());
    let mut sums: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for i in 0..bins.len() {
        let sum = sums.entry((scores[i], has_ood[i])).or_default();
        *sum = (sum.0 + n_in[i], sum.1 + n_out[i]);
    }
    for score in ["energy", "entropy", "margin", "max_logit", "max_softmax"] {
        assert_eq!(sums[&(score, true)], (156, 12));
        assert_eq!(sums[&(score, false)], (84, 0));
    }
    assert_eq!(sums.len(), 10);
    Ok(())
}

#[test]
fn options_choose_samples_and_segments() -> Result<()> {
    let toy = Toy::new()?;
    let check = |name: &str, options: &[&str], line: &str| toy.check_prints(name, options, &[line]);
    check("size", &["--min-size", "2"], "segments: 3")?;
    check("skip", &["--skip-without-ood"], "segments: 4")?;
    check("shard", &["--shard", "1/2"], "samples: 1")?;
    check("limit", &["--limit", "2"], "samples: 2")?;
    check("none", &["--entropy-threshold", "1.5"], "segments: 0")?;
    let only_b = ["--shard", "1/2", "--skip-without-ood"];
    check("empty", &only_b, "samples: 0")?;
    let energy = ["--score", "energy", "--entropy-threshold", "-5"];
    check("energy", &energy, "segments: 6")?;
    let mut region = Mask::filled(WIDTH, HEIGHT, 1);
    region.labels[6 * WIDTH..7 * WIDTH].fill(0);
    let path = toy.path("region.png");
    region.write(&path)?;
    let inside = ["--region", &path.to_string_lossy()];
    check("region", &inside, "segments: 3")?;
    Mask::filled(1, 1, 1).write(&path)?;
    toy.check_fails(&inside, &["--region has 1x1 pixels"])
}

#[test]
fn additional_thresholds_have_the_tables_of_calls_of_their_own() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("plain", &[])?;
    toy.run("many", &["--thresholds", "0.25,1.5"])?;
    let many = files(&toy.path("many"))?;
    for (name, bytes) in files(&toy.path("plain"))? {
        assert!(many[&name] == bytes, "{name}");
    }
    for threshold in ["0.25", "1.5"] {
        toy.run(threshold, &["--entropy-threshold", threshold])?;
        let alone = files(&toy.path(threshold))?;
        for table in ["segments", "objects", "overlaps", "samples"] {
            let name = format!("{table}.parquet");
            assert!(
                many[&format!("thresholds/{threshold}/{name}")] == alone[&name],
                "{table} at the threshold {threshold}"
            );
        }
    }
    Ok(())
}

#[test]
fn one_and_three_threads_write_the_same_bytes() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("one", &["--threads", "1"])?;
    toy.run("three", &["--threads", "3"])?;
    let one = files(&toy.path("one"))?;
    assert_eq!(one.len(), 10, "{:?}", one.keys());
    assert!(one == files(&toy.path("three"))?);
    Ok(())
}

#[test]
fn histograms_of_images_add_up_to_those_of_all() -> Result<()> {
    let toy = Toy::new()?;
    toy.run("out", &[])?;
    let all = toy.table("out", &schema::pixel_counts())?;
    let images = toy.table("out", &schema::sample_pixels())?;
    assert_eq!(images.height(), 3 * 5);
    let mut expected: BTreeMap<(String, u32), [u64; 2]> = BTreeMap::new();
    for row in 0..all.height() {
        let score = all.column("score")?.str()?.get(row).context("score")?;
        let bin = all.column("bin")?.u32()?.get(row).context("bin")?;
        let sums = expected.entry((score.to_owned(), bin / 512)).or_default();
        for (sum, name) in sums.iter_mut().zip(["n_in", "n_out"]) {
            *sum += all.column(name)?.u64()?.get(row).context("count")?;
        }
    }
    let mut found: BTreeMap<(String, u32), [u64; 2]> = BTreeMap::new();
    for row in 0..images.height() {
        let text = |name: &str| -> Result<String> {
            let value = images.column(name)?.str()?.get(row);
            Ok(value.context("a text")?.to_owned())
        };
        let list = |name: &str| -> Result<_> {
            let list = images.column(name)?.list()?.get_as_series(row);
            list.context("a list")
        };
        let bins = list("coarse_bins")?;
        for (i, name) in ["bins_in", "bins_out"].into_iter().enumerate() {
            for (bin, n) in bins.u32()?.iter().zip(list(name)?.u64()?.iter()) {
                let key = (text("score")?, bin.context("bin")?);
                found.entry(key).or_default()[i] += n.context("count")?;
            }
        }
        for name in ["auroc", "auprc", "fpr95"] {
            let figure = images.column(name)?.f64()?.get(row);
            // sample b has no object
            assert_eq!(figure.is_none(), text("sample_id")? == "b", "{name}");
        }
        let number = |name: &str| -> Result<f64> {
            let number = images.column(name)?.f64()?.get(row);
            number.context("every sample has rated pixels")
        };
        assert!(number("max_score")? >= number("mean_score")?);
    }
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn whole_images_may_be_flagged_and_no_object_be_anywhere() -> Result<()> {
    let toy = Toy::new()?;
    for id in ["a", "b", "c"] {
        let path = toy.path("labels/masks").join(format!("{id}.png"));
        Mask::filled(WIDTH, HEIGHT, 0).write(&path)?;
    }
    toy.relist("labels")?;
    toy.run("out", &["--entropy-threshold", "-1"])?;
    let segments = toy.table("out", &schema::segments(CLASSES))?;
    assert_eq!(segments.height(), 3, "one segment an image");
    let values = |name: &str| floats(&segments, name);
    let size = (WIDTH * HEIGHT) as f64;
    assert_eq!(values("size")?, [size; 3]);
    // no boundary: relative sizes divide by 1, and there is nothing to average
    assert_eq!(values("size_boundary")?, [0.0; 3]);
    assert_eq!(values("size_rel")?, [size; 3]);
    assert_eq!(values("entropy_mean_boundary")?, [0.0; 3]);
    assert_eq!(values("neighbor_class_01")?, [0.0; 3]);
    let is_wrong = segments.column("is_false_positive")?.bool()?;
    assert!(is_wrong.iter().all(|wrong| wrong == Some(true)));
    let objects = toy.table("out", &schema::objects())?;
    assert_eq!(objects.height(), 0);
    Ok(())
}

/// The reference numbers rows and columns with 16 bits; ours are as many as an image can have.
#[test]
fn sides_may_be_longer_than_65535() -> Result<()> {
    let toy = Toy::new()?;
    for (width, height) in [(70_001, 2), (2, 70_001)] {
        toy.write_one_label(width, height)?;
        let is_last = |y, x| (y, x) == (height - 1, width - 1);
        let long = flagged_logits("a", height, width, is_last)?;
        long.write(&toy.logits("a"), Precision::F16)?;
        toy.relist("logits")?;
        toy.run("out", &["--force"])?;
        let segments = toy.table("out", &schema::segments(CLASSES))?;
        assert_eq!(segments.height(), 1);
        assert_eq!(floats(&segments, "size")?, [1.0]);
        assert_eq!(floats(&segments, "centroid_row")?, [(height - 1) as f64]);
        assert_eq!(floats(&segments, "centroid_col")?, [(width - 1) as f64]);
    }
    Ok(())
}
