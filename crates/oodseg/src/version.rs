//! What `oodseg --version` says. The build script knows the commit, the features and the target.

/// Version and commit, in one line.
pub(crate) const SHORT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("OODSEG_COMMIT"), ")");

/// The same with cargo's features and the target: `+cuda` is in the executable, `-cuda` is not.
pub(crate) const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("OODSEG_COMMIT"),
    ")\nfeatures: ",
    env!("OODSEG_FEATURES"),
    "\ntarget: ",
    env!("OODSEG_TARGET"),
);
