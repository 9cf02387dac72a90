//! `ood-eval report`: everything of `evaluate`, with figures, pictures and provenance in one HTML file.

mod bars;
mod charts;
mod colors;
mod gallery;
mod known;
mod lines;
mod matrix;
mod member;
mod model;
mod page;
mod pictures;
mod provenance;
mod published;
mod raster;
mod text;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::atomic::write_bytes;
use artifacts::run_dir::RunFolder;
use artifacts::stage_dir::{StageDir, create_dir};
use stage_cli::print_result;

use self::charts::Chart;
use self::gallery::{Gallery, SampleView};
use self::member::Member;
use self::page::DatasetView;
use self::provenance::StageView;
use self::published::PublishedFile;
use crate::args::ReportArgs;
use crate::evaluate;
use crate::read::runs::{self, Run, all_datasets, borrowed, read_runs};
use crate::results::Results;

/// File name of the report inside the stage's directory.
const FILE_NAME: &str = "report.html";

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

/// What `evaluate` reads, and the labels and logits for the gallery.
fn inputs(args: &ReportArgs) -> Result<Vec<(String, PathBuf)>> {
    let mut inputs = runs::inputs(&args.evaluate.runs)?;
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
    let published = args.published.iter();
    inputs.extend(published.map(|file| ("published".to_owned(), file.clone())));
    Ok(inputs)
}

fn write(args: &ReportArgs, dir: &StageDir) -> Result<Results> {
    let runs = read_runs(&args.evaluate.runs, args.evaluate.skip_without_ood)?;
    let results = Results::of(&runs, &args.evaluate)?;
    evaluate::write(&results, &runs, dir.path())?;
    let published = args.published.as_deref().map(PublishedFile::read);
    let published = published.transpose()?.unwrap_or_default();
    let figures_dir = dir.subdir("figures")?;
    let mut datasets = Vec::new();
    for dataset in &results.datasets {
        let members = members(&runs, &dataset.dataset)?;
        let figures = charts::of_dataset(dataset, &members)?;
        write_figures(&figures, &figures_dir)?;
        let samples = gallery(args, dir, &dataset.dataset, &members)?;
        let note = gallery_note(args, &dataset.dataset, &members);
        let view = DatasetView::new(&results, dataset, &published);
        datasets.push(view.with_pictures(figures, samples, note));
    }
    let known = known::views(&runs)?;
    for view in &known {
        write_figures(&view.confusions, &figures_dir)?;
        write_figures(&view.reliabilities, &figures_dir)?;
    }
    let provenance = provenance(args, &runs)?;
    let html = page::render(&args.title, &runs, &results, datasets, known, provenance)?;
    write_bytes(&dir.path().join(FILE_NAME), html.as_bytes())?;
    Ok(results)
}

/// Each figure as a file, on white.
fn write_figures(figures: &[Chart], dir: &Path) -> Result<()> {
    for Chart { file, svg, .. } in figures {
        let svg = page::stand_alone(svg);
        write_bytes(&dir.join(format!("{file}.svg")), svg.as_bytes())?;
        write_bytes(&dir.join(format!("{file}.png")), &raster::png(&svg)?)?;
    }
    Ok(())
}

/// Runs that have `dataset`.
fn members<'a>(runs: &'a [Run], dataset: &str) -> Result<Vec<Member<'a>>> {
    let with_data = runs.iter().enumerate();
    let with_data = with_data.filter_map(|(i, r)| Some((i, r, r.datasets.get(dataset)?)));
    with_data
        .map(|(index, run, data)| {
            Ok(Member {
                index,
                run,
                data,
                model: model::read(&RunFolder::Meta.dataset(&run.path, dataset))?,
            })
        })
        .collect()
}

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
    let gallery = Gallery {
        dataset,
        labels: labels.join(dataset),
        overlays,
        members,
    };
    gallery.draw(args.gallery)
}

/// What is missing in the gallery, and how to get it.
fn gallery_note(args: &ReportArgs, dataset: &str, members: &[Member<'_>]) -> Option<String> {
    if args.labels.is_none() {
        return Some("No pictures: give --labels to see samples.".to_owned());
    }
    let lacks = |m: &&Member<'_>| !RunFolder::Logits.dataset(&m.run.path, dataset).is_dir();
    let names: Vec<_> = members
        .iter()
        .filter(lacks)
        .map(|m| m.run.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "No predictions and entropies of {}: the logits are not there any more; `seg-model infer` makes them again.",
            names.join(", ")
        )
    })
}

fn provenance(args: &ReportArgs, runs: &[Run]) -> Result<Vec<StageView>> {
    let mut stages = Vec::new();
    let mut add = |owner: &str, dataset: &str, dir: PathBuf| -> Result<()> {
        stages.extend(provenance::read(owner, dataset, &dir)?);
        Ok(())
    };
    for run in runs {
        let datasets: BTreeSet<_> = run.datasets.keys().chain(run.closed_set.keys()).collect();
        for dataset in datasets {
            for folder in RunFolder::ALL {
                // exported files are no source of results
                if folder != RunFolder::Export {
                    add(&run.name, dataset, folder.dataset(&run.path, dataset))?;
                }
            }
        }
    }
    if let Some(labels) = &args.labels {
        for dataset in all_datasets(runs) {
            add("labels", &dataset, labels.join(&dataset))?;
        }
    }
    Ok(stages)
}
