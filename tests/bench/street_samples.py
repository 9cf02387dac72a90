"""Makes the input of growth.py and chain_throughput.py: street images of any size, and weights of any number of classes. Needs numpy, Pillow and safetensors.

usage: street_samples.py images SOURCE FOLDER WxH N
       street_samples.py weights SOURCE FOLDER CLASSES

`images`: N JPEG images with masks of unknown objects, in the layout of RoadAnomaly21, which resize and repeat those of SOURCE, a folder in that layout.
`weights`: the tensors of ERFNet with another number of output channels, and a class set for them. Channels beyond those of SOURCE have a constant logit so low that they do
not change which pixels are uncertain.
"""

import os
import shutil
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

LOGIT_OF_ABSENT_CLASSES = -12.0
# channels of the published weights that are classes; the last one is void
CLASSES = 19


def images(source, folder, size, n):
    size = tuple(map(int, size.split("x")))
    for part in ("images", "labels_masks"):
        os.makedirs(f"{folder}/{part}")
    names = sorted(os.listdir(f"{source}/images"))
    for i in range(int(n)):
        name = names[i % len(names)]
        stem, copy = os.path.splitext(name)[0], i // len(names)
        image, mask = f"{folder}/images/{stem}_{copy}.jpg", f"{folder}/labels_masks/{stem}_{copy}.png"
        if copy:
            shutil.copy(f"{folder}/images/{stem}_0.jpg", image)
            shutil.copy(f"{folder}/labels_masks/{stem}_0.png", mask)
            continue
        Image.open(f"{source}/images/{name}").convert("RGB").resize(size, Image.LANCZOS).save(image, quality=92)
        Image.open(f"{source}/labels_masks/{stem}.png").resize(size, Image.NEAREST).save(mask)


def weights(source, folder, classes):
    classes, tensors = int(classes), load_file(source)
    present = min(classes, CLASSES)
    for name in ("encoder.output_conv", "decoder.output_conv"):
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        axis = int(name.startswith("decoder"))  # transposed convolutions have the output channels second
        shape = list(weight.shape)
        shape[axis] = classes
        larger, constant = np.zeros(shape, np.float32), np.full(classes, LOGIT_OF_ABSENT_CLASSES, np.float32)
        np.moveaxis(larger, axis, 0)[:present] = np.moveaxis(weight, axis, 0)[:present]
        constant[:present] = bias[:present]
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = larger, constant
    os.makedirs(folder)
    save_file(tensors, f"{folder}/tensors.safetensors")
    lines = [f'  {{ name = "class {i}", color = "#{i * 65793 % 16777216:06X}", id = {i} }},' for i in range(classes)]
    with open(f"{folder}/classes.toml", "w") as file:
        file.write("\n".join([f'name = "growth-{classes}"', f'title = "{classes} classes"', "void_ids = []", "classes = [", *lines, "]", ""]))


if __name__ == "__main__":
    {"images": images, "weights": weights}[sys.argv[1]](*sys.argv[2:])
