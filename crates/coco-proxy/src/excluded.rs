//! Which categories of a file are excluded, and what it means that one of these is not in the file.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, bail};

use crate::dataset::{Annotation, Category};
use crate::faults::Fault;
use crate::id::Id;
use crate::names::{is_same, is_similar};
use crate::select::{Rules, unlisted_category};

/// Names of the categories, and which of them are excluded.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    by_id: HashMap<&'a Id, &'a str>,
    excluded: BTreeSet<&'a str>,
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
        Ok(Self { by_id, excluded })
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

/// Ids that two categories of different names have, so that nobody knows which one annotations mean.
pub(crate) fn repeated_categories(categories: &[Category]) -> Vec<Fault> {
    let mut names: HashMap<&Id, &str> = HashMap::new();
    let mut faults = Vec::new();
    for Category { id, name } in categories {
        if let Some(other) = names.insert(id, name).filter(|other| other != name) {
            let predicate = format!("is that of {other:?} and {name:?}: give each its own");
            faults.push(Fault::new(format!("category id {id}"), predicate));
        }
    }
    faults
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
