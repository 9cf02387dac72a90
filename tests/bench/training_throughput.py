"""OoD training of ERFNet with oodseg and with PyTorch (pytorch_training.py), in alternation; prints seconds and peak memory of both.

usage: training_throughput.py OOD_TRAIN LABELS PROXY [STEPS] [TURNS]

OOD_TRAIN is the executable, LABELS and PROXY are outputs of cityscapes-io and coco-proxy. Both sides have the same images, crop size, batch size, objective,
optimizer and number of threads; PyTorch reads images with two DataLoader workers. Its time is that of the training loop alone, without imports and the
construction of the network; the time of oodseg is that of the whole process including the final checkpoint. Memory is that of the largest process: the workers of
the DataLoader are not counted. Needs torch, numpy and Pillow.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

CROP, BATCH, FRACTION = 384, 4, 0.3333
STEPS, TURNS = 44, 3
ENV = {
    "OMP_NUM_THREADS": "2",
    "RAYON_NUM_THREADS": "2",
    "CANDLE_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
}


def measured(command):
    """Standard output, seconds and largest resident memory in MB of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **ENV})
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"failed: {command}"
    return output, time.perf_counter() - start, usage.ru_maxrss / 1000


def main():
    program, labels, proxy = sys.argv[1:4]
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else STEPS
    turns = int(sys.argv[5]) if len(sys.argv) > 5 else TURNS
    script = os.path.join(os.path.dirname(__file__), "pytorch_training.py")
    same = f"--crop {CROP} --batch-size {BATCH} --ood-fraction {FRACTION} --steps {steps}"
    rows = []
    for _ in range(turns):
        output, _, their_memory = measured([sys.executable, script, labels, proxy, *f"--no-dropout {same}".split()])
        folder = tempfile.mkdtemp()
        flags = f"--network erfnet --no-dropout --quiet {same}"
        command = [program, "--labels", labels, "--proxy", proxy, "--output", folder + "/train", *flags.split()]
        _, our_time, our_memory = measured(command)
        shutil.rmtree(folder)
        rows.append((float(output), our_time, their_memory, our_memory))
        print("PyTorch {0:.1f} s {2:.0f} MB, oodseg {1:.1f} s {3:.0f} MB".format(*rows[-1]), flush=True)
    theirs, ours, their_memory, our_memory = (statistics.median(column) for column in zip(*rows))
    print(f"median: ratio {theirs / ours:.2f}, memory {our_memory / their_memory:.2f} of PyTorch's")


if __name__ == "__main__":
    main()
