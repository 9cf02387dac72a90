//! Unknown objects blended into labeled street images: a development set for any streets.
//!
//! Reads labels with their images (`cityscapes-io prepare`) and objects (`coco-proxy --objects`) of categories that training never
//! shows. Writes the images with objects, masks (0 in-distribution, 1 object, 255 void) with an index of kind `eval`, the masks of
//! known classes with an index of their own in `known/`, `objects.csv` with what went where, `preview.png`, and `manifest.json`
//! last. An interrupted call continues with the images that are missing.
//!
//! ```text
//! coco-proxy --objects --annotations coco/annotations/instances_val2017.json --output objects-val
//! blend-objects --labels labels/camvid-val --objects objects-val --held-out-of objects-train --output labels/camvid-blended
//! ```
//!
//! Source: Blum et al., "The Fishyscapes Benchmark: Measuring Blind Spots in Semantic Segmentation", IJCV 2021, whose set *Static*
//! is made like this from Pascal VOC and Cityscapes. How each step is done here is told in its module.

mod adapt;
mod args;
mod cutout;
mod draw;
mod ground;
mod layer;
mod motion;
mod place;
mod pool;
mod preview;
mod record;
mod run;
mod scene;
mod shadow;
mod sharpness;
mod sizes;

pub use args::Args;
pub use run::run;
