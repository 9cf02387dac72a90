//! The label table of Cityscapes: ids in `*_labelIds.png`, names in `*_polygons.json`, classes that are trained.
//!
//! Source: `cityscapesScripts`, `helpers/labels.py`, the 35 labels of the fine annotations.

use crate::labels::IGNORE;

/// One label of Cityscapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Name in polygon files.
    pub name: &'static str,
    /// Value in `*_labelIds.png`; -1 for the label that occurs in polygon files only.
    pub id: i16,
    /// Index 0..=18 of the trained classes, 255 for void, -1 for the label without an id.
    pub train_id: i16,
    /// Group of labels, e.g. `flat`.
    pub category: &'static str,
    /// Whether instances are annotated separately.
    pub has_instances: bool,
    /// Whether pixels of this label are left out of all metrics.
    pub ignore_in_eval: bool,
    /// Customary display color, RGB.
    pub color: [u8; 3],
}

/// All labels, in the order of the original table.
#[rustfmt::skip]
pub const LABELS: [Label; 35] = [
    label("unlabeled",             0, 255, "void",         false, true,  [0, 0, 0]),
    label("ego vehicle",           1, 255, "void",         false, true,  [0, 0, 0]),
    label("rectification border",  2, 255, "void",         false, true,  [0, 0, 0]),
    label("out of roi",            3, 255, "void",         false, true,  [0, 0, 0]),
    label("static",                4, 255, "void",         false, true,  [0, 0, 0]),
    label("dynamic",               5, 255, "void",         false, true,  [111, 74, 0]),
    label("ground",                6, 255, "void",         false, true,  [81, 0, 81]),
    label("road",                  7,   0, "flat",         false, false, [128, 64, 128]),
    label("sidewalk",              8,   1, "flat",         false, false, [244, 35, 232]),
    label("parking",               9, 255, "flat",         false, true,  [250, 170, 160]),
    label("rail track",           10, 255, "flat",         false, true,  [230, 150, 140]),
    label("building",             11,   2, "construction", false, false, [70, 70, 70]),
    label("wall",                 12,   3, "construction", false, false, [102, 102, 156]),
    label("fence",                13,   4, "construction", false, false, [190, 153, 153]),
    label("guard rail",           14, 255, "construction", false, true,  [180, 165, 180]),
    label("bridge",               15, 255, "construction", false, true,  [150, 100, 100]),
    label("tunnel",               16, 255, "construction", false, true,  [150, 120, 90]),
    label("pole",                 17,   5, "object",       false, false, [153, 153, 153]),
    label("polegroup",            18, 255, "object",       false, true,  [153, 153, 153]),
    label("traffic light",        19,   6, "object",       false, false, [250, 170, 30]),
    label("traffic sign",         20,   7, "object",       false, false, [220, 220, 0]),
    label("vegetation",           21,   8, "nature",       false, false, [107, 142, 35]),
    label("terrain",              22,   9, "nature",       false, false, [152, 251, 152]),
    label("sky",                  23,  10, "sky",          false, false, [70, 130, 180]),
    label("person",               24,  11, "human",        true,  false, [220, 20, 60]),
    label("rider",                25,  12, "human",        true,  false, [255, 0, 0]),
    label("car",                  26,  13, "vehicle",      true,  false, [0, 0, 142]),
    label("truck",                27,  14, "vehicle",      true,  false, [0, 0, 70]),
    label("bus",                  28,  15, "vehicle",      true,  false, [0, 60, 100]),
    label("caravan",              29, 255, "vehicle",      true,  true,  [0, 0, 90]),
    label("trailer",              30, 255, "vehicle",      true,  true,  [0, 0, 110]),
    label("train",                31,  16, "vehicle",      true,  false, [0, 80, 100]),
    label("motorcycle",           32,  17, "vehicle",      true,  false, [0, 0, 230]),
    label("bicycle",              33,  18, "vehicle",      true,  false, [119, 11, 32]),
    label("license plate",        -1,  -1, "vehicle",      false, true,  [0, 0, 142]),
];

const fn label(
    name: &'static str,
    id: i16,
    train_id: i16,
    category: &'static str,
    has_instances: bool,
    ignore_in_eval: bool,
    color: [u8; 3],
) -> Label {
    Label {
        name,
        id,
        train_id,
        category,
        has_instances,
        ignore_in_eval,
        color,
    }
}

/// The label with the value `id` in `*_labelIds.png`.
pub fn label_of_id(id: u8) -> Option<&'static Label> {
    LABELS.iter().find(|l| l.id == i16::from(id))
}

/// The label with this name; a trailing `group` (several instances drawn as one) is ignored as in cityscapesScripts'
/// `json2labelImg`.
pub fn label_of_name(name: &str) -> Option<&'static Label> {
    let find = |name: &str| LABELS.iter().find(|l| l.name == name);
    find(name).or_else(|| find(name.strip_suffix("group")?))
}

/// The train id of a label id, [`IGNORE`] for void; `None` for values that are not label ids.
pub fn train_id(label_id: u8) -> Option<u8> {
    let label = label_of_id(label_id)?;
    Some(u8::try_from(label.train_id).unwrap_or(IGNORE))
}

#[cfg(test)]
mod tests {
    use crate::classes::ClassSet;

    use super::*;

    // python -c "from cityscapesscripts.helpers.labels import labels
    // print([(l.id, l.trainId) for l in labels if 0 <= l.trainId < 19])"
    #[test]
    fn train_ids_are_those_of_cityscapes_scripts() {
        let ids = [
            7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
        ];
        for id in 0..=33 {
            let expected = ids
                .iter()
                .position(|&i| i == id)
                .map_or(IGNORE, |at| at as u8);
            assert_eq!(train_id(id), Some(expected), "label id {id}");
        }
        assert_eq!(train_id(34), None);
        assert_eq!(train_id(255), None);
    }

    #[test]
    fn the_trained_classes_are_those_of_the_class_set() -> anyhow::Result<()> {
        let set = ClassSet::cityscapes()?;
        for label in LABELS.iter().filter(|l| (0..255).contains(&l.train_id)) {
            let class = &set.classes[label.train_id as usize];
            assert_eq!(class.name, label.name);
            assert_eq!(class.color.0, label.color);
            assert_eq!(class.id.map(i16::from), Some(label.id));
            assert_eq!(class.category.as_deref(), Some(label.category));
        }
        Ok(())
    }

    #[test]
    fn ids_are_in_order_and_void_is_ignored() {
        for (at, label) in LABELS.iter().enumerate().take(34) {
            assert_eq!(label.id, at as i16);
            assert_eq!(
                label.ignore_in_eval,
                label.train_id == 255,
                "{}",
                label.name
            );
        }
    }

    #[test]
    fn groups_are_their_instances() {
        assert_eq!(label_of_name("cargroup").map(|l| l.id), Some(26));
        assert_eq!(label_of_name("skygroup").map(|l| l.id), Some(23));
        assert_eq!(label_of_name("polegroup").map(|l| l.id), Some(18));
        assert_eq!(label_of_name("dragon"), None);
    }
}
