"""The same operations in PyTorch and in oodseg, in alternation within one run; prints time of PyTorch / time of oodseg (above 1: oodseg is faster).

usage: race.py BENCH [CASE...]     BENCH: the executable `bench`, e.g. target/release/bench

Needs torch. Both sides have two threads and an allocator that keeps its memory, because requesting pages from the system costs more time than
many of the operations.
"""

import os
import statistics
import subprocess
import sys
import time

THREADS = "2"
ENV = {
    "OMP_NUM_THREADS": THREADS,
    "RAYON_NUM_THREADS": THREADS,
    "CANDLE_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
ROUNDS = int(os.environ.get("ROUNDS", "15"))
SECONDS = float(os.environ.get("SECONDS", "20"))  # maximum time of one case and mode
PAUSE = 0.25  # seconds between turns
TURN = 0.5  # seconds after which a turn ends, once it has two repetitions
REPETITIONS = 10  # maximum number of repetitions in a turn


class Server:
    """A process that times one repetition for each line that it reads."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **ENV}
        )

    def time(self, case, mode):
        """Seconds of the best repetition of a turn, and peak memory in bytes.

        The first repetitions have cold caches, and occasionally the system runs both threads on one core for some milliseconds, which says nothing
        about either side.
        """
        times, end = [], time.monotonic() + TURN
        while len(times) < 2 or (len(times) < REPETITIONS and time.monotonic() < end):
            self.process.stdin.write(f"{case} {mode}\n")
            self.process.stdin.flush()
            seconds, memory = self.process.stdout.readline().split()
            times.append(float(seconds))
        return min(times), int(memory)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def race(commands, case, mode):
    """Median time of a turn in seconds and peak memory in bytes of both commands, each in a new process."""
    servers = [Server(command) for command in commands]
    times, memory = [[], []], [0, 0]
    for server in servers:
        server.time(case, mode)
    end = time.monotonic() + SECONDS
    while len(times[0]) < 3 or (len(times[0]) < ROUNDS and time.monotonic() < end):
        for i, server in enumerate(servers):
            time.sleep(PAUSE)  # threads of the other side keep spinning for a while
            seconds, memory[i] = server.time(case, mode)
            times[i].append(seconds)
    for server in servers:
        server.close()
    return [statistics.median(t) for t in times], memory


def main():
    bench, wanted = sys.argv[1], sys.argv[2:]
    here = os.path.dirname(os.path.abspath(__file__))
    reference = [sys.executable, os.path.join(here, "reference.py")]
    cases = subprocess.run([*reference, "--list"], check=True, capture_output=True, text=True).stdout.split()
    print(f"{'case':<28} {'mode':<8} {'PyTorch ms':>11} {'oodseg ms':>11} {'ratio':>6} {'PyTorch MB':>11} {'oodseg MB':>10}")
    for name in cases:
        case, mode = name.split(":")
        if wanted and not any(part in case for part in wanted):
            continue
        (theirs, ours), memory = race([reference, [bench, "serve"]], case, mode)
        print(
            f"{case:<28} {mode:<8} {theirs * 1e3:>11.2f} {ours * 1e3:>11.2f} {theirs / ours:>6.2f}"
            f" {memory[0] / 1e6:>11.0f} {memory[1] / 1e6:>10.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
