//! Which categories of a file are excluded, and what it means that one of these is not in the file.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, bail};

use coco_format::dataset::{Annotation, Category};
use coco_format::faults::Fault;
use coco_format::id::Id;
use coco_format::lookup::unlisted_category;

use crate::names::{is_same, is_similar};
use crate::select::{Instance, Rules};

/// Names of the categories, and which of them are excluded.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    by_id: HashMap<&'a Id, &'a str>,
    /// All categories that may not be shown, those that are held out among them.
    excluded: BTreeSet<&'a str>,
    held_out: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Finds the categories that `rules` exclude, and says which are excluded under another spelling and which similar ones
    /// are not.
    ///
    /// # Errors
    /// Returns an error if an excluded category is not in the file, as [`Rules`] have it.
    pub(crate) fn new(categories: &'a [Category], rules: &Rules) -> Result<Self> {
        let by_id = categories.iter().map(|c| (&c.id, c.name.as_str()));
        let by_id: HashMap<&Id, &str> = by_id.collect();
        let known: BTreeSet<&str> = by_id.values().copied().collect();
        let mut excluded = BTreeSet::new();
        let mut missing = Vec::new();
        for wanted in &rules.exclude {
            let same = known.iter().copied().filter(|c| is_same(c, wanted));
            let found: Vec<&str> = same.collect();
            if found.is_empty() {
                missing.push(wanted.as_str());
            }
            excluded.extend(found);
        }
        let others: Vec<&str> = known.difference(&excluded).copied().collect();
        check_missing(&missing, &others, &known, rules)?;
        report(&excluded, &others, rules);
        let held_out = held_out(&rules.hold_out, &known, &excluded)?;
        excluded.extend(&held_out);
        Ok(Self {
            by_id,
            excluded,
            held_out,
        })
    }

    /// Names of the categories that are held out, sorted.
    pub(crate) fn held_out(&self) -> Vec<String> {
        self.held_out.iter().map(ToString::to_string).collect()
    }

    /// The annotations of an image that are objects to be cut out, and those whose pixels may not be shown. Crowds are neither,
    /// unless their category may not be shown; a category that is not listed is left out.
    pub(crate) fn tell_apart(
        &self,
        annotations: &[&'a Annotation],
    ) -> (Vec<Instance<'a>>, Vec<&'a Annotation>) {
        let (mut instances, mut known) = (Vec::new(), Vec::new());
        for (position, &annotation) in annotations.iter().enumerate() {
            match self.by_id.get(&annotation.category_id) {
                Some(name) if self.is_excluded(name) => known.push(annotation),
                Some(name) if !annotation.is_crowd => instances.push(Instance {
                    annotation,
                    position,
                    category: (*name).to_owned(),
                }),
                _ => {}
            }
        }
        (instances, known)
    }

    /// Whether images with the category `name` are left out.
    pub(crate) fn is_excluded(&self, name: &str) -> bool {
        self.excluded.contains(name)
    }

    /// Names of the categories of `annotations`, sorted and without repetition. A category that is not listed is a fault.
    pub(crate) fn of(
        &self,
        annotations: &[&Annotation],
        faults: &mut Vec<Fault>,
    ) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        for annotation in annotations {
            match self.by_id.get(&annotation.category_id) {
                Some(name) => _ = found.insert(*name),
                None => faults.push(unlisted_category(annotation)),
            }
        }
        found
    }
}

/// The categories `known` that `--hold-out` names.
///
/// # Errors
/// Returns an error if a name is not that of a category, or the category is excluded already.
fn held_out<'a>(
    wanted: &[String],
    known: &BTreeSet<&'a str>,
    excluded: &BTreeSet<&str>,
) -> Result<BTreeSet<&'a str>> {
    let mut held_out = BTreeSet::new();
    for name in wanted {
        let same = known.iter().copied().filter(|c| is_same(c, name));
        let found: Vec<&str> = same.collect();
        if found.is_empty() {
            let known: Vec<&str> = known.iter().copied().collect();
            bail!(
                "--hold-out names {name:?}, which no category is called; the file has {}",
                known.join(", ")
            );
        }
        if let Some(both) = found.iter().find(|found| excluded.contains(**found)) {
            bail!(
                "--hold-out names {both}, which --exclude names too: a known class is no unknown object"
            );
        }
        held_out.extend(found);
    }
    Ok(held_out)
}

/// Says which categories are excluded under another spelling, and which `others` are similar to excluded ones.
fn report(excluded: &BTreeSet<&str>, others: &[&str], rules: &Rules) {
    let is_as_given = |name: &&&str| rules.exclude.iter().any(|wanted| wanted == **name);
    let other_spellings = excluded.iter().filter(|name| !is_as_given(name));
    let other_spellings: Vec<&str> = other_spellings.copied().collect();
    if !other_spellings.is_empty() {
        tracing::info!(
            "excluded under another spelling: {}",
            other_spellings.join(", ")
        );
    }
    let is_near = |category: &&&str| rules.exclude.iter().any(|w| is_similar(category, w));
    let near: Vec<&str> = others.iter().filter(is_near).copied().collect();
    if !near.is_empty() {
        tracing::warn!(
            "not excluded, although similar to excluded categories: {}; if they are known objects, add them to \
             --exclude",
            near.join(", ")
        );
    }
}

/// Refuses excluded categories that the file does not have, or warns of them.
fn check_missing(
    missing: &[&str],
    others: &[&str],
    known: &BTreeSet<&str>,
    rules: &Rules,
) -> Result<()> {
    let near = |wanted: &str| -> Vec<&str> {
        let similar = others.iter().filter(|c| is_similar(c, wanted));
        similar.copied().collect()
    };
    let near: Vec<(&str, Vec<&str>)> = missing.iter().map(|w| (*w, near(w))).collect();
    let describe = |(wanted, near): &(&str, Vec<&str>)| match near.as_slice() {
        [] => format!("{wanted:?}"),
        _ => format!("{wanted:?} (similar: {})", near.join(", ")),
    };
    let (serious, others): (Vec<_>, Vec<_>) = near
        .iter()
        .partition(|(_, near)| rules.must_know_names || !near.is_empty());
    let list = |names: &[&(&str, Vec<&str>)]| {
        let names: Vec<String> = names.iter().map(|name| describe(name)).collect();
        names.join(", ")
    };
    if !serious.is_empty() {
        let text = format!("no category is called {}", list(&serious));
        if !rules.allow_missing {
            let known: Vec<&str> = known.iter().copied().collect();
            bail!(
                "{text}; the file has {}: correct --exclude, or say --allow-missing-categories",
                known.join(", ")
            );
        }
        tracing::warn!("{text}");
    }
    if !others.is_empty() {
        tracing::warn!(
            "no category is called {}: if the file has such objects under another name, exclude it with --exclude",
            list(&others)
        );
    }
    Ok(())
}
