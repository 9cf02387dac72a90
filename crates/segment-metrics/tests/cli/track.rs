//! The rules of a track of `SegmentMeIfYouCan`'s benchmark.

use std::fs;

use anyhow::Result;
use artifacts::manifest::Manifest;
use artifacts::score::Score;
use artifacts::tables::schema;
use artifacts::track::{Threshold, Track};
use stage_testing::folder::files;

use crate::toy::{Toy, WIDTH, labels};

/// 27 pixels are uniform, 8 of them on the 12 of the objects.
#[test]
fn a_track_cuts_at_the_best_threshold() -> Result<()> {
    let toy = Toy::new()?;
    let own_sizes = [
        "--track",
        "obstacle",
        "--min-size",
        "2",
        "--min-object-size",
        "6",
    ];
    let lines = ["segments: 3", "objects: 2", "threshold: 1"];
    toy.check_prints("out", &own_sizes, &lines)?;
    let found = Threshold::read(&toy.path("out"))?;
    let expected = Threshold {
        min_size: 2,
        min_object_size: 6,
        ..Threshold::new(Track::Obstacle, Score::Entropy, 1.0, Some(16.0 / 39.0))
    };
    assert_eq!(found, expected);
    let tables = files(&toy.path("out"))?;
    let more_threads = [&own_sizes[..], &["--threads", "3", "--force"]].concat();
    toy.run("out", &more_threads)?;
    assert!(tables == files(&toy.path("out"))?);
    // the track's own sizes are too large for these images, whose pixels count all the same
    let lines = ["segments: 0", "objects: 0", "threshold: 1"];
    toy.check_prints("track", &["--track", "anomaly"], &lines)?;
    let counts = schema::pixel_counts().file_name();
    let read = |dir: &str| fs::read(toy.path(dir).join(&counts));
    assert_eq!(read("track")?, read("out")?);
    Ok(())
}

#[test]
fn a_track_knows_no_unrated_pixels() -> Result<()> {
    let toy = Toy::new()?;
    let path = toy.path("labels/masks/b.png");
    let mut mask = labels("b");
    mask.labels[6 * WIDTH + 9] = 2;
    mask.write(&path)?;
    toy.relist("labels")?;
    let count = |name: &str, more: &[&str]| -> Result<u64> {
        toy.run(name, more)?;
        Ok(Manifest::read(&toy.path(name))?.counts["segments"])
    };
    assert_eq!(count("usual", &[])?, 6);
    assert_eq!(
        count("track", &["--track", "obstacle", "--min-size", "1"])?,
        5
    );
    Ok(())
}

#[test]
fn shards_of_a_track_need_the_threshold_of_all() -> Result<()> {
    let toy = Toy::new()?;
    let shard = ["--track", "obstacle", "--shard", "1/2"];
    toy.check_fails(&shard, &["threshold of all samples", "--threshold"])?;
    let given = [&shard[..], &["--entropy-threshold", "0.5"]].concat();
    toy.run("shard", &given)?;
    let threshold = Threshold::read(&toy.path("shard"))?;
    assert_eq!((threshold.threshold, threshold.best_f1), (0.5, None));
    for id in ["a", "c"] {
        labels("b").write(&toy.path("labels/masks").join(format!("{id}.png")))?;
    }
    toy.relist("labels")?;
    toy.check_fails(&shard[..2], &["no threshold is best", "--threshold"])
}
