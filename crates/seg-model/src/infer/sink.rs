//! What becomes of the outputs of the network: files, or whatever another program makes of them.

use anyhow::Result;
use image::RgbImage;

pub use super::predict::Maps;

/// The picture of a sample that is wanted beside its maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// The image at the size of the upsampled maps.
    OfOutput,
    /// The image as it is in its file, upright if its index says so.
    OfFile,
}

/// Takes the maps of samples, in the order of the samples. The methods are called on two threads.
pub trait Sink: Sync {
    /// What the work is called in lines of progress.
    fn name(&self) -> &'static str;

    /// Which picture of each sample is needed.
    fn picture(&self) -> Option<Picture>;

    /// Checks what can be wrong with the maps of a sample alone, which is then left out with `--keep-going`.
    ///
    /// # Errors
    /// Returns an error that says what to do if they cannot be used.
    fn check(&self, maps: &Maps) -> Result<()>;

    /// Takes the maps of a sample, with the picture that is needed. It is called on a thread of its own, while the network runs.
    ///
    /// # Errors
    /// Returns an error that ends the work.
    fn take(&self, maps: Maps, picture: Option<RgbImage>) -> Result<()>;
}
