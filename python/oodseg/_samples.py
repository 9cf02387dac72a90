"""The images of a data set, as a stage lists them."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import NamedTuple, Optional, Union


class Sample(NamedTuple):
    """One image."""

    #: Its name in all files and tables, ``sample_id``.
    id: str
    #: File of the image.
    image: Path
    #: File of the mask, if there are labels: one number for each pixel, described in docs/ARTIFACTS.md.
    mask: Optional[Path]
    #: Rows and columns of the mask, to which outputs of a network are upsampled.
    size: tuple[int, int]


def samples(folder: Union[str, "PathLike[str]"]) -> list[Sample]:
    """The images in the ``index.json`` of a stage's output, in its order.

    Args:
        folder: The ``--output`` of ``cityscapes-io prepare`` or ``index``, or of another stage that writes an ``index.json``.

    Raises:
        FileNotFoundError: The folder has no ``index.json``.
    """
    folder = Path(folder)
    path = folder / "index.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no index.json: name the output of `oodseg cityscapes-io prepare`, or of `oodseg cityscapes-io index` for any folder of images"
        )
    index = json.loads(path.read_text(encoding="utf-8"))
    root = Path(index["image_root"])
    return [
        Sample(
            sample["sample_id"],
            root / sample["image"],
            folder / sample["mask"] if sample["mask"] else None,
            (sample["height"], sample["width"]),
        )
        for sample in index["samples"]
    ]
