//! Headers of safetensors files, with the same bytes for the same tensors and metadata.
//!
//! The writer of the safetensors library takes the metadata from a hash map, whose order changes from run to run.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use safetensors::tensor::Dtype;
use serde_json::{Map, Value, json};

/// One tensor of the file.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Name, unique in the file.
    pub name: &'a str,
    /// Type of the values.
    pub dtype: Dtype,
    /// Shape.
    pub shape: &'a [usize],
    /// Size of the values in bytes.
    pub n_bytes: usize,
}

/// Writes the length of the header and the header. The values must follow, little-endian, in the order of the entries.
pub fn write_header<'a>(
    w: &mut impl Write,
    metadata: &BTreeMap<&str, String>,
    entries: impl IntoIterator<Item = Entry<'a>>,
) -> Result<()> {
    // keys of a `Map` are sorted
    let mut header = Map::from_iter([("__metadata__".to_owned(), json!(metadata))]);
    let mut end = 0;
    for entry in entries {
        let start = end;
        end += entry.n_bytes;
        let value: Value = json!({
            "dtype": format!("{:?}", entry.dtype),
            "shape": entry.shape,
            "data_offsets": [start, end],
        });
        header.insert(entry.name.to_owned(), value);
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    w.write_all(&(header.len() as u64).to_le_bytes())?;
    Ok(w.write_all(&header)?)
}
