//! COCO annotation files: their records, the shapes of annotations, and the pixels of these shapes.
//!
//! Only the members that masks need are read, so that whatever a tool writes into the others does no harm. Shapes are
//! rasterized as pycocotools does it, bit by bit. What is wrong with a record is a [`faults::Fault`], and the others are
//! read all the same.

pub mod dataset;
pub mod faults;
mod file_kind;
mod file_text;
pub mod id;
pub mod image_folder;
pub mod lookup;
pub mod objects;
mod outline;
pub mod rasterize;
mod records;
pub mod shape;
