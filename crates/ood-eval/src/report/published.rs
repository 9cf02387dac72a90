//! Published results to stand beside those that were computed here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::metrics::metric::Unit;
use crate::tables::table::Table;
use crate::tables::text::value_text;

/// A file of published results, TOML or, with the extension `json`, JSON.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedFile {
    /// Results, in the order in which they are shown.
    result: Vec<Published>,
}

/// One row of a published table, in percent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    /// Method.
    name: String,
    /// Data sets beside whose figures it is shown.
    datasets: Vec<String>,
    /// Where it is published, and on which images.
    source: String,
    auprc: f64,
    fpr95: f64,
    siou: Option<f64>,
    ppv: Option<f64>,
    f1: Option<f64>,
}

/// Published rows below a table of a data set.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PublishedView {
    /// As many texts as the table has columns.
    pub(super) rows: Vec<Vec<String>>,
    /// Where the rows are from, each once.
    pub(super) sources: Vec<String>,
}

impl PublishedFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is absent or damaged, or a figure is no percentage.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let is_json = path.extension().is_some_and(|e| e == "json");
        let parse = || -> Result<Self> {
            let file: Self = if is_json {
                serde_json::from_str(&text)?
            } else {
                toml::from_str(&text)?
            };
            file.result.iter().try_for_each(Published::check)?;
            Ok(file)
        };
        parse().with_context(|| format!("{} is no list of published results", path.display()))
    }

    /// Rows of `dataset`, fitted to the columns of `table`.
    pub(super) fn view(&self, dataset: &str, table: &Table) -> PublishedView {
        let mut view = PublishedView::default();
        let of_dataset = |r: &&Published| r.datasets.iter().any(|d| d == dataset);
        for result in self.result.iter().filter(of_dataset) {
            view.rows.push(result.cells(table));
            if !view.sources.contains(&result.source) {
                view.sources.push(result.source.clone());
            }
        }
        view
    }
}

impl Published {
    fn check(&self) -> Result<()> {
        let figures = [
            Some(self.auprc),
            Some(self.fpr95),
            self.siou,
            self.ppv,
            self.f1,
        ];
        for figure in figures.into_iter().flatten() {
            ensure!(
                (0.0..=100.0).contains(&figure),
                "{:?} has a figure of {figure}, but figures are percentages from 0 to 100",
                self.name
            );
        }
        ensure!(
            !self.source.trim().is_empty(),
            "{:?} does not say its source",
            self.name
        );
        Ok(())
    }

    /// A text for each column; nothing where no figure is published.
    fn cells(&self, table: &Table) -> Vec<String> {
        let figure = |title: &String| match title.split(' ').next() {
            Some("AUPRC") => Some(self.auprc),
            Some("FPR95") => Some(self.fpr95),
            Some("sIoU") => self.siou,
            Some("PPV") => self.ppv,
            Some("F1*") => self.f1,
            _ => None,
        };
        let share = |title| figure(title).map(|f| f / 100.0);
        let text =
            |title| share(title).map_or_else(String::new, |s| value_text(Some(s), Unit::Share));
        let figures = table.columns.iter().skip(1).map(text);
        std::iter::once(self.name.clone()).chain(figures).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fpr95: &str) -> String {
        format!(
            "[[result]]\nname = \"a\"\ndatasets = [\"lost\"]\nsource = \"s\"\nauprc = 85.5\nfpr95 = {fpr95}\n"
        )
    }

    #[test]
    fn rows_fit_the_columns_of_the_table() -> Result<()> {
        let file: PublishedFile = toml::from_str(&(row("0.75") + &row("1")))?;
        let table = Table {
            title: String::new(),
            columns: ["run", "AUROC ↑", "FPR95 ↓", "AUPRC ↑", "sIoU ↑"]
                .map(str::to_owned)
                .to_vec(),
            rows: Vec::new(),
        };
        let view = file.view("lost", &table);
        assert_eq!(view.rows[0], ["a", "", "0.75", "85.50", ""]);
        assert_eq!((view.rows.len(), view.sources.len()), (2, 1));
        assert!(file.view("other", &table).rows.is_empty());
        Ok(())
    }

    #[test]
    fn files_are_checked() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let check = |name: &str, text: &str| -> Result<String> {
            let path = dir.path().join(name);
            fs::write(&path, text)?;
            let error = PublishedFile::read(&path).err();
            Ok(error.map_or_else(String::new, |e| format!("{e:#}")))
        };
        assert_eq!(check("a.toml", &row("1"))?, "");
        let json =
            r#"{"result": [{"name": "a", "datasets": [], "source": "s", "auprc": 1, "fpr95": 2}]}"#;
        assert_eq!(check("a.json", json)?, "");
        for (text, word) in [
            (row("101"), "101"),
            (row("1\nother = 2"), "other"),
            ("x".into(), "a.toml"),
        ] {
            let error = check("a.toml", &text)?;
            assert!(error.contains(word) && error.contains("a.toml"), "{error}");
        }
        Ok(())
    }

    #[test]
    fn the_list_that_comes_along_is_valid() -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/published.toml");
        let file = PublishedFile::read(&path)?;
        assert!(
            file.result
                .iter()
                .any(|r| r.datasets.iter().any(|d| d == "road-anomaly21"))
        );
        Ok(())
    }
}
