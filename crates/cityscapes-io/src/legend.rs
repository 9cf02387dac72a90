//! Names and display colors of the values of masks.

use artifacts::labels::{CLASS_COLORS, CLASS_NAMES, IGNORE, MaskKind};

/// Name of a mask value, one word.
pub(crate) fn value_name(kind: MaskKind, value: u8) -> &'static str {
    match (kind, value) {
        (_, IGNORE) => "ignore",
        (MaskKind::TrainId, class) => CLASS_NAMES.get(usize::from(class)).copied().unwrap_or("?"),
        (MaskKind::Eval, 0) => "in",
        (MaskKind::Eval, 1) => "out",
        (MaskKind::Eval, _) => "unrated",
        (MaskKind::Proxy, 0) => "background",
        (MaskKind::Proxy, _) => "object",
    }
}

/// Display color of a mask value: red, green and blue.
pub(crate) fn color(kind: MaskKind, value: u8) -> [u8; 3] {
    match (kind, value) {
        (_, IGNORE) => [0, 0, 0],
        (MaskKind::TrainId, class) => *CLASS_COLORS.get(usize::from(class)).unwrap_or(&[0; 3]),
        (MaskKind::Eval, 0) => [144, 238, 144],
        (MaskKind::Eval, 1) | (MaskKind::Proxy, 254) => [255, 64, 64],
        (MaskKind::Eval, _) => [96, 96, 192],
        (MaskKind::Proxy, _) => [128, 64, 128],
    }
}
