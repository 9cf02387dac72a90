"""How time and memory grow with the size of images, the number of classes, threads, and the batch of a training step.

usage: growth.py BIN SAMPLES WEIGHTS FOLDER [flags]

BIN is the folder of the executables, SAMPLES a data set in the layout of RoadAnomaly21, WEIGHTS the published tensors of ERFNet, whose logits have the resolution of the
image. For each point `seg-model infer`, `segment-metrics` and `ood-eval evaluate` process the same few images, each as a process of its own; the batch is that of a
training step of ERFNet on crops of 512x256 (`bench serve`). Points are kept in FOLDER/growth.json, so that a call measures only what it is asked for, and
FOLDER/growth.md is the table of all of them, with what grows more than linearly. Logits are removed again. Needs numpy, Pillow and safetensors.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys

from stage_runs import measured, quietly

STAGES = ("infer", "segment-metrics", "ood-eval")
STANDARD = {"size": "2048x1024", "classes": 19, "threads": 2}
# above this exponent between the two largest points something is said to grow more than linearly; timings vary by some percent
LINEAR = 1.1
CROP, STEP_ROUNDS = "512x256", 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin")
    parser.add_argument("samples")
    parser.add_argument("weights")
    parser.add_argument("folder")
    parser.add_argument("--sizes", default="1024x512,1408x704,2048x1024,2816x1408,4096x2048", help="WxH in pixels (default: %(default)s)")
    parser.add_argument("--classes", default="7,19,66,150", help="default: %(default)s")
    parser.add_argument("--threads", default="1,2", help="default: %(default)s")
    parser.add_argument("--batches", default="1,2,4,8", help="crops of a training step (default: %(default)s)")
    parser.add_argument("--windowed", default="8192x4096", help="WxH of an image that the network processes in windows (default: %(default)s)")
    parser.add_argument("--window", default="2048x1024", help="size of these windows (default: %(default)s)")
    parser.add_argument("--images", type=int, default=2, help="images of each point (default: %(default)s)")
    parser.add_argument("--only", default="", help="measure only these, of sizes, classes, threads, batches, windowed; `none` prints the table (default: all)")
    return parser.parse_args()


def listed(text):
    return [part for part in text.split(",") if part]


def wanted_points(args):
    """All points as (series, what is varied, the settings of the stages)."""
    points = [("sizes", size, {**STANDARD, "size": size}) for size in listed(args.sizes)]
    points += [("classes", int(n), {**STANDARD, "classes": int(n)}) for n in listed(args.classes)]
    points += [("threads", int(n), {**STANDARD, "threads": int(n)}) for n in listed(args.threads)]
    points += [("batches", int(n), None) for n in listed(args.batches)]
    points += [("windowed", size, {**STANDARD, "size": size, "window": args.window}) for size in listed(args.windowed)]
    only = listed(args.only)
    return [point for point in points if not only or point[0] in only]


def script(name, *arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run([sys.executable, os.path.join(here, name), *map(str, arguments)], check=True)


def prepared(args, settings, n):
    """Labels and weights for these settings, made where they are missing."""
    size, classes = settings["size"], settings["classes"]
    data, labels, weights = f"{args.folder}/images/{size}", f"{args.folder}/labels/{size}", f"{args.folder}/weights/{classes}"
    if not os.path.isdir(labels):
        shutil.rmtree(data, ignore_errors=True)
        script("street_samples.py", "images", args.samples, data, size, n)
        quietly([f"{args.bin}/cityscapes-io", "prepare", "--dataset", "road-anomaly21", "--root", data, "--output", labels, "--quiet"])
    if not os.path.isfile(f"{weights}/weights.safetensors"):
        shutil.rmtree(weights, ignore_errors=True)
        script("street_samples.py", "weights", args.weights, weights, classes)
        command = ["import", f"{weights}/tensors.safetensors", "--classes", f"{weights}/classes.toml", "--void", "none", "--quiet"]
        quietly([f"{args.bin}/seg-model", *command, "--output", f"{weights}/weights.safetensors"])
    return labels, f"{weights}/weights.safetensors"


def stages(args, settings):
    """The figures of each stage for one image, the last one for all images."""
    n = 1 if "window" in settings else args.images
    labels, weights = prepared(args, settings, n)
    work, threads = f"{args.folder}/work", settings["threads"]
    shutil.rmtree(work, ignore_errors=True)
    logits, segments = f"{work}/logits", f"{work}/run/segments/streets"
    infer = ["infer", "--weights", weights, "--labels", labels, "--output", logits, "--quiet"]
    infer += ["--window", settings["window"]] if "window" in settings else []
    # the entropy is normalized by the logarithm of the number of classes: this keeps the segments of 19 classes
    threshold = min(0.7 * math.log(19) / math.log(settings["classes"]), 0.9)
    segment = ["--logits", logits, "--labels", labels, "--output", segments, "--threshold", f"{threshold:.4f}", "--quiet"]
    commands = [
        [f"{args.bin}/seg-model", *infer],
        [f"{args.bin}/segment-metrics", *segment],
        [f"{args.bin}/ood-eval", "evaluate", "--run", f"run={work}/run", "--output", f"{work}/eval", "--quiet"],
    ]
    figures = {stage: measured(command, threads) for stage, command in zip(STAGES, commands)}
    for stage in STAGES[:2]:
        for figure in ("seconds", "cpu"):
            figures[stage][figure] /= n
    shutil.rmtree(work)
    return figures


def training_step(args, batch):
    """Median seconds and peak memory of a step, with all threads."""
    command = [f"{args.bin}/bench", "serve", "erfnet-step", "both", "--size", CROP, "--batch", str(batch)]
    lines = subprocess.run(command, input="\n" * STEP_ROUNDS, check=True, capture_output=True, text=True).stdout.splitlines()
    times, peaks = zip(*(map(float, line.split()) for line in lines[1:]))
    return {"step": {"seconds": sorted(times)[len(times) // 2], "mb": max(peaks) / 1e6}}


def amount(series, value):
    """What is varied as a number: megapixels of a size."""
    if series in ("sizes", "windowed"):
        width, height = map(int, value.split("x"))
        return width * height / 1e6
    return value


def read(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return json.load(file)


def exponents(points, series):
    """For each stage, the exponents of time and memory between the two largest points: 1 is linear. Time is that of the CPU, where it was measured: other work on the
    machine affects it less."""
    points = sorted((p for p in points if p["series"] == series), key=lambda p: amount(series, p["value"]))
    if len(points) < 2:
        return {}
    low, high = points[-2:]
    factor = math.log(amount(series, high["value"]) / amount(series, low["value"]))
    found = {}
    for stage in high["figures"]:
        a, b = low["figures"][stage], high["figures"][stage]
        time = "cpu" if "cpu" in b else "seconds"
        found[stage] = tuple(math.log(b[figure] / a[figure]) / factor for figure in (time, "mb"))
    return found


def table(points):
    """Markdown: all points, then the exponents, then what grows more than linearly."""
    points = sorted(points, key=lambda p: (p["series"], amount(p["series"], p["value"])))
    lines = ["| what varies (2048x1024, 19 classes, 2 threads otherwise) | infer, an image | segment-metrics, an image | ood-eval, all images |", "|---|---|---|---|"]
    for point in points:
        if point["series"] != "batches":
            cells = [cell(point["figures"][stage]) for stage in STAGES]
            lines.append(f"| {label(point)} | {' | '.join(cells)} |")
    lines += ["", "| crops of 512x256 | training step |", "|---|---|"]
    lines += [f"| {p['value']} | {cell(p['figures']['step'])} |" for p in points if p["series"] == "batches"]
    lines += ["", "| series, between its two largest points | stage | exponent of time | exponent of memory |", "|---|---|---|---|"]
    steep = []
    for series in ("sizes", "classes", "batches"):
        for stage, (time, memory) in exponents(points, series).items():
            lines.append(f"| {series} | {stage} | {time:.2f} | {memory:.2f} |")
            steep += [f"{name} of {stage} with {series} ({x:.2f})" for name, x in (("time", time), ("memory", memory)) if x > LINEAR]
    lines += ["", "Grows more than linearly: " + (", ".join(steep) or "nothing") + "."]
    return "\n".join(lines) + "\n"


def cell(figures):
    cpu = f", CPU {duration(figures['cpu'])}" if "cpu" in figures else ""
    return f"{duration(figures['seconds'])}{cpu}, {figures['mb']:,.0f} MB"


def duration(seconds):
    return f"{seconds * 1e3:,.0f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def label(point):
    value, series = point["value"], point["series"]
    if series in ("sizes", "windowed"):
        window = f" in windows of {point['window']}" if series == "windowed" else ""
        return f"{value} ({amount(series, value):.1f} megapixels){window}"
    return f"{value} {series}" if value != 1 else f"1 {series[:-1]}"


def main():
    args = arguments()
    os.makedirs(args.folder, exist_ok=True)
    path = f"{args.folder}/growth.json"
    for series, value, settings in wanted_points(args):
        figures = stages(args, settings) if settings else training_step(args, value)
        point = {"series": series, "value": value, "window": args.window, "figures": figures}
        print(series, value, ", ".join(f"{stage} {cell(f)}" for stage, f in figures.items()), flush=True)
        points = [p for p in read(path) if (p["series"], p["value"]) != (series, value)]
        with open(path + ".new", "w") as file:
            json.dump([*points, point], file, indent=1)
        os.replace(path + ".new", path)
    with open(f"{args.folder}/growth.md", "w") as file:
        file.write(table(read(path)))
    print("\n" + table(read(path)))
    print(f"table: {args.folder}/growth.md")


if __name__ == "__main__":
    main()
