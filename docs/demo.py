"""Updates what the documents show of the demo: docs/picture.png and the tables of results.

usage: demo.py DEMO [SAMPLE]

DEMO is the folder that `just demo` wrote, on this machine. SAMPLE is the image that the picture shows, one of the report's gallery of lost-and-found-test. The tables are
those between `<!-- demo DATASET -->` and `<!-- end -->` in README.md and docs. Needs Pillow.
"""

import datetime
import glob
import json
import os
import re
import sys

from PIL import Image, ImageDraw, ImageFont

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
DATASET = "lost-and-found-test"
SAMPLE = "01_Demo_Lane_1_000000_000015"
PANELS = [
    ("image", "image"),
    ("prediction_1_retrained", "classes of the network"),
    ("entropy_1_retrained", "entropy: bright where it is unsure"),
    ("segments_1_retrained", "segments: kept green, rejected red, true objects dashed"),
]
WIDTH, MARGIN, TITLE = 456, 8, 26


def picture(report, sample):
    """Four panels of one image of the gallery, two beside each other, each with its title above it."""
    folder = os.path.join(report, "overlays", DATASET)
    panels = [(Image.open(os.path.join(folder, f"{sample}.{kind}.jpg")), title) for kind, title in PANELS]
    height = WIDTH * panels[0][0].height // panels[0][0].width
    sheet = Image.new("RGB", (2 * WIDTH + 3 * MARGIN, 2 * (height + TITLE) + 3 * MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=16)
    for i, (panel, title) in enumerate(panels):
        x = MARGIN + i % 2 * (WIDTH + MARGIN)
        y = MARGIN + i // 2 * (height + TITLE + MARGIN)
        draw.text((x, y + 2), title, fill="black", font=font)
        sheet.paste(panel.resize((WIDTH, height), Image.Resampling.LANCZOS), (x, y + TITLE))
    # photographs compress badly as PNG: 128 colors are enough for a drawn scene
    sheet.quantize(128, dither=Image.Dither.NONE).save(os.path.join(ROOT, "docs", "picture.png"), optimize=True)


def machine():
    """The processor and the number of its cores that this process may use."""
    with open("/proc/cpuinfo") as file:
        names = re.findall(r"model name\s*: (.*)", file.read())
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else 'an unknown processor'}"


def table(results, dataset):
    """Lines of a Markdown table with the rows of one data set."""
    [part] = [d for d in results["datasets"] if d["dataset"] == dataset]
    miou = {c["run"]: c["mean_iou"] for c in results["closed_set"]}
    percent = lambda share: f"{100 * share:.2f}"
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


def main():
    demo = sys.argv[1]
    report = os.path.join(demo, "report")
    with open(os.path.join(report, "results.json")) as file:
        results = json.load(file)
    picture(report, sys.argv[2] if len(sys.argv) > 2 else SAMPLE)
    date = datetime.date.fromtimestamp(os.path.getmtime(os.path.join(report, "results.json")))
    note = f"`just demo`, {date}, {machine()}; in percent, false alarms and missed objects counted."
    for path in [os.path.join(ROOT, "README.md"), *glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True)]:
        with open(path) as file:
            before = file.read()
        block = re.compile(r"(<!-- demo (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
        text = lambda m: m[1] + "\n".join([*table(results, m[2]), "", note]) + "\n" + m[3]
        after = block.sub(text, before)
        if after != before:
            with open(path, "w") as file:
                file.write(after)


main()
