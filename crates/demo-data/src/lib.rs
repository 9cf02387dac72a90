//! Small drawn data sets in the official layouts, so that the whole pipeline can be tried without any download.
//!
//! ```text
//! demo-data --scale small --output runs/demo/data
//! ```
//!
//! ```text
//! cityscapes/      leftImg8bit and gtFine of splits train and val: labelIds and polygons
//! coco/            train2017 and annotations/instances_train2017.json
//! lost_and_found/  leftImg8bit and gtCoarse of split test: labelIds and labelTrainIds
//! fishyscapes/     images and labels_masks
//! ```
//!
//! The known classes have muted colors and textures of their own. About half of the unknown objects have the forms of the
//! proxies in the COCO-like images, the others are unlike any proxy. The test scenes have effects (wet road, graffiti,
//! leaves, rain) that are rare in training, on which an uncertain network raises false alarms. All of it is a toy: figures
//! measured on it show that the pipeline works, and nothing about any method.
//!
//! The same seed gives the same bytes on any number of threads, since each image has random numbers of its own.

mod blocks;
mod canvas;
mod coco;
mod coco_annotations;
mod effects;
mod files;
mod forms;
mod ids;
mod noise;
mod paint;
mod people;
mod place;
mod polygon;
mod scenes;
mod settings;
mod street;
mod things;
mod traffic;
mod vehicles;
mod view;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

/// Draws small data sets of street scenes in the official layouts of Cityscapes, COCO, `LostAndFound` and Fishyscapes.
#[derive(Parser, Clone, Debug, Serialize)]
#[command(version, about)]
pub struct Args {
    /// Folder to write the drawn data sets to.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Number and size of the images: full draws 240 training, 40 validation and 60 + 60 test scenes of 256x128 pixels and
    /// 84 COCO images; small draws about a third of them, with scenes of 192x96 pixels.
    #[arg(long, value_enum, default_value_t = Scale::Full)]
    pub scale: Scale,
    /// Flags of every stage.
    #[command(flatten)]
    #[serde(skip)]
    pub common: Common,
}

/// Number and size of the drawn images.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// A third of the images, for tests.
    Small,
    /// All images, for a first impression.
    Full,
}

/// Number of images of each data set and split.
#[derive(Clone, Copy, Debug)]
struct Amounts {
    /// Width and height of scenes in pixels.
    scene: [usize; 2],
    train: u64,
    val: u64,
    lost_and_found: u64,
    fishyscapes: u64,
    coco: coco::Amounts,
}

impl Scale {
    fn amounts(self) -> Amounts {
        match self {
            Self::Full => Amounts {
                scene: [256, 128],
                train: 240,
                val: 40,
                lost_and_found: 60,
                fishyscapes: 60,
                coco: coco::Amounts {
                    qualifying: 60,
                    excluded: 16,
                    small: 8,
                },
            },
            Self::Small => Amounts {
                scene: [192, 96],
                train: 54,
                val: 14,
                lost_and_found: 20,
                fishyscapes: 20,
                coco: coco::Amounts {
                    qualifying: 20,
                    excluded: 6,
                    small: 3,
                },
            },
        }
    }
}

/// One scene to be drawn, by its number in the data set and split.
#[derive(Clone, Copy, Debug)]
enum Scene {
    Train(u64),
    Val(u64),
    LostAndFound(u64),
    Fishyscapes(u64),
}

/// Draws all data sets into the output folder; prints one line.
///
/// # Errors
/// Returns an error if the folder holds files that no stage wrote, or a file cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let Some(dir) = stage_cli::open(&args.output, "demo-data", args, &[], args.common.force)?
    else {
        return Ok(());
    };
    let amounts = args.scale.amounts();
    let mut scenes: Vec<Scene> = (0..amounts.train).map(Scene::Train).collect();
    scenes.extend((0..amounts.val).map(Scene::Val));
    scenes.extend((0..amounts.lost_and_found).map(Scene::LostAndFound));
    scenes.extend((0..amounts.fishyscapes).map(Scene::Fishyscapes));
    let n_images = scenes.len() as u64 + amounts.coco.total();
    let progress = Progress::new("demo-data", n_images, "images");
    let root = dir.path();
    scenes.par_iter().try_for_each(|&scene| {
        progress.advance(1);
        draw_scene(scene, args.seed, amounts.scene, root)
    })?;
    coco::write(&root.join("coco"), args.seed, amounts.coco, &progress)?;
    progress.finish();
    dir.finish(&[
        ("train", amounts.train),
        ("val", amounts.val),
        ("lost_and_found", amounts.lost_and_found),
        ("fishyscapes", amounts.fishyscapes),
        ("coco", amounts.coco.total()),
    ])?;
    print_result(format!(
        "{n_images} drawn images in {}",
        args.output.display()
    ));
    Ok(())
}

fn draw_scene(scene: Scene, seed: u64, size: [usize; 2], root: &Path) -> Result<()> {
    match scene {
        Scene::Train(i) => scenes::cityscapes(&root.join("cityscapes"), "train", i, seed, size),
        Scene::Val(i) => scenes::cityscapes(&root.join("cityscapes"), "val", i, seed, size),
        Scene::LostAndFound(i) => {
            scenes::lost_and_found(&root.join("lost_and_found"), i, seed, size)
        }
        Scene::Fishyscapes(i) => scenes::fishyscapes(&root.join("fishyscapes"), i, seed, size),
    }
}
