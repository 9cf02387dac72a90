//! `oodseg completions`: scripts with which a shell completes stages and flags.

use std::io::Write;

use anyhow::{Context, Result};

use crate::cli;

/// Arguments of `oodseg completions`.
#[derive(clap::Args, Debug)]
pub(crate) struct CompletionArgs {
    /// Flags of every stage.
    #[command(flatten)]
    pub(crate) common: stage_cli::Common,
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Shells that are known.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
///
/// # Errors
/// Returns an error if it cannot be printed.
pub(crate) fn run(args: &CompletionArgs) -> Result<()> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), cli::NAME, &mut script);
    let written = std::io::stdout().write_all(&script);
    written.context("could not print the script")
}
