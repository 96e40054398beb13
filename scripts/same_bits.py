"""Prove that two versions of nint train alike: the same small runs, tensor by tensor.

`record` fits a few small inputs with the checkout in the current folder and writes a hash of every
tensor in each run's last checkpoint. `compare` names the runs and tensors in which two such files
differ. Run both on one machine, for processors and thread counts change the bits.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors import safe_open

SMALL = ["--preset", "paper", "--steps", "40"]
SMALL += ["--set", "siren.hidden_features=32", "--set", "siren.hidden_layers=2"]
PICTURE = ["image", "sample:astronaut", "--set", "image.size=48"]
SOUND = ["audio", "sample:chord", "--set", "audio.duration_s=0.2"]
SHAPE = ["sdf", "sample:torus", "--set", "sdf.points=8192", "--set", "sdf.mc_resolution=32"]
SHAPE += ["--set", "sdf.iou_resolution=16", "--set", "sdf.surface_samples=1000"]
SAMPLERS = [
    "full", "uniform", "egra", "expansive", "soft_mining", "int", "evos", "nint", "nint_released",
]  # fmt: skip
FIELDS = ["mlp", "pemlp", "ffn", "siren", "finer", "gauss", "wire", "hashgrid"]

RUNS: dict[str, list[str]] = {
    **{f"sampler {name}": [*PICTURE, *SMALL, "--sampler", name] for name in SAMPLERS},
    **{f"field {name}": [*PICTURE, "--field", name, "--steps", "60"] for name in FIELDS},
    "guided": [*PICTURE, "--steps", "200", "--set", "siren.hidden_features=64"],
    "scores": [*PICTURE, *SMALL, "--set", "nint.gradient=moment", "--set", "nint.score_norm=l1"],
    "sound": [*SOUND, "--steps", "40"],
    "sound by particles": [*SOUND, *SMALL, "--sampler", "soft_mining"],
    "shape": [*SHAPE, "--steps", "40"],
    "shape with new points": [*SHAPE, *SMALL, "--sampler", "nint", "--set", "sdf.resample=10"],
    "resumed": [*PICTURE, *SMALL, "--steps", "20"],
    # Weights of a network at this rate soon leave the range of float32.
    "rescued": [*PICTURE, *SMALL, "--steps", "60", "--field", "mlp", "--lr", "10"],
}


def record() -> dict[str, dict[str, str]]:
    """Fit everything; give the hash of each tensor by run and name."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for name, words in RUNS.items():
            folder = Path(place) / name.replace(" ", "-")
            _nint("fit", *words, "--set", "engine.threads=1", "--output", str(folder))
            if name == "resumed":
                _nint("resume", str(folder), "--steps", "40")
            found[name] = _hashes(folder)
            rescues = json.loads((folder / "metrics.json").read_text())["rescues"]
            found[name]["rescues"] = str(rescues)
            print(f"{name}: {len(found[name])} tensors, {rescues} rescues", file=sys.stderr)
    return found


def _nint(*words: str) -> None:
    command = [sys.executable, "-m", "nint_cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 5}:  # 5: diverged, whose last good state counts too
        raise SystemExit(f"{' '.join(words)}\n{done.stderr}")


def _hashes(folder: Path) -> dict[str, str]:
    """Hash each tensor of a run's last checkpoint."""
    newest = max((folder / "checkpoints").glob("*.safetensors"), key=lambda path: path.name)
    with safe_open(newest, framework="pt") as file:
        tensors = {name: file.get_tensor(name).contiguous() for name in file.keys()}
    return {
        name: hashlib.sha256(tensor.reshape(-1).numpy().tobytes()).hexdigest()[:16]
        for name, tensor in tensors.items()
        if tensor.numel()
    }


def differences(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """Name what differs, a line per run."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name, {}), after.get(name, {})
        changed = [
            key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)
        ]
        if changed:
            lines.append(f"{name}: {len(changed)} differ, first {changed[0]}")
    return lines


def main() -> None:
    """Record, or compare two records."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("record").add_argument("file", type=Path)
    compare = commands.add_parser("compare")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "record":
        given.file.write_text(json.dumps(record(), indent=1) + "\n")
        return
    lines = differences(*(json.loads(path.read_text()) for path in (given.before, given.after)))
    print("\n".join(lines) or "the same bits in every run")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
