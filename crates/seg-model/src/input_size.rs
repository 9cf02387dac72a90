//! The size at which a network sees images, on the command line.

use std::str::FromStr;

use anyhow::{Error, Result, anyhow};
use serde::Serialize;
use stage_cli::ImageSize;

/// What `--input-size` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum InputSize {
    /// All images are resized to this size.
    Fixed(ImageSize),
    /// The images' own size, whatever the weights say.
    Own(OwnSize),
}

/// The word by which the images' own size is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnSize {
    /// `image`.
    Image,
}

impl InputSize {
    /// The size to resize to, where `recorded` is that of the weights; `None` keeps the images' own.
    pub fn resolve(asked: Option<Self>, recorded: Option<ImageSize>) -> Option<ImageSize> {
        match asked {
            Some(Self::Fixed(size)) => Some(size),
            Some(Self::Own(_)) => None,
            None => recorded,
        }
    }
}

impl FromStr for InputSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "image" {
            return Ok(Self::Own(OwnSize::Image));
        }
        let size = text.parse().map(Self::Fixed);
        size.map_err(|error: Error| anyhow!("{error}; \"image\" stands for the images' own size"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_is_asked_for_wins() -> Result<()> {
        let size = |text: &str| text.parse::<ImageSize>();
        let recorded = Some(size("1024x512")?);
        assert_eq!(InputSize::resolve(None, recorded), recorded);
        assert_eq!(InputSize::resolve(Some("image".parse()?), recorded), None);
        let asked = InputSize::resolve(Some("8x4".parse()?), recorded);
        assert_eq!(asked, Some(size("8x4")?));
        assert!("8".parse::<InputSize>().is_err());
        let recorded = serde_json::to_value("image".parse::<InputSize>()?)?;
        assert_eq!(recorded, "image");
        Ok(())
    }
}
