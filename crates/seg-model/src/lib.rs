//! Segmentation networks, checkpoints, input normalisation and inference
