"""Class sets: which classes there are, and in which order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Union

#: Name of a shipped class set, a TOML file that describes one, its content, or names of classes.
Classes = Union[str, "PathLike[str]", Mapping[str, Any], Sequence[str]]

#: Fields of a class set and of a class, in the order in which files have them.
SET_FIELDS = ("name", "title", "url", "void_ids", "classes")
CLASS_FIELDS = ("name", "color", "id", "category")

#: 254 and 255 are other things in masks.
MAX_CLASSES = 254


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Any]:
    text = (Path(__file__).parent / "class_sets.json").read_text(encoding="utf-8")
    return json.loads(text)


def class_set_names() -> list[str]:
    """Names of the shipped class sets."""
    return sorted(_shipped())


def class_set(classes: Classes) -> dict[str, Any]:
    """The class set that ``classes`` stands for, as a dictionary in the form of ``data-manifests/classes/*.toml``.

    Args:
        classes: The name of a shipped class set (``"cityscapes"``), a TOML file that describes one, its content, or the names of
            the classes in the order of the channels, which then are in shades of gray.

    Raises:
        ValueError: There is no such class set, or it is none.
    """
    if isinstance(classes, Mapping):
        return _checked(dict(classes), "the class set")
    if isinstance(classes, (str, PathLike)):
        if isinstance(classes, str) and classes in _shipped():
            return _checked(dict(_shipped()[classes]), classes)
        return _checked(_of_file(Path(classes)), str(classes))
    names = list(classes)
    last = max(len(names) - 1, 1)
    described = [{"name": name, "color": "#" + f"{255 * at // last:02X}" * 3} for at, name in enumerate(names)]
    return _checked({"name": "own", "classes": described}, "the list of classes")


def _of_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"there is no class set {str(path)!r}: name a file, or one of {', '.join(class_set_names())}")
    try:
        import tomllib
    except ImportError:  # before Python 3.11
        try:
            import tomli as tomllib
        except ImportError:
            raise ImportError(f"to read {path}, Python before 3.11 needs the package tomli: pip install tomli") from None
    with path.open("rb") as file:
        try:
            return tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path} is no class set: {error}") from None


def _checked(found: dict[str, Any], place: str) -> dict[str, Any]:
    """The fields in the order of the files, after a check of what Python can get wrong; the stages check the rest."""
    unknown = set(found) - set(SET_FIELDS)
    classes = found.get("classes")
    if unknown or not isinstance(found.get("name"), str) or not isinstance(classes, Sequence):
        raise ValueError(f"{place} is no class set: it needs `name` and `classes`, see docs/CLASSES.md")
    for entry in classes:
        if not isinstance(entry, Mapping) or not {"name", "color"} <= set(entry) <= set(CLASS_FIELDS):
            raise ValueError(f"{place} is no class set: {entry!r} needs `name` and `color`, see docs/CLASSES.md")
    names = [entry["name"] for entry in classes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{place} has the class {twice!r} twice")
    if not 2 <= len(names) <= MAX_CLASSES:
        raise ValueError(f"{place} has {len(names)} classes; there must be 2 to {MAX_CLASSES}")
    ordered = {field: found[field] for field in SET_FIELDS if found.get(field)}
    ordered["classes"] = [{field: entry[field] for field in CLASS_FIELDS if field in entry} for entry in classes]
    for entry in ordered["classes"]:
        entry["color"] = str(entry["color"]).upper()
    return ordered


def to_json(found: Mapping[str, Any]) -> str:
    """The text that files hold."""
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)
