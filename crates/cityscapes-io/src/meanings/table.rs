//! What the labels of a file mean: a table by values, by colors, or by names.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::{ClassSet, Color};
use artifacts::labels::{IGNORE, MaskKind};
use artifacts::mask::Mask;

use crate::label_file::{CLASS_COLORS, CLASS_NAMES, Format, LabelFile, OTHERS, Values};
use crate::meanings::colors::ColorTable;
use crate::meanings::legend_file::Legend;
use crate::meanings::names::NameTable;
use crate::meanings::remap::Remap;
use crate::polygon_file::read_label_ids;
use crate::relabel::Relabeling;

/// The value in the mask for each label in a file.
#[derive(Clone, Debug)]
pub(crate) enum Table {
    /// By the numbers that a picture holds.
    Values(Box<Remap>),
    /// By the colors that a picture holds.
    Colors(ColorTable),
    /// By the names of categories.
    Names(NameTable),
}

impl Table {
    /// The table that `file` describes, for masks of `kind`, whose train ids are those of `classes`.
    ///
    /// # Errors
    /// Returns an error if labels of this kind are not in such files, for a label that is given twice or cannot be read, and for a
    /// value that masks of `kind` do not have.
    pub(crate) fn new(
        file: &LabelFile,
        kind: MaskKind,
        classes: Option<&ClassSet>,
    ) -> Result<Self> {
        let has_names = file.format.has_names() || file.legend.is_some();
        let table = match &file.values {
            Values::Table(name) if name == CLASS_NAMES => {
                ensure!(
                    has_names,
                    "pictures hold no names: say in which file these are (`legend`), or which values or colors are meant"
                );
                Self::Names(NameTable::of_classes(train_ids(classes, CLASS_NAMES)?))
            }
            _ if file.format.has_names() && matches!(file.values, Values::Table(_)) => {
                bail!("files of this format hold names: write a table of names, or {CLASS_NAMES:?}")
            }
            Values::Table(name) if name == CLASS_COLORS => {
                Self::Colors(ColorTable::of_classes(train_ids(classes, CLASS_COLORS)?)?)
            }
            Values::Map(map) if has_names => {
                let mut table = NameTable::default();
                for (name, to) in map {
                    table.add(name, to.resolve(kind, classes)?)?;
                }
                Self::Names(table)
            }
            Values::Map(map) if map.keys().any(|label| label.starts_with('#')) => {
                let mut table = ColorTable::default();
                for (color, to) in map {
                    table.add(Color::try_from(color.clone())?, to.resolve(kind, classes)?)?;
                }
                Self::Colors(table)
            }
            values => Self::Values(Box::new(Remap::new(values, kind, classes)?)),
        };
        let table = table.with_void(&file.void)?;
        table.check_values(kind, classes)?;
        Ok(table)
    }

    /// The same table in which the labels `void` are void too.
    fn with_void(mut self, void: &[String]) -> Result<Self> {
        for label in void {
            match &mut self {
                Self::Values(table) if label == OTHERS => table.others_are_void(),
                Self::Colors(table) if label == OTHERS => table.others_are_void(),
                Self::Names(table) if label == OTHERS => table.others_are_void(),
                Self::Values(table) => table.add(label, IGNORE)?,
                Self::Colors(table) => table.add(Color::try_from(label.clone())?, IGNORE)?,
                Self::Names(table) => table.add(label, IGNORE)?,
            }
        }
        Ok(self)
    }

    fn check_values(&self, kind: MaskKind, classes: Option<&ClassSet>) -> Result<()> {
        let num_classes = classes.map_or(0, ClassSet::len);
        let is_wrong = |value: &u8| !kind.allows(*value, num_classes);
        let wrong = match self {
            Self::Values(table) => table.values().find(is_wrong),
            Self::Colors(table) => table.values().find(is_wrong),
            Self::Names(table) => table.values().find(is_wrong),
        };
        match wrong {
            Some(wrong) => bail!("the value {wrong} does not exist in {kind:?} masks"),
            None => Ok(()),
        }
    }

    /// The same table, followed by what becomes of its train ids.
    pub(crate) fn then(self, relabeling: &Relabeling) -> Self {
        match self {
            Self::Values(table) => Self::Values(Box::new(table.then(relabeling))),
            Self::Colors(table) => Self::Colors(table.then(relabeling)),
            Self::Names(table) => Self::Names(table.then(relabeling)),
        }
    }

    /// The table of the labels that the file `path` names.
    ///
    /// # Errors
    /// Returns an error that lists the names without a meaning, or if a label is named twice.
    pub(crate) fn with_legend(&self, legend: &Legend, path: &Path) -> Result<Self> {
        let names = self.names()?;
        let unusable = || format!("{} cannot be used", path.display());
        let all: Vec<&str> = match legend {
            Legend::Colors(colors) => colors.iter().map(|(_, name)| name.as_str()).collect(),
            Legend::Values(values) => values.iter().map(|(_, name)| name.as_str()).collect(),
        };
        let places = all.iter().map(|name| (*name, "its line".to_owned()));
        let meanings = names.all(&places.collect::<Vec<_>>(), path)?;
        match legend {
            Legend::Colors(colors) => {
                let mut table = ColorTable::default();
                for ((color, _), value) in colors.iter().zip(meanings) {
                    table.add(*color, value).with_context(unusable)?;
                }
                Ok(Self::Colors(table))
            }
            Legend::Values(values) => {
                let mut table = Remap::default();
                for ((label, _), value) in values.iter().zip(meanings) {
                    table
                        .add(&label.to_string(), value)
                        .with_context(unusable)?;
                }
                Ok(Self::Values(Box::new(table)))
            }
        }
    }

    /// The table, if it is one by names.
    ///
    /// # Errors
    /// Returns an error if it is another one.
    pub(crate) fn names(&self) -> Result<&NameTable> {
        match self {
            Self::Names(names) => Ok(names),
            Self::Values(_) | Self::Colors(_) => bail!("its labels are not told apart by name"),
        }
    }

    /// Reads the picture in the file `path`, or the polygons of Cityscapes in a `.json`.
    ///
    /// # Errors
    /// Returns an error if the file is damaged, or has a label without a meaning.
    pub(crate) fn read_picture(&self, path: &Path) -> Result<Mask> {
        let remap = match self {
            Self::Values(remap) => remap,
            Self::Colors(colors) => return colors.read(path),
            Self::Names(_) => bail!("{} has no names without a legend", path.display()),
        };
        let is_polygons = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let mut mask = if is_polygons {
            read_label_ids(path)?
        } else {
            Mask::read_raw(path)?
        };
        remap.apply(&mut mask, path)?;
        Ok(mask)
    }
}

/// The classes, or the error that there are none to which the table `name` could lead.
fn train_ids<'a>(classes: Option<&'a ClassSet>, name: &str) -> Result<&'a ClassSet> {
    classes.with_context(|| format!("{name:?} belong to masks of train ids"))
}

/// Checks the members of a label file that not all formats have.
///
/// # Errors
/// Returns an error that names the member and the format.
pub(crate) fn check_members(file: &LabelFile) -> Result<()> {
    let LabelFile {
        format,
        legend,
        background,
        overlaps,
        ..
    } = file;
    match format {
        Format::CocoPanoptic => ensure!(
            legend.is_some(),
            "COCO panoptic needs a `legend`, which is panoptic_*.json"
        ),
        Format::Image => {}
        Format::Coco | Format::Labelme | Format::Cvat => {
            ensure!(legend.is_none(), "files with names have no `legend`");
        }
    }
    let is_partial = format.has_shapes() || *format == Format::CocoPanoptic;
    ensure!(
        is_partial || background.is_none(),
        "pictures have a label everywhere, so that `background` has no meaning"
    );
    ensure!(
        format.has_shapes() || *overlaps == crate::label_file::Overlaps::Later,
        "only shapes overlap, so that `overlaps` has no meaning"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label_file::Overlaps;
    use crate::meanings::meaning::Meaning;

    /// The table for masks of kind `eval`, with these values, of which `void` are void too.
    fn table(format: Format, values: &[(&str, u8)], void: &[&str]) -> Result<Table> {
        let values = values.iter();
        let values = values.map(|&(from, to)| (from.to_owned(), Meaning::Value(to)));
        let file = LabelFile {
            path: "{id}.png".to_owned(),
            format,
            values: Values::Map(values.collect()),
            void: void.iter().map(|&label| label.to_owned()).collect(),
            legend: None,
            background: None,
            overlaps: Overlaps::Later,
        };
        Table::new(&file, MaskKind::Eval, None)
    }

    #[test]
    fn labels_say_which_table_it_is_and_values_are_checked() -> Result<()> {
        let image = Format::Image;
        assert!(matches!(
            table(image, &[("0-3", 1)], &["7"])?,
            Table::Values(_)
        ));
        assert!(matches!(
            table(image, &[("#000000", 1)], &["others"])?,
            Table::Colors(_)
        ));
        assert!(matches!(
            table(Format::Coco, &[("#dog", 1)], &["7"])?,
            Table::Names(_)
        ));
        for (format, values, void) in [
            (image, ("1", 3), "255"),
            (image, ("1", 1), "1"),
            (image, ("#00000G", 1), "others"),
            (image, ("dog", 1), "others"),
            (Format::Labelme, ("dog", 3), "others"),
            (Format::Labelme, ("dog", 1), "dog"),
        ] {
            assert!(table(format, &[values], &[void]).is_err(), "{values:?}");
        }
        Ok(())
    }
}
