//! A network with its weights, from pictures to logits.

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use seg_ops::upsample_bilinear2d;

use crate::checkpoint::Checkpoint;
use crate::input::{Normalization, pad_to_multiple};
use crate::layers::Mode;
use crate::nets::{Network, SegNet};

/// A network that is ready to run on a device.
pub(super) struct Model {
    net: Box<dyn SegNet>,
    pub(super) network: Network,
    pub(super) classes: ClassSet,
    normalization: Normalization,
    device: Device,
    dtype: DType,
}

impl Model {
    /// Builds the network of a checkpoint on `device`.
    pub(super) fn new(checkpoint: Checkpoint, device: Device, dtype: DType) -> Result<Self> {
        let tensors = checkpoint.tensors.into_iter().collect();
        let vb = VarBuilder::from_tensors(tensors, dtype, &device);
        Ok(Self {
            net: checkpoint
                .network
                .build(checkpoint.table.channels.len(), &vb)?,
            network: checkpoint.network,
            classes: checkpoint.table.classes,
            normalization: checkpoint.normalization,
            device,
            dtype,
        })
    }

    /// Runs pictures of equal size in one pass.
    ///
    /// # Errors
    /// Returns an error if there is no picture, or the network fails.
    pub(super) fn forward(&self, pictures: &[&RgbImage]) -> Result<Output> {
        let size = |picture: &RgbImage| (picture.height() as usize, picture.width() as usize);
        let picture_size = size(pictures.first().context("there is no picture to run")?);
        let mut values = Vec::new();
        let mut padded_size = picture_size;
        for picture in pictures {
            let padded = pad_to_multiple(picture, self.network.size_multiple());
            padded_size = size(&padded);
            values.extend(self.normalization.planar(&padded));
        }
        let shape = (pictures.len(), 3, padded_size.0, padded_size.1);
        let input = Tensor::from_vec(values, shape, &Device::Cpu)?
            .to_device(&self.device)?
            .to_dtype(self.dtype)?;
        let logits = self.net.forward(&input, &Mode::EVAL)?;
        Ok(Output {
            logits: logits.to_dtype(DType::F32)?,
            picture_size,
            padded_size,
            align_corners: self.network.align_corners(),
        })
    }
}

/// Logits before the last upsampling, with the sizes (rows, columns) that it needs.
pub(super) struct Output {
    /// `[N, C, h, w]` f32, of the padded pictures.
    logits: Tensor,
    picture_size: (usize, usize),
    padded_size: (usize, usize),
    align_corners: bool,
}

impl Output {
    /// The logits of each picture, `[C, h, w]` in main memory, at the network's own resolution where possible, and whether their corner
    /// centers align with the picture's.
    ///
    /// If the picture was padded, the last row or column of a coarser grid may lie across the picture's border; such logits are
    /// upsampled and then cropped to the picture, so that no later stage needs to know about the padding.
    pub(super) fn at_own_size(self) -> Result<(Vec<Tensor>, bool)> {
        if self.padded_size == self.picture_size {
            Ok((split(&self.logits)?, self.align_corners))
        } else {
            Ok((self.at_picture_size()?, false))
        }
    }

    /// The logits of each picture, `[C, H, W]` in main memory, upsampled to the picture.
    pub(super) fn at_picture_size(self) -> Result<Vec<Tensor>> {
        let (_, _, h, w) = self.logits.dims4()?;
        if (h, w) == self.padded_size {
            return split(&self.crop(&self.logits)?);
        }
        let logits = upsample_bilinear2d(&self.logits, self.padded_size, self.align_corners)?;
        split(&self.crop(&logits)?)
    }

    /// Removes the rows and columns of the padding.
    fn crop(&self, logits: &Tensor) -> Result<Tensor> {
        let (height, width) = self.picture_size;
        Ok(logits.narrow(2, 0, height)?.narrow(3, 0, width)?)
    }
}

/// The logits of each picture of a batch, in main memory.
fn split(logits: &Tensor) -> Result<Vec<Tensor>> {
    let logits = logits.to_device(&Device::Cpu)?;
    (0..logits.dim(0)?)
        .map(|i| Ok(logits.get(i)?.contiguous()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use artifacts::classes::ChannelTable;

    use super::*;
    use crate::params::Params;

    #[test]
    fn padding_is_cropped_after_upsampling() -> Result<()> {
        let grid = Tensor::new(&[[[[0_f32, 1.0], [2.0, 3.0]]]], &Device::Cpu)?;
        let output = |picture_size| Output {
            logits: grid.clone(),
            picture_size,
            padded_size: (4, 4),
            align_corners: false,
        };
        let (own, _) = output((4, 4)).at_own_size()?;
        assert_eq!(own[0].dims(), [1, 2, 2]);
        let (cropped, _) = output((1, 3)).at_own_size()?;
        assert_eq!(cropped[0].to_vec3::<f32>()?, [[[0.0, 0.25, 0.75]]]);
        Ok(())
    }

    #[test]
    fn half_precision_is_close() -> Result<()> {
        let params = Params::random(3, &Device::Cpu);
        let network = Network::Erfnet;
        network.build_trainable(5, &params)?;
        let variables = params.variables().into_iter();
        let tensors: BTreeMap<_, _> = variables
            .map(|(k, v)| (k, v.as_detached_tensor()))
            .collect();
        let picture = RgbImage::from_fn(32, 16, |x, y| image::Rgb([(8 * x) as u8, y as u8, 99]));
        let logits = |dtype| -> Result<Vec<f32>> {
            let checkpoint = Checkpoint {
                network,
                table: ChannelTable::new(ClassSet::unnamed(5)?, 5, None)?,
                normalization: Normalization::UNIT,
                source: String::new(),
                tensors: tensors.clone(),
            };
            let model = Model::new(checkpoint, Device::Cpu, dtype)?;
            let logits = model.forward(&[&picture])?.at_picture_size()?;
            Ok(logits[0].flatten_all()?.to_vec1()?)
        };
        let (exact, half) = (logits(DType::F32)?, logits(DType::F16)?);
        let size = exact.iter().fold(0_f32, |max, v| max.max(v.abs()));
        for (exact, half) in exact.iter().zip(half) {
            assert!((exact - half).abs() < 0.02 * size, "{exact} {half}");
        }
        Ok(())
    }
}
