//! `ood-eval report`: everything that `evaluate` writes, and charts, pictures and provenance on one HTML page.
//!
//! [`charts`] and [`gallery`] say what is drawn, [`drawing`] and `pictures/paint.rs` how. The other files prepare what the template
//! `report.html` shows.

mod changes;
mod chart;
mod charts;
mod dataset_view;
mod drawing;
mod found;
mod gallery;
mod known_classes;
mod member;
mod model;
mod outcome;
mod page;
mod provenance;
mod published;
mod text;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use artifacts::atomic::write_bytes;
use artifacts::run_dir::RunFolder;
use artifacts::stage_dir::{StageDir, create_dir};
use stage_cli::print_result;

use self::changes::changes;
use self::charts::dataset_charts;
use self::dataset_view::DatasetView;
use self::gallery::{SampleView, Samples, fit};
use self::member::Member;
use self::page::Parts;
use self::published::PublishedFile;
use crate::args::{ReportArgs, RunSpec};
use crate::evaluate;
use crate::read::runs::{self, borrowed, read_runs};
use crate::results::Results;

/// File name of the report inside the stage's directory.
const FILE_NAME: &str = "report.html";

/// Writes the report unless it is up to date, and prints the main results.
pub(crate) fn run(args: &ReportArgs, force: bool) -> Result<()> {
    let inputs = inputs(args)?;
    let inputs = borrowed(&inputs);
    let output = &args.evaluate.output;
    let results = match stage_cli::open(output, "ood-eval report", args, &inputs, force)? {
        None => Results::read(output)?,
        Some(dir) => {
            let results = write(args, &dir)?;
            dir.finish(&evaluate::counts(&results))?;
            results
        }
    };
    evaluate::print(&results);
    print_result(output.join(FILE_NAME).display());
    Ok(())
}

/// What `evaluate` reads, labels and logits for the gallery, and the published results.
fn inputs(args: &ReportArgs) -> Result<Vec<(String, PathBuf)>> {
    let mut inputs = runs::inputs(&args.evaluate.runs, &args.evaluate.meta)?;
    let mut datasets = BTreeSet::new();
    for (name, path) in inputs.clone() {
        let Some((run, dataset)) = name.split_once(": segments/") else {
            continue;
        };
        datasets.insert(dataset.to_owned());
        let run_dir = path.ancestors().nth(2).context("a folder of a folder")?;
        let logits = RunFolder::Logits.dataset(run_dir, dataset);
        if logits.is_dir() && args.labels.is_some() {
            inputs.push((format!("{run}: logits/{dataset}"), logits));
        }
    }
    if let Some(labels) = &args.labels {
        let dir = |d: String| (format!("labels: {d}"), labels.join(d));
        inputs.extend(datasets.into_iter().map(dir));
    }
    if !args.found.is_empty() {
        RunSpec::check(&args.found)?;
    }
    for (name, dir) in args.found.iter().flat_map(RunSpec::members) {
        inputs.push((format!("found {name}"), dir.to_owned()));
    }
    let published = args.published.iter();
    inputs.extend(published.map(|file| ("published".to_owned(), file.clone())));
    Ok(inputs)
}

/// Writes all files of the report into `dir`.
fn write(args: &ReportArgs, dir: &StageDir) -> Result<Results> {
    let runs = read_runs(
        &args.evaluate.runs,
        &args.evaluate.meta,
        args.evaluate.skip_without_ood,
    )?;
    let results = Results::of(&runs, &args.evaluate)?;
    evaluate::write(&results, &runs, dir.path())?;
    let published = args.published.as_deref().map(PublishedFile::read);
    let published = published.transpose()?.unwrap_or_default();
    let charts_dir = dir.subdir("figures")?;
    let page_bytes = part_of_page(args, results.datasets.len());
    let mut datasets = Vec::new();
    for dataset in &results.datasets {
        let members = Member::all(&runs, &dataset.dataset)?;
        let charts = dataset_charts(dataset, &members, args.evaluate.bootstrap)?;
        charts.iter().try_for_each(|c| c.write(&charts_dir))?;
        let mut samples = gallery(args, dir, &dataset.dataset, &members)?;
        let n_left_out = fit(&mut samples, page_bytes);
        let notes = gallery_notes(args, &dataset.dataset, &members, n_left_out);
        let changes = changes(&dataset.rows, &members, args.evaluate.bootstrap)?;
        let view = DatasetView::new(&results, dataset, changes, &published);
        datasets.push(view.with_pictures(charts, samples, notes));
    }
    let known = known_classes::views(&runs)?;
    let known_charts = known
        .iter()
        .flat_map(|v| v.confusions.iter().chain(&v.reliabilities));
    known_charts
        .into_iter()
        .try_for_each(|c| c.write(&charts_dir))?;
    let parts = Parts {
        datasets,
        found: found::views(&args.found, args.gallery, page_bytes)?,
        known,
        provenance: provenance::views(&runs, args.labels.as_deref(), &args.found)?,
    };
    let html = page::render(args, &runs, &results, parts)?;
    write_bytes(&dir.path().join(FILE_NAME), html.as_bytes())?;
    Ok(results)
}

/// Most bytes of the pictures of a data set, or of an output of `ood-eval detect`: each has the same part of the page.
fn part_of_page(args: &ReportArgs, n_datasets: usize) -> usize {
    let n_parts = n_datasets + args.found.iter().flat_map(RunSpec::members).count();
    args.page_megabytes.saturating_mul(1_000_000) / n_parts.max(1)
}

/// Pictures of samples; none without labels.
fn gallery(
    args: &ReportArgs,
    dir: &StageDir,
    dataset: &str,
    members: &[Member<'_>],
) -> Result<Vec<SampleView>> {
    let Some(labels) = args.labels.as_ref().filter(|_| args.gallery > 0) else {
        return Ok(Vec::new());
    };
    let overlays = dir.path().join("overlays").join(dataset);
    create_dir(&overlays)?;
    let samples = Samples::new(dataset, members, labels.join(dataset), overlays)?;
    gallery::gallery(&samples, args.gallery)
}

/// What is missing in the gallery, and how to get it.
fn gallery_notes(
    args: &ReportArgs,
    dataset: &str,
    members: &[Member<'_>],
    n_left_out: usize,
) -> Vec<String> {
    if args.labels.is_none() {
        return vec!["There are no pictures of samples: give --labels to add them.".to_owned()];
    }
    let mut notes = Vec::new();
    // score maps of another method need no logits
    let of_logits = members.iter().filter(|m| m.data.own.method.is_none());
    let runs = of_logits.map(|m| m.run);
    let without_logits: Vec<_> = runs
        .filter(|run| !RunFolder::Logits.dataset(&run.path, dataset).is_dir())
        .map(|run| run.name.as_str())
        .collect();
    if !without_logits.is_empty() {
        notes.push(format!(
            "There are no predictions and entropies of {} because their logits are missing: run seg-model infer again to add them.",
            without_logits.join(", ")
        ));
    }
    if n_left_out > 0 {
        notes.push(format!(
            "{n_left_out} more samples do not fit into the page: their pictures are in overlays/{dataset}, and a larger --page-megabytes than {} adds them.",
            args.page_megabytes
        ));
    }
    notes
}
