//! `seg-model adopt` from its arguments to a complete output directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::folder;
use artifacts::index::{Index, Sample};
use artifacts::logits::logits_path;
use artifacts::manifest::Input;
use artifacts::stage_dir::{Replacing, Request, StageDir, ensure_not_around};
use rayon::prelude::*;
use stage_cli::{Common, Failures, Progress};

use super::args::Args;
use super::array::{self, Array};
use super::convert::{self, Record};
use super::kind::Kind;
use super::layout::{Channels, Said};
use super::matching::{self, Matches};
use super::one_value::{Tally, one_value};
use super::samples::Samples;
use super::stated::Stated;
use crate::finish::finish;

/// Names of the inputs in the manifest.
const FROM: &str = "from";
const LABELS: &str = "labels";
const CLASSES: &str = "classes";

/// What is said about probabilities.
const NOTE_ON_PROBABILITIES: &str = ": logits are their logarithms, which give the scores max_logit and energy other values than the network's own outputs would; the other scores are the same";
const NOTE_ON_LOGARITHMS: &str = ": they are taken as logits, which gives the scores max_logit and energy other values than the network's own outputs would; the other scores are the same";

/// A sample and its file.
struct Job {
    sample: Sample,
    file: PathBuf,
}

/// Writes logits or score maps of the files in a folder, and the index of their samples.
///
/// # Errors
/// Returns an error if no file belongs to a sample, a sample has none, a file cannot be used or does not tell what it holds, or
/// the output cannot be written; with `--keep-going` samples without a usable file are an error at the end only.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let output = &args.output.output;
    ensure_not_around(output, &args.input.from)?;
    let failures = Failures::new(args.input.keep_going);
    let mut samples = Samples::list(&args.input, output)?;
    let matches = find_files(&samples, args)?;
    let selected = args.input.subset.select(samples.in_order());
    let n_samples = selected.len();
    let jobs = selected.into_iter().map(|(id, sample)| {
        let job = sample.and_then(|sample| job(sample, &matches, args));
        (id, job)
    });
    let jobs = failures.check_all(jobs)?;
    let mut said = Said {
        kind: args.meaning.kind,
        layout: args.meaning.layout,
        classes: args.meaning.class_set()?,
        void: args.meaning.void,
        classes_come_first: false,
    };
    said.kind = Some(find_kind(&jobs, &said, args, &failures)?);
    let request = request(args, &samples, &matches, common.force)?;
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    adopt_all(&jobs, &said, args, &dir, &failures)?;
    let index = Index {
        samples: jobs.into_iter().map(|job| job.sample).collect(),
        ..samples.index
    };
    finish(dir, index, (n_samples, "samples can be adopted"), &failures)
}

/// Finds the files of all samples, and says how many there are.
fn find_files(samples: &Samples, args: &Args) -> Result<Matches> {
    let from = &args.input.from;
    let files = matching::list(from, &args.output.output)?;
    let pattern = args.input.pattern.as_ref();
    let matches = matching::find(&samples.index.samples, &files, pattern, from)?;
    tracing::info!(
        "{} of {} samples have a file in {}",
        matches.files.len(),
        samples.index.samples.len(),
        from.display()
    );
    if let Some(first) = matches.others.first() {
        tracing::warn!(
            "{} of {} files in {} belong to no sample and are left out, the first: {first}",
            matches.others.len(),
            files.len(),
            from.display()
        );
    }
    Ok(matches)
}

fn job(sample: Sample, matches: &Matches, args: &Args) -> Result<Job> {
    let file = matches.files.get(&sample.sample_id);
    let file = file.with_context(|| {
        let from = args.input.from.display();
        format!("sample {} has no file in {from}", sample.sample_id)
    })?;
    Ok(Job {
        file: args.input.from.join(file),
        sample,
    })
}

/// What the numbers in all files are, by the first one that can be used. Says so.
fn find_kind(jobs: &[Job], said: &Said, args: &Args, failures: &Failures) -> Result<Kind> {
    for job in jobs {
        let adopted = adopt(job, said, args);
        if let Some(adopted) = failures.check(&job.sample.sample_id, adopted)? {
            tracing::info!("{}", adopted.description);
            return Ok(adopted.kind);
        }
    }
    let failed = failures.so_far();
    let (id, error) = failed.first_key_value().context("there are no samples")?;
    bail!(
        "none of the {} samples can be adopted; the first, {id}: {error}",
        failed.len()
    )
}

/// What is to be done, where to, and with which files.
fn request<'a>(
    args: &'a Args,
    samples: &Samples,
    matches: &Matches,
    force: bool,
) -> Result<Request<'a>> {
    let index_file = samples.index_file();
    let mut inputs: Vec<(&str, &Path)> = Vec::new();
    inputs.extend(index_file.as_deref().map(|path| (LABELS, path)));
    inputs.extend(args.meaning.class_file().map(|path| (CLASSES, path)));
    let output = &args.output.output;
    let mut request = Request::new(output, "seg-model adopt", args, &inputs, force)?;
    let files: Vec<&Path> = matches.files.values().map(PathBuf::as_path).collect();
    let from: Input = folder::listing(&args.input.from, &files)?;
    request.work.inputs.insert(FROM.to_owned(), from);
    request.work.inputs.extend(samples.folder.clone());
    // an output among the labels would be a foreign file to their stage
    request.reads.extend(samples.labels.clone());
    request.replacing = Replacing::SameArguments;
    Ok(request)
}

/// Adopts all files that an interrupted call has not, some at a time.
fn adopt_all(
    jobs: &[Job],
    said: &Said,
    args: &Args,
    dir: &StageDir,
    failures: &Failures,
) -> Result<()> {
    let failed = failures.so_far();
    let is_missing = |job: &&Job| {
        let id = &job.sample.sample_id;
        !failed.contains_key(id) && !logits_path(dir.path(), id).exists()
    };
    let missing: Vec<&Job> = jobs.iter().filter(is_missing).collect();
    let mut tally = Tally::default();
    let progress = Progress::new("adopt", missing.len() as u64, "files");
    // which error is reported does not depend on the threads, as each of these calls waits for all of them
    for some in missing.chunks(rayon::current_num_threads()) {
        let results: Vec<Result<Option<f32>>> = some
            .par_iter()
            .map(|job| {
                let adopted = adopt(job, said, args)?;
                progress.advance(1);
                adopted.write(args, &logits_path(dir.path(), &job.sample.sample_id))?;
                Ok(adopted.one_value())
            })
            .collect();
        for (job, result) in some.iter().zip(results) {
            let id = &job.sample.sample_id;
            if let Some(value) = failures.check(id, result)? {
                tally.add(id, value);
            }
        }
    }
    progress.finish();
    if said.kind == Some(Kind::Score) {
        tally.judge(written(jobs, dir))?;
    }
    Ok(())
}

/// The files that were written, by this call or an interrupted one.
fn written<'a>(jobs: &'a [Job], dir: &StageDir) -> impl Iterator<Item = (&'a str, PathBuf)> {
    let ids = jobs.iter().map(|job| job.sample.sample_id.as_str());
    let files = ids.map(|id| (id, logits_path(dir.path(), id)));
    files.filter(|(_, file)| file.exists())
}

/// What was made of a file.
struct Adopted {
    values: Values,
    kind: Kind,
    /// What the file holds, for people.
    description: String,
}

enum Values {
    Logits(convert::Adopted),
    Scores(artifacts::score_map::ScoreMap),
}

impl Adopted {
    /// The score of all pixels, if these are scores and all the same.
    fn one_value(&self) -> Option<f32> {
        match &self.values {
            Values::Scores(map) => one_value(map),
            Values::Logits(_) => None,
        }
    }

    fn write(&self, args: &Args, path: &Path) -> Result<()> {
        match &self.values {
            Values::Scores(map) => map.write(path),
            Values::Logits(adopted) => {
                let precision = args.output.precision.map(Into::into);
                let precision = precision.unwrap_or(adopted.precision);
                adopted.logits.write(path, precision)
            }
        }
    }
}

/// Reads a file and makes logits or a score map of it.
fn adopt(job: &Job, said: &Said, args: &Args) -> Result<Adopted> {
    let name_file = || format!("{} cannot be adopted", job.file.display());
    let stated = Stated::read(&job.file)?;
    stated.check(&job.sample).with_context(name_file)?;
    let said = stated.join(said).with_context(name_file)?;
    let accept = |shape: &[usize]| said.axes(shape, &job.sample).map(drop);
    let array = array::read(&job.file, args.input.array.as_deref(), &accept)?;
    let record = Record {
        sample: &job.sample,
        name: stated.name(args),
        align_corners: stated.align_corners(args).with_context(name_file)?,
    };
    adopt_array(&array, &said, record, args.meaning.negate).with_context(name_file)
}

fn adopt_array(array: &Array, said: &Said, record: Record, negate: bool) -> Result<Adopted> {
    let axes = said.axes(&array.shape, record.sample)?;
    let number = array.number.name();
    let Some(channels) = &axes.channels else {
        ensure!(
            said.kind.is_some() || !array.number.is_integer(),
            "it has one whole number ({number}) for each pixel, which could be classes: pass --kind score if they are scores"
        );
        let suspicious = if negate { "smaller" } else { "larger" };
        return Ok(Adopted {
            values: Values::Scores(convert::score_map(array, &axes, negate, record)?),
            kind: Kind::Score,
            description: format!(
                "the files hold one score for each pixel ({number}); {suspicious} is more suspicious"
            ),
        });
    };
    ensure!(
        !negate,
        "--negate is for scores, and it holds {} channels",
        channels.table.channels.len()
    );
    let adopted = convert::logits(array, &axes, channels, said.kind, record)?;
    Ok(Adopted {
        kind: adopted.kind,
        description: describe(&adopted, channels, number),
        values: Values::Logits(adopted),
    })
}

fn describe(adopted: &convert::Adopted, channels: &Channels, number: &str) -> String {
    let table = &channels.table;
    let n_others = table.channels.len() - table.classes.len();
    let void = if n_others > 0 { " and void" } else { "" };
    let note = match adopted.kind {
        Kind::Probabilities => NOTE_ON_PROBABILITIES,
        Kind::LogProbabilities => NOTE_ON_LOGARITHMS,
        _ => "",
    };
    format!(
        "the files hold {} ({number}, {}) of the {} classes of {}{void}{note}",
        adopted.kind.name(),
        channels.layout.name(),
        table.classes.len(),
        table.classes.name,
    )
}
