//! `infer --onnx`. Builds without the feature `onnx` say so. With it (`cargo test --release -p seg-model --features onnx --test onnx`) ONNX
//! Runtime must be there, as the package onnxruntime of python3 or in `ORT_DYLIB_PATH`; tests that need it skip where it is not.
//!
//! The networks in `tests/onnx` are made by the script there, of weights that are computed here too.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use artifacts::index::Index;
use artifacts::logits::Logits;
use artifacts::score_map::ScoreMap;
use common::{SAMPLES, Toy, damage_content, picture, seg_model, top_files};
use image::RgbImage;
use safetensors::SafeTensors;
use seg_model::resize::resize_bilinear;
use stage_testing::command::{fail_quietly, succeed};

/// Normalization of the calls.
const MEAN: [f32; 3] = [0.5, 0.25, 0.0];
const STD: [f32; 3] = [1.0, 0.5, 0.25];
const NORMALIZATION: [&str; 4] = ["--mean", "0.5,0.25,0", "--std", "1,0.5,0.25"];

/// Three classes.
const FARM: &str = r##"
name = "farm"
classes = [
  { name = "field", color = "#00FF00" },
  { name = "cow", color = "#804000" },
  { name = "barn", color = "#800000" },
]
"##;

/// Images and networks in one folder.
struct Farm(Toy);

impl Farm {
    fn new() -> Result<Self> {
        let toy = Toy::new()?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
        for name in ["logits", "fixed", "score", "two"] {
            let name = format!("{name}.onnx");
            fs::copy(folder.join(&name), toy.path(&name))?;
        }
        fs::write(toy.path("farm.toml"), FARM)?;
        Ok(Self(toy))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// `infer` without a normalization and classes.
    fn bare(&self, network: &str, output: &str, more: &[&str]) -> Command {
        let mut command = seg_model();
        command.args(["infer", "--onnx"]).arg(self.path(network));
        command.arg("--labels").arg(self.path("labels"));
        command.arg("--output").arg(self.path(output)).args(more);
        command
    }

    /// `infer` of a network that takes normalized images.
    fn infer(&self, network: &str, output: &str, more: &[&str]) -> Command {
        let mut command = self.bare(network, output, &NORMALIZATION);
        command.arg("--classes").arg(self.path("farm.toml"));
        command.args(more);
        command
    }

    fn infer_with(&self, network: &str, output: &str, flags: &[&str], more: &[&str]) -> Command {
        self.infer(network, output, &[flags, more].concat())
    }

    fn fails(&self, command: &mut Command, words: &[&str]) -> Result<()> {
        fail_quietly(command.arg("-q"), words)?;
        ensure!(!self.path("none/manifest.json").exists(), "{words:?}");
        Ok(())
    }

    /// The tensor in a file, `[channels, h, w]` f32.
    fn stored(&self, output: &str, id: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let bytes = fs::read(self.0.logits(output, id))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let (_, tensor) = tensors.iter().next().context("no tensor")?;
        let (values, _) = tensor.data().as_chunks();
        let values = values.iter().map(|&bytes| f32::from_le_bytes(bytes));
        Ok((tensor.shape().to_vec(), values.collect()))
    }
}

/// Whether ONNX Runtime is there; says so if not.
fn is_there(farm: &Farm) -> Result<bool> {
    let output = seg_model()
        .arg("inspect")
        .arg(farm.path("logits.onnx"))
        .output()?;
    let text = String::from_utf8(output.stderr)?;
    if output.status.success() {
        return Ok(true);
    }
    if cfg!(feature = "onnx") {
        ensure!(text.contains("pip install onnxruntime"), "{text}");
        eprintln!("skipped: there is no ONNX Runtime (pip install onnxruntime, or ORT_DYLIB_PATH)");
    } else {
        ensure!(text.contains("--features onnx"), "{text}");
        eprintln!("skipped: built without the feature onnx");
    }
    Ok(false)
}

/// Output `c` of the networks for a picture: the mean of each 2x2 pixels, mixed by the formula of `tests/onnx/make.py`.
fn formula(picture: &RgbImage, c: usize, of: impl Fn(usize, u8) -> f32) -> Vec<f32> {
    let mut plane = Vec::new();
    for y in 0..picture.height() / 2 {
        for x in 0..picture.width() / 2 {
            let mut sum = c as f32 / 4.0 - 0.5;
            for color in 0..3 {
                let weight = (((3 * c + 5 * color) % 7) as f32 - 3.0) / 2.0;
                let pixels = [(0, 0), (1, 0), (0, 1), (1, 1)];
                let pixels = pixels.map(|(dx, dy)| picture.get_pixel(2 * x + dx, 2 * y + dy));
                let mean: f32 = pixels.iter().map(|pixel| of(color, pixel.0[color])).sum();
                sum += weight * mean / 4.0;
            }
            plane.push(sum);
        }
    }
    plane
}

fn normalized(color: usize, sample: u8) -> f32 {
    (f32::from(sample) / 255.0 - MEAN[color]) / STD[color]
}

/// Compares with a tolerance that is relative to the largest value.
fn ensure_near(found: &[f32], expected: &[f32], what: &str) -> Result<()> {
    let largest = expected.iter().fold(1.0_f32, |max, v| max.max(v.abs()));
    ensure!(
        found.len() == expected.len(),
        "{what}: {} values",
        found.len()
    );
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        ensure!(
            (f - e).abs() <= 1e-5 * largest,
            "{what}, {i}: {f} instead of {e}"
        );
    }
    Ok(())
}

#[test]
fn a_build_without_the_feature_says_how_to_build() -> Result<()> {
    let farm = Farm::new()?;
    if cfg!(feature = "onnx") {
        return Ok(());
    }
    let words = [
        "no ONNX Runtime",
        "logits.onnx",
        "cargo build --release -p seg-model --features onnx",
    ];
    farm.fails(&mut farm.infer("logits.onnx", "out", &[]), &words)
}

#[test]
fn logits_are_those_of_the_network() -> Result<()> {
    let farm = Farm::new()?;
    if !is_there(&farm)? {
        return Ok(());
    }
    let flags = ["--void", "first", "--precision", "f32"];
    succeed(&mut farm.infer("logits.onnx", "out", &flags))?;
    for (id, width, height) in SAMPLES {
        let logits = Logits::read(&farm.0.logits("out", id))?;
        let info = &logits.info;
        assert_eq!(
            (info.network.as_str(), info.align_corners),
            ("logits", false)
        );
        assert_eq!(
            (info.output_width, info.output_height),
            (width as usize, height as usize)
        );
        assert!(info.classes.names().eq(["field", "cow", "barn"]));
        let (shape, values) = farm.stored("out", id)?;
        assert_eq!(shape, [4, height as usize / 2, width as usize / 2]);
        // void is the first channel of the network, and the last one of the file
        let channels = [1, 2, 3, 0].map(|c| formula(&picture(width, height), c, normalized));
        ensure_near(&values, &channels.concat(), id)?;
    }
    Ok(())
}

#[test]
fn everything_else_of_infer_works_too() -> Result<()> {
    let farm = Farm::new()?;
    if !is_there(&farm)? {
        return Ok(());
    }
    let flags = ["--void", "first", "--save-overlay"];
    let infer = |output: &str, more: &[&str]| farm.infer_with("logits.onnx", output, &flags, more);
    succeed(&mut infer("out", &["--threads", "1"]))?;
    let whole = stage_testing::folder::files(&farm.path("out"))?;
    assert_eq!(
        whole
            .keys()
            .filter(|name| name.starts_with("overlays/"))
            .count(),
        8
    );
    let text = succeed(&mut infer("out", &[]))?.stderr;
    assert!(text.contains("up to date"), "{text}");
    for (output, more) in [("three", ["--threads", "3"]), ("batch", ["--batch", "2"])] {
        succeed(&mut infer(output, &more))?;
        assert!(
            stage_testing::folder::files(&farm.path(output))? == whole,
            "{output}"
        );
    }
    succeed(&mut infer("shard", &["--shard", "1/2"]))?;
    assert_eq!(top_files(&farm.path("shard"))?.len(), 2);
    for (output, more) in [
        ("views", &["--flip", "--scales", "1,2"][..]),
        ("windows", &["--window", "24x24"]),
        ("resized", &["--input-size", "64x64"]),
    ] {
        succeed(&mut infer(output, more))?;
    }
    assert_eq!(Logits::read(&farm.0.logits("resized", "a"))?.width, 32);
    // a broken image is left out
    damage_content(&farm.0.image("c"))?;
    let output = infer("out2", &["--keep-going"]).output()?;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(Index::read(&farm.path("out2"))?.samples.len(), 3);
    // a network with several outputs asks which
    fs::copy(farm.path("two.onnx"), farm.path("logits.onnx"))?;
    farm.fails(
        &mut infer("out3", &[]),
        &["several outputs", "--output-name"],
    )
}

#[test]
fn probabilities_of_one_size_become_logits() -> Result<()> {
    let farm = Farm::new()?;
    if !is_there(&farm)? {
        return Ok(());
    }
    let flags = ["--kind", "probabilities", "--precision", "f32"];
    let infer = |output: &str, more: &[&str]| farm.infer_with("fixed.onnx", output, &flags, more);
    succeed(&mut infer("out", &[]))?;
    for (id, width, height) in SAMPLES {
        Logits::read(&farm.0.logits("out", id))?;
        let (shape, values) = farm.stored("out", id)?;
        assert_eq!(shape, [3, 8, 12]);
        let picture = resize_bilinear(picture(width, height), 24, 16);
        let logits = [0, 1, 2].map(|c| formula(&picture, c, normalized));
        let found: Vec<f32> = values.iter().map(|v| v.exp()).collect();
        ensure_near(&found, &softmax(&logits), id)?;
    }
    succeed(&mut infer("flipped", &["--flip"]))?;
    succeed(&mut infer(
        "windows",
        &["--window", "24x16", "--input-size", "image"],
    ))?;
    assert_eq!(Logits::read(&farm.0.logits("windows", "d"))?.width, 48);
    for (flags, word) in [
        (["--input-size", "32x32"], "24x16 pixels only"),
        (["--input-size", "image"], "24x16 pixels only"),
        (["--scales", "2"], "leave out --scales"),
        (["--window", "16x16"], "--window 24x16"),
        (["--batch", "2"], "leave out --batch"),
        (["--layout", "nchw"], "has not 3 colors"),
    ] {
        farm.fails(&mut infer("none", &flags), &[word])?;
    }
    // what is said to be logits, but is not
    farm.fails(
        &mut farm.infer("fixed.onnx", "none", &[]),
        &["probabilities", "--kind", "not the logits"],
    )
}

/// The softmax of planes, one after the other.
fn softmax(logits: &[Vec<f32>; 3]) -> Vec<f32> {
    let exp = |c: usize| logits[c].iter().map(|v| v.exp());
    let sums: Vec<f32> = exp(0)
        .zip(exp(1))
        .zip(exp(2))
        .map(|((a, b), c)| a + b + c)
        .collect();
    let planes = (0..3).map(|c| exp(c).zip(&sums).map(|(v, sum)| v / sum));
    planes.flatten().collect()
}

#[test]
fn a_score_is_stored_as_a_score_map() -> Result<()> {
    let farm = Farm::new()?;
    if !is_there(&farm)? {
        return Ok(());
    }
    let score = ["--kind", "score"];
    let infer =
        |output: &str, more: &[&str]| farm.bare("score.onnx", output, &[&score, more].concat());
    succeed(&mut infer("out", &[]))?;
    let bytes = |_: usize, sample: u8| f32::from(sample);
    for (id, width, height) in SAMPLES {
        let map = ScoreMap::read(&farm.0.logits("out", id))?;
        assert_eq!(
            (map.method.as_str(), map.width),
            ("score", width as usize / 2)
        );
        assert_eq!(
            (map.output_width, map.output_height),
            (width as usize, height as usize)
        );
        ensure_near(&map.values, &formula(&picture(width, height), 0, bytes), id)?;
    }
    assert_eq!(Index::read(&farm.path("out"))?.samples.len(), 4);
    succeed(&mut infer("views", &["--flip", "--window", "24x24"]))?;
    fs::write(
        farm.path("score.onnx.toml"),
        "kind = \"score\"\nnegate = true\nname = \"mine\"",
    )?;
    succeed(&mut farm.bare("score.onnx", "negated", &[]))?;
    let (map, negated) = (
        ScoreMap::read(&farm.0.logits("out", "a"))?,
        ScoreMap::read(&farm.0.logits("negated", "a"))?,
    );
    assert!(
        map.values
            .iter()
            .map(|v| -v)
            .eq(negated.values.iter().copied())
    );
    assert_eq!(negated.method, "mine");
    for (more, word) in [
        (&["--save-overlay"][..], "needs logits"),
        (&["--precision", "none", "--save-overlay"], "needs logits"),
        (&NORMALIZATION, "leave out --mean"),
        (&["--kind", "logits"], "negate is for scores"),
    ] {
        farm.fails(&mut farm.bare("score.onnx", "none", more), &[word])?;
    }
    fs::remove_file(farm.path("score.onnx.toml"))?;
    // without a channel axis nothing but the classes would tell
    farm.fails(&mut farm.bare("score.onnx", "none", &[]), &["--classes"])
}

/// What flags say can be said by a file; `inspect` prints one that is nearly complete.
#[test]
fn a_description_takes_the_place_of_flags() -> Result<()> {
    let farm = Farm::new()?;
    if !is_there(&farm)? {
        return Ok(());
    }
    succeed(&mut farm.infer("logits.onnx", "flags", &["--void", "0"]))?;
    let template = succeed(seg_model().arg("inspect").arg(farm.path("logits.onnx")))?.stdout;
    for line in [
        "# input \"image\": f32 [?, 3, ?, ?]",
        "# output \"maps\": f32 [?, 4, ?, ?]",
        "layout = \"nchw\"",
    ] {
        assert!(template.contains(line), "{line} is not in {template}");
    }
    let description = farm.path("logits.onnx.toml");
    fs::write(&description, &template)?;
    // it leaves open what nobody knows
    farm.fails(
        &mut farm.bare("logits.onnx", "out", &[]),
        &["4 output channels", "--classes"],
    )?;
    let complete = template
        .replace("# mean = [0.485, 0.456, 0.406]", "mean = [0.5, 0.25, 0.0]")
        .replace("# std = [0.229, 0.224, 0.225]", "std = [1, 0.5, 0.25]")
        .replace("# classes = \"cityscapes\"", "classes = \"farm.toml\"")
        .replace("# void = \"last\"", "void = 0");
    fs::write(&description, &complete)?;
    succeed(&mut farm.bare("logits.onnx", "out", &[]))?;
    assert!(top_files(&farm.path("out"))? == top_files(&farm.path("flags"))?);
    // a changed description is other work, and flags win over it
    fs::write(
        &description,
        complete.replace("void = 0", "void = \"last\"\nsize_multiple = 8"),
    )?;
    let text = succeed(&mut farm.bare("logits.onnx", "out", &[]))?.stderr;
    assert!(text.contains("replacing the result"), "{text}");
    succeed(&mut farm.bare("logits.onnx", "won", &["--void", "first"]))?;
    assert!(
        top_files(&farm.path("won"))?["a.safetensors"]
            == top_files(&farm.path("flags"))?["a.safetensors"]
    );
    for (text, words) in [
        ("mean = [1]\nsdt = [1]", ["line 2", "sdt"]),
        ("layout = \"chw\"", ["line 1", "chw"]),
        ("classes = \"fram.toml\"", ["no class set", "fram.toml"]),
        (
            "classes = \"farm.toml\"\nvoid = \"second\"",
            ["void", "second"],
        ),
        (
            "classes = \"farm.toml\"\nvoid = 0\nmean = [0, 0, 0]",
            ["mean and std", "belong together"],
        ),
        (
            "classes = \"farm.toml\"\nvoid = 0\nmean = [0, 0, 0]\nstd = [1, 1, 1]\nsize = \"large\"",
            ["size", "large"],
        ),
    ] {
        fs::write(&description, text)?;
        let mut command = farm.bare("logits.onnx", "none", &[]);
        farm.fails(&mut command, &[&["logits.onnx"], &words[..]].concat())?;
    }
    Ok(())
}

#[test]
fn what_is_not_known_or_not_possible_is_said() -> Result<()> {
    let farm = Farm::new()?;
    if !is_there(&farm)? {
        return Ok(());
    }
    let classes = farm.path("farm.toml");
    let classes = classes.to_str().context("a path")?;
    let bare = |more: &[&str]| {
        farm.bare(
            "two.onnx",
            "none",
            &[&["--classes", classes], more].concat(),
        )
    };
    farm.fails(
        &mut bare(&["--output-name", "maps"]),
        &["how images are normalized", "--mean", "inspect"],
    )?;
    let infer = |more: &[&str]| farm.infer("two.onnx", "none", more);
    farm.fails(
        &mut infer(&[]),
        &["several outputs", "\"maps\": f32", "\"labels\": i64"],
    )?;
    farm.fails(
        &mut infer(&["--output-name", "labels"]),
        &["not of floats", "argmax"],
    )?;
    farm.fails(
        &mut infer(&["--output-name", "logit"]),
        &["no output \"logit\"", "\"maps\""],
    )?;
    farm.fails(
        &mut infer(&["--input-name", "images"]),
        &["no input \"images\"", "\"image\""],
    )?;
    let maps = ["--output-name", "maps"];
    for (more, word) in [
        (["--void", "last"], "none is void"),
        (["--device", "cuda"], "leave out --device"),
        (["--layout", "nhwc"], "has not 3 colors"),
        (["--kind", "probabilities"], "are logits"),
        (["--onnx-library", "none.so"], "is not a file"),
    ] {
        farm.fails(&mut infer(&[&maps, &more[..]].concat()), &[word])?;
    }
    fs::write(farm.path("fake.so"), "no library")?;
    let fake = farm.path("fake.so");
    let fake = ["--onnx-library", fake.to_str().context("a path")?];
    farm.fails(
        &mut infer(&fake),
        &["cannot be loaded as ONNX Runtime", "pip install"],
    )?;
    fs::write(farm.path("two.onnx"), "no network")?;
    farm.fails(&mut infer(&maps), &["two.onnx cannot be used"])?;
    farm.fails(
        &mut farm.infer("none.onnx", "none", &[]),
        &["none.onnx", "is not a file"],
    )?;
    succeed(&mut farm.infer("two.onnx", "none", &maps))
        .err()
        .context("damaged")?;
    Ok(())
}

#[test]
fn flags_of_weights_and_of_onnx_files_are_not_mixed() -> Result<()> {
    let farm = Farm::new()?;
    for [flag, value] in [["--network", "enet"], ["--weights", "a.pth"]] {
        let output = farm.infer("logits.onnx", "out", &[flag, value]).output()?;
        let text = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(2), "{text}");
        ensure!(text.contains("--onnx") && text.contains(flag), "{text}");
    }
    farm.0
        .check_fails(&NORMALIZATION, &["are for --onnx", "seg-model import"])
}
