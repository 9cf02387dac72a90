"""Masks of all annotations of a COCO folder, one by one, from coco-proxy and from pycocotools.

    pip install pycocotools==2.0.11 pillow==13.0.0 numpy
    cargo build --release
    python tests/bench/coco_annotations.py FOLDER

FOLDER contains annotations/instances_*.json; images are not needed. Prints the number of annotations and how many of their masks differ.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from PIL import Image
from pycocotools.coco import COCO

COCO_PROXY = Path(__file__).resolve().parents[2] / "target/release/coco-proxy"


def one_image_each(dataset):
    """The data set with a separate image for each annotation, so that each mask that is written belongs to one annotation."""
    images = {image["id"]: image for image in dataset["images"]}
    numbered = list(enumerate(dataset["annotations"], 1))
    return {
        "images": [{**images[a["image_id"]], "id": i, "file_name": f"{i:012d}.jpg"} for i, a in numbered],
        "annotations": [{**a, "image_id": i} for i, a in numbered],
        "categories": dataset["categories"],
    }


def main():
    n_annotations = n_different = 0
    for path in sorted(Path(sys.argv[1]).glob("annotations/instances_*.json")):
        dataset = json.loads(path.read_text())
        coco = COCO(str(path))
        with tempfile.TemporaryDirectory() as scratch:
            annotations, output = Path(scratch, path.name), Path(scratch, "out")
            annotations.write_text(json.dumps(one_image_each(dataset)))
            flags = ["--quiet", "--exclude", "", "--min-side", "1", "--background", "0"]
            command = [COCO_PROXY, *flags, "--annotations", annotations, "--output", output]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            for i, annotation in enumerate(dataset["annotations"], 1):
                ours = numpy.asarray(Image.open(output / f"masks/{i:012d}.png"))
                n_annotations += 1
                n_different += not numpy.array_equal(ours, coco.annToMask(annotation) * 254)
    print(f"{n_annotations} annotations, {n_different} differ")


main()
