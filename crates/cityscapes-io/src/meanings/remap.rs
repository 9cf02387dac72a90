//! From the values in a label file to the values in a mask.

use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::cityscapes::train_id;
use artifacts::classes::ClassSet;
use artifacts::labels::{IGNORE, MaskKind};
use artifacts::mask::Mask;

use crate::label_file::{CLASS_COLORS, CLASS_NAMES, Values};
use crate::relabel::Relabeling;

/// Name in manifests of the table of Cityscapes label ids, [`train_id`].
const CITYSCAPES_LABEL_IDS: &str = "cityscapes-label-ids";

/// Name in manifests of the table from the values that the class set gives for its data set's own files to train ids.
const CLASS_IDS: &str = "class-ids";

/// Name in manifests of the table that keeps the values of the mask's kind as they are.
pub const UNCHANGED: &str = "unchanged";

/// The value in the mask for each of the 256 values in a label file, `None` for values that may not occur.
#[derive(Clone, Debug)]
pub struct Remap([Option<u8>; 256]);

impl Default for Remap {
    /// A table in which no value may occur.
    fn default() -> Self {
        Self([None; 256])
    }
}

impl Remap {
    /// The table that `values` describe, for masks of `kind`, whose train ids are those of `classes`.
    ///
    /// # Errors
    /// Returns an error for an unknown table, an invalid range, a value that is given twice, and a name that `classes` do not
    /// have.
    pub fn new(values: &Values, kind: MaskKind, classes: Option<&ClassSet>) -> Result<Self> {
        let num_classes = classes.map_or(0, ClassSet::len);
        let mut table = Self::default();
        match values {
            Values::Table(name) if name == CITYSCAPES_LABEL_IDS => {
                for id in 0..=u8::MAX {
                    table.0[usize::from(id)] = train_id(id);
                }
            }
            Values::Table(name) if name == CLASS_IDS => {
                let classes = classes.context("\"class-ids\" belong to masks of train ids")?;
                table.0 = classes.train_ids_of_values();
            }
            Values::Table(name) if name == UNCHANGED => {
                for value in (0..=u8::MAX).filter(|&v| kind.allows(v, num_classes)) {
                    table.0[usize::from(value)] = Some(value);
                }
            }
            Values::Table(name) => {
                bail!(
                    "there is no table {name:?}, only {CITYSCAPES_LABEL_IDS:?}, {CLASS_IDS:?}, {CLASS_COLORS:?}, \
                     {CLASS_NAMES:?} and {UNCHANGED:?}"
                )
            }
            Values::Map(map) => {
                for (range, to) in map {
                    table.add(range, to.resolve(kind, classes)?)?;
                }
            }
        }
        Ok(table)
    }

    /// Adds a value or range of values, which become `to`.
    ///
    /// # Errors
    /// Returns an error if it is not one, or one of the values is there already and becomes something else.
    pub(crate) fn add(&mut self, range: &str, to: u8) -> Result<()> {
        for from in parse_range(range)? {
            let slot = &mut self.0[usize::from(from)];
            ensure!(
                slot.is_none_or(|value| value == to),
                "value {from} is given twice"
            );
            *slot = Some(to);
        }
        Ok(())
    }

    /// Makes all values void that have no other meaning.
    pub(crate) fn others_are_void(&mut self) {
        for slot in &mut self.0 {
            slot.get_or_insert(IGNORE);
        }
    }

    /// The values to which the table leads.
    pub(crate) fn values(&self) -> impl Iterator<Item = u8> {
        self.0.iter().flatten().copied()
    }

    /// The same table, followed by what becomes of its train ids.
    #[must_use]
    pub fn then(self, relabeling: &Relabeling) -> Self {
        Self(self.0.map(|to| to.map(|to| relabeling.get(to))))
    }

    /// Replaces all values of `mask`, which was read from `path`.
    ///
    /// # Errors
    /// Returns an error if there are values without a meaning, with the place of the first one and the number of such pixels.
    pub fn apply(&self, mask: &mut Mask, path: &Path) -> Result<()> {
        let mut n_unknown = 0;
        for_each_run(&mut mask.labels, |run| {
            if self.0[usize::from(run[0])].is_none() {
                n_unknown += run.len();
            }
        });
        if n_unknown > 0 {
            let is_unknown = |&value: &u8| self.0[usize::from(value)].is_none();
            let at = mask.labels.iter().position(is_unknown).unwrap_or(0);
            bail!(
                "{} has the value {} at row {}, column {}, which has no meaning ({n_unknown} pixels have such \
                 values): add it to the values of the data set's manifest (of `index`: --values), or get the file again",
                path.display(),
                mask.labels[at],
                at / mask.width,
                at % mask.width
            );
        }
        let table = self.0.map(|to| to.unwrap_or(IGNORE));
        for_each_run(&mut mask.labels, |run| run.fill(table[usize::from(run[0])]));
        Ok(())
    }
}

/// Splits `labels` into runs of equal values, not necessarily the longest ones, and calls `visit` with each.
///
/// Most neighboring pixels have the same label. One comparison of 64 bits recognizes eight equal labels, which is several
/// times faster than visiting each.
fn for_each_run(labels: &mut [u8], mut visit: impl FnMut(&mut [u8])) {
    let (eights, rest) = labels.as_chunks_mut::<8>();
    for eight in eights {
        if u64::from_ne_bytes(*eight) == u64::from(eight[0]) * 0x0101_0101_0101_0101 {
            visit(eight);
        } else {
            eight.chunks_exact_mut(1).for_each(&mut visit);
        }
    }
    rest.chunks_exact_mut(1).for_each(&mut visit);
}

/// Parses `"7"` or `"2-30"`; both ends are included.
fn parse_range(text: &str) -> Result<RangeInclusive<u8>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let parsed = first.parse::<u8>().ok().zip(last.parse::<u8>().ok());
    parsed
        .filter(|(first, last)| first <= last)
        .map(|(first, last)| first..=last)
        .with_context(|| format!("{text:?} is neither a value nor a range of values within 0-255"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meanings::meaning::Meaning;
    use artifacts::classes::ClassMap;

    fn mask(labels: &[u8]) -> Mask {
        Mask {
            width: labels.len(),
            height: 1,
            labels: labels.to_vec(),
        }
    }

    fn remap(pairs: &[(&str, u8)]) -> Result<Remap> {
        let pairs = pairs
            .iter()
            .map(|&(k, v)| (k.to_owned(), Meaning::Value(v)));
        let map = pairs.collect();
        Remap::new(&Values::Map(map), MaskKind::Eval, None)
    }

    #[test]
    fn values_and_ranges_are_mapped_and_others_refused() -> Result<()> {
        let remap = remap(&[("0", 2), ("1", 0), ("2-30", 1), ("255", 255)])?;
        let mut m = mask(&[0, 1, 2, 30, 255]);
        remap.apply(&mut m, Path::new("m.png"))?;
        assert_eq!(m.labels, [2, 0, 1, 1, 255]);
        let mut long = mask(&[&[30; 20][..], &[1; 9], &[0]].concat());
        remap.apply(&mut long, Path::new("m.png"))?;
        assert_eq!(long.labels, [&[1; 20][..], &[0; 9], &[2]].concat());
        let error = remap
            .apply(&mut mask(&[0, 31]), Path::new("m.png"))
            .expect_err("is refused");
        let text = error.to_string();
        assert!(
            text.contains("m.png has the value 31 at row 0, column 1"),
            "{text}"
        );
        Ok(())
    }

    #[test]
    fn invalid_maps_are_refused() {
        for bad in ["a", "3-2", "256", "-1", "1-"] {
            assert!(remap(&[(bad, 1)]).is_err(), "{bad}");
        }
        assert!(remap(&[("1-3", 1), ("2", 0)]).is_err());
        assert!(Remap::new(&Values::Table("x".into()), MaskKind::TrainId, None).is_err());
    }

    #[test]
    fn unchanged_values_are_those_of_the_kind() -> Result<()> {
        let remap = Remap::new(&Values::Table(UNCHANGED.into()), MaskKind::Proxy, None)?;
        let mut m = mask(&[0, 254, 255]);
        remap.apply(&mut m, Path::new("m.png"))?;
        assert_eq!(m.labels, [0, 254, 255]);
        assert!(remap.apply(&mut mask(&[1]), Path::new("m.png")).is_err());
        Ok(())
    }

    #[test]
    fn label_ids_become_train_ids() -> Result<()> {
        let table = Values::Table(CITYSCAPES_LABEL_IDS.into());
        let mut m = mask(&[0, 7, 26, 33, 3]);
        let cityscapes = ClassSet::cityscapes()?;
        let remap = Remap::new(&table, MaskKind::TrainId, Some(&cityscapes))?;
        remap.apply(&mut m, Path::new("m.png"))?;
        assert_eq!(m.labels, [255, 0, 13, 18, 255]);
        Ok(())
    }

    #[test]
    fn ids_of_a_class_set_become_train_ids_and_can_be_mapped() -> Result<()> {
        let table = Values::Table(CLASS_IDS.into());
        let camvid = ClassSet::open("camvid")?;
        let remap = Remap::new(&table, MaskKind::TrainId, Some(&camvid))?;
        let mut m = mask(&[0, 10, 11, 255]);
        remap.apply(&mut m, Path::new("m.png"))?;
        assert_eq!(m.labels, [0, 10, 255, 255]);
        assert!(remap.apply(&mut mask(&[12]), Path::new("m.png")).is_err());
        let map = ClassMap::open("camvid-to-cityscapes")?;
        let remap = remap.then(&Relabeling::unchanged(camvid).mapped(map)?);
        let mut m = mask(&[0, 3, 6, 11, 255]);
        remap.apply(&mut m, Path::new("m.png"))?;
        assert_eq!(m.labels, [10, 0, 255, 255, 255]);
        assert!(Remap::new(&table, MaskKind::Eval, None).is_err());
        Ok(())
    }
}
