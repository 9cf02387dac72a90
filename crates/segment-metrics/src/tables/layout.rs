//! Which tables and columns the output has.

use artifacts::basis::Basis;
use artifacts::classes::ClassSet;
use artifacts::tables::schema::Table;
use polars::prelude::DataFrame;

/// What decides which tables and columns there are; the same for all samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The classes that metrics are about; `None` without logits.
    pub classes: Option<ClassSet>,
    /// Whether there are score maps of another method.
    pub has_adopted: bool,
    /// Whether the context of segments is measured.
    pub has_context: bool,
    /// Whether the images have labels. If not, what only labels tell is absent: tables and columns are not there, rather than zero.
    pub has_truth: bool,
}

impl Layout {
    /// What pixels and segments are measured from.
    pub fn basis(&self) -> Basis {
        Basis {
            num_classes: self.classes.as_ref().map(ClassSet::len),
            has_adopted: self.has_adopted,
            has_context: self.has_context,
        }
    }

    /// A table with its rows, without what labels would have told if there are none.
    pub(super) fn known(&self, table: Table, rows: DataFrame) -> (Table, DataFrame) {
        if self.has_truth {
            return (table, rows);
        }
        let unknown = table.columns.iter().filter(|field| field.needs_truth());
        let rows = rows.drop_many(unknown.map(|field| field.name.as_str()));
        (table.without_truth(), rows)
    }
}
