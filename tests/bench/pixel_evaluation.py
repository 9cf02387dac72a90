"""Pixel metrics of five scores with oodseg and with scikit-learn, in alternation; prints seconds per image and peak memory of both.

usage: pixel_evaluation.py BIN LOGITS LABELS [IMAGES] [TURNS] [OURS]

BIN is the folder of the executables, LOGITS the output of `seg-model infer` for the masks in LABELS. Both sides evaluate images that show unknown objects:
scikit-learn those among the first IMAGES, which must fit into its memory, oodseg those among the first OURS (default: the same). The time of oodseg is that of both
processes, from logits to tables, with all segments and a thousand resamples. For scikit-learn there are two times: that of roc_auc_score, average_precision_score and
roc_curve alone, two scores in parallel, and the same including the scores, which PyTorch computes from the logits. Needs numpy, Pillow, torch and scikit-learn.
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


def scores(folder, labels, images):
    """Five scores and the label of every evaluated pixel of the images that show unknown objects, and the number of these images."""
    import torch

    with open(os.path.join(labels, "index.json")) as file:
        samples = json.load(file)["samples"]
    columns, is_out, n_images = [[] for _ in range(5)], [], 0
    for sample in samples[:images]:
        mask = np.asarray(Image.open(os.path.join(labels, sample["mask"])))
        rated = mask < 2
        if not (mask == 1).any():
            continue
        n_images += 1
        z = torch.from_numpy(logits(os.path.join(folder, sample["sample_id"] + ".safetensors")))
        if z.shape[1:] != mask.shape:
            z = torch.nn.functional.interpolate(z[None], mask.shape, mode="bilinear", align_corners=False)[0]
        z = z[:, torch.from_numpy(rated)]
        p = z.softmax(0)
        entropy = torch.special.entr(p).sum(0) / np.log(CLASSES)
        first, second = p.topk(2, 0).values
        for column, score in zip(columns, (entropy, 1 - first, -z.amax(0), -z.logsumexp(0), 1 - first + second)):
            column.append(score.numpy())
        is_out.append(mask[rated] == 1)
    return [np.concatenate(c) for c in columns], np.concatenate(is_out), n_images


def figures(i):
    score, is_out = COLUMNS[i], IS_OUT
    fpr, tpr, _ = roc_curve(is_out, score)
    return roc_auc_score(is_out, score), fpr[np.argmax(tpr >= 0.95)], average_precision_score(is_out, score)


def scikit_learn():
    """Metrics, seconds, and memory of two processes in MB."""
    start = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        rows = pool.map(figures, range(5), chunksize=1)
    seconds = time.perf_counter() - start
    return rows, seconds, 2 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


def peak_memory(process):
    """Peak memory in MB, 0 if the process has ended. The value of wait4 would include this process before it starts the other program."""
    try:
        with open(f"/proc/{process.pid}/status") as file:
            return next((int(line.split()[1]) / 1000 for line in file if line.startswith("VmHWM")), 0.0)
    except OSError:
        return 0.0


def oodseg(folder, logits, labels, images):
    """Metrics, number of images, seconds, and memory of the larger process in MB."""
    run, memory = tempfile.mkdtemp(), 0.0
    limit = ["--limit", str(images)] if images else []
    segments = f"--logits {logits} --labels {labels} --output {run}/run/segments/set --skip-without-ood --quiet".split() + limit
    evaluate = f"--run run={run}/run --skip-without-ood --output {run}/eval --quiet".split()
    start = time.perf_counter()
    for command in (["segment-metrics", *segments], ["ood-eval", "evaluate", *evaluate]):
        process = subprocess.Popen([os.path.join(folder, command[0]), *command[1:]], stdout=subprocess.DEVNULL)
        while process.poll() is None:
            memory = max(memory, peak_memory(process))
            time.sleep(0.02)
        assert process.returncode == 0, f"failed: {command}"
    seconds = time.perf_counter() - start
    with open(f"{run}/eval/results.json") as file:
        dataset = json.load(file)["datasets"][0]
    shutil.rmtree(run)
    rows = [(p["auroc"], p["fpr95"], p["auprc"]) for p in dataset["rows"][0]["pixels"]]
    return rows, dataset["n_samples"], seconds, memory


def main():
    global COLUMNS, IS_OUT
    folder, logits, labels = sys.argv[1:4]
    images, turns, ours = (int(n) for n in (sys.argv[4:7] + ["0", "3", "0"][len(sys.argv) - 4 :])[:3])
    ours = ours or images
    ratios = [[], []]
    for _ in range(turns):
        our_rows, our_images, our_time, our_memory = oodseg(folder, logits, labels, ours)
        our_time /= our_images
        start = time.perf_counter()
        COLUMNS, IS_OUT, their_images = scores(logits, labels, images or None)
        score_time = (time.perf_counter() - start) / their_images
        their_rows, their_time, their_memory = scikit_learn()
        their_time /= their_images
        print(
            f"scikit-learn, {their_images} images, {IS_OUT.size:,} rated pixels: {their_time:.2f} s an image, {score_time + their_time:.2f} s with scores, "
            f"{their_memory:.0f} MB; oodseg, {our_images} images: {our_time:.3f} s an image, {our_memory:.0f} MB",
            flush=True,
        )
        for times, ratio in zip(ratios, (their_time / our_time, (score_time + their_time) / our_time)):
            times.append(ratio)
    if ours == images:
        difference = np.abs(np.array(our_rows) - np.array(their_rows)).max(0)
        print("largest difference of AUROC {:.1e}, FPR95 {:.1e}, AUPRC {:.1e}".format(*difference))
    print("median: ratio {:.1f}, with scores {:.1f}".format(*map(statistics.median, ratios)))


if __name__ == "__main__":
    main()
