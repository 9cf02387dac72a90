//! Single repetitions on request.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::case::Mode;
use crate::cases::all;

/// Answers each line `CASE MODE` with the seconds of one repetition and the peak resident memory of the process in bytes.
pub(crate) fn serve() -> Result<()> {
    let cases = all();
    let mut runs = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, mode) = line.split_once(' ').context("expected CASE MODE")?;
        let mode = Mode::from_str(mode, false).map_err(anyhow::Error::msg)?;
        let case = cases
            .iter()
            .find(|case| case.name == name)
            .with_context(|| format!("there is no case {name:?}: see `bench table`"))?;
        if !runs.contains_key(&line) {
            runs.clear(); // frees the buffers of the previous case
            runs.insert(line.clone(), (case.setup)(mode)?);
        }
        let run = runs.get_mut(&line).context("the run was just inserted")?;
        let start = Instant::now();
        run()?;
        println!("{} {}", start.elapsed().as_secs_f64(), peak_memory());
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Peak resident memory of this process in bytes; 0 if the system does not provide it.
pub(crate) fn peak_memory() -> u64 {
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
