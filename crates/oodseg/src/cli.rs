//! The command line: every stage's own arguments as a subcommand.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::detect::DetectArgs;
use crate::{completions, detect, man, spelling, version};

/// Name of the executable.
pub(crate) const NAME: &str = "oodseg";

/// Out-of-distribution detection in semantic segmentation: all stages in one executable.
///
/// `oodseg STAGE ...` does what the executable STAGE does. Exit status: 0 done or up to date, 1 an error, 2 a mistake in the command
/// line, 3 done, but some inputs could not be used (--keep-going).
#[derive(Parser, Debug)]
#[command(name = NAME, version = version::SHORT, long_version = version::LONG, about)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// Whether the command line was one of an earlier version.
    #[arg(skip)]
    is_old_spelling: bool,
}

/// Stages in the order in which data go through them, and what else there is. Stages describe themselves.
#[derive(Subcommand, Debug)]
#[command(subcommand_value_name = "STAGE", subcommand_help_heading = "Stages")]
enum Command {
    DemoData(demo_data::Args),
    CityscapesIo(cityscapes_io::Args),
    CocoProxy(coco_proxy::Args),
    BlendObjects(blend_objects::Args),
    OodTrain(Box<ood_train::Args>),
    SegModel(seg_model::Args),
    SegmentMetrics(segment_metrics::Args),
    MetaClf(meta_clf::Args),
    OodEval(ood_eval::Args),
    Detect(Box<DetectArgs>),
    /// Print the script with which bash, zsh or fish completes stages and flags.
    Completions(completions::CompletionArgs),
    /// Write man pages of all stages.
    Man(man::ManArgs),
}

/// The command line as clap knows it.
pub(crate) fn command() -> clap::Command {
    let usage = "oodseg coco-proxy [OPTIONS] --annotations <FILE> --output <DIR>\n       \
                 oodseg coco-proxy check [OPTIONS] --annotations <FILE>";
    Args::command().mut_subcommand("coco-proxy", |stage| stage.override_usage(usage))
}

/// Reads the command line, of which the first argument is the program; ends the process if there is nothing to run.
pub(crate) fn parse(arguments: Vec<OsString>) -> Args {
    let translated = spelling::translate(&arguments);
    let is_old_spelling = translated.is_some();
    let matches = command().get_matches_from(translated.unwrap_or(arguments));
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Args {
        is_old_spelling,
        ..args
    }
}

impl Args {
    /// Whether a network will run.
    pub fn runs_network(&self) -> bool {
        let command = &self.command;
        matches!(
            command,
            Command::SegModel(_) | Command::OodTrain(_) | Command::Detect(_)
        )
    }

    /// Runs the stage.
    pub(crate) fn main(self) -> ExitCode {
        match self.command {
            Command::DemoData(args) => stage_cli::main(&args.common, || demo_data::run(&args)),
            Command::CityscapesIo(args) => {
                stage_cli::main(&args.common, || cityscapes_io::run(&args))
            }
            Command::CocoProxy(args) => stage_cli::main(&args.common, || coco_proxy::run(&args)),
            Command::BlendObjects(args) => {
                stage_cli::main(&args.common, || blend_objects::run(&args))
            }
            Command::OodTrain(args) => stage_cli::main(&args.common, || ood_train::run(&args)),
            Command::SegModel(args) => stage_cli::main(&args.common, || seg_model::run(&args)),
            Command::SegmentMetrics(args) => stage_cli::main(&args.common, || {
                if self.is_old_spelling {
                    segment_metrics::old_spelling::warn();
                }
                segment_metrics::run(&args)
            }),
            Command::MetaClf(args) => stage_cli::main(&args.common, || meta_clf::run(&args)),
            Command::OodEval(args) => stage_cli::main(&args.common, || ood_eval::run(&args)),
            Command::Detect(args) => {
                let common = args.common.clone();
                stage_cli::main(&common, || detect::run(*args))
            }
            Command::Completions(args) => stage_cli::main(&args.common, || completions::run(&args)),
            Command::Man(args) => stage_cli::main(&args.common, || man::run(&args)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_all_stages_fit_together() {
        command().debug_assert();
    }

    #[test]
    fn stages_have_the_names_of_their_executables_and_describe_themselves() {
        let stages = [
            demo_data::Args::command(),
            cityscapes_io::Args::command(),
            coco_proxy::Args::command(),
            blend_objects::Args::command(),
            ood_train::Args::command(),
            seg_model::Args::command(),
            segment_metrics::Args::command(),
            meta_clf::Args::command(),
            ood_eval::Args::command(),
        ];
        let all = command();
        for stage in stages {
            let found = all.find_subcommand(stage.get_name());
            let found = found.unwrap_or_else(|| panic!("there is no {}", stage.get_name()));
            let about = |command: &clap::Command| command.get_about().map(ToString::to_string);
            assert_eq!(about(found), about(&stage));
            assert!(about(found).is_some_and(|about| !about.is_empty()));
            let names = |command: &clap::Command| -> Vec<String> {
                let names = command.get_subcommands().map(|c| c.get_name().to_owned());
                names.collect()
            };
            assert_eq!(names(found), names(&stage));
        }
    }
}
