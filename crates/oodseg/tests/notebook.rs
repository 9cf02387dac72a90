//! The notebook goes from a network to the report: by nbconvert where it is installed, else cell by cell in one script.
//!
//! Python is the one that `OODSEG_PYTHON` names, else one of those that the recipes install, or `python3`.

mod common;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stage_testing::command::succeed;

use common::{ROOT, find_python, has, with_module};

/// The code of all cells, one below the other.
fn script(notebook: &Path) -> Result<String> {
    let notebook: Value = serde_json::from_str(&fs::read_to_string(notebook)?)?;
    let cells = notebook["cells"].as_array().context("there are no cells")?;
    let code = cells.iter().filter(|cell| cell["cell_type"] == "code");
    let sources = code.map(|cell| {
        let lines = cell["source"].as_array().into_iter().flatten();
        lines.filter_map(Value::as_str).collect::<String>()
    });
    Ok(sources.collect::<Vec<_>>().join("\n\n"))
}

#[test]
fn the_notebook_is_committed_without_outputs() -> Result<()> {
    let path = Path::new(ROOT).join("python/notebook.ipynb");
    let notebook: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let cells = notebook["cells"].as_array().context("there are no cells")?;
    let code = cells.iter().filter(|cell| cell["cell_type"] == "code");
    for cell in code {
        ensure!(
            cell["outputs"] == serde_json::json!([]) && cell["execution_count"].is_null(),
            "{cell}"
        );
    }
    Ok(())
}

#[test]
fn the_notebook_runs_from_a_network_to_the_report() -> Result<()> {
    let Some(python) = find_python("numpy, PIL, pyarrow")? else {
        return Ok(());
    };
    let notebook = Path::new(ROOT).join("python/notebook.ipynb");
    let dir = tempfile::tempdir()?;
    let work = dir.path().join("runs");
    let mut command = with_module(&python);
    command.current_dir(&dir).env("OODSEG_NOTEBOOK_OUT", &work);
    if has(&python, "nbconvert, ipykernel") {
        let flags = [
            "-m",
            "nbconvert",
            "--execute",
            "--to",
            "notebook",
            "--output-dir",
        ];
        succeed(command.args(flags).arg(dir.path()).arg(&notebook))?;
        let executed = fs::read_to_string(dir.path().join("notebook.ipynb"))?;
        ensure!(executed.contains("of them false alarms"), "{executed}");
    } else {
        eprintln!("without nbconvert: the cells are run as a script");
        let printed = succeed(command.args(["-c", &script(&notebook)?]))?;
        ensure!(
            printed.stdout.contains("of them false alarms"),
            "{}",
            printed.stdout
        );
    }
    let report = fs::read_to_string(work.join("report/report.html"))?;
    ensure!(
        report.contains("one-layer"),
        "the report does not name the run"
    );
    Ok(())
}
