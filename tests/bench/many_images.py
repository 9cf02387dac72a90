"""Segments and pixel metrics of many images of 2048x1024 pixels: images per second, memory over time, and the cost of resuming after a kill.

usage: many_images.py BIN LOGITS LABELS FOLDER [IMAGES]

BIN is the folder of the executables; LOGITS and LABELS are outputs of `seg-model infer` and `cityscapes-io prepare` for masks of 1024x512 pixels. FOLDER is
created and must not exist. In it, every image becomes several: its logits without every second row and column, in f16, which the stage upsamples to 2048x1024,
and its mask in double size. `segment-metrics` runs once without interruption, and once it is killed halfway and resumed: the tables must be equal. Needs numpy
and Pillow.
"""

import filecmp
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 2048, 1024


def read_logits(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        dtype = {"F16": np.float16, "F32": np.float32}[header["logits"]["dtype"]]
        values = np.fromfile(file, dtype).reshape(header["logits"]["shape"])
    return header["__metadata__"], np.ascontiguousarray(values[:, ::2, ::2]).astype(np.float16)


def write_logits(path, metadata, values):
    entry = {"dtype": "F16", "shape": list(values.shape), "data_offsets": [0, values.nbytes]}
    header = json.dumps({"__metadata__": metadata, "logits": entry}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + values.tobytes())


def make(logits, labels, folder, n):
    os.makedirs(f"{folder}/logits")
    os.makedirs(f"{folder}/labels/masks")
    with open(f"{labels}/index.json") as file:
        index = json.load(file)
    sources, index["samples"] = index["samples"], []
    for k, source in enumerate(sources):
        metadata, values = read_logits(f"{logits}/{source['sample_id']}.safetensors")
        mask = Image.open(f"{labels}/{source['mask']}").resize((WIDTH, HEIGHT), Image.NEAREST)
        for i in range(k, n, len(sources)):
            sample_id = f"{i:05}"
            metadata |= {"sample_id": sample_id, "output_width": str(WIDTH), "output_height": str(HEIGHT)}
            write_logits(f"{folder}/logits/{sample_id}.safetensors", metadata, values)
            mask.save(f"{folder}/labels/masks/{sample_id}.png")
            sample = {"sample_id": sample_id, "mask": f"masks/{sample_id}.png", "mask_blake3": None}
            index["samples"].append(source | sample | {"width": WIDTH, "height": HEIGHT})
    index["samples"].sort(key=lambda s: s["sample_id"])
    with open(f"{folder}/labels/index.json", "w") as file:
        json.dump(index, file)
    for source, copy in ((logits, "logits"), (labels, "labels")):
        shutil.copy(f"{source}/manifest.json", f"{folder}/{copy}")


def resident(process):
    """Resident memory of the process now, in MB."""
    try:
        with open(f"/proc/{process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError, ValueError):
        return 0.0


def measure(programs, folder, output, stop_after=None):
    """Seconds, peak memory in each tenth of the time, and exit status. The process is killed after `stop_after` images."""
    command = [f"{programs}/segment-metrics", "--logits", f"{folder}/logits", "--labels", f"{folder}/labels"]
    start, seen = time.perf_counter(), []
    process = subprocess.Popen([*command, "--output", f"{folder}/{output}", "--quiet"], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        seen.append(resident(process))
        maps = f"{folder}/{output}/components"
        if stop_after and os.path.isdir(maps) and len(os.listdir(maps)) >= stop_after:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.1)
    seconds, tenth = time.perf_counter() - start, -(-len(seen) // 10)
    return seconds, [round(max(seen[i : i + tenth])) for i in range(0, len(seen), tenth)], process.returncode


def main():
    programs, logits, labels, folder = sys.argv[1:5]
    n = int(sys.argv[5]) if len(sys.argv) > 5 else 1200
    make(logits, labels, folder, n)
    seconds, memory, status = measure(programs, folder, "whole")
    assert status == 0, "segment-metrics failed"
    print(f"{n} images in {seconds:.1f} s, {n / seconds:.2f} images/s; MB in each tenth of the time: {memory}", flush=True)

    _, _, status = measure(programs, folder, "killed", stop_after=n // 2)
    assert status == -signal.SIGKILL, "it ended before it was killed"
    maps = [entry.stat().st_mtime_ns for entry in os.scandir(f"{folder}/killed/components")]
    again, _, status = measure(programs, folder, "killed")
    assert status == 0, "resuming failed"
    before = max(maps)
    redone = sum(entry.stat().st_mtime_ns > before for entry in os.scandir(f"{folder}/killed/components")) - (n - len(maps))
    tables = [name for name in os.listdir(f"{folder}/whole") if name.endswith(".parquet")]
    same = all(filecmp.cmp(f"{folder}/whole/{t}", f"{folder}/killed/{t}", shallow=False) for t in tables)
    print(f"killed after {len(maps)} images, {again:.1f} s for the rest, {redone} images measured again; same tables: {same}")

    command = [f"{programs}/ood-eval", "evaluate", "--run", f"many={folder}/run", "--output", f"{folder}/eval", "--quiet"]
    os.makedirs(f"{folder}/run/segments")
    os.rename(f"{folder}/whole", f"{folder}/run/segments/many")
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, "ood-eval failed"
    print(f"ood-eval evaluate {time.perf_counter() - start:.1f} s, {usage.ru_maxrss / 1000:.0f} MB")


if __name__ == "__main__":
    main()
