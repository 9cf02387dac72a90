//! Tables that are built from columns of numbers.

use super::table::{Cell, Table};
use super::text::{UNDEFINED, value_text};
use crate::metrics::metric::{Better, Definition, Unit};
use crate::results::{Group, Spread};

/// A column of numbers, one per row.
pub(super) struct Column {
    /// Title with an arrow to the better side.
    pub(super) title: String,
    pub(super) better: Better,
    pub(super) unit: Unit,
    pub(super) values: Vec<Option<f64>>,
}

impl Column {
    /// A column of a metric.
    pub(super) fn of(definition: &Definition, values: Vec<Option<f64>>) -> Self {
        Self {
            title: definition.title(),
            better: definition.better,
            unit: definition.unit,
            values,
        }
    }

    /// A column of shares in [0, 1].
    pub(super) fn share(title: &str, better: Better, values: Vec<Option<f64>>) -> Self {
        Self {
            title: title.to_owned(),
            better,
            unit: Unit::Share,
            values,
        }
    }

    fn cell(&self, row: usize) -> Cell {
        let value = self.values[row];
        Cell {
            text: value_text(value, self.unit),
            is_best: value.is_some_and(|v| self.is_best(v)),
        }
    }

    /// Whether no value is better, and some other value is worse.
    fn is_best(&self, value: f64) -> bool {
        let mut values = self.values.iter().flatten();
        let differ = values.clone().any(|&other| other != value);
        differ
            && values.all(|&other| match self.better {
                Better::Higher => value >= other,
                Better::Lower => value <= other,
            })
    }

    /// Mean and standard deviation over some rows.
    fn spread(&self, rows: &[usize]) -> Cell {
        let spread = Spread::of(rows.iter().map(|&row| self.values[row]));
        Cell::plain(spread.map_or(UNDEFINED.to_owned(), |s| {
            let scale = match self.unit {
                Unit::Count => 1.0,
                Unit::Share => 100.0,
            };
            let deviation = s.deviation.unwrap_or(0.0);
            format!("{:.2} ± {:.2}", scale * s.mean, scale * deviation)
        }))
    }
}

/// A row of a table.
pub(super) fn named(name: String, cells: impl IntoIterator<Item = Cell>) -> Vec<Cell> {
    std::iter::once(Cell::plain(name)).chain(cells).collect()
}

/// A table with one row for each of `names`, whose column is titled `first`.
pub(super) fn build(
    title: &str,
    first: &str,
    names: impl Iterator<Item = String>,
    columns: &[Column],
) -> Table {
    let titles = columns.iter().map(|c| c.title.clone());
    let row = |(i, name)| named(name, columns.iter().map(|c| c.cell(i)));
    Table {
        title: title.to_owned(),
        columns: std::iter::once(first.to_owned()).chain(titles).collect(),
        rows: names.enumerate().map(row).collect(),
    }
}

/// Each group that has members among the `n_rows` rows, the number of members, and mean and standard deviation over them.
pub(super) fn group_rows<'a>(
    groups: &'a [Group],
    columns: &[Column],
    n_rows: usize,
    is_member: impl Fn(usize, &Group) -> bool,
) -> Vec<(&'a Group, usize, Vec<Cell>)> {
    let mut rows = Vec::new();
    for group in groups {
        let members: Vec<usize> = (0..n_rows).filter(|&row| is_member(row, group)).collect();
        if !members.is_empty() {
            let cells = columns.iter().map(|c| c.spread(&members)).collect();
            rows.push((group, members.len(), cells));
        }
    }
    rows
}
