"""Damage inputs until a time or a number is over, and keep what nint does not take.

``python -m tests.fuzz --minutes 60`` for a search; ``--case 'audio.wav 17'`` for one again.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

import torch

from tests.fuzz.targets import Target, all_targets
from tests.fuzz.worker import Case, Worker


def main(words: list[str]) -> int:
    """Run cases; return 1 if any fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=200, help="of each target")
    parser.add_argument("--minutes", type=float, default=0,
                        help="go on for so long, and run whole commands, too")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the first case of each target")
    parser.add_argument("--only", default="", help="targets whose name has this in it")
    parser.add_argument("--times", action="store_true", help="say how long each target took")
    parser.add_argument("--case", help="one case, as a failure names it")
    parser.add_argument("--corpus", type=Path, default=os.environ.get("NINT_FUZZ_CORPUS"),
                        help="a folder of more files to damage; or NINT_FUZZ_CORPUS")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("runs/fuzz"), help="for what fails")
    options = parser.parse_args(words)
    os.environ["NINT_DEBUG"] = "1"  # so that what a command says has the traceback
    torch.set_num_threads(1)  # a process with threads could not be forked
    with tempfile.TemporaryDirectory(prefix="nint-fuzz-") as root:
        slow = options.minutes > 0 or options.case is not None
        corpus = options.corpus and Path(options.corpus)
        targets = all_targets(Path(root) / "runs", corpus, slow=slow)
        search = Search(targets, options.output)
        try:
            if options.case is not None:
                target, _, seed = options.case.rpartition(" ")
                search.run(Case(target, int(seed)))
            else:
                names = [name for name in targets if options.only in name]
                search.run_all(names, options.seed, options.cases, 60 * options.minutes)
        finally:
            search.worker.close()
    if options.times:
        print(*(f"{s:7.2f} s {name}" for name, s in search.spent.most_common()), sep="\n")
    print(f"{search.done:,} cases of {len(search.spent)} targets, {len(search.failed)} faults")
    return int(bool(search.failed))


class Search:
    """Cases that were run, and what failed."""

    def __init__(self, targets: dict[str, Target], output: Path) -> None:
        self.worker = Worker(targets)
        self.spent: Counter[str] = Counter()
        self.failed: set[tuple[str, str]] = set()
        self.done = 0
        self._targets = targets
        self._output = output

    def run_all(self, names: list[str], first: int, cases: int, at_least_s: float) -> None:
        """Run cases of targets in turns: so many of each quick one, and for so long."""
        began = time.monotonic()
        for seed in count(first):
            for name in names:
                over = time.monotonic() - began >= at_least_s
                if over and (seed >= first + cases or not self._targets[name].quick):
                    continue
                self.run(Case(name, seed))
            if seed + 1 >= first + cases and time.monotonic() - began >= at_least_s:
                return

    def run(self, case: Case) -> None:
        """Run a case; where it fails as none did before, say so, and keep it."""
        began = time.monotonic()
        fault = self.worker.fault(case)
        self.spent[case.target] += time.monotonic() - began
        self.done += 1
        if fault is None:
            return
        last = fault.strip().splitlines()[-1]
        kind = (case.target, re.sub(r"\d+", "", last)[:60])
        if kind in self.failed:
            return
        self.failed.add(kind)
        self._output.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^\w.-]+", "-", f"{case.target}-{case.seed}")
        path = self._output / f"{stem}{self._targets[case.target].suffix}"
        path.write_bytes(case.damaged(self._targets))
        path.with_suffix(".txt").write_text(fault)
        print(f"--case '{case.target} {case.seed}' kept as {path}: {last}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
