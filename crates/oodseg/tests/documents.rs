//! The commands in the documents are understood by the stages, and their recipes exist.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;

/// Documents with commands for users, from the root of the repository.
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "docs/TASKS.md",
    "docs/CLASSES.md",
    "docs/DEVELOPMENT_SETS.md",
    "docs/PYTORCH.md",
    "docs/PAPER.md",
];

/// Executables that are subcommands of `oodseg`.
const STAGES: [&str; 9] = [
    "blend-objects",
    "demo-data",
    "cityscapes-io",
    "coco-proxy",
    "ood-train",
    "seg-model",
    "segment-metrics",
    "meta-clf",
    "ood-eval",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The commands in the blocks of shell code of a document, as words, with the number of their lines.
fn commands(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut commands = Vec::new();
    let mut in_shell = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_shell = line == "```sh" || line == "```console";
        } else if in_shell {
            commands.push((number + 1, words(line)));
        }
    }
    commands
}

/// The words of a line of shell code: quotes keep spaces, a comment ends it, variables of the environment before the command are left out.
fn words(line: &str) -> Vec<String> {
    let code = line.split(" #").next().unwrap_or_default();
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in code.chars() {
        match (letter, quote) {
            ('"' | '\'', None) => quote = Some(letter),
            (_, Some(open)) if letter == open => quote = None,
            (' ', None) => words.push(String::new()),
            _ => words.last_mut().expect("there is one").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    let is_variable = |word: &String| word.contains('=') && !word.starts_with('-');
    words.into_iter().skip_while(is_variable).collect()
}

/// What is wrong with a command, if it is one of ours.
fn fault(words: &[String], recipes: &[String]) -> Option<String> {
    let (program, rest) = words.split_first()?;
    let name = program.rsplit('/').next().unwrap_or(program);
    if name == "just" || name == "justw" {
        let known = |word: &&String| word.contains('=') || recipes.contains(word);
        let first = rest.iter().find(|word| !word.contains('='))?;
        return (!known(&first)).then(|| format!("the justfile has no recipe {first}"));
    }
    let arguments: Vec<&str> = match name {
        "oodseg" => std::iter::once("oodseg")
            .chain(rest.iter().map(String::as_str))
            .collect(),
        _ if STAGES.contains(&name) => ["oodseg", name]
            .into_iter()
            .chain(rest.iter().map(String::as_str))
            .collect(),
        _ => return None,
    };
    // the number of a shard is what the engine says that starts a call
    let arguments = arguments.iter().map(|word| match *word {
        "auto" => "0/2".to_owned(),
        word => word.replace("$SLURM_ARRAY_TASK_ID", "0"),
    });
    match oodseg::Args::try_parse_from(arguments) {
        Ok(_) => None,
        Err(error) if !error.use_stderr() => None,
        Err(error) => Some(error.to_string()),
    }
}

/// Names of the recipes of the justfile.
fn recipes() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join("justfile"))?;
    let heads = text
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let names = heads.filter_map(|line| line.split([' ', ':']).next());
    Ok(names.map(str::to_owned).collect())
}

#[test]
fn commands_in_the_documents_are_understood() -> Result<()> {
    let recipes = recipes()?;
    let mut faults = Vec::new();
    let mut n_commands = 0;
    for document in DOCUMENTS {
        let text =
            std::fs::read_to_string(root().join(document)).with_context(|| document.to_owned())?;
        for (line, words) in commands(&text) {
            n_commands += 1;
            if let Some(fault) = fault(&words, &recipes) {
                faults.push(format!("{document}:{line}: {}\n{fault}", words.join(" ")));
            }
        }
    }
    ensure!(n_commands > 20, "only {n_commands} commands were found");
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn wrong_commands_are_found() {
    let recipes = ["demo".to_owned()];
    let fault_of = |line: &str| fault(&words(line), &recipes);
    assert!(fault_of("oodseg seg-model infer --no-such-flag").is_some());
    assert!(fault_of("OODSEG_RUN=half ./justw no-such-recipe").is_some());
    assert!(fault_of("./justw demo  # everything").is_none());
    assert!(fault_of("segment-metrics merge --output \"a b\" c d").is_none());
    assert!(fault_of("ffmpeg -i a.mp4").is_none());
}
