"""Updates what the documents show of the demo: docs/picture.png and the tables of results.

The picture shows one image of the report's gallery, SAMPLE or the one whose unknown objects gain most from the first network to
the last: the rise of the average precision of the entropy (AUPRC) times the number of their pixels. The tables are those between
`<!-- demo DATASET -->` and `<!-- end -->` in README.md and docs. Needs Pillow.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import re

from PIL import Image, ImageDraw, ImageFont

DATASET = "lost-and-found-test"
WIDTH, MARGIN, TITLE = 456, 8, 26


def overlay(report, sample, kind):
    """The picture of a sample that the report's gallery shows; `kind` as in `entropy_0_baseline`."""
    return Image.open(report / "overlays" / DATASET / f"{sample}.{kind}.jpg")


def gallery(report):
    """The samples of which the report has pictures."""
    suffix = ".image.jpg"
    return {path.name[: -len(suffix)] for path in (report / "overlays" / DATASET).glob("*" + suffix)}


def best_sample(report, runs):
    """The sample of the gallery whose AUPRC of the entropy, times its object pixels, rises most from the first to the last run."""
    found = {}
    with open(report / "images.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["dataset"] == DATASET and row["score"] == "entropy" and row["auprc"]:
                found[row["run"], row["sample_id"]] = float(row["auprc"]) * int(row["n_out"])
    samples = sorted(s for s in gallery(report) if all((run, s) in found for run in runs))
    if not samples:
        raise SystemExit(f"error: {report} has no pictures of {DATASET}: `just demo` makes them")
    return max(samples, key=lambda s: found[runs[-1], s] - found[runs[0], s])


def picture(report, sample, runs, path):
    """Four panels of one image of the gallery, two beside each other, each with its title above it."""
    last = len(runs) - 1
    panels = [
        ("image", "image"),
        (f"entropy_0_{runs[0]}", "entropy before OoD training"),
        (f"entropy_{last}_{runs[-1]}", "entropy after OoD training"),
        (f"segments_{last}_{runs[-1]}", "segments: kept filled, rejected hatched"),
    ]
    panels = [(overlay(report, sample, kind), title) for kind, title in panels]
    height = WIDTH * panels[0][0].height // panels[0][0].width
    sheet = Image.new("RGB", (2 * WIDTH + 3 * MARGIN, 2 * (height + TITLE) + 3 * MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=16)
    for i, (panel, title) in enumerate(panels):
        x = MARGIN + i % 2 * (WIDTH + MARGIN)
        y = MARGIN + i // 2 * (height + TITLE + MARGIN)
        draw.text((x, y + 2), title, fill="black", font=font)
        sheet.paste(panel.resize((WIDTH, height), Image.Resampling.LANCZOS), (x, y + TITLE))
    # photographs compress badly as PNG: a palette is enough for a drawn scene; median cut would lose the colors of small segments
    sheet.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)


def machine():
    """The processor and the number of its cores that this process may use."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {names[0] if names else 'an unknown processor'}"


def percent(share):
    return f"{100 * share:.2f}"


def table(results, dataset):
    """Lines of a Markdown table with the rows of one data set."""
    [part] = [d for d in results["datasets"] if d["dataset"] == dataset]
    miou = {c["run"]: c["mean_iou"] for c in results["closed_set"]}
    objects = part["rows"][0]["segments"]["n_objects"]
    lines = [
        f"| {dataset} | AUROC ↑ | FPR95 ↓ | AUPRC ↑ | false alarms ↓ | missed of {objects} ↓ | mIoU ↑ |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in part["rows"]:
        [entropy] = [p for p in row["pixels"] if p["score"] == "entropy"]
        segments = row["segments"]
        name = row["run"] + (" + meta" if row["with_meta"] else "")
        cells = [name, *(percent(entropy[k]) for k in ("auroc", "fpr95", "auprc"))]
        cells += [str(segments["false_positives"]), str(segments["false_negatives"]), percent(miou[row["run"]])]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def update_tables(path, results, note):
    """Writes the tables between the marks of one document anew; a document without marks stays as it is."""
    before = path.read_text(encoding="utf-8")
    block = re.compile(r"(<!-- demo (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
    after = block.sub(lambda m: m[1] + "\n".join([*table(results, m[2]), "", note]) + "\n" + m[3], before)
    if after != before:
        path.write_text(after, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=pathlib.Path, help="folder that `just demo` wrote, on this machine")
    parser.add_argument("sample", nargs="?", help="image that the picture shows, one of the report's gallery")
    here = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--root", type=pathlib.Path, default=here, help="folder of README.md and docs [default: of this checkout]")
    args = parser.parse_args()
    report = args.demo / "report"
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))
    sample = args.sample or best_sample(report, results["runs"])
    picture(report, sample, results["runs"], args.root / "docs" / "picture.png")
    date = datetime.date.fromtimestamp((report / "results.json").stat().st_mtime)
    note = f"`just demo`, {date}, {machine()}; in percent, false alarms and missed objects counted."
    for path in [args.root / "README.md", *sorted((args.root / "docs").rglob("*.md"))]:
        update_tables(path, results, note)
    print(f"docs/picture.png shows {sample}")


main()
