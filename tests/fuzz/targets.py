"""What is fed with damage: every reader of files that others may have written."""

import random
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nint_cli.comparison.reading import read_curve, read_run
from nint_cli.config.layers import Resolved, resolve
from nint_cli.config.yaml_text import file_layer
from nint_cli.fitted.compression import container
from nint_cli.fitted.compression.search import at_bits
from nint_cli.fitted.export.table import FORMATS
from nint_cli.fitted.fitted import open_fitted
from nint_cli.inspection.files import refuse_what_is_in_the_way
from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.sdf.files import read_shape
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs import checkpoint, selections
from nint_cli.runs.fit import Fit
from nint_cli.runs.folder import RunFolder, in_use_by, is_of_another
from nint_cli.runs.opening import newest, open_run
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
        quick: Whether a case takes milliseconds.
    """

    damaged: Callable[[random.Random], bytes]
    read: Callable[[bytes, Path], object]
    suffix: str
    quick: bool = True


def all_targets(root: Path, corpus: Path | None = None, *, slow: bool) -> dict[str, Target]:
    """List what there is to damage.

    Args:
        root: A folder for runs that are made for this.
        corpus: A folder of more files; pictures, sounds and meshes in it are targets, too.
        slow: Whether to list what runs whole commands.

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
    found["config"] = Target(partial(_of_any, inputs.configurations()), _configuration, ".yaml")
    runs = inputs.run_folders(root, every=slow)
    kinds = dict.fromkeys(name.partition(" ")[0] for name in runs)
    for kind in kinds:
        found |= _of_run(kind, runs[f"{kind} nint"])
    if slow:
        for name, run in runs.items():
            found[f"go on {name}"] = _checkpoint(run, _goes_on)
        for kind in kinds:
            other = runs[f"{kind} uniform"]
            found |= _commands(kind, runs[f"{kind} nint"], other)
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


_Damage = Callable[[bytes, random.Random], bytes]


def _of_run(kind: str, run: Path) -> dict[str, Target]:
    """Damage each file of a run, and read it as the commands do."""
    uses = {"manifest.json": _opens, "metrics.json": _is_compared, "log.jsonl": _rewinds}
    found = {
        f"run {kind} {name}": _in_run(run, name, damage, uses[name])
        for name, damage in _DOCUMENTS.items()
    }
    found[f"run {kind} selection"] = _in_run(
        run, _selection(run), _damaged_selection, _reads_selection
    )
    found[f"run {kind} inspect.json"] = _in_run(
        run, "inspect/inspect.json", mutated_json, _inspected_before
    )
    found[f"run {kind} checkpoint"] = _checkpoint(run, _loads)
    field = FORMATS["safetensors"].encode(open_fitted(run), str)
    assert isinstance(field, bytes)
    damage = partial(_damaged_tensors, "nint.field", field)
    found[f"field {kind}"] = Target(damage, _opens_field, ".safetensors")
    content = at_bits(open_fitted(run), 6).content
    found[f"compressed {kind}"] = Target(
        partial(_damaged_container, content), _opens_field, ".nint"
    )
    return found


def _commands(kind: str, run: Path, other: Path) -> dict[str, Target]:
    """Damage each file of a run, and give the run to every command."""
    documents = {**_DOCUMENTS, "config.yaml": _damaged_text, _selection(run): _damaged_selection}
    return {
        f"commands {kind} {name}": _in_run(run, name, damage, partial(_obeys, other), quick=False)
        for name, damage in documents.items()
    }


def _in_run(
    run: Path,
    name: str,
    damage: _Damage,
    use: Callable[[Path, Path], object],
    *,
    quick: bool = True,
) -> Target:
    def read(data: bytes, folder: Path) -> None:
        for each in ("run", "report"):
            shutil.rmtree(folder / each, ignore_errors=True)
        copy = shutil.copytree(run, folder / "run")
        (copy / name).write_bytes(data)
        use(copy, folder)

    return Target(partial(damage, (run / name).read_bytes()), read, Path(name).suffix, quick)


def _checkpoint(run: Path, use: Callable[[Path], object]) -> Target:
    """Damage the newest checkpoint of a run; there is no other."""
    path = max(run.glob("checkpoints/*"))

    def without_others(copy: Path, folder: Path) -> None:
        for each in (copy / "checkpoints").iterdir():
            if each.name != path.name:
                each.unlink()
        use(copy)

    damage = partial(_damaged_tensors, "nint")
    name = str(path.relative_to(run))
    return _in_run(run, name, damage, without_others, quick=use is _loads)


def _selection(run: Path) -> str:
    return str(min(run.glob("selections/*")).relative_to(run))


def _damaged_tensors(key: str, data: bytes, generator: random.Random) -> bytes:
    return mutated_safetensors(data, key, generator)


def _damaged_container(data: bytes, generator: random.Random) -> bytes:
    """Damage a file, or what its hash covers and then the hash with it."""
    if generator.random() < 0.2:
        return mutated(data, (), generator)
    text, packed = container._parts(data)
    payload = zlib.decompress(packed, -15)
    if generator.random() < 0.3:
        return container.sealed(text, mutated(payload, (), generator))
    return container.sealed(mutated_json(text, generator), payload)


def _damaged_text(data: bytes, generator: random.Random) -> bytes:
    return mutated(data, (), generator)


_damaged_selection = partial(_damaged_tensors, "slots")
_DOCUMENTS: Mapping[str, _Damage] = {
    "manifest.json": mutated_json,
    "metrics.json": mutated_json,
    "log.jsonl": mutated_lines,
}


def _opens_field(data: bytes, folder: Path) -> None:
    (folder / "a.safetensors").write_bytes(data)
    open_fitted(folder / "a.safetensors")


def _opens(run: Path, folder: Path) -> None:
    """Open a run, then put another one in its place."""
    open_run(run)
    is_of_another(run, "a.png")
    in_use_by(run)
    RunFolder.create(run, "a.png", overwrite=True).close()


def _inspected_before(run: Path, folder: Path) -> None:
    refuse_what_is_in_the_way(run / "inspect")


def _is_compared(run: Path, folder: Path) -> None:
    read_run(run, name="", variant="", root=folder)


def _rewinds(run: Path, folder: Path) -> None:
    read_curve(run, "psnr_db")
    with open_run(run, lock=True) as locked:
        locked.rewind_log(20)


def _reads_selection(run: Path, folder: Path) -> None:
    for path in RunFolder.found(run).selections():
        selections.read(path)


def _loads(run: Path) -> None:
    saved, _ = newest(RunFolder.found(run))
    checkpoint.identity(RunFolder(run).checkpoints()[0])
    checkpoint.rebuild_field(saved)
    signal = saved.signal
    Fit(signal.kind, signal.source, Resolved(saved.config, {}), saved)


def _goes_on(run: Path) -> None:
    _command("eval", run)
    _command("resume", run, "--steps", 33)


def _obeys(other: Path, run: Path, folder: Path) -> None:
    _command("compare", "runs", run, other, "-o", folder / "report")
    _command("eval", run)
    _command("inspect", run, "--points", 16)
    _command("resume", run, "--steps", 33)


def _command(*words: Any) -> None:
    code, said = inputs.quietly(*words)
    if code in {1, 6}:
        raise AssertionError(f"nint {' '.join(map(str, words))}: exit {code}\n{said}")
