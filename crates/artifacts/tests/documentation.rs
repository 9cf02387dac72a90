//! The documents say what the code does: tables of columns come from the schemas, and everything that is named exists.
//!
//! `UPDATE_DOCS=1` rewrites the tables in docs/ARTIFACTS.md instead of comparing them.
#![cfg(feature = "tables")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::basis::Basis;
use artifacts::tables::context::context_features;
use artifacts::tables::features::{Feature, segment_features};
use artifacts::tables::schema::{self, Field, Table};

/// Classes of the tables that are shown.
const NUM_CLASSES: usize = 19;

/// First line of a block is `<!-- table NAME -->`, its last line this.
const END: &str = "<!-- end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README.md and all Markdown files in `docs`, sorted.
fn documents() -> Result<Vec<PathBuf>> {
    let mut files = vec![root().join("README.md")];
    for entry in walkdir::WalkDir::new(root().join("docs")).sort_by_file_name() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|e| e == "md") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The type of a column as docs/ARTIFACTS.md writes it.
fn type_name(field: &Field) -> String {
    let name = field.dtype.to_string();
    let inner = name.strip_prefix("list[").and_then(|n| n.strip_suffix(']'));
    let mut name = inner.map_or(name.clone(), |inner| format!("list of {inner}"));
    if field.nullable {
        name += ", may be missing";
    }
    if field.is_added {
        name += ", absent in older files";
    }
    if field.needs_truth() {
        name += ", absent without labels";
    }
    name
}

/// The sentence on the rows, and a line for each column; metrics of segments have a table of their own.
fn table_text(table: &Table, features: &[Feature]) -> String {
    let has = |name: &String| table.columns.iter().any(|field| field.name == *name);
    // other tables have single columns of the same names
    let has_metrics = features.iter().all(|f| has(&f.name));
    let is_metric = |field: &&Field| has_metrics && features.iter().any(|f| f.name == field.name);
    let mut text = format!(
        "{}\n\n| column | type | meaning |\n|---|---|---|\n",
        table.rows
    );
    let line = |f: &Field| format!("| `{}` | {} | {} |\n", f.name, type_name(f), f.meaning);
    text.extend(table.columns.iter().filter(|f| !is_metric(f)).map(line));
    let Some(metric) = table.columns.iter().find(is_metric) else {
        return text;
    };
    let meaning = match table.name {
        "segments" => "the metrics of the segment",
        _ => metric.meaning.as_str(),
    };
    let link = "one column for each [segment metric](#segment-metrics)";
    text + &format!("| {link} | {} | {meaning} |\n", type_name(metric))
}

/// One line for each metric, but a single one for the metrics that exist for each class.
fn metrics_text(features: &[Feature]) -> String {
    let stem = |f: &Feature| {
        f.name
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .to_owned()
    };
    let groups = features.chunk_by(|a, b| stem(a) == stem(b));
    let has_reference = features.iter().any(|f| f.reference_name != f.name);
    let head = if has_reference {
        "| column | reference | meaning |\n|---|---|---|\n"
    } else {
        "| column | meaning |\n|---|---|\n"
    };
    let line = |text: String, group| text + &metrics_line(group, has_reference);
    groups.fold(head.to_owned(), line)
}

/// A metric, or the metrics of all classes.
fn metrics_line(group: &[Feature], has_reference: bool) -> String {
    let (first, last) = (&group[0], &group[group.len() - 1]);
    let meaning = match group.len() {
        1 => first.meaning.clone(),
        _ => first.meaning.replace("class 0", "the class"),
    };
    let name = from_to(&first.name, &last.name);
    let reference = from_to(&first.reference_name, &last.reference_name);
    if has_reference {
        format!("| {name} | {reference} | {meaning} |\n")
    } else {
        format!("| {name} | {meaning} |\n")
    }
}

/// The first and the last name of a group, or its only one.
fn from_to(first: &str, last: &str) -> String {
    if first == last {
        return format!("`{first}`");
    }
    format!("`{first}` ... `{last}`")
}

/// Replaces what is between the marks of the block `name`.
fn with_block(document: &str, name: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- table {name} -->\n");
    let (before, rest) = document
        .split_once(&begin)
        .with_context(|| format!("docs/ARTIFACTS.md has no line `{}`", begin.trim()))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("the table {name} of docs/ARTIFACTS.md has no line `{END}`"))?;
    Ok(format!("{before}{begin}{text}{END}{after}"))
}

#[test]
fn tables_of_columns_are_those_of_the_schemas() -> Result<()> {
    let features = segment_features(NUM_CLASSES);
    let names: Vec<String> = features.iter().map(|f| f.name.clone()).collect();
    let path = root().join("docs/ARTIFACTS.md");
    let document = std::fs::read_to_string(&path)?;
    let mut expected = with_block(&document, "metrics", &metrics_text(&features))?;
    let of_context = context_features(Basis::logits(NUM_CLASSES));
    expected = with_block(&expected, "context-metrics", &metrics_text(&of_context))?;
    for table in schema::all(NUM_CLASSES, &names) {
        expected = with_block(&expected, table.name, &table_text(&table, &features))?;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected)?;
        return Ok(());
    }
    let differs = document.lines().zip(expected.lines()).find(|(a, b)| a != b);
    ensure!(
        document == expected,
        "docs/ARTIFACTS.md differs from the schemas ({differs:?}): run this test with UPDATE_DOCS=1"
    );
    Ok(())
}

/// The parts of a document in backticks, and the targets of its links.
fn code_and_links(document: &str) -> (Vec<&str>, Vec<&str>) {
    let code = document.split('`').skip(1).step_by(2).collect();
    let links = document.split("](").skip(1);
    let links = links.filter_map(|rest| rest.split_once(')').map(|(link, _)| link));
    (code, links.collect())
}

/// Names with `{a,b}` in them, spelled out.
fn expanded(name: &str) -> Vec<String> {
    let braces = name.split_once('{').and_then(|(before, rest)| {
        let (inside, after) = rest.split_once('}')?;
        Some((before, inside, after))
    });
    let Some((before, inside, after)) = braces else {
        return vec![name.to_owned()];
    };
    let one = |part: &str| expanded(&format!("{before}{part}{after}"));
    inside.split(',').flat_map(one).collect()
}

/// All files and folders of the workspace that are source, relative to its root, with `/`.
fn source_files() -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    for folder in ["crates", "tests", "docs", "data-manifests", "fuzz"] {
        let walk = walkdir::WalkDir::new(root().join(folder)).into_iter();
        for entry in walk.filter_entry(|e| e.file_name() != "target") {
            let entry = entry?;
            let path = entry.path().strip_prefix(root())?;
            files.insert(path.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(files)
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

/// Text of all Rust sources of the workspace.
fn rust_sources() -> Result<String> {
    let mut text = String::new();
    for name in source_files()?.iter().filter(|f| has_extension(f, "rs")) {
        text += &std::fs::read_to_string(root().join(name))?;
    }
    Ok(text)
}

#[test]
fn tests_that_documents_name_exist() -> Result<()> {
    let (sources, metrics) = (rust_sources()?, segment_features(NUM_CLASSES));
    let mut missing = Vec::new();
    for path in documents()? {
        let document = std::fs::read_to_string(&path)?;
        let (code, _) = code_and_links(&document);
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let names = code.into_iter().filter(|c| c.chars().all(is_word));
        // names of tests are sentences, those of metrics are long too
        let is_sentence = |name: &str| !name.starts_with('_') && name.matches('_').count() >= 4;
        let is_metric = |name: &str| metrics.iter().any(|metric| metric.name == name);
        let tests = names.filter(|n| n.starts_with("golden_") || is_sentence(n) && !is_metric(n));
        let absent = tests.filter(|name| !sources.contains(&format!("fn {name}(")));
        missing.extend(absent.map(|name| format!("{}: {name}", path.display())));
    }
    ensure!(missing.is_empty(), "no such tests: {missing:#?}");
    Ok(())
}

/// Whether a word in backticks is the path of a source file or folder of this workspace.
fn is_source_path(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-{},".contains(c);
    let folders = ["crates/", "tests/", "docs/", "data-manifests/"];
    let is_placeholder = |part: &str| part.chars().any(|c| c.is_ascii_uppercase());
    word.chars().all(is_plain)
        && (folders.iter().any(|f| word.starts_with(f)) || ["rs", "py"].iter().any(|e| has_extension(word, e)))
        // `nets/NAME.rs` is a file to be made
        && !word.split(['/', '.']).any(|part| is_placeholder(part) && part != "README")
}

#[test]
fn files_that_documents_name_exist() -> Result<()> {
    let files = source_files()?;
    let exists = |name: &str| {
        let name = name.trim_end_matches('/');
        let ending = format!("/{name}");
        files.iter().any(|f| f == name || f.ends_with(&ending))
    };
    let mut missing = Vec::new();
    for path in documents()? {
        let document = std::fs::read_to_string(&path)?;
        let (code, _) = code_and_links(&document);
        let words = code.iter().flat_map(|c| c.split([' ', '\n']));
        for word in words.filter(|w| is_source_path(w)) {
            let absent = expanded(word).into_iter().filter(|name| !exists(name));
            missing.extend(absent.map(|name| format!("{}: {name}", path.display())));
        }
    }
    ensure!(missing.is_empty(), "no such files: {missing:#?}");
    Ok(())
}

#[test]
fn links_between_documents_lead_somewhere() -> Result<()> {
    let mut broken = Vec::new();
    for path in documents()? {
        let document = std::fs::read_to_string(&path)?;
        let (_, links) = code_and_links(&document);
        for link in links.into_iter().filter(|l| !l.starts_with("http")) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => path.with_file_name("").join(file),
            };
            let is_there =
                target.exists() && (section.is_empty() || sections(&target)?.contains(section));
            if !is_there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    ensure!(broken.is_empty(), "links to nothing: {broken:#?}");
    Ok(())
}

/// The anchors of a document's headings, as GitHub makes them.
fn sections(path: &Path) -> Result<BTreeSet<String>> {
    let document = std::fs::read_to_string(path)?;
    let headings = document.lines().filter(|l| l.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        let kept: String = heading.chars().filter(kept).collect();
        kept.replace(' ', "-")
    };
    Ok(headings.map(anchor).collect())
}

#[test]
fn recipes_that_documents_name_exist() -> Result<()> {
    let justfile = std::fs::read_to_string(root().join("justfile"))?;
    let recipe = |line: &str| {
        let is_recipe = line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(':');
        let name = line.split([' ', ':']).next()?;
        is_recipe.then(|| name.to_owned())
    };
    let recipes: BTreeSet<String> = justfile.lines().filter_map(recipe).collect();
    let mut missing = Vec::new();
    for path in documents()? {
        let document = std::fs::read_to_string(&path)?;
        let (code, _) = code_and_links(&document);
        for call in code.into_iter().flat_map(str::lines) {
            let mut words = call.split_whitespace();
            if !matches!(words.next(), Some("just" | "./justw")) {
                continue;
            }
            let name = words.next().filter(|w| !w.starts_with('-'));
            if let Some(name) = name.filter(|&n| !recipes.contains(n)) {
                missing.push(format!("{}: {name}", path.display()));
            }
        }
    }
    ensure!(
        missing.is_empty(),
        "the justfile has no recipes: {missing:#?}"
    );
    Ok(())
}
