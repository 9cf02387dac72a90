//! COCO images without Cityscapes classes become out-of-distribution training masks.
//!
//! The plain call reads a COCO `instances_*.json` and the headers of the images. It writes `masks/<12-digit id>.png`
//! (254 on objects, the background label elsewhere), `index.json` of kind `proxy`, on request `preview.png`, and
//! `manifest.json` last. An interrupted call continues with the masks that are missing. With `--objects` the output has
//! objects for pasting instead, which come from all images: an index of kind `object`, whose masks number them.
//! `coco-proxy check` reads the same files, lists every fault and writes nothing. Panoptic and stuff annotations are not
//! supported.
//!
//! ```text
//! coco-proxy --annotations coco/annotations/instances_train2017.json --output runs/proxy
//! coco-proxy --objects --hold-out dog,sheep --annotations coco/annotations/instances_train2017.json --output runs/objects
//! coco-proxy check --annotations coco/annotations/instances_train2017.json
//! ```
//!
//! Source: Chan et al. 2021 (COCO as proxy for out-of-distribution data), and the reference
//! `prepare_coco_segmentation`, which `--compat` reproduces bit by bit.

mod annotations;
mod args;
pub mod check;
mod cutouts;
mod deflate;
mod excluded;
pub mod mask_png;
mod masks;
mod names;
mod preview;
mod run;
pub mod select;

pub use args::{Args, CheckArgs, Command, MaskArgs, Source};
pub use run::run;
