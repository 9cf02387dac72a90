//! Time, throughput and peak memory of the operations in which the stages spend their time.
//!
//! `bench table` measures the operations and prints which fraction of this machine's peak each of them reaches. `bench serve` runs single
//! repetitions of one case on request, so that `race.py` can alternate with another library within one run.
#![allow(clippy::print_stdout)] // its purpose

mod case;
mod cases;
mod network;
mod ops;
mod peak;
mod serve;
mod table;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about, version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure cases and print a table
    Table {
        /// Measure only cases whose names contain this text
        filter: Option<String>,
        /// Minimum time of each measurement, in seconds
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
    },
    /// Print the cases of the table and their modes, one pair a line
    List,
    /// Prepare one case, and time one repetition of it for each line on standard input
    Serve(serve::ServeArgs),
}

#[allow(unsafe_code)] // settings of the process that must precede everything else
fn main() -> Result<()> {
    // SAFETY: this is the first statement, so there are no other threads
    unsafe { seg_ops::prepare_process() };
    let args = Args::parse();
    // on one of rayon's threads: from any other thread, two wake-ups are needed to start an operation and one to end it
    rayon::scope(|_| match &args.command {
        Command::Table { filter, seconds } => table::print(filter.as_deref(), *seconds),
        Command::List => {
            table::list();
            Ok(())
        }
        Command::Serve(args) => serve::serve(args),
    })
}
