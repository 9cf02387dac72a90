"""The executable that the package brings."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
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
    logits --output segments``. Log lines go to ``sys.stderr``.

    Raises:
        RuntimeError: The stage failed; the text is its error line.
    """
    command = [executable(), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", errors="replace")
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        errors = [line for line in lines if line.startswith("error: ")] or lines[-1:]
        told = errors[-1] if errors else f"exit status {done.returncode}"
        raise RuntimeError(f"{' '.join(command[1:3])}: {told}")
    return done.stdout
