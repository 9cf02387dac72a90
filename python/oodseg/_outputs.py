"""Outputs of any network or method as files that ``oodseg seg-model adopt`` reads."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any, Optional, Union

import numpy

from . import _safetensors
from ._classes import Classes, class_set, to_json

_SAMPLE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def write_logits(
    path: Union[str, "PathLike[str]"],
    logits: Any,
    *,
    classes: Classes,
    size: Optional[tuple[int, int]] = None,
    void: Union[int, str, None] = None,
    align_corners: bool = False,
    network: str = "adopted",
) -> None:
    """Writes the logits of one image, the numbers before softmax.

    Args:
        path: The file, ``SAMPLE.safetensors``. ``SAMPLE`` is the sample id in the ``index.json`` of the labels, or the name of the
            image file without its ending. Missing folders are made.
        logits: ``[C, h, w]`` or ``[1, C, h, w]``, at any resolution: a NumPy array, a PyTorch tensor on any device, or whatever
            NumPy understands. Half precision stays; all other numbers are stored in single precision.
        classes: What the channels are, in their order: the name of a shipped class set (``"cityscapes"``), a TOML file that
            describes one, its content, or the names of the classes.
        size: Rows and columns of the image (of the labels, if these were prepared at another size), to which the logits are
            upsampled. Default: those of the array.
        void: The channel that is none of the classes, if there is one more than classes: ``"first"``, ``"last"`` or its number.
        align_corners: How the logits are to be upsampled, as the argument of ``torch.nn.functional.interpolate``.
        network: Name of the network, for people.

    Raises:
        ValueError: The array has another shape, another number of channels than classes, infinities or NaN, or holds
            probabilities; or the path is not the name of a sample.
    """
    path, sample_id = _sample(path)
    described = class_set(classes)
    array = _array(logits, "logit", sample_id)
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"logits of {sample_id} have the shape {array.shape}: they are [C, h, w]")
    array = _classes_first(array, len(described["classes"]), void, sample_id)
    if _are_probabilities(array):
        raise ValueError(f"logits of {sample_id} are probabilities: write their logarithms, numpy.log(probabilities + 1e-38)")
    metadata = _metadata(sample_id, array, size, align_corners)
    metadata.update(format_version="2", network=network, classes=to_json(described))
    _safetensors.write(path, "logits", array, metadata)


def write_scores(
    path: Union[str, "PathLike[str]"],
    scores: Any,
    *,
    method: str,
    size: Optional[tuple[int, int]] = None,
    align_corners: bool = False,
) -> None:
    """Writes one score for each pixel of an image, larger where it is more suspicious.

    Args:
        path: The file, ``SAMPLE.safetensors``, as for :func:`write_logits`.
        scores: ``[h, w]`` or ``[1, h, w]``, any finite numbers, stored in single precision.
        method: Name of the method that made them, which the report shows.
        size: Rows and columns of the image, to which the scores are upsampled. Default: those of the array.
        align_corners: As for :func:`write_logits`.

    Raises:
        ValueError: The array has another shape, infinities or NaN, or the path is not the name of a sample.
    """
    path, sample_id = _sample(path)
    array = _array(scores, "score", sample_id).astype(numpy.float32)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"scores of {sample_id} have the shape {array.shape}: they are [h, w]")
    metadata = _metadata(sample_id, array, size, align_corners)
    metadata.update(format_version="1", method=method)
    _safetensors.write(path, "score", array, metadata)


def _sample(path: Union[str, "PathLike[str]"]) -> tuple[Path, str]:
    path = Path(path)
    sample_id = path.name[: -len(".safetensors")]
    if path.suffix != ".safetensors" or not _SAMPLE_ID.fullmatch(sample_id):
        raise ValueError(
            f"{str(path)!r} is not SAMPLE.safetensors, where SAMPLE has ASCII letters, digits, `_`, `-` and `.` only"
        )
    return path, sample_id


def _array(values: Any, what: str, sample_id: str) -> numpy.ndarray:
    """A finite array in half or single precision; tensors of PyTorch are brought to the CPU."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16
        values = values.numpy() if str(values.dtype) != "torch.bfloat16" else values.float().numpy()
    array = numpy.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"the numbers are of type {array.dtype}")
    with numpy.errstate(over="ignore"):
        stored = array if array.dtype == numpy.float16 else array.astype(numpy.float32)
    bad = numpy.argwhere(~numpy.isfinite(stored))
    if len(bad):
        value = array[tuple(bad[0])]
        place = ", ".join(str(index) for index in bad[0])
        why = f", and {len(bad)} are not finite in all"
        if numpy.isfinite(value):
            why = ", more than single precision holds: divide all of them by a constant"
        elif numpy.isinf(value) and array.dtype == numpy.float16:
            why += "; half precision ends at 65504, so keep them in single precision"
        raise ValueError(f"the {what} at [{place}] of {sample_id} is {value}{why}")
    return stored


def _classes_first(array: numpy.ndarray, n_classes: int, void: Union[int, str, None], sample_id: str) -> numpy.ndarray:
    """The channels in the order of the files: classes, then void."""
    channels = array.shape[0]
    if channels == n_classes and void is None:
        return array
    if channels != n_classes + 1:
        hint = f", {n_classes + 1} with void" if void is not None else ""
        raise ValueError(f"logits of {sample_id} have {channels} channels for {n_classes} classes{hint}: they are [C, h, w]")
    places = {"first": 0, "last": n_classes}
    at = places.get(void, void) if isinstance(void, str) else void
    if not isinstance(at, int) or not 0 <= at <= n_classes:
        raise ValueError(f"logits of {sample_id} have one channel more than classes: say which is none of them with void, not {void!r}")
    order = [channel for channel in range(channels) if channel != at] + [at]
    return array[order]


def _are_probabilities(array: numpy.ndarray) -> bool:
    """Whether all numbers are in [0, 1] and sum to 1 over the channels, as readers of the files look at it."""
    if array.min() < 0 or array.max() > 1:
        return False
    return bool(numpy.all(numpy.abs(array.sum(axis=0, dtype=numpy.float32) - 1) <= 0.01))


def _metadata(sample_id: str, array: numpy.ndarray, size: Optional[tuple[int, int]], align_corners: bool) -> dict[str, str]:
    height, width = array.shape[-2:] if size is None else size
    if not (int(height) > 0 and int(width) > 0):
        raise ValueError(f"the size of {sample_id} is {size}: it is rows and columns of the image")
    return {
        "sample_id": sample_id,
        "output_height": str(int(height)),
        "output_width": str(int(width)),
        "align_corners": "true" if align_corners else "false",
    }
