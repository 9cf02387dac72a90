//! Command line arguments.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Parser;
use serde::Serialize;
use stage_cli::{Common, KeepGoing, Range, Subset};

/// Most variants of an image. Larger numbers are treated as typing errors.
const MAX_COPIES: u32 = 1_000;

/// Most objects in an image.
const MAX_OBJECTS: u32 = 50;

/// Blend unknown objects into labeled street images: a development set for the streets that you have.
///
/// Objects stand on the ground and are as large as their distance from the camera says; light, colors, sharpness and
/// borders are adapted to the image, and they have motion blur and a shadow, as in Fishyscapes Static. Use categories
/// that training never shows (`coco-proxy --hold-out`), and images that it does not see.
#[derive(Parser, Clone, Debug, Serialize)]
#[command(version, max_term_width = 120)]
pub struct Args {
    /// Flags of every stage.
    #[command(flatten)]
    #[serde(skip)]
    pub common: Common,
    /// Directory of `cityscapes-io prepare` with masks of any class set; images get the size of the masks.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub labels: PathBuf,
    /// Directories of `coco-proxy --objects`, separated by commas.
    #[arg(long, value_name = "DIR,...", value_delimiter = ',', required = true)]
    #[serde(skip)]
    pub objects: Vec<PathBuf>,
    /// Directory to write.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Take exactly the categories that these outputs of `coco-proxy` hold out, which are what a network is trained with; they
    /// must hold out the same.
    #[arg(long, value_name = "DIR,...", value_delimiter = ',')]
    #[serde(skip)]
    pub held_out_of: Vec<PathBuf>,
    /// Take only these categories, separated by commas [default: those of --held-out-of, or all].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// Seed of all random choices.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Number of objects in an image that has any: 1 to N, each equally often.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub max_objects: u32,
    /// Share of images without object, 0 to 1, in which every alarm is a false one.
    #[arg(long, value_name = "X", default_value_t = 0.2)]
    pub empty_fraction: f64,
    /// Images to make of each image, with other objects.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub copies: u32,
    /// Longer side of an object, in heights of the image: its logarithm is uniform in this range, as far as there is a place
    /// at the distance that belongs to the size.
    #[arg(long, value_name = "LOW:HIGH", default_value = "0.04:0.4")]
    pub object_size: Range,
    /// Random factor of the real size of the category, which tells sizes and distances apart.
    #[arg(long, value_name = "LOW:HIGH", default_value = "0.8:1.5")]
    pub size_factor: Range,
    /// Height of the camera above the ground in meters, for the size of objects at a distance.
    #[arg(long, value_name = "METERS", default_value_t = 1.4)]
    pub camera_height: f64,
    /// Row of the horizon in heights of the image, 0 at the top [default: from the labels, where the ground ends].
    #[arg(long, value_name = "X")]
    pub horizon: Option<f64>,
    /// Classes on which objects stand, separated by commas [default: road, sidewalk and the like, by their names].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub ground: Vec<String>,
    /// How far light and colors of objects go towards those of their surroundings, 0 (not at all) to 1.
    #[arg(long, value_name = "X", default_value_t = 0.6)]
    pub adapt: f64,
    /// Darkness of shadows, 0 (none) to 1 (black).
    #[arg(long, value_name = "X", default_value_t = 0.5)]
    pub shadow: f64,
    /// Longest motion blur, as a share of the distance from the point towards which the camera moves; each image has a random
    /// share from 0 on.
    #[arg(long, value_name = "X", default_value_t = 0.012)]
    pub motion_blur: f64,
    /// Show N images in `preview.png`, each without and with the outlines of its objects; 0 writes none.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(0..=400))]
    pub preview: u16,
    /// Which of the images are used.
    #[command(flatten)]
    #[serde(flatten)]
    pub subset: Subset,
    /// Whether an image that cannot be used ends the stage.
    #[command(flatten)]
    #[serde(flatten)]
    pub keep_going: KeepGoing,
}

impl Args {
    /// Checks all that can be checked without opening a file.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn check(&self) -> Result<()> {
        for (flag, value, limit) in [
            ("--empty-fraction", self.empty_fraction, 1.0),
            ("--adapt", self.adapt, 1.0),
            ("--shadow", self.shadow, 1.0),
            ("--motion-blur", self.motion_blur, 0.2),
            ("--horizon", self.horizon.unwrap_or(0.0), 0.95),
        ] {
            ensure!(
                (0.0..=limit).contains(&value),
                "{flag} {value} is not from 0 to {limit}"
            );
        }
        for (flag, range, limit) in [
            ("--object-size", self.object_size, 2.0),
            ("--size-factor", self.size_factor, 100.0),
        ] {
            ensure!(
                range.low > 0.0 && range.high <= limit,
                "{flag} {}:{} is not above 0 and up to {limit}",
                range.low,
                range.high
            );
        }
        ensure!(
            self.camera_height > 0.0 && self.camera_height <= 100.0,
            "--camera-height {} is not above 0 and up to 100 meters",
            self.camera_height
        );
        for (flag, value, limit) in [
            ("--copies", self.copies, MAX_COPIES),
            ("--max-objects", self.max_objects, MAX_OBJECTS),
        ] {
            ensure!(
                (1..=limit).contains(&value),
                "{flag} {value} is not in 1..={limit}"
            );
        }
        Ok(())
    }

    /// Inputs by the names that the manifest lists them under.
    pub(crate) fn inputs(&self) -> Vec<(String, &Path)> {
        let mut inputs = vec![("labels".to_owned(), self.labels.as_path())];
        for (name, paths) in [
            ("objects", &self.objects),
            ("held-out-of", &self.held_out_of),
        ] {
            let paths = paths.iter().enumerate();
            inputs.extend(paths.map(|(i, path)| (format!("{name}[{i}]"), path.as_path())));
        }
        inputs
    }
}
