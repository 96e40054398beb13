"""What is fed with damage: every reader of files that others may have written."""

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nint_cli.config.layers import resolve
from nint_cli.config.yaml_text import file_layer
from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.sdf.files import read_shape
from nint_cli.modalities.table import MODALITIES
from tests.fuzz import inputs
from tests.fuzz.mutation import mutated, mutated_json, mutated_lines, mutated_safetensors

_READERS: dict[str, Callable[[str], object]] = {
    "image": read_picture,
    "audio": read_sound,
    "sdf": read_shape,
}


@dataclass(frozen=True)
class Target:
    """One reader, and how its input is damaged.

    Attributes:
        damaged: Makes damaged content.
        read: Reads it, in a folder to work in; a NintError says that it is refused.
        suffix: Of the file that a case is kept in.
    """

    damaged: Callable[[random.Random], bytes]
    read: Callable[[bytes, Path], object]
    suffix: str


def all_targets(root: Path, corpus: Path | None = None) -> dict[str, Target]:
    """List what there is to damage.

    Args:
        root: A folder for runs that are made for this.
        corpus: A folder of more files; those whose suffix is that of a picture, a sound or a mesh
            are targets, each by its own.

    Returns:
        By name.
    """
    found: dict[str, Target] = {}
    for kind, files in (
        ("image", inputs.pictures()),
        ("audio", inputs.sounds()),
        ("sdf", inputs.meshes()),
    ):
        for name, contents in files.items():
            found[f"{kind}{Path(name).suffix}"] = _reader(kind, name, contents)
    if corpus is not None:
        found |= _of_corpus(corpus)
    found["config"] = Target(
        partial(_of_any, inputs.configurations()), _configuration, suffix=".yaml"
    )
    runs = inputs.run_folders(root)
    found |= _of_checkpoints(runs)
    for kind in MODALITIES:
        found |= _of_run(kind, runs[f"{kind} nint"], runs[f"{kind} uniform"])
    return found


def _of_any(contents: list[bytes], generator: random.Random) -> bytes:
    return mutated(generator.choice(contents), contents, generator)


def _reader(kind: str, name: str, contents: list[bytes]) -> Target:
    def read(data: bytes, folder: Path) -> None:
        (folder / name).write_bytes(data)
        _READERS[kind](str(folder / name))

    return Target(partial(_of_any, contents), read, Path(name).suffix)


def _of_corpus(corpus: Path) -> dict[str, Target]:
    found = {}
    for path in sorted(corpus.rglob("*")):
        for kind in MODALITIES:
            suffix = path.suffix.lower()
            if path.is_file() and (suffix in MODALITIES[kind].suffixes() or _named(path, kind)):
                name = f"corpus/{path.relative_to(corpus)}"
                found[name] = _reader(kind, f"a{path.suffix}", [path.read_bytes()])
    return found


def _named(path: Path, kind: str) -> bool:
    """Say whether a file of a kind that is refused lies among those of one that is read."""
    folders = {"image": "pictures", "audio": "sounds", "sdf": "meshes"}
    return path.parent.name == folders[kind] and path.suffix != ".npy"


def _configuration(data: bytes, folder: Path) -> None:
    (folder / "a.yaml").write_bytes(data)
    resolve([file_layer(folder / "a.yaml")])


def _of_checkpoints(runs: Mapping[str, Path]) -> dict[str, Target]:
    """Damage the newest checkpoint of runs; the ones before it are gone."""
    found = {}
    for name, run in runs.items():
        path = max(run.glob("checkpoints/*"))
        found[f"checkpoint {name}"] = Target(
            partial(mutated_safetensors, path.read_bytes(), "nint"),
            partial(_checkpoint, run, str(path.relative_to(run))),
            ".safetensors",
        )
    return found


def _checkpoint(run: Path, name: str, data: bytes, folder: Path) -> None:
    copy = _copy(run, folder)
    for each in (copy / "checkpoints").iterdir():
        each.unlink()
    (copy / name).write_bytes(data)
    _command("eval", copy)
    _command("resume", copy, "--steps", 31)


def _of_run(kind: str, run: Path, other: Path) -> dict[str, Target]:
    """Damage each document of a run folder."""
    documents: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
        "manifest.json": mutated_json,
        "metrics.json": mutated_json,
        "log.jsonl": mutated_lines,
        "config.yaml": lambda data, generator: mutated(data, (), generator),
        "selections": lambda data, generator: mutated_safetensors(data, "slots", generator),
    }
    found = {}
    for name, damage in documents.items():
        path = min(run.glob("selections/*")) if name == "selections" else run / name
        found[f"run {kind} {name}"] = Target(
            partial(damage, path.read_bytes()),
            partial(_run, run, other, str(path.relative_to(run))),
            path.suffix,
        )
    return found


def _run(run: Path, other: Path, name: str, data: bytes, folder: Path) -> None:
    """Read a run in which one file is damaged, in every way that there is."""
    copy = _copy(run, folder)
    (copy / name).write_bytes(data)
    _command("compare", "runs", copy, other, "-o", folder / "report")
    _command("eval", copy)
    _command("inspect", copy)
    _command("resume", copy, "--steps", 31)


def _copy(run: Path, folder: Path) -> Path:
    for name in ("run", "report"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return Path(shutil.copytree(run, folder / "run"))


def _command(*words: Any) -> None:
    code, said = inputs.quietly(*words)
    if code in {1, 6}:
        raise AssertionError(f"nint {' '.join(map(str, words))}: exit {code}\n{said}")
