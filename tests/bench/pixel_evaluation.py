"""Pixel figures of five scores with oodseg and with scikit-learn, in turns; prints seconds per image and peak memory of both.

usage: pixel_evaluation.py BIN LOGITS LABELS [IMAGES] [TURNS]

BIN is the folder of the programs, LOGITS what `seg-model infer` wrote for the masks in LABELS. For oodseg the time is that of both
processes, from logits to tables, with all segments; for scikit-learn that of roc_auc_score, average_precision_score and roc_curve alone, on scores that
are in memory, two scores at a time. Needs numpy, Pillow and scikit-learn.
"""

import json
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

CLASSES = 19


def logits(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        tensor = json.loads(file.read(length))["logits"]
        dtype = {"F16": np.float16, "F32": np.float32}[tensor["dtype"]]
        return np.fromfile(file, dtype).reshape(tensor["shape"])[:CLASSES].astype(np.float32)


def upsampled(z, size):
    if z.shape[1:] == size:
        return z
    import torch

    z = torch.from_numpy(z)[None]
    return torch.nn.functional.interpolate(z, size, mode="bilinear", align_corners=False)[0].numpy()


def scores(folder, labels, images):
    """Five scores and the label of every rated pixel of the images that show unknown objects."""
    with open(os.path.join(labels, "index.json")) as file:
        samples = json.load(file)["samples"]
    columns, is_out = [[] for _ in range(5)], []
    for sample in samples[:images]:
        mask = np.asarray(Image.open(os.path.join(labels, sample["mask"])))
        rated = mask < 2
        if not (mask == 1).any():
            continue
        z = upsampled(logits(os.path.join(folder, sample["sample_id"] + ".safetensors")), mask.shape)[:, rated]
        top = z.max(0)
        e = np.exp(z - top)
        p = e / e.sum(0)
        entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(0) / np.log(CLASSES)
        first, second = -np.partition(-p, 1, 0)[:2]
        for column, score in zip(columns, (entropy, 1 - first, -top, -top - np.log(e.sum(0)), 1 - first + second)):
            column.append(score.astype(np.float32))
        is_out.append(mask[rated] == 1)
    return [np.concatenate(c) for c in columns], np.concatenate(is_out)


def figures(i):
    score, is_out = COLUMNS[i], IS_OUT
    fpr, tpr, _ = roc_curve(is_out, score)
    return roc_auc_score(is_out, score), fpr[np.argmax(tpr >= 0.95)], average_precision_score(is_out, score)


def scikit_learn():
    """Seconds, and memory in MB of the two largest processes."""
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        rows = pool.map(figures, range(5), chunksize=1)
    seconds = time.perf_counter() - start
    return rows, seconds, 2 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


def oodseg(folder, logits, labels, images):
    """Seconds, and memory in MB of the larger process."""
    run, memory = tempfile.mkdtemp(), 0.0
    limit = ["--limit", str(images)] if images else []
    segments = f"--logits {logits} --labels {labels} --output {run}/run/segments/set --quiet".split() + limit
    evaluate = f"--run run={run}/run --skip-without-ood --output {run}/eval --quiet".split()
    start = time.perf_counter()
    for command in (["segment-metrics", *segments], ["ood-eval", "evaluate", *evaluate]):
        process = subprocess.Popen([os.path.join(folder, command[0]), *command[1:]], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, f"failed: {command}"
        memory = max(memory, usage.ru_maxrss / 1000)
    seconds = time.perf_counter() - start
    with open(f"{run}/eval/results.json") as file:
        pixels = json.load(file)["datasets"][0]["rows"][0]["pixels"]
    shutil.rmtree(run)
    return [(p["auroc"], p["fpr95"], p["auprc"]) for p in pixels], seconds, memory


def main():
    global COLUMNS, IS_OUT
    folder, logits, labels = sys.argv[1:4]
    images, turns = (int(n) for n in (sys.argv[4:6] + ["0", "3"][len(sys.argv) - 4 :])[:2])
    ratios = []
    COLUMNS, IS_OUT = None, None
    for _ in range(turns):
        our_rows, our_time, our_memory = oodseg(folder, logits, labels, images)
        if COLUMNS is None:
            COLUMNS, IS_OUT = scores(logits, labels, images or None)
            print(f"{IS_OUT.size:,} rated pixels, {IS_OUT.sum():,} of unknown objects")
        their_rows, their_time, their_memory = scikit_learn()
        ratios.append(their_time / our_time)
        print(f"scikit-learn {their_time:.1f} s {their_memory:.0f} MB, oodseg {our_time:.2f} s {our_memory:.0f} MB", flush=True)
    difference = np.abs(np.array(our_rows) - np.array(their_rows)).max(0)
    print("largest difference of AUROC {:.1e}, FPR95 {:.1e}, AUPRC {:.1e}".format(*difference))
    print(f"median: ratio {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
