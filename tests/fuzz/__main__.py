"""Damage inputs until a time or a number is over, and keep what nint does not take.

``python -m tests.fuzz --minutes 60`` for a search; ``--case 'audio.wav 17'`` for one again.
"""

import argparse
import os
import re
import shutil
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
    parser.add_argument("--cases", type=int, default=200, help="of each target; at least these")
    parser.add_argument("--minutes", type=float, default=0, help="go on with more for so long")
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
    root = Path(tempfile.mkdtemp(prefix="nint-fuzz-"))
    try:
        targets = all_targets(root / "runs", options.corpus and Path(options.corpus))
        worker = Worker(targets)
        try:
            if options.case is not None:
                target, _, seed = options.case.rpartition(" ")
                return int(_fails(worker, Case(target, int(seed)), targets, options.output))
            chosen = [name for name in targets if options.only in name]
            return _search(worker, targets, chosen, options)
        finally:
            worker.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _search(
    worker: Worker, targets: dict[str, Target], chosen: list[str], options: argparse.Namespace
) -> int:
    """Run cases of the chosen targets in turns; return 1 if any fails."""
    began = time.monotonic()
    end, failed, done = began + 60 * options.minutes, 0, 0
    spent: Counter[str] = Counter()
    for seed in count(options.seed):
        for name in chosen:
            now = time.monotonic()
            if seed >= options.seed + options.cases and now >= end:
                if options.times:
                    print(*(f"{s:7.2f} s {each}" for each, s in spent.most_common()), sep="\n")
                print(f"{done:,} cases of {len(chosen)} targets, {failed} failed")
                return int(failed > 0)
            failed += _fails(worker, Case(name, seed), targets, options.output)
            done += 1
            spent[name] += time.monotonic() - now
    return 0


def _fails(worker: Worker, case: Case, targets: dict[str, Target], output: Path) -> bool:
    """Run a case; where it fails say so, and keep its input and the traceback."""
    fault = worker.fault(case)
    if fault is None:
        return False
    output.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]+", "-", f"{case.target}-{case.seed}")
    path = output / f"{stem}{targets[case.target].suffix}"
    path.write_bytes(case.damaged(targets))
    (output / f"{stem}.txt").write_text(fault)
    print(f"--case '{case.target} {case.seed}' kept as {path}: {fault.strip().splitlines()[-1]}")
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
