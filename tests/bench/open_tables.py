#!/usr/bin/env python3
"""Opens, filters, sorts and groups tables of the stages with pyarrow, and with pandas and duckdb if they are installed.

    python open_tables.py RUN/segments.parquet RUN/sample_pixels.parquet

The exit status is 1 if anything fails. It was run with pyarrow 12, 14, 21 and 26, pandas 2.1 to 3.1 and duckdb 2.0.
"""

import importlib
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def checks(path):
    """Names of what users do with a table, and functions that do it."""
    schema = pq.read_schema(path)
    number = next(field.name for field in schema if pa.types.is_float64(field.type))
    sample = pq.read_table(path)["sample_id"][0].as_py()
    yield "read", lambda: pq.read_table(path).num_rows
    yield "read one column", lambda: pq.read_table(path, columns=[number]).num_rows
    yield "filter while reading", lambda: pq.read_table(path, filters=[("sample_id", "=", sample)]).num_rows
    yield "filter", lambda: pq.read_table(path).filter(pc.field("sample_id") == sample).num_rows
    yield "filter numbers", lambda: pq.read_table(path).filter(pc.field(number) >= 0).num_rows
    yield "sort", lambda: pq.read_table(path).sort_by("sample_id").num_rows
    yield "group", lambda: pq.read_table(path).group_by("sample_id").aggregate([(number, "mean")]).num_rows
    if pandas := optional("pandas"):
        yield "pandas", lambda: pandas.read_parquet(path).groupby("sample_id")[number].mean().size
        yield "pandas filter", lambda: len(pandas.read_parquet(path, filters=[("sample_id", "==", sample)]))
    if duckdb := optional("duckdb"):
        query = f"select sample_id, count(*) from '{path}' group by 1"
        yield "duckdb", lambda: duckdb.sql(query).fetchall()


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def main():
    failed = False
    for path in sys.argv[1:]:
        name = "open"
        try:
            for name, check in checks(path):
                check()
        except Exception as error:  # whatever a library raises is the finding
            failed = True
            print(f"{path}: {name}: {type(error).__name__}: {error}")
    print(f"pyarrow {pa.__version__}:", "failed" if failed else "all tables open")
    sys.exit(failed)


if __name__ == "__main__":
    main()
