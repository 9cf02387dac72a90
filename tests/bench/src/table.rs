//! The table of all measurements.

use std::time::Instant;

use anyhow::Result;

use crate::case::{Cost, Mode, Run};
use crate::cases::all;
use crate::peak::{self, Peak};

/// Measures all cases whose names contain `filter`, each for at least `seconds`.
pub(crate) fn print(filter: Option<&str>, seconds: f64) -> Result<()> {
    let peak = peak::measure()?;
    println!(
        "{} threads; peak {:.0} GFLOP/s ({} vectors), memory {:.1} GB/s",
        rayon::current_num_threads(),
        peak.flops / 1e9,
        peak.vectors,
        peak.bytes / 1e9
    );
    println!(
        "{:<40} {:<8} {:>9} {:>16} {:>8}",
        "", "", "ms", "per second", "of peak"
    );
    for case in all() {
        if filter.is_some_and(|part| !case.name.contains(part)) {
            continue;
        }
        for mode in Mode::ALL {
            let Some(cost) = (case.cost)(mode) else {
                continue;
            };
            let time = median(&mut (case.setup)(mode)?, seconds)?;
            let (rate, fraction) = rate(cost, time, &peak);
            println!(
                "{:<40} {:<8} {:>9.2} {rate:>16} {:>7.0}%",
                case.name,
                mode.name(),
                time * 1e3,
                fraction * 100.0
            );
        }
    }
    Ok(())
}

/// Prints the name and mode of each case.
pub(crate) fn list() {
    for case in all() {
        for mode in Mode::ALL {
            if (case.cost)(mode).is_some() {
                println!("{} {}", case.name, mode.name());
            }
        }
    }
}

/// The throughput as text, and as a fraction of the peak.
fn rate(cost: Cost, time: f64, peak: &Peak) -> (String, f64) {
    match cost {
        Cost::Flop(n) => (
            format!("{:.1} GFLOP", n / time / 1e9),
            n / time / peak.flops,
        ),
        Cost::Bytes(n) => (format!("{:.1} GB", n / time / 1e9), n / time / peak.bytes),
    }
}

/// The median time of a repetition in seconds, after one repetition to warm up.
fn median(run: &mut Run, seconds: f64) -> Result<f64> {
    run()?;
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
