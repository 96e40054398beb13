"""Compiled passes: which blocks they are for, that they compute the same, and what fails them."""

import json
import shutil

import imageio.v3 as iio
import pytest
import torch

from nint_cli.config import EngineConfig
from nint_cli.derivatives import Compiled, compiled_by, products_in
from nint_cli.derivatives.compiled import by_torch
from nint_cli.engine import compile_pass, compiles
from nint_cli.fields import Ffn, Finer, Gauss, HashGrid, Mlp, Pemlp, Siren, Wire
from nint_cli.sweep import block_size, predict, pull_residual
from tests.conftest import generator, smooth_pixels, tiny_signal
from tests.test_cli import nint
from tests.test_trainer import Until, assert_same, state_of, trainer_of

PICTURE = tiny_signal(dtype=torch.float32)
SMALL = {"hidden_features": 16, "hidden_layers": 2}
ALWAYS = {"engine": {"compile": "always"}}


def picture(folder):
    iio.imwrite(folder / "photo.png", smooth_pixels(16, 16))
    return folder / "photo.png"


class Unchanged:
    """Compiles to the same function, and counts."""

    def __init__(self):
        self.compiled, self.calls = [], []

    def __call__(self, work):
        self.compiled.append(work.__name__)

        def same(*given, **named):
            self.calls.append(work.__name__)
            return work(*given, **named)

        return same


def traced(work):
    """Compile all but the machine code, which is what can go wrong by our own doing."""
    return by_torch(work, "aot_eager")


def broken(work):
    def never(*_, **__):
        raise RuntimeError("backend='inductor' raised:\nno compiler\nand a long story")

    return never


@pytest.mark.parametrize(
    ("setting", "budget_s", "expected"),
    [
        ("never", None, False),
        ("never", 1e6, False),
        ("always", None, True),
        ("always", 1.0, True),
        ("auto", None, False),
        ("auto", 299.0, False),
        ("auto", 300.0, True),
    ],
)
def test_long_runs_are_compiled(setting, budget_s, expected):
    assert compiles(EngineConfig(compile=setting), Siren(2, 3), budget_s) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Finer(2, 3), True),
        (Gauss(2, 3), True),
        (Mlp(2, 3), False),
        (HashGrid((5, 6), 3), False),
        (Wire(2, 3), False),
    ],
    ids=lambda each: type(each).__name__,
)
def test_auto_compiles_the_fields_that_gain(field, expected):
    assert compiles(EngineConfig(compile="auto"), field, 600.0) == expected


def test_only_wanted_blocks_are_compiled():
    compiled = Compiled(lambda rows: rows == 4, own := Unchanged())
    assert not compiled.used
    assert compiled(sum, "kind", 3, [1, 2]) == 3
    assert (own.compiled, compiled.used) == ([], False)
    assert compiled(sum, "kind", 4, [1, 2]) == 3
    assert compiled(sum, "kind", 4, [1, 2], start=1) == 4
    assert (own.compiled, own.calls, compiled.used) == (["sum"], ["sum", "sum"], True)


def test_what_cannot_be_compiled_is_done_without():
    compiled = Compiled(lambda rows: True, broken)
    assert compiled(sum, "kind", 4, [1, 2]) == 3
    assert (compiled.failure, compiled.on, compiled.used) == ("no compiler", False, False)
    compiled._compiler = None  # is not asked again
    assert compiled(max, "kind", 4, [1, 2]) == 2


def test_a_compiler_that_was_interrupted_once_is_asked_again():
    attempts = []

    def interrupted(work):
        attempts.append(work)
        return broken(work)() if len(attempts) == 1 else work

    compiled = Compiled(lambda rows: True, interrupted)
    assert compiled(sum, "kind", 4, [1, 2]) == 3
    assert (compiled.failure, compiled.used, len(attempts)) == (None, True, 2)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory")])
def test_memory_that_runs_out_is_no_failure_to_compile(error):
    def short(work):
        def never(*_):
            raise error

        return never

    compiled = Compiled(lambda rows: True, short)
    with pytest.raises(type(error)):
        compiled(sum, "kind", 4, [1, 2])
    assert compiled.on


def test_errors_of_a_pass_that_once_went_well_are_its_own():
    compiled = Compiled(lambda rows: True, Unchanged())
    assert compiled(sum, "kind", 4, [1, 2]) == 3
    with pytest.raises(TypeError):
        compiled(sum, "kind", 4, [1, "2"])
    assert compiled.failure is None


@pytest.mark.parametrize("products", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "field",
    [
        Siren(2, 3, generator=generator(1), hidden_features=16, hidden_layers=3),
        Mlp(2, 3, generator=generator(1), **SMALL),
        Finer(2, 3, generator=generator(1), **SMALL),
        Gauss(2, 3, generator=generator(1), **SMALL),
        Pemlp(2, 3, generator=generator(1), **SMALL),
        Ffn(2, 3, generator=generator(1), **SMALL),
        HashGrid((5, 6), 3, generator=generator(1)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_traced_passes_are_those_of_pytorch(field, products):
    """To a few roundings: tracing may add in another order."""
    with products_in(products):
        plain = [*pull_residual(field, PICTURE)[0], predict(field, PICTURE)]
        compiled = Compiled(lambda rows: True, traced)
        with compiled_by(compiled):
            found = [*pull_residual(field, PICTURE)[0], predict(field, PICTURE)]
    assert compiled.failure is None
    assert compiled.used
    for a, b in zip(found, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item())


def test_a_fit_asks_for_compiled_passes_and_an_evaluation_does_not():
    plain, fit = trainer_of(), trainer_of(**ALWAYS)
    fit.compiled = Compiled(lambda rows: True, own := Unchanged())
    for trainer in (plain, fit):
        trainer.fit(Until(12))
    states = [trainer.state_dict() for trainer in (plain, fit)]
    assert states[1].numbers.pop("compiled")
    assert_same(*states)
    assert {"_forward", "_backward"} <= set(own.compiled)
    before = len(own.calls)
    predict(fit.field, PICTURE)
    assert len(own.calls) == before


def test_blocks_and_batches_are_wanted_and_no_others():
    trainer = trainer_of(**ALWAYS, batch={"size": 100})
    wanted = [rows for rows in range(1, 10_000) if trainer.compiled._wanted(rows)]
    sizes = {100, block_size(trainer.field), block_size(trainer.field, forward_only=True)}
    assert wanted == sorted(rows for rows in sizes if rows < 10_000)
    assert trainer.compiled.takes(100)
    assert not trainer_of(batch={"size": 100}).compiled.takes(100)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("asked", ["always", "never"])
def test_a_run_goes_on_as_it_began(asked, fails):
    """Whatever its budget is by then, and though another attempt might do."""
    begun, after = (trainer_of(engine={"compile": asked}) for _ in range(2))
    begun.compiled._compiler = broken if fails else Unchanged()
    begun.compiled._wanted = lambda rows: True
    begun.fit(Until(3))
    after.compiled.on = not fails
    after.load_state_dict(state_of(begun))
    assert after.compiled.on == (asked == "always" and not fails)


def test_what_is_compiled_is_kept_where_nobody_else_may_write(tmp_path, monkeypatch):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    monkeypatch.setattr("os.environ", environment)
    compile_pass(double)
    folder = tmp_path / "nint" / "compiled"
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    environment["TORCHINDUCTOR_CACHE_DIR"] = elsewhere = str(tmp_path / "elsewhere")
    compile_pass(double)
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == elsewhere


def double(number):
    return 2 * number


def test_a_run_without_a_compiler_goes_on_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    monkeypatch.setattr("nint_cli.engine.by_torch", broken)
    options = ["fit", "image", picture(tmp_path), "--preset", "smoke", "--steps", "4"]
    asked = ["--set", "engine.compile=always"]
    code, _, err = nint(capsys, *options, *asked, "--output", tmp_path / "asked")
    assert code == 0
    assert "the first step compiles passes of training" in err
    assert "not compiled: no compiler" in err
    assert nint(capsys, *options, "--output", tmp_path / "plain")[0] == 0
    told, plain = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("asked", "plain")
    )
    assert told["psnr_db"] == plain["psnr_db"]
    assert told["environment"]["compiled"] is False


def test_a_field_that_is_no_chain_is_not_compiled(tmp_path, capsys):
    options = ["--preset", "smoke", "--field", "wire", "--steps", "2"]
    options += ["--set", "engine.compile=always", "--output", tmp_path / "run"]
    code, _, err = nint(capsys, "fit", "image", picture(tmp_path), *options)
    assert code == 0
    assert "compile has no effect on the field wire" in err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.parametrize(("precision", "rtol"), [("full", 1e-3), ("bf16", 0.1)])
def test_compiled_steps_learn_and_going_on_equals_never_having_stopped(
    precision, rtol, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    settings = {"batch": {"size": 64}, "siren": {"hidden_features": 16, "hidden_layers": 3}}
    engine = {"precision": precision}
    asked = {**settings, "engine": {**engine, "compile": "always"}}
    through, before, after = (trainer_of(seed=seed, **asked) for seed in (0, 0, 9))
    through.fit(Until())
    before.fit(Until(9))
    after.load_state_dict(state_of(before))
    after.fit(Until())
    assert through.compiled.failure is None
    assert through.compiled.used
    assert_same(through.state_dict(), after.state_dict())
    plain = trainer_of(**settings, engine=engine)
    plain.fit(Until())
    start = trainer_of(**settings).state_dict().tensors["field.weights.1"]
    a, b = (t.state_dict().tensors["field.weights.1"] - start for t in (through, plain))
    assert 0 < (a - b).norm() <= rtol * b.norm()
