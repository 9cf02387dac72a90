//! Published results of other methods, shown next to the results that were computed here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};

use crate::metrics::metric::{AUPRC, Definition, F1, FPR95, PPV, SIOU, Unit};
use crate::tables::table::Table;
use crate::tables::text::value_text;

/// A file of published results: JSON if its extension is `json`, else TOML.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedFile {
    /// Results, in the order in which they are shown.
    result: Vec<Published>,
}

/// One row of a published table. Values are in percent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    /// Name of the method.
    name: String,
    /// Names of the data sets with whose results the row is shown.
    datasets: Vec<String>,
    /// Where it is published, and for which images.
    source: String,
    auprc: f64,
    fpr95: f64,
    siou: Option<f64>,
    ppv: Option<f64>,
    f1: Option<f64>,
}

/// Published rows below the table of a data set.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PublishedView {
    /// Each row has as many texts as the table has columns.
    rows: Vec<Vec<String>>,
    /// Where the rows were published, without repetitions.
    sources: Vec<String>,
}

impl PublishedFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Returns an error if the file is absent or damaged, or if a value is not a percentage.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let is_json = path.extension().is_some_and(|e| e == "json");
        Self::parse(&text, is_json)
            .with_context(|| format!("{} is not a list of published results", path.display()))
    }

    fn parse(text: &str, is_json: bool) -> Result<Self> {
        let file: Self = if is_json {
            serde_json::from_str(text)?
        } else {
            toml::from_str(text).map_err(|e| one_line(&e, text))?
        };
        file.result.iter().try_for_each(Published::check)?;
        Ok(file)
    }

    /// Rows of `dataset` with the columns of `table`.
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

/// The message of an error in `text` with its line, without the excerpt of several lines that the library shows.
fn one_line(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let line = |start: usize| text[..start].lines().count().max(1);
    match error.span() {
        Some(span) => anyhow!("line {}: {}", line(span.start), error.message()),
        None => anyhow!("{}", error.message()),
    }
}

impl Published {
    /// Metrics that can be published, with their values in percent.
    fn values(&self) -> [(&'static Definition, Option<f64>); 5] {
        [
            (&AUPRC, Some(self.auprc)),
            (&FPR95, Some(self.fpr95)),
            (&SIOU, self.siou),
            (&PPV, self.ppv),
            (&F1, self.f1),
        ]
    }

    fn check(&self) -> Result<()> {
        for (definition, value) in self.values() {
            ensure!(
                value.is_none_or(|v| (0.0..=100.0).contains(&v)),
                "{} of {:?} is {}, but values must be percentages from 0 to 100",
                definition.name,
                self.name,
                value.unwrap_or_default()
            );
        }
        ensure!(
            !self.source.trim().is_empty(),
            "{:?} has an empty source: say where it is published",
            self.name
        );
        Ok(())
    }

    /// The name, and a text for each other column of `table`, which is empty if the value is not published.
    fn cells(&self, table: &Table) -> Vec<String> {
        let values = table.columns.iter().skip(1).map(|title| self.cell(title));
        std::iter::once(self.name.clone()).chain(values).collect()
    }

    /// The text in the column with this title.
    fn cell(&self, title: &str) -> String {
        let values = self.values();
        let value = values.into_iter().find(|(d, _)| d.title() == title);
        let value = value.and_then(|(_, value)| value);
        value.map_or_else(String::new, |v| value_text(Some(v / 100.0), Unit::Share))
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
