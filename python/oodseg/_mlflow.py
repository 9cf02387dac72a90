"""A training as a run in a file store of MLflow."""

from __future__ import annotations

import json
import math
import re
import uuid
from os import PathLike
from pathlib import Path
from typing import Any, Optional, Union

from ._tables import read_table

#: Column of the training log that counts steps.
_STEP = "step"
#: Characters that file names of metrics and parameters can have.
_NOT_A_KEY = re.compile(r"[^A-Za-z0-9_.\- /]")
#: Longest value of a parameter.
_MAX_VALUE = 6000


def to_mlflow(
    training: Union[str, "PathLike[str]"],
    store: Union[str, "PathLike[str]"] = "mlruns",
    *,
    experiment: str = "oodseg",
    name: Optional[str] = None,
) -> str:
    """Writes a finished training of ``oodseg ood-train`` as a run into a file store of MLflow.

    ``mlflow ui --backend-store-uri STORE`` shows it. Metrics are the columns of ``log.parquet`` and, as ``validation/...``, of
    ``validation.parquet``; parameters are the arguments in ``manifest.json``; curves and weights are linked as artifacts. MLflow need not
    be installed. The same training gets the same run id, so that it is replaced when it is written again.

    Args:
        training: The ``--output`` of ``ood-train``.
        store: Folder of the store; it is made if it does not exist.
        experiment: Name of the experiment.
        name: Name of the run. Default: the folder above ``train``, or that of the training.

    Returns:
        The id of the run.

    Raises:
        FileNotFoundError: The training is not finished, or there is none.
    """
    training = Path(training).resolve()
    manifest_file = training / "manifest.json"
    if not manifest_file.is_file():
        raise FileNotFoundError(f"{training} has no manifest.json, so the training is not finished: call `oodseg ood-train` again")
    manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
    if manifest.get("stage") != "ood-train":
        raise FileNotFoundError(f"{training} is an output of {manifest.get('stage')}, not of ood-train")
    if name is None:
        name = training.parent.name if training.name == "train" else training.name
    store = Path(store).resolve()
    experiment_id = _experiment(store, experiment)
    run_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{training.as_uri()}").hex
    run = store / experiment_id / run_id
    end = int(manifest_file.stat().st_mtime * 1000)
    start = end - int(1000 * float(manifest.get("seconds", 0)))
    for folder in ("metrics", "params", "tags", "artifacts"):
        (run / folder).mkdir(parents=True, exist_ok=True)
    _write_metrics(run / "metrics", training, (start, end))
    for key, value in _flat(manifest.get("arguments", {})):
        _write(run / "params" / key, str(value)[:_MAX_VALUE])
    tags = {"mlflow.runName": name, "mlflow.source.name": "oodseg ood-train", "oodseg.version": str(manifest.get("tool_version"))}
    for key, value in tags.items():
        _write(run / "tags" / key, value)
    # last, because a folder without it is no run
    _write(run / "meta.yaml", _meta(run, experiment_id, run_id, name, training, (start, end)))
    return run_id


def _experiment(store: Path, name: str) -> str:
    """The id of the experiment with this name, which is made if there is none."""
    for found in sorted(store.glob("*/meta.yaml")):
        if f"name: {json.dumps(name)}" in found.read_text(encoding="utf-8").splitlines() or (
            f"name: {name}" in found.read_text(encoding="utf-8").splitlines()
        ):
            return found.parent.name
    # a number of 18 digits, as MLflow makes them
    experiment_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"oodseg:{name}").int)[:18]
    folder = store / experiment_id
    lines = {
        "artifact_location": folder.as_uri(),
        "creation_time": 0,
        "experiment_id": experiment_id,
        "last_update_time": 0,
        "lifecycle_stage": "active",
        "name": name,
    }
    _write(folder / "meta.yaml", _yaml(lines))
    return experiment_id


def _meta(run: Path, experiment_id: str, run_id: str, name: str, training: Path, times: tuple[int, int]) -> str:
    return _yaml(
        {
            "artifact_uri": training.as_uri(),
            "end_time": times[1],
            "entry_point_name": "",
            "experiment_id": experiment_id,
            "lifecycle_stage": "active",
            "run_id": run_id,
            "run_name": name,
            "run_uuid": run_id,
            "source_name": "",
            "source_type": 4,
            "source_version": "",
            "start_time": times[0],
            "status": 3,
            "tags": [],
            "user_id": "oodseg",
        }
    )


def _write_metrics(folder: Path, training: Path, times: tuple[int, int]) -> None:
    """One file for each metric, with lines of time in milliseconds, value and step."""
    for file, prefix in (("log.parquet", ""), ("validation.parquet", "validation/")):
        if not (training / file).is_file():
            continue
        table = read_table(training / file)
        steps = table.pop(_STEP, None)
        if steps is None or not len(steps):
            continue
        last = max(int(step) for step in steps) or 1
        # the log has no times, so the steps are spread evenly over those of the training
        moments = [times[0] + (times[1] - times[0]) * int(step) // last for step in steps]
        for column, values in table.items():
            if values.dtype.kind not in "fiu":
                continue
            lines = [
                f"{moment} {float(value)!r} {int(step)}\n"
                for moment, value, step in zip(moments, values, steps)
                if math.isfinite(value)
            ]
            if lines:
                _write(folder / (prefix + _key(column)), "".join(lines))


def _flat(arguments: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """The arguments with the names of groups before them, ``a.b``; those that were not given are left out."""
    if isinstance(arguments, dict):
        pairs = []
        for key, value in arguments.items():
            pairs += _flat(value, f"{prefix}.{key}" if prefix else key)
        return pairs
    if arguments is None or not prefix:
        return []
    return [(_key(prefix), arguments if isinstance(arguments, str) else json.dumps(arguments))]


def _key(name: str) -> str:
    return _NOT_A_KEY.sub("_", name)


def _yaml(lines: dict[str, Any]) -> str:
    """A flat mapping; JSON's texts and numbers are YAML's."""
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in lines.items())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
