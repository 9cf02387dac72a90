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
//! The known classes have their own muted colors and textures. Unknown objects are half relatives of the proxies in
//! the COCO-like pictures and half like none of them, and the test scenes have effects (wet road, graffiti, leaves,
//! rain) that are rare in training: a network that is unsure there gives false alarms. All of it is a toy; figures
//! measured on it say that the pipeline works, and nothing about any method.
//!
//! The same seed gives the same bytes on any number of threads: every picture has its own random numbers.

mod canvas;
mod coco;
mod files;
mod noise;
mod paint;
mod polygon;
mod scenes;
mod settings;
mod street;
mod things;
mod traffic;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

/// Draws a small data set of street scenes in the official layouts of Cityscapes, COCO, `LostAndFound` and Fishyscapes.
#[derive(Parser, Clone, Debug, Serialize)]
#[command(version, about)]
pub struct Args {
    /// Flags of every stage.
    #[command(flatten)]
    #[serde(skip)]
    pub common: Common,
    /// Folder to write the data sets to.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How much: full is 160 train, 40 val, 60 + 60 test scenes of 256x128 and 84 COCO pictures; small about a third
    /// of it, with scenes of 192x96.
    #[arg(long, value_enum, default_value_t = Scale::Full)]
    pub scale: Scale,
}

/// Size of the demo.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// For continuous integration.
    Small,
    /// For a first impression.
    Full,
}

/// How many pictures of which size.
#[derive(Clone, Copy, Debug)]
struct Amounts {
    /// Columns and rows of scenes.
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
                train: 160,
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

/// One scene to be made.
#[derive(Clone, Copy, Debug)]
enum Job {
    Train(u64),
    Val(u64),
    LostAndFound(u64),
    Fishyscapes(u64),
}

/// Writes all data sets below the output folder; prints one line.
///
/// # Errors
/// If the folder holds other files, or cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let Some(dir) = stage_cli::open(&args.output, "demo-data", args, &[], args.common.force)?
    else {
        return Ok(());
    };
    let amounts = args.scale.amounts();
    let mut jobs: Vec<Job> = (0..amounts.train).map(Job::Train).collect();
    jobs.extend((0..amounts.val).map(Job::Val));
    jobs.extend((0..amounts.lost_and_found).map(Job::LostAndFound));
    jobs.extend((0..amounts.fishyscapes).map(Job::Fishyscapes));
    let n_pictures = jobs.len() as u64 + amounts.coco.total();
    let progress = Progress::new("demo", n_pictures, "pictures");
    let root = dir.path();
    jobs.par_iter().try_for_each(|&job| {
        progress.advance(1);
        make_scene(job, args.seed, amounts.scene, root)
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
        "demo: {n_pictures} pictures in {}",
        args.output.display()
    ));
    Ok(())
}

fn make_scene(job: Job, seed: u64, size: [usize; 2], root: &Path) -> Result<()> {
    match job {
        Job::Train(i) => scenes::cityscapes(&root.join("cityscapes"), "train", i, seed, size),
        Job::Val(i) => scenes::cityscapes(&root.join("cityscapes"), "val", i, seed, size),
        Job::LostAndFound(i) => scenes::lost_and_found(&root.join("lost_and_found"), i, seed, size),
        Job::Fishyscapes(i) => scenes::fishyscapes(&root.join("fishyscapes"), i, seed, size),
    }
}
