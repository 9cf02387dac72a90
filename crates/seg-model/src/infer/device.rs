//! Where a network computes, and in which numbers.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// A processor as the command line names it: `cpu`, `cuda`, `cuda:1`, `metal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// All cores.
    Cpu,
    /// An NVIDIA GPU, by number.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl Processor {
    /// Makes it ready.
    ///
    /// # Errors
    /// If this build cannot use it, or there is none.
    pub fn open(self) -> Result<Device> {
        let needs = |is_built: bool, feature: &str| {
            ensure!(
                is_built,
                "this build computes on the CPU only: for --device {self} build it with \
                 `cargo build --release --features seg-model/{feature}`"
            );
            Ok(())
        };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => {
                needs(cfg!(feature = "cuda"), "cuda")?;
                Device::new_cuda(number).with_context(|| format!("--device {self} cannot be used"))
            }
            Self::Metal => {
                needs(cfg!(feature = "metal"), "metal")?;
                Device::new_metal(0).with_context(|| format!("--device {self} cannot be used"))
            }
        }
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
                format!("a GPU has a number, as in cuda:0, which {number:?} is not")
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

/// Numbers in which a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// Single precision.
    F32,
    /// Half precision with the range of single precision; GPU only.
    Bf16,
    /// Half precision; GPU only.
    F16,
}

impl Numbers {
    /// The type for `device`.
    ///
    /// # Errors
    /// For half precision on the CPU, where it would only be slower.
    pub fn on(self, device: &Device) -> Result<DType> {
        ensure!(
            self == Self::F32 || !device.is_cpu(),
            "half precision is for GPUs, on the CPU it is slower: leave out --dtype, or pass --device"
        );
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
    fn processors_by_name() -> Result<()> {
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
        assert!(Numbers::F16.on(&Device::Cpu).is_err());
        assert_eq!(Numbers::F32.on(&Device::Cpu)?, DType::F32);
        Ok(())
    }
}
