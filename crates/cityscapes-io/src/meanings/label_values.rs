//! The value in a mask for each label of a kind: what tables of colors and of names have in common.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use artifacts::labels::IGNORE;

use crate::relabel::Relabeling;

/// The value in the mask for each label `K`. Labels are compared exactly.
#[derive(Clone, Debug)]
pub(crate) struct LabelValues<K> {
    pub(super) values: BTreeMap<K, u8>,
    /// Whether all other labels are void.
    pub(super) others_void: bool,
}

impl<K> Default for LabelValues<K> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            others_void: false,
        }
    }
}

impl<K: Ord> LabelValues<K> {
    /// Makes all labels void that have no other meaning.
    pub(crate) fn others_are_void(&mut self) {
        self.others_void = true;
    }

    /// The value of a label, `None` if it has no meaning.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, label: &Q) -> Option<u8>
    where
        K: Borrow<Q>,
    {
        let others = self.others_void.then_some(IGNORE);
        self.values.get(label).copied().or(others)
    }

    /// The values to which labels lead.
    pub(crate) fn values(&self) -> impl Iterator<Item = u8> {
        self.values.values().copied()
    }

    /// The same table, followed by what becomes of its train ids.
    pub(crate) fn then(mut self, relabeling: &Relabeling) -> Self {
        for value in self.values.values_mut() {
            *value = relabeling.get(*value);
        }
        self
    }
}
