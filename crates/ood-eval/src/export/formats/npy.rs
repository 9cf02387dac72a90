//! The array format of `NumPy`.

use crate::export::score_map::ScoreMap;

/// A file of version 1.0 with 32-bit floats of shape `[height, width]`, in C order, little-endian.
pub(super) fn encode(map: &ScoreMap) -> Vec<u8> {
    let shape = format!("({}, {})", map.height, map.width);
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // magic string, version, length and header with a final newline fill blocks of 64 bytes
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{header:<0$}\n", length - 1).bytes());
    bytes.extend(map.values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}
