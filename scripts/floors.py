"""What products in bfloat16 cost in the end: the error of a trained field's predictions by them.

Each field is fitted by its default preset to a small smooth picture, to a tone and to a ball, and
then predicts all points by bfloat16 and in float32.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tables
import torch
from torch import Tensor

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.schema import FIELD_NAMES
from nint_cli.derivatives.engine import Engine
from nint_cli.derivatives.sweep import predict
from nint_cli.fields.table import field_class
from nint_cli.modalities.audio.signal import Sound
from nint_cli.modalities.image.signal import Picture
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import Signal
from nint_cli.signals.points import PointSignal
from nint_cli.training.precision import value_range
from nint_cli.training.trainer import Step, Trainer

STEPS = 500
_LONGER = {"mlp": 8, "pemlp": 2}  # so many times as many steps, for these learn slowly


class _Nobody:
    """Lets a fit go on."""

    def after_step(self, trainer: Trainer, step: Step) -> None:
        return None

    def after_rescue(self, trainer: Trainer, rescue: object) -> None:
        return None


def smooth_picture() -> Signal:
    """Make 16 x 16 pixels of waves, different in each channel, in 16 bits."""
    along = np.linspace(0, 1, 16)
    phase = np.arange(3)
    waves = np.sin(5 * along[:, None, None] + phase) + np.cos(7 * along[None, :, None] - phase)
    return Picture(((0.5 + 0.24 * waves) * 65535).round().astype(np.uint16), "").signal()


def tone() -> Signal:
    """Make 50 ms of two tones, in 16 bits."""
    seconds = np.arange(400)[:, None] / 8000
    wave = np.sin(2 * math.pi * 440 * seconds) + 0.5 * np.sin(2 * math.pi * 660 * seconds)
    return Sound((wave / 1.5 * 32767).round().astype(np.int16), 8000, "PCM_16", "").signal()


def ball() -> Signal:
    """Make distances to a sphere of radius 1/2 at 400 points."""
    coords = 2 * torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) - 1
    return PointSignal(coords, coords.norm(dim=1, keepdim=True) - 0.5)


SIGNALS: Mapping[str, tuple[str, Callable[[], Signal]]] = {
    "picture": ("image", smooth_picture),
    "sound": ("audio", tone),
    "shape": ("sdf", ball),
}


def trained(kind: str, signal: Signal, field: str, precision: str, steps: int) -> Trainer:
    """Fit a signal by the default preset at all points of every step."""
    chosen = {"field": field, "sampler": "uniform", "steps": steps, "engine.precision": precision}
    layer = Layer({key: Setting(value, "here") for key, value in chosen.items()})
    config = resolve([preset_layer("default", kind), layer], kind).config
    trainer = build_trainer(config, signal, Clock())
    trainer.fit(_Nobody())
    return trainer


def decibels(error: Tensor, span: float) -> float | None:
    """Return -10 lg of a mean squared error in units of the values' range; None without error."""
    squares = float(error.double().square().mean())
    return 10 * math.log10(span**2 / squares) if squares else None


def fit_and_floor(
    kind: str, signal: Signal, field: str, precision: str, steps: int
) -> dict[str, Any]:
    """Fit a signal, and compare predictions with values, and those by bfloat16 with float32.

    Returns:
        ``db`` of the first; ``floor_db`` of the second, None where there is no difference; and
        ``until_step``, the steps in bfloat16 where ``auto`` has left it.
    """
    trainer = trained(kind, signal, field, precision, steps)
    _, values = signal.slice(0, len(signal))
    span = value_range(signal)
    with trainer.measured():
        exact = predict(trainer.field, signal)
        rounded = predict(trainer.field, signal, engine=Engine(torch.bfloat16))
    return {
        "db": decibels(exact - values, span),
        "floor_db": decibels(rounded - exact, span),
        "until_step": None if trainer.precision is None else trainer.precision.left_after,
    }


def bench_floors(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the floor of each field on three signals, and where three precisions end."""
    fields: dict[str, Any] = {}
    for name in FIELD_NAMES:
        steps = _LONGER.get(name, 1) * (options.steps or STEPS)
        floors, ends = {}, {}
        for signal, (kind, make) in SIGNALS.items():
            rounds = field_class(name).bf16_floor_db is not None
            if rounds or signal == "picture":
                found = fit_and_floor(kind, make(), name, "bf16" if rounds else "full", steps)
                floors[signal] = found["floor_db"]
            if signal == "picture":
                ends["bf16"] = found if rounds else None
        kind, make = SIGNALS["picture"]
        for precision in ("auto", "full"):
            ends[precision] = fit_and_floor(kind, make(), name, precision, steps)
        fields[name] = {"steps": steps, "floors": floors, "ends": ends}
    return {"fields": fields}


def floors_table(found: Mapping[str, Any]) -> str:
    """Write the floors by field, and the ends of fits in dB."""
    rows = []
    for name, each in found["fields"].items():
        left = each["ends"]["auto"]["until_step"]
        rows.append([
            name,
            *(_text(each["floors"].get(signal)) for signal in SIGNALS),
            _text(field_class(name).bf16_floor_db),
            *(_text((each["ends"][p] or {}).get("db")) for p in ("bf16", "auto", "full")),
            "-" if left is None else str(left),
            str(each["steps"]),
        ])
    header = ["field", *SIGNALS, "taken", "bf16", "auto", "full", "steps in bf16", "of"]
    table = tables.markdown(header, rows)
    return f"Floors of trained fields, and where the picture ends, in dB.\n\n{table}"


def _text(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f}"
