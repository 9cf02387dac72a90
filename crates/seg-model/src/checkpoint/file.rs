//! Weights files of all formats as named tensors, whose values are read only when they are needed.

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

use super::entry::{TensorEntry, contiguous_strides};
use super::nests::{self, Choice, below, joined};
use super::{placeholder, torch};

/// Longest header of a safetensors file in bytes, the limit of the safetensors library.
const MAX_HEADER: u64 = 100_000_000;

/// The table of contents of a weights file: safetensors, `.pth` or `.bin` of `PyTorch` in its current or its old format, or the index
/// `*.index.json` of several such files.
#[derive(Debug)]
pub struct WeightsFile {
    /// Name of the format, for people.
    pub format: &'static str,
    /// Text metadata; only safetensors files have any.
    pub metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// The file itself, or the files that an index names.
    pub files: Vec<PathBuf>,
    /// Name of the weights that were taken, for example `model.state_dict`; empty if they are the whole file.
    pub key: String,
    /// Names of other weights in the file, which were not taken.
    pub other_keys: Vec<String>,
    /// Entries among the tensors that are something else, and what they are.
    pub(super) foreign: BTreeMap<String, String>,
}

/// The tensors of one file, and which of its weights they are.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) tensors: BTreeMap<String, TensorEntry>,
    /// Entries among the tensors that are something else, and what they are.
    pub(super) foreign: BTreeMap<String, String>,
    pub(super) choice: Choice,
}

impl Contents {
    /// Keeps only the tensors whose names begin with the components `prefix`, and takes these off.
    pub(super) fn narrow(&mut self, prefix: Option<&str>) {
        let Some(prefix) = prefix else {
            return;
        };
        let tensors = std::mem::take(&mut self.tensors).into_iter();
        let kept =
            tensors.filter_map(|(name, entry)| Some((below(&name, prefix)?.to_owned(), entry)));
        self.tensors = kept.collect();
        let foreign = std::mem::take(&mut self.foreign).into_iter();
        let kept =
            foreign.filter_map(|(name, kind)| Some((below(&name, prefix)?.to_owned(), kind)));
        self.foreign = kept.collect();
        self.choice.key = joined(&self.choice.key, prefix);
    }

    /// Takes the weights of the name `key` out of a file without dictionaries.
    fn take(&mut self, key: Option<&str>) -> Result<()> {
        let names: Vec<_> = self.tensors.keys().map(String::as_str).collect();
        let (_, prefix) = nests::choose(&[("", names)], key)?;
        self.narrow(prefix);
        Ok(())
    }
}

impl WeightsFile {
    /// Reads the table of contents of a file, without the values. The content decides on the format, not the file's name. `key` names
    /// the weights that are taken if the file holds several, with dots between the keys of nested dictionaries.
    ///
    /// # Errors
    /// Returns an error if the file is absent, damaged, of an unknown format, tries to run code, or has no weights under `key`.
    pub fn open(path: &Path, key: Option<&str>) -> Result<Self> {
        placeholder::check_path(path)?;
        let opened = if placeholder::is_index(path)? {
            Self::open_shards(path, key)
        } else {
            Self::open_one(path, key)
        };
        opened.with_context(|| format!("weights {} cannot be used", path.display()))
    }

    fn open_one(path: &Path, key: Option<&str>) -> Result<Self> {
        let mut file = File::open(path)?;
        let n_bytes = file.metadata()?.len();
        let mut head = Vec::new();
        (&mut file).take(512).read_to_end(&mut head)?;
        file.rewind()?;
        let mut metadata = BTreeMap::new();
        let (format, contents) = if head.starts_with(b"PK\x03\x04") {
            ("PyTorch zip", torch::read_zip(&file, n_bytes, key)?)
        } else if is_pickle(&head) {
            (
                "PyTorch before 1.6",
                torch::read_legacy(&file, n_bytes, key)?,
            )
        } else {
            placeholder::check_head(&head)?;
            let damaged =
                "the file is damaged, or neither safetensors nor PyTorch: copy or create it again";
            let tensors = read_safetensors(&mut file, n_bytes, &mut metadata).context(damaged)?;
            let mut contents = Contents {
                tensors,
                ..Contents::default()
            };
            contents.take(key)?;
            ("safetensors", contents)
        };
        Ok(Self {
            format,
            metadata,
            tensors: contents.tensors,
            files: vec![path.to_owned()],
            key: contents.choice.key,
            other_keys: contents.choice.others,
            foreign: contents.foreign,
        })
    }

    /// Reads `model.safetensors.index.json` or `pytorch_model.bin.index.json` and the files that it names.
    fn open_shards(path: &Path, key: Option<&str>) -> Result<Self> {
        let index: ShardIndex = read_json(path)?;
        let mut files = Vec::new();
        let mut metadata = BTreeMap::new();
        let mut contents = Contents::default();
        let mut names: Vec<_> = index.weight_map.values().collect();
        names.sort();
        names.dedup();
        for name in names {
            let shard = open_shard(path, name)?;
            for (tensor, mut entry) in shard.tensors {
                ensure!(
                    index.weight_map.get(&tensor) == Some(name),
                    "tensor {tensor:?} is in {name:?}, but the index does not say so"
                );
                entry.file = files.len();
                contents.tensors.insert(tensor, entry);
            }
            files.extend(shard.files);
            metadata.extend(shard.metadata);
        }
        for (tensor, name) in &index.weight_map {
            ensure!(
                contents.tensors.contains_key(tensor),
                "tensor {tensor:?} is not in {name:?}"
            );
        }
        contents.take(key)?;
        Ok(Self {
            format: "index of several files",
            metadata,
            tensors: contents.tensors,
            files,
            key: contents.choice.key,
            other_keys: contents.choice.others,
            foreign: contents.foreign,
        })
    }

    /// The values of the tensor `name` in row-major order, converted to f32.
    ///
    /// # Errors
    /// Returns an error if there is no such tensor, its values are integers, or the file cannot be read.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let entry = self.tensors.get(name).context("there is no such tensor")?;
        self.read_values(entry)
            .with_context(|| format!("tensor {name:?} cannot be read"))
    }

    fn read_values(&self, entry: &TensorEntry) -> Result<Vec<f32>> {
        let n_bytes = entry.span()? * (entry.dtype.bitsize() / 8);
        let mut file = File::open(&self.files[entry.file])?;
        file.seek(SeekFrom::Start(entry.start))?;
        let mut bytes = vec![0; n_bytes];
        file.read_exact(&mut bytes)?;
        entry.gather(to_f32(entry.dtype, &bytes)?)
    }
}

/// Opens the file `name` of the index `index`.
fn open_shard(index: &Path, name: &str) -> Result<WeightsFile> {
    let is_plain = Path::new(name)
        .components()
        .eq([Component::Normal(name.as_ref())]);
    ensure!(
        is_plain,
        "it names {name:?}, which is not in the same folder"
    );
    let folder = index.parent().unwrap_or(Path::new("."));
    WeightsFile::open_one(&folder.join(name), None).with_context(|| {
        format!("it is an index of several files, of which {name:?} is missing or damaged: put all of them into its folder")
    })
}

/// Whether a file begins with a pickle of protocol 2 or later. The length of a safetensors header may begin with the same bytes.
fn is_pickle(head: &[u8]) -> bool {
    let is_safetensors = head.get(8) == Some(&b'{') && head[4..8] == [0; 4];
    head.starts_with(b"\x80") && matches!(head.get(1), Some(2..=5)) && !is_safetensors
}

/// The index of several files, as Hugging Face writes it.
#[derive(Deserialize)]
struct ShardIndex {
    /// File of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// Reads the header of a safetensors file of `n_bytes` bytes; its text metadata go to `metadata`.
fn read_safetensors(
    file: &mut File,
    n_bytes: u64,
    metadata: &mut BTreeMap<String, String>,
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
    // the library checks that the tensors follow each other without gaps
    let header: Metadata = serde_json::from_slice(&header)?;
    let data_bytes = header.data_len() as u64;
    ensure!(
        data_start.checked_add(data_bytes) == Some(n_bytes),
        "it has {n_bytes} bytes, but its header describes {}",
        data_start.saturating_add(data_bytes)
    );
    metadata.extend(header.metadata().clone().unwrap_or_default());
    let mut tensors = BTreeMap::new();
    for (name, info) in header.tensors() {
        let entry = TensorEntry {
            dtype: info.dtype,
            strides: contiguous_strides(&info.shape),
            shape: info.shape.clone(),
            file: 0,
            start: data_start + info.data_offsets.0 as u64,
        };
        tensors.insert(name, entry);
    }
    Ok(tensors)
}

/// Converts little-endian floating-point values.
fn to_f32(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f32>> {
    Ok(match dtype {
        Dtype::F32 => convert(bytes, f32::from_le_bytes),
        Dtype::F16 => convert(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => convert(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => convert(bytes, |b| f64::from_le_bytes(b) as f32),
        other => bail!("its values are {other}, not f16, bf16, f32 or f64"),
    })
}

fn convert<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (items, _) = bytes.as_chunks::<N>();
    items.iter().map(|&item| value(item)).collect()
}
