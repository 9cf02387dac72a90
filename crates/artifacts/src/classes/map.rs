//! Maps between class sets: which class of one set is the same thing as which class of another.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{ClassSet, shipped};
use crate::labels::IGNORE;
use crate::toml_file;

/// A map from the classes of one set to those of another. Several classes may become the same one; a class that has no
/// counterpart, or mixes several, becomes void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassMap {
    /// The set whose train ids are mapped.
    pub from: ClassSet,
    /// The set whose train ids are the result.
    pub to: ClassSet,
    /// Train id in `to` for each train id in `from`; [`IGNORE`] for void.
    pub train_ids: Vec<u8>,
}

/// A map as `data-manifests/class-maps/A-to-B.toml` has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapFile {
    from: String,
    to: String,
    classes: BTreeMap<String, String>,
}

impl ClassMap {
    /// The map of this name that is compiled into the program, or the one in this file. Class sets that a file names are looked
    /// for beside it.
    ///
    /// # Errors
    /// Returns an error that lists the names if there is no such map or file, and an error if it names a class set or a class
    /// that does not exist.
    pub fn open(name_or_file: &str) -> Result<Self> {
        if let Some(text) = shipped::map_text(name_or_file) {
            return Self::parse(text, None);
        }
        let path = Path::new(name_or_file);
        if !path.exists() {
            bail!(
                "there is no map of classes {name_or_file:?}: name a file, or one of {}",
                shipped::map_names().collect::<Vec<_>>().join(", ")
            );
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        Self::parse(&text, path.parent())
            .with_context(|| format!("{} is no map of classes", path.display()))
    }

    /// All maps that are compiled in, sorted by name.
    ///
    /// # Errors
    /// Returns an error if a description that is compiled in is damaged.
    pub fn shipped() -> Result<Vec<Self>> {
        shipped::map_names().map(Self::open).collect()
    }

    fn parse(text: &str, folder: Option<&Path>) -> Result<Self> {
        let file: MapFile = toml_file::parse(text)?;
        let from = ClassSet::open_beside(&file.from, folder)?;
        let to = ClassSet::open_beside(&file.to, folder)?;
        let mut train_ids = vec![IGNORE; from.len()];
        for (name, counterpart) in &file.classes {
            let position = from.position(name);
            let position =
                position.with_context(|| format!("{:?} has no class {name:?}", from.name))?;
            let target = to.position(counterpart);
            let target =
                target.with_context(|| format!("{:?} has no class {counterpart:?}", to.name))?;
            train_ids[position] = target as u8; // a set has at most 254 classes
        }
        ensure!(
            train_ids.iter().any(|&id| id != IGNORE),
            "no class of {:?} has a counterpart",
            from.name
        );
        Ok(Self {
            from,
            to,
            train_ids,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_map_can_be_used() -> Result<()> {
        for name in shipped::map_names() {
            let map = ClassMap::open(name)?;
            assert_eq!(name, format!("{}-to-{}", map.from.name, map.to.name));
        }
        let map = ClassMap::open("camvid-to-cityscapes")?;
        let [sky, sign] = [0, 6].map(|camvid: usize| map.train_ids[camvid]);
        assert_eq!((sky, sign), (10, IGNORE));
        Ok(())
    }

    #[test]
    fn faults_are_named() {
        let fails = |text: &str, expected: &str| {
            let error = ClassMap::parse(text, None).expect_err(expected);
            let error = format!("{error:#}");
            assert!(error.contains(expected), "{error}");
        };
        let head = "from = \"camvid\"\nto = \"cityscapes\"\n[classes]\n";
        fails(&format!("{head}\"skye\" = \"sky\""), "no class \"skye\"");
        fails(&format!("{head}\"sky\" = \"skye\""), "no class \"skye\"");
        fails(head, "no class of \"camvid\" has a counterpart");
        fails("from = \"camvib\"\nto = \"idd\"\n[classes]", "camvid");
    }

    #[test]
    fn class_sets_are_looked_for_beside_the_map() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let set = r##"name = "own"
classes = [{ name = "a", color = "#000000" }, { name = "b", color = "#010101" }]"##;
        std::fs::write(dir.path().join("own.toml"), set)?;
        let path = dir.path().join("map.toml");
        let text = "from = \"own.toml\"\nto = \"camvid\"\n[classes]\nb = \"car\"";
        std::fs::write(&path, text)?;
        let map = ClassMap::open(path.to_str().context("a path")?)?;
        assert_eq!(map.train_ids, [IGNORE, 8]);
        Ok(())
    }
}
