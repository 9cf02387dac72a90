//! Single repetitions on request.

use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use stage_cli::ImageSize;

use crate::case::{Images, Mode, Precision};
use crate::cases;

/// What is timed.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// An operation of `bench table`, NETWORK-inference or NETWORK-step
    case: String,
    mode: Mode,
    /// Precision of the factors of convolutions
    #[arg(default_value = "f32")]
    precision: Precision,
    /// Size of the images that a network is given, in pixels
    #[arg(long, default_value = "1024x512", value_name = "WxH")]
    size: ImageSize,
    /// Images that a network is given at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    batch: usize,
}

/// Prepares the case, prints the seconds that this and a first repetition took, and answers each line on standard input with the seconds of
/// one repetition and the peak resident memory of the process in bytes.
pub(crate) fn serve(args: &ServeArgs) -> Result<()> {
    let images = Images {
        batch: args.batch,
        width: args.size.width as usize,
        height: args.size.height as usize,
    };
    let start = Instant::now();
    let mut run = cases::named(&args.case, args.mode, args.precision, images)?;
    run()?;
    print_line(&start.elapsed().as_secs_f64().to_string())?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        run()?;
        let seconds = start.elapsed().as_secs_f64();
        print_line(&format!("{seconds} {}", peak_memory()))?;
    }
    Ok(())
}

/// Prints a line at once.
fn print_line(line: &str) -> Result<()> {
    println!("{line}");
    Ok(std::io::stdout().flush()?)
}

/// Peak resident memory of this process in bytes; 0 if the system does not provide it.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|rest| {
        rest.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    });
    kibibytes.unwrap_or(0) * 1024
}
