//! Damaged files make the parquet reader panic; here panics become errors.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};

/// Number of calls of [`without_panics`] at work, on all threads.
static N_READING: AtomicUsize = AtomicUsize::new(0);

/// Calls `read`, and returns an error if it fails or panics, without the usual message on stderr.
///
/// # Errors
/// Returns the error of `read`, or one with the text of its panic.
pub(super) fn without_panics<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    silence_other_crates();
    N_READING.fetch_add(1, Ordering::SeqCst);
    // what a panic leaves behind is dropped here
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    N_READING.fetch_sub(1, Ordering::SeqCst);
    result.unwrap_or_else(|panic| {
        let text = text(panic.as_ref());
        let line = text.lines().next().unwrap_or_default();
        Err(anyhow!("the parquet reader stopped: {line}"))
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
}

/// Leaves out the messages of panics of other crates while a file is read: the reader has threads of its own. Those in this
/// workspace, whose files have relative paths, are always shown.
fn silence_other_crates() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_ours = |l: &panic::Location| l.file().starts_with("crates/");
            if N_READING.load(Ordering::SeqCst) == 0 || info.location().is_some_and(is_ours) {
                show(info);
            }
        }));
    });
}
