"""Tables that the stages write."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Optional, Union

import numpy

#: Numbers as the stages write them; 0001 and 1_0 are names.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|NaN|nan|-?inf")
#: Column of texts, even if all of them look like numbers.
_SAMPLE_ID = "sample_id"


def read_table(path: Union[str, "PathLike[str]"], columns: Optional[Sequence[str]] = None) -> dict[str, numpy.ndarray]:
    """Reads a table, ``segments.parquet`` or ``images.csv`` and so on, into one array for each column.

    ``pandas.DataFrame(read_table(path))`` and ``polars.DataFrame(read_table(path))`` make data frames of it. The columns are
    described in docs/ARTIFACTS.md, and in the metadata of parquet files. These need pyarrow or polars, CSV files neither.

    Args:
        path: The file.
        columns: The columns to read. Default: all.

    Returns:
        Arrays of equal length by name. Missing numbers are NaN, other missing values None; texts and lists are objects.

    Raises:
        FileNotFoundError: There is no such file; the text lists the tables beside it.
        IsADirectoryError: It is a folder; the text lists the tables in it.
        ImportError: Neither pyarrow nor polars is installed.
        KeyError: The table has no such column.
        ValueError: The file is not a table.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: {_tables_in(path)}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no table {path}: {_tables_in(path.parent)}")
    names = None if columns is None else [columns] if isinstance(columns, str) else list(columns)
    if path.suffix.lower() == ".csv":
        return _of_csv(path, names)
    try:
        import pyarrow.parquet
    except ImportError:
        return _with_polars(path, names)
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise _no_table(path, error) from None
    _check_columns(path, file.schema_arrow.names, names)
    table = file.read(columns=names)
    return {name: table.column(name).to_numpy() for name in names or table.column_names}


def _tables_in(folder: Path) -> str:
    """What is said of a folder in place of a table."""
    if not folder.is_dir():
        return f"there is no folder {folder} either"
    files = (file for ending in ("parquet", "csv") for file in folder.rglob(f"*.{ending}"))
    names = sorted(file.relative_to(folder).as_posix() for file in files)
    found = [name for name in names if not name.startswith("in-progress/")]
    if found:
        more = f" and {len(found) - 20} more" if len(found) > 20 else ""
        return f"the tables in {folder} are {', '.join(found[:20])}{more}"
    if (folder / "in-progress").is_dir():
        return f"{folder} has no tables yet, as the stage that writes them did not finish; call it again"
    return f"{folder} has no tables (.parquet or .csv)"


def _no_table(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not a table that can be read: {str(error).strip().splitlines()[0]}")


def _of_csv(path: Path, names: Optional[list[str]]) -> dict[str, numpy.ndarray]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows:
        raise ValueError(f"{path} is not a table that can be read: it is empty")
    header, rows = rows[0], rows[1:]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"{path} is not a table that can be read: row {number} has {len(row)} fields, the header {len(header)}")
    _check_columns(path, header, names)
    columns = {name: [row[at] for row in rows] for at, name in enumerate(header)}
    return {name: _typed(columns[name], is_text=name == _SAMPLE_ID) for name in names or header}


def _typed(texts: list[str], is_text: bool) -> numpy.ndarray:
    """A column of CSV as an array of the first type that all texts are of; empty ones are missing."""
    present = [text for text in texts if text]
    if not is_text:
        if texts and set(texts) <= {"true", "false"}:
            return numpy.array([text == "true" for text in texts])
        if texts and all(_INTEGER.fullmatch(text) for text in texts):
            return numpy.array([int(text) for text in texts], dtype=numpy.int64)
        if all(_NUMBER.fullmatch(text) for text in present):
            return numpy.array([float(text or "nan") for text in texts], dtype=numpy.float64)
    return numpy.array([text or None for text in texts], dtype=object)


def _with_polars(path: Path, names: Optional[list[str]]) -> dict[str, numpy.ndarray]:
    try:
        import polars
    except ImportError:
        raise ImportError(f"to read {path}, install pyarrow or polars: pip install pyarrow") from None
    try:
        found = list(polars.read_parquet_schema(path))
    except polars.exceptions.PolarsError as error:
        raise _no_table(path, error) from None
    _check_columns(path, found, names)
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
