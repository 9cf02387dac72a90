//! Tiny data sets, and trainings on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::{Index, Sample};
use artifacts::labels::{IGNORE, MaskKind, OOD_PROXY};
use artifacts::manifest::{Input, Manifest};
use artifacts::mask::Mask;
use image::RgbImage;
use stage_testing::command::{self, one_error_line};
use stage_testing::toy::sample;
use tempfile::TempDir;

use crate::output::{IN_PROGRESS, names};

/// Ids, widths and heights of the in-distribution images.
pub(crate) const KNOWN: [(&str, u32, u32); 4] =
    [("a", 32, 32), ("b", 48, 40), ("c", 40, 36), ("d", 36, 30)];
/// Ids, widths and heights of the proxy images.
pub(crate) const PROXIES: [(&str, u32, u32); 3] = [("p", 40, 40), ("q", 30, 50), ("r", 33, 32)];

/// Arguments of a training that fits the toy.
const SMALL: [&str; 6] = ["--crop", "32", "--batch-size", "2", "--ood-fraction", "0.5"];

/// A folder with in-distribution images and masks in `labels`, and proxies in `proxy`.
pub(crate) struct Toy(TempDir);

impl Toy {
    pub(crate) fn new() -> Result<Self> {
        let toy = Self(tempfile::tempdir()?);
        toy.write_data("labels", &KNOWN, MaskKind::TrainId)?;
        toy.write_data("proxy", &PROXIES, MaskKind::Proxy)?;
        Ok(toy)
    }

    pub(crate) fn write_data(
        &self,
        name: &str,
        samples: &[(&str, u32, u32)],
        kind: MaskKind,
    ) -> Result<()> {
        let dir = self.path(name);
        fs::create_dir_all(&dir)?;
        for &(id, width, height) in samples {
            picture(width, height).save(dir.join(format!("{id}.png")))?;
            mask(width, height, kind).write(&dir.join(format!("{id}_mask.png")))?;
        }
        self.write_index(name, samples, kind)
    }

    /// Writes the index of the images as they are now, and the manifest of a stage that is complete.
    pub(crate) fn write_index(
        &self,
        name: &str,
        samples: &[(&str, u32, u32)],
        kind: MaskKind,
    ) -> Result<()> {
        let dir = self.path(name);
        let samples = samples
            .iter()
            .map(|&(id, width, height)| {
                Ok(Sample {
                    image_bytes: fs::metadata(dir.join(format!("{id}.png")))?.len(),
                    ..sample(id, width, height, Some(format!("{id}_mask.png").into()))
                })
            })
            .collect::<Result<_>>()?;
        let mut index = Index::new("toy", "train", kind, &dir, samples)?;
        if kind == MaskKind::TrainId {
            index = index.with_classes(ClassSet::cityscapes()?);
        }
        index.write(&dir)?;
        write_manifest(&dir)
    }

    /// Writes `name` with the in-distribution images, labeled with the classes of `set`.
    pub(crate) fn write_classes(&self, name: &str, set: &ClassSet) -> Result<()> {
        self.write_data(name, &KNOWN, MaskKind::TrainId)?;
        let dir = self.path(name);
        for (id, width, height) in KNOWN {
            let mut mask = mask(width, height, MaskKind::TrainId);
            for label in mask.labels.iter_mut().filter(|label| **label != IGNORE) {
                *label %= set.len() as u8;
            }
            mask.write(&dir.join(format!("{id}_mask.png")))?;
        }
        let index = Index::read(&dir)?.with_classes(set.clone());
        index.write(&dir)?;
        write_manifest(&dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The executable on the toy, quiet, without network, initial weights and learning rate.
    pub(crate) fn bare(&self, output: &str, more: &[&str]) -> Command {
        let mut command = self.known(output, more);
        command.arg("--proxy").arg(self.path("proxy"));
        command
    }

    /// A training of `ENet` without proxies.
    pub(crate) fn without_proxy(&self, output: &str, more: &[&str]) -> Command {
        let enet = ["--network", "enet", "--learning-rate", "1e-3"];
        self.known(output, &[&enet, more].concat())
    }

    /// The executable on the in-distribution images of the toy.
    fn known(&self, output: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ood-train"));
        command
            .arg("--labels")
            .arg(self.path("labels"))
            .arg("--output")
            .arg(self.path(output))
            .args(SMALL)
            .args(more)
            .args((!more.contains(&"--log-every")).then_some("--log-every=1"))
            .arg("-q")
            .env_remove("OODSEG_THREADS")
            .env_remove("RUST_BACKTRACE") // would add lines to candle's errors
            .env("CANDLE_NUM_THREADS", "1");
        command
    }

    /// A training of `ENet`.
    pub(crate) fn train(&self, output: &str, more: &[&str]) -> Command {
        let enet = ["--network", "enet", "--learning-rate", "1e-3"];
        self.bare(output, &[&enet, more].concat())
    }

    /// A training into `out`, whatever was interrupted there, fails as [`Toy::check_command_fails`] expects.
    pub(crate) fn check_fails(&self, more: &[&str], words: &[&str]) -> Result<()> {
        self.check_command_fails(
            self.train("out", &[&["--steps", "3", "--force"], more].concat()),
            words,
        )
    }

    /// The command fails with one line on stderr that has all `words`, and leaves nothing in `out` but work in progress, without
    /// weights and half files.
    pub(crate) fn check_command_fails(&self, mut command: Command, words: &[&str]) -> Result<()> {
        assert_one_line(&command.output()?, words)?;
        assert_eq!(names(&self.path("out"))?, [""; 0]);
        let work = self.path("out").join(IN_PROGRESS);
        for dir in [work.join("partial"), work] {
            for name in names(&dir)? {
                let is_whole = !name.starts_with('.');
                let is_partial = name != "manifest.json" && name != "weights.safetensors";
                assert!(is_whole && is_partial, "{name}");
            }
        }
        Ok(())
    }
}

/// Writes the manifest of a stage that is complete.
fn write_manifest(dir: &Path) -> Result<()> {
    let inputs = [("index".to_owned(), Input::of(&dir.join("index.json"))?)];
    Manifest::new("toy", serde_json::Value::Null, inputs.into())
        .write_file(&dir.join("manifest.json"))
}

/// The command failed with one line on stderr, an error with all `words`.
pub(crate) fn assert_one_line(output: &Output, words: &[&str]) -> Result<()> {
    let stderr = std::str::from_utf8(&output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let line = one_error_line(stderr)?;
    assert_eq!(stderr.trim_end(), line);
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
    Ok(())
}

/// The command succeeds and prints nothing.
pub(crate) fn succeed(mut command: Command) -> Result<()> {
    let printed = command::succeed(&mut command)?;
    ensure!(printed.stderr.is_empty(), "{}", printed.stderr);
    Ok(())
}

/// A picture without symmetries.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(7 * x) as u8, (5 * y) as u8, (x * y) as u8])
    })
}

/// Stripes of classes or an unknown object, with some void.
fn mask(width: u32, height: u32, kind: MaskKind) -> Mask {
    let mut mask = Mask::filled(width as usize, height as usize, 0);
    for (at, label) in mask.labels.iter_mut().enumerate() {
        let (x, y) = (at % width as usize, at / width as usize);
        *label = match kind {
            _ if y < 2 && kind != MaskKind::Object => IGNORE,
            MaskKind::Proxy if x > 10 && y > 12 => OOD_PROXY,
            MaskKind::Proxy => 0,
            MaskKind::Object => u8::from(x > 10 && y > 12),
            MaskKind::Eval => u8::from(x > 20 && y > 10),
            MaskKind::TrainId => (x / 4 % 19) as u8,
        };
    }
    mask
}
