//! From the colors of a color-coded mask to the values of a mask.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use artifacts::classes::{ClassSet, Color};
use artifacts::label_picture::read_colors;
use artifacts::labels::IGNORE;
use artifacts::mask::Mask;

use crate::meanings::label_values::LabelValues;
use crate::meanings::without_meaning::{UnknownLabel, WithoutMeaning};

/// The value in the mask for each color. Colors are compared exactly: a color that is nearly one of these is another one.
pub(crate) type ColorTable = LabelValues<[u8; 3]>;

impl ColorTable {
    /// The colors of `classes`.
    ///
    /// # Errors
    /// Returns an error if two classes have the same color.
    pub(crate) fn of_classes(classes: &ClassSet) -> Result<Self> {
        let mut table = Self::default();
        for (class, train_id) in classes.classes.iter().zip(0..) {
            table.add(class.color, train_id).with_context(|| {
                format!(
                    "classes of {:?} cannot be told apart by color: write a table of colors",
                    classes.name
                )
            })?;
        }
        Ok(table)
    }

    /// Adds a color.
    ///
    /// # Errors
    /// Returns an error if it is there already.
    pub(crate) fn add(&mut self, color: Color, value: u8) -> Result<()> {
        if self.values.insert(color.0, value).is_some() {
            bail!("the color {} is given twice", String::from(color));
        }
        Ok(())
    }

    /// Reads the color-coded mask in the file `path`.
    ///
    /// # Errors
    /// Returns the errors of [`read_colors`], and [`WithoutMeaning`] for colors that are not in the table.
    pub(crate) fn read(&self, path: &Path) -> Result<Mask> {
        let picture = read_colors(path)?;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let (pixels, _) = picture.as_raw().as_chunks::<3>();
        let mut labels = Vec::with_capacity(pixels.len());
        let mut unknown = Unknown::default();
        // most neighboring pixels have the same color
        let mut last = None;
        for (at, &color) in pixels.iter().enumerate() {
            let value = match last {
                Some((previous, value)) if previous == color => value,
                _ => self.get(&color),
            };
            last = Some((color, value));
            if value.is_none() {
                unknown.count(color, at);
            }
            labels.push(value.unwrap_or(IGNORE));
        }
        unknown.refuse(path, width)?;
        Ok(Mask {
            width,
            height,
            labels,
        })
    }
}

/// Colors that are not in the table: how many pixels have them, and the position of the first.
#[derive(Default)]
struct Unknown(BTreeMap<[u8; 3], (u64, usize)>);

impl Unknown {
    fn count(&mut self, color: [u8; 3], at: usize) {
        self.0.entry(color).or_insert((0, at)).0 += 1;
    }

    fn refuse(self, path: &Path, width: usize) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let labels = self.0.into_iter().map(|(color, (count, at))| UnknownLabel {
            name: String::from(Color(color)),
            count,
            first: format!("row {}, column {}", at / width, at % width),
        });
        let mut labels: Vec<UnknownLabel> = labels.collect();
        labels.sort_by_key(|label| std::cmp::Reverse(label.count));
        Err(WithoutMeaning {
            path: path.to_owned(),
            noun: "color",
            unit: "pixels",
            labels,
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::classes::ClassMap;

    use crate::relabel::Relabeling;

    fn written(colors: &[[u8; 3]]) -> Result<(tempfile::TempDir, std::path::PathBuf)> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("mask.png");
        let raw = colors.concat();
        let picture = image::RgbImage::from_raw(2, colors.len() as u32 / 2, raw);
        picture.context("two columns")?.save(&path)?;
        Ok((dir, path))
    }

    #[test]
    fn colors_become_values_and_unknown_ones_are_listed() -> Result<()> {
        let camvid = ClassSet::open("camvid")?;
        let mut table = ColorTable::of_classes(&camvid)?;
        let (road, sky, near) = ([128, 64, 128], [128; 3], [128, 64, 129]);
        let (_dir, path) = written(&[road, sky, sky, road])?;
        assert_eq!(table.read(&path)?.labels, [3, 0, 0, 3]);
        let (_dir, path) = written(&[road, near, [0; 3], near])?;
        let error = table.read(&path).expect_err("two colors").to_string();
        let expected = "colors without a meaning: #804081 (2 pixels, the first at row 0, column 1), #000000 (1 pixels, the \
                        first at row 1, column 0): add them";
        assert!(error.contains(expected), "{error}");
        table.others_are_void();
        assert_eq!(table.read(&path)?.labels, [3, 255, 255, 255]);
        let map = ClassMap::open("camvid-to-cityscapes")?;
        assert_eq!(
            table
                .then(&Relabeling::unchanged(camvid).mapped(map)?)
                .read(&path)?
                .labels,
            [0, 255, 255, 255]
        );
        Ok(())
    }

    #[test]
    fn colors_are_given_once() -> Result<()> {
        let mut table = ColorTable::default();
        table.add(Color([1, 2, 3]), 0)?;
        let error = table.add(Color([1, 2, 3]), 1).expect_err("twice");
        assert!(error.to_string().contains("#010203"), "{error}");
        Ok(())
    }
}
