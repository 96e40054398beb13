"""One thread, a seeded global RNG that no test may lean on, and things many tests need."""

import io
import signal
import threading
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nint_cli import cli
from nint_cli.cli import console
from nint_cli.cli.processes import Ended, Processes
from nint_cli.fields.siren import Siren
from nint_cli.modalities.audio.signal import Sound
from nint_cli.signals.base import GridSignal, Signal
from nint_cli.signals.points import PointSignal

# Under nohup, or behind a shell's &, what the tests start would ignore them.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_thread_and_own_rng():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no GPU")


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path, monkeypatch):
    """Let no test leave a `runs` folder behind, or depend on the environment's CI."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NINT_DEBUG", raising=False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny_field(
    channels: int = 3, dtype: torch.dtype = torch.float64, dims: int = 2, width: int = 7
) -> Siren:
    """A SIREN small enough for its dense NTK."""
    field = Siren(
        dims, channels, hidden_features=width, hidden_layers=2, omega_0=5.0, generator=generator(1)
    )
    return field.to(dtype)


def tiny_signal(
    shape: tuple[int, ...] = (5, 6), channels: int = 3, dtype: torch.dtype = torch.float64
) -> GridSignal:
    count = int(np.prod(shape))
    stored = torch.randint(0, 256, (count, channels), generator=generator(2), dtype=torch.uint8)
    return GridSignal(stored, shape, scale=255.0, dtype=dtype)


def tiny_sound(
    samples: int = 30,
    channels: int = 2,
    *,
    half_range: float = 5.0,
    value_range: str = "unit",
    dtype: torch.dtype = torch.float64,
) -> GridSignal:
    """A sound as a run trains on it: one axis, values with an offset, coords beyond 1."""
    phase = np.arange(samples)[:, None] * 0.4 * (1 + np.arange(channels))
    levels = np.round(20_000 * np.sin(phase)).astype(np.int16)
    sound = Sound(levels, 16_000, "PCM_16", "")
    signal = sound.signal(scaling=sound.scaling(value_range), half_range=half_range)
    return signal.to(dtype=dtype)


def tiny_points(
    count: int = 37, dtype: torch.dtype = torch.float64, half_range: float = 1.0
) -> PointSignal:
    """Distances to a sphere at points anywhere."""
    coords = 2 * torch.rand(count, 3, generator=generator(3), dtype=torch.float64) - 1
    values = coords.norm(dim=1, keepdim=True) - 0.7
    return PointSignal(coords.to(dtype), values.to(dtype), half_range=half_range)


class Waves(Signal):
    """A long sound of a slow sine under a faster one, of which no sample is kept."""

    value_dim = 1
    on_grid = True

    def __init__(self, samples: int, dtype: torch.dtype = torch.float64) -> None:
        self.grid = GridSignal(torch.empty(samples, 0, dtype=torch.uint8), (samples,), dtype=dtype)
        self.shape = self.grid.shape

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def at(self, indices):
        coords, _ = self.grid.at(indices)
        phase = 6 * indices.double() / len(self)
        values = 0.5 * torch.sin(phase) + 0.2 * torch.sin(9 * phase)
        return coords, values[:, None].to(self.grid.dtype)

    def slice(self, start, stop):
        return self.at(torch.arange(start, stop))


def smooth_pixels(height: int = 24, width: int = 32, channels: int = 3, bits: int = 8):
    """A picture that a small network can learn, different along both axes and channels."""
    rows = np.linspace(0, 1, height)[:, None, None]
    columns = np.linspace(0, 1, width)[None, :, None]
    phase = np.arange(channels)[None, None]
    values = 0.5 + 0.25 * np.sin(5 * rows + phase) + 0.2 * np.cos(7 * columns * (1 + phase / 4))
    maximum = 2**bits - 1
    return (values * maximum).round().astype(np.uint8 if bits == 8 else np.uint16)


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(smooth_pixels()).save(path)
    return path


@pytest.fixture
def smoke(picture) -> list[str]:
    """Arguments of a fit that takes a fraction of a second."""
    return ["fit", "image", str(picture), "--preset", "smoke", "--progress", "never"]


_run_apart = Processes.run


def fit_within(
    children: Processes, words: list[str], variables: dict[str, str] | None = None
) -> Ended:
    """Stands in for `Processes.run`: in this process, which spares the start of another.

    Where several are to run at once they do, apart.
    """
    if threading.current_thread() is not threading.main_thread():
        return _run_apart(children, words, variables)
    said = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        code = cli.run(list(words))
    console.set_loudness(quiet=False, verbose=False)
    return Ended(code, said.getvalue().splitlines())


@pytest.fixture
def fits_within(monkeypatch):
    """Let what would be a process of its own run in this one."""
    monkeypatch.setattr(Processes, "run", fit_within)
