//! What the train ids of a data set become: those of other classes, those of fewer classes, or known and unknown.

use anyhow::{Context, Result, ensure};
use artifacts::classes::{ClassMap, ClassSet};
use artifacts::labels::{EvalLabel, IGNORE};
use serde::Serialize;

/// What becomes of classes that are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldOut {
    /// They are void, and the class set is without them: a network that is trained on these masks never learns them.
    Void,
    /// They are unknown objects, and all other classes are known: masks for evaluation, which hold no train ids.
    Unknown,
}

/// A table of what train ids become; ids that it doesn't have become void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Relabeling {
    values: Vec<u8>,
    /// The classes of the result; `None` if it is known and unknown.
    classes: Option<ClassSet>,
}

impl Relabeling {
    /// No change of the train ids of `classes`.
    pub fn unchanged(classes: ClassSet) -> Self {
        Self {
            values: (0..classes.len()).map(|id| id as u8).collect(), // a set has at most 254 classes
            classes: Some(classes),
        }
    }

    /// The same, followed by a map between class sets.
    ///
    /// # Errors
    /// Returns an error if the map is from other classes.
    pub fn mapped(self, map: ClassMap) -> Result<Self> {
        self.classes()?.ensure_same(&map.from)?;
        let ids = self.values.iter();
        let ids = ids.map(|&id| map.train_ids.get(usize::from(id)).copied());
        Ok(Self {
            values: ids.map(|id| id.unwrap_or(IGNORE)).collect(),
            classes: Some(map.to),
        })
    }

    /// The same, but the classes with these names are held out.
    ///
    /// # Errors
    /// Returns an error if there is no such class, or too few others remain.
    pub fn holding_out(self, names: &[String], what: HoldOut) -> Result<Self> {
        let classes = self.classes()?;
        for name in names {
            classes.position(name).with_context(|| {
                let all: Vec<&str> = classes.classes.iter().map(|c| c.name.as_str()).collect();
                format!(
                    "{:?} has no class {name:?}, but {}",
                    classes.name,
                    all.join(", ")
                )
            })?;
        }
        let is_held_out: Vec<bool> = classes
            .classes
            .iter()
            .map(|class| names.contains(&class.name))
            .collect();
        let n_known = is_held_out.iter().filter(|held_out| !**held_out).count();
        ensure!(
            n_known >= 2,
            "of {:?} only {n_known} classes would remain known: hold out fewer",
            classes.name
        );
        let mut next = 0;
        let targets = is_held_out.iter().map(|held_out| match (what, held_out) {
            (HoldOut::Void, true) => IGNORE,
            (HoldOut::Void, false) => {
                next += 1;
                next - 1
            }
            (HoldOut::Unknown, true) => EvalLabel::Out as u8,
            (HoldOut::Unknown, false) => EvalLabel::In as u8,
        });
        let targets: Vec<u8> = targets.collect();
        let values = self.values.iter();
        let values = values.map(|&id| targets.get(usize::from(id)).copied());
        Ok(Self {
            values: values.map(|id| id.unwrap_or(IGNORE)).collect(),
            classes: (what == HoldOut::Void).then(|| without(classes, names)),
        })
    }

    /// What a train id becomes.
    pub(crate) fn get(&self, train_id: u8) -> u8 {
        let value = self.values.get(usize::from(train_id));
        value.copied().unwrap_or(IGNORE)
    }

    /// The classes whose train ids are the result, if it holds such.
    pub fn result(&self) -> Option<&ClassSet> {
        self.classes.as_ref()
    }

    fn classes(&self) -> Result<&ClassSet> {
        self.classes
            .as_ref()
            .context("masks of unknown objects have no classes any more")
    }
}

/// The class set without the classes of these names; its values in label files stay what they are.
fn without(classes: &ClassSet, names: &[String]) -> ClassSet {
    let numbered = classes.classes.iter().zip(0..);
    let with_ids = numbered.map(|(class, train_id)| {
        let mut class = class.clone();
        class.id = class.id.or(Some(train_id));
        class
    });
    let (held_out, known): (Vec<_>, Vec<_>) = with_ids.partition(|c| names.contains(&c.name));
    let ids = held_out.iter().filter_map(|class| class.id);
    ClassSet {
        name: format!("{}-without-{}", classes.name, names.join("-")),
        title: match classes.title.as_str() {
            "" => String::new(),
            title => format!("{title} without {}", names.join(", ")),
        },
        url: classes.url.clone(),
        void_ids: classes.void_ids.iter().copied().chain(ids).collect(),
        classes: known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camvid() -> Result<Relabeling> {
        Ok(Relabeling::unchanged(ClassSet::open("camvid")?))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn held_out_classes_are_void_and_the_others_move_up() -> Result<()> {
        let held_out = names(&["building", "pedestrian"]);
        let relabeling = camvid()?.holding_out(&held_out, HoldOut::Void)?;
        let ids: Vec<u8> = (0..=11).map(|id| relabeling.get(id)).collect();
        assert_eq!(ids, [0, 255, 1, 2, 3, 4, 5, 6, 7, 255, 8, 255]);
        let classes = relabeling.result().context("train ids")?;
        assert_eq!(classes.name, "camvid-without-building-pedestrian");
        assert_eq!(
            (classes.len(), &classes.classes[1].name),
            (9, &"pole".to_owned())
        );
        // the values in label files are the same as before
        assert_eq!(classes.classes[1].id, Some(2));
        assert_eq!(classes.void_ids, [11, 1, 9]);
        Ok(())
    }

    #[test]
    fn held_out_classes_are_unknown_objects() -> Result<()> {
        let relabeling = camvid()?.holding_out(&names(&["pedestrian"]), HoldOut::Unknown)?;
        assert_eq!(
            [0, 9, 10, 11, 255].map(|id| relabeling.get(id)),
            [0, 1, 0, 255, 255]
        );
        assert_eq!(relabeling.result(), None);
        assert!(relabeling.holding_out(&[], HoldOut::Void).is_err());
        Ok(())
    }

    #[test]
    fn classes_of_the_result_of_a_map_are_held_out() -> Result<()> {
        let mapped = camvid()?.mapped(ClassMap::open("camvid-to-cityscapes")?)?;
        let relabeling = mapped.holding_out(&names(&["road"]), HoldOut::Unknown)?;
        // sky, sign/symbol (void there), road
        assert_eq!([0, 6, 3].map(|id| relabeling.get(id)), [0, 255, 1]);
        Ok(())
    }

    #[test]
    fn faults_are_named() -> Result<()> {
        let error = camvid()?.holding_out(&names(&["person"]), HoldOut::Void);
        let error = error.expect_err("no such class").to_string();
        assert!(
            error.contains("no class \"person\", but sky, building"),
            "{error}"
        );
        let all = ClassSet::open("camvid")?
            .classes
            .into_iter()
            .map(|c| c.name);
        let all: Vec<String> = all.collect();
        let error = camvid()?.holding_out(&all[1..], HoldOut::Unknown);
        let error = error.expect_err("one remains").to_string();
        assert!(error.contains("only 1 classes"), "{error}");
        Ok(())
    }
}
