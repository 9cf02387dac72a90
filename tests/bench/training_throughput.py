"""OoD training of ERFNet with oodseg and with a PyTorch script of the same work, in turns; prints seconds and peak memory of both.

usage: training_throughput.py OOD_TRAIN LABELS PROXY [STEPS] [TURNS]

OOD_TRAIN is the program, LABELS and PROXY are outputs of cityscapes-io and coco-proxy. Same images, crops, batch, objective, optimizer and
number of threads; the PyTorch side reads with two DataLoader workers. Its time is that of the training loop alone (imports and the making of
the network left out), the time of oodseg that of the whole process with its final checkpoint. Memory is that of the largest process: the
workers of the DataLoader are not counted. Needs torch, numpy and Pillow.
"""

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

CROP, BATCH, FRACTION, ALPHA = 384, 4, 0.3333, 0.9
STEPS, TURNS = 44, 3
ENV = {
    "OMP_NUM_THREADS": "2",
    "RAYON_NUM_THREADS": "2",
    "CANDLE_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
}


def samples(folder):
    with open(os.path.join(folder, "index.json")) as file:
        index = json.load(file)
    for s in index["samples"]:
        yield os.path.join(index["image_root"], s["image"]), os.path.join(folder, s["mask"]), (s["width"], s["height"])


def pytorch(labels, proxy, steps):
    """Trains like the reference does and prints the seconds of its loop."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from PIL import Image
    from reference import erfnet

    known, unknown = list(samples(labels)), list(samples(proxy))

    class Crops(torch.utils.data.Dataset):
        def __init__(self):
            # one epoch after the other: all known images and so many proxies, in random order
            self.order = []
            while len(self.order) < steps * BATCH:
                epoch = known + random.sample(unknown, round(FRACTION * len(known)))
                self.order += random.sample(epoch, len(epoch))

        def __len__(self):
            return steps * BATCH

        def __getitem__(self, i):
            image, mask, (w, h) = self.order[i]
            scale = max(1, CROP / min(w, h))
            size = (round(w * scale), round(h * scale))
            image = Image.open(image).convert("RGB").resize(size, Image.BILINEAR)
            mask = Image.open(mask).resize(size, Image.NEAREST)
            x, y = random.randint(0, size[0] - CROP), random.randint(0, size[1] - CROP)
            box = (x, y, x + CROP, y + CROP)
            image, mask = np.asarray(image.crop(box)), np.asarray(mask.crop(box))
            if random.random() < 0.5:
                image, mask = image[:, ::-1], mask[:, ::-1]
            image = torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255
            return image, torch.from_numpy(mask.copy()).long()

    def objective(logits, labels):
        classes = F.one_hot(labels.clamp(max=19), 20)[..., :19].permute(0, 3, 1, 2).float()
        ood = (labels == 254)[:, None].float()
        target = (1 - ALPHA) * classes + ALPHA / 19 * ood
        return (-target * F.log_softmax(logits, 1)).mean()

    torch.set_num_threads(2)
    net = erfnet().train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-5)
    start = time.perf_counter()
    for images, labels in torch.utils.data.DataLoader(Crops(), BATCH, num_workers=2):
        optimizer.zero_grad()
        objective(net(images)[:, :19], labels).backward()
        optimizer.step()
    with tempfile.TemporaryFile() as file:
        torch.save([net.state_dict(), optimizer.state_dict()], file)
    print(time.perf_counter() - start)


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
    rows = []
    for _ in range(turns):
        output, _, their_memory = measured([sys.executable, __file__, "--pytorch", labels, proxy, str(steps)])
        folder = tempfile.mkdtemp()
        flags = f"--network erfnet --no-dropout --crop {CROP} --batch-size {BATCH} --ood-fraction {FRACTION} --steps {steps} --quiet"
        command = [program, "--labels", labels, "--proxy", proxy, "--output", folder + "/train", *flags.split()]
        _, our_time, our_memory = measured(command)
        shutil.rmtree(folder)
        rows.append((float(output), our_time, their_memory, our_memory))
        print("PyTorch {0:.1f} s {2:.0f} MB, oodseg {1:.1f} s {3:.0f} MB".format(*rows[-1]), flush=True)
    theirs, ours, their_memory, our_memory = (statistics.median(column) for column in zip(*rows))
    print(f"median: ratio {theirs / ours:.2f}, memory {our_memory / their_memory:.2f} of PyTorch's")


if __name__ == "__main__":
    if sys.argv[1] == "--pytorch":
        pytorch(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
