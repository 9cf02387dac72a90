//! Pictures of samples: photos, labels, predictions and segments at a size at which people look at them.

pub(crate) mod paint;
mod picture;
mod resize;

pub(crate) use self::picture::{Picture, data_url, jpeg};
pub(crate) use self::resize::{
    PictureSize, resize_photo, sample_logits, shrink_components, shrink_labels,
};
