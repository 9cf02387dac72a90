//! `oodseg man`: a man page for each stage and subcommand.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::atomic::write_bytes;
use artifacts::stage_dir::create_dir;
use clap::Command;
use clap_mangen::Man;
use stage_cli::print_result;

use crate::cli;

/// Arguments of `oodseg man`.
#[derive(clap::Args, Debug)]
pub(crate) struct ManArgs {
    /// Flags of every stage.
    #[command(flatten)]
    pub(crate) common: stage_cli::Common,
    /// Folder to write `oodseg.1`, `oodseg-seg-model.1`, `oodseg-seg-model-infer.1` ... to.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages, in place of earlier ones.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub(crate) fn run(args: &ManArgs) -> Result<()> {
    let mut command = cli::command();
    command.build();
    create_dir(&args.folder)?;
    let n_pages = write_pages(&args.folder, &command)?;
    print_result(format_args!("{n_pages} pages in {}", args.folder.display()));
    Ok(())
}

/// Writes the pages of a command and of the commands below it, and returns how many there are.
fn write_pages(folder: &Path, command: &Command) -> Result<usize> {
    let man = Man::new(command.clone());
    let path = folder.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)
        .with_context(|| format!("could not make {}", path.display()))?;
    write_bytes(&path, &page)?;
    let below = command.get_subcommands();
    let below = below.filter(|below| !below.is_hide_set() && below.get_name() != "help");
    below
        .map(|below| write_pages(folder, below))
        .try_fold(1, |n, below| Ok(n + below?))
}
