//! Checkpoints in the formats of `PyTorch`, well-formed and hostile, built byte by byte.

use std::fs;
use std::io::{Cursor, Write};

use anyhow::{Context, Result};
use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::WeightsFile;

mod channels;
mod choice;
mod objects;
mod placeholders;
mod segformer;

/// Writes a pickle, opcode by opcode.
#[derive(Clone)]
struct Pickler(Vec<u8>);

impl Pickler {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn op(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    fn text(self, text: &str) -> Self {
        let len = (text.len() as u32).to_le_bytes();
        self.op(b"X").op(len).op(text)
    }

    fn int(self, value: i64) -> Self {
        self.op([0x8a, 8]).op(value.to_le_bytes())
    }

    fn ints(self, values: &[i64]) -> Self {
        let begun = self.op(b"(");
        values.iter().fold(begun, |p, &v| p.int(v)).op(b"t")
    }

    fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n"))
    }

    fn tensor(self, t: &View) -> Self {
        let storage = self
            .global("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .global("torch", t.kind)
            .text(t.key)
            .text("cuda:0")
            .int(t.numel);
        // a part of the storage, as in the old format
        let storage = match t.part {
            Some((first, len)) => storage.op(b"(").text("v").int(first).int(len).op(b"t"),
            None => storage,
        };
        storage
            .op(b"tQ")
            .int(t.offset)
            .ints(t.shape)
            .ints(t.strides)
            .op([0x89])
            .global("collections", "OrderedDict")
            .op(b")RtR")
    }

    fn dict(self, tensors: &[View]) -> Self {
        let begun = self.global("collections", "OrderedDict").op(b")R(");
        let add = |p: Self, t: &View| p.text(t.name).tensor(t);
        tensors.iter().fold(begun, add).op(b"u")
    }

    fn end(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// A tensor in a pickle.
#[derive(Clone, Copy)]
struct View<'a> {
    name: &'a str,
    kind: &'a str,
    key: &'a str,
    numel: i64,
    part: Option<(i64, i64)>,
    offset: i64,
    shape: &'a [i64],
    strides: &'a [i64],
}

/// `[2, 3]` over a storage of six f32.
const PLAIN: View = View {
    name: "a",
    kind: "FloatStorage",
    key: "0",
    numel: 6,
    part: None,
    offset: 0,
    shape: &[2, 3],
    strides: &[3, 1],
};

/// Storages: key, number of values, and their bytes.
type Storages<'a> = &'a [(&'a str, u64, Vec<u8>)];

fn six() -> Vec<(&'static str, u64, Vec<u8>)> {
    vec![("0", 6, bytes(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))]
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A file of the format before `PyTorch` 1.6.
fn legacy(object: &[u8], storages: Storages) -> Vec<u8> {
    let magic = 0x1950_a86a_20f9_469c_fc6c_u128.to_le_bytes();
    let mut file = Pickler::new().op([0x8a, 10]).op(&magic[..10]).end();
    file.extend(Pickler::new().op(b"M").op(1001_u16.to_le_bytes()).end());
    let system = Pickler::new().op(b"}").text("little_endian").op([0x88]);
    file.extend(system.op(b"s").end());
    file.extend(object);
    let keys = Pickler::new().op(b"](");
    let keys = storages.iter().fold(keys, |p, (key, ..)| p.text(key));
    file.extend(keys.op(b"e").end());
    for (_, numel, bytes) in storages {
        file.extend(numel.to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// A zip archive as `torch.save` writes it.
fn zip(object: &[u8], storages: Storages) -> Result<Vec<u8>> {
    let mut entries = vec![
        ("data.pkl".to_owned(), object.to_vec()),
        ("byteorder".to_owned(), b"little".to_vec()),
    ];
    let data = |(key, _, bytes): &(&str, u64, Vec<u8>)| (format!("data/{key}"), bytes.clone());
    entries.extend(storages.iter().map(data));
    archive(&entries)
}

fn archive(entries: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(format!("name/{name}"), stored)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// Name, shape and values of a tensor.
type Found = (String, Vec<usize>, Vec<f32>);

/// Opens a file of these bytes and reads all values of all tensors.
fn read(bytes: &[u8]) -> Result<Vec<Found>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("weights");
    fs::write(&path, bytes)?;
    let file = WeightsFile::open(&path, None)?;
    let values = |(name, entry): (&String, &super::TensorEntry)| {
        Ok((name.clone(), entry.shape.clone(), file.values(name)?))
    };
    file.tensors.iter().map(values).collect()
}

fn check_fails(bytes: &[u8], words: &str) {
    let text = match read(bytes) {
        Ok(read) => format!("no error, but {read:?}"),
        Err(error) => format!("{error:#}"),
    };
    assert!(text.contains(words), "{words:?} is not in: {text}");
}

/// Both formats with the same pickle.
fn both(object: &[u8], storages: Storages) -> Result<[Vec<u8>; 2]> {
    Ok([legacy(object, storages), zip(object, storages)?])
}

#[test]
fn views_of_one_storage() -> Result<()> {
    let transposed = View {
        name: "transposed",
        shape: &[3, 2],
        strides: &[1, 3],
        ..PLAIN
    };
    let column = View {
        name: "column",
        offset: 2,
        shape: &[2],
        strides: &[3],
        ..PLAIN
    };
    let scalar = View {
        name: "scalar",
        offset: 5,
        shape: &[],
        strides: &[],
        ..PLAIN
    };
    let part = View {
        name: "part",
        part: Some((3, 3)),
        offset: 1,
        shape: &[2],
        strides: &[1],
        ..PLAIN
    };
    let empty = View {
        name: "void",
        shape: &[0, 3],
        ..PLAIN
    };
    let object = Pickler::new().dict(&[PLAIN, transposed, column, scalar, part, empty]);
    for file in both(&object.end(), &six())? {
        let found = read(&file)?;
        let expected: [(&str, &[usize], &[f32]); 6] = [
            ("a", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            ("column", &[2], &[2.0, 5.0]),
            ("part", &[2], &[4.0, 5.0]),
            ("scalar", &[], &[5.0]),
            ("transposed", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
            ("void", &[0, 3], &[]),
        ];
        for (found, expected) in found.iter().zip(expected) {
            let found = (found.0.as_str(), found.1.as_slice(), found.2.as_slice());
            assert_eq!(found, expected);
        }
        assert_eq!(found.len(), expected.len());
    }
    Ok(())
}

#[test]
fn types_with_fractions_become_f32() -> Result<()> {
    let view = |name, kind, key| View {
        name,
        kind,
        key,
        numel: 2,
        shape: &[2],
        strides: &[1],
        ..PLAIN
    };
    let tensors = [
        view("double", "DoubleStorage", "d"),
        view("half", "HalfStorage", "h"),
        view("brain", "BFloat16Storage", "b"),
    ];
    let storages = [
        ("d", 2, [1.5_f64, -2.0].map(f64::to_le_bytes).concat()),
        ("h", 2, vec![0x00, 0x3e, 0x00, 0xc0]),
        ("b", 2, vec![0xc0, 0x3f, 0x00, 0xc0]),
    ];
    for file in both(&Pickler::new().dict(&tensors).end(), &storages)? {
        for (name, _, values) in read(&file)? {
            assert_eq!(values, [1.5, -2.0], "{name}");
        }
    }
    let long = View {
        kind: "LongStorage",
        numel: 1,
        shape: &[1],
        strides: &[1],
        ..PLAIN
    };
    let object = Pickler::new().dict(&[long]).end();
    check_fails(&zip(&object, &[("0", 1, vec![0; 8])])?, "I64");
    Ok(())
}

/// `{"epoch": 3, "mean_iu": numpy.float64(...), "model": {"state_dict": parameter}}`.
#[test]
fn weights_are_found_among_other_things() -> Result<()> {
    let object = Pickler::new()
        .op(b"}(")
        .text("epoch")
        .op([b'K', 3])
        .text("mean_iu")
        .global("numpy.core.multiarray", "scalar")
        .global("numpy", "dtype")
        .text("f8")
        .op([0x85, b'R'])
        .op(b"C\x08abcdefgh")
        .op([0x86, b'R'])
        .text("model")
        .op(b"}")
        .text("state_dict")
        .op(b"}")
        .text("a")
        .global("torch._utils", "_rebuild_parameter")
        .op(b"(")
        .tensor(&PLAIN)
        .op([0x89])
        .op(b"}tR")
        .op(b"ssu")
        .end();
    for file in both(&object, &six())? {
        assert_eq!(read(&file)?[0].2.len(), 6);
    }
    Ok(())
}

#[test]
fn pickles_that_call_functions_are_refused() -> Result<()> {
    let system = Pickler::new().global("os", "system").text("touch owned");
    let system = system.op([0x85, b'R']).end();
    let stack = Pickler::new().text("builtins").text("eval").op([0x93]);
    let cases = [
        (system, "\"os\" \"system\""),
        (stack.end(), "\"builtins\" \"eval\""),
        (
            Pickler::new().global("os.path", "join").end(),
            "\"os.path\" \"join\"",
        ),
        (Pickler::new().op(b"(ios\nsystem\n").end(), "opcode 0x69"),
        (
            Pickler::new().op(b"(").text("module").op(b"NNNNtQ").end(),
            "no dictionary of tensors, only a \"module\"",
        ),
    ];
    for (object, words) in cases {
        for file in both(&object, &[])? {
            check_fails(&file, words);
        }
    }
    Ok(())
}

#[test]
fn pickles_that_lead_astray_are_refused() -> Result<()> {
    let itself = Pickler::new().op(b"}q\0").text("state_dict").op(b"h\0s");
    // a list of pairs, made a dictionary over and over
    let list = Pickler::new()
        .op(b"](")
        .op(b"NN\x86".repeat(1000))
        .op(b"eq\0");
    let dictionary = b"ccollections\nOrderedDict\nh\0\x85R0";
    let copies = list.clone().op(dictionary.repeat(2500));
    let cases = [
        (itself.end(), "no dictionary of tensors"),
        (Pickler::new().op(b"]q\0h\0a").end(), "no dictionary"),
        (
            Pickler::new().op(b"N").op(b"\x85".repeat(1_000_000)).end(),
            "no dictionary",
        ),
        (
            Pickler::new().op(b"N".repeat(3_000_000)).end(),
            "too many steps",
        ),
        (copies.end(), "too many steps"),
        (list.op(b")R").end(), "not a function"),
        (
            Pickler::new().op(b"\x8d").op([0xff; 8]).end(),
            "too long for weights",
        ),
        (Pickler::new().op(b"X\0\0\0\x02ab").end(), "ends early"),
        (Pickler::new().op(b"h\x07").end(), "it does not have"),
        (Pickler::new().op(b"R").end(), "stack is empty"),
        (Pickler::new().op(b"(0").end(), "stack is empty"),
        (Pickler::new().op(b"t").end(), "no start"),
        (Pickler::new().op(b"}(Nu").end(), "no value"),
        (
            Pickler::new().op(b"}").text("epoch").op(b"Ns").end(),
            "only the keys \"epoch\"",
        ),
    ];
    for (object, words) in cases {
        for file in both(&object, &[])? {
            check_fails(&file, words);
        }
    }
    Ok(())
}

fn check_views(cases: &[(View, &str)]) -> Result<()> {
    for &(view, words) in cases {
        for file in both(&Pickler::new().dict(&[view]).end(), &six())? {
            check_fails(&file, words);
        }
    }
    Ok(())
}

#[test]
fn tensors_that_leave_their_storage_are_refused() -> Result<()> {
    let from = |offset| View { offset, ..PLAIN };
    let strided = |strides| View { strides, ..PLAIN };
    let part = |first, len| View {
        part: Some((first, len)),
        ..PLAIN
    };
    let long = |numel| View { numel, ..PLAIN };
    check_views(&[
        (from(1), "exceeds its storage"),
        (from(i64::MAX), "exceeds its storage"),
        (strided(&[4, 1]), "exceeds its storage"),
        (strided(&[i64::MAX, 1]), "too large"),
        (long(1 << 40), "has only 24 bytes"),
        (long(i64::MAX), "has only 24 bytes"),
        (part(4, 2), "exceeds its storage"),
        (part(4, 3), "has only 24 bytes"),
        (part(i64::MAX, i64::MAX), "has only 24 bytes"),
    ])?;
    let object = Pickler::new().dict(&[PLAIN]).end();
    check_fails(&legacy(&object, &[("0", u64::MAX, vec![])]), "cut off");
    check_fails(
        &legacy(&object, &[("other", 0, vec![])]),
        "belongs to no tensor",
    );
    check_fails(&zip(&object, &[])?, "is missing");
    Ok(())
}

#[test]
fn shapes_that_no_memory_holds_are_refused() -> Result<()> {
    let shaped = |shape, strides| View {
        shape,
        strides,
        ..PLAIN
    };
    check_views(&[
        (shaped(&[1 << 40, 1 << 40], &[3, 1]), "too large"),
        (shaped(&[1 << 40, 1 << 40], &[0, 0]), "too large"),
        (shaped(&[1 << 59], &[0]), "repeats values"),
        (shaped(&[9, 9], &[0, 0]), "repeats values"),
        (shaped(&[-1, 3], &[3, 1]), "is not a size"),
        (shaped(&[3], &[3, 1]), "and strides"),
        (shaped(&[1; 9], &[1; 9]), "9 dimensions"),
    ])
}

#[test]
fn archives_that_are_no_checkpoints_are_refused() -> Result<()> {
    let object = Pickler::new().dict(&[PLAIN]).end();
    let entry = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let script = [entry("data.pkl", &object), entry("constants.pkl", b"")];
    check_fails(&archive(&script)?, "TorchScript");
    let big = [entry("data.pkl", &object), entry("byteorder", b"big")];
    check_fails(&archive(&big)?, "byte order");
    check_fails(&archive(&[entry("a", b"")])?, "no data.pkl");
    let whole = zip(&object, &six())?;
    let find = |mark: &[u8]| whole.windows(mark.len()).position(|w| w == mark);
    // a zip bomb: entries that claim to be compressed are not unpacked
    let (local, central) = (find(b"PK\x03\x04"), find(b"PK\x01\x02"));
    let (local, central) = local.zip(central).context("both headers")?;
    let mut bomb = whole.clone();
    (bomb[local + 8], bomb[central + 10]) = (8, 8);
    check_fails(&bomb, "compressed");
    // one that only claims its size
    let mut bomb = whole.clone();
    bomb[central + 20..central + 28].fill(0xf0);
    check_fails(&bomb, "weights");
    let numbers = find(&bytes(&[1.0, 2.0])).context("the numbers")?;
    let mut damaged = whole.clone();
    damaged[numbers] ^= 1;
    check_fails(&damaged, "is damaged");
    Ok(())
}

#[test]
fn files_cut_off_anywhere_are_refused() -> Result<()> {
    for file in both(&Pickler::new().dict(&[PLAIN]).end(), &six())? {
        assert_eq!(read(&file)?.len(), 1);
        for n in 0..file.len() {
            assert!(read(&file[..n]).is_err(), "{n} of {} bytes", file.len());
        }
    }
    Ok(())
}

#[test]
fn damaged_safetensors_are_refused() {
    let file = |header: &str, data: &[u8]| {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend(data);
        file
    };
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let whole = file(header, &bytes(&[1.0, 2.0]));
    assert_eq!(
        read(&whole).map(|t| t[0].2.clone()).ok(),
        Some(vec![1.0, 2.0])
    );
    for n in 0..whole.len() {
        assert!(read(&whole[..n]).is_err(), "{n} bytes");
    }
    check_fails(&[0xff; 64], "cut off");
    let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#;
    check_fails(&file(huge, &[0; 8]), "damaged");
    let gap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    check_fails(&file(gap, &[0; 8]), "damaged");
    check_fails(&file(&"[".repeat(100_000), &[]), "damaged");
}

#[test]
fn several_files_are_one() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let object = Pickler::new().dict(&[PLAIN]).end();
    let other = Pickler::new().dict(&[View { name: "b", ..PLAIN }]).end();
    fs::write(dir.path().join("1.bin"), zip(&object, &six())?)?;
    fs::write(dir.path().join("2.bin"), zip(&other, &six())?)?;
    let open = |map: &str| {
        let path = dir.path().join("model.index.json");
        fs::write(&path, format!(r#"{{"metadata":{{}},"weight_map":{map}}}"#))?;
        WeightsFile::open(&path, None)
    };
    let file = open(r#"{"a":"1.bin","b":"2.bin"}"#)?;
    assert_eq!(file.values("b")?.len(), 6);
    assert_eq!(file.files.len(), 2);
    for (map, words) in [
        (r#"{"a":"../1.bin"}"#, "not in the same folder"),
        (r#"{"a":"/1.bin"}"#, "not in the same folder"),
        (r#"{"a":"1.bin","b":"3.bin"}"#, "missing or damaged"),
        (r#"{"a":"1.bin","c":"1.bin"}"#, "is not in \"1.bin\""),
        (r#"{"b":"1.bin"}"#, "does not say so"),
    ] {
        let text = open(map).map_or_else(|e| format!("{e:#}"), |_| "no error".into());
        assert!(text.contains(words), "{words:?} is not in: {text}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Whatever bytes are changed, reading returns tensors or an error.
    #[test]
    fn damage_never_panics(
        is_zip: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let part = View { name: "b", offset: 1, shape: &[2, 2], strides: &[1, 2], ..PLAIN };
        let object = Pickler::new().op(b"}").text("model").dict(&[PLAIN, part]).op(b"s").end();
        let files = both(&object, &six()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let mut file = files[usize::from(is_zip)].clone();
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        if is_cut {
            file.truncate(cut.index(file.len()));
        }
        // tensors that were read fit their shapes
        for (_, shape, values) in read(&file).unwrap_or_default() {
            prop_assert_eq!(shape.iter().product::<usize>(), values.len());
        }
    }
}

/// Real checkpoints in both formats, and their copies made by `PyTorch` as safetensors.
#[test]
fn real_checkpoints_are_their_copies() -> Result<()> {
    let Some(root) = stage_testing::data::real("weights") else {
        return Ok(());
    };
    for (torch, copy, n) in [
        (
            "espnet_p2_q8_legacy_pickle.pth",
            "espnet_p2_q8_city20.safetensors",
            189,
        ),
        (
            "enet_yurnero14_zip.pth",
            "enet_yurnero14_city20.safetensors",
            534,
        ),
    ] {
        let torch = WeightsFile::open(&root.join(torch), None)?;
        let copy = WeightsFile::open(&root.join(copy), None)?;
        let is_weight = |name: &&String| !name.ends_with("num_batches_tracked");
        let names: Vec<_> = torch.tensors.keys().filter(is_weight).collect();
        assert_eq!(names.len(), n);
        assert_eq!(copy.tensors.keys().filter(is_weight).count(), n);
        for name in names {
            let own = name.strip_prefix("module.").unwrap_or(name);
            let copied = copy.tensors.get(own).with_context(|| format!("no {own}"))?;
            assert_eq!(torch.tensors[name].shape, copied.shape, "{name}");
            assert!(torch.values(name)? == copy.values(own)?, "{name}");
        }
    }
    Ok(())
}
