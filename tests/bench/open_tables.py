#!/usr/bin/env python3
"""Opens, filters, sorts and groups tables of the stages with pyarrow, and with pandas and duckdb if they are installed.

    python open_tables.py TABLE.parquet ...                       with what this Python has installed
    python3.11 open_tables.py --install FOLDER TABLE.parquet ...  with all VERSIONS, in environments in FOLDER

The exit status is 1 if anything fails. It was run on Python 3.11, which all VERSIONS support, with segments.parquet,
sample_pixels.parquet and the others of segment-metrics; the newest were pyarrow 26, pandas 3.1 and duckdb 2.0.
"""

import importlib
import subprocess
import sys
import venv
from pathlib import Path

# the oldest and newest, and those between that read strings in other ways
VERSIONS = {
    "12": ["pyarrow==12.0.1", "pandas<2.2", "numpy<2", "duckdb"],
    "14": ["pyarrow==14.0.2", "pandas==2.2.3", "numpy<2", "duckdb"],
    "21": ["pyarrow==21.0.0", "pandas==2.3.3", "duckdb"],
    "newest": ["pyarrow", "pandas", "duckdb"],
}


def checks(path):
    """Names of what users do with a table, and functions that do it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    is_number = lambda dtype: pa.types.is_floating(dtype) or pa.types.is_integer(dtype)
    number = next(field.name for field in schema if is_number(field.type))
    key = schema.names[0]  # a text: `sample_id` or `score`
    value = pq.read_table(path)[key][0].as_py()
    yield "read", lambda: pq.read_table(path).num_rows
    yield "read one column", lambda: pq.read_table(path, columns=[number]).num_rows
    yield "filter while reading", lambda: pq.read_table(path, filters=[(key, "=", value)]).num_rows
    yield "filter", lambda: pq.read_table(path).filter(pc.field(key) == value).num_rows
    yield "filter numbers", lambda: pq.read_table(path).filter(pc.field(number) >= 0).num_rows
    yield "sort", lambda: pq.read_table(path).sort_by(key).num_rows
    yield "group", lambda: pq.read_table(path).group_by(key).aggregate([(number, "mean")]).num_rows
    if pandas := optional("pandas"):
        yield "pandas", lambda: pandas.read_parquet(path).groupby(key)[number].mean().size
        yield "pandas filter", lambda: len(pandas.read_parquet(path, filters=[(key, "==", value)]))
    if duckdb := optional("duckdb"):
        query = f"select {key}, count(*) from '{path}' group by 1"
        yield "duckdb", lambda: duckdb.sql(query).fetchall()


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def check_all(paths):
    """Prints what fails, and returns whether anything does."""
    failed = False
    for path in paths:
        name = "open"
        try:
            for name, check in checks(path):
                check()
        except Exception as error:  # whatever a library raises is the finding
            failed = True
            print(f"{path}: {name}: {type(error).__name__}: {error}")
    found = [(name, optional(name)) for name in ["pyarrow", "pandas", "duckdb"]]
    versions = ", ".join(f"{name} {module.__version__}" for name, module in found if module)
    print(f"{versions}:", "failed" if failed else f"{len(paths)} tables open")
    return failed


def check_versions(folder, paths):
    """Runs this script in an environment for each of VERSIONS, and returns whether any of them fails."""
    failed = False
    for name, packages in VERSIONS.items():
        python = Path(folder) / name / "bin" / "python"
        if not python.exists():
            venv.create(Path(folder) / name, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        failed |= subprocess.run([python, __file__, *paths]).returncode != 0
    return failed


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--install"]:
        sys.exit(check_versions(arguments[1], arguments[2:]))
    sys.exit(check_all(arguments))


if __name__ == "__main__":
    main()
