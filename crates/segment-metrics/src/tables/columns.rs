//! Columns of tables from values.

use anyhow::Result;
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, Series};

/// A column of numbers, texts or truth values.
pub(super) fn column<T>(name: &str, values: impl IntoIterator<Item = T>) -> Column
where
    Series: NamedFrom<Vec<T>, [T]>,
{
    Series::new(name.into(), values.into_iter().collect::<Vec<T>>()).into()
}

/// A column of lists of type `dtype`, which is needed where there are no lists that would tell it.
pub(super) fn lists(name: &str, dtype: DataType, lists: Vec<Series>) -> Column {
    if lists.is_empty() {
        return Series::new_empty(name.into(), &DataType::List(Box::new(dtype))).into();
    }
    Series::new(name.into(), lists).into()
}

/// A table of columns of the same length.
pub(super) fn frame(columns: Vec<Column>) -> Result<DataFrame> {
    Ok(DataFrame::new_infer_height(columns)?)
}
