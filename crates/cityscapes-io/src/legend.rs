//! Names and display colors of the values of masks.

use artifacts::classes::ClassSet;
use artifacts::labels::{IGNORE, MaskKind};

/// Name of a mask value. `classes` is the set of train ids.
pub(crate) fn value_name(kind: MaskKind, classes: Option<&ClassSet>, value: u8) -> &str {
    match (kind, value) {
        (_, IGNORE) => "ignore",
        (MaskKind::TrainId, id) => classes
            .and_then(|set| set.classes.get(usize::from(id)))
            .map_or("?", |class| class.name.as_str()),
        (MaskKind::Eval, 0) => "in",
        (MaskKind::Eval, 1) => "out",
        (MaskKind::Eval, _) => "unrated",
        (MaskKind::Proxy | MaskKind::Object, 0) => "background",
        (MaskKind::Proxy | MaskKind::Object, _) => "object",
    }
}

/// Display color of a mask value: red, green and blue. `classes` is the set of train ids.
pub(crate) fn color(kind: MaskKind, classes: Option<&ClassSet>, value: u8) -> [u8; 3] {
    match (kind, value) {
        (_, IGNORE) => [0, 0, 0],
        (MaskKind::TrainId, id) => classes
            .and_then(|set| set.color(usize::from(id)))
            .unwrap_or_default(),
        (MaskKind::Eval, 0) => [144, 238, 144],
        (MaskKind::Eval, 1) | (MaskKind::Proxy, 254) | (MaskKind::Object, 1..) => [255, 64, 64],
        (MaskKind::Eval, _) => [96, 96, 192],
        (MaskKind::Proxy | MaskKind::Object, _) => [128, 64, 128],
    }
}
