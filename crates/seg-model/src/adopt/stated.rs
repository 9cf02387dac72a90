//! What a file says of itself, in the metadata that logits files and score maps have (`docs/ARTIFACTS.md`).
//!
//! Other programs may write them too. What they say must not be lost, and must not contradict the arguments.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::{ClassSet, VoidChannel};
use artifacts::index::Sample;
use serde::Deserialize;

use super::args::Args;
use super::layout::{Layout, Said};

/// Most bytes of a header that is read.
const MAX_HEADER: u64 = 1 << 24;

/// What a file says of itself. Files without such metadata say nothing.
#[derive(Debug, Default)]
pub(super) struct Stated {
    sample_id: Option<String>,
    /// Rows and columns after upsampling.
    output: Option<(usize, usize)>,
    /// Its first channels, in their order; void and unused ones follow.
    classes: Option<ClassSet>,
    align_corners: Option<bool>,
    /// Network or method.
    name: Option<String>,
}

impl Stated {
    /// Reads the metadata of a safetensors file; other files have none.
    ///
    /// # Errors
    /// Returns an error that names the file if its header is damaged, or its metadata are not as the format says.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default();
        if !ending.eq_ignore_ascii_case("safetensors") {
            return Ok(Self::default());
        }
        read_metadata(path).with_context(|| format!("{} cannot be adopted", path.display()))
    }

    /// Refuses a file that says that it is another sample's.
    ///
    /// # Errors
    /// Returns an error that names both.
    pub(super) fn check(&self, sample: &Sample) -> Result<()> {
        let id = self.sample_id.as_ref().unwrap_or(&sample.sample_id);
        ensure!(
            *id == sample.sample_id,
            "its metadata say that it is of {id}, but its name is that of {}: rename it",
            sample.sample_id
        );
        let size = (sample.height as usize, sample.width as usize);
        let (rows, columns) = self.output.unwrap_or(size);
        ensure!(
            (rows, columns) == size,
            "its metadata say that it is for {columns}x{rows} pixels, but the sample has {}x{}",
            size.1,
            size.0
        );
        Ok(())
    }

    /// What is known of the array: what was said of all, and what the file says.
    ///
    /// # Errors
    /// Returns an error if these contradict each other.
    pub(super) fn join(&self, said: &Said) -> Result<Said> {
        let Some(stated) = &self.classes else {
            return Ok(said.clone());
        };
        if let Some(classes) = &said.classes {
            let same = classes.ensure_same(stated);
            same.context("--classes are not those of its metadata")?;
        }
        ensure!(
            matches!(
                said.void,
                None | Some(VoidChannel::Last | VoidChannel::None)
            ),
            "by its metadata void is the last channel: leave --void out"
        );
        ensure!(
            said.layout != Some(Layout::Hwc),
            "by its metadata its axes are [C, h, w]: leave --layout out"
        );
        Ok(Said {
            classes: Some(stated.clone()),
            layout: Some(Layout::Chw),
            classes_come_first: true,
            ..said.clone()
        })
    }

    /// Whether the centers of corner pixels are aligned.
    ///
    /// # Errors
    /// Returns an error if the argument says so and the file does not.
    pub(super) fn align_corners(&self, args: &Args) -> Result<bool> {
        match (self.align_corners, args.meaning.align_corners) {
            (Some(false), true) => {
                bail!("its metadata say align_corners false: leave --align-corners out")
            }
            (stated, asked) => Ok(stated.unwrap_or(asked)),
        }
    }

    /// Name of the network or method.
    pub(super) fn name<'a>(&'a self, args: &'a Args) -> &'a str {
        let given = args.output.name.as_deref().or(self.name.as_deref());
        given.unwrap_or("adopted")
    }
}

/// The part of a header that is no tensor. The tensors are checked where their values are read.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: HashMap<String, String>,
}

fn read_metadata(path: &Path) -> Result<Stated> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).context("it is cut off")?;
    let length = u64::from_le_bytes(length);
    ensure!(
        length <= MAX_HEADER,
        "its header has {length} bytes: it is damaged, or no safetensors file"
    );
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let header: Header = serde_json::from_slice(&header).context("its header is damaged")?;
    let metadata = header.metadata;
    // metadata of other programs have other keys, such as `format`
    if !metadata.contains_key("format_version") {
        return Ok(Stated::default());
    }
    let text = |key: &str| metadata.get(key).map(String::as_str);
    let number = |key: &str| -> Result<Option<usize>> {
        let number = text(key).map(str::parse).transpose();
        number.with_context(|| format!("metadata {key:?} is not a number"))
    };
    let classes = text("classes").map(serde_json::from_str).transpose();
    let classes: Option<ClassSet> = classes.context("metadata \"classes\" are no class set")?;
    classes.as_ref().map_or(Ok(()), ClassSet::check)?;
    let align_corners = text("align_corners").map(str::parse).transpose();
    Ok(Stated {
        sample_id: text("sample_id").map(str::to_owned),
        output: number("output_height")?.zip(number("output_width")?),
        classes,
        align_corners: align_corners
            .context("metadata \"align_corners\" is neither true nor false")?,
        name: text("network").or(text("method")).map(str::to_owned),
    })
}
