"""(g) Guidance by the kernel's diagonal against remembered errors and uniform batches.

Fits every input by every field with its tuned recipe and writes a row per field: what the diagonal
gains over both, with 95 % intervals over inputs, seeds averaged. All have as many steps (--steps),
so that other work on the machine counts for nothing: `bench.py --only guidance` says what a step
costs. Finished fits are kept in --output, a file per field, so that several calls can share the
fields out.

    python scripts/experiments/guidance.py image a.png b.png c.png d.png --steps 400 --seeds 3
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1]))  # what all scripts share
import tables

from nint_cli.comparison.record import Interval
from nint_cli.comparison.statistics import mean_difference
from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.schema import FIELD_NAMES
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs.build import build_trainer
from nint_cli.runs.inputs import read_input
from nint_cli.schedules.clock import Clock
from nint_cli.training.divergence import Rescue
from nint_cli.training.trainer import Step, Trainer

VARIANTS = {
    "uniform": {"sampler": "uniform"},
    "error": {"sampler": "nint_diagonal", "nint_diagonal.score": "error"},
    "diagonal": {"sampler": "nint_diagonal", "nint_diagonal.score": "diagonal"},
}
Found = dict[tuple[str, str, int], dict[str, float]]
"""What came out, by input, variant and seed."""


class Watch:
    """Counts rescues."""

    rescues = 0

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Go on."""
        return None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Count it."""
        self.rescues += 1


def fit(
    options: argparse.Namespace, field: str, source: str, variant: str, seed: int
) -> dict[str, float]:
    """Fit an input, and measure it in full."""
    given = dict(setting.split("=", 1) for setting in options.set)
    settings = {**{key: json.loads(value) for key, value in given.items()}, **VARIANTS[variant]}
    settings |= {"field": field, "seed": seed, "steps": options.steps}
    own = Layer({key: Setting(value, "--set") for key, value in settings.items()})
    kind = options.modality
    config = resolve([preset_layer("default", kind), own], kind).config
    subject = read_input(kind, source, config, torch.device("cpu"))
    trainer = build_trainer(config, subject.signal, Clock())
    trainer.fit(watch := Watch())
    with trainer.measured():
        figures = subject.evaluate(trainer.field).figures
    value = figures[MODALITIES[kind].headline]
    return {"value": float("nan") if value is None else value, "steps": trainer.step,
            "rescues": watch.rescues}  # fmt: skip


def fits(options: argparse.Namespace, field: str) -> Found:
    """Fit what is missing, the kinds of guidance in turn."""
    path = options.output / f"{options.modality}-{field}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found: Found = {tuple(key): value for key, value in map(json.loads, lines)}
    for seed in range(options.seeds):
        for source in options.sources:
            for variant in VARIANTS:
                key = (Path(source).name, variant, seed)
                if key not in found:
                    found[key] = fit(options, field, source, variant, seed)
                    with path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([key, found[key]]) + "\n")
    return found


def lead(found: Found, ours: str, theirs: str) -> tuple[Interval | None, float]:
    """Compute how far one kind of guidance is ahead of another, and its least lead of an input."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for (name, variant, seed), each in found.items():
        if variant == ours:
            groups.setdefault(name, []).append((each["value"], found[name, theirs, seed]["value"]))
    leads = [sum(a - b for a, b in pairs) / len(pairs) for pairs in groups.values()]
    return mean_difference(list(groups.values()), "input"), min(leads)


def shown(interval: Interval | None, digits: int) -> str:
    """Write a mean difference with its interval."""
    if interval is None:
        return "-"
    text = f"{interval.value:+.{digits}f}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"


def row(field: str, found: Found, digits: int) -> Iterable[str]:
    """Write the row of a field."""
    yield field
    yield str(len(found) // len(VARIANTS))
    for variant in VARIANTS:
        values = [each["value"] for (_, name, _), each in found.items() if name == variant]
        yield tables.shown(tables.mean(values), digits)
    yield shown(lead(found, "diagonal", "uniform")[0], digits)
    over, least = lead(found, "diagonal", "error")
    yield shown(over, digits)
    yield f"{least:+.{digits}f}"
    yield str(int(sum(each["rescues"] for each in found.values())))


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modality", choices=["image", "audio", "sdf"])
    parser.add_argument("sources", nargs="+", metavar="INPUT")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/experiments/guidance"))
    parser.add_argument("--fields", nargs="+", choices=FIELD_NAMES, default=list(FIELD_NAMES))
    parser.add_argument("--steps", type=int, default=400, help="of each fit")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = 2 if MODALITIES[options.modality].headline.endswith("_db") else 4
    header = ["field", "fits of each", *VARIANTS, "diagonal over uniform", "diagonal over error",
              "its least lead on an input", "rescues"]  # fmt: skip
    rows = [list(row(field, fits(options, field), digits)) for field in options.fields]
    sys.stdout.write(tables.markdown(header, rows))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
