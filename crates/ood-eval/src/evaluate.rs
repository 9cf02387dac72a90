//! `ood-eval evaluate`: every metric of every run, as JSON, CSV, Markdown, LaTeX and tables on the terminal.

use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_bytes;
use artifacts::tables::{schema, write_table};
use stage_cli::print_result;

use crate::args::EvaluateArgs;
use crate::read::runs::{Run, borrowed, inputs, read_runs};
use crate::results::{ClosedSetResults, Results};
use crate::tables::froc::froc_csv;
use crate::tables::images::{image_rows, images_csv, images_frame};
use crate::tables::latex::write_latex;
use crate::tables::results_csv::results_csv;
use crate::tables::table::{markdown_text, shows_bold};
use crate::tables::text::UNDEFINED;
use crate::tables::thresholds::thresholds_csv;
use crate::tables::{
    all_tables, benchmark_tables, froc_table, legend, main_interval_table, main_table,
};

/// Evaluates runs, or shows the results if they are up to date.
pub(crate) fn run(args: &EvaluateArgs, force: bool) -> Result<()> {
    let inputs = inputs(&args.runs, &args.meta)?;
    let inputs = borrowed(&inputs);
    let results = match stage_cli::open(&args.output, "ood-eval evaluate", args, &inputs, force)? {
        None => Results::read(&args.output)?,
        Some(dir) => {
            let runs = read_runs(&args.runs, &args.meta, args.skip_without_ood)?;
            let results = Results::of(&runs, args)?;
            write(&results, &runs, dir.path())?;
            dir.finish(&counts(&results))?;
            results
        }
    };
    print(&results);
    Ok(())
}

/// Numbers of runs and data sets for the manifest.
pub(crate) fn counts(results: &Results) -> [(&'static str, u64); 2] {
    [
        ("runs", results.runs.len() as u64),
        ("datasets", results.datasets.len() as u64),
    ]
}

/// Writes `results.{json,csv,md,tex}`, `tables/*.tex`, `froc.csv` if there are segments, `thresholds.csv` if there are several
/// thresholds, and the numbers of each image.
pub(crate) fn write(results: &Results, runs: &[Run], dir: &Path) -> Result<()> {
    results.write(dir)?;
    write_images(runs, dir)?;
    write_latex(&all_tables(results), dir, "results.tex")?;
    write_bytes(&dir.join("results.csv"), results_csv(results).as_bytes())?;
    if !results.datasets.is_empty() {
        write_bytes(&dir.join("froc.csv"), froc_csv(results).as_bytes())?;
    }
    if results.datasets.iter().any(|d| !d.thresholds.is_empty()) {
        let csv = thresholds_csv(results);
        write_bytes(&dir.join("thresholds.csv"), csv.as_bytes())?;
    }
    write_bytes(&dir.join("results.md"), markdown(results).as_bytes())
}

fn write_images(runs: &[Run], dir: &Path) -> Result<()> {
    let rows = image_rows(runs);
    let table = schema::images();
    let path = dir.join(table.file_name());
    write_table(&path, &table, &images_frame(&rows)?)?;
    write_bytes(&dir.join("images.csv"), images_csv(&rows).as_bytes())
}

/// Prints the main table of every data set, the objects that are found at budgets of false alarms, and the results on known classes.
pub(crate) fn print(results: &Results) {
    for dataset in &results.datasets {
        print_result(main_table(results, dataset).terminal());
        if let Some(table) = main_interval_table(dataset) {
            print_result(table.terminal());
        }
        if let Some(table) = froc_table(dataset) {
            print_result(table.terminal());
        }
    }
    for table in benchmark_tables(results) {
        print_result(table.terminal());
    }
    for line in legend(results) {
        print_result(line);
    }
    let has_tables = !results.datasets.is_empty() || !results.benchmark.is_empty();
    if has_tables && shows_bold() {
        print_result("Bold: the best of its column.");
    }
    for closed in &results.closed_set {
        print_known_classes(closed);
    }
}

fn print_known_classes(closed: &ClosedSetResults) {
    let percent =
        |v: Option<f64>| v.map_or(UNDEFINED.to_owned(), |v| format!("{:.2} %", 100.0 * v));
    print_result(format_args!(
        "known classes of {}, {}: mIoU {}, pixel accuracy {}, calibration error {}",
        closed.dataset,
        closed.run,
        percent(closed.mean_iou),
        percent(closed.pixel_accuracy),
        percent(closed.calibration_error)
    ));
}

fn markdown(results: &Results) -> String {
    let mut text = "# Results\n\n".to_owned();
    for line in legend(results) {
        text.extend(["- ", &markdown_text(&line), "\n"]);
    }
    text += "- Bold: the best of its column.\n";
    for table in all_tables(results) {
        text += "\n";
        text += &table.markdown();
    }
    text
}
