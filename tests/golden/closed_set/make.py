"""Writes the goldens beside this file: figures of the known classes by cityscapesScripts, calibration errors by numpy.

    pip install cityscapesscripts numpy pillow
    python make.py

Every folder is a case: pairs of TRUTH (`n.truth.png`, train ids, 255 void) and prediction (`n.pred.png`, train ids), whose
confusions are added up. `expected.json` has for each case the IoU of each train id (null: the class is in neither),
their mean, and the share of right pixels, which is taken from the package's confusion matrix: its own
`evalPixelAccuracy` counts void pixels.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.argv = sys.argv[:1]
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as official
from cityscapesscripts.helpers.labels import trainId2label

HERE = Path(__file__).parent
HEIGHT, WIDTH = 24, 32
RNG = np.random.default_rng(7)
LABEL_ID = np.zeros(256, np.uint8)
for train_id in range(19):
    LABEL_ID[train_id] = trainId2label[train_id].id


def blobs(classes):
    """Rectangles of random classes over a random background."""
    mask = np.full((HEIGHT, WIDTH), RNG.choice(classes), np.uint8)
    for _ in range(40):
        y, x = RNG.integers(HEIGHT), RNG.integers(WIDTH)
        mask[y : y + RNG.integers(1, 9), x : x + RNG.integers(1, 12)] = RNG.choice(classes)
    return mask


def mistaken(truth, share, classes):
    wrong = RNG.random(truth.shape) < share
    pred = np.where(wrong, RNG.choice(classes, truth.shape), truth)
    return np.where(pred == 255, RNG.choice(classes, truth.shape), pred).astype(np.uint8)


def pairs(truth_classes, pred_classes, share, n):
    truths = [blobs(truth_classes) for _ in range(n)]
    return [(t, mistaken(t, share, pred_classes)) for t in truths]


ALL, FEW = np.arange(19), np.array([0, 2, 10, 13])
CASES = {
    "all_classes": pairs(np.append(ALL, 255), ALL, 0.3, 3),
    "few_classes": pairs(np.append(FEW, 255), FEW, 0.2, 2),
    "class_only_predicted": pairs(FEW, np.append(FEW, 17), 0.4, 1),
    "class_never_predicted": [(t, np.where(t == 13, 0, t).astype(np.uint8)) for t in [blobs(FEW)]],
    "everything_right": [(t, t) for t in [blobs(ALL)]],
    "everything_wrong": [(t, ((t + 1) % 19).astype(np.uint8)) for t in [blobs(ALL)]],
    "noise": [(RNG.integers(0, 19, (HEIGHT, WIDTH)).astype(np.uint8), RNG.integers(0, 19, (HEIGHT, WIDTH)).astype(np.uint8))],
}


def number(value):
    return None if math.isnan(value) else float(value)


def evaluate(images, folder):
    folder.mkdir(exist_ok=True)
    truths, preds = [], []
    for n, (truth, pred) in enumerate(images):
        Image.fromarray(truth).save(folder / f"{n}.truth.png")
        Image.fromarray(pred).save(folder / f"{n}.pred.png")
        for kind, ids, names in [("truth", truth, truths), ("pred", pred, preds)]:
            names.append(str(Path(SCRATCH.name) / f"{folder.name}_{n}_{kind}.png"))
            Image.fromarray(LABEL_ID[ids]).save(names[-1])
    args = official.args
    args.quiet, args.JSONOutput, args.evalInstLevelScore, args.evalPixelAccuracy = True, False, False, False
    result = official.evaluateImgLists(preds, truths, args)
    known = [trainId2label[t].id for t in range(19)]
    confusion = np.array(result["confMatrix"])[known][:, known]
    return {
        "iou": [number(result["classScores"][trainId2label[t].name]) for t in range(19)],
        "mean_iou": number(result["averageScoreClasses"]),
        "pixel_accuracy": float(np.trace(confusion) / confusion.sum()),
    }


def calibration(n):
    """Expected calibration error of 15 equal bins, [0, 1/15) ... [14/15, 1]."""
    confidence = np.clip(RNG.beta(4, 1.5, n), 1 / 19, 1).astype(np.float32)
    confidence[:3] = [1.0, 0.5, 1 / 19]
    right = RNG.random(n) < confidence**1.5
    bins = np.minimum((confidence.astype(np.float64) * 15).astype(int), 14)
    error = 0.0
    for b in range(15):
        inside = bins == b
        if inside.any():
            gap = right[inside].mean() - confidence[inside].astype(np.float64).mean()
            error += inside.mean() * abs(gap)
    return {"confidence": [float(c) for c in confidence], "right": right.tolist(), "error": error}


SCRATCH = tempfile.TemporaryDirectory()
expected = {
    "cases": {name: evaluate(images, HERE / name) for name, images in CASES.items()},
    "calibration": {"few": calibration(7), "many": calibration(400)},
}
(HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
