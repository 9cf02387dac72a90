//! COCO images without Cityscapes classes become out-of-distribution training masks.
//!
//! The plain call reads a COCO `instances_*.json` and the headers of the images. It writes `masks/<12-digit id>.png`
//! (254 on objects, the background label elsewhere), `index.json` of kind `proxy`, on request `preview.png`, and
//! `manifest.json` last. An interrupted call continues with the masks that are missing. `coco-proxy check` reads the
//! same files, lists every fault and writes nothing. Panoptic and stuff annotations are not supported.
//!
//! ```text
//! coco-proxy --annotations coco/annotations/instances_train2017.json --output runs/proxy
//! coco-proxy check --annotations coco/annotations/instances_train2017.json
//! ```
//!
//! Source: Chan et al. 2021 (COCO as proxy for out-of-distribution data), and the reference
//! `prepare_coco_segmentation`, which `--compat` reproduces bit by bit.

mod args;
pub mod check;
pub mod dataset;
mod deflate;
mod excluded;
pub mod faults;
mod file_kind;
mod file_text;
pub mod id;
pub mod image_folder;
pub mod mask_png;
mod masks;
mod names;
pub mod objects;
mod outline;
pub mod preview;
pub mod rasterize;
mod records;
mod run;
pub mod select;
mod shape;

pub use args::{Args, CheckArgs, Command, MaskArgs, Source};
pub use run::run;
