//! `FILE.toml` beside an ONNX file: how the network is to be run. Everything may be absent; flags win over it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use artifacts::classes::{ClassSet, VoidChannel};
use artifacts::toml_file;
use serde::Deserialize;

use super::layout::Layout;
use super::tensors::ColorOrder;
use crate::adopt::Kind;

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Description {
    /// Name of the input.
    pub(super) input: Option<String>,
    /// Order of the input's axes.
    pub(super) layout: Option<Layout>,
    /// Order of the colors.
    pub(super) color_order: Option<ColorOrder>,
    /// Mean of red, green and blue in [0, 1].
    pub(super) mean: Option<Vec<f32>>,
    /// Standard deviation of red, green and blue.
    pub(super) std: Option<Vec<f32>>,
    /// Size to which images are resized, `1024x512`.
    pub(super) size: Option<String>,
    /// Multiple to which images are padded.
    pub(super) size_multiple: Option<u16>,
    /// Name of the output.
    pub(super) output: Option<String>,
    /// Order of the output's axes, if it is not that of the input.
    pub(super) output_layout: Option<Layout>,
    /// What the output is.
    pub(super) kind: Option<Kind>,
    /// Whether smaller scores are more suspicious.
    pub(super) negate: bool,
    /// The flag `align_corners` with which outputs are upsampled to the images.
    pub(super) align_corners: bool,
    /// Name of a class set, or a file beside this one.
    pub(super) classes: Option<String>,
    /// Output channel that is no class.
    void: Option<NumberOrWord>,
    /// Name of the network for people.
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NumberOrWord {
    Number(usize),
    Word(String),
}

/// `FILE` with a further ending.
pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Reads the description of the ONNX file `file`; without one, nothing is said.
///
/// # Errors
/// Returns an error that names the file and the line if it cannot be used.
pub(super) fn read(file: &Path) -> Result<Description> {
    let path = beside(file, ".toml");
    if !path.exists() {
        return Ok(Description::default());
    }
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("could not read {}", path.display()))?;
    toml_file::parse(&text).with_context(|| {
        format!(
            "{} cannot be used (`seg-model inspect {}` prints a template)",
            path.display(),
            file.display()
        )
    })
}

impl Description {
    /// The class set that it names; files are looked for beside `file`.
    ///
    /// # Errors
    /// Returns an error if there is no such set.
    pub(super) fn class_set(&self, file: &Path) -> Result<Option<ClassSet>> {
        let name = self.classes.as_deref();
        name.map(|name| ClassSet::open_beside(name, file.parent()))
            .transpose()
    }

    /// The file of the class set, if it is one.
    pub(super) fn class_file(&self, file: &Path) -> Option<PathBuf> {
        let name = self.classes.as_deref()?;
        let path = file.parent()?.join(name);
        path.is_file().then_some(path)
    }

    /// The channel that is none of the classes.
    ///
    /// # Errors
    /// Returns an error if it is no channel.
    pub(super) fn void(&self) -> Result<Option<VoidChannel>> {
        match &self.void {
            None => Ok(None),
            Some(NumberOrWord::Number(channel)) => Ok(Some(VoidChannel::At(*channel))),
            Some(NumberOrWord::Word(word)) => match word.parse() {
                Ok(void) => Ok(Some(void)),
                Err(error) => bail!("void: {error:#}"),
            },
        }
    }
}
