"""OoD training of ERFNet in PyTorch; flags mean the same as those of `ood-train`. Prints the seconds of the training loop.

usage: pytorch_training.py LABELS[,LABELS...] [PROXY] [flags]

LABELS, PROXY and --objects are outputs of cityscapes-io and coco-proxy. With --init and --output, weights are read and written with the tensor names of `ood-train`, so that
`seg-model infer` can use them. Random numbers are those of PyTorch and Python, so this is the same recipe but not the same run. Needs torch, numpy and Pillow, and
for some flags safetensors and scipy.
"""

import argparse
import copy
import json
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_networks import erfnet
from torch import nn

IGNORE, OOD = 255, 254
# smallest object that is pasted, in pixels of its original image
MIN_AREA = 2500
NAMES = {"a": "conv3x1_1", "b": "conv1x3_1", "n1": "bn1", "c": "conv3x1_2", "d": "conv1x3_2", "n2": "bn2"}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("labels")
    parser.add_argument("proxy", nargs="?")
    parser.add_argument("--label-shares", default="")
    parser.add_argument("--label-short-side", default="")
    parser.add_argument("--label-distill", default="")
    parser.add_argument("--objects", default="")
    parser.add_argument("--init")
    parser.add_argument("--output")
    parser.add_argument("--crop", type=int, default=384)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--ood-fraction", type=float, default=0.1)
    parser.add_argument("--ood-weight", type=float, default=0.9)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--schedule", choices=["constant", "poly"], default="constant")
    parser.add_argument("--paste", type=int, default=0)
    parser.add_argument("--paste-height", default="16:220")
    parser.add_argument("--paste-match-light", action="store_true")
    parser.add_argument("--distill", type=float, default=0.0)
    parser.add_argument("--batch-norm", choices=["batch", "frozen"], default="batch")
    parser.add_argument("--train-only", default="")
    parser.add_argument("--no-dropout", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def samples(folder, short_side=0, distill=1.0):
    """Image, mask, size, number of objects and factor of the distillation of each sample of a directory."""
    with open(os.path.join(folder, "index.json")) as file:
        index = json.load(file)
    for s in index["samples"]:
        objects = len((s.get("proxy") or {}).get("objects", []))
        scale = short_side / min(s["width"], s["height"]) if short_side else 1
        size = (round(s["width"] * scale), round(s["height"] * scale))
        yield os.path.join(index["image_root"], s["image"]), os.path.join(folder, s["mask"]), size, objects, distill


def numbers(text):
    return [float(number) for number in text.split(",")] if text else []


def name(parameter):
    """The name that a tensor of `pytorch_networks.erfnet` has in checkpoints of ERFNet."""
    number, _, rest = parameter.partition(".")
    i, parts = int(number), rest.split(".")
    block = "encoder.initial_block" if i == 0 else f"encoder.layers.{i - 1}" if i < 16 else f"decoder.layers.{i - 16}"
    return ".".join(["decoder.output_conv" if i == 22 else block, *[NAMES.get(p, p) for p in parts]])


class Crops(torch.utils.data.Dataset):
    """Epoch by epoch, all known images (or as many of each data set as its share asks for) and a fraction of that number of proxies, in random order."""

    def __init__(self, args):
        self.args = args
        folders = args.labels.split(",")
        sides = numbers(args.label_short_side) or [0] * len(folders)
        factors = numbers(args.label_distill) or [1.0] * len(folders)
        known = [list(samples(*labels)) for labels in zip(folders, sides, factors)]
        unknown = list(samples(args.proxy)) if args.proxy else []
        self.objects = [s for folder in args.objects.split(",") for s in samples(folder)] if args.objects else unknown
        n_known, shares = sum(map(len, known)), numbers(args.label_shares)
        counts = [round(n_known * share / sum(shares)) for share in shares] or list(map(len, known))
        n_unknown, self.order = round(args.ood_fraction * n_known) if unknown else 0, []
        while len(self.order) < len(self):
            epoch = [(s, True) for images, count in zip(known, counts) for s in choice(images, count)]
            epoch += [(s, False) for s in choice(unknown, n_unknown)]
            self.order += random.sample(epoch, len(epoch))

    def __len__(self):
        return self.args.steps * self.args.batch_size

    def __getitem__(self, i):
        random.seed(f"{self.args.seed} {i}")
        ((image, mask, (w, h), _, distill), is_known), crop = self.order[i], self.args.crop
        scale = max(1, crop / min(w, h))
        size = (round(w * scale), round(h * scale))
        image = Image.open(image).convert("RGB").resize(size, Image.BILINEAR)
        mask = Image.open(mask).resize(size, Image.NEAREST)
        x, y = random.randint(0, size[0] - crop), random.randint(0, size[1] - crop)
        box = (x, y, x + crop, y + crop)
        image, mask = np.array(image.crop(box)), np.array(mask.crop(box))
        if random.random() < 0.5:
            image, mask = image[:, ::-1].copy(), mask[:, ::-1].copy()
        for _ in range(self.args.paste if is_known else 0):
            paste(image, mask, self.objects, self.args)
        image = torch.from_numpy(image.transpose(2, 0, 1).copy()).float() / 255
        return image, torch.from_numpy(mask).long(), torch.tensor(distill)


def choice(items, count):
    """A random choice that repeats none before all of them occurred."""
    chosen = []
    while len(chosen) < count:
        chosen += random.sample(items, min(len(items), count - len(chosen)))
    return chosen


def random_object(sources):
    """The image and the pixels of a random object: a numbered one of `coco-proxy --objects`, or a large connected part of a proxy's mask."""
    while True:
        source, labels, _, n_objects, _ = random.choice(sources)
        labels = np.asarray(Image.open(labels))
        if OOD not in labels:
            return source, labels == random.randint(1, n_objects)
        from scipy import ndimage

        parts, _ = ndimage.label(labels == OOD)
        sizes = np.bincount(parts.ravel())
        large = [k for k in range(1, len(sizes)) if sizes[k] >= MIN_AREA]
        if large:
            return source, parts == random.choice(large)


def paste(image, mask, sources, args):
    """Pastes a random object, mirrored half of the time, at a random position and with a random height."""
    source, part = random_object(sources)
    ys, xs = np.where(part)
    box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    w, h = box[2] - box[0], box[3] - box[1]
    low, high = map(float, args.paste_height.split(":"))
    scale = min(low * (high / low) ** random.random() / h, image.shape[1] / w, image.shape[0] / h)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    colors = np.asarray(Image.open(source).convert("RGB").crop(box).resize(size, Image.BILINEAR), np.float32)
    opacity = Image.fromarray(np.uint8(255) * part).crop(box).resize(size, Image.BILINEAR)
    opacity = np.asarray(opacity, np.float32)[..., None] / 255
    if random.random() < 0.5:
        colors, opacity = colors[:, ::-1], opacity[:, ::-1]
    x, y = random.randint(0, image.shape[1] - size[0]), random.randint(0, image.shape[0] - size[1])
    below = image[y : y + size[1], x : x + size[0]]
    if args.paste_match_light:
        shift = ((below - colors).mean(2, keepdims=True) * opacity).sum() / max(opacity.sum(), 1) / 2
        colors = np.clip(colors + shift, 0, 255)
    below[:] = np.round(opacity * colors + (1 - opacity) * below)
    mask[y : y + size[1], x : x + size[0]][opacity[..., 0] >= 0.5] = OOD


def objective(logits, labels, ood_weight):
    """The objective of the paper's code: dense targets, mean over all pixels and classes."""
    c = logits.shape[1]
    classes = F.one_hot(labels.clamp(max=c), c + 1)[..., :c].permute(0, 3, 1, 2).float()
    target = (1 - ood_weight) * classes + ood_weight / c * (labels == OOD)[:, None].float()
    return (-target * F.log_softmax(logits, 1)).mean()


def main():
    args = arguments()
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    net, tensors = erfnet(dropout=not args.no_dropout), {}
    if args.init:
        from safetensors.torch import load_file

        tensors = load_file(args.init)
        state = {key: tensors.get(name(key), value) for key, value in net.state_dict().items()}
        net.load_state_dict(state)
    original = copy.deepcopy(net).eval()
    net.train()
    if args.batch_norm == "frozen":
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    for key, p in net.named_parameters():
        p.requires_grad_(name(key).startswith(args.train_only))
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], args.learning_rate)
    # the power of 0.9 is that of `poly`
    power = 0.9 if args.schedule == "poly" else 0
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 - step / args.steps) ** power)
    start = time.perf_counter()
    for images, labels, factors in torch.utils.data.DataLoader(Crops(args), args.batch_size, num_workers=2):
        optimizer.zero_grad()
        logits = net(images)
        loss = objective(logits, labels, args.ood_weight)
        if args.distill:
            with torch.no_grad():
                before = F.log_softmax(original(images), 1)
            divergence = before.exp() * (before - F.log_softmax(logits, 1)) * (labels != OOD)[:, None] * factors[:, None, None, None]
            loss = loss + args.distill * divergence.mean()
        loss.backward()
        optimizer.step()
        schedule.step()
    print(time.perf_counter() - start)
    if args.output:
        from safetensors.torch import save_file

        os.makedirs(args.output, exist_ok=True)
        # the checkpoint has a head of the encoder too, which has no part in the training
        tensors |= {name(key): value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
        save_file(tensors, os.path.join(args.output, "weights.safetensors"))


if __name__ == "__main__":
    main()
