//! Tiny images, weights and calls of the executable.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use artifacts::classes::{ChannelTable, ClassSet, VoidChannel};
use artifacts::index::{FILE_NAME as INDEX, Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::logits::Logits;
use artifacts::manifest::FILE_NAME as MANIFEST;
use candle_core::Device;
use image::RgbImage;
use seg_model::checkpoint::Checkpoint;
use seg_model::nets::Network;
use seg_model::params::Params;
use stage_testing::command::fail_quietly;
use stage_testing::folder::files;
use stage_testing::toy::sample;
use tempfile::TempDir;

/// Samples with width and height; those of `b` and `c` are not multiples of 8.
pub(crate) const SAMPLES: [(&str, u32, u32); 4] =
    [("a", 32, 32), ("b", 37, 35), ("c", 33, 40), ("d", 48, 40)];

/// Images, their index and weights of a network.
pub(crate) struct Toy(TempDir);

impl Toy {
    pub(crate) fn new() -> Result<Self> {
        let toy = Self(tempfile::tempdir()?);
        fs::create_dir_all(toy.path("images"))?;
        fs::create_dir_all(toy.path("labels"))?;
        for (id, width, height) in SAMPLES {
            picture(width, height).save(toy.image(id))?;
        }
        toy.write_index()?;
        enet(19)?.write(&toy.path("enet.safetensors"))?;
        Ok(toy)
    }

    /// Writes the index of the images as they are now.
    pub(crate) fn write_index(&self) -> Result<()> {
        let mut samples = Vec::new();
        for (id, width, height) in SAMPLES {
            samples.push(Sample {
                image_bytes: fs::metadata(self.image(id))?.len(),
                ..sample(id, width, height, None)
            });
        }
        Index::new("toy", "val", MaskKind::Eval, &self.path("images"), samples)?
            .write(&self.path("labels"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn image(&self, id: &str) -> PathBuf {
        self.path(&format!("images/{id}.png"))
    }

    pub(crate) fn logits(&self, output: &str, id: &str) -> PathBuf {
        self.path(output).join(format!("{id}.safetensors"))
    }

    pub(crate) fn infer_with(&self, weights: &str, output: &str, more: &[&str]) -> Command {
        let mut command = seg_model();
        command
            .arg("infer")
            .arg("--weights")
            .arg(self.path(weights))
            .arg("--labels")
            .arg(self.path("labels"))
            .arg("--output")
            .arg(self.path(output))
            .args(more);
        command
    }

    pub(crate) fn infer(&self, output: &str, more: &[&str]) -> Command {
        self.infer_with("enet.safetensors", output, more)
    }

    /// Expects failure with one line on stderr that contains all `words`, no complete output and no partially written file.
    pub(crate) fn check_fails_with(
        &self,
        weights: &str,
        more: &[&str],
        words: &[&str],
    ) -> Result<()> {
        fail_quietly(self.infer_with(weights, "out", more).arg("-q"), words)?;
        assert!(!self.path("out/manifest.json").exists());
        assert!(top_files(&self.path("out"))?.is_empty());
        for (name, bytes) in top_files(&self.path("out/in-progress"))? {
            assert!(!name.starts_with('.'), "{name}");
            if name.ends_with(".safetensors") {
                assert!(!bytes.is_empty());
                Logits::read(&self.path("out/in-progress").join(name))?;
            }
        }
        Ok(())
    }

    pub(crate) fn check_fails(&self, more: &[&str], words: &[&str]) -> Result<()> {
        self.check_fails_with("enet.safetensors", more, words)
    }
}

pub(crate) fn seg_model() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seg-model"));
    command
        .env_remove("OODSEG_THREADS")
        .env_remove("RUST_BACKTRACE") // would add lines to candle's errors
        .env("CANDLE_NUM_THREADS", "1");
    command
}

/// A picture without symmetries.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(7 * x) as u8, (5 * y) as u8, (x * y) as u8])
    })
}

/// The classes of Cityscapes, with void last if there are 20 channels; another number has classes without names.
pub(crate) fn table(channels: usize) -> Result<ChannelTable> {
    match channels {
        19 => ChannelTable::new(ClassSet::cityscapes()?, 19, None),
        20 => ChannelTable::new(ClassSet::cityscapes()?, 20, Some(VoidChannel::Last)),
        n => ChannelTable::new(ClassSet::unnamed(n)?, n, None),
    }
}

/// Random weights.
pub(crate) fn enet(channels: usize) -> Result<Checkpoint> {
    let params = Params::random(1, &Device::Cpu);
    Network::Enet.build_trainable(channels, &params)?;
    let detached = |(name, var): (String, candle_core::Var)| (name, var.as_detached_tensor());
    Ok(Checkpoint {
        network: Network::Enet,
        table: table(channels)?,
        normalization: Network::Enet.default_normalization(),
        input_size: None,
        source: "a test".into(),
        tensors: params.variables().into_iter().map(detached).collect(),
    })
}

/// The files directly in an output by name, except the manifest and the index. There are none if the output does not exist.
pub(crate) fn top_files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    if !dir.exists() {
        return Ok(BTreeMap::new());
    }
    let mut files = files(dir)?;
    files.retain(|name, _| !name.contains('/') && name != INDEX);
    Ok(files)
}

/// Turns a finished output into one whose call was killed just before it was finished.
pub(crate) fn interrupt(output: &Path) -> Result<()> {
    let work = output.join("in-progress");
    fs::create_dir(&work)?;
    for entry in fs::read_dir(output)? {
        let name = entry?.file_name();
        match name.to_str() {
            Some("in-progress") => {}
            Some(MANIFEST) => fs::rename(output.join(&name), work.join("work.json"))?,
            _ => fs::rename(output.join(&name), work.join(&name))?,
        }
    }
    Ok(())
}

/// Damages the compressed content of a PNG, which its header, its end and its length do not tell.
pub(crate) fn damage_content(image: &Path) -> Result<()> {
    let mut bytes = fs::read(image)?;
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(0xA5);
    Ok(fs::write(image, bytes)?)
}

/// Without `--labels`, on a folder of images.
pub(crate) fn infer_folder(toy: &Toy, folder: &str, output: &str, more: &[&str]) -> Command {
    let mut command = seg_model();
    command
        .arg("infer")
        .arg("--weights")
        .arg(toy.path("enet.safetensors"))
        .arg("--folder")
        .arg(toy.path(folder))
        .arg("--output")
        .arg(toy.path(output))
        .args(more);
    command
}
