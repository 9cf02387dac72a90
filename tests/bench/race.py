"""oodseg and PyTorch in turns, PyTorch in every configuration that could be its fastest; prints time of the fastest / time of oodseg (above 1: oodseg is faster).

usage: race.py BENCH [CASE...] [flags]     BENCH: the executable `bench`, e.g. target/release/bench

CASE is a part of the name of a case of `bench table`, or NETWORK-inference or NETWORK-step for any network of pytorch_networks.py; without it, all cases of the table.
Configurations: `eager`, `channels-last`, `compile` (torch.compile, for inference with frozen weights), `channels-last+compile`, and `onnxruntime` (inference in f32);
operations know the first two. bf16 is autocast for networks, with losses in f32, and arguments in bf16 for operations. Both sides have the same number of threads and
an allocator that keeps its memory, because requesting pages from the system costs more time than many of the operations. Compilation is not part of the times.
On a machine with other work, `--clock cpu` compares the time that the processors worked for each side, which other work changes little; no side then waits actively.
Needs torch; onnx, onnxscript and onnxruntime for that configuration, and a C++ compiler for torch.compile.
"""

import argparse
import glob
import os
import subprocess
import sys
import tempfile
import time

import race_results

CONFIGURATIONS = ("eager", "channels-last", "compile", "channels-last+compile", "onnxruntime")
OF_OPERATIONS = CONFIGURATIONS[:2]
PRECISIONS = ("f32", "bf16")
CLOCKS = ("wall", "cpu")
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
PAUSE = 0.15  # seconds between turns: threads of the other side keep spinning for a while
TURN = 0.3  # seconds after which a turn ends
REPETITIONS = 10  # maximum number of repetitions in a turn


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", help="the executable `bench`")
    parser.add_argument("cases", nargs="*", help="parts of names, or NETWORK-inference, NETWORK-step")
    parser.add_argument("--configurations", default=",".join(CONFIGURATIONS), help="default: all, %(default)s")
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="default: %(default)s")
    parser.add_argument("--size", default="1024x512", help="image of an inference in pixels, WxH (default: %(default)s)")
    parser.add_argument("--crop", default="512x256", help="images of a training step in pixels, WxH (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=2, help="images of a training step (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each side (default: all, %(default)s)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what is timed: wall clock, or CPU of all threads (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side; 0: only compile (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="no turn begins after these, once each side had one (default: %(default)s)")
    parser.add_argument("--results", default="target/race.json", help="file to which the results are added (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="measure nothing, print the tables of the results as Markdown")
    args = parser.parse_intermixed_args()
    args.configurations, args.precisions = chosen(parser, args.configurations, CONFIGURATIONS), chosen(parser, args.precisions, PRECISIONS)
    return args


def chosen(parser, text, known):
    names = text.split(",")
    for name in names:
        if name not in known:
            parser.error(f"{name!r} is unknown: choose from {', '.join(known)}")
    return names


class CannotRun(Exception):
    """What a side cannot do, in one line."""


class Server:
    """A process that prepares a case and times one repetition for each line that it reads."""

    def __init__(self, command, threads, clock):
        own = {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": "1"}
        if clock == "cpu":
            own["OMP_WAIT_POLICY"] = "PASSIVE"
        self.clock, self.errors = clock, tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env={**os.environ, **ALLOCATOR, **own}
        )
        self.preparation, self.times, self.memory = float(self.answer()), [], 0

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.errors.seek(0)
            lines = [line.strip() for line in self.errors if line.strip()]
            raise CannotRun(explanation(lines) or f"ended with status {status}")
        return line

    def turn(self):
        """Adds the seconds of the best repetition of a turn.

        The first repetitions have cold caches, and occasionally the system runs both threads on one core for some milliseconds, which says nothing
        about either side.
        """
        times, end = [], time.monotonic() + TURN
        while not times or (len(times) < REPETITIONS and time.monotonic() < end):
            before = self.cpu_seconds()
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            seconds, memory = self.answer().split()
            times.append(float(seconds) if self.clock == "wall" else self.cpu_seconds() - before)
        self.times.append(min(times))
        self.memory = int(memory)

    def cpu_seconds(self):
        """Seconds that the threads of the process have run."""
        nanoseconds = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            with open(path) as file:
                nanoseconds += int(file.read().split()[0])
        return nanoseconds / 1e9

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()


def explanation(lines):
    """The line of an error output that says most: the last one that names an error, else the last one."""
    named = [line for line in lines if "Error" in line or line.startswith("error")]
    return (named or lines or [""])[-1][:200]


def cases(args):
    """Pairs of case and mode."""
    listed = subprocess.run([args.bench, "list"], check=True, capture_output=True, text=True).stdout.splitlines()
    known = [tuple(line.split()) for line in listed]
    if not args.cases:
        return known
    found = []
    for part in args.cases:
        matching = [pair for pair in known if part in pair[0]]
        network_mode = "both" if part.endswith("-step") else "forward"
        found += matching or [(part, network_mode)]
    return found


def images_of(args, case):
    """What a network is given: images, width and height; None for operations."""
    if case.endswith("-step"):
        return args.batch, args.crop
    return (1, args.size) if case.endswith("-inference") else None


def groups(args, case):
    """Lists of configurations and precisions that race at once. Those of a network race one after the other, because together they may not fit into memory."""
    known = CONFIGURATIONS if images_of(args, case) else OF_OPERATIONS
    pairs = [(c, p) for p in args.precisions for c in args.configurations if c in known]
    if case.endswith("-step"):
        pairs = [pair for pair in pairs if pair[0] != "onnxruntime"]
    pairs = [pair for pair in pairs if pair != ("onnxruntime", "bf16")]
    return [[pair] for pair in pairs] if images_of(args, case) else [pairs]


def start(command, args, case, mode, *what):
    """The server of one side."""
    images = images_of(args, case)
    shape = ["--batch", str(images[0]), "--size", images[1]] if images else []
    return Server([*command, case, mode, *what, *shape], args.threads, args.clock)


def race(args, case, mode, group):
    """The record of each pair of configuration and precision, from one run in turns with oodseg."""
    ours, theirs, records = {}, {}, []
    base = {"case": case, "mode": mode, "images": images_of(args, case), "threads": args.threads, "clock": args.clock}
    script = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch_server.py"), "--threads", str(args.threads)]
    for configuration, precision in group:
        name = {**base, "configuration": configuration, "precision": precision}
        try:
            theirs[configuration, precision] = start(script, args, case, mode, configuration, precision)
        except CannotRun as error:
            records.append({**name, "error": str(error)})
    for precision in {precision for _, precision in theirs}:
        try:
            ours[precision] = start([args.bench, "serve"], args, case, mode, precision)
        except CannotRun:
            # what it does not have yet is compared in f32
            ours.setdefault("f32", start([args.bench, "serve"], args, case, mode, "f32"))
    take_turns(args, [*ours.values(), *theirs.values()])
    for (configuration, precision), server in theirs.items():
        our_precision = precision if precision in ours else "f32"
        name = {**base, "configuration": configuration, "precision": precision}
        records.append({**name, **race_results.measured(server), "ours": {"precision": our_precision, **race_results.measured(ours[our_precision])}})
    return records


def take_turns(args, servers):
    """All sides in turns, and their end."""
    end = time.monotonic() + args.seconds
    for i in range(args.rounds):
        if i > 0 and time.monotonic() > end:
            break
        for server in servers:
            time.sleep(PAUSE)
            server.turn()
    for server in servers:
        server.close()


def main():
    args = arguments()
    if not args.show:
        print(race_results.HEADER)
        for case, mode in cases(args):
            for group in groups(args, case):
                records = race(args, case, mode, group)
                for record in records:
                    print(race_results.line(record), flush=True)
                race_results.add(args.results, [r for r in records if args.rounds or "error" in r])
    print(race_results.tables(race_results.read(args.results), args.cases))


if __name__ == "__main__":
    main()
