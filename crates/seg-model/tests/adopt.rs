//! `adopt`: files of other programs in every format become logits and score maps.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::Index;
use artifacts::labels::MaskKind;
use artifacts::logits::{Logits, LogitsInfo, Precision, logits_path};
use artifacts::manifest::Manifest;
use artifacts::score_map::ScoreMap;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use stage_testing::command::{fail, fail_quietly, one_error_line, succeed};
use stage_testing::folder::files;
use stage_testing::toy::sample;
use tempfile::TempDir;

/// Classes of `idd-lite`.
const CLASSES: usize = 7;
/// Rows and columns of the arrays.
const SIZE: (usize, usize) = (4, 6);
/// Samples, with twice as many rows and columns.
const SAMPLES: [&str; 3] = ["a", "b", "c"];

struct Toy(TempDir);

impl Toy {
    fn new() -> Result<Self> {
        let toy = Self(tempfile::tempdir()?);
        fs::create_dir_all(toy.path("labels"))?;
        fs::create_dir_all(toy.path("from"))?;
        let (width, height) = (2 * SIZE.1 as u32, 2 * SIZE.0 as u32);
        let samples = SAMPLES.map(|id| sample(id, width, height, None));
        let root = toy.path("images");
        Index::new("toy", "val", MaskKind::Eval, &root, samples.to_vec())?
            .write(&toy.path("labels"))?;
        Ok(toy)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn adopt(&self, output: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-model"));
        command
            .env_remove("OODSEG_THREADS")
            .arg("adopt")
            .arg("--from")
            .arg(self.path("from"))
            .arg("--output")
            .arg(self.path(output))
            .args(more);
        if !more.contains(&"--images") {
            command.arg("--labels").arg(self.path("labels"));
        }
        command
    }

    /// Writes a file for each sample, named by its id and `ending`, by the number of the sample.
    fn write(&self, ending: &str, content: impl Fn(usize) -> Vec<u8>) -> Result<()> {
        for (number, id) in SAMPLES.iter().enumerate() {
            fs::write(self.path(&format!("from/{id}{ending}")), content(number))?;
        }
        Ok(())
    }

    /// Removes all files.
    fn clear(&self) -> Result<()> {
        fs::remove_dir_all(self.path("from"))?;
        Ok(fs::create_dir(self.path("from"))?)
    }

    /// Expects failure with one line on stderr that contains all `words`, and no complete output.
    fn check_fails(&self, more: &[&str], words: &[&str]) -> Result<()> {
        fail_quietly(self.adopt("bad", more).arg("-q"), words)?;
        ensure!(!self.path("bad/manifest.json").exists());
        Ok(())
    }

    /// The logits files of an output by the names of their samples.
    fn logits(&self, output: &str) -> Result<Vec<Vec<u8>>> {
        let read = |id| Ok(fs::read(logits_path(&self.path(output), id))?);
        SAMPLES.into_iter().map(read).collect()
    }

    /// The logits files as `infer` would write them.
    fn expected(&self, precision: Precision) -> Result<Vec<Vec<u8>>> {
        let path = self.path("expected.safetensors");
        let bytes = |number: usize| {
            logits(number)?.write(&path, precision)?;
            Ok(fs::read(&path)?)
        };
        (0..SAMPLES.len()).map(bytes).collect()
    }
}

/// Values `[C, h, w]` of a sample, in f16.
fn values(number: usize) -> Vec<f32> {
    let n = CLASSES * SIZE.0 * SIZE.1;
    let values = (0..n).map(|i| (((i * 37 + number * 11) % 101) as f32 - 50.0) / 8.0);
    values.collect()
}

fn logits(number: usize) -> Result<Logits> {
    let info = LogitsInfo {
        sample_id: SAMPLES[number].into(),
        network: "adopted".into(),
        output_height: 2 * SIZE.0,
        output_width: 2 * SIZE.1,
        align_corners: false,
        classes: ClassSet::open("idd-lite")?,
    };
    Logits::new(info, [CLASSES, SIZE.0, SIZE.1], values(number))
}

/// Values in the order of other axes: the `to` of each axis of the result is an axis of `[C, h, w]`.
fn permuted(values: &[f32], channels: usize, axes: [usize; 3]) -> Vec<f32> {
    let shape = [channels, SIZE.0, SIZE.1];
    let strides = [SIZE.0 * SIZE.1, SIZE.1, 1];
    let [a, b, c] = axes;
    let mut result = Vec::new();
    for i in 0..shape[a] {
        for j in 0..shape[b] {
            for k in 0..shape[c] {
                result.push(values[i * strides[a] + j * strides[b] + k * strides[c]]);
            }
        }
    }
    result
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn npy(descr: &str, is_fortran: bool, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let shape: Vec<String> = shape.iter().map(|side| format!("{side},")).collect();
    let shape = shape.join(" ");
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn f32_npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    npy("<f4", false, shape, &f32_bytes(values))
}

/// The array `[C, h, w]` of a sample as `numpy.save` writes it.
fn plain_npy(number: usize) -> Vec<u8> {
    f32_npy(&[CLASSES, SIZE.0, SIZE.1], &values(number))
}

/// An archive of arrays by their names, compressed or not, as `numpy.savez_compressed` and `savez` write it.
fn npz(arrays: &[(&str, Vec<u8>)], is_compressed: bool) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, array) in arrays {
        let mut crc = flate2::Crc::new();
        crc.update(array);
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
        deflated.write_all(array).expect("memory");
        let deflated = deflated.finish().expect("memory");
        let content = if is_compressed { &deflated } else { array };
        let name = format!("{name}.npy");
        let mut fields = vec![
            20,
            0,
            0,
            0,
            if is_compressed { 8 } else { 0 },
            0,
            0,
            0,
            0,
            0,
        ];
        fields.extend(crc.sum().to_le_bytes());
        fields.extend((content.len() as u32).to_le_bytes());
        fields.extend((array.len() as u32).to_le_bytes());
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend((bytes.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&fields);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend([arrays.len() as u8, 0, arrays.len() as u8, 0]);
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

fn tensors(tensors: &[(&str, &[f32])], shape: &[usize]) -> Vec<u8> {
    let bytes: Vec<_> = tensors
        .iter()
        .map(|(_, values)| f32_bytes(values))
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, _), bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        (*name, view.expect("the length fits"))
    });
    safetensors::serialize(views, None).expect("tensors")
}

fn hdf5(name: &str, values: &[f32], shape: &[u64]) -> Vec<u8> {
    let mut file = hdf5_pure::FileBuilder::new();
    let dataset = file.create_dataset(name);
    dataset.with_f32_data(values).with_shape(shape);
    dataset.with_chunks(shape).with_deflate(4);
    file.finish().expect("a file")
}

#[test]
fn every_format_gives_the_same_logits() -> Result<()> {
    let toy = Toy::new()?;
    let expected = toy.expected(Precision::F32)?;
    let shape = [CLASSES, SIZE.0, SIZE.1];
    let check = |ending: &str, more: &[&str], content: &dyn Fn(usize) -> Vec<u8>| {
        toy.clear()?;
        toy.write(ending, content)?;
        succeed(toy.adopt("out", more).arg("--force"))?;
        assert!(toy.logits("out")? == expected, "{ending} {more:?}");
        anyhow::Ok(())
    };
    check(".npy", &[], &plain_npy)?;
    let other = || ("other", b"no array".to_vec());
    for is_compressed in [false, true] {
        check(".npz", &[], &|n| {
            npz(&[("x", plain_npy(n)), other()], is_compressed)
        })?;
        check(".npz", &["--array", "x"], &|n| {
            npz(&[other(), ("x", plain_npy(n))], is_compressed)
        })?;
    }
    let one = |n: usize| tensors(&[("x", &values(n))], &shape);
    check(".safetensors", &[], &one)?;
    check(".safetensors", &["--array", "y"], &|n| {
        tensors(&[("x", &values(n + 1)), ("y", &values(n))], &shape)
    })?;
    let wide = shape.map(|side| side as u64);
    check(".hdf5", &[], &|n| hdf5("value", &values(n), &wide))?;
    check(".h5", &["--array", "y"], &|n| hdf5("y", &values(n), &wide))?;
    assert_eq!(Manifest::read(&toy.path("out"))?.counts["samples"], 3);
    let index = Index::read_alone(&toy.path("out"))?;
    assert_eq!(index.samples.len(), 3);
    Ok(())
}

#[test]
fn numbers_and_orders_of_axes_are_told_apart() -> Result<()> {
    let toy = Toy::new()?;
    let expected = toy.expected(Precision::F32)?;
    let (h, w) = SIZE;
    let check = |expected: &[Vec<u8>], more: &[&str], content: &dyn Fn(usize) -> Vec<u8>| {
        toy.write(".npy", content)?;
        succeed(toy.adopt("out", more).arg("--force"))?;
        assert!(toy.logits("out")? == expected, "{more:?}");
        anyhow::Ok(())
    };
    let hwc = |n| permuted(&values(n), CLASSES, [1, 2, 0]);
    check(&expected, &[], &|n| f32_npy(&[h, w, CLASSES], &hwc(n)))?;
    check(&expected, &[], &|n| f32_npy(&[1, h, w, CLASSES], &hwc(n)))?;
    check(&expected, &[], &|n| {
        f32_npy(&[1, CLASSES, h, w], &values(n))
    })?;
    // the first axis is the fastest
    let fortran = |n| f32_bytes(&permuted(&values(n), CLASSES, [2, 1, 0]));
    check(&expected, &[], &|n| {
        npy("<f4", true, &[CLASSES, h, w], &fortran(n))
    })?;
    let doubles = |n| {
        values(n)
            .into_iter()
            .flat_map(|v| f64::from(v).to_le_bytes())
    };
    check(&expected, &[], &|n| {
        npy(
            "<f8",
            false,
            &[CLASSES, h, w],
            &doubles(n).collect::<Vec<_>>(),
        )
    })?;
    let halves = |n| {
        values(n)
            .into_iter()
            .flat_map(|v| f16::from_f32(v).to_le_bytes())
    };
    let half_npy = |n| {
        npy(
            "<f2",
            false,
            &[CLASSES, h, w],
            &halves(n).collect::<Vec<_>>(),
        )
    };
    check(&expected, &["--precision", "f32"], &half_npy)?;
    // what is f16 in the file stays so, if nothing else is asked for
    check(&toy.expected(Precision::F16)?, &[], &half_npy)
}

#[test]
fn probabilities_have_the_softmax_that_they_are() -> Result<()> {
    let toy = Toy::new()?;
    let n_pixels = SIZE.0 * SIZE.1;
    let mut probabilities = softmax(&values(0), n_pixels);
    // a pixel that is certainly of the first class
    for class in 0..CLASSES {
        probabilities[class * n_pixels] = if class == 0 { 1.0 } else { 0.0 };
    }
    let shape = [CLASSES, SIZE.0, SIZE.1];
    let check = |kind: &str, values: &[f32]| {
        toy.write(".npy", |_| f32_npy(&shape, values))?;
        let text = succeed(toy.adopt("out", &["--force"]).arg("--name").arg("theirs"))?.stderr;
        assert!(text.contains(&format!("the files hold {kind}")), "{text}");
        let logits = Logits::read(&logits_path(&toy.path("out"), "b"))?;
        assert_eq!(logits.info.network, "theirs");
        assert!(logits.of_probabilities, "the file says so");
        let mut found = vec![0.0; CLASSES * 2 * SIZE.1];
        // the corner pixel is that of the array
        logits.row_reader().read(0, &mut found);
        let corner: Vec<f32> = found.iter().step_by(2 * SIZE.1).copied().collect();
        assert_eq!(softmax(&corner, 1)[1..], [0.0; CLASSES - 1]);
        let path = toy.path("full.safetensors");
        let bytes = fs::read(logits_path(&toy.path("out"), "b"))?;
        fs::write(&path, &bytes)?;
        let stored = safetensors::SafeTensors::deserialize(&bytes)?;
        let (stored, _) = stored.tensor("logits")?.data().as_chunks::<4>();
        let stored: Vec<f32> = stored.iter().map(|&b| f32::from_le_bytes(b)).collect();
        for (found, expected) in softmax(&stored, n_pixels).iter().zip(&probabilities) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        anyhow::Ok(())
    };
    check("probabilities", &probabilities)?;
    let logarithms: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
    assert!(logarithms.contains(&f32::NEG_INFINITY));
    check("log-probabilities", &logarithms)?;
    toy.check_fails(
        &["--kind", "probabilities"],
        &["a.npy", "logarithms of probabilities"],
    )?;
    toy.write(".npy", |_| f32_npy(&shape, &probabilities))?;
    toy.check_fails(&["--kind", "logits"], &["a.npy", "probabilities"])?;
    Ok(())
}

fn softmax(logits: &[f32], n_pixels: usize) -> Vec<f32> {
    let mut result = vec![0.0; logits.len()];
    let n_classes = logits.len() / n_pixels;
    for pixel in 0..n_pixels {
        let of_class = |class: usize| logits[class * n_pixels + pixel];
        let largest = (0..n_classes)
            .map(of_class)
            .fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = (0..n_classes).map(|c| (of_class(c) - largest).exp()).sum();
        for class in 0..n_classes {
            result[class * n_pixels + pixel] = (of_class(class) - largest).exp() / sum;
        }
    }
    result
}

#[test]
fn void_goes_behind_the_classes() -> Result<()> {
    let toy = Toy::new()?;
    let n_pixels = SIZE.0 * SIZE.1;
    let with_void = |number: usize| [vec![9.0; n_pixels], values(number)].concat();
    toy.write(".npy", |n| {
        f32_npy(&[CLASSES + 1, SIZE.0, SIZE.1], &with_void(n))
    })?;
    toy.check_fails(&[], &["a.npy", "pass --classes"])?;
    toy.check_fails(&["--classes", "idd-lite"], &["--void first"])?;
    let flags = ["--classes", "idd-lite", "--void", "first"];
    succeed(&mut toy.adopt("first", &flags))?;
    for (number, id) in SAMPLES.iter().enumerate() {
        let found = Logits::read(&logits_path(&toy.path("first"), id))?;
        assert_eq!(
            (found.channels, found.info.num_classes()),
            (CLASSES + 1, CLASSES)
        );
        let (mut row, mut expected) = (vec![0.0; CLASSES * 2 * SIZE.1], Vec::new());
        expected.resize(row.len(), 0.0);
        found.row_reader().read(3, &mut row);
        logits(number)?.row_reader().read(3, &mut expected);
        assert_eq!(row, expected);
    }
    let manifest = Manifest::read(&toy.path("first"))?;
    assert_eq!(manifest.arguments["void"], "first");
    Ok(())
}

#[test]
fn what_the_numbers_do_not_tell_is_asked_for() -> Result<()> {
    let toy = Toy::new()?;
    let shape = [CLASSES, SIZE.0, SIZE.1];
    let n = CLASSES * SIZE.0 * SIZE.1;
    toy.write(".npy", |_| f32_npy(&shape, &vec![0.5; n]))?;
    toy.check_fails(&[], &["a.npy", "sum to 3.5", "--kind logits"])?;
    succeed(&mut toy.adopt("said", &["--kind", "logits"]))?;
    toy.write(".npy", |_| npy("|u1", false, &shape, &vec![200; n]))?;
    toy.check_fails(&[], &["whole numbers (u8)", "--kind logits"])?;
    toy.write(".npy", |_| {
        npy("<i8", false, &[SIZE.0, SIZE.1], &[0; 8 * 24])
    })?;
    toy.check_fails(&[], &["whole number (i64)", "--kind score"])?;
    toy.write(".npy", |_| f32_npy(&[7, 5, 7], &[-1.5; 7 * 5 * 7]))?;
    toy.check_fails(&[], &["--layout chw"])?;
    // one file that is of another kind than the first
    toy.write(".npy", plain_npy)?;
    let probabilities = softmax(&values(2), SIZE.0 * SIZE.1);
    fs::write(toy.path("from/c.npy"), f32_npy(&shape, &probabilities))?;
    toy.check_fails(&[], &["c.npy", "probabilities", "first file"])?;
    toy.check_fails(&["--negate"], &["--negate is for scores"])?;
    Ok(())
}

#[test]
fn what_does_not_match_is_reported() -> Result<()> {
    let toy = Toy::new()?;
    toy.check_fails(&[], &["from", "no files that could be adopted"])?;
    toy.write("_logits.npy", plain_npy)?;
    toy.check_fails(
        &[],
        &["none of the 3 files", "--pattern \"{id}_logits.npy\""],
    )?;
    let pattern = ["--pattern", "{id}_logits.npy"];
    fs::write(toy.path("from/z_logits.npy"), plain_npy(0))?;
    fs::write(toy.path("from/a_logits.npz"), "not meant")?;
    let text = succeed(&mut toy.adopt("out", &pattern))?.stderr;
    assert!(text.contains("3 of 3 samples have a file"), "{text}");
    assert!(text.contains("2 of 5 files"), "{text}");
    assert!(text.contains("the first: a_logits.npz"), "{text}");
    let text = succeed(&mut toy.adopt("out", &pattern))?.stderr;
    assert!(text.contains("is up to date"), "{text}");

    fs::remove_file(toy.path("from/b_logits.npy"))?;
    fs::write(toy.path("from/c_logits.npy"), "broken")?;
    toy.check_fails(&pattern, &["sample b has no file in", "--keep-going"])?;
    let going = [&pattern[..], &["--keep-going"]].concat();
    let output = toy.adopt("some", &going).output()?;
    let text = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(3), "{text}");
    one_error_line(&text)?;
    let failed = fs::read_to_string(toy.path("some/failed.csv"))?;
    assert!(failed.contains("b,sample b has no file in"), "{failed}");
    assert!(
        failed.contains("c_logits.npy cannot be adopted: it is no npy file"),
        "{failed}"
    );
    let index = Index::read_alone(&toy.path("some"))?;
    assert_eq!(index.samples.len(), 1);
    assert!(!logits_path(&toy.path("some"), "c").exists());
    fs::remove_file(toy.path("from/c_logits.npy"))?;
    toy.check_fails(&pattern, &["2 of 3", "the first: sample b has no file"])?;
    // a part of the samples needs their files alone
    succeed(&mut toy.adopt("part", &[&pattern[..], &["--shard", "0/3"]].concat()))?;
    succeed(&mut toy.adopt("few", &[&pattern[..], &["--limit", "1"]].concat()))?;
    Ok(())
}

#[test]
fn files_that_cannot_be_used_are_named() -> Result<()> {
    let toy = Toy::new()?;
    let shape = [CLASSES, SIZE.0, SIZE.1];
    let whole = [
        ("npy", plain_npy(1)),
        ("npz", npz(&[("x", plain_npy(1))], false)),
        ("npz", npz(&[("x", plain_npy(1))], true)),
        ("safetensors", tensors(&[("x", &values(1))], &shape)),
        (
            "hdf5",
            hdf5("value", &values(1), &shape.map(|side| side as u64)),
        ),
    ];
    for (ending, bytes) in whole {
        for cut in [0, 7, bytes.len() / 2, bytes.len() - 1] {
            toy.clear()?;
            toy.write(".npy", plain_npy)?;
            fs::remove_file(toy.path("from/b.npy"))?;
            let name = format!("b.{ending}");
            fs::write(toy.path("from").join(&name), &bytes[..cut])?;
            toy.check_fails(&[], &[&name, "cannot be adopted"])?;
        }
    }
    toy.clear()?;
    let check = |bytes: Vec<u8>, words: &[&str]| {
        toy.write(".npy", |_| bytes.clone())?;
        toy.check_fails(&["--classes", "idd-lite"], words)
    };
    check(
        npy(">f4", false, &shape, &[0; 4 * 168]),
        &["a.npy", "big-endian", "astype"],
    )?;
    let (h, w) = (SIZE.0 * 1000, SIZE.1 * 1000);
    check(npy("<f4", false, &[CLASSES, h, w], &[]), &["cut off"])?;
    check(
        f32_npy(&[5, SIZE.0, SIZE.1], &[0.0; 120]),
        &["7 classes of \"idd-lite\""],
    )?;
    check(f32_npy(&[2, CLASSES, 4, 6], &[0.0; 336]), &["a batch of 2"])?;
    let mut bad = values(0);
    bad[30] = f32::NAN;
    check(
        f32_npy(&shape, &bad),
        &["channel 1, row 1, column 0 is NaN"],
    )?;
    Ok(())
}

/// Little files whose headers promise more than the memory holds.
#[test]
fn promises_of_headers_are_not_believed() -> Result<()> {
    let toy = Toy::new()?;
    let large = [CLASSES, 1 << 20, 1 << 20];
    let expect = |ending: &str, content: Vec<u8>, words: &[&str]| {
        toy.clear()?;
        toy.write(ending, |_| content.clone())?;
        toy.check_fails(&["--classes", "idd-lite"], words)
    };
    expect(".npy", npy("<f4", false, &large, &[]), &["cut off"])?;
    expect(
        ".npy",
        npy("<f4", false, &[CLASSES, usize::MAX, 2], &[]),
        &["too many"],
    )?;
    let mut archive = npz(&[("x", plain_npy(0))], true);
    // the size of the only entry, in the directory
    let entry = archive
        .windows(4)
        .position(|b| b == b"PK\x01\x02")
        .unwrap_or_default();
    archive[entry + 24..][..4].copy_from_slice(&0xFFFF_FFF0u32.to_le_bytes());
    expect(".npz", archive, &["cannot hold 4294967280"])?;
    let mut file = hdf5_pure::FileBuilder::new();
    let dataset = file.create_dataset("value");
    dataset.with_f32_data(&[0.0; 24]).with_shape(&[4, 6]);
    let bytes = file.finish()?;
    let shape = [4u64.to_le_bytes(), 6u64.to_le_bytes()].concat();
    let place = bytes.windows(16).position(|b| b == shape);
    let place = place.context("the shape is in the file")?;
    let mut bytes = bytes;
    bytes[place..][..8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    expect(".hdf5", bytes, &["a.hdf5"])?;
    Ok(())
}

#[test]
fn the_number_of_threads_changes_nothing() -> Result<()> {
    let toy = Toy::new()?;
    toy.write(".npy", |n| {
        f32_npy(&[CLASSES, SIZE.0, SIZE.1], &softmax(&values(n), 24))
    })?;
    for threads in ["1", "2", "7"] {
        succeed(&mut toy.adopt(threads, &["--threads", threads]))?;
        assert!(files(&toy.path("1"))? == files(&toy.path(threads))?);
    }
    // other arguments do not replace the result by accident
    fail(&mut toy.adopt("1", &["--align-corners"]), &["--force"])?;
    toy.write(".npy", plain_npy)?;
    let text = succeed(&mut toy.adopt("1", &[]))?.stderr;
    assert!(text.contains("replacing the result"), "{text}");
    assert!(toy.logits("1")? == toy.expected(Precision::F32)?);
    Ok(())
}

#[test]
fn a_folder_of_images_is_enough() -> Result<()> {
    let toy = Toy::new()?;
    fs::create_dir(toy.path("images"))?;
    for id in SAMPLES {
        let image = image::RgbImage::new(2 * SIZE.1 as u32, 2 * SIZE.0 as u32);
        image.save(toy.path("images").join(format!("{id}.png")))?;
    }
    toy.write(".npy", plain_npy)?;
    let images = toy.path("images");
    let flags = ["--images", &*images.to_string_lossy()];
    succeed(&mut toy.adopt("out", &flags))?;
    assert!(toy.logits("out")? == toy.expected(Precision::F32)?);
    let index = Index::read(&toy.path("out"))?;
    assert!(index.image_path(&index.samples[0])?.is_file());
    Ok(())
}

/// Logits files that another program wrote as `docs/ARTIFACTS.md` describes them say their classes and more.
#[test]
fn what_files_say_of_themselves_is_kept() -> Result<()> {
    let toy = Toy::new()?;
    let of = |classes: ClassSet, align_corners| {
        let info = |sample_id: &str| LogitsInfo {
            sample_id: sample_id.into(),
            network: "theirs".into(),
            output_height: 2 * SIZE.0,
            output_width: 2 * SIZE.1,
            align_corners,
            classes: classes.clone(),
        };
        for (number, id) in SAMPLES.iter().enumerate() {
            // void and an unused channel follow
            let more = vec![0.5; 2 * SIZE.0 * SIZE.1];
            let shape = [CLASSES + 2, SIZE.0, SIZE.1];
            let logits = Logits::new(info(id), shape, [values(number), more].concat())?;
            logits.write(&logits_path(&toy.path("from"), id), Precision::F16)?;
        }
        anyhow::Ok(())
    };
    let mut own = ClassSet::open("idd-lite")?;
    own.name = "own".into();
    own.classes[0].name = "mine".into();
    of(own, true)?;
    succeed(&mut toy.adopt("out", &[]))?;
    let read = |id| fs::read(logits_path(&toy.path("from"), id));
    for (id, found) in SAMPLES.into_iter().zip(toy.logits("out")?) {
        assert!(found == read(id)?);
    }
    toy.check_fails(
        &["--classes", "idd-lite"],
        &["a.safetensors", "\"mine\" in \"own\""],
    )?;
    toy.check_fails(&["--void", "first"], &["void is the last channel"])?;
    toy.check_fails(&["--layout", "hwc"], &["leave --layout out"])?;
    of(ClassSet::open("idd-lite")?, false)?;
    toy.check_fails(&["--align-corners"], &["leave --align-corners out"])?;
    let named = ["--classes", "idd-lite", "--name", "ours"];
    succeed(&mut toy.adopt("named", &named))?;
    let found = Logits::read(&logits_path(&toy.path("named"), "a"))?;
    assert_eq!(found.info.network, "ours");
    let from = |id| logits_path(&toy.path("from"), id);
    fs::rename(from("a"), from("c"))?;
    fs::copy(from("c"), from("a"))?;
    toy.check_fails(&[], &["c.safetensors", "of a, but its name is that of c"])?;
    Ok(())
}

/// Scores of a sample, `[h, w]`, which f16 and 16-bit gray levels hold exactly.
fn scores(number: usize) -> Vec<f32> {
    let n = SIZE.0 * SIZE.1;
    (0..n)
        .map(|i| ((i * 7 + number) % 32) as f32 / 32.0)
        .collect()
}

fn score_map(dir: &Path, id: &str) -> Result<ScoreMap> {
    ScoreMap::read(&logits_path(dir, id))
}

#[test]
fn scores_are_adopted_from_every_format() -> Result<()> {
    let toy = Toy::new()?;
    let (h, w) = SIZE;
    let (height, width) = (h as u32, w as u32);
    let tiff = |n| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut tiff = tiff::encoder::TiffEncoder::new(&mut bytes).expect("memory");
        let gray =
            tiff.write_image::<tiff::encoder::colortype::Gray32Float>(width, height, &scores(n));
        gray.expect("memory");
        bytes.into_inner()
    };
    let png = |n| {
        let levels = scores(n).into_iter().map(|s| (s * 65535.0).round() as u16);
        let image = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(
            width,
            height,
            levels.collect::<Vec<_>>(),
        );
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = image.expect("the length fits");
        image
            .write_to(&mut bytes, image::ImageFormat::Png)
            .expect("memory");
        bytes.into_inner()
    };
    let check = |ending: &str, tolerance: f32, content: &dyn Fn(usize) -> Vec<u8>| {
        toy.clear()?;
        toy.write(ending, content)?;
        let text = succeed(toy.adopt("out", &["--force"]).arg("--name").arg("rba"))?.stderr;
        assert!(text.contains("one score for each pixel"), "{text}");
        for (number, id) in SAMPLES.iter().enumerate() {
            let map = score_map(&toy.path("out"), id)?;
            assert_eq!((map.height, map.width), SIZE);
            assert_eq!((map.output_height, map.output_width), (2 * h, 2 * w));
            assert_eq!((map.sample_id.as_str(), map.method.as_str()), (*id, "rba"));
            for (found, expected) in map.values.iter().zip(scores(number)) {
                assert!((found - expected).abs() <= tolerance, "{ending}");
            }
        }
        anyhow::Ok(())
    };
    check(".npy", 0.0, &|n| f32_npy(&[h, w], &scores(n)))?;
    check(".npy", 0.0, &|n| f32_npy(&[1, h, w, 1], &scores(n)))?;
    check(".npz", 0.0, &|n| {
        npz(&[("x", f32_npy(&[h, w], &scores(n)))], true)
    })?;
    check(".safetensors", 0.0, &|n| {
        tensors(&[("x", &scores(n))], &[h, w])
    })?;
    check(".hdf5", 0.0, &|n| {
        hdf5("value", &scores(n), &[h as u64, w as u64])
    })?;
    check(".tiff", 0.0, &tiff)?;
    check(".png", 0.5 / 65535.0, &png)?;

    toy.clear()?;
    toy.write(".npy", |n| f32_npy(&[h, w], &scores(n)))?;
    let flags = ["--kind", "score", "--negate", "--align-corners"];
    succeed(&mut toy.adopt("negated", &flags))?;
    let map = score_map(&toy.path("negated"), "b")?;
    assert!(map.align_corners && map.values[1] == -scores(1)[1]);
    toy.check_fails(&["--kind", "logits"], &["a.npy", "--kind score"])?;
    Ok(())
}

#[test]
fn pictures_that_are_no_scores_are_refused() -> Result<()> {
    let toy = Toy::new()?;
    for id in SAMPLES {
        let image = image::RgbImage::new(6, 4);
        image.save(toy.path("from").join(format!("{id}.png")))?;
    }
    toy.check_fails(&[], &["a.png", "16-bit gray"])?;
    toy.clear()?;
    toy.write(".tif", |_| b"II*\0 and no more".to_vec())?;
    toy.check_fails(&[], &["a.tif"])?;
    Ok(())
}

#[test]
fn scores_that_single_precision_cannot_hold_are_refused() -> Result<()> {
    let toy = Toy::new()?;
    let shape = [SIZE.0, SIZE.1];
    let f64s = |bad: f64| {
        let mut values: Vec<f64> = scores(1).into_iter().map(f64::from).collect();
        values[7] = bad;
        let bytes = values.iter().flat_map(|v| v.to_le_bytes());
        npy("<f8", false, &shape, &bytes.collect::<Vec<u8>>())
    };
    let f16s = |bad: f32| {
        let mut values = scores(1);
        values[7] = bad;
        let bytes = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes());
        npy("<f2", false, &shape, &bytes.collect::<Vec<u8>>())
    };
    let mut nan = scores(1);
    nan[7] = f32::NAN;
    for (file, words) in [
        (
            f64s(1e39),
            "is inf (f64 in the file): scores are stored as f32, which ends at 3.4e38",
        ),
        (f64s(-1e39), "is -inf (f64 in the file)"),
        (f16s(7e4), "is inf (f16 in the file): f16 ends at 65504"),
        (f32_npy(&shape, &nan), "is NaN (f32 in the file)"),
    ] {
        toy.write(".npy", |n| f32_npy(&shape, &scores(n)))?;
        fs::write(toy.path("from/b.npy"), file)?;
        let words = ["b.npy cannot be adopted", "row 1, column 1", words];
        toy.check_fails(&["--kind", "score"], &words)?;
    }
    Ok(())
}

#[test]
fn score_maps_without_any_difference_are_refused_or_counted() -> Result<()> {
    let toy = Toy::new()?;
    let shape = [SIZE.0, SIZE.1];
    let flat = |value: f32| f32_npy(&shape, &[value; SIZE.0 * SIZE.1]);
    toy.write(".npy", |_| flat(0.5))?;
    let words = "all pixels of all 3 score maps have the score 0.5";
    toy.check_fails(&["--kind", "score"], &[words, "--array"])?;
    // the files of the first call are still there
    toy.check_fails(&["--kind", "score"], &[words, "--array"])?;
    let warns = |output: &str, words: Option<&str>| -> Result<()> {
        let log = succeed(&mut toy.adopt(output, &["--kind", "score"]))?.stderr;
        let warning = "score maps with the same score in all pixels: ";
        assert_eq!(log.matches(warning).count(), words.iter().len(), "{log}");
        let words = words.map(|words| format!("{warning}{words}"));
        assert!(log.contains(&words.unwrap_or_default()), "{log}");
        Ok(())
    };
    toy.write(".npy", |n| flat(n as f32))?;
    warns("of-images", Some("3, the first is that of a (0)"))?;
    toy.write(".npy", |n| f32_npy(&shape, &scores(n)))?;
    warns("various", None)?;
    fs::write(toy.path("from/b.npy"), flat(2.0))?;
    warns("one", Some("1, the first is that of b (2)"))
}

#[test]
fn probabilities_of_other_sums_are_refused_and_logits_never() -> Result<()> {
    let toy = Toy::new()?;
    let shape = [CLASSES, SIZE.0, SIZE.1];
    let n = SIZE.0 * SIZE.1;
    let softmax = |number: usize| -> Vec<f32> {
        let exponentials: Vec<f32> = values(number).iter().map(|v| v.exp()).collect();
        let sum = |i: usize| exponentials.iter().skip(i).step_by(n).sum::<f32>();
        let shares = exponentials.iter().enumerate();
        shares.map(|(i, v)| v / sum(i % n)).collect()
    };
    let times = |number: usize, factor: f32| -> Vec<f32> {
        softmax(number).iter().map(|p| p * factor).collect()
    };
    let logits = ["--kind", "logits"];
    toy.write(".npy", |number| f32_npy(&shape, &times(number, 100.0)))?;
    let percent = [
        "a.npy",
        "the sums over the classes are 100.0",
        "divide by 100",
    ];
    toy.check_fails(&[], &percent)?;
    toy.check_fails(&["--kind", "probabilities"], &percent)?;
    toy.check_fails(&logits, &[&percent[..], &["--kind probabilities"]].concat())?;

    let bytes = |number: usize| -> Vec<u8> {
        times(number, 255.0)
            .iter()
            .map(|p| p.round() as u8)
            .collect()
    };
    toy.write(".npy", |number| npy("|u1", false, &shape, &bytes(number)))?;
    toy.check_fails(&[], &["a.npy", "are 25", "divide by 255"])?;
    toy.check_fails(&logits, &["divide by 255", "--kind probabilities"])?;

    toy.write(".npy", |number| f32_npy(&shape, &softmax(number)))?;
    toy.check_fails(
        &logits,
        &["a.npy", "probabilities", "pass --kind probabilities"],
    )?;

    // logits without a negative one, and the percentages of a network with one more class
    let raised = |number: usize| values(number).iter().map(|v| v + 7.0).collect::<Vec<f32>>();
    toy.write(".npy", |number| f32_npy(&shape, &raised(number)))?;
    succeed(&mut toy.adopt("raised", &[]))?;
    let mut holes = times(0, 100.0);
    holes.iter_mut().step_by(n).for_each(|p| *p = 0.0);
    toy.write(".npy", |_| f32_npy(&shape, &holes))?;
    succeed(&mut toy.adopt("holes", &logits))?;
    Ok(())
}
