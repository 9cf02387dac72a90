//! Progress on stderr: a bar on a terminal, one line every few seconds elsewhere.
//!
//! Nothing here fails. Lines that cannot be written (a full disk behind stderr, a closed pipe or terminal) are lost, since
//! the work that they report on is worth more than they are.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

static QUIET: AtomicBool = AtomicBool::new(false);

/// Time between lines when stderr is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// All bars of the process, so that log lines can be printed above them.
fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
}

/// Displays the progress of a known number of steps; may be used from several threads.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    name: String,
    total: u64,
    last_line: Option<Mutex<Instant>>,
}

impl Progress {
    /// Starts the display of `total` steps of `name` (for example `infer`), counted in `unit` (for example `images`).
    pub fn new(name: &str, total: u64, unit: &str) -> Self {
        let quiet = QUIET.load(Ordering::Relaxed);
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal && !quiet {
            bars().add(ProgressBar::new(total))
        } else {
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden())
        };
        let template = format!(
            "{name} {{bar:30}} {{pos}}/{{len}} {unit} {{per_sec}} {{elapsed}}, {{eta}} left  {{msg}}"
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Self {
            bar,
            name: name.to_owned(),
            total,
            last_line: (!terminal && !quiet).then(|| Mutex::new(Instant::now())),
        }
    }

    /// Counts `steps` more steps as done.
    pub fn advance(&self, steps: u64) {
        self.bar.inc(steps);
        let Some(last_line) = &self.last_line else {
            return;
        };
        let mut last = last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= LINE_INTERVAL {
            *last = Instant::now();
            let eta = self.bar.eta().as_secs();
            print_line(format_args!(
                "{}: {}/{}, {eta} s left  {}",
                self.name,
                self.bar.position(),
                self.total,
                self.bar.message()
            ));
        }
    }

    /// Shows a short text after the numbers, for example the loss.
    pub fn message(&self, text: impl Into<String>) {
        self.bar.set_message(text.into());
    }

    /// Ends the display.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        if self.last_line.is_some() {
            let seconds = self.bar.elapsed().as_secs_f64();
            print_line(format_args!(
                "{}: {} done in {seconds:.1} s  {}",
                self.name,
                self.bar.position(),
                self.bar.message()
            ));
        }
    }
}

/// Prints a line to stderr. A line that cannot be written is lost, where `eprintln!` would panic and end the stage.
pub(crate) fn print_line(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes log lines above the progress bars, and always reports success.
#[derive(Debug, Default)]
pub(crate) struct LogWriter;

impl Write for LogWriter {
    /// `bytes` are one whole log line with its end.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let bars = bars();
        if bars.is_hidden() {
            let _ = std::io::stderr().write_all(bytes);
        } else {
            // not `suspend`, which panics if the terminal was closed
            let _ = bars.println(String::from_utf8_lossy(bytes).trim_end_matches('\n'));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
