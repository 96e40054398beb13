"""No setting is silent: each changes what a tiny run does, or is named as without effect."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import trimesh
from PIL import Image

from nint_cli.config.layers import Layer, Resolved, Setting, resolve
from nint_cli.config.schema import dotted_keys
from nint_cli.config.unused import unused
from nint_cli.device.settings import prepared, resolve_device
from nint_cli.errors import NintError
from nint_cli.fields.table import FIELDS
from nint_cli.modalities import settings as modality_settings
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.table import MODALITIES, modality
from nint_cli.runs.build import build_trainer, field_for
from nint_cli.runs.control import Control
from nint_cli.runs.fit import Fit
from nint_cli.runs.folder import RunFolder
from nint_cli.runs.inputs import read_input
from nint_cli.runs.observer import RunObserver, Targets
from nint_cli.runs.request import fit_input
from nint_cli.samplers.table import section_of
from nint_cli.schedules.clock import Clock
from tests.conftest import generator, smooth_pixels, tiny_points, tiny_signal, tiny_sound

SOURCES = {"image": "picture.png", "audio": "sound.wav", "sdf": "shape.ply"}
SMALL = {f"{name}.hidden_features": 8 for name in FIELDS}
SMALL |= {f"{name}.hidden_layers": 2 for name in FIELDS}
BASE: Mapping[str, object] = SMALL | {
    "device": "cpu", "steps": 12, "optimiser.lr": 1e-3, "batch.fraction": 0.3,
    "hashgrid.levels": 3, "hashgrid.features": 2, "hashgrid.coarsest": 2, "hashgrid.finest": 6,
    "hashgrid.log2_entries": 6, "evos.first_interval": 6, "evos.last_interval": 4,
    "egra.high": 300.0,
    "sdf.points": 64, "sdf.mc_resolution": 8, "sdf.iou_resolution": 8, "sdf.watch_resolution": 8,
    "sdf.surface_samples": 100, "sdf.preview_size": 16, "metrics.flip": False,
}  # fmt: skip
"""As a preset would say it: nobody gave it."""


# What a tiny run does


def resolved(settings: Mapping[str, object], kind: str) -> Resolved:
    below = Layer({key: Setting(value, "preset smoke:1:1") for key, value in BASE.items()})
    above = Layer({key: Setting(value, "--set") for key, value in settings.items()})
    return resolve([below, above], kind)


def trained(found: Resolved, kind: str) -> object:
    """The parameters that a few steps lead to, and those that are measured."""
    signal = {
        "image": lambda: tiny_signal((12, 10), dtype=torch.float32),
        "audio": lambda: tiny_sound(120, dtype=torch.float32),
        "sdf": lambda: tiny_points(120, dtype=torch.float32),
    }[kind]()
    trainer = build_trainer(found.config, signal, Clock())

    class Watch:
        def after_step(self, *_):
            return None

        def after_rescue(self, *_):
            return None

    trainer.fit(Watch())
    last = torch.nn.utils.parameters_to_vector(trainer.field.parameters()).detach().clone()
    with trainer.measured():
        mean = torch.nn.utils.parameters_to_vector(trainer.field.parameters()).detach().clone()
    return torch.cat([last, mean]), trainer.detector is None


def built(found: Resolved, _kind: str) -> object:
    """When a run ends, and what its batches shrink for."""
    trainer = build_trainer(found.config, tiny_signal((12, 10)), Clock())
    adaptive = trainer.adaptive_batch_size
    ends = [trainer.duration.end(step) for step in (9, 12, 100)]
    wanted = None if adaptive is None else (adaptive._least_steps, adaptive._full_steps)
    return ends, wanted


def read(found: Resolved, kind: str) -> object:
    """What is read of the input, or why it is refused."""
    try:
        subject = read_input(kind, SOURCES[kind], found.config, torch.device("cpu"))
    except NintError as error:
        return str(error)
    signal = subject.signal
    coords, values = signal.at(torch.arange(len(signal)))
    told = (repr(getattr(subject, "perceptual", None)), signal.half_range, signal.redraw_every)
    return torch.cat([coords, values], dim=1), told


def read_transparent(found: Resolved, kind: str) -> object:
    """What is read of a picture that has alpha."""
    if kind != "image":
        return read(found, kind)
    picture = read_picture("transparent.png", found.config.section("image"))
    return picture.pixels.tobytes()


def told(found: Resolved, _kind: str) -> object:
    """The device and its threads, or why there are none."""
    try:
        with prepared(found.config.engine, resolve_device(found.config.device)):
            return torch.get_num_threads()
    except NintError as error:
        return str(error)


def measured(found: Resolved, kind: str) -> object:
    """What evaluations say of a field, and what is measured in the end."""
    subject = read_input(kind, SOURCES[kind], found.config, torch.device("cpu"))
    field = field_for(found.config, subject.signal, generator())
    watched = subject.evaluate(field)
    if kind == "audio":  # whose other measures take seconds
        return dict(watched.figures), watched.points
    evaluation = subject.evaluate_fully(field)
    quality = subject.quality(field, evaluation).model_dump()
    files = {name: len(data) for name, data in subject.reconstruct(field, evaluation).items()}
    return dict(watched.figures), watched.points, quality, files


def afforded(found: Resolved, kind: str) -> object:
    """What an evaluation may cost."""
    fit = Fit(kind, SOURCES[kind], found)
    watched = (fit.subject, found.config, fit.targets, fit.clock, RunFolder(Path("run")))
    fit.trainer.updates.forward, fit.trainer.step = 1000.0, 6
    return RunObserver(*watched, Control(), fit.origin)._units(fit.trainer)


def aimed(found: Resolved, kind: str) -> object:
    """The figures that end a run."""
    return Targets.of(found.config, modality(kind)).wanted


def fitted(found: Resolved, kind: str) -> object:
    """The files of a run, its log and its figures, but for the time they took."""
    try:
        outcome = fit_input(kind, SOURCES[kind], found, Path("run"), existing="replace")
    except NintError as error:
        return str(error)
    files = {str(path): path.stat().st_size for path in sorted(outcome.path.rglob("*.png"))}
    files |= dict.fromkeys(map(str, outcome.path.rglob("*.safetensors")), 0)
    files |= dict.fromkeys(map(str, outcome.path.rglob("*.npz")), 0)
    rows = [json.loads(row) for row in (outcome.path / "log.jsonl").read_text().splitlines()]
    for row in rows:
        del row["train_s"], row["clock"]
    assert outcome.metrics is not None
    quality = MODALITIES[kind].quality().model_fields
    figures = {key: getattr(outcome.metrics, key) for key in quality}
    shutil.rmtree(outcome.path)
    return files, rows, figures, outcome.metrics.stop_reason


def same(one: object, other: object) -> bool:
    """Equal, numbers up to the order of a sum."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


SEEN: dict[tuple[str, ...], object] = {}

# The table


@dataclass(frozen=True)
class Case:
    """A setting, what it is changed to, where it counts and where it does not.

    Attributes:
        live: Settings under which the change changes what `look` sees; None: it counts nowhere.
        dead: Settings under which it must be named, and changes nothing; by modality, if another.
        drawn: Like `dead`, but the change makes other random numbers of the same law.
        look: What sees the change.
        modality: What is fitted.
        undone: Modalities in which it must be named, and changes nothing.
        refused: A modality in which it is an error.
    """

    key: str
    value: object
    live: Mapping[str, object] | None = field(default_factory=dict)
    dead: tuple[Mapping[str, object], ...] = ()
    drawn: tuple[Mapping[str, object], ...] = ()
    look: Callable[[Resolved, str], object] = trained
    modality: str = "image"
    undone: tuple[str, ...] = ()
    refused: str | None = None


def section(
    name: str, rows: Mapping[str, tuple[Any, ...]], *, choice: str, other: str
) -> list[Case]:
    """Cases of a field's or a sampler's settings: value, live, dead, drawn, undone."""
    cases = []
    for key, (value, *more) in rows.items():
        live, dead, drawn, undone = (*more, *({}, (), (), ())[len(more) :])
        own = {choice: name}
        cases.append(
            Case(
                f"{section_of(name) if choice == 'sampler' else name}.{key}",
                value,
                {**own, **live},
                (*({**own, **each} for each in dead), {choice: other}),
                tuple({**own, **each} for each in drawn),
            )
        )
        cases += [
            Case(cases[-1].key, value, None, ({**own, **live},), modality=each) for each in undone
        ]
    return cases


WHOLE = {"batch.fraction": 1.0}
FULL, SIZE, BUDGET = {"sampler": "full"}, {"batch.size": 60}, {"stop.time_budget_s": 1e9}
COSINE = {"optimiser.schedule": "cosine"}
WIDTHS = {"hidden_features": (6,), "hidden_layers": (3,)}
NO_NTK = ({"nint.min_share": 0.9}, {"nint.xi": 1.0}, WHOLE)
STEPWISE = {"nint.share_law": "stepwise", "nint.min_share": 0.2}
RELEASED = {"sampler": "nint_released"}
CHOOSING, NO_CHOICE = {"nint_diagonal.max_chosen": 1.0}, {"nint_diagonal.xi": 1.0}

CASES = [
    Case("seed", 5),
    Case("device", "cuda:99", look=told),
    Case("steps", 9, look=built, dead=({**BUDGET, "stop.at_steps": False},)),
    Case("field", "mlp"),
    Case("recipe", "tuned"),
    Case("sampler", "uniform"),
    Case("holdout", 0.2, look=fitted, refused="sdf"),
    Case("batch.fraction", 0.5, dead=({"batch.size": 30}, FULL)),
    Case("batch.schedule", "linear", dead=({"batch.size": 30}, WHOLE, FULL)),
    Case("batch.size", 30, dead=(FULL,)),
    *(
        Case(
            f"batch.{key}", 1000, {**SIZE, **BUDGET}, look=built,
            dead=(SIZE, BUDGET, {**SIZE, **BUDGET, **FULL},
                  {**SIZE, **BUDGET, "sampler": "expansive"}),
        )
        for key in ("least_steps", "full_steps")
    ),
    Case("batch.reshuffle", True, dead=({"sampler": "int"}, {"sampler": "evos"}, FULL)),
    Case("batch.reshuffle", True, {"sampler": "uniform"}),
    Case("optimiser.lr", 1e-2),
    Case("optimiser.lr_side", 4, undone=("audio", "sdf")),
    Case("optimiser.schedule", "cosine"),
    Case("optimiser.warmup", 0.5),
    Case("optimiser.beta1", 0.5),
    Case("optimiser.beta1_steps", 5),
    Case("optimiser.beta2", 0.9),
    Case("optimiser.beta2_end", 0.5, COSINE, dead=({}, {**COSINE, "optimiser.final": 1.0})),
    Case("optimiser.final", 0.5, COSINE, dead=({},)),
    Case("optimiser.average", 0.5),
    Case("optimiser.rescue", False),
    Case("engine.threads", 2, look=told),
    Case("engine.precision", "bf16", {"siren.hidden_layers": 3}, dead=({"field": "wire"},)),
    Case("engine.precision", "tf32", None, dead=({},)),
    Case("evaluation.every", 5, look=fitted),
    Case("evaluation.count", 3, look=fitted, dead=({"evaluation.every": 5},)),
    Case("evaluation.points", 50, look=measured, undone=("sdf",)),
    Case("evaluation.share", 0.5, look=afforded),
    Case("evaluation.final", "sample", look=fitted),
    Case("evaluation.ssim", True, look=measured, undone=("audio",)),
    Case("evaluation.selections", True, look=fitted),
    Case("metrics.lpips_weights", "none", look=read, undone=("audio", "sdf")),
    Case(
        "metrics.lpips_sha256", "a" * 64, {"metrics.lpips_weights": "picture.png"}, look=read,
        dead=({},), undone=("audio", "sdf"),
    ),
    Case("metrics.flip", True, look=read, undone=("audio", "sdf")),
    Case(
        "metrics.max_pixels", 10, {"metrics.flip": True}, look=measured,
        dead=({"metrics.flip": False},), undone=("audio",),
    ),
    Case("checkpoint.every", 5, look=fitted),
    Case(
        "checkpoint.keep", 1, {"checkpoint.every": 5}, look=fitted,
        dead=({"checkpoint.every": None},),
    ),
    Case("stop.time_budget_s", 1e-9, look=fitted),
    Case("stop.at_steps", False, BUDGET, look=built, dead=({},)),
    Case("stop.target_psnr_db", 0.1, look=fitted, refused="sdf"),
    Case("stop.target_si_snr_db", 9.0, look=aimed, modality="audio", refused="image"),
    Case("stop.target_iou", 0.99, look=aimed, modality="sdf", refused="image"),
    *(
        Case(f"image.{key}", value, look=read, undone=("audio", "sdf"))
        for key, value in {"size": 8, "max_pixels": 10, "range": "data"}.items()
    ),
    Case("image.mask", "mask.png", look=measured, undone=("audio", "sdf")),
    Case("image.alpha", "drop", look=read_transparent, undone=("audio", "sdf")),
    Case(
        "image.background", "black", {"image.alpha": "composite"}, look=read_transparent,
        dead=({}, {"image.alpha": "drop"}), undone=("audio", "sdf"),
    ),
    *(
        Case(f"audio.{key}", value, look=read, modality="audio", undone=("image", "sdf"))
        for key, value in {
            "start_s": 0.002, "duration_s": 0.004, "mono": True, "max_samples": 10,
            "range": "unit", "half_range": 2.0,
        }.items()
    ),
    *(
        Case(f"sdf.{key}", value, look=look, modality="sdf", undone=("image", "audio"), dead=dead)
        for look, key, value, dead in (
            (read, "points", 80, ()),
            (read, "fine_share", 0.2, ()),
            (read, "coarse_share", 0.2, ()),
            (read, "fine_scale", 0.5, ({"sdf.fine_share": 0.0},)),
            (read, "coarse_scale", 0.5, ({"sdf.coarse_share": 0.0},)),
            (read, "noise", "laplace", ({"sdf.fine_share": 0.0, "sdf.coarse_share": 0.0},)),
            (read, "resample", 3, ()),
            (read, "half_range", 2.0, ()),
            (read, "max_faces", 4, ()),
            (read, "require_watertight", True, ()),
            (read, "weld", 100.0, ()),
            (measured, "format", "obj", ()),
            (measured, "mc_resolution", 9, ()),
            (measured, "iou_resolution", 9, ()),
            (measured, "watch_resolution", 9, ()),
            (measured, "surface_samples", 200, ()),
            (measured, "preview_size", 20, ()),
        )
    ),
    *section("mlp", WIDTHS, choice="field", other="siren"),
    *section("pemlp", {**WIDTHS, "frequencies": (2,)}, choice="field", other="siren"),
    *section(
        "ffn", {**WIDTHS, "frequencies": (9,), "sigma": (1.0,)}, choice="field", other="siren"
    ),
    *section(
        "siren", {**WIDTHS, "omega_0": (20.0,), "first_frequency": (9.0,)},
        choice="field", other="mlp",
    ),
    *section(
        "finer",
        {**WIDTHS, "omega_0": (20.0,), "first_frequency": (9.0,), "first_bias": (2.0,)},
        choice="field", other="siren",
    ),
    *section(
        "gauss", {**WIDTHS, "scale": (20.0,), "first_scale": (9.0,)}, choice="field", other="siren"
    ),
    *section(
        "wire",
        {
            **WIDTHS,
            "omega_0": (9.0,),
            "scale": (4.0, {}, ({"wire.hidden_layers": 1, "wire.first_scale": 2.0},)),
            "first_frequency": (9.0,),
            "first_scale": (2.0,),
        },
        choice="field", other="siren",
    ),
    Case(
        "wire.scale", 4.0, None, ({"field": "wire", "wire.hidden_layers": 1},), modality="audio"
    ),
    *section(
        "hashgrid",
        {
            **WIDTHS,
            "levels": (2,),
            "features": (3,),
            "coarsest": (3,),
            "finest": (8, {}, ({"hashgrid.levels": 1},)),
            "log2_entries": (4,),
        },
        choice="field", other="siren",
    ),
    *section(
        "egra",
        {
            "p": (0.5, {}, (WHOLE,)),
            "density": (0.5, {"egra.p": 0.5}, (WHOLE, {"egra.p": 0.0})),
            "radius_min": (0, {"egra.p": 0.5}, (WHOLE,), ({"egra.p": 0.0},), ("sdf",)),
            "radius_max": (12, {"egra.p": 0.5}, (WHOLE,), ({"egra.p": 0.0},), ("sdf",)),
            "low": (300.0, {"egra.p": 0.5}, (WHOLE,), ({"egra.p": 0.0},), ("audio", "sdf")),
            "high": (900.0, {"egra.p": 0.5}, (WHOLE,), ({"egra.p": 0.0},), ("audio", "sdf")),
        },
        choice="sampler", other="uniform",
    ),
    *section(
        "expansive",
        {
            "anchor_share": (0.2,),
            "loss": ("expanded", {}, ({"expansive.anchor_share": 0.0},)),
            "released": (True,),
        },
        choice="sampler", other="uniform",
    ),
    *section(
        "soft_mining",
        {
            "alpha": (0.001,),
            "warmup": (2, {}, ({"soft_mining.alpha": 0.0},)),
            "step_size": (900.0, {}, ({"soft_mining.restart_share": 1.0},)),
            "noise": (0.5, {}, ({"soft_mining.restart_share": 1.0},)),
            "uniform_share": (0.5, {}, (), ({"soft_mining.restart_share": 1.0},)),
            "restart_share": (0.5,),
            "released": (True,),
        },
        choice="sampler", other="uniform",
    ),
    *section(
        "int",
        {
            "interval": ("dense2", {}, (WHOLE,)),
            "every": (3, {"int.interval": "dense2"},
                      ({}, {"int.interval": "incremental"}, WHOLE)),
        },
        choice="sampler", other="uniform",
    ),
    *section(
        "evos",
        {
            "alpha": (0.2, {}, (WHOLE,)),
            "alpha_end": (0.1, {"evos.mutation": "linear"}, ({}, WHOLE)),
            "mutation": ("linear", {"evos.alpha_end": 0.1}, ({}, WHOLE)),
            "crossover": ("none", {}, (WHOLE,), (), ("audio", "sdf")),
            "crossover_weight": (0.001, {}, (WHOLE, {"evos.crossover": "none"}), (), ("audio",)),
            "supervision_weight": (5.0, {}, (), (), ("audio", "sdf")),
            "supervised": (0.9, {}, ({"evos.supervision_weight": 0.0},), (), ("audio",)),
            "first_interval": (3,),
            "last_interval": (9,),
        },
        choice="sampler", other="uniform",
    ),
    *section(
        "nint",
        {
            "xi": (0.2, {}, (WHOLE,)),
            "alpha": (3, {}, (*NO_NTK, STEPWISE)),
            "lambda": (9.0, {}, NO_NTK),
            "share_law": ("stepwise", {}, (*NO_NTK, {"nint.lambda": 0.0}, RELEASED)),
            "min_share": (0.2, {}, ({"nint.xi": 1.0}, WHOLE)),
            "residual_every": (9, {"optimiser.lr": 1e-2},
                               ({"nint.lambda": 0.0}, {"nint.xi": 1.0}, WHOLE, RELEASED)),
            "start": (0.5, {}, ({"nint.xi": 1.0}, WHOLE, RELEASED)),
            "weight": (0.5, {}, ({"nint.xi": 1.0}, WHOLE, RELEASED)),
            "max_chosen": (0.01, {}, ({"nint.xi": 1.0}, WHOLE, RELEASED)),
            "score": ("self_leverage", {}, (*NO_NTK, STEPWISE, RELEASED)),
            "gradient": ("moment", {}, (*NO_NTK, STEPWISE, {"nint.score": "residual"}, RELEASED)),
            "score_norm": ("l1", {"nint.xi": 0.3}, (*NO_NTK, STEPWISE, RELEASED)),
            "sketches": (2, {"nint.score": "sketch"}, ({}, *NO_NTK, RELEASED)),
            "interval": ("dense2", {}, (RELEASED,)),
            "every": (2, {"nint.interval": "dense2"},
                      ({}, {"nint.interval": "decremental"}, RELEASED)),
        },
        choice="sampler", other="uniform",
    ),
    *section(
        "nint_diagonal",
        {
            "score": ("error", CHOOSING, (WHOLE, NO_CHOICE, {"nint_diagonal.pool": 1})),
            "xi": (0.2, CHOOSING, (WHOLE,)),
            "pool": (1, CHOOSING, (WHOLE, NO_CHOICE)),
            "start": (0.8, CHOOSING, (WHOLE, NO_CHOICE)),
            "weight": (0.5, CHOOSING, (WHOLE, NO_CHOICE)),
            "max_chosen": (0.1, {}, (WHOLE, NO_CHOICE)),
        },
        choice="sampler", other="uniform",
    ),
    *(
        Case(f"nint.{key}", value, RELEASED, dead)
        for key, value, dead in (
            ("xi", 0.2, ()),
            ("alpha", 3, ({**RELEASED, "nint.xi": 1.0},)),
            ("lambda", 9.0, ({**RELEASED, "nint.xi": 1.0},)),
            ("min_share", 0.2, ({**RELEASED, "nint.xi": 1.0},)),
        )
    ),
]  # fmt: skip


@pytest.fixture
def _inputs(tmp_path, monkeypatch):
    Image.fromarray(smooth_pixels(12, 16)).save("picture.png")
    Image.fromarray(smooth_pixels(12, 16, channels=4)).save("transparent.png")
    half = smooth_pixels(12, 16)[..., 0] > 127
    Image.fromarray((255 * half).astype("uint8")).save("mask.png")
    times = torch.arange(200) / 8000
    wave = torch.stack([(700 * times * times).sin(), (90 * times).sin()], dim=1)
    soundfile.write("sound.wav", 0.5 * wave.numpy(), 8000)
    ball = trimesh.creation.icosphere(subdivisions=1)
    trimesh.Trimesh(ball.vertices, ball.faces[1:]).export("shape.ply")
    # Whether FLIP is there depends on the machine.
    monkeypatch.setattr(modality_settings, "find_spec", lambda _: object())


def test_every_setting_has_its_row():
    assert {case.key for case in CASES} == set(dotted_keys())


@pytest.mark.usefixtures("_inputs")
@pytest.mark.parametrize("key", dotted_keys())
def test_a_setting_counts_or_is_named(key):
    for case in CASES:
        if case.key == key:
            changed = {key: case.value}
            if case.live is not None:
                assert counts(case.live, changed, case), case
            for each in case.dead:
                assert is_named(each, changed, case, case.modality), each
            for each in case.drawn:
                assert is_named(each, changed, case, case.modality, look=False), each
            for kind in case.undone:
                assert is_named(case.live or {}, changed, case, kind), kind
            if case.refused is not None:
                with pytest.raises(NintError, match=key):
                    fit_input(case.refused, SOURCES[case.refused], resolved(changed, case.refused))


def counts(around: Mapping[str, object], changed: Mapping[str, object], case: Case) -> bool:
    """Whether a change is not named, and changes something."""
    after = {**around, **changed}
    assert case.key not in unused(resolved(after, case.modality), case.modality)
    return not same(seen(case.look, around, case.modality), seen(case.look, after, case.modality))


def is_named(
    around: Mapping[str, object],
    changed: Mapping[str, object],
    case: Case,
    kind: str,
    *,
    look: bool = True,
) -> bool:
    """Whether a change is named as without effect, and has none."""
    after = {**around, **changed}
    line = unused(resolved(after, kind), kind).get(case.key, "")
    if not line.startswith(f"{case.key}=") or " (--set) has no effect: " not in line:
        return False
    return not look or same(seen(case.look, around, kind), seen(case.look, after, kind))


def seen(
    look: Callable[[Resolved, str], object], settings: Mapping[str, object], kind: str
) -> object:
    """What a tiny run does; the same one is not run twice."""
    key = (look.__name__, kind, json.dumps(settings, sort_keys=True))
    if key not in SEEN:
        SEEN[key] = look(resolved(settings, kind), kind)
    return SEEN[key]
