"""coco-proxy and cityscapes-io compared with Python scripts that write the same pixels, in alternation on the same cores.

    pip install pycocotools==2.0.11 pillow==13.0.0 numpy
    cargo build --release
    python tests/bench/data_throughput.py proxies|load|labels [--real FOLDER] [--rounds N]

`proxies`: masks of a COCO data set of 10,000 images, which repeats the records and pictures of the demo under other ids.
`load`: reading an instances file of 450 MB, which repeats the records of FOLDER/coco (or of the demo).
`labels`: training ids of 500 label pictures of 2048x1024 pixels, which repeat those of FOLDER/cityscapes (or of the demo).

Both sides use two cores: two threads here, two processes in Python. Prints the seconds and the peak memory of each turn.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "target/release"

PROXIES = """
import sys
from multiprocessing import Pool
import numpy
from PIL import Image
from pycocotools.coco import COCO
annotations, images, output = sys.argv[1:]
coco = COCO(annotations)
names = ["person", "bicycle", "car", "motorcycle", "bus", "truck", "traffic light", "stop sign"]
excluded = {i for c in coco.getCatIds(catNms=names) for i in coco.getImgIds(catIds=[c])}
def write(image):
    mask = numpy.zeros((image["height"], image["width"]), dtype="uint8")
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
        mask = numpy.maximum(coco.annToMask(annotation) * 254, mask)
    Image.fromarray(mask).save(output + "/%012d.png" % image["id"])
if __name__ == "__main__":
    chosen = [i for i in coco.loadImgs(coco.getImgIds())
              if i["id"] not in excluded and min(i["height"], i["width"]) >= 480]
    with Pool(2) as pool:
        pool.map(write, chosen, chunksize=64)
"""

LOAD = """
import sys
from pycocotools.coco import COCO
COCO(sys.argv[1])
"""

LABELS = """
import sys
from multiprocessing import Pool
from pathlib import Path
import numpy
from PIL import Image
root, output = sys.argv[1:]
table = numpy.full(256, 255, dtype="uint8")
for train_id, label_id in enumerate([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]):
    table[label_id] = train_id
def write(path):
    Image.fromarray(table[numpy.asarray(Image.open(path))]).save(output + "/" + path.name)
if __name__ == "__main__":
    with Pool(2) as pool:
        pool.map(write, sorted(Path(root).glob("gtFine/val/*/*_labelIds.png")), chunksize=8)
"""


def run(name, command, may_fail=False):
    """Seconds and peak MB of a command and its children."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status and not may_fail:
        sys.exit(f"{command} failed: {errors}")
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name}: {seconds:.2f} s wall, {cpu:.2f} s CPU, {usage.ru_maxrss / 1000:.0f} MB peak", flush=True)
    return seconds, usage.ru_maxrss / 1000


def compare(ours, theirs, rounds):
    """Runs both sides alternately, compares the best turns, and writes each turn to a new folder: deleting files would slow down the next turn."""
    turns = [(ours(turn), theirs(turn)) for turn in range(rounds)]
    best = [min(turn[side] for turn in turns) for side in (0, 1)]
    memory = [max(turn[side][1] for turn in turns) for side in (0, 1)]
    print(f"{best[1][0] / best[0][0]:.1f} times as fast, {memory[0] / memory[1]:.2f} of the memory")


def demo(scratch):
    subprocess.run([BIN / "demo-data", "--quiet", "--output", scratch / "demo"], check=True, stdout=subprocess.DEVNULL)
    return scratch / "demo"


def repeated(dataset, n_images):
    """Repeats the records under other ids up to `n_images` images; returns the data set and pairs of old and new file names."""
    by_image = {}
    for annotation in dataset["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    images, annotations, files = [], [], []
    for i in range(n_images):
        image = dataset["images"][i % len(dataset["images"])]
        name = f"{i + 1:012d}" + Path(image["file_name"]).suffix
        images.append({**image, "id": i + 1, "file_name": name})
        files.append((image["file_name"], name))
        for annotation in by_image.get(image["id"], []):
            annotations.append({**annotation, "id": len(annotations) + 1, "image_id": i + 1})
    return {**dataset, "images": images, "annotations": annotations}, files


def proxies(args, scratch):
    source = demo(scratch) / "coco"
    text = (source / "annotations/instances_train2017.json").read_text()
    dataset, files = repeated(json.loads(text), 10_000)
    big = scratch / "coco"
    (big / "annotations").mkdir(parents=True)
    (big / "train2017").mkdir()
    for old, new in files:
        os.link(source / "train2017" / old, big / "train2017" / new)
    annotations = big / "annotations/instances_train2017.json"
    annotations.write_text(json.dumps(dataset))
    def ours(turn):
        return run("coco-proxy", [BIN / "coco-proxy", "--compat", "--quiet", "--threads", 2,
                                  "--annotations", annotations, "--output", scratch / f"ours{turn}"])

    def theirs(turn):
        output = scratch / f"python{turn}"
        output.mkdir()
        return run("python", [sys.executable, "-c", PROXIES, annotations, big / "train2017", output])

    compare(ours, theirs, args.rounds)
    same_pixels(scratch / "ours0/masks", scratch / "python0")


def same_pixels(ours, theirs):
    import numpy
    from PIL import Image

    names = sorted(path.name for path in theirs.iterdir())
    pairs = [(ours / name, theirs / name) for name in names[::97]]
    different = sum(not numpy.array_equal(*(numpy.asarray(Image.open(p)) for p in pair)) for pair in pairs)
    size = [sum(p.stat().st_size for p in folder.iterdir()) / 1e6 for folder in (ours, theirs)]
    print(f"{len(names)} masks, {different} of {len(pairs)} compared ones differ; {size[0]:.1f} MB, Python's {size[1]:.1f} MB")


def load(args, scratch):
    source = (args.real or demo(scratch)) / "coco/annotations/instances_train2017.json"
    dataset = json.loads(source.read_text())
    n_images = int(len(dataset["images"]) * 450e6 / source.stat().st_size)
    path = scratch / "instances_train2017.json"
    with path.open("w") as file:
        json.dump(repeated(dataset, n_images)[0], file)
    print(f"{path.stat().st_size / 1e6:.0f} MB")

    # no image is that large, so nothing happens after loading and filtering the records
    def ours(turn):
        return run("coco-proxy", [BIN / "coco-proxy", "--quiet", "--threads", 2, "--min-side", 10**6,
                                  "--annotations", path, "--output", scratch / f"ours{turn}"], may_fail=True)

    compare(ours, lambda _: run("python", [sys.executable, "-c", LOAD, path]), args.rounds)


def labels(args, scratch):
    from PIL import Image

    source = (args.real or demo(scratch)) / "cityscapes"
    pictures = sorted(source.glob("gtFine/*/*/*_labelIds.png"))[:8]
    root = scratch / "cityscapes"
    for kind in ("gtFine", "leftImg8bit"):
        (root / kind / "val/city").mkdir(parents=True)
    for i, picture in enumerate(pictures):
        Image.open(picture).resize((2048, 1024), Image.NEAREST).save(scratch / f"{i}.png")
    Image.new("RGB", (2048, 1024)).save(scratch / "image.png")
    for i in range(500):
        os.link(scratch / f"{i % len(pictures)}.png", root / f"gtFine/val/city/city_{i:06d}_gtFine_labelIds.png")
        os.link(scratch / "image.png", root / f"leftImg8bit/val/city/city_{i:06d}_leftImg8bit.png")
    def ours(turn):
        return run("cityscapes-io", [BIN / "cityscapes-io", "prepare", "--quiet", "--threads", 2,
                                     "--dataset", "cityscapes-val", "--root", root, "--output", scratch / f"ours{turn}"])

    def theirs(turn):
        output = scratch / f"python{turn}"
        output.mkdir()
        return run("python", [sys.executable, "-c", LABELS, root, output])

    compare(ours, theirs, args.rounds)
    for path in list((scratch / "python0").iterdir()):
        path.rename(path.parent / path.name.replace("_gtFine_labelIds", ""))
    same_pixels(scratch / "ours0/masks", scratch / "python0")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["proxies", "load", "labels"])
    parser.add_argument("--real", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        globals()[args.what](args, Path(scratch))


main()
