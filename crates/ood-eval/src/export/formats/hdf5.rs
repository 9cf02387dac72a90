//! HDF5 as the benchmark reads it.

use anyhow::{Context, Result, ensure};
use half::f16;
use hdf5_pure::{Datatype, DatatypeByteOrder, FileBuilder, FloatingPointLayout};

use crate::export::score_map::ScoreMap;

/// Number of rows that are compressed together.
const CHUNK_ROWS: usize = 64;

/// IEEE 754 half floats, little-endian.
const HALF: Datatype = Datatype::FloatingPoint {
    size: 2,
    byte_order: DatatypeByteOrder::LittleEndian,
    layout: FloatingPointLayout {
        bit_offset: 0,
        bit_precision: 16,
        exponent_location: 10,
        exponent_size: 5,
        mantissa_location: 0,
        mantissa_size: 10,
        exponent_bias: 15,
    },
};

/// A file with the data set `value`: half floats of shape `[height, width]`, compressed with gzip at level 9.
///
/// This is what `ChannelLoaderHDF5` of road-anomaly-benchmark writes.
///
/// # Errors
/// Returns an error if a score exceeds the range of half floats.
pub(super) fn encode(map: &ScoreMap) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2 * map.values.len());
    for &value in &map.values {
        let half = f16::from_f32(value);
        ensure!(
            half.is_finite(),
            "score {value} exceeds 16-bit floats: choose --format npy, or another --score of logits"
        );
        bytes.extend(half.to_le_bytes());
    }
    let shape = [map.height as u64, map.width as u64];
    let mut file = FileBuilder::new();
    file.create_dataset("value")
        .with_raw_data(HALF, bytes, map.values.len() as u64)
        .with_shape(&shape)
        .with_chunks(&[CHUNK_ROWS.min(map.height) as u64, shape[1]])
        .with_deflate(9);
    file.finish().context("could not encode the scores as HDF5")
}
