//! Settings of a process that runs networks.

#![allow(unsafe_code)]

/// Environment variables with which a user sets the allocator of glibc; then it stays as it is.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ALLOCATOR: [&str; 4] = [
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
];

/// Environment variable with which candle's number of threads is set.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

/// Prepares the process for running networks. What the user set by environment variables stays.
///
/// * candle gets no threads of its own: they spin while they wait, which takes the cores from ours.
/// * The allocator of glibc keeps large buffers: by default it gives them back to the system after each use, and taking them again
///   costs more than a convolution. Other allocators stay as they are.
///
/// # Safety
/// The process must not have any other threads yet: call this first in `main`.
pub unsafe fn prepare_process() {
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: no other thread reads or writes the environment, because there is none
        unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if ALLOCATOR
        .iter()
        .all(|name| std::env::var_os(name).is_none())
    {
        // SAFETY: both only set limits of the allocator; -1 stands for the largest size
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        }
    }
}
