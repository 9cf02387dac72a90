//! From logits or score maps, and labels, to segments with metrics: the stage `segment-metrics`.
//!
//! Reads `<sample_id>.safetensors`, logits of `seg-model infer` or `seg-model adopt`, or score maps of the latter, and the index
//! and masks of `cityscapes-io prepare`, if there are any; never an image.
//! Writes `segments.parquet`, `objects.parquet`, `overlaps.parquet`, `samples.parquet`, `pixel_counts.parquet`,
//! `sample_pixels.parquet` and `components/<sample_id>.png`. Each image is processed in one pass over its rows
//! ([`analysis::analyze`]).
//!
//! ```text
//! segment-metrics --logits out/logits/lost_and_found --labels out/labels/lost_and_found --output out/segments/lost_and_found
//! segment-metrics --logits out/logits/photos --output out/segments/photos
//! segment-metrics --scores out/scores/photos --threshold 0.4 --output out/segments/photos
//! segment-metrics merge --output out/segments/lost_and_found out/shard_0 out/shard_1
//! ```
//!
//! Labels are not needed: without them the columns and tables that only they can fill are absent, and the others are the same.
//! `classes.json` names the classes that metrics are about. Score maps of another method have no classes, nor the metrics of them.
//!
//! With `--track` the threshold is the one with the best F1 over all pixels of the data set, and small segments and objects are
//! left out, as in `SegmentMeIfYouCan`'s benchmark ([`track`]); `threshold.json` records the threshold.
//!
//! `merge` joins the outputs of calls with `--shard 0/N` to `--shard N-1/N` into what one call over all samples writes ([`merge`]).
//!
//! An interrupted call continues where it stopped: until the output is complete, `partial/` in it holds what is finished
//! ([`checkpoint`]).

pub mod adjusted_iou;
pub mod analysis;
pub mod args;
pub mod checkpoint;
pub mod components;
pub mod context;
mod counts_encoding;
pub mod features;
mod measure;
pub mod merge;
pub mod old_spelling;
mod output;
pub mod overlaps;
pub mod pixel_sums;
pub mod pixels;
pub mod reference_tables;
pub mod region_sums;
pub mod regions;
mod run;
mod runs;
pub mod sample;
mod score_range;
pub mod tables;
pub mod track;
pub mod uncertainty;

pub use args::Args;
pub use run::run;
