//! Folders as Hugging Face publishes networks: weights beside `config.json`, which names the classes (`id2label`) and the sizes of
//! layers, and `preprocessor_config.json`, which says how images are normalized and which size they have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::atomic::read_json;
use artifacts::classes::{
    Channel, ChannelTable, Class, ClassSet, Color, OtherChannel, VoidChannel,
};
use candle_transformers::models::segformer;
use serde::Deserialize;
use serde_json::Value;
use stage_cli::ImageSize;

use crate::input::Normalization;
use crate::nets::Network;

/// Weights files of such folders, the preferred ones first.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// File that names the classes and the sizes of layers.
const CONFIG: &str = "config.json";

/// File that says how images are prepared.
const PREPROCESSOR: &str = "preprocessor_config.json";

/// Labels that data sets give to what is none of their classes.
const VOID_LABELS: [&str; 5] = ["unlabeled", "unlabelled", "void", "ignore", "ignored"];

/// What the files beside the weights say of them.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    /// The network, if it is a `SegFormer`.
    pub network: Option<Network>,
    /// Label of each output channel; empty if the labels mean nothing.
    pub labels: Vec<String>,
    /// Normalization of images.
    pub normalization: Option<Normalization>,
    /// Size to which images are resized before the network.
    pub size: Option<ImageSize>,
}

/// The weights file of a folder with `config.json`, if it has one of the usual names.
pub(crate) fn weights_in(folder: &Path) -> Option<PathBuf> {
    let files = WEIGHTS.map(|name| folder.join(name));
    let found = files.into_iter().find(|file| file.is_file());
    found.filter(|_| folder.join(CONFIG).is_file())
}

/// The files beside `weights` that are read with them, by names under which a manifest lists them.
pub fn files_beside(weights: &Path) -> Vec<(&'static str, PathBuf)> {
    let folder = weights.parent().unwrap_or(Path::new("."));
    let files = [("config", CONFIG), ("preprocessor", PREPROCESSOR)];
    let files = files.map(|(name, file)| (name, folder.join(file)));
    files
        .into_iter()
        .filter(|(_, file)| file.is_file())
        .collect()
}

/// Whether a `config.json` is one of Hugging Face: other programs have files of this name too, which may not even be JSON.
fn names_a_model(file: &Path) -> Result<bool> {
    let bytes = std::fs::read(file);
    let bytes = bytes.with_context(|| format!("could not read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).contains("\"model_type\""))
}

impl Hub {
    /// What the files in the folder of `weights` say; nothing if there are none, or they are no configuration of a network.
    ///
    /// # Errors
    /// Returns an error that names the file if it is one and cannot be used.
    pub fn beside(weights: &Path) -> Result<Self> {
        let mut hub = Self::default();
        for (name, file) in files_beside(weights) {
            if name == "config" && !names_a_model(&file)? {
                continue;
            }
            let content: Value = read_json(&file)?;
            let read = match name {
                "config" => hub.read_config(&content),
                _ => hub.read_preprocessor(content),
            };
            read.with_context(|| format!("{} cannot be used", file.display()))?;
        }
        Ok(hub)
    }

    fn read_config(&mut self, config: &Value) -> Result<()> {
        if config["model_type"] == "segformer" {
            let config: segformer::Config = serde_json::from_value(with_defaults(config.clone()))?;
            self.network = Some(network_of(&config)?);
        }
        if let Some(id2label) = config.get("id2label").filter(|value| !value.is_null()) {
            let id2label: BTreeMap<String, String> = serde_json::from_value(id2label.clone())
                .context("id2label does not map numbers to names")?;
            self.labels = labels(&id2label)?;
        }
        Ok(())
    }

    fn read_preprocessor(&mut self, preprocessor: Value) -> Result<()> {
        let preprocessor: Preprocessor = serde_json::from_value(preprocessor)?;
        self.size = preprocessor.size()?;
        self.normalization = preprocessor.normalization()?;
        Ok(())
    }

    /// The table that the labels describe, in the order of the file; `None` without labels. A label that may stand for what is none of
    /// the classes is asked for.
    ///
    /// # Errors
    /// Returns an error if the labels are not those of `channels` output channels, or it is not said whether one of them is void.
    pub(crate) fn table(
        &self,
        channels: usize,
        void: Option<VoidChannel>,
    ) -> Result<Option<ChannelTable>> {
        if self.labels.is_empty() {
            return Ok(None);
        }
        ensure!(
            self.labels.len() == channels,
            "config.json beside them has labels for {} output channels, but they have {channels}: pass --classes",
            self.labels.len()
        );
        let void = self.void_at(channels, void)?;
        let labels = self.labels.iter().enumerate();
        let labels = labels.filter(|&(channel, _)| Some(channel) != void);
        let classes = class_set(&labels.map(|(_, label)| label.as_str()).collect::<Vec<_>>())?;
        let mut table: Vec<_> = (0..classes.len()).map(Channel::Class).collect();
        if let Some(at) = void {
            table.insert(at, Channel::Other(OtherChannel::Void));
        }
        Ok(Some(ChannelTable {
            classes,
            channels: table,
        }))
    }
}

impl Hub {
    /// Which of the labels is void; a label that may be asks for the flag.
    fn void_at(&self, channels: usize, void: Option<VoidChannel>) -> Result<Option<usize>> {
        let at = match void {
            Some(VoidChannel::None) => return Ok(None),
            Some(VoidChannel::First) => 0,
            Some(VoidChannel::Last) => channels - 1,
            Some(VoidChannel::At(at)) => at,
            None => {
                let is_void = |label: &String| VOID_LABELS.contains(&label.to_lowercase().as_str());
                if let Some(at) = self.labels.iter().position(is_void) {
                    bail!(
                        "config.json beside them calls output channel {at} {:?}: pass --void {at} if it is none of the classes, or --void none if it is one",
                        self.labels[at]
                    );
                }
                return Ok(None);
            }
        };
        ensure!(
            at < channels,
            "--void {at} is not one of the output channels 0 to {}",
            channels - 1
        );
        Ok(Some(at))
    }
}

/// The labels in the order of their numbers; none if they are only numbered, as the library writes them where nobody named them.
fn labels(id2label: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut labels = Vec::new();
    for id in 0..id2label.len() {
        let label = id2label.get(&id.to_string());
        let label = label.with_context(|| format!("id2label has no label for {id}"))?;
        labels.push(label.trim().to_owned());
    }
    let numbered = |(id, label): (usize, &String)| *label == format!("LABEL_{id}");
    if labels.iter().enumerate().all(numbered) {
        labels.clear();
    }
    Ok(labels)
}

/// The shipped class set with these names, whatever their case, or a new one in colors of evenly spaced hues.
fn class_set(labels: &[&str]) -> Result<ClassSet> {
    let mut sets = ClassSet::shipped()?;
    // bdd100k has the same names
    sets.sort_by_key(|set| set.name != "cityscapes");
    for set in sets {
        let is_same = |(a, b): (&str, &&str)| a.to_lowercase() == b.to_lowercase();
        if set.len() == labels.len() && set.names().zip(labels).all(is_same) {
            return Ok(set);
        }
    }
    let mut classes: Vec<Class> = Vec::new();
    for (position, label) in labels.iter().enumerate() {
        // ADE20K has labels that occur twice
        let is_taken = classes.iter().any(|class| class.name == *label);
        classes.push(Class {
            name: if is_taken {
                format!("{label} ({position})")
            } else {
                (*label).to_owned()
            },
            color: hue(position as f64 / labels.len() as f64),
            id: None,
            category: None,
        });
    }
    let set = ClassSet {
        name: "id2label".to_owned(),
        title: "Classes of config.json".to_owned(),
        url: String::new(),
        void_ids: Vec::new(),
        classes,
    };
    set.check()?;
    Ok(set)
}

/// A strong color of this hue, from 0 (red) over green and blue to 1 (red again).
fn hue(hue: f64) -> Color {
    Color([0.0, 2.0, 4.0].map(|offset| {
        let distance = ((6.0 * hue - offset).rem_euclid(6.0) - 3.0).abs(); // 3 at the color itself
        let share = (distance - 1.0).clamp(0.0, 1.0);
        (40.0 + 190.0 * share).round() as u8
    }))
}

/// The configuration with the library's defaults for sizes that it leaves out, as it does where they are those of B0.
fn with_defaults(mut config: Value) -> Value {
    let defaults = serde_json::json!({
        "num_channels": 3, "num_encoder_blocks": 4, "depths": [2, 2, 2, 2], "sr_ratios": [8, 4, 2, 1],
        "hidden_sizes": [32, 64, 160, 256], "patch_sizes": [7, 3, 3, 3], "strides": [4, 2, 2, 2],
        "num_attention_heads": [1, 2, 5, 8], "mlp_ratios": [4, 4, 4, 4], "hidden_act": "gelu",
        "layer_norm_eps": 1e-6, "decoder_hidden_size": 256, "id2label": {},
    });
    if let (Some(config), Value::Object(defaults)) = (config.as_object_mut(), defaults) {
        for (key, value) in defaults {
            config.entry(key).or_insert(value);
        }
    }
    config
}

/// The size of a `SegFormer` with this configuration.
fn network_of(config: &segformer::Config) -> Result<Network> {
    let network = Network::segformer_of(
        &config.hidden_sizes,
        &config.depths,
        config.decoder_hidden_size,
    );
    network.with_context(|| {
        format!(
            "a SegFormer with hidden_sizes {:?}, depths {:?} and decoder_hidden_size {} is none of B0 to B5",
            config.hidden_sizes, config.depths, config.decoder_hidden_size
        )
    })
}

/// `preprocessor_config.json`, as far as it matters here.
#[derive(Deserialize)]
struct Preprocessor {
    do_normalize: Option<bool>,
    image_mean: Option<Vec<f64>>,
    image_std: Option<Vec<f64>>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_resize: Option<bool>,
    size: Option<Value>,
}

impl Preprocessor {
    /// Mean and standard deviation for colors in [0, 1], if they are given.
    fn normalization(&self) -> Result<Option<Normalization>> {
        let (mean, std) = match (self.do_normalize, &self.image_mean, &self.image_std) {
            (Some(false), ..) => (vec![0.0; 3], vec![1.0; 3]),
            (_, Some(mean), Some(std)) => (mean.clone(), std.clone()),
            _ => return Ok(None),
        };
        // theirs are for colors from 0 to 255 that were multiplied by this
        let factor = match self.do_rescale {
            Some(false) => 1.0,
            _ => self.rescale_factor.unwrap_or(1.0 / 255.0),
        };
        let white = 255.0 * factor;
        let white = if (white - 1.0).abs() < 1e-6 {
            1.0
        } else {
            white
        };
        let scaled = |values: Vec<f64>| -> Vec<f32> {
            values.into_iter().map(|v| (v / white) as f32).collect()
        };
        let checked = Normalization::checked(&scaled(mean), &scaled(std));
        checked.context("image_mean and image_std").map(Some)
    }

    /// The size of images, if both sides are fixed: a number is the side of a square, as for the library's own processors.
    fn size(&self) -> Result<Option<ImageSize>> {
        let Some(size) = self.size.as_ref().filter(|_| self.do_resize != Some(false)) else {
            return Ok(None);
        };
        let (width, height) = match size.as_u64() {
            Some(square) => (square, square),
            None => match (size["width"].as_u64(), size["height"].as_u64()) {
                (Some(width), Some(height)) => (width, height),
                _ => return Ok(None),
            },
        };
        let size = format!("{width}x{height}").parse();
        size.context("size").map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_are_spread_evenly() {
        assert_eq!(hue(0.0).0, [230, 40, 40]);
        assert_eq!(hue(1.0 / 3.0).0, [40, 230, 40]);
        assert_eq!(hue(1.0 / 6.0).0, [230, 230, 40]);
    }

    #[test]
    fn normalization_is_for_colors_up_to_1() -> Result<()> {
        let read = |text: &str| -> Result<Option<Normalization>> {
            serde_json::from_str::<Preprocessor>(text)?.normalization()
        };
        let means = r#""image_mean": [0, 0.5, 51], "image_std": [1, 2, 255]"#;
        let plain = read(&format!("{{{means}}}"))?.context("a normalization")?;
        assert_eq!(
            (plain.mean, plain.std),
            ([0.0, 0.5, 51.0], [1.0, 2.0, 255.0])
        );
        let raw = read(&format!(r#"{{{means}, "do_rescale": false}}"#))?;
        let raw = raw.context("a normalization")?;
        assert_eq!((raw.mean[2], raw.std[2]), (0.2, 1.0));
        let none = read(&format!(r#"{{{means}, "do_normalize": false}}"#))?;
        assert_eq!(none, Some(Normalization::UNIT));
        assert_eq!(read("{}")?, None);
        assert!(read(r#"{"image_mean": [0], "image_std": [1]}"#).is_err());
        Ok(())
    }

    #[test]
    fn labels_are_classes_unless_they_may_be_void() -> Result<()> {
        let hub = |labels: &[&str]| Hub {
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            ..Hub::default()
        };
        let table = hub(&["floor", "wall", "wall"]).table(3, None)?;
        let names = table.context("a table")?.classes;
        assert!(names.names().eq(["floor", "wall", "wall (2)"]));
        let own = hub(&["Unlabeled", "floor", "wall"]);
        let error = format!("{:#}", own.table(3, None).expect_err("a question"));
        assert!(error.contains("\"Unlabeled\": pass --void 0"), "{error}");
        let table = own.table(3, Some(VoidChannel::At(0)))?.context("a table")?;
        assert_eq!(table.class_channels()?, [1, 2]);
        let table = own.table(3, Some(VoidChannel::None))?.context("a table")?;
        assert_eq!(table.classes.len(), 3);
        assert!(own.table(4, None).is_err());
        let numbered = BTreeMap::from([("0", "LABEL_0"), ("1", "LABEL_1")]);
        let numbered = numbered
            .into_iter()
            .map(|(id, l)| (id.to_owned(), l.to_owned()));
        assert!(labels(&numbered.collect())?.is_empty());
        Ok(())
    }
}
