//! Tables for papers: one file for each table, and one with all of them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_bytes;
use artifacts::stage_dir::create_dir;

use super::table::Table;

/// Folder of the files of single tables.
pub const FOLDER: &str = "tables";

/// What a file of a single table begins with: what a paper has to load, and how it shows the table.
fn usage(name: &str) -> String {
    format!(
        "% \\usepackage{{booktabs,graphicx}} in the preamble; then \\input this file, and refer to it as \\ref{{tab:{name}}}.\n"
    )
}

/// Writes each of `tables` to `dir/tables/NAME.tex`, and all of them to `dir/FILE`.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub fn write_latex(tables: &[Table], dir: &Path, file: &str) -> Result<()> {
    let folder = dir.join(FOLDER);
    create_dir(&folder)?;
    let mut all = Vec::new();
    for (table, name) in tables.iter().zip(names(tables)) {
        let latex = table.latex(&name);
        let path = folder.join(format!("{name}.tex"));
        write_bytes(&path, (usage(&name) + &latex).as_bytes())?;
        all.push(latex);
    }
    write_bytes(&dir.join(file), all.join("\n").as_bytes())
}

/// Name of each table; from the second on of the same name, with a number.
fn names(tables: &[Table]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for name in tables.iter().map(Table::name) {
        let mut free = name.clone();
        let mut number = 1;
        while !taken.insert(free.clone()) {
            number += 1;
            free = format!("{name}-{number}");
        }
        names.push(free);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titled(title: &str) -> Table {
        Table {
            title: title.to_owned(),
            columns: vec!["run".to_owned()],
            rows: Vec::new(),
        }
    }

    #[test]
    fn every_table_has_a_file_and_a_label_of_its_own() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let tables = [
            "lost_and found: all scores",
            "lost and found: All Scores",
            "街",
        ];
        let tables = tables.map(titled);
        write_latex(&tables, dir.path(), "results.tex")?;
        let all = std::fs::read_to_string(dir.path().join("results.tex"))?;
        for name in [
            "lost-and-found-all-scores",
            "lost-and-found-all-scores-2",
            "table",
        ] {
            let label = format!("\\label{{tab:{name}}}");
            let path = dir.path().join(FOLDER).join(format!("{name}.tex"));
            let one = std::fs::read_to_string(path)?;
            assert!(
                one.starts_with("% \\usepackage{booktabs,graphicx}"),
                "{one}"
            );
            assert!(one.contains(&label) && all.contains(&label), "{one}");
            assert_eq!(one.matches("\\begin{table}").count(), 1);
        }
        assert_eq!(all.matches("\\begin{table}").count(), 3);
        Ok(())
    }
}
