//! The device that a network computes on, and the number format that it computes in.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use clap::ValueEnum;
use seg_ops::Precision;
use serde::{Serialize, Serializer};

/// A device as the command line names it: `cpu`, `cuda`, `cuda:1`, `metal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// The CPU, on all threads.
    Cpu,
    /// An NVIDIA GPU, by number.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl Processor {
    /// Opens the device.
    ///
    /// # Errors
    /// Returns an error if this build has no support for the device, or the machine has no such device.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => {
                self.require(cfg!(feature = "cuda"), "cuda")?;
                Device::new_cuda(number).with_context(|| format!("--device {self} cannot be used"))
            }
            Self::Metal => {
                self.require(cfg!(feature = "metal"), "metal")?;
                Device::new_metal(0).with_context(|| format!("--device {self} cannot be used"))
            }
        }
    }

    /// Refuses a device whose Cargo feature is not compiled in.
    fn require(self, is_built: bool, feature: &str) -> Result<()> {
        ensure!(
            is_built,
            "this build computes on the CPU only: for --device {self} build it with \
             `cargo build --release --features seg-model/{feature}`"
        );
        Ok(())
    }
}

impl FromStr for Processor {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.split_once(':') {
            None if text == "cpu" => Self::Cpu,
            None if text == "cuda" => Self::Cuda(0),
            None if text == "metal" => Self::Metal,
            Some(("cuda", number)) => Self::Cuda(number.parse().ok().with_context(|| {
                format!("a GPU is given by its number, for example cuda:0, not by {number:?}")
            })?),
            _ => bail!("a device is cpu, cuda, cuda:N or metal, not {text:?}"),
        })
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => write!(f, "metal"),
        }
    }
}

impl Serialize for Processor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Number format in which a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// Single precision.
    F32,
    /// Half precision with the range of single precision. On the CPU, convolutions multiply such numbers, and all others are f32.
    Bf16,
    /// Half precision; GPU only.
    F16,
}

impl Numbers {
    /// The precision in which a network multiplies whose tensors are f32.
    pub fn precision(self) -> Precision {
        match self {
            Self::Bf16 => Precision::Bf16,
            Self::F32 | Self::F16 => Precision::F32,
        }
    }

    /// The tensor type on `device`. On the CPU it is f32 for bf16 too, which concerns the [precision](Self::precision) of products alone.
    ///
    /// # Errors
    /// Returns an error for f16 on the CPU, where it would only be slower.
    pub fn on(self, device: &Device) -> Result<DType> {
        ensure!(
            self != Self::F16 || !device.is_cpu(),
            "f16 is for GPUs; on the CPU it is slower: pass --dtype bf16 or f32, or pass --device"
        );
        if device.is_cpu() {
            return Ok(DType::F32);
        }
        Ok(match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_parsed_by_name() -> Result<()> {
        for (text, processor) in [
            ("cpu", Processor::Cpu),
            ("cuda", Processor::Cuda(0)),
            ("cuda:3", Processor::Cuda(3)),
            ("metal", Processor::Metal),
        ] {
            assert_eq!(text.parse::<Processor>()?, processor);
        }
        for bad in ["", "gpu", "cuda:", "cuda:-1", "cpu:0", "CUDA"] {
            assert!(bad.parse::<Processor>().is_err(), "{bad}");
        }
        assert_eq!(Numbers::Bf16.precision(), Precision::Bf16);
        assert_eq!(Numbers::Bf16.on(&Device::Cpu)?, DType::F32);
        assert!(Numbers::F16.on(&Device::Cpu).is_err());
        assert_eq!(Numbers::F32.on(&Device::Cpu)?, DType::F32);
        Ok(())
    }
}
