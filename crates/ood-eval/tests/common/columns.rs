//! A table that is filled value by value.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use artifacts::tables::schema::Table;
use artifacts::tables::write_table;
use polars::prelude::{Column, DataFrame};

/// Columns by their names. Columns of a table that get no values hold the number 0.
#[derive(Default)]
pub(crate) struct Columns {
    texts: BTreeMap<&'static str, Vec<String>>,
    u32s: BTreeMap<&'static str, Vec<u32>>,
    u64s: BTreeMap<&'static str, Vec<u64>>,
    f64s: BTreeMap<&'static str, Vec<f64>>,
    bools: BTreeMap<&'static str, Vec<bool>>,
}

impl Columns {
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        self.texts.entry(name).or_default().push(value.to_owned());
    }

    pub(crate) fn u32(&mut self, name: &'static str, value: u32) {
        self.u32s.entry(name).or_default().push(value);
    }

    pub(crate) fn u64(&mut self, name: &'static str, value: u64) {
        self.u64s.entry(name).or_default().push(value);
    }

    pub(crate) fn f64(&mut self, name: &'static str, value: f64) {
        self.f64s.entry(name).or_default().push(value);
    }

    pub(crate) fn bool(&mut self, name: &'static str, value: bool) {
        self.bools.entry(name).or_default().push(value);
    }

    /// Writes the table, whose columns these are, into `dir`.
    pub(crate) fn write(&self, dir: &Path, table: &Table) -> Result<()> {
        let columns = table.columns.iter().map(|f| self.column(&f.name)).collect();
        let frame = DataFrame::new_infer_height(columns)?;
        write_table(&dir.join(table.file_name()), table, &frame)
    }

    fn column(&self, name: &str) -> Column {
        let column = name.into();
        if let Some(v) = self.texts.get(name) {
            Column::new(column, v)
        } else if let Some(v) = self.u32s.get(name) {
            Column::new(column, v)
        } else if let Some(v) = self.u64s.get(name) {
            Column::new(column, v)
        } else if let Some(v) = self.bools.get(name) {
            Column::new(column, v)
        } else if let Some(v) = self.f64s.get(name) {
            Column::new(column, v)
        } else {
            let rows = self.texts.values().map(Vec::len).max().unwrap_or(0);
            Column::new(column, vec![0.0; rows])
        }
    }
}
