"""Files in the format of safetensors with one tensor, byte for byte as the stages write them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy

DTYPES = {"float16": "F16", "float32": "F32"}


def write(path: Path, name: str, array: numpy.ndarray, metadata: Mapping[str, str]) -> None:
    """Writes an array under ``name``. The file appears when it is complete."""
    entry = {"data_offsets": [0, array.nbytes], "dtype": DTYPES[array.dtype.name], "shape": list(array.shape)}
    header = {"__metadata__": dict(sorted(metadata.items())), name: entry}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little"))
            file.write(text)
            file.write(numpy.ascontiguousarray(little).data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    """The process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
