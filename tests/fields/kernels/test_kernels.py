"""Compiled loops give what float64 gives, to rounding, whatever the size and the threads."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nint_cli.derivatives.analytic import ByHand
from nint_cli.fields.finer import VariablePeriodicSine
from nint_cli.fields.gauss import Gaussian
from nint_cli.fields.grid_encoding import GridEncoding
from nint_cli.fields.hashgrid import HashGrid, level_resolutions
from nint_cli.fields.kernels import loading
from nint_cli.fields.kernels.activations import KINDS, Activate
from nint_cli.fields.siren import Sine, Siren
from tests.conftest import generator

ACTIVATIONS = {"sine": Sine(), "finer": VariablePeriodicSine(2.0), "gaussian": Gaussian()}
SIZES = [(1, 1), (7, 5), (4096, 64), (100_003, 1), (3, 5000), (0, 4)]


@pytest.fixture(autouse=True)
def _no_graph():
    with torch.no_grad():
        yield


def kernel(kind):
    return Activate(kind, 2.0)


def test_every_kind_is_tested():
    assert set(ACTIVATIONS) == set(KINDS)
    for kind, activation in ACTIVATIONS.items():
        assert activation.kernel.kind == kind


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_value_and_slope_are_those_of_float64(kind, size):
    z = torch.randn(size, generator=generator(1)) * 3
    bias = torch.randn(size[1], generator=generator(2))
    x = (z + bias).double()
    # FINER's phase is a product of rounded numbers, as large as 2 (|x| + 1) |x|.
    phase = 4e-7 * 2 * (x.abs() + 1) * x.abs() if kind == "finer" else torch.zeros_like(x)
    wanted, wanted_slope = ACTIVATIONS[kind].value_and_slope(x.clone())
    value, slope = kernel(kind).value_and_slope(z.clone(), bias)
    assert ((value - wanted).abs() <= 2e-7 + phase).all()
    scale = 1 + 2 * (x.abs() + 1) if kind == "finer" else 1
    assert ((slope - wanted_slope).abs() <= (3e-7 + phase) * scale).all()
    assert torch.equal(kernel(kind).value(z.clone(), bias), value)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_the_float32_result_rounded_once(kind):
    z = (torch.randn(301, 40, generator=generator(1)) * 2).to(torch.bfloat16)
    bias = torch.randn(40, generator=generator(2))
    wanted, wanted_slope = kernel(kind).value_and_slope(z.float(), bias)
    value, slope = kernel(kind).value_and_slope(z.clone(), bias)
    assert torch.equal(value, wanted.to(torch.bfloat16))
    assert torch.equal(slope, wanted_slope.to(torch.bfloat16))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nan_and_infinity_travel(kind, dtype):
    z = torch.tensor([[torch.nan, 1.0, torch.inf, -torch.inf, 0.0]], dtype=dtype)
    wanted, _ = ACTIVATIONS[kind].value_and_slope(z.double().clone())
    value, slope = kernel(kind).value_and_slope(z.clone(), torch.zeros(5))
    assert torch.equal(value.isnan(), wanted.isnan())
    assert slope[0, 0].isnan()
    assert value[0, 1].isfinite()


@pytest.mark.parametrize("size", [1e3, 1e6, 2.0**20, 1e7, 1e30])
def test_large_arguments_have_their_sine(size):
    z = torch.tensor([[size, -size, 0.7 * size, 1.0]])
    value, slope = kernel("sine").value_and_slope(z.clone(), torch.zeros(4))
    assert torch.allclose(value.double(), z.double().sin(), atol=2e-7, rtol=0)
    assert torch.allclose(slope.double(), z.double().cos(), atol=2e-7, rtol=0)


def grid(dims, *, hashed=True):
    shape = {1: (5000,), 2: (96, 64), 3: (32, 24, 40)}[dims]
    levels = level_resolutions(shape, 5, 4, 64)
    made = GridEncoding(levels, entries=256 if hashed else 1 << 20, features=3, half_range=2.0)
    torch.nn.init.uniform_(made.table, -1, 1, generator=generator(3))
    return made


def in_float64(made):
    other = GridEncoding.__new__(GridEncoding)
    torch.nn.Module.__init__(other)
    other.__dict__.update({k: v for k, v in made.__dict__.items() if not k.startswith("_")})
    for name, buffer in made.named_buffers():
        other.register_buffer(name, buffer)
    other.table = torch.nn.Parameter(made.table.double())
    return other


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 7, 4099])
def test_a_grid_is_read_and_its_gradient_added_as_in_float64(dims, count, hashed):
    made = grid(dims, hashed=hashed)
    exact = in_float64(made)
    coords = torch.rand((count, dims), generator=generator(4)) * 4.4 - 2.2  # some are outside
    coords[0] = 2.0
    place = made.locate(coords)
    assert place is coords
    found = made.read(place)
    corners = exact.locate(coords.double())
    assert torch.allclose(found.double(), exact.read(corners), atol=2e-4, rtol=0)
    gradient = torch.randn(found.shape, generator=generator(5))
    total, wanted = torch.ones_like(made.table), torch.ones_like(exact.table)
    made.add_gradient(place, gradient, [total])
    exact.add_gradient(corners, gradient.double(), [wanted])
    assert torch.allclose(total.double(), wanted, atol=1e-3, rtol=1e-4)
    norms = made.leverage(place, gradient)
    assert torch.allclose(
        norms.double(), exact.leverage(corners, gradient.double()), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_both_modes_of_a_grid_are_one_map(dims):
    """<J v, R> = <v, J^T R>, though one reads and the other adds."""
    made = grid(dims)
    coords = torch.rand((500, dims), generator=generator(6)) * 4 - 2
    direction = torch.randn(made.table.shape, generator=generator(7))
    cotangent = torch.randn((500, made.feature_dim), generator=generator(8))
    pulled = torch.zeros_like(made.table)
    made.add_gradient(made.locate(coords), cotangent, [pulled])
    pushed = made.read_change(made.locate(coords), [direction])
    one = (pushed.double() * cotangent.double()).sum()
    other = (pulled.double() * direction.double()).sum()
    assert torch.allclose(one, other, rtol=1e-5)


def test_coords_of_float64_keep_their_digits():
    """Where a sound has more points than float32 tells apart."""
    made = GridEncoding([[1 << 23]], entries=1 << 23, features=1)
    made.table.copy_(torch.arange(1 << 23)[:, None] % 1000)
    index = torch.tensor([5_000_001, 8_000_003])
    coords = (2 * index / ((1 << 23) - 1) - 1).double()[:, None]
    exact = (2 * index.double() / ((1 << 23) - 1) - 1)[:, None]
    assert torch.allclose(made.read(made.locate(exact))[:, 0], (index % 1000).float(), atol=1e-3)
    assert coords.dtype == torch.float64


@pytest.mark.parametrize("count", [1, 64, 4099])
def test_one_thread_and_two_have_the_same_bits(count):
    made = grid(2)
    coords = torch.rand((count, 2), generator=generator(9)) * 4 - 2
    gradient = torch.randn((count, made.feature_dim), generator=generator(10))
    z, bias = torch.randn((count, 33), generator=generator(11)), torch.zeros(33)

    def everything(threads):
        torch.set_num_threads(threads)
        total = torch.zeros_like(made.table)
        made.add_gradient(coords, gradient, [total])
        waves = [part for kind in KINDS for part in kernel(kind).value_and_slope(z.clone(), bias)]
        return [made.read(coords), total, made.leverage(coords, gradient), *waves]

    for one, two in zip(everything(1), everything(2), strict=True):
        assert torch.equal(one, two)


def fields():
    yield Siren(2, 3, hidden_features=24, hidden_layers=2, generator=generator(12))
    yield HashGrid((40, 30), 3, levels=4, finest=40, log2_entries=8, generator=generator(12))


def gradient_of(field, coords, cotangent):
    by_hand = ByHand(field.chain(), list(field.parameters()))
    block = by_hand.linearise(coords)
    block.pull(cotangent)
    return [by_hand.predict(coords), block.prediction, *by_hand.pulled()]


@pytest.mark.parametrize("field", list(fields()), ids=lambda field: type(field).__name__)
def test_without_numba_pytorch_gives_the_same_within_rounding(field, monkeypatch):
    coords = torch.rand((333, 2), generator=generator(13)) * 2 - 1
    cotangent = torch.randn((333, 3), generator=generator(14))
    compiled = gradient_of(field, coords, cotangent)
    monkeypatch.setattr(loading, "why_not", lambda: "pretended")
    plain = gradient_of(field, coords, cotangent)
    assert not all(torch.equal(a, b) for a, b in zip(compiled, plain, strict=True))
    for a, b in zip(compiled, plain, strict=True):
        assert torch.allclose(a, b, atol=2e-4, rtol=2e-4)


def test_what_kernels_cannot_take_is_left_to_pytorch():
    wide = torch.zeros(4, 6)
    assert loading.usable(wide)
    assert not loading.usable(wide[:, :3])
    assert not loading.usable(wide.double())
    assert not loading.usable(wide.to("meta"))
    with torch.enable_grad():
        assert not loading.usable(wide)


def test_a_machine_without_numba_fits_and_says_so(smoke, tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('no LLVM here')\n")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from nint_cli.cli import run\n"
        "sys.exit(run(sys.argv[2:]))\n"
    )
    words = [*smoke, "-o", str(tmp_path / "run"), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no LLVM here; PyTorch does its work") == 1
    assert '"numba": null' in done.stdout


def test_the_number_of_threads_stays_and_a_fork_needs_none():
    """A fork has the memory of its parent, but none of its threads."""
    script = (
        "import os, torch; torch.set_num_threads(2); torch.set_grad_enabled(False)\n"
        "from nint_cli.fields.kernels.activations import Activate\n"
        "def sine(): return Activate('sine').value(torch.ones(9, 4), torch.zeros(4))\n"
        "found = sine()\n"
        "assert torch.get_num_threads() == 2\n"
        "child = os.fork()\n"
        "if not child: os._exit(0 if torch.equal(sine(), found) else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
