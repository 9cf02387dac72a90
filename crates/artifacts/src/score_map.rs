//! `<sample_id>.safetensors` of `seg-model adopt --kind score`: one score for each pixel of a sample, from another program.
//!
//! The file has one tensor `score`, `[h, w]` f32; larger scores are more suspicious. Its metadata say to which size it is
//! upsampled, as those of [`logits`](crate::logits) do.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors};

use crate::atomic::write_atomic;
use crate::logits::{check_output_size, logits_path};
use crate::tensor_file::{Entry, write_header};
use crate::upsample::{Planes, RowReader, Sizes};

const TENSOR: &str = "score";
const FORMAT_VERSION: &str = "1";

/// Path of the score map of a sample in `dir`, an output of `seg-model adopt`; logits are named alike.
pub fn score_map_path(dir: &Path, sample_id: &str) -> PathBuf {
    logits_path(dir, sample_id)
}

/// Score of each pixel of one sample, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreMap {
    /// Id of the sample.
    pub sample_id: String,
    /// Name of the method that made the scores.
    pub method: String,
    /// Rows after upsampling.
    pub output_height: usize,
    /// Columns after upsampling.
    pub output_width: usize,
    /// The flag `align_corners` of `PyTorch`'s `interpolate` with which the scores are upsampled.
    pub align_corners: bool,
    /// Rows before upsampling.
    pub height: usize,
    /// Columns before upsampling.
    pub width: usize,
    /// `[height, width]`, row-major, finite; larger is more suspicious.
    pub values: Vec<f32>,
}

impl ScoreMap {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// Returns an error if the length does not fit, the output size is out of all proportion to the stored one, or a score is
    /// not finite.
    pub fn check(&self) -> Result<()> {
        let (height, width) = (self.height, self.width);
        ensure!(
            Some(self.values.len()) == height.checked_mul(width) && !self.values.is_empty(),
            "{} values are not scores of shape [{height}, {width}]",
            self.values.len()
        );
        check_output_size((self.output_height, self.output_width), (height, width))?;
        let bad = self.values.iter().position(|value| !value.is_finite());
        match bad {
            Some(at) => bail!(
                "the score of row {}, column {} of {} is {}",
                at / width,
                at % width,
                self.sample_id,
                self.values[at]
            ),
            None => Ok(()),
        }
    }

    /// Reads and checks a score map.
    ///
    /// # Errors
    /// Returns an error that names the file if it is absent, damaged, of another version, or holds scores that are not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path);
        let bytes = bytes.with_context(|| {
            format!(
                "could not read {}: run `seg-model adopt` first",
                path.display()
            )
        })?;
        Self::parse(&bytes).with_context(|| {
            format!(
                "{} is not a usable score map: remove it and run `seg-model adopt` again",
                path.display()
            )
        })
    }

    /// Reads the score map of a sample in `dir`, an output of `seg-model adopt`.
    ///
    /// The file must name this sample. If `size` (columns, rows) is given, it must be the output size.
    ///
    /// # Errors
    /// Returns the errors of [`read`](Self::read), and an error if the file is that of another sample or size.
    pub fn read_sample(dir: &Path, sample_id: &str, size: Option<(usize, usize)>) -> Result<Self> {
        let path = score_map_path(dir, sample_id);
        let map = Self::read(&path)?;
        ensure!(
            map.sample_id == sample_id,
            "{} holds scores of {}: it was renamed or copied, run `seg-model adopt` again",
            path.display(),
            map.sample_id
        );
        let found = (map.output_width, map.output_height);
        let (width, height) = size.unwrap_or(found);
        ensure!(
            found == (width, height),
            "{} is for {}x{} pixels, but the sample has {width}x{height}: run `seg-model adopt` on the same labels or images",
            path.display(),
            found.0,
            found.1
        );
        Ok(map)
    }

    /// A reader of upsampled rows, `[output_width]`. Read from the top down, it upsamples each source row only once.
    pub fn row_reader(&self) -> RowReader<'_> {
        let sizes = Sizes {
            planes: 1,
            stored: (self.height, self.width),
            output: (self.output_height, self.output_width),
            align_corners: self.align_corners,
        };
        RowReader::new(Planes::Floats(&self.values), sizes)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        ensure!(
            !header.tensors().contains_key("logits"),
            "it holds logits, not one score for each pixel: name its folder with --logits"
        );
        let metadata = header.metadata().as_ref().context("it has no metadata")?;
        let text = |key: &str| metadata.get(key).with_context(|| missing(key));
        let version = text("format_version")?;
        ensure!(
            version == FORMAT_VERSION,
            "format version {version} is not {FORMAT_VERSION}"
        );
        let tensors = SafeTensors::deserialize(bytes)?;
        let tensor = tensors.tensor(TENSOR)?;
        let (&[height, width], Dtype::F32) = (tensor.shape(), tensor.dtype()) else {
            bail!(
                "its scores are {:?} {:?} instead of F32 [h, w]",
                tensor.dtype(),
                tensor.shape()
            );
        };
        let (values, _) = tensor.data().as_chunks();
        let map = Self {
            sample_id: text("sample_id")?.clone(),
            method: text("method")?.clone(),
            output_height: text("output_height")?.parse()?,
            output_width: text("output_width")?.parse()?,
            align_corners: text("align_corners")?.parse()?,
            height,
            width,
            values: values
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect(),
        };
        map.check()?;
        Ok(map)
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let metadata = BTreeMap::from([
            ("format_version", FORMAT_VERSION.to_owned()),
            ("sample_id", self.sample_id.clone()),
            ("method", self.method.clone()),
            ("output_height", self.output_height.to_string()),
            ("output_width", self.output_width.to_string()),
            ("align_corners", self.align_corners.to_string()),
        ]);
        let entry = Entry {
            name: TENSOR,
            dtype: Dtype::F32,
            shape: &[self.height, self.width],
            n_bytes: 4 * self.values.len(),
        };
        write_atomic(path, |w| {
            write_header(w, &metadata, [entry])?;
            for block in self.values.chunks(4096) {
                let bytes: Vec<u8> = block.iter().flat_map(|v| v.to_le_bytes()).collect();
                w.write_all(&bytes)?;
            }
            Ok(())
        })
    }
}

fn missing(key: &str) -> String {
    format!("metadata {key:?} is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> ScoreMap {
        ScoreMap {
            sample_id: "a".into(),
            method: "other".into(),
            output_height: 4,
            output_width: 6,
            align_corners: true,
            height: 2,
            width: 3,
            values: vec![0.5, -1.0, 2.0, 3.0, 4.0, 5.0],
        }
    }

    #[test]
    fn a_score_map_survives_its_file() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a.safetensors");
        map().write(&path)?;
        assert_eq!(ScoreMap::read(&path)?, map());
        std::fs::write(&path, b"no tensors")?;
        let error = format!("{:#}", ScoreMap::read(&path).expect_err("damaged"));
        assert!(error.contains("is not a usable score map"), "{error}");
        Ok(())
    }

    #[test]
    fn rows_are_upsampled() {
        let mut rows = map();
        rows.check().expect("a usable map");
        let mut row = [0.0; 6];
        rows.row_reader().read(3, &mut row);
        assert_eq!((row[0], row[5]), (3.0, 5.0));
        rows.align_corners = false;
        rows.row_reader().read(0, &mut row);
        assert_eq!(row, [0.5, 0.125, -0.625, -0.25, 1.25, 2.0]);
    }

    #[test]
    fn maps_of_other_samples_and_sizes_are_refused() -> Result<()> {
        let dir = tempfile::tempdir()?;
        map().write(&score_map_path(dir.path(), "a"))?;
        map().write(&score_map_path(dir.path(), "b"))?;
        assert_eq!(ScoreMap::read_sample(dir.path(), "a", Some((6, 4)))?, map());
        let fails = |id: &str, size: (usize, usize), words: &str| {
            let error = ScoreMap::read_sample(dir.path(), id, Some(size)).expect_err(words);
            assert!(format!("{error:#}").contains(words), "{error:#}");
        };
        fails("a", (4, 6), "is for 6x4 pixels, but the sample has 4x6");
        fails("b", (6, 4), "b.safetensors holds scores of a");
        fails("c", (6, 4), "run `seg-model adopt` first");
        Ok(())
    }

    #[test]
    fn damaged_ones_are_refused() {
        assert!(map().check().is_ok());
        let fails = |change: fn(&mut ScoreMap), words: &str| {
            let mut map = map();
            change(&mut map);
            let error = format!("{:#}", map.check().expect_err(words));
            assert!(error.contains(words), "{error}");
        };
        fails(
            |map| map.values[4] = f32::NAN,
            "row 1, column 1 of a is NaN",
        );
        fails(|map| map.width = 2, "6 values");
        fails(|map| map.output_width = 0, "output size");
    }
}
