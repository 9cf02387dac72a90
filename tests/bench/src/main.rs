//! Time, throughput and peak memory of what the stages spend their time in.
//!
//! `bench table` measures alone and says how near each operation is to this machine's own peak; `bench serve` runs single repetitions as
//! its standard input asks, so that `race.py` can take turns with another library within one run.
#![allow(clippy::print_stdout)] // its purpose

mod case;
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
    /// Measure the cases whose names contain FILTER and print a table
    Table {
        /// Part of the cases' names; none: all
        filter: Option<String>,
        /// Shortest time to spend on each measurement, in seconds
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
    },
    /// Time one repetition for each line `CASE MODE` on standard input, mode `forward` or `both`
    Serve,
}

fn main() -> Result<()> {
    let args = Args::parse();
    // on one of rayon's threads: from any other it takes two wake-ups to begin an operation, and one to end it
    rayon::scope(|_| match args.command {
        Command::Table { filter, seconds } => table::print(filter.as_deref(), seconds),
        Command::Serve => serve::serve(),
    })
}
