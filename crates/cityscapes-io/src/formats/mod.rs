//! Label files of annotation tools: one file here for each format.
//!
//! Files of shapes become [`regions`], which are painted into a mask; pictures become masks directly. What the labels in them
//! mean is told by the tables in [`meanings`](crate::meanings).

pub(crate) mod coco;
pub(crate) mod cvat;
pub(crate) mod labelme;
pub(crate) mod panoptic;
pub(crate) mod regions;
