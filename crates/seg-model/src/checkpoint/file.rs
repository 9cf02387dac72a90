//! Weights files of all formats as named tensors, whose numbers are read only when they are asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::atomic::read_json;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use super::torch;

/// Longest header of a safetensors file, as its library has it.
const MAX_HEADER: u64 = 100_000_000;

/// A weights file: safetensors, `.pth` or `.bin` of `PyTorch` in its present and its old format, or the index
/// `*.index.json` of several such files.
#[derive(Debug)]
pub struct WeightsFile {
    /// Format, in words.
    pub format: &'static str,
    /// Text metadata; only safetensors have such.
    pub metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// The file, or the files of which an index speaks.
    pub files: Vec<PathBuf>,
}

/// Where a tensor's numbers are. Checked when it is made: all of them lie inside the file.
#[derive(Clone, Debug)]
pub struct TensorEntry {
    /// Type of the numbers.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Numbers from one index to the next, for each dimension.
    pub(super) strides: Vec<usize>,
    /// Which of [`WeightsFile::files`].
    pub(super) file: usize,
    /// Byte at which the first number starts.
    pub(super) start: u64,
}

impl TensorEntry {
    /// Numbers in the tensor.
    ///
    /// # Errors
    /// If there are more than any memory holds.
    pub fn elem_count(&self) -> Result<usize> {
        let product = self.shape.iter().try_fold(1, |n: usize, &d| {
            n.checked_mul(d).filter(|&n| n <= isize::MAX as usize / 8)
        });
        product.with_context(|| format!("shape {:?} is too large", self.shape))
    }

    /// Numbers from the first to the last one, both included.
    ///
    /// # Errors
    /// If the shape is too large, or numbers occur in it more than once: no weights are such, and a small file could
    /// fill any memory.
    pub(super) fn span(&self) -> Result<usize> {
        let n = self.elem_count()?;
        if n == 0 {
            return Ok(0);
        }
        let mut dims = self.shape.iter().zip(&self.strides);
        let span = dims.try_fold(1, |span: usize, (&d, &stride)| {
            span.checked_add((d - 1).checked_mul(stride)?)
        });
        let span = span.filter(|&s| s <= isize::MAX as usize / 8);
        let span = span.with_context(|| {
            format!(
                "shape {:?} with strides {:?} is too large",
                self.shape, self.strides
            )
        })?;
        ensure!(
            n <= span,
            "shape {:?} with strides {:?} repeats its numbers",
            self.shape,
            self.strides
        );
        Ok(span)
    }

    /// The numbers in the order of the shape, out of those of the span.
    fn gather(&self, span: Vec<f32>) -> Result<Vec<f32>> {
        let n = self.elem_count()?;
        if self.strides == contiguous(&self.shape) || n <= 1 {
            return Ok(span);
        }
        let mut values = Vec::with_capacity(n);
        let mut index = vec![0; self.shape.len()];
        let mut at = 0;
        for _ in 0..n {
            values.push(span[at]);
            // the last dimension is the fastest
            for (dim, i) in index.iter_mut().enumerate().rev() {
                *i += 1;
                at += self.strides[dim];
                if *i < self.shape[dim] {
                    break;
                }
                at -= *i * self.strides[dim];
                *i = 0;
            }
        }
        Ok(values)
    }
}

fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for dim in (1..shape.len()).rev() {
        strides[dim - 1] = strides[dim].saturating_mul(shape[dim]);
    }
    strides
}

impl WeightsFile {
    /// Reads what a file holds, but the numbers. The format is told by the content.
    ///
    /// # Errors
    /// If the file is absent, damaged, of no known format, or wants to run code.
    pub fn open(path: &Path) -> Result<Self> {
        ensure!(
            path.is_file(),
            "weights {} do not exist: train some with `ood-train`, or name another file",
            path.display()
        );
        let opened = if path.extension().is_some_and(|e| e == "json") {
            Self::open_shards(path)
        } else {
            Self::open_one(path)
        };
        opened.with_context(|| format!("weights {} cannot be used", path.display()))
    }

    fn open_one(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let n_bytes = file.metadata()?.len();
        let mut head = Vec::new();
        (&mut file).take(512).read_to_end(&mut head)?;
        file.rewind()?;
        let mut metadata = BTreeMap::new();
        let (format, tensors) = if head.starts_with(b"PK\x03\x04") {
            ("PyTorch zip", torch::read_zip(&file, n_bytes)?)
        } else if head.starts_with(b"\x80") && head.get(2) == Some(&0x8a) {
            ("PyTorch before 1.6", torch::read_legacy(&file, n_bytes)?)
        } else if head.get(257..262) == Some(b"ustar") {
            bail!(
                "it is a tar archive, of PyTorch before 0.1.10: load and save it with a newer PyTorch"
            )
        } else {
            let damaged =
                "they are damaged or neither safetensors nor PyTorch's: copy or make them again";
            let tensors = read_safetensors(&mut file, n_bytes, &mut metadata).context(damaged)?;
            ("safetensors", tensors)
        };
        Ok(Self {
            format,
            metadata,
            tensors,
            files: vec![path.to_owned()],
        })
    }

    /// Reads `model.safetensors.index.json` or `pytorch_model.bin.index.json` and the files that it names.
    fn open_shards(path: &Path) -> Result<Self> {
        let index: ShardIndex = read_json(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut whole = Self {
            format: "index of several files",
            metadata: BTreeMap::new(),
            tensors: BTreeMap::new(),
            files: Vec::new(),
        };
        let mut names: Vec<_> = index.weight_map.values().collect();
        names.sort();
        names.dedup();
        for name in names {
            let is_plain = Path::new(name)
                .components()
                .eq([Component::Normal(name.as_ref())]);
            ensure!(is_plain, "it names {name:?}, which is not beside it");
            let shard = Self::open_one(&folder.join(name))
                .with_context(|| format!("the part {name:?} is missing or damaged"))?;
            for (tensor, mut entry) in shard.tensors {
                ensure!(
                    index.weight_map.get(&tensor) == Some(name),
                    "{tensor:?} is in the part {name:?}, but the index does not say so"
                );
                entry.file = whole.files.len();
                whole.tensors.insert(tensor, entry);
            }
            whole.files.extend(shard.files);
            whole.metadata.extend(shard.metadata);
        }
        for (tensor, name) in &index.weight_map {
            ensure!(
                whole.tensors.contains_key(tensor),
                "{tensor:?} is not in the part {name:?}"
            );
        }
        Ok(whole)
    }

    /// The numbers of the tensor `name`, converted to f32.
    ///
    /// # Errors
    /// If there is no such tensor, its numbers are integers, or the file cannot be read.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let entry = self.tensors.get(name).context("there is no such tensor")?;
        let read = || -> Result<Vec<f32>> {
            let n_bytes = entry.span()? * (entry.dtype.bitsize() / 8);
            let mut file = File::open(&self.files[entry.file])?;
            file.seek(SeekFrom::Start(entry.start))?;
            let mut bytes = vec![0; n_bytes];
            file.read_exact(&mut bytes)?;
            entry.gather(to_f32(entry.dtype, &bytes)?)
        };
        read().with_context(|| format!("tensor {name:?} cannot be read"))
    }
}

/// Several files' table of contents, as Hugging Face writes it.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

fn read_safetensors(
    file: &mut File,
    n_bytes: u64,
    text: &mut BTreeMap<String, String>,
) -> Result<BTreeMap<String, TensorEntry>> {
    let mut len = [0; 8];
    file.read_exact(&mut len)?;
    let data_start = u64::from_le_bytes(len).saturating_add(8);
    ensure!(
        data_start <= n_bytes.min(MAX_HEADER),
        "the header is cut off"
    );
    let mut header = vec![0; data_start as usize - 8];
    file.read_exact(&mut header)?;
    // which checks that the tensors follow each other without gaps
    let header: Metadata = serde_json::from_slice(&header)?;
    let data_bytes = header.data_len() as u64;
    ensure!(
        data_start.checked_add(data_bytes) == Some(n_bytes),
        "it has {n_bytes} bytes, but its header speaks of {}",
        data_start.saturating_add(data_bytes)
    );
    text.extend(header.metadata().clone().unwrap_or_default());
    let entries = header.tensors().into_iter().map(|(name, info)| {
        let entry = TensorEntry {
            dtype: info.dtype,
            strides: contiguous(&info.shape),
            shape: info.shape.clone(),
            file: 0,
            start: data_start + info.data_offsets.0 as u64,
        };
        Ok((name, entry))
    });
    entries.collect()
}

/// Little-endian numbers of a type with fractions.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    Ok(match dtype {
        Dtype::F32 => numbers(bytes, f32::from_le_bytes),
        Dtype::F16 => numbers(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => numbers(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => numbers(bytes, |b| f64::from_le_bytes(b) as f32),
        other => bail!("its numbers are {other}, not f16, bf16, f32 or f64"),
    })
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (items, _) = bytes.as_chunks::<N>();
    items.iter().map(|&item| number(item)).collect()
}
