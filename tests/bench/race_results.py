"""The results of race.py: a file of records, one for each case, configuration and precision, and the tables of them."""

import json
import os
import statistics

KEY = ("case", "mode", "images", "threads", "clock", "configuration", "precision")
HEADER = f"{'case':<32} {'configuration':<24} {'PyTorch ms':>11} {'MB':>7} {'oodseg ms':>11} {'MB':>7} {'ratio':>6}  preparation"


def measured(server):
    """Median seconds of the turns, peak bytes, and seconds of the preparation."""
    seconds = statistics.median(server.times) if server.times else None
    return {"seconds": seconds, "bytes": server.memory, "preparation": server.preparation}


def read(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return json.load(file)


def key(record):
    return json.dumps([record[name] for name in KEY])


def add(path, records):
    """Adds records to the file, in place of older ones of the same case and configuration."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    all_records = {key(record): record for record in [*read(path), *records]}
    with open(path + ".new", "w") as file:
        json.dump(list(all_records.values()), file, indent=1)
    os.replace(path + ".new", path)


def case_name(record):
    """The case with its mode, or with the images that the network is given."""
    if record["images"] is None:
        return f"{record['case']} {record['mode']}"
    batch, size = record["images"]
    return f"{record['case']} {batch} x {size}"


def circumstances(record):
    """What a case is measured with, where it is not the wall clock of two threads."""
    threads = "" if record["threads"] == 2 else f", {record['threads']} threads"
    return threads + (", CPU time" if record["clock"] == "cpu" else "")


def ratio(record):
    return record["seconds"] / record["ours"]["seconds"]


def line(record):
    """One line about one configuration."""
    name = f"{case_name(record):<32} {record['configuration'] + ' ' + record['precision']:<24}"
    if "error" in record:
        return f"{name} cannot run: {record['error']}"
    ours = record["ours"]
    if record["seconds"] is None:
        return f"{name} prepared in {record['preparation']:.1f} s"
    note = "" if ours["precision"] == record["precision"] else f", oodseg in {ours['precision']}"
    return (
        f"{name} {record['seconds'] * 1e3:>11.2f} {record['bytes'] / 1e6:>7.0f} {ours['seconds'] * 1e3:>11.2f} {ours['bytes'] / 1e6:>7.0f}"
        f" {ratio(record):>6.2f}  {record['preparation']:.1f} s{note}"
    )


def tables(records, parts):
    """Markdown: the fastest configuration of each precision beside oodseg, and time and memory of all configurations."""
    records = [r for r in records if not parts or any(part in r["case"] for part in parts)]
    by_case = {}
    for record in records:
        by_case.setdefault(f"{case_name(record)}{circumstances(record)}", []).append(record)
    lines = ["", "| case | fastest PyTorch | f32 / oodseg = ratio | fastest PyTorch | bf16 / oodseg = ratio |", "|---|---|---|---|---|"]
    for name, group in by_case.items():
        cells = [cell for precision in ("f32", "bf16") for cell in best(group, precision)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| case | configuration | ms | peak MB | oodseg ms | oodseg peak MB | ratio | compiled and run once in |", "|---|---|---|---|---|---|---|---|"]
    for name, group in by_case.items():
        lines += [f"| {name} | {details(record)} |" for record in group]
    return "\n".join(lines)


def best(group, precision):
    """Name and times of the fastest configuration of a precision."""
    group = [r for r in group if r["precision"] == precision and r.get("seconds")]
    if not group:
        return "–", "–"
    fastest = min(group, key=ratio)
    ours = fastest["ours"]
    note = "" if ours["precision"] == precision else f" (in {ours['precision']})"
    return fastest["configuration"], f"{milliseconds(fastest)} / {milliseconds(ours)}{note} = **{ratio(fastest):.2f}**"


def details(record):
    """All figures of a configuration as the cells of a row."""
    name = f"{record['configuration']} {record['precision']}"
    if "error" in record:
        return f"{name} | cannot run: {record['error']} | | | | |"
    ours = record["ours"]
    return (
        f"{name} | {milliseconds(record)} | {record['bytes'] / 1e6:,.0f} | {milliseconds(ours)} | {ours['bytes'] / 1e6:,.0f}"
        f" | {ratio(record):.2f} | {record['preparation']:.0f} s"
    )


def milliseconds(measurement):
    seconds = measurement["seconds"]
    return f"{seconds * 1e3:,.2f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"
