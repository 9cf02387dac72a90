"""``python -m oodseg STAGE ...`` is the executable ``oodseg STAGE ...``."""

import os
import subprocess
import sys

from ._executable import executable


def main() -> None:
    """Replaces this process by the executable, or waits for it where there is no such thing."""
    command = [executable(), *sys.argv[1:]]
    if os.name == "posix":
        os.execv(command[0], command)
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
