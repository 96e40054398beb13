"""Kill and stop fits, resumes, batches and comparisons at random moments; nothing may be lost.

After each: no process is left; what was finished is as it was; the same command, or `nint resume`,
goes on, and comes to the bits of what nobody stopped, clock figures apart. Linux only.
"""

import argparse
import collections
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from nint_cli import cli
from nint_cli.cli.forked import _ensure_server
from nint_cli.modalities.image.samples import picture_path

STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
_PATIENCE_S = 120.0  # a shared machine may be slow, but what is longer hangs
_RUN = "run"

SMALL = ["--preset=smoke", "--steps=60", "--set=checkpoint.every=5"]
FITS = {
    "image": ["fit", "image", "PICTURES/a.png", *SMALL, "-o", _RUN],
    "audio": ["fit", "audio", "sample:chord", *SMALL, "--set=audio.duration_s=0.05", "-o", _RUN],
    "sdf": [
        *("fit", "sdf", "sample:torus", *SMALL, "--set=sdf.points=500", "-o", _RUN),
        *(
            f"--set=sdf.{key}=16"
            for key in ("mc_resolution", "iou_resolution", "watch_resolution")
        ),
        "--set=sdf.surface_samples=500",
        "--set=sdf.preview_size=32",
    ],
}
MANY = {
    "batch": ["fit", "image", "PICTURES/a.png", "PICTURES/b.png", *SMALL, "--jobs=2", "-o", _RUN],
    "compare": [
        *("compare", "image", "PICTURES/a.png", "--sampler=nint", "--sampler=uniform", "--jobs=2"),
        *(*SMALL, "-o", _RUN),
    ],
}
COMMANDS = FITS | MANY
KINDS = [*FITS, *(f"resume {name}" for name in FITS), *MANY]


class Lost(Exception):
    """What was to hold and did not."""


def placed(words: list[str], folder: Path) -> list[str]:
    """Name the pictures, which lie beside a folder, so that all records agree on them."""
    return [word.replace("PICTURES", str(folder.parent)) for word in words]


def start(words: list[str], folder: Path, *, own_server: bool = False) -> int:
    """Run a command in a process that this one, which has loaded everything, forks."""
    pid = os.fork()
    if pid:
        return pid
    code: Any = 1
    try:
        os.chdir(folder)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(said, number)
        if not own_server:  # that of all is running, though not as a child of this one
            forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
        else:
            forkserver._forkserver.__init__()  # type: ignore[misc]
        sys.argv[1:] = placed(words, folder)
        cli.main()
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code if isinstance(code, int) else 1)


def end_of(pid: int) -> int:
    """Wait for a process; return its exit code, negative for a signal."""
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise Lost("did not end")


def within(folder: Path) -> list[int]:
    """Find the processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink() == folder and "Z" not in _state(path):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def _state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(") ")[2].split()[0]


def wait_until_alone(folder: Path) -> None:
    """Wait until no process works in a folder."""
    until = time.monotonic() + _PATIENCE_S
    while left := within(folder):
        if time.monotonic() > until:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise Lost(f"left {len(left)} processes behind")
        time.sleep(0.02)


def wait_until_saving(pid: int, folder: Path) -> None:
    """Wait until a process in a folder, or one that it started, saves something, or it ends."""
    before = saved_in(folder)
    while saved_in(folder) == before:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.005)


def saved_in(folder: Path) -> set[Path]:
    """List all checkpoints."""
    return {*folder.rglob("step-*.safetensors")}


def runs_in(folder: Path) -> list[Path]:
    """List run folders."""
    return sorted(path.parent for path in (folder / _RUN).rglob("manifest.json"))


def finished(folder: Path) -> dict[Path, str]:
    """Hash all files of each finished run in a folder."""
    found = {}
    for run in runs_in(folder):
        try:
            done = json.loads((run / "metrics.json").read_bytes())["status"] == "complete"
        except OSError:
            continue
        if done:
            digest = hashlib.sha256()
            for path in sorted(run.rglob("*.*")):
                if path.is_file() and path.name not in {".lock", "manifest.json"}:
                    digest.update(str(path).encode() + path.read_bytes())
            found[run] = digest.hexdigest()
    return found


def without_clock(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Leave out of a document what depends on time or on how often a run was begun."""
    if not isinstance(value, dict):
        return value
    return {
        key: without_clock(each)
        for key, each in value.items()
        if not key.endswith("_s") and key not in {"memory", "origins", "environment", "source"}
    }


def content(folder: Path) -> dict[str, Any]:
    """Read what the runs in a folder came to."""
    found: dict[str, Any] = {}
    for run in runs_in(folder):
        for path in run.rglob("*"):
            name = str(path.relative_to(folder))
            if path.name.endswith(".tmp"):
                raise Lost(f"left {name}")
            if path.name == "metrics.json":
                found[name] = without_clock(json.loads(path.read_bytes()))
            elif path.name.startswith("step-") and not path.name.endswith("60.safetensors"):
                continue
            elif path.is_file() and path.name not in {".lock", "manifest.json", "log.jsonl"}:
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class Trial:
    """Puts commands to the test.

    Args:
        root: Where; it holds a folder for each command that nobody stopped.
        seed: Of the moments.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._random = random.Random(seed)
        self.lengths: dict[str, float] = {}
        self._expected: dict[str, dict[str, Any]] = {}

    def prepare(self) -> None:
        """Run each command to its end: first here, to load what it needs, then as others will."""
        for name, words in COMMANDS.items():
            if name in FITS:
                os.chdir(self.folder(f"warm-{name}"))
                if cli.run([*placed(words, Path.cwd()), "--quiet", "--progress=never"]):
                    raise Lost(f"{name} does not run")
        known = sorted(name for name in sys.modules if not name.startswith(("_", "kills")))
        forkserver.set_forkserver_preload(known)
        os.chdir(self._root)
        _ensure_server(["fit", "image"])
        for name, words in COMMANDS.items():
            began = time.monotonic()
            folder = self.folder(f"whole-{name}")
            if code := end_of(start(words, folder)):
                raise Lost(f"{name} ended with {code}: {(folder / 'said.txt').read_text()}")
            self.lengths[name] = time.monotonic() - began
            self._expected[name] = content(folder)

    def folder(self, name: str) -> Path:
        """Make a folder, beside the inputs."""
        path = self._root / name
        path.mkdir()
        return path

    def one(self, number: int, kind: str, how: signal.Signals) -> str:
        """End one command at a random moment, and see that it can go on; say what was found."""
        folder = self.folder(f"{number:05d}")
        resumed, name = kind.startswith("resume "), kind.removeprefix("resume ")
        words = COMMANDS[name]
        if resumed:  # begin with a run that was stopped in its middle
            pid = start(words, folder)
            wait_until_saving(pid, folder)
            os.kill(pid, signal.SIGTERM)
            end_of(pid)
            words = ["resume", _RUN]
        kept: dict[Path, str] = {}
        code = self._end_once(words, folder, how, self.lengths[name], name in MANY)
        while self._random.random() < 0.25:  # and again, while it goes on
            kept |= finished(folder)
            words = ["resume", _RUN] if words[0] == "resume" else self._again(name)
            self._end_once(words, folder, how, self.lengths[name], name in MANY)
        kept |= finished(folder)
        said = self._bring_to_end(name, folder, how, code)
        for run, digest in kept.items():
            if finished(folder).get(run) != digest:
                raise Lost(f"the finished {run} was changed")
        if (found := content(folder)) != self._expected[name]:
            raise Lost(f"other bits: {_differing(found, self._expected[name])}")
        shutil.rmtree(folder)
        return said

    def _end_once(
        self,
        words: list[str],
        folder: Path,
        how: signal.Signals,
        length: float,
        many: bool = False,
    ) -> int:
        """Start a command, and end it or one of its processes at a random moment."""
        own_server = many and self._random.random() < 0.1
        began = time.time()
        pid = start(words, folder, own_server=own_server)
        if self._random.random() < 0.7:  # not while it loads, as at most moments
            wait_until_saving(pid, folder)
            length /= 2
        time.sleep(self._random.uniform(0, length * (2 if own_server else 1)))
        victim = pid
        if many and how == signal.SIGKILL and self._random.random() < 0.3:
            victim = self._random.choice(within(folder) or [pid])
        try:
            os.kill(victim, how)
        except ProcessLookupError:
            pass
        code = end_of(pid)
        if victim == pid and code not in {0, -how if how == signal.SIGKILL else 128 + how}:
            raise Lost(f"{how.name}: ended with {code}")
        wait_until_alone(folder)
        if many and words[0] == "fit" and victim == pid:
            self._check_batch(folder, began)
        return code

    def _check_batch(self, folder: Path, began: float) -> None:
        """See that batch.json says what became of each input that was stopped."""
        path = folder / _RUN / "batch.json"
        for item in json.loads(path.read_bytes())["items"] if path.exists() else ():
            metrics = folder / item["path"] / "metrics.json"
            if metrics.exists() and metrics.stat().st_mtime > began:
                status = json.loads(metrics.read_bytes())["status"]
                if status == "interrupted" != item["status"]:
                    raise Lost(f"batch.json says that {item['path']} is {item['status']}")

    def _again(self, name: str) -> list[str]:
        """Give the command that goes on, whatever there is."""
        return COMMANDS[name] if name == "compare" else [*COMMANDS[name], "--continue"]

    def _bring_to_end(self, name: str, folder: Path, how: signal.Signals, code: int) -> str:
        said = "went on"
        if name in FITS and runs_in(folder):
            code = end_of(start(["resume", _RUN], folder))
            saved = list(folder.glob(f"{_RUN}/checkpoints/step-*"))
            if code == 3 and not saved:
                if how != signal.SIGKILL:
                    raise Lost("a signal left a folder without a checkpoint")
                said = "had nothing yet"
            elif code:
                raise Lost(f"nint resume ended with {code}")
        elif not runs_in(folder):
            said = "had nothing yet"
        if code := end_of(start(self._again(name), folder)):
            raise Lost(f"{' '.join(self._again(name)[:2])} ended with {code}")
        wait_until_alone(folder)
        return said


def _differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    names = [name for name in {*found, *expected} if found.get(name) != expected.get(name)]
    for name in [*names]:
        if name.endswith("metrics.json") and name in found:
            now, then = found[name], expected[name]
            names += [
                f"{key} {now.get(key)}, not {then[key]}"
                for key in then
                if now.get(key) != then[key]
            ]
    return names


def main() -> None:
    """Run it, print the counts, and exit with 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="SIGKILLs")
    parser.add_argument("--signals", type=int, default=10, help="SIGTERMs, SIGINTs and SIGHUPs")
    parser.add_argument("--processes", type=int, default=2, help="at once")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # or what it starts under nohup would ignore it
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)  # a process with threads could not be forked
    generator = random.Random(options.seed)
    hows = [signal.SIGKILL] * options.kills
    hows += [generator.choice(STOPS) for _ in range(options.signals)]
    generator.shuffle(hows)
    cases = [(number, KINDS[number % len(KINDS)], how) for number, how in enumerate(hows)]
    root = Path(tempfile.mkdtemp(prefix="nint-kills-")).resolve()
    for name, sample in (("a.png", "cat"), ("b.png", "coffee")):
        Image.open(picture_path(sample)).convert("RGB").resize((24, 16)).save(root / name)
    trial = Trial(root, options.seed)
    trial.prepare()
    workers = []
    for part in range(options.processes):
        if pid := os.fork():
            workers.append(pid)
            continue
        worker = Trial(root, options.seed + 1 + part)
        worker.lengths, worker._expected = trial.lengths, trial._expected
        with (root / f"found-{part}.jsonl").open("w") as file:
            for number, kind, how in cases[part :: options.processes]:
                try:
                    said = worker.one(number, kind, how)
                except Lost as lost:
                    said = f"LOST: {lost}; see {root / f'{number:05d}'}"
                    print(f"{number} {kind} {how.name}: {said}", file=sys.stderr, flush=True)
                file.write(json.dumps([kind, how.name, said.partition(":")[0]]) + "\n")
                file.flush()
        os._exit(0)
    broken = sum(os.waitpid(pid, 0)[1] != 0 for pid in workers)
    rows = [json.loads(row) for path in root.glob("found-*.jsonl") for row in path.open()]
    for (kind, how, said), count in sorted(collections.Counter(map(tuple, rows)).items()):
        print(f"{count:5d} {kind:13s} {how:8s} {said}")
    losses = sum(row[2] == "LOST" for row in rows)
    print(f"{len(rows)} of {len(cases)} were ended; {losses} lost")
    if losses or broken or len(rows) < len(cases):
        sys.exit(1)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
