//! Sizes of images on the command line.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result};
use serde::Serialize;

/// Width and height in pixels, written `WIDTHxHEIGHT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ImageSize {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl ImageSize {
    /// Longest side in pixels, far beyond any camera. Larger values are treated as typing errors.
    pub const MAX_SIDE: u32 = 32_768;
}

impl FromStr for ImageSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let side = |text: &str| {
            text.parse()
                .ok()
                .filter(|n| (1..=Self::MAX_SIDE).contains(n))
        };
        let size = text.split_once('x').and_then(|(width, height)| {
            Some(Self {
                width: side(width)?,
                height: side(height)?,
            })
        });
        size.with_context(|| {
            let max = Self::MAX_SIDE;
            format!("a size is WIDTHxHEIGHT with sides from 1 to {max} pixels, for example 1024x512, not {text:?}")
        })
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_sides_that_a_camera_could_have() -> Result<()> {
        let size: ImageSize = "1024x512".parse()?;
        assert_eq!((size.width, size.height), (1024, 512));
        for wrong in [
            "1024", "1024x", "0x5", "40000x1", "1x32769", "-1x5", "1024X512", "1 x 2", "",
        ] {
            assert!(wrong.parse::<ImageSize>().is_err(), "{wrong}");
        }
        Ok(())
    }
}
