"""Tables that the stages write."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Optional, Union

import numpy


def read_table(path: Union[str, "PathLike[str]"], columns: Optional[Sequence[str]] = None) -> dict[str, numpy.ndarray]:
    """Reads a table, ``segments.parquet`` and so on, into one array for each column.

    ``pandas.DataFrame(read_table(path))`` and ``polars.DataFrame(read_table(path))`` make data frames of it. The columns are
    described in docs/ARTIFACTS.md, and in the file's metadata. It needs pyarrow or polars.

    Args:
        path: The file.
        columns: The columns to read. Default: all.

    Returns:
        Arrays of equal length by name. Missing numbers are NaN, other missing values None; texts and lists are objects.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: Neither pyarrow nor polars is installed.
        KeyError: The table has no such column.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no table {path}")
    names = None if columns is None else list(columns)
    try:
        import pyarrow.parquet
    except ImportError:
        return _with_polars(path, names)
    file = pyarrow.parquet.ParquetFile(path)
    _check_columns(path, file.schema_arrow.names, names)
    table = file.read(columns=names)
    return {name: table.column(name).to_numpy() for name in names or table.column_names}


def _with_polars(path: Path, names: Optional[list[str]]) -> dict[str, numpy.ndarray]:
    try:
        import polars
    except ImportError:
        raise ImportError(f"to read {path}, install pyarrow or polars: pip install pyarrow") from None
    _check_columns(path, list(polars.read_parquet_schema(path)), names)
    table = polars.read_parquet(path, columns=names)
    return {name: _column(table.get_column(name)) for name in names or table.columns}


def _column(column) -> numpy.ndarray:
    """A column of polars, with lists as arrays."""
    if column.dtype.is_nested():
        lists = numpy.empty(len(column), dtype=object)
        lists[:] = [None if values is None else values.to_numpy() for values in column]
        return lists
    if not column.dtype.is_numeric() and column.dtype != bool:
        return numpy.array(column.to_list(), dtype=object)
    return column.to_numpy()


def _check_columns(path: Path, found: Sequence[str], names: Optional[list[str]]) -> None:
    missing = [name for name in names or [] if name not in found]
    if missing:
        raise KeyError(f"{path} has no column {missing[0]!r}; it has {', '.join(found)}")
