//! Types of numbers in files, and their values as f32.

use std::io::Read;

use anyhow::{Context, Result};
use half::{bf16, f16};

/// A type of numbers, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adopt) enum Number {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
}

/// Bytes that are converted at a time.
const BLOCK: usize = 1 << 16;

impl Number {
    /// Bytes of a value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Whether the numbers have no fractions.
    pub(in crate::adopt) fn is_integer(self) -> bool {
        !matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// Name for people.
    pub(in crate::adopt) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
        }
    }

    /// The floating point type of this size in bytes, if there is one.
    pub(super) fn float(size: usize) -> Option<Self> {
        match size {
            2 => Some(Self::F16),
            4 => Some(Self::F32),
            8 => Some(Self::F64),
            _ => None,
        }
    }

    /// The integer type of this size in bytes, if there is one.
    pub(super) fn integer(size: usize, is_signed: bool) -> Option<Self> {
        match (size, is_signed) {
            (1, true) => Some(Self::I8),
            (2, true) => Some(Self::I16),
            (4, true) => Some(Self::I32),
            (8, true) => Some(Self::I64),
            (1, false) => Some(Self::U8),
            (2, false) => Some(Self::U16),
            (4, false) => Some(Self::U32),
            (8, false) => Some(Self::U64),
            _ => None,
        }
    }

    /// Reads `n` values. Those that f32 cannot hold are rounded, to infinity if they are too large.
    ///
    /// # Errors
    /// Returns an error if there are fewer.
    pub(super) fn read(self, mut from: impl Read, n: usize) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(n);
        let mut block = vec![0; BLOCK.min(n * self.size())];
        let per_block = BLOCK / self.size();
        while values.len() < n {
            let count = per_block.min(n - values.len());
            let bytes = &mut block[..count * self.size()];
            from.read_exact(bytes)
                .with_context(|| format!("its values are cut off or damaged, it must hold {n}"))?;
            self.convert(bytes, &mut values);
        }
        Ok(values)
    }

    fn convert(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F16 => extend(bytes, values, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => extend(bytes, values, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F32 => extend(bytes, values, f32::from_le_bytes),
            Self::F64 => extend(bytes, values, |b| f64::from_le_bytes(b) as f32),
            Self::I8 => extend(bytes, values, |b| f32::from(i8::from_le_bytes(b))),
            Self::I16 => extend(bytes, values, |b| f32::from(i16::from_le_bytes(b))),
            Self::I32 => extend(bytes, values, |b| i32::from_le_bytes(b) as f32),
            Self::I64 => extend(bytes, values, |b| i64::from_le_bytes(b) as f32),
            Self::U8 => extend(bytes, values, |b| f32::from(u8::from_le_bytes(b))),
            Self::U16 => extend(bytes, values, |b| f32::from(u16::from_le_bytes(b))),
            Self::U32 => extend(bytes, values, |b| u32::from_le_bytes(b) as f32),
            Self::U64 => extend(bytes, values, |b| u64::from_le_bytes(b) as f32),
        }
    }
}

fn extend<const N: usize>(bytes: &[u8], values: &mut Vec<f32>, of: impl Fn([u8; N]) -> f32) {
    let (chunks, _) = bytes.as_chunks::<N>();
    values.extend(chunks.iter().map(|&chunk| of(chunk)));
}
