//! Containers of `PyTorch`'s checkpoints: where their pickle is, and where the values of their tensors are.
//!
//! Since version 1.6 `torch.save` writes a zip archive: the pickle `NAME/data.pkl`, and the values of each storage in `NAME/data/KEY`,
//! without compression. Earlier versions wrote four pickles one after the other (magic number, protocol version, system, object), a fifth
//! with the keys of the storages, and then each storage: the number of values, and the values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use zip::{CompressionMethod, ZipArchive};

use super::entry::TensorEntry;
use super::file::Contents;
use super::nests::{self, Choice};
use super::pickle::{Id, Pickle, Storage, StoredTensor, Value};
use super::placeholder;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// Place of each storage by its key or file name: offset in the file and length, in bytes.
type Places = HashMap<Rc<str>, (u64, u64)>;

/// Reads the tensors of a zip archive, and verifies all checksums. `key` names the weights that are taken.
pub(super) fn read_zip(file: &File, n_bytes: u64, key: Option<&str>) -> Result<Contents> {
    let mut archive = ZipArchive::new(BufReader::new(file)).context("the archive is damaged")?;
    ensure!(
        !archive
            .file_names_raw()
            .any(|n| n.ends_with(b"constants.pkl")),
        "it is a TorchScript program, not a checkpoint: save its state_dict()"
    );
    placeholder::check_archive(&archive)?;
    let mut places = Places::new();
    let mut pickle_name = None;
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).context("the archive is damaged")?;
        let name: Rc<str> = entry.name().context("the archive is damaged")?.into();
        ensure!(
            entry.compression() == CompressionMethod::Stored && !entry.encrypted(),
            "its file {name:?} is compressed or encrypted, which torch.save never does: load and save it with PyTorch"
        );
        let (start, len) = (entry.data_start(), entry.compressed_size());
        let start = start.context("the archive is damaged")?;
        ensure!(
            start.checked_add(len).is_some_and(|end| end <= n_bytes),
            "its file {name:?} is cut off"
        );
        if &*name == "data.pkl" || name.ends_with("/data.pkl") {
            pickle_name = Some((i, name.clone()));
        }
        places.insert(name, (start, len));
    }
    let (i, name) =
        pickle_name.context("the archive has no data.pkl, so it is not a checkpoint of PyTorch")?;
    let prefix = name.trim_end_matches("data.pkl");
    check_sums(&mut archive)?;
    if let Some(&(start, len)) = places.get(&*format!("{prefix}byteorder")) {
        let mut order = String::new();
        let mut file = file;
        file.seek(SeekFrom::Start(start))?;
        file.take(len.min(16)).read_to_string(&mut order)?;
        ensure!(order == "little", "its byte order is {order:?}, not little");
    }
    let pickle = {
        let entry = archive.by_index(i).context("the archive is damaged")?;
        Pickle::read(&mut BufReader::new(entry))?
    };
    tensors(&pickle, key, |storage| {
        let name = format!("{prefix}data/{}", storage.key);
        places.get(&*name).copied()
    })
}

/// Reads every entry once, which verifies its checksum.
fn check_sums(archive: &mut ZipArchive<BufReader<&File>>) -> Result<()> {
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).context("the archive is damaged")?;
        let name = entry.name().map(Cow::into_owned).unwrap_or_default();
        std::io::copy(&mut entry, &mut std::io::sink())
            .with_context(|| format!("its file {name:?} is damaged"))?;
    }
    Ok(())
}

/// Reads the tensors of a file from before `PyTorch` 1.6. `key` names the weights that are taken.
pub(super) fn read_legacy(file: &File, n_bytes: u64, key: Option<&str>) -> Result<Contents> {
    const NOT_TORCH: &str = "it is a pickle, but not one of torch.save: load it with Python and save the network's state_dict()";
    let mut input = BufReader::new(file);
    let magic = Pickle::read(&mut input).context(NOT_TORCH)?;
    ensure!(matches!(magic.root(), Value::Int(MAGIC)), NOT_TORCH);
    let protocol = Pickle::read(&mut input)?;
    ensure!(
        matches!(protocol.root(), Value::Int(PROTOCOL)),
        "it has an unknown version of PyTorch's format"
    );
    let system = Pickle::read(&mut input)?;
    let little = entry(&system, system.root(), "little_endian");
    ensure!(
        matches!(little, Some(Value::Bool(true))),
        "its byte order is not little"
    );
    let object = Pickle::read(&mut input)?;
    let places = storages(&object, &mut input, n_bytes)?;
    tensors(&object, key, |storage| places.get(&storage.key).copied())
}

/// Finds the storages behind the pickles.
fn storages(object: &Pickle, input: &mut BufReader<&File>, n_bytes: u64) -> Result<Places> {
    let keys = Pickle::read(input)?;
    let Value::List(keys_list) = keys.root() else {
        bail!("it has no list of its storages");
    };
    let types: HashMap<_, _> = object.storages().map(|s| (&s.key, s.dtype)).collect();
    let mut places = Places::new();
    let mut at = input.stream_position()?;
    for &key in keys_list {
        let Value::Text(key) = keys.get(key) else {
            bail!("the key of a storage is not a text");
        };
        let dtype = types
            .get(key)
            .with_context(|| format!("its storage {key:?} belongs to no tensor"))?;
        let mut numel = [0; 8];
        input.seek(SeekFrom::Start(at))?;
        input
            .read_exact(&mut numel)
            .context("it ends before its last storage")?;
        let numel = u64::from_le_bytes(numel);
        let start = at + 8;
        let len = numel.checked_mul(dtype.bitsize() as u64 / 8);
        at = len
            .and_then(|len| start.checked_add(len))
            .filter(|&end| end <= n_bytes)
            .with_context(|| format!("its storage {key:?} of {numel} values is cut off"))?;
        places.insert(key.clone(), (start, at - start));
    }
    Ok(places)
}

/// The tensors of the weights of the name `key`. `place` gives offset and length of a storage in bytes.
fn tensors(
    pickle: &Pickle,
    key: Option<&str>,
    place: impl Fn(&Storage) -> Option<(u64, u64)>,
) -> Result<Contents> {
    let nests = nests::candidates(pickle);
    if nests.is_empty() {
        return Err(nests::nothing_found(pickle));
    }
    let names: Vec<_> = nests
        .iter()
        .map(|nest| (nest.key.as_str(), names_of_tensors(pickle, nest.items)))
        .collect();
    let (chosen, rest) = nests::choose(&names, key)?;
    let mut contents = Contents::default();
    for &(name, value) in nests[chosen].items {
        let Value::Text(name) = pickle.get(name) else {
            continue;
        };
        let name = name.to_string();
        match pickle.get(value) {
            Value::Tensor(tensor) => {
                let located = locate(tensor, place(&tensor.storage))
                    .with_context(|| format!("its tensor {name:?} cannot be read"))?;
                contents.tensors.insert(name, located);
            }
            Value::Foreign(kind) => {
                contents.foreign.insert(name, kind.to_string());
            }
            _ => {} // counts and versions
        }
    }
    let others = nests.iter().enumerate().filter(|&(i, _)| i != chosen);
    contents.choice = Choice {
        key: nests[chosen].key.clone(),
        others: others.map(|(_, nest)| nest.key.clone()).collect(),
    };
    contents.narrow(rest);
    Ok(contents)
}

fn names_of_tensors<'a>(pickle: &'a Pickle, items: &[(Id, Id)]) -> Vec<&'a str> {
    let names =
        items.iter().filter_map(
            |&(name, value)| match (pickle.get(name), pickle.get(value)) {
                (Value::Text(name), Value::Tensor(_)) => Some(&**name),
                _ => None,
            },
        );
    names.collect()
}

/// The value of the key `name` in a dictionary.
fn entry<'a>(pickle: &'a Pickle, dict: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Dict(items) = dict else {
        return None;
    };
    let has_name =
        |&&(key, _): &&(Id, Id)| matches!(pickle.get(key), Value::Text(t) if &**t == name);
    // of equal keys the last one counts, as in Python
    let found = items.iter().rev().find(has_name);
    found.map(|&(_, value)| pickle.get(value))
}

/// Checks that a view lies inside its storage, and its storage inside the file.
fn locate(tensor: &StoredTensor, place: Option<(u64, u64)>) -> Result<TensorEntry> {
    let storage = &tensor.storage;
    let (start, len) = place.with_context(|| format!("storage {:?} is missing", storage.key))?;
    let item = storage.dtype.bitsize() as u64 / 8;
    let (first, numel) = storage.part;
    let inside = |end: Option<u64>, limit: u64| end.is_some_and(|end| end <= limit);
    ensure!(
        inside(storage.numel.checked_mul(item), len)
            && inside(first.checked_add(numel), storage.numel),
        "storage {:?} of {} values has only {len} bytes",
        storage.key,
        storage.numel
    );
    let entry = TensorEntry {
        dtype: storage.dtype,
        shape: tensor.shape.clone(),
        strides: tensor.strides.clone(),
        file: 0,
        // no overflow: the storage lies inside the file
        start: start + item * first.saturating_add(tensor.offset).min(storage.numel),
    };
    let span = entry.span()? as u64;
    ensure!(
        inside(tensor.offset.checked_add(span), numel),
        "shape {:?} with strides {:?} from value {} on exceeds its storage of {numel} values",
        tensor.shape,
        tensor.strides,
        tensor.offset
    );
    Ok(entry)
}
