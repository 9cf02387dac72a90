//! Joining the outputs of shards into what one call over all samples writes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_atomic;
use artifacts::manifest::Manifest;
use artifacts::score::Score;
use artifacts::shard::Shard;
use artifacts::stage_dir::{Opened, StageDir};
use artifacts::tables::{features, read_table, read_table_parts, schema, thresholds_in};
use artifacts::track;
use measures::pixel_counts::{BinCount, ScoreCounts};
use polars::prelude::DataFrame;

use crate::joined::Folders;
use crate::{Args, COMPONENTS, PARTIAL, finish, reference_tables, tables};

const STAGE: &str = "segment-metrics";

/// Arguments that the shards have decided already.
pub(crate) const CONFLICTS: [&str; 13] = [
    "logits",
    "labels",
    "region",
    "entropy_threshold",
    "thresholds",
    "score",
    "track",
    "min_size",
    "min_object_size",
    "compat_names",
    "skip_without_ood",
    "shard",
    "limit",
];

/// A finished shard.
struct Part {
    dir: PathBuf,
    shard: Shard,
    manifest: Manifest,
}

/// Joins the directories of `--merge` into `--output`: tables, pixel counts, component maps and the manifest are those of one
/// call over all samples.
///
/// # Errors
/// If a directory is not a finished shard, shards are missing, given twice, or made with other arguments or inputs.
pub fn merge(args: &Args) -> Result<()> {
    let parts = args.merge.iter().map(|dir| Part::read(dir));
    let parts = in_order(parts.collect::<Result<Vec<_>>>()?)?;
    for part in &parts {
        check_apart(&args.output, &part.dir)?;
    }
    let manifest = whole_manifest(&parts)?;
    let dir = match StageDir::open_for(&args.output, manifest, args.common.force)? {
        Opened::Done(_) => {
            tracing::info!("{} is complete already", args.output.display());
            return Ok(());
        }
        Opened::Work(dir) => dir,
    };
    let components = dir.subdir(COMPONENTS)?;
    let mut pools = [ScoreCounts::<u64>::new(), ScoreCounts::<u64>::new()];
    for part in &parts {
        copy_components(&part.dir, &components)?;
        add_pixels(&part.dir, &mut pools)?;
    }
    let dirs = parts.iter().map(|part| part.dir.clone());
    let dirs = Folders::OfShards(dirs.collect());
    let num_classes = num_classes(&parts[0].dir)?;
    tables::write_pixel_counts(dir.path(), &pools)?;
    let mut counts = tables::write_joined(dir.path(), &dirs, num_classes)?;
    for threshold in thresholds_in(&parts[0].dir)? {
        tables::write_level(dir.path(), threshold, &dirs, num_classes)?;
    }
    // the same in all shards, as their arguments are
    let cut = parts[0].dir.join(track::FILE_NAME);
    if cut.exists() {
        track::Threshold::read(&parts[0].dir)?.write(dir.path())?;
    }
    if parts[0].manifest.arguments["compat_names"] == true {
        reference_tables::write(dir.path(), num_classes)?;
    }
    let skipped = parts
        .iter()
        .filter_map(|p| p.manifest.counts.get("skipped"));
    counts.push(("skipped", skipped.sum()));
    // an interrupted call that measured the same samples left it
    let partial = dir.path().join(PARTIAL);
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("could not remove {}", partial.display()))?;
    }
    finish(dir, &counts)
}

impl Part {
    fn read(dir: &Path) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        ensure!(
            manifest.stage == STAGE,
            "{} was written by `{}`: --merge takes directories of `{STAGE}`",
            dir.display(),
            manifest.stage
        );
        let shard = manifest.arguments.get("shard").cloned();
        let shard: Shard = serde_json::from_value(shard.unwrap_or_default())
            .with_context(|| format!("the manifest of {} names no shard", dir.display()))?;
        let limit = manifest.arguments.get("limit");
        ensure!(
            limit.is_none_or(|n| n.as_u64() == Some(0)),
            "{} has not all samples of shard {shard}: run it again without --limit",
            dir.display()
        );
        let dir = dir.to_owned();
        Ok(Self {
            dir,
            shard,
            manifest,
        })
    }

    /// The manifest of one call over all samples, but for the counts.
    fn of_whole(&self) -> Result<Manifest> {
        let mut arguments = self.manifest.arguments.clone();
        arguments["shard"] = serde_json::to_value(Shard::default())?;
        Ok(Manifest {
            arguments,
            counts: [].into(),
            seconds: 0.0,
            ..self.manifest.clone()
        })
    }
}

/// The parts sorted by their number, if they are all of 0 to n − 1, each once.
fn in_order(mut parts: Vec<Part>) -> Result<Vec<Part>> {
    parts.sort_by_key(|part| part.shard.index);
    let first = parts.first().context("--merge names no directory")?;
    let count = first.shard.count;
    for part in &parts {
        ensure!(
            part.shard.count == count,
            "{} is shard {}, but {} is shard {}: merge shards of one number of parts",
            part.dir.display(),
            part.shard,
            first.dir.display(),
            first.shard
        );
    }
    for pair in parts.windows(2) {
        ensure!(
            pair[0].shard != pair[1].shard,
            "{} and {} are both shard {}: name each once",
            pair[0].dir.display(),
            pair[1].dir.display(),
            pair[0].shard
        );
    }
    let is_there = |index: &usize| parts.iter().any(|part| part.shard.index == *index);
    let missing: Vec<_> = (0..count)
        .filter(|index| !is_there(index))
        .map(|index| Shard { index, count }.to_string())
        .collect();
    ensure!(
        missing.is_empty(),
        "--merge lacks shard {} beside {}: run `{STAGE} --shard` for it, or name its directory too",
        missing.join(", "),
        first.dir.display()
    );
    Ok(parts)
}

/// The manifest that all parts agree on.
fn whole_manifest(parts: &[Part]) -> Result<Manifest> {
    let whole = parts[0].of_whole()?;
    for part in &parts[1..] {
        let other = part.of_whole()?;
        let what = if other.arguments != whole.arguments {
            "arguments"
        } else if other.tool_version != whole.tool_version {
            "version of the tool"
        } else {
            "inputs"
        };
        ensure!(
            whole.same_work(&other),
            "{} was made with other {what} than {}: run the shard again with the same",
            part.dir.display(),
            parts[0].dir.display()
        );
    }
    Ok(whole)
}

/// Refuses an output that is a part or holds one, as it would be emptied.
fn check_apart(output: &Path, part: &Path) -> Result<()> {
    let (Ok(output), Ok(inside)) = (output.canonicalize(), part.canonicalize()) else {
        return Ok(()); // what does not exist holds nothing
    };
    ensure!(
        !inside.starts_with(&output),
        "--output {} holds the shard {}: choose another",
        output.display(),
        part.display()
    );
    Ok(())
}

fn copy_components(part: &Path, to: &Path) -> Result<()> {
    let table = schema::samples();
    let samples = read_table(&part.join(table.file_name()), &table)?;
    for id in samples.column("sample_id")?.str()?.iter().flatten() {
        let name = format!("{id}.png");
        let from = part.join(COMPONENTS).join(&name);
        let bytes = fs::read(&from).with_context(|| {
            let from = from.display();
            format!("could not read {from}: run the shard again with --force")
        })?;
        write_atomic(&to.join(name), |w| Ok(w.write_all(&bytes)?))?;
    }
    Ok(())
}

/// Adds the pixels of a part to those without and with out-of-distribution pixels.
fn add_pixels(part: &Path, pools: &mut [ScoreCounts<u64>; 2]) -> Result<()> {
    let table = schema::pixel_counts();
    let path = part.join(table.file_name());
    for rows in read_table_parts(&path, &table)? {
        add_rows(&rows?, pools).with_context(|| {
            format!(
                "{} is damaged: run the shard again with --force",
                path.display()
            )
        })?;
    }
    Ok(())
}

fn add_rows(rows: &DataFrame, pools: &mut [ScoreCounts<u64>; 2]) -> Result<()> {
    let scores = rows.column("score")?.str()?.iter();
    let has_ood = rows.column("has_ood")?.bool()?.iter();
    let bins = rows.column("bin")?.u32()?.iter();
    let n_in = rows.column("n_in")?.u64()?.iter();
    let n_out = rows.column("n_out")?.u64()?.iter();
    let rows = scores.zip(has_ood).zip(bins).zip(n_in.zip(n_out));
    for (((score, has_ood), bin), (n_in, n_out)) in rows {
        let score = Score::ALL.into_iter().find(|s| Some(s.name()) == score);
        let row = score.zip(has_ood).zip(bin).zip(n_in.zip(n_out));
        let (((score, has_ood), bin), (n_in, n_out)) = row.context("a row has no such value")?;
        let counts = pools[usize::from(has_ood)].of_mut(score);
        counts.add_bin(BinCount { bin, n_in, n_out }, 1)?;
    }
    Ok(())
}

/// Number of classes, which the columns tell.
fn num_classes(part: &Path) -> Result<usize> {
    let table = schema::segments(0);
    let mut parts = read_table_parts(&part.join(table.file_name()), &table)?;
    let frame = parts.next().context("a table has at least one part")??;
    Ok(features::num_classes(&frame))
}
