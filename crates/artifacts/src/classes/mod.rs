//! Class sets: which classes a network tells apart, and in which order.
//!
//! A class set is data: a file `data-manifests/classes/NAME.toml`, or one of the user's own. It travels with everything that is
//! made with it (index, weights, logits, tables), so that no stage has to know a data set, and none guesses what a number means.
//!
//! The position of a class in its set is its **train id**: the value of its pixels in a mask and its channel in a logits file.

mod channels;
mod map;
mod shipped;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

pub use channels::{Channel, ChannelTable, OtherChannel, VoidChannel};
pub use map::ClassMap;

use crate::atomic::{read_json, write_json};
use crate::labels::IGNORE;
use crate::toml_file;

/// File in the output of stages whose tables have columns or rows of classes.
pub const FILE_NAME: &str = "classes.json";

/// Largest number of classes: 254 and 255 are other things in masks (unknown objects in training, and void).
pub const MAX_CLASSES: usize = 254;

/// An ordered set of classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSet {
    /// Name for flags and messages, e.g. `camvid`.
    pub name: String,
    /// Name for people, e.g. `CamVid, 11 classes`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Web page of the data set that defines the classes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Values in the data set's own label files that are void, beside 255.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub void_ids: Vec<u8>,
    /// The classes, by train id.
    pub classes: Vec<Class>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Name, e.g. `traffic light`; unique in its set.
    pub name: String,
    /// Display color.
    pub color: Color,
    /// Value in the data set's own label files; the train id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u8>,
    /// Group of classes, e.g. `vehicle`, where the data set has groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

/// An RGB color, written `#804080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Color(pub [u8; 3]);

impl TryFrom<String> for Color {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        let digits = text.strip_prefix('#').filter(|digits| {
            digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        });
        let digits = digits
            .with_context(|| format!("{text:?} is not a color: write it like \"#804080\""))?;
        let number = u32::from_str_radix(digits, 16)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl From<Color> for String {
    fn from(Color([red, green, blue]): Color) -> Self {
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

impl ClassSet {
    /// The class set of this name that is compiled into the program, or the one in this file.
    ///
    /// # Errors
    /// Returns an error that lists the names if there is no such set or file, and an error that names the place if the file
    /// does not describe a class set.
    pub fn open(name_or_file: &str) -> Result<Self> {
        if let Some(text) = shipped::text(name_or_file) {
            return Self::parse(text);
        }
        let path = Path::new(name_or_file);
        if !path.exists() {
            bail!(
                "there is no class set {name_or_file:?}: name a file, or one of {}",
                shipped::names().collect::<Vec<_>>().join(", ")
            );
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no class set", path.display()))
    }

    /// The same for a name that a file in `folder` gives: other files are looked for there.
    ///
    /// # Errors
    /// Returns the errors of [`Self::open`].
    pub fn open_beside(name_or_file: &str, folder: Option<&Path>) -> Result<Self> {
        let beside = folder.map(|folder| folder.join(name_or_file));
        match beside.filter(|path| path.is_file()) {
            Some(path) => Self::open(&path.to_string_lossy()),
            None => Self::open(name_or_file),
        }
    }

    /// The 19 classes of Cityscapes, which files of earlier versions imply.
    ///
    /// # Errors
    /// Returns an error if the description that is compiled in is damaged.
    pub fn cityscapes() -> Result<Self> {
        Self::open("cityscapes")
    }

    /// `num_classes` classes about which nothing is known but their number: `class 0`, `class 1` ... in shades of gray.
    ///
    /// # Errors
    /// Returns an error if there are fewer than two or more than [`MAX_CLASSES`].
    pub fn unnamed(num_classes: usize) -> Result<Self> {
        let last = num_classes.saturating_sub(1).max(1);
        let gray = |position: usize| (255 * position.min(last) / last) as u8;
        let class = |position| Class {
            name: format!("class {position}"),
            color: Color([gray(position); 3]),
            id: None,
            category: None,
        };
        let set = Self {
            name: "unnamed".to_owned(),
            title: String::new(),
            url: String::new(),
            void_ids: Vec::new(),
            classes: (0..num_classes.min(MAX_CLASSES + 1)).map(class).collect(),
        };
        set.check()?;
        Ok(set)
    }

    /// The classes that files imply which name a number only, as those of earlier versions: 19 are those of Cityscapes, others are
    /// unnamed.
    ///
    /// # Errors
    /// Returns the errors of [`Self::unnamed`].
    pub fn implied(num_classes: usize) -> Result<Self> {
        let cityscapes = Self::cityscapes()?;
        if num_classes == cityscapes.len() {
            return Ok(cityscapes);
        }
        Self::unnamed(num_classes)
    }

    /// Writes `dir/classes.json`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }

    /// Reads `dir/classes.json`; outputs of earlier versions have none, and their classes are those of Cityscapes.
    ///
    /// # Errors
    /// Returns an error if the file is damaged.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        if !path.exists() {
            return Self::cityscapes();
        }
        let set: Self = read_json(&path)?;
        let checked = set.check();
        checked.with_context(|| format!("{} cannot be used", path.display()))?;
        Ok(set)
    }

    /// All class sets that are compiled in, sorted by name.
    ///
    /// # Errors
    /// Returns an error if a description that is compiled in is damaged.
    pub fn shipped() -> Result<Vec<Self>> {
        shipped::names().map(Self::open).collect()
    }

    fn parse(text: &str) -> Result<Self> {
        let set: Self = toml_file::parse(text)?;
        set.check()?;
        Ok(set)
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// Returns an error if there are fewer than two classes or more than [`MAX_CLASSES`], or a name or a value occurs twice.
    pub fn check(&self) -> Result<()> {
        let n = self.classes.len();
        ensure!(
            (2..=MAX_CLASSES).contains(&n),
            "the class set {:?} has {n} classes, not 2 to {MAX_CLASSES}",
            self.name
        );
        for (position, class) in self.classes.iter().enumerate() {
            ensure!(
                !class.name.trim().is_empty(),
                "class {position} of {:?} has no name",
                self.name
            );
            let others = &self.classes[..position];
            if let Some(other) = others.iter().position(|other| other.name == class.name) {
                bail!(
                    "classes {other} and {position} of {:?} are both called {:?}",
                    self.name,
                    class.name
                );
            }
        }
        self.check_ids()
    }

    fn check_ids(&self) -> Result<()> {
        let mut owners: [Option<&str>; 256] = [None; 256];
        let classes = self.classes.iter().enumerate();
        let classes = classes.map(|(position, class)| (class.id_at(position), class.name.as_str()));
        let void = self.void_ids.iter().map(|&id| (id, "void"));
        for (id, owner) in classes.chain(void) {
            let slot = &mut owners[usize::from(id)];
            if let Some(other) = slot.replace(owner) {
                bail!(
                    "the value {id} of {:?} is both {other:?} and {owner:?}",
                    self.name
                );
            }
        }
        Ok(())
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is no class; never true of a checked set.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Names of the classes, by train id.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.classes.iter().map(|class| class.name.as_str())
    }

    /// Display color of a train id, if there is such a class.
    pub fn color(&self, train_id: usize) -> Option<[u8; 3]> {
        self.classes.get(train_id).map(|class| class.color.0)
    }

    /// Train id of the class with this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names().position(|other| other == name)
    }

    /// Train id for each value in the data set's own label files; 255 for void, `None` for values that do not occur.
    pub fn train_ids_of_values(&self) -> [Option<u8>; 256] {
        let mut table = [None; 256];
        table[usize::from(IGNORE)] = Some(IGNORE);
        for &id in &self.void_ids {
            table[usize::from(id)] = Some(IGNORE);
        }
        for (train_id, class) in self.classes.iter().enumerate() {
            table[usize::from(class.id_at(train_id))] = Some(train_id as u8);
        }
        table
    }

    /// Checks that another set has the same classes in the same order; colors and groups may differ.
    ///
    /// # Errors
    /// Returns an error that names both sets and the first difference.
    pub fn ensure_same(&self, other: &Self) -> Result<()> {
        let (n, n_other) = (self.len(), other.len());
        ensure!(
            n == n_other,
            "{:?} has {n} classes, {:?} has {n_other}",
            self.name,
            other.name
        );
        let pairs = self.names().zip(other.names());
        if let Some((position, (a, b))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
            bail!(
                "class {position} is {a:?} in {:?}, but {b:?} in {:?}",
                self.name,
                other.name
            );
        }
        Ok(())
    }
}

impl Class {
    /// Value in the data set's own label files of the class with this train id.
    fn id_at(&self, train_id: usize) -> u8 {
        // a set has at most 254 classes
        self.id.unwrap_or(train_id as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(classes: &str) -> Result<ClassSet> {
        ClassSet::parse(&format!("name = \"own\"\nclasses = [{classes}]"))
    }

    #[test]
    fn every_shipped_set_can_be_used_and_has_the_name_of_its_file() -> Result<()> {
        let sets = ClassSet::shipped()?;
        assert!(
            sets.iter().map(|s| &s.name).eq(shipped::names()
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .iter())
        );
        let cityscapes = ClassSet::cityscapes()?;
        assert_eq!(cityscapes.len(), 19);
        assert_eq!(cityscapes.position("bicycle"), Some(18));
        assert_eq!(cityscapes.color(18), Some([119, 11, 32]));
        Ok(())
    }

    #[test]
    fn a_set_survives_json() -> Result<()> {
        let own = set(
            r##"{ name = "a", color = "#0102ff" }, { name = "b", color = "#000000", id = 7, category = "c" }"##,
        )?;
        let text = serde_json::to_string(&own)?;
        assert!(text.contains("#0102FF"), "{text}");
        assert_eq!(serde_json::from_str::<ClassSet>(&text)?, own);
        Ok(())
    }

    #[test]
    fn a_folder_without_the_file_means_cityscapes() -> Result<()> {
        let dir = tempfile::tempdir()?;
        assert_eq!(ClassSet::read(dir.path())?, ClassSet::cityscapes()?);
        let camvid = ClassSet::open("camvid")?;
        camvid.write(dir.path())?;
        assert_eq!(ClassSet::read(dir.path())?, camvid);
        Ok(())
    }

    #[test]
    fn faults_are_named() {
        let a = r##"{ name = "a", color = "#000000" }"##;
        let fails = |classes: &str, expected: &str| {
            let error = format!("{:#}", set(classes).expect_err(expected));
            assert!(error.contains(expected), "{error}");
        };
        fails(a, "has 1 classes");
        fails(&format!("{a}, {a}"), "both called \"a\"");
        fails(
            &format!(r#"{a}, {{ name = "b", color = "red" }}"#),
            "not a color",
        );
        fails(
            &format!(r##"{a}, {{ name = "b", color = "#00000é" }}"##),
            "not a color",
        );
        fails(
            &format!(r##"{a}, {{ name = " ", color = "#000000" }}"##),
            "no name",
        );
        fails(
            &format!(r##"{a}, {{ name = "b", color = "#000000", id = 0 }}"##),
            "the value 0",
        );
        let error = format!("{:#}", ClassSet::open("camvib").expect_err("unknown"));
        assert!(error.contains("camvid"), "{error}");
    }

    #[test]
    fn sets_are_compared_by_their_names_in_order() -> Result<()> {
        let a = set(r##"{ name = "a", color = "#000000" }, { name = "b", color = "#000000" }"##)?;
        let b = set(r##"{ name = "b", color = "#000000" }, { name = "a", color = "#000000" }"##)?;
        let c = set(r##"{ name = "a", color = "#111111" }, { name = "b", color = "#000000" }"##)?;
        a.ensure_same(&c)?;
        let error = format!("{:#}", a.ensure_same(&b).expect_err("another order"));
        assert!(error.starts_with("class 0 is \"a\""), "{error}");
        Ok(())
    }
}
