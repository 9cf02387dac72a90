"""The executable that the package brings."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path


def executable() -> str:
    """Path of the executable ``oodseg``.

    It is the one in the folder that the environment variable ``OODSEG_BIN`` names, else the one that was installed with this
    package.

    Raises:
        FileNotFoundError: There is none.
    """
    name = "oodseg" + (sysconfig.get_config_var("EXE") or "")
    named = os.environ.get("OODSEG_BIN")
    # schemes of `pip install`, `pip install --user` and `pip install --target`
    folders = [Path(named)] if named else [
        Path(sysconfig.get_path("scripts")),
        Path(sysconfig.get_path("scripts", scheme=sysconfig.get_preferred_scheme("user"))),
        Path(__file__).resolve().parent.parent / "bin",
        Path(sys.executable).parent,
    ]
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    places = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(f"there is no {name} in {places}: install the package again, or set OODSEG_BIN to its folder")


def run(*arguments: object) -> str:
    """Runs a stage and returns the results that it printed.

    ``run("segment-metrics", "--logits", "logits", "--output", "segments")`` is the command line ``oodseg segment-metrics --logits
    logits --output segments``. Log lines go to ``sys.stderr`` as they come.

    Raises:
        RuntimeError: The stage failed; the text is its error line.
    """
    command = [executable(), *map(str, arguments)]
    text = {"encoding": "utf-8", "errors": "replace"}
    # results go to a file, because a full pipe would stop the stage while its log is read
    with tempfile.TemporaryFile("w+", **text) as results:
        with subprocess.Popen(command, stdout=results, stderr=subprocess.PIPE, **text) as stage:
            lines = []
            for line in stage.stderr:
                sys.stderr.write(line)
                lines.append(line.strip())
        if stage.returncode != 0:
            errors = [line for line in lines if line.startswith("error: ")] or [line for line in lines if line][-1:]
            told = errors[-1] if errors else f"exit status {stage.returncode}"
            raise RuntimeError(f"{' '.join(command[1:3])}: {told}")
        results.seek(0)
        return results.read()
