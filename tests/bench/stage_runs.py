"""Running stages from a script: seconds, seconds of CPU and peak memory of a command. Knows the standard library only.

Linux counts the memory of the calling process into the peak of a command until it has started, so the callers import nothing large.
"""

import os
import subprocess
import sys
import time


def measured(command, threads=0):
    """Runs a stage without output; a dictionary of its `seconds`, `cpu` seconds and peak `mb`. Ends the script if it fails."""
    command = [str(part) for part in command]
    env = {**os.environ, **({"OODSEG_THREADS": str(threads)} if threads else {})}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"error: {' '.join(command)}: {errors.strip()}")
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "mb": usage.ru_maxrss / 1000}


def quietly(command):
    """Runs what is not measured."""
    measured(command)
