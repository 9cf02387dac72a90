"""Images a second from JPEG files to the tables of segments, decoding included: `seg-model infer` and `segment-metrics`, or `oodseg detect` in one pass.

usage: chain_throughput.py BIN SAMPLES WEIGHTS FOLDER [flags]

BIN is the folder of the executables, SAMPLES a data set in the layout of RoadAnomaly21, of which JPEG images are made, WEIGHTS a weights file of `seg-model import`.
FOLDER is created and removed again. Needs numpy, Pillow and safetensors.
"""

import argparse
import os
import shutil
import subprocess
import sys

from stage_runs import measured, quietly


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin")
    parser.add_argument("samples")
    parser.add_argument("weights")
    parser.add_argument("folder")
    parser.add_argument("--sizes", default="1024x512,2048x1024", help="WxH in pixels (default: %(default)s)")
    parser.add_argument("--images", type=int, default=20, help="images of each size (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each stage (default: all, %(default)s)")
    return parser.parse_args()


def chain(args, size):
    """Figures of each stage for all images of one size."""
    folder = f"{args.folder}/{size}"
    maker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "street_samples.py")
    subprocess.run([sys.executable, maker, "images", args.samples, f"{folder}/data", size, str(args.images)], check=True)
    labels = f"{folder}/labels"
    quietly([f"{args.bin}/cityscapes-io", "prepare", "--dataset", "road-anomaly21", "--root", f"{folder}/data", "--output", labels, "--quiet"])
    commands = {
        "seg-model infer": [f"{args.bin}/seg-model", "infer", "--weights", args.weights, "--labels", labels, "--output", f"{folder}/logits"],
        "segment-metrics": [f"{args.bin}/segment-metrics", "--logits", f"{folder}/logits", "--labels", labels, "--output", f"{folder}/segments"],
        "oodseg detect": [f"{args.bin}/oodseg", "detect", "--weights", args.weights, "--folder", f"{folder}/data/images", "--output", f"{folder}/found"],
    }
    figures = {name: measured([*command, "--quiet"], args.threads) for name, command in commands.items()}
    shutil.rmtree(folder)
    return figures


def main():
    args = arguments()
    print(f"{args.images} JPEG images, {args.threads} threads\n")
    print("| size | what | images a second | seconds of CPU an image | peak memory |\n|---|---|---|---|---|")
    for size in args.sizes.split(","):
        figures = chain(args, size)
        stages = [figures["seg-model infer"], figures["segment-metrics"]]
        both = {"seconds": sum(s["seconds"] for s in stages), "cpu": sum(s["cpu"] for s in stages), "mb": max(s["mb"] for s in stages)}
        for name, f in {**figures, "infer and segment-metrics": both}.items():
            print(f"| {size} | {name} | {args.images / f['seconds']:.2f} | {f['cpu'] / args.images:.2f} | {f['mb']:,.0f} MB |", flush=True)
    os.rmdir(args.folder)


if __name__ == "__main__":
    main()
