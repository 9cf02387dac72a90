//! `logits/<dataset>/<sample_id>.safetensors`: a network's output before its last bilinear upsampling.
//!
//! One tensor `logits`, `[C, h, w]` f16 or f32, and in the metadata what a reader needs to bring it to the
//! size of the mask. [`Logits::row`] upsamples a row at a time, so that no full-size volume ever exists.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use half::f16;
use half::slice::HalfFloatSliceExt;
use safetensors::tensor::{Dtype, SafeTensors};

use crate::atomic::write_atomic;
use crate::tensor_file::{Entry, write_header};
use crate::vectorized;

const TENSOR: &str = "logits";
const FORMAT_VERSION: &str = "1";

/// Everything about a logits file but the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogitsInfo {
    /// Sample to which the logits belong.
    pub sample_id: String,
    /// Network that made them, e.g. `erfnet`.
    pub network: String,
    /// Rows after upsampling.
    pub output_height: usize,
    /// Columns after upsampling.
    pub output_width: usize,
    /// How corners are aligned by the upsampling, as in `PyTorch`'s `interpolate`.
    pub align_corners: bool,
    /// The first so many channels are classes; a void channel may follow, and is not part of the softmax.
    pub num_classes: usize,
}

/// How the values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Half precision: relative error 2^-11; the default.
    F16,
    /// Single precision.
    F32,
}

/// Where the logits of a sample are in the directory `dir` of `seg-model infer`.
pub fn logits_path(dir: &Path, sample_id: &str) -> PathBuf {
    dir.join(format!("{sample_id}.safetensors"))
}

/// Logits of one sample in memory, `[C, h, w]`.
#[derive(Clone, Debug)]
pub struct Logits {
    /// What the values are.
    pub info: LogitsInfo,
    /// Channels in the file, at least `num_classes`.
    pub channels: usize,
    /// Rows before upsampling.
    pub height: usize,
    /// Columns before upsampling.
    pub width: usize,
    values: Vec<f32>,
}

impl Logits {
    /// Wraps values `[channels, height, width]`.
    ///
    /// # Errors
    /// If the length does not fit, there are fewer channels than classes, or a value is not finite.
    pub fn new(info: LogitsInfo, shape: [usize; 3], values: Vec<f32>) -> Result<Self> {
        let [channels, height, width] = shape;
        ensure!(
            values.len() == channels * height * width && !values.is_empty(),
            "{} values are no logits of shape {shape:?}",
            values.len()
        );
        ensure!(
            (2..=channels).contains(&info.num_classes) && info.num_classes <= 256,
            "{} channels do not hold {} classes",
            channels,
            info.num_classes
        );
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            anyhow::bail!(
                "logit of channel {}, row {}, column {} of {} is {}: the network diverged, or its values exceed f16 (use f32)",
                at / (height * width),
                at / width % height,
                at % width,
                info.sample_id,
                values[at]
            );
        }
        Ok(Self {
            info,
            channels,
            height,
            width,
            values,
        })
    }

    /// Reads and checks a logits file.
    ///
    /// # Errors
    /// If it is absent, damaged, of another version, or holds values that are not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "could not read {}: run `seg-model infer` first",
                path.display()
            )
        })?;
        Self::parse(&bytes).with_context(|| {
            format!(
                "{} is no usable logits file: remove it and run `seg-model infer` again",
                path.display()
            )
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().as_ref().context("it has no metadata")?;
        let text = |key: &str| {
            metadata
                .get(key)
                .map(String::as_str)
                .with_context(|| format!("metadata {key:?} is missing"))
        };
        let number = |key: &str| -> Result<usize> {
            text(key)?
                .parse()
                .with_context(|| format!("metadata {key:?} is no number"))
        };
        let version = text("format_version")?;
        ensure!(
            version == FORMAT_VERSION,
            "format version {version} is not {FORMAT_VERSION}"
        );
        let info = LogitsInfo {
            sample_id: text("sample_id")?.to_owned(),
            network: text("network")?.to_owned(),
            output_height: number("output_height")?,
            output_width: number("output_width")?,
            align_corners: text("align_corners")?
                .parse()
                .context("metadata \"align_corners\" is neither true nor false")?,
            num_classes: number("num_classes")?,
        };
        ensure!(
            info.output_height > 0 && info.output_width > 0,
            "the output size is zero"
        );
        let tensors = SafeTensors::deserialize(bytes)?;
        let tensor = tensors.tensor(TENSOR)?;
        let &[channels, height, width] = tensor.shape() else {
            anyhow::bail!(
                "logits have shape {:?} instead of [C, h, w]",
                tensor.shape()
            );
        };
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F16 => tensor
                .data()
                .chunks_exact(2)
                .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            Dtype::F32 => tensor
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            other => anyhow::bail!("logits are {other:?}, not f16 or f32"),
        };
        Self::new(info, [channels, height, width], values)
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// If a value does not fit the precision, or the disk fails.
    pub fn write(&self, path: &Path, precision: Precision) -> Result<()> {
        let info = &self.info;
        let (dtype, size) = match precision {
            Precision::F16 => (Dtype::F16, 2),
            Precision::F32 => (Dtype::F32, 4),
        };
        let metadata = BTreeMap::from([
            ("format_version", FORMAT_VERSION.to_owned()),
            ("sample_id", info.sample_id.clone()),
            ("network", info.network.clone()),
            ("output_height", info.output_height.to_string()),
            ("output_width", info.output_width.to_string()),
            ("align_corners", info.align_corners.to_string()),
            ("num_classes", info.num_classes.to_string()),
        ]);
        let entry = Entry {
            name: TENSOR,
            dtype,
            shape: &[self.channels, self.height, self.width],
            n_bytes: size * self.values.len(),
        };
        write_atomic(path, |w| {
            write_header(w, &metadata, [entry])?;
            match precision {
                Precision::F16 => self.write_halves(w),
                Precision::F32 => Ok(self
                    .values
                    .iter()
                    .try_for_each(|v| w.write_all(&v.to_le_bytes()))?),
            }
        })
    }

    fn write_halves(&self, w: &mut impl Write) -> Result<()> {
        let mut halves = [f16::ZERO; 4096];
        for values in self.values.chunks(halves.len()) {
            let halves = &mut halves[..values.len()];
            halves.convert_from_f32_slice(values);
            for half in halves {
                ensure!(
                    half.is_finite(),
                    "logits of {} exceed f16: store them as f32",
                    self.info.sample_id
                );
                w.write_all(&half.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Class logits of output row `y`, upsampled bilinearly, into `out` `[num_classes, output_width]`.
    pub fn row(&self, y: usize, taps: &ColumnTaps, out: &mut [f32]) {
        let (y0, y1, fy) = source(
            y,
            self.height,
            self.info.output_height,
            self.info.align_corners,
        );
        let plane = self.height * self.width;
        let out_width = self.info.output_width;
        for (class, out) in out.chunks_exact_mut(out_width).enumerate() {
            let values = &self.values[class * plane..][..plane];
            let (upper, lower) = (
                &values[y0 * self.width..][..self.width],
                &values[y1 * self.width..][..self.width],
            );
            if taps.is_identity && fy == 0.0 {
                out.copy_from_slice(upper);
                continue;
            }
            for (out, &(x0, x1, fx)) in out.iter_mut().zip(&taps.taps) {
                let top = upper[x0] * (1.0 - fx) + upper[x1] * fx;
                let bottom = lower[x0] * (1.0 - fx) + lower[x1] * fx;
                *out = top * (1.0 - fy) + bottom * fy;
            }
        }
    }

    /// A reader of rows from the top, which widens each source row only once.
    pub fn row_reader(&self) -> RowReader<'_> {
        let widened = || {
            (
                usize::MAX,
                vec![0.0; self.info.num_classes * self.info.output_width],
            )
        };
        RowReader {
            logits: self,
            taps: self.column_taps(),
            upper: widened(),
            lower: widened(),
        }
    }

    /// Source row `y` of all classes, upsampled to the output's width, into `out`.
    fn widened_row(&self, y: usize, taps: &ColumnTaps, out: &mut [f32]) {
        let planes = self.values.chunks_exact(self.height * self.width);
        for (plane, out) in planes.zip(out.chunks_exact_mut(self.info.output_width)) {
            let values = &plane[y * self.width..][..self.width];
            for (out, &(x0, x1, fx)) in out.iter_mut().zip(&taps.taps) {
                *out = values[x0] * (1.0 - fx) + values[x1] * fx;
            }
        }
    }

    /// The columns' interpolation weights, computed once for all rows.
    pub fn column_taps(&self) -> ColumnTaps {
        let out_width = self.info.output_width;
        let taps: Vec<_> = (0..out_width)
            .map(|x| source(x, self.width, out_width, self.info.align_corners))
            .collect();
        ColumnTaps {
            is_identity: taps.iter().enumerate().all(|(x, t)| t.0 == x && t.2 == 0.0),
            taps,
        }
    }
}

/// Source columns and weights of each output column.
#[derive(Clone, Debug)]
pub struct ColumnTaps {
    taps: Vec<(usize, usize, f32)>,
    is_identity: bool,
}

/// Rows of logits like [`Logits::row`], bit for bit, several times faster when they are asked for in order.
#[derive(Clone, Debug)]
pub struct RowReader<'a> {
    logits: &'a Logits,
    taps: ColumnTaps,
    /// Source rows above and below the last output row, with their numbers.
    upper: (usize, Vec<f32>),
    lower: (usize, Vec<f32>),
}

impl RowReader<'_> {
    /// Class logits of output row `y`, upsampled bilinearly, into `out` `[num_classes, output_width]`.
    pub fn read(&mut self, y: usize, out: &mut [f32]) {
        let logits = self.logits;
        let info = &logits.info;
        let (y0, y1, fy) = source(y, logits.height, info.output_height, info.align_corners);
        if self.taps.is_identity && fy == 0.0 {
            logits.row(y, &self.taps, out);
            return;
        }
        if self.upper.0 != y0 {
            std::mem::swap(&mut self.upper, &mut self.lower);
        }
        for (wanted, (number, row)) in [(y0, &mut self.upper), (y1, &mut self.lower)] {
            if *number != wanted {
                logits.widened_row(wanted, &self.taps, row);
                *number = wanted;
            }
        }
        mix_rows(&self.upper.1, &self.lower.1, fy, out);
    }
}

vectorized! {
    fn mix_rows(upper: &[f32], lower: &[f32], fraction: f32, out: &mut [f32]) {
        for ((out, top), bottom) in out.iter_mut().zip(upper).zip(lower) {
            *out = top * (1.0 - fraction) + bottom * fraction;
        }
    }
}

/// The two source positions of output position `i` and the weight of the second, as `PyTorch`'s `interpolate`.
fn source(i: usize, n_in: usize, n_out: usize, align_corners: bool) -> (usize, usize, f32) {
    let at = if align_corners {
        let scale = if n_out > 1 {
            (n_in - 1) as f32 / (n_out - 1) as f32
        } else {
            0.0
        };
        i as f32 * scale
    } else {
        let scale = n_in as f32 / n_out as f32;
        ((i as f32 + 0.5) * scale - 0.5).max(0.0)
    };
    let low = (at as usize).min(n_in - 1);
    (low, (low + 1).min(n_in - 1), at - low as f32)
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
            num_classes: 2,
        };
        let values = (0..12).map(|v| v as f32).collect();
        Logits::new(info, [3, 2, 2], values)
    }

    fn rows(logits: &Logits) -> Vec<Vec<f32>> {
        let taps = logits.column_taps();
        (0..4)
            .map(|y| {
                let mut row = vec![0.0; 8];
                logits.row(y, &taps, &mut row);
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
    fn files_are_the_same_bytes_and_damage_is_named() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (one, two) = (dir.path().join("1"), dir.path().join("2"));
        let logits = logits(true)?;
        logits.write(&one, Precision::F16)?;
        logits.write(&two, Precision::F16)?;
        let bytes = std::fs::read(&one)?;
        assert_eq!(bytes, std::fs::read(&two)?);
        let back = Logits::read(&one)?;
        assert_eq!((&back.info, &back.values), (&logits.info, &logits.values));
        std::fs::write(&two, &bytes[..bytes.len() - 3])?;
        let text = format!("{:#}", Logits::read(&two).unwrap_err());
        assert!(text.contains("seg-model infer"), "{text}");
        Ok(())
    }

    #[test]
    fn diverged_logits_are_refused() -> Result<()> {
        let info = logits(false)?.info;
        let text = Logits::new(info, [2, 1, 1], vec![0.0, f32::NAN])
            .unwrap_err()
            .to_string();
        assert!(text.contains("channel 1"), "{text}");
        Ok(())
    }
}
