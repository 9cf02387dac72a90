//! All that is needed to run an ONNX file: what flags say, else its description, else its own declaration.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::{ChannelTable, ClassSet, VoidChannel};
use stage_cli::ImageSize;

use super::args::OnnxSource;
use super::description::{self, Description};
use super::layout::Layout;
use super::port::{Number, Port};
use super::tensors::{InputFormat, Pixels};
use crate::adopt::Kind;
use crate::input::Normalization;

/// What the maps of a network are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Logits of these classes.
    Logits(ClassSet),
    /// One score for each pixel.
    Scores,
}

/// How the network is run.
#[derive(Debug)]
pub(super) struct Settings {
    /// Name for people.
    pub(super) name: String,
    pub(super) input: String,
    pub(super) format: InputFormat,
    /// Images in a batch, if the file fixes it.
    pub(super) batch: Option<usize>,
    /// Rows and columns of the input, where the file fixes them.
    pub(super) sides: [Option<usize>; 2],
    /// Size to which images are resized, unless a flag says otherwise.
    pub(super) size: Option<ImageSize>,
    pub(super) size_multiple: usize,
    pub(super) output: String,
    pub(super) output_layout: Layout,
    pub(super) kind: Kind,
    /// Whether smaller scores are more suspicious.
    pub(super) negate: bool,
    pub(super) align_corners: bool,
    pub(super) meaning: Meaning,
    /// Channels of the output in the order of logits files.
    pub(super) order: Vec<usize>,
}

impl Settings {
    /// Puts together what is said of `source`, whose file declares these inputs and outputs.
    ///
    /// # Errors
    /// Returns an error that says what to pass if something is not known, or contradicts the file.
    pub(super) fn of(source: OnnxSource, inputs: &[Port], outputs: &[Port]) -> Result<Self> {
        let (args, said) = (source.args, description::read(source.file)?);
        let asked = args.input_name.as_deref().or(said.input.as_deref());
        let input = Port::find(inputs, asked, "input")?;
        ensure!(
            inputs.len() == 1,
            "it takes more than the images: {}",
            inputs
                .iter()
                .map(Port::describe)
                .collect::<Vec<_>>()
                .join(", ")
        );
        let asked = args.output_name.as_deref().or(said.output.as_deref());
        let output = Port::find(outputs, asked, "output")?;
        let layout = layout(input, args.layout.or(said.layout))?;
        let (rows, columns) = layout.sides();
        let sides = [input.shape[rows], input.shape[columns]];
        let output_layout = said.output_layout.unwrap_or(layout);
        let kind = args.kind.or(said.kind).unwrap_or(Kind::Logits);
        check_numbers(output)?;
        ensure!(
            !said.negate || kind == Kind::Score,
            "negate is for scores (kind = \"score\")"
        );
        let table = match kind {
            Kind::Score => None,
            _ => Some(channel_table(source, &said, output, output_layout)?),
        };
        let order = table.as_ref().map(ChannelTable::canonical_order);
        Ok(Self {
            name: said.name.clone().unwrap_or_else(|| stem(source.file)),
            input: input.name.clone(),
            format: InputFormat {
                layout,
                colors: said.color_order.unwrap_or_default(),
                pixels: pixels(source, &said, input)?,
            },
            batch: input.shape[0],
            sides,
            size: size(&said, sides)?,
            size_multiple: usize::from(said.size_multiple.unwrap_or(1).max(1)),
            output: output.name.clone(),
            output_layout,
            kind,
            negate: said.negate,
            align_corners: said.align_corners,
            meaning: table.map_or(Meaning::Scores, |table| Meaning::Logits(table.classes)),
            order: order.transpose()?.unwrap_or_else(|| vec![0]),
        })
    }
}

/// The name of a file without its ending.
fn stem(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The order of the input's axes, as it is said or as its shape says.
fn layout(input: &Port, said: Option<Layout>) -> Result<Layout> {
    ensure!(
        input.shape.len() == 4,
        "its input {} has not four axes (images, colors, rows, columns)",
        input.describe()
    );
    let may_be = |layout: &Layout| input.shape[layout.channels()].is_none_or(|n| n == 3);
    let is = |layout: &Layout| input.shape[layout.channels()] == Some(3);
    let layouts = [Layout::Nchw, Layout::Nhwc];
    let certain: Vec<_> = layouts.into_iter().filter(is).collect();
    let fits = |said: &Layout| certain.contains(said) || (certain.is_empty() && may_be(said));
    match (said, &certain[..]) {
        (Some(said), _) if fits(&said) => Ok(said),
        (Some(said), _) => bail!(
            "its input {} has not 3 colors in the order {}",
            input.describe(),
            said.name()
        ),
        (None, &[layout]) => Ok(layout),
        (None, _) => bail!(
            "its input {} does not tell the axis of the colors: pass --layout nchw or nhwc",
            input.describe()
        ),
    }
}

/// Refuses outputs that are no floats.
fn check_numbers(output: &Port) -> Result<()> {
    match output.number {
        Number::F32 | Number::F16 => Ok(()),
        _ => bail!(
            "its output {} is not of floats: export the network without what follows its logits, such as argmax",
            output.describe()
        ),
    }
}

/// The channels of the output.
fn channel_table(
    source: OnnxSource,
    said: &Description,
    output: &Port,
    layout: Layout,
) -> Result<ChannelTable> {
    let axis = match output.shape.len() {
        4 => Some(layout.channels()),
        3 => Some(layout.channels() - 1), // a batch of one without an axis
        _ => None,
    };
    let channels = axis.and_then(|axis| output.shape[axis]);
    ensure!(
        channels != Some(1),
        "its output {} has one channel: pass --kind score if it is a score",
        output.describe()
    );
    let flags = source.channels;
    let classes = match &flags.classes {
        Some(classes) => Some(classes.clone()),
        None => said.class_set(source.file)?,
    };
    let void = flags
        .void
        .map_or_else(|| said.void(), |void| Ok(Some(void)))?;
    let is_channel = void.is_some_and(|void| void != VoidChannel::None);
    match (classes, channels) {
        (Some(classes), channels) => {
            let n = channels.unwrap_or(classes.len() + usize::from(is_channel));
            ChannelTable::new(classes, n, void)
        }
        (None, Some(n)) if !is_channel => ChannelTable::of_count(n),
        (None, Some(_)) => bail!("--void needs --classes"),
        (None, None) => bail!(
            "nothing says what the channels of its output {} are: pass --classes, or --kind score if it is one score for each pixel",
            output.describe()
        ),
    }
}

/// The numbers of the input: bytes as they are, or floats that are normalized.
fn pixels(source: OnnxSource, said: &Description, input: &Port) -> Result<Pixels> {
    let flags = source.args.normalization.normalization()?;
    let of_file = match (&said.mean, &said.std) {
        (Some(mean), Some(std)) => Some(Normalization::checked(mean, std).context("mean and std")?),
        (None, None) => None,
        _ => bail!("mean and std belong together"),
    };
    let normalization = flags.or(of_file);
    if input.number == Number::U8 {
        ensure!(
            normalization.is_none(),
            "its input {} takes images as they are: leave out --mean and --std",
            input.describe()
        );
        return Ok(Pixels::Bytes);
    }
    let normalization = normalization.with_context(|| {
        let Normalization { mean, std } = Normalization::IMAGENET;
        let file = source.file.display();
        format!("nothing says how images are normalized: pass --mean and --std (0,0,0 and 1,1,1 for colors in [0, 1] as they are; ImageNet's are {mean:?} and {std:?}), or complete the template of `seg-model inspect {file}` as {file}.toml")
    })?;
    match input.number {
        Number::F32 => Ok(Pixels::F32(normalization)),
        Number::F16 => Ok(Pixels::F16(normalization)),
        _ => bail!("its input {} takes no images", input.describe()),
    }
}

/// The size of images: as it is said, or as the file fixes both sides.
fn size(said: &Description, sides: [Option<usize>; 2]) -> Result<Option<ImageSize>> {
    let size = said.size.as_deref().map(str::parse::<ImageSize>);
    let size = size.transpose().context("size")?;
    let (Some(rows), Some(columns)) = (sides[0], sides[1]) else {
        return Ok(size);
    };
    let fixed: ImageSize = format!("{columns}x{rows}").parse()?;
    if let Some(size) = size {
        ensure!(
            size == fixed,
            "it takes images of {fixed} pixels, but size is {size}"
        );
    }
    Ok(Some(fixed))
}
