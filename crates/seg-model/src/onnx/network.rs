//! From pictures to maps by an ONNX file.

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use image::RgbImage;
use stage_cli::ImageSize;

use super::args::OnnxSource;
use super::session::Session;
use super::settings::{Meaning, Settings};
use crate::adopt::{Kind, into_logits};

/// A network that is ready to run.
pub(crate) struct OnnxNetwork {
    session: Session,
    settings: Settings,
}

/// What is to be run at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Size to which images are resized; `None` is their own.
    pub(crate) size: Option<ImageSize>,
    /// Size of windows.
    pub(crate) window: Option<ImageSize>,
    /// Multiples of the size.
    pub(crate) scales: &'a [f64],
    /// Pictures in a batch.
    pub(crate) batch: usize,
}

impl OnnxNetwork {
    /// Opens a file.
    ///
    /// # Errors
    /// Returns an error that names the file if ONNX Runtime is not there or does not take it, or it is not known how to run it.
    pub(crate) fn open(source: OnnxSource) -> Result<Self> {
        let session = Session::open(source.file, source.args.onnx_library.as_deref())?;
        let settings = Settings::of(source, session.inputs(), session.outputs());
        let settings =
            settings.with_context(|| format!("{} cannot be run", source.file.display()))?;
        Ok(Self { session, settings })
    }

    /// Name for people.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// What its maps are.
    pub(crate) fn meaning(&self) -> &Meaning {
        &self.settings.meaning
    }

    /// Whether its output has passed a softmax.
    pub(crate) fn has_softmax(&self) -> bool {
        self.settings.kind.is_of_softmax()
    }

    /// Size to which images are resized, unless a flag says otherwise.
    pub(crate) fn size(&self) -> Option<ImageSize> {
        self.settings.size
    }

    /// Multiple of pixels to which both sides of pictures are padded.
    pub(crate) fn size_multiple(&self) -> usize {
        self.settings.size_multiple
    }

    /// The flag `align_corners` with which its maps are upsampled.
    pub(crate) fn align_corners(&self) -> bool {
        self.settings.align_corners
    }

    /// Refuses what the fixed axes of the input do not allow.
    ///
    /// # Errors
    /// Returns an error that says which flag to change.
    pub(crate) fn check(&self, asked: Asked) -> Result<()> {
        if let Some(n) = self.settings.batch {
            ensure!(
                n == 1,
                "the network takes batches of exactly {n} images: export it with a batch of 1, or of any size"
            );
            ensure!(
                asked.batch == 1,
                "the network takes one image at once: leave out --batch, or export it with a batch of any size"
            );
        }
        let [Some(rows), Some(columns)] = self.settings.sides else {
            return Ok(());
        };
        let fits = |size: ImageSize| (size.height as usize, size.width as usize) == (rows, columns);
        if let Some(window) = asked.window {
            ensure!(
                fits(window),
                "the network takes {columns}x{rows} pixels only: pass --window {columns}x{rows}, or leave it out"
            );
            return Ok(());
        }
        ensure!(
            asked.size.is_some_and(fits),
            "the network takes {columns}x{rows} pixels only: leave out --input-size, or pass --window {columns}x{rows} with it"
        );
        ensure!(
            asked.scales == [1.0],
            "the network takes {columns}x{rows} pixels only: leave out --scales, or pass --window {columns}x{rows} with it"
        );
        Ok(())
    }

    /// Runs pictures of equal size, in one batch. Returns logits, in the order of logits files, or scores: `[N, C, h, w]`.
    ///
    /// # Errors
    /// Returns an error if the network does not take pictures of this size, fails, or gives something else than it should.
    pub(crate) fn run(&self, pictures: &[&RgbImage]) -> Result<Tensor> {
        let settings = &self.settings;
        let first = pictures.first().context("there is no picture to run")?;
        self.check_picture(first)?;
        let n = pictures.len();
        let shape = settings.format.shape(n, first.dimensions());
        let values = settings.format.values(pictures);
        let run = self
            .session
            .run(&settings.input, shape, values, &settings.output)?;
        let channels = settings.order.len();
        let (mut values, [rows, columns]) = run.into_planes(n, channels, settings.output_layout)?;
        let n_pixels = rows * columns;
        for map in values.chunks_exact_mut(channels * n_pixels) {
            self.convert(map, columns)?;
        }
        let values = reordered(values, &settings.order, n_pixels);
        Ok(Tensor::from_vec(
            values,
            (n, channels, rows, columns),
            &Device::Cpu,
        )?)
    }

    /// Refuses a picture that the fixed axes of the input do not allow.
    fn check_picture(&self, picture: &RgbImage) -> Result<()> {
        let sides = [picture.height(), picture.width()];
        for (side, fixed) in sides.into_iter().zip(self.settings.sides) {
            let [rows, columns] = self.settings.sides.map(|side| match side {
                Some(side) => side.to_string(),
                None => "any".to_owned(),
            });
            ensure!(
                fixed.is_none_or(|fixed| side as usize == fixed),
                "the network takes {columns}x{rows} pixels, not {}x{}: pass --input-size, or size images so that windows fit in",
                sides[1],
                sides[0]
            );
        }
        Ok(())
    }

    /// Turns the planes of one map into logits or scores.
    fn convert(&self, map: &mut [f32], columns: usize) -> Result<()> {
        let settings = &self.settings;
        if settings.kind != Kind::Score {
            let (channels, kind) = (settings.order.len(), settings.kind);
            let converted = into_logits(map, channels, Some(kind), columns);
            converted.with_context(|| {
                format!(
                    "its output {:?} is not the {} that --kind says or that is assumed without it",
                    settings.output,
                    kind.name()
                )
            })?;
        } else if settings.negate {
            for value in map {
                *value = -*value;
            }
        }
        Ok(())
    }
}

/// Maps `[N, C, n_pixels]` with their channels in this order.
fn reordered(values: Vec<f32>, order: &[usize], n_pixels: usize) -> Vec<f32> {
    if order.iter().copied().eq(0..order.len()) {
        return values;
    }
    let mut moved = Vec::with_capacity(values.len());
    for map in values.chunks_exact(order.len() * n_pixels) {
        for channel in order {
            moved.extend_from_slice(&map[channel * n_pixels..][..n_pixels]);
        }
    }
    moved
}
