//! From the names of categories to the values of a mask.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use artifacts::classes::ClassSet;

use crate::meanings::label_values::LabelValues;
use crate::meanings::without_meaning::{UnknownLabel, WithoutMeaning};

/// The value in the mask for each name. Names are compared exactly.
pub(crate) type NameTable = LabelValues<String>;

impl NameTable {
    /// The names of `classes`.
    pub(crate) fn of_classes(classes: &ClassSet) -> Self {
        let names = classes.classes.iter().map(|class| class.name.clone());
        Self {
            values: names.zip(0..).collect(),
            others_void: false,
        }
    }

    /// Adds a name.
    ///
    /// # Errors
    /// Returns an error if it is there already with another value.
    pub(crate) fn add(&mut self, name: &str, value: u8) -> Result<()> {
        let other = self.values.insert(name.to_owned(), value);
        let is_same = other.is_none_or(|other| other == value);
        ensure!(is_same, "the name {name:?} is given twice");
        Ok(())
    }

    /// The values of `names`, which are those of the shapes in the file `path`, each with its place for people.
    ///
    /// # Errors
    /// Returns [`WithoutMeaning`] with all names that have no meaning.
    pub(crate) fn all(&self, names: &[(&str, String)], path: &Path) -> Result<Vec<u8>> {
        let mut unknown: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        let mut values = Vec::with_capacity(names.len());
        for (name, place) in names {
            match self.get(*name) {
                Some(value) => values.push(value),
                None => unknown.entry(name).or_insert((0, place)).0 += 1,
            }
        }
        if unknown.is_empty() {
            return Ok(values);
        }
        let labels = unknown
            .into_iter()
            .map(|(name, (count, first))| UnknownLabel {
                name: format!("{name:?}"),
                count,
                first: first.to_owned(),
            });
        let mut labels: Vec<UnknownLabel> = labels.collect();
        labels.sort_by_key(|label| std::cmp::Reverse(label.count));
        Err(WithoutMeaning {
            path: path.to_owned(),
            noun: "category",
            unit: "shapes",
            labels,
        }
        .into())
    }
}
