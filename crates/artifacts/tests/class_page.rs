//! docs/CLASSES.md lists the class sets and maps that are compiled in. `UPDATE_DOCS=1` rewrites its tables instead of comparing them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::classes::{ClassMap, ClassSet};
use artifacts::labels::IGNORE;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CLASSES.md");

fn sets() -> Result<String> {
    let head = "| name | classes | of | page |\n|---|---|---|---|\n".to_owned();
    let sets = ClassSet::shipped()?;
    let lines = sets.iter().map(|set| {
        let (name, n) = (&set.name, set.len());
        format!("| `{name}` | {n} | {} | <{}> |\n", set.title, set.url)
    });
    Ok(head + &lines.collect::<String>())
}

fn maps() -> Result<String> {
    let head = "| name | classes with a counterpart |\n|---|---|\n".to_owned();
    let maps = ClassMap::shipped()?;
    let lines = maps.iter().map(|map| {
        let (from, to) = (&map.from, &map.to);
        let n = map.train_ids.iter().filter(|&&id| id != IGNORE).count();
        let names = format!("{}-to-{}", from.name, to.name);
        format!("| `{names}` | {n} of {} |\n", from.len())
    });
    Ok(head + &lines.collect::<String>())
}

/// Replaces what is between the marks of the table `name`.
fn with_table(document: &str, name: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- table {name} -->\n");
    let end = "<!-- end -->";
    let parts = document.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("there is no table {name}"))?;
    Ok(format!("{before}{begin}{text}{end}{after}"))
}

#[test]
fn the_page_lists_what_is_shipped() -> Result<()> {
    let document = std::fs::read_to_string(PAGE)?;
    let expected = with_table(&document, "class-sets", &sets()?)?;
    let expected = with_table(&expected, "class-maps", &maps()?)?;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(Path::new(PAGE), &expected)?;
        return Ok(());
    }
    ensure!(
        document == expected,
        "docs/CLASSES.md differs from data-manifests: run this test with UPDATE_DOCS=1"
    );
    Ok(())
}
