//! Training with the entropy maximization objective (Chan et al. 2021), and pretraining without it.
//!
//! Reads the labels of any class set (of several data sets, if they have the same), the proxy masks of COCO or objects for
//! pasting with their images, and initial weights; writes
//! `weights.safetensors`, `log.parquet`, `curves.svg`, `crops.png` and events for `TensorBoard`, with validation data also
//! `validation.parquet` and `weights.best.safetensors`:
//!
//! ```text
//! ood-train --labels labels/cityscapes-train --proxy proxy --init erfnet.safetensors --output train
//! ood-train --labels labels/cityscapes-train,labels/camvid-train --label-shares 0.4,0.6 --label-short-side 512,540 \
//!     --objects objects --paste 1 --init erfnet.safetensors --output train
//! ood-train --labels labels/cityscapes-train --network erfnet --ood-weight 0 --output pretrain
//! ```
//!
//! After an interruption, the same command goes on from the last checkpoint and writes the same bytes as if it had not been
//! interrupted.

pub mod args;
mod augment;
mod average;
mod batches;
mod checkpoints;
mod curves;
mod cutout;
mod distill;
mod known;
mod labeled_image;
mod learner;
mod loss_mean;
mod metrics;
mod mix;
mod model;
pub mod objective;
mod optimizer;
mod paste;
mod preview;
mod records;
mod run;
mod source;
mod state;
mod step_log;
mod train;
mod validation;
mod validation_log;

pub use args::Args;
pub use run::run;
