//! `logits/<dataset>/<sample_id>.safetensors`: a network's output before its last bilinear upsampling.
//!
//! The file has one tensor `logits`, `[C, h, w]` f16 or f32; its metadata say how to upsample it to the size of the mask.
//! A [`RowReader`] upsamples one row at a time, so the volume `[C, H, W]` of the full size is never in memory.
//!
//! ```
//! use artifacts::classes::ClassSet;
//! use artifacts::logits::{Logits, LogitsInfo, Precision};
//!
//! # fn main() -> anyhow::Result<()> {
//! let info = LogitsInfo {
//!     sample_id: "frankfurt_000000_000294".into(),
//!     network: "erfnet".into(),
//!     output_height: 4,
//!     output_width: 4,
//!     align_corners: false,
//!     classes: ClassSet::unnamed(2)?,
//! };
//! // two classes at half of the output's resolution
//! let logits = Logits::new(info, [2, 2, 2], vec![0., 1., 2., 3., 5., 5., 5., 5.])?;
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("frankfurt_000000_000294.safetensors");
//! logits.write(&path, Precision::F16)?;
//!
//! let logits = Logits::read(&path)?;
//! let mut row = vec![0.0; 2 * 4]; // [C, W]
//! logits.row_reader().read(0, &mut row);
//! assert_eq!(row, [0., 0.25, 0.75, 1., 5., 5., 5., 5.]);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::{Dtype, SafeTensors};

use crate::atomic::write_atomic;
use crate::classes::ClassSet;
use crate::logits_layout::check_not_probabilities;
pub use crate::logits_layout::check_order;
use crate::picture::MAX_PIXELS;
use crate::tensor_file::{Entry, write_header};
pub use crate::upsample::RowReader;
use crate::upsample::{Planes, Sizes};

const TENSOR: &str = "logits";
const FORMAT_VERSION: &str = "2";

/// The version that named a number of classes only.
const WITHOUT_CLASSES: &str = "1";

/// The metadata of logits that are logarithms of probabilities; others do not have it.
const OF_PROBABILITIES: &str = "of_probabilities";

/// Longest side of an output in pixels: that of an image of two rows, which the number of pixels bounds too.
const MAX_SIDE: usize = 1 << 20;

/// Output pixels on a side for each stored one. Networks store every 32nd pixel at the most; the rest is for images that were
/// made smaller for the network.
const MAX_SCALE: usize = 1024;

/// The metadata of a logits file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogitsInfo {
    /// Id of the sample.
    pub sample_id: String,
    /// Name of the network, e.g. `erfnet`.
    pub network: String,
    /// Rows after upsampling.
    pub output_height: usize,
    /// Columns after upsampling.
    pub output_width: usize,
    /// The flag `align_corners` of `PyTorch`'s `interpolate` with which the logits are upsampled.
    pub align_corners: bool,
    /// The classes, which are the first channels in their order. Further channels (void) may follow; they are not part of the softmax.
    pub classes: ClassSet,
}

impl LogitsInfo {
    /// Number of classes.
    pub fn num_classes(&self) -> usize {
        self.classes.len()
    }
}

/// Number format in which the values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Half precision, with a relative error of 2^-11.
    F16,
    /// Single precision.
    F32,
}

/// Path of the logits of a sample in `dir`, an output of `seg-model infer`.
pub fn logits_path(dir: &Path, sample_id: &str) -> PathBuf {
    dir.join(format!("{sample_id}.safetensors"))
}

/// Logits of one sample in memory, `[C, h, w]`, as they are stored.
#[derive(Clone, Debug)]
pub struct Logits {
    /// Sample, network and output size.
    pub info: LogitsInfo,
    /// Channels in the file, at least `num_classes`.
    pub channels: usize,
    /// Rows before upsampling.
    pub height: usize,
    /// Columns before upsampling.
    pub width: usize,
    /// Whether the network gave probabilities, of which these are the logarithms: what `max_logit` and `energy` of its own logits
    /// were is not known then ([`Score::survives_softmax`](crate::score::Score::survives_softmax)).
    pub of_probabilities: bool,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    Halves(Vec<f16>),
    Floats(Vec<f32>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Halves(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }

    /// All values, for those who read parts of them.
    fn planes(&self) -> Planes<'_> {
        match self {
            Self::Halves(values) => Planes::Halves(values),
            Self::Floats(values) => Planes::Floats(values),
        }
    }

    /// Position and value of the first infinity or NaN.
    fn first_not_finite(&self) -> Option<(usize, f32)> {
        match self {
            Self::Halves(values) => {
                let at = first(values, |v| v.to_bits() & 0x7C00 == 0x7C00)?;
                Some((at, values[at].to_f32()))
            }
            Self::Floats(values) => {
                let at = first(values, |v| !v.is_finite())?;
                Some((at, values[at]))
            }
        }
    }

    /// Position and value of the first number that f16 would round to infinity.
    fn first_beyond_halves(&self) -> Option<(usize, f32)> {
        match self {
            Self::Halves(_) => None,
            Self::Floats(values) => {
                let at = first(values, |v| v.abs() >= ROUNDED_TO_INFINITY)?;
                Some((at, values[at]))
            }
        }
    }
}

/// Writes values that are in the range of f16.
fn write_halves(values: &[f32], w: &mut impl Write) -> Result<()> {
    let mut halves = vec![f16::ZERO; values.len()];
    halves.convert_from_f32_slice(values);
    for half in halves {
        w.write_all(&half.to_le_bytes())?;
    }
    Ok(())
}

/// The smallest number that f16 rounds to infinity: half a step beyond the largest one that it has, 65504.
const ROUNDED_TO_INFINITY: f32 = 65_520.0;

/// Position of the first bad value.
fn first<T>(values: &[T], is_bad: impl Fn(&T) -> bool) -> Option<usize> {
    // there is nearly never one, so whole blocks are tested first: that loop has no branch
    const BLOCK: usize = 4096;
    let any = |block: &[T]| block.iter().fold(false, |any, v| any | is_bad(v));
    let block = values.chunks(BLOCK).position(any)?;
    let in_block = values[BLOCK * block..].iter().position(is_bad)?;
    Some(BLOCK * block + in_block)
}

impl Logits {
    /// Wraps values `[channels, height, width]`.
    ///
    /// # Errors
    /// Returns an error if the length does not fit, there are fewer channels than classes, the output size is out of all
    /// proportion to the stored one, or a value is not finite.
    pub fn new(info: LogitsInfo, shape: [usize; 3], values: Vec<f32>) -> Result<Self> {
        Self::of(info, shape, Values::Floats(values))
    }

    fn of(info: LogitsInfo, shape: [usize; 3], values: Values) -> Result<Self> {
        let [channels, height, width] = shape;
        ensure!(
            values.len() == channels * height * width && values.len() > 0,
            "{} values are not logits of shape {shape:?}",
            values.len()
        );
        ensure!(
            info.num_classes() <= channels,
            "{channels} channels do not hold {} classes",
            info.num_classes()
        );
        check_output_size((info.output_height, info.output_width), (height, width))?;
        if let Some((at, value)) = values.first_not_finite() {
            anyhow::bail!(
                "logit of channel {}, row {}, column {} of {} is {value}: the network diverged, or its values exceed f16 (use f32)",
                at / (height * width),
                at / width % height,
                at % width,
                info.sample_id
            );
        }
        Ok(Self {
            info,
            channels,
            height,
            width,
            of_probabilities: false,
            values,
        })
    }

    /// Reads and checks a logits file.
    ///
    /// # Errors
    /// Returns an error if it is absent, damaged, of another version, holds values that are not finite or probabilities, or its
    /// axes are in another order.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "could not read {}: run `seg-model infer` first",
                path.display()
            )
        })?;
        Self::parse(&bytes).with_context(|| {
            format!(
                "{} is not a usable logits file: remove it and run `seg-model infer` again",
                path.display()
            )
        })
    }

    /// Reads the logits of a sample in `dir`, an output of `seg-model infer`.
    ///
    /// The file must name this sample. If `size` (columns, rows) is given, it must be the output size.
    ///
    /// # Errors
    /// Returns the errors of [`read`](Self::read), and an error if the file is that of another sample or size.
    pub fn read_sample(dir: &Path, sample_id: &str, size: Option<(usize, usize)>) -> Result<Self> {
        let path = logits_path(dir, sample_id);
        let logits = Self::read(&path)?;
        let info = &logits.info;
        ensure!(
            info.sample_id == sample_id,
            "{} holds logits of {}: it was renamed or copied, run `seg-model infer` again",
            path.display(),
            info.sample_id
        );
        let found = (info.output_width, info.output_height);
        let (width, height) = size.unwrap_or(found);
        ensure!(
            found == (width, height),
            "{} is for {}x{} pixels, but the sample has {width}x{height}: run `seg-model infer` on the same labels or images",
            path.display(),
            found.0,
            found.1
        );
        Ok(logits)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        ensure!(
            !header.tensors().contains_key("score"),
            "it holds the score map of another method, not logits: name its folder with --scores"
        );
        let metadata = header.metadata().as_ref().context("it has no metadata")?;
        let version = text(metadata, "format_version")?;
        let classes = match version {
            FORMAT_VERSION => described_classes(metadata)?,
            WITHOUT_CLASSES => ClassSet::implied(number(metadata, "num_classes")?)?,
            _ => anyhow::bail!("format version {version} is not {FORMAT_VERSION}"),
        };
        let info = LogitsInfo {
            sample_id: text(metadata, "sample_id")?.to_owned(),
            network: text(metadata, "network")?.to_owned(),
            output_height: number(metadata, "output_height")?,
            output_width: number(metadata, "output_width")?,
            align_corners: text(metadata, "align_corners")?
                .parse()
                .context("metadata \"align_corners\" is neither true nor false")?,
            classes,
        };
        let tensors = SafeTensors::deserialize(bytes)?;
        let tensor = tensors.tensor(TENSOR)?;
        let &[channels, height, width] = tensor.shape() else {
            anyhow::bail!(
                "logits have shape {:?} instead of [C, h, w]",
                tensor.shape()
            );
        };
        let data = tensor.data();
        let values = match tensor.dtype() {
            Dtype::F16 => {
                let halves = data.chunks_exact(2);
                Values::Halves(halves.map(|b| f16::from_le_bytes([b[0], b[1]])).collect())
            }
            Dtype::F32 => {
                let floats = data.chunks_exact(4);
                Values::Floats(
                    floats
                        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                        .collect(),
                )
            }
            other => anyhow::bail!("logits are {other:?}, not f16 or f32"),
        };
        let output = (info.output_height, info.output_width);
        check_order([channels, height, width], info.num_classes(), output)?;
        let mut logits = Self::of(info, [channels, height, width], values)?;
        logits.of_probabilities = flag(metadata, OF_PROBABILITIES)?;
        let read = |start: usize, out: &mut [f32]| logits.values.planes().copy_to(start, out);
        check_not_probabilities(channels, height * width, read)?;
        Ok(logits)
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// Returns an error if a value does not fit into the number format, or the file cannot be written.
    pub fn write(&self, path: &Path, precision: Precision) -> Result<()> {
        self.check_fits(precision)?;
        let info = &self.info;
        let (dtype, size) = match precision {
            Precision::F16 => (Dtype::F16, 2),
            Precision::F32 => (Dtype::F32, 4),
        };
        let mut metadata = BTreeMap::from([
            ("format_version", FORMAT_VERSION.to_owned()),
            ("sample_id", info.sample_id.clone()),
            ("network", info.network.clone()),
            ("output_height", info.output_height.to_string()),
            ("output_width", info.output_width.to_string()),
            ("align_corners", info.align_corners.to_string()),
            ("classes", serde_json::to_string(&info.classes)?),
        ]);
        if self.of_probabilities {
            metadata.insert(OF_PROBABILITIES, true.to_string());
        }
        let entry = Entry {
            name: TENSOR,
            dtype,
            shape: &[self.channels, self.height, self.width],
            n_bytes: size * self.values.len(),
        };
        write_atomic(path, |w| {
            write_header(w, &metadata, [entry])?;
            let mut block = [0.0; 4096];
            for start in (0..self.values.len()).step_by(block.len()) {
                let n = block.len().min(self.values.len() - start);
                let block = &mut block[..n];
                self.values.planes().copy_to(start, block);
                match precision {
                    Precision::F16 => write_halves(block, w)?,
                    Precision::F32 => block
                        .iter()
                        .try_for_each(|v| w.write_all(&v.to_le_bytes()))?,
                }
            }
            Ok(())
        })
    }

    /// These logits with the values that a reader of their file gets, which are rounded to `precision`.
    ///
    /// # Errors
    /// Returns an error if a value does not fit into the number format.
    pub fn rounded(mut self, precision: Precision) -> Result<Self> {
        self.check_fits(precision)?;
        if let (Precision::F16, Values::Floats(values)) = (precision, &self.values) {
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            self.values = Values::Halves(halves);
        }
        Ok(self)
    }

    /// Checks that the values are in the range of a number format, as those that are written must be.
    ///
    /// # Errors
    /// Returns an error that names the place of the first one that is not.
    pub fn check_fits(&self, precision: Precision) -> Result<()> {
        let beyond = match precision {
            Precision::F16 => self.values.first_beyond_halves(),
            Precision::F32 => None,
        };
        if let Some((at, value)) = beyond {
            anyhow::bail!(
                "logits of {} exceed f16, whose largest number is 65504 (channel {}, row {}, column {}: {value}): store them as f32",
                self.info.sample_id,
                at / (self.height * self.width),
                at / self.width % self.height,
                at % self.width
            );
        }
        Ok(())
    }

    /// A reader of upsampled rows of class logits, `[num_classes, output_width]`. Read from the top down, it upsamples each source
    /// row only once.
    pub fn row_reader(&self) -> RowReader<'_> {
        let sizes = Sizes {
            planes: self.info.num_classes(),
            stored: (self.height, self.width),
            output: (self.info.output_height, self.info.output_width),
            align_corners: self.info.align_corners,
        };
        RowReader::new(self.values.planes(), sizes)
    }
}

/// The class set in the metadata.
fn described_classes(metadata: &Metadata) -> Result<ClassSet> {
    let classes: ClassSet = serde_json::from_str(text(metadata, "classes")?)
        .context("metadata \"classes\" is no class set")?;
    classes.check()?;
    Ok(classes)
}

/// Refuses output sizes that no image has, and those that have nothing to do with the stored values: whoever reads the file
/// would reserve memory for them.
pub(crate) fn check_output_size(
    (rows, columns): (usize, usize),
    (height, width): (usize, usize),
) -> Result<()> {
    let sides = [(rows, height), (columns, width)];
    let is_size = sides
        .iter()
        .all(|&(out, stored)| (1..=MAX_SIDE.min(stored.saturating_mul(MAX_SCALE))).contains(&out));
    ensure!(
        is_size && rows as u64 * columns as u64 <= MAX_PIXELS,
        "its output size is {columns}x{rows} pixels, which {width}x{height} stored ones cannot stand for (at most {MAX_SCALE} times as many on a side, {MAX_SIDE} on a side and {MAX_PIXELS} in all)"
    );
    Ok(())
}

type Metadata = std::collections::HashMap<String, String>;

fn text<'a>(metadata: &'a Metadata, key: &str) -> Result<&'a str> {
    let value = metadata.get(key).map(String::as_str);
    value.with_context(|| format!("metadata {key:?} is missing"))
}

fn number(metadata: &Metadata, key: &str) -> Result<usize> {
    let value = text(metadata, key)?.parse();
    value.with_context(|| format!("metadata {key:?} is not a number"))
}

/// What is true or false; false if nothing is said.
fn flag(metadata: &Metadata, key: &str) -> Result<bool> {
    let value = metadata.get(key).map_or(Ok(false), |value| value.parse());
    value.with_context(|| format!("metadata {key:?} is neither true nor false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(align_corners: bool) -> Result<Logits> {
        let info = LogitsInfo {
            sample_id: "a".into(),
            network: "toy".into(),
            output_height: 4,
            output_width: 4,
            align_corners,
            classes: ClassSet::unnamed(2)?,
        };
        let values = (0..12).map(|v| v as f32).collect();
        Logits::new(info, [3, 2, 2], values)
    }

    fn rows(logits: &Logits) -> Vec<Vec<f32>> {
        (0..4)
            .map(|y| {
                let mut row = vec![0.0; 8];
                logits.row_reader().read(y, &mut row);
                row[..4].to_vec()
            })
            .collect()
    }

    /// Values from `torch.nn.functional.interpolate(torch.arange(4.).view(1, 1, 2, 2), size=4, mode="bilinear")`.
    #[test]
    fn upsampling_is_that_of_pytorch() -> Result<()> {
        let rows_half = rows(&logits(false)?);
        assert_eq!(rows_half[0], [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(rows_half[1], [0.5, 0.75, 1.25, 1.5]);
        assert_eq!(rows_half[3], [2.0, 2.25, 2.75, 3.0]);
        let aligned = rows(&logits(true)?);
        for (x, &value) in aligned[1].iter().enumerate() {
            assert!((value - (2.0 / 3.0 + x as f32 / 3.0)).abs() < 1e-6);
        }
        Ok(())
    }

    #[test]
    fn a_reader_of_rows_gives_the_same_rows_in_any_order() -> Result<()> {
        for align_corners in [false, true] {
            let logits = logits(align_corners)?;
            let expected = rows(&logits);
            let mut reader = logits.row_reader();
            for y in [0, 1, 2, 3, 1, 0, 3, 3] {
                let mut row = vec![0.0; 8];
                reader.read(y, &mut row);
                assert_eq!(row[..4], expected[y], "row {y}");
            }
        }
        Ok(())
    }

    #[test]
    fn rounded_logits_are_those_that_a_reader_gets() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a.safetensors");
        let mut logits = logits(false)?;
        logits.values = Values::Floats((1..13).map(|v| 1.0 / v as f32).collect());
        for precision in [Precision::F16, Precision::F32] {
            logits.write(&path, precision)?;
            let rounded = logits.clone().rounded(precision)?;
            assert_eq!(rounded.values, Logits::read(&path)?.values);
        }
        logits.values = Values::Floats(vec![1e6; 12]);
        assert!(logits.clone().rounded(Precision::F16).is_err());
        assert!(logits.rounded(Precision::F32).is_ok());
        Ok(())
    }

    #[test]
    fn files_say_that_the_network_gave_probabilities() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a.safetensors");
        for of_probabilities in [false, true] {
            let mut logits = logits(false)?;
            logits.of_probabilities = of_probabilities;
            logits.write(&path, Precision::F32)?;
            assert_eq!(Logits::read(&path)?.of_probabilities, of_probabilities);
            let bytes = std::fs::read(&path)?;
            let is_named = bytes
                .windows(OF_PROBABILITIES.len())
                .any(|w| w == OF_PROBABILITIES.as_bytes());
            assert_eq!(is_named, of_probabilities);
        }
        Ok(())
    }

    #[test]
    fn files_are_the_same_bytes_and_damage_is_named() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (one, two) = (dir.path().join("1"), dir.path().join("2"));
        let logits = logits(true)?;
        logits.write(&one, Precision::F16)?;
        logits.write(&two, Precision::F16)?;
        let bytes = std::fs::read(&one)?;
        assert_eq!(bytes, std::fs::read(&two)?);
        let back = Logits::read(&one)?;
        assert_eq!((&back.info, rows(&back)), (&logits.info, rows(&logits)));
        back.write(&two, Precision::F32)?;
        let back = Logits::read(&two)?;
        assert_eq!((&back.info, rows(&back)), (&logits.info, rows(&logits)));
        std::fs::write(&two, &bytes[..bytes.len() - 3])?;
        let text = format!("{:#}", Logits::read(&two).unwrap_err());
        assert!(text.contains("seg-model infer"), "{text}");
        Ok(())
    }

    /// Sizes that would take all memory, from files of a few bytes.
    #[test]
    fn output_sizes_are_bounded_by_what_is_stored() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a");
        logits(false)?.write(&path, Precision::F16)?;
        let bytes = std::fs::read(&path)?;
        let (length, rest) = bytes.split_at(8);
        let length = u64::from_le_bytes(length.try_into()?) as usize;
        let (header, data) = rest.split_at(length);
        let header = std::str::from_utf8(header)?.trim_end();
        for (height, width) in [
            ("1000000000", "96"),
            ("9223372036854775807", "4"),
            ("4", "18446744073709551615"),
            ("2048", "2049"),
            ("4", "0"),
        ] {
            let hostile = header
                .replace(
                    "\"output_height\":\"4\"",
                    &format!("\"output_height\":\"{height}\""),
                )
                .replace(
                    "\"output_width\":\"4\"",
                    &format!("\"output_width\":\"{width}\""),
                );
            assert_ne!(hostile, header);
            let length = (hostile.len() as u64).to_le_bytes();
            std::fs::write(&path, [&length[..], hostile.as_bytes(), data].concat())?;
            let text = format!("{:#}", Logits::read(&path).expect_err("hostile"));
            assert!(text.contains("output size is"), "{text}");
        }
        Ok(())
    }

    #[test]
    fn diverged_logits_are_refused() -> Result<()> {
        let info = logits(false)?.info;
        let text = Logits::new(info, [2, 1, 1], vec![0.0, f32::NAN])
            .unwrap_err()
            .to_string();
        assert!(text.contains("channel 1"), "{text}");
        let mut halves = vec![f16::ONE; 10_000];
        halves[9_001] = f16::NEG_INFINITY;
        let halves = Values::Halves(halves);
        assert_eq!(halves.first_not_finite(), Some((9_001, f32::NEG_INFINITY)));
        Ok(())
    }
}
