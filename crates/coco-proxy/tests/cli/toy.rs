//! A COCO folder for the tests, and calls of the executable on it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use artifacts::index::Index;
use serde_json::{Value, json};
use stage_testing::command::{fail, one_error_line, succeed};
use stage_testing::folder::files;

pub(crate) fn coco_proxy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coco-proxy"));
    command.args(arguments);
    command
}

/// A COCO folder in the official layout, with images of the sizes in its records.
pub(crate) struct Toy {
    scratch: tempfile::TempDir,
}

impl Toy {
    pub(crate) fn new(dataset: &Value) -> Result<Self> {
        let toy = Self {
            scratch: tempfile::tempdir()?,
        };
        fs::create_dir(toy.path("annotations"))?;
        fs::create_dir(toy.path("train2017"))?;
        toy.write(&dataset.to_string())?;
        for image in dataset["images"].as_array().into_iter().flatten() {
            let number = |key: &str| image[key].as_u64().unwrap_or(0) as u32;
            let name = image["file_name"].as_str().unwrap_or_default();
            let picture = image::RgbImage::new(number("width"), number("height"));
            if !name.contains("..") {
                picture.save(toy.path("train2017").join(name))?;
            }
        }
        Ok(toy)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn annotations(&self) -> PathBuf {
        self.path("annotations/instances_train2017.json")
    }

    pub(crate) fn write(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.annotations(), text)?)
    }

    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = coco_proxy(&[]);
        command.arg("--annotations").arg(self.annotations());
        command.arg("--output").arg(self.path("out")).args(more);
        command
    }

    pub(crate) fn succeed(&self, more: &[&str]) -> Result<String> {
        Ok(succeed(&mut self.command(more))?.stdout)
    }

    /// Expects an error, and nothing in the output folder but the mark of unfinished work.
    pub(crate) fn fail(&self, more: &[&str], expected: &[&str]) -> Result<()> {
        fail(&mut self.command(more), expected)?;
        if self.path("out").exists() {
            for name in files(&self.path("out"))?.into_keys() {
                assert_eq!(name, "in-progress/work.json");
            }
            assert!(!self.path("out/manifest.json").exists());
        }
        Ok(())
    }

    /// Makes a complete output one that was interrupted just before it was complete.
    pub(crate) fn interrupt(&self) -> Result<()> {
        fs::rename(self.path("out"), self.path("interrupted"))?;
        fs::create_dir(self.path("out"))?;
        fs::rename(self.path("interrupted"), self.path("out/in-progress"))?;
        let [complete, begun] =
            ["manifest.json", "work.json"].map(|name| self.path("out/in-progress").join(name));
        Ok(fs::rename(complete, begun)?)
    }
}

pub(crate) fn image(id: u64, width: u32, height: u32) -> Value {
    json!({"id": id, "file_name": format!("{id:012}.png"), "width": width, "height": height, "license": 4})
}

pub(crate) fn annotation(id: u64, image_id: u64, category_id: u64, segmentation: &Value) -> Value {
    json!({"id": id, "image_id": image_id, "category_id": category_id, "iscrowd": 0, "segmentation": segmentation})
}

/// Image 1 has a cat and a dog, 2 a person, 3 is small, 4 is empty, 5 has a train.
pub(crate) fn dataset() -> Value {
    let square = json!([[1, 1, 3, 1, 3, 3, 1, 3]]);
    json!({
        "images": [image(5, 8, 6), image(4, 8, 6), image(3, 8, 5), image(2, 8, 6), image(1, 8, 6)],
        "annotations": [
            annotation(11, 1, 20, &square),
            annotation(12, 1, 21, &json!({"size": [6, 8], "counts": [0, 1, 47]})),
            annotation(13, 2, 1, &square),
            annotation(14, 3, 20, &square),
            annotation(15, 5, 7, &square),
        ],
        "categories": [
            {"id": 1, "name": "person"}, {"id": 7, "name": "train"},
            {"id": 20, "name": "dog"}, {"id": 21, "name": "cat"},
        ],
    })
}

pub(crate) const SMALL: [&str; 2] = ["--min-side", "6"];

/// Lines that `coco-proxy check` prints, whether it found nothing wrong, and what it wrote to stderr.
pub(crate) fn check(toy: &Toy) -> Result<(bool, Vec<String>, String)> {
    let mut command = coco_proxy(&["check", "--annotations"]);
    let output = command.arg(toy.annotations()).output()?;
    let stdout = String::from_utf8(output.stdout)?;
    let lines = stdout.lines().map(str::to_owned).collect();
    let stderr = String::from_utf8(output.stderr)?;
    Ok((output.status.success(), lines, stderr))
}

/// A data set of `n_images` images of 64x48 pixels, each with one annotation of the category dog.
pub(crate) fn dogs(n_images: u64) -> Value {
    let polygon = json!([[10.5, 8.25, 40.2, 9.0, 44.0, 30.5, 12.0, 33.0]]);
    let annotations = (1..=n_images).map(|id| annotation(99 + id, id, 18, &polygon));
    json!({
        "images": (1..=n_images).map(|id| image(id, 64, 48)).collect::<Vec<_>>(),
        "annotations": annotations.collect::<Vec<_>>(),
        "categories": [{"id": 16, "name": "bird"}, {"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    })
}

pub(crate) const FEW: [&str; 2] = ["--min-side", "32"];

/// Number of proxies, after a check that every mask is the one of an untouched file.
pub(crate) fn n_proxies(toy: &Toy) -> Result<usize> {
    toy.succeed(&FEW)?;
    let index = Index::read(&toy.path("out"))?;
    for sample in &index.samples {
        assert!(index.image_path(sample)?.exists());
        let mask = index.read_mask(&toy.path("out"), sample)?;
        let object: Vec<&u8> = mask.labels.iter().filter(|v| **v == 254).collect();
        assert_eq!(object.len(), 716, "{}", sample.sample_id);
    }
    Ok(index.samples.len())
}

/// Ends with the exit status of a result without some of its inputs; returns the error line.
pub(crate) fn fail_partly(toy: &Toy, more: &[&str]) -> Result<String> {
    let output = toy.command(&[&FEW[..], more].concat()).output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    Ok(one_error_line(&stderr)?.to_owned())
}
