//! `ood-eval report`.
use anyhow::Result;
use serde::Serialize;
/// Report.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct ReportArgs {
    #[command(flatten)]
    evaluate: crate::evaluate::EvaluateArgs,
}
pub(crate) fn run(args: &ReportArgs, force: bool) -> Result<()> {
    crate::evaluate::run(&args.evaluate, force)
}
