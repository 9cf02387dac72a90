//! A network with its weights, from pictures to logits.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use seg_ops::{Precision, upsample_bilinear2d};
use stage_cli::ImageSize;

use super::args::{Args, StoredPrecision};
use crate::checkpoint::Checkpoint;
use crate::input::{Normalization, pad_to_multiple};
use crate::input_size::InputSize;
use crate::layers::Mode;
use crate::nets::SegNet;
use crate::onnx::{Asked, Meaning, OnnxNetwork};
use crate::params::Params;

/// A network that is ready to run.
pub(super) struct Model {
    engine: Engine,
    /// Name for people.
    pub(super) name: String,
    /// What it gives for each pixel.
    pub(super) meaning: Meaning,
    /// Whether its logits are made of the probabilities that it gives.
    pub(super) of_probabilities: bool,
    /// Size that the weights record, if they are for one size.
    pub(super) recorded_size: Option<ImageSize>,
    /// Multiple of pixels to which both sides of pictures are padded.
    size_multiple: usize,
    align_corners: bool,
}

/// What computes.
enum Engine {
    Own(Own),
    Onnx(Box<OnnxNetwork>),
}

/// One of our own networks, on a device.
struct Own {
    net: Box<dyn SegNet>,
    normalization: Normalization,
    device: Device,
    dtype: DType,
}

impl Own {
    /// The outputs `[N, C, h, w]` f32 of pictures of equal size.
    fn run(&self, pictures: &[&RgbImage]) -> Result<Tensor> {
        let first = pictures.first().context("there is no picture to run")?;
        let (width, height) = (first.width() as usize, first.height() as usize);
        let values = pictures.iter().flat_map(|p| self.normalization.planar(p));
        let values: Vec<f32> = values.collect();
        let input = Tensor::from_vec(values, (pictures.len(), 3, height, width), &Device::Cpu)?
            .to_device(&self.device)?
            .to_dtype(self.dtype)?;
        Ok(self
            .net
            .forward(&input, &Mode::EVAL)?
            .to_dtype(DType::F32)?)
    }
}

impl Model {
    /// Builds the network of a checkpoint on `device`, with tensors of type `dtype`; those of f32 are multiplied in `precision`.
    pub(super) fn own(
        checkpoint: Checkpoint,
        device: Device,
        dtype: DType,
        precision: Precision,
    ) -> Result<Self> {
        let network = checkpoint.network;
        let vb = if dtype == DType::F32 {
            let params = Params::from_tensors(&checkpoint.tensors, &device)?;
            params.multiply_in(precision);
            params.frozen_builder()
        } else {
            let tensors = checkpoint.tensors.into_iter().collect();
            VarBuilder::from_tensors(tensors, dtype, &device)
        };
        Ok(Self {
            engine: Engine::Own(Own {
                net: network.build(checkpoint.table.channels.len(), &vb)?,
                normalization: checkpoint.normalization,
                device,
                dtype,
            }),
            name: network.name().to_owned(),
            meaning: Meaning::Logits(checkpoint.table.classes),
            of_probabilities: false,
            recorded_size: checkpoint.input_size,
            size_multiple: network.size_multiple(),
            align_corners: network.align_corners(),
        })
    }

    /// Takes the network of an ONNX file.
    pub(super) fn onnx(network: OnnxNetwork) -> Self {
        Self {
            name: network.name().to_owned(),
            meaning: network.meaning().clone(),
            of_probabilities: network.has_softmax(),
            recorded_size: network.size(),
            size_multiple: network.size_multiple(),
            align_corners: network.align_corners(),
            engine: Engine::Onnx(Box::new(network)),
        }
    }

    /// Refuses arguments that the network does not allow.
    ///
    /// # Errors
    /// Returns an error that says what to change.
    pub(super) fn check(&self, args: &Args) -> Result<()> {
        if self.meaning == Meaning::Scores {
            ensure!(
                !args.output.save_overlay,
                "--save-overlay needs logits, and the network gives scores"
            );
            ensure!(
                args.output.precision != StoredPrecision::None,
                "with --precision none there is nothing to write of scores"
            );
        }
        match &self.engine {
            Engine::Own(_) => Ok(()),
            Engine::Onnx(network) => network.check(Asked {
                size: InputSize::resolve(args.views.input_size, self.recorded_size),
                window: args.views.window,
                scales: &args.views.scales,
                batch: usize::from(args.compute.batch),
            }),
        }
    }

    /// Runs pictures of equal size in one pass.
    ///
    /// # Errors
    /// Returns an error if there is no picture, or the network fails.
    pub(super) fn forward(&self, pictures: &[&RgbImage]) -> Result<Output> {
        let size = |picture: &RgbImage| (picture.height() as usize, picture.width() as usize);
        let picture_size = size(pictures.first().context("there is no picture to run")?);
        let padded = pictures
            .iter()
            .map(|p| pad_to_multiple(p, self.size_multiple));
        let padded: Vec<_> = padded.collect();
        let padded: Vec<&RgbImage> = padded.iter().map(AsRef::as_ref).collect();
        let logits = match &self.engine {
            Engine::Own(own) => own.run(&padded)?,
            Engine::Onnx(network) => network.run(&padded)?,
        };
        Ok(Output {
            logits,
            picture_size,
            padded_size: padded.first().map_or(picture_size, |picture| size(picture)),
            align_corners: self.align_corners,
        })
    }
}

/// Logits or scores before the last upsampling, with the sizes (rows, columns) that it needs.
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

    use artifacts::classes::{ChannelTable, ClassSet};

    use super::*;
    use crate::nets::Network;

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
        let logits = |dtype, precision| -> Result<Vec<f32>> {
            let checkpoint = Checkpoint {
                network,
                table: ChannelTable::new(ClassSet::unnamed(5)?, 5, None)?,
                normalization: Normalization::UNIT,
                input_size: None,
                source: String::new(),
                tensors: tensors.clone(),
            };
            let model = Model::own(checkpoint, Device::Cpu, dtype, precision)?;
            let logits = model.forward(&[&picture])?.at_picture_size()?;
            Ok(logits[0].flatten_all()?.to_vec1()?)
        };
        let exact = logits(DType::F32, Precision::F32)?;
        let size = exact.iter().fold(0_f32, |max, v| max.max(v.abs()));
        for (dtype, precision, bound) in [
            (DType::F16, Precision::F32, 0.02),
            (DType::F32, Precision::Bf16, 0.05),
        ] {
            let half = logits(dtype, precision)?;
            assert!(half != exact);
            for (exact, half) in exact.iter().zip(half) {
                assert!((exact - half).abs() < bound * size, "{exact} {half}");
            }
        }
        Ok(())
    }
}
