"""Small fields with random parameters, as if they had been fitted."""

from pathlib import Path
from typing import Any

import torch

from nint_cli.config.schema import RunConfig
from nint_cli.fitted.fitted import Fitted
from nint_cli.modalities.audio.record import AudioRecord
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.sdf.record import SdfRecord
from nint_cli.runs.build import build_field
from nint_cli.signals.record import SignalRecord
from tests.conftest import generator

SMALL: dict[str, dict[str, Any]] = {
    "hashgrid": {"levels": 3, "features": 2, "finest": 20, "log2_entries": 6},
    "pemlp": {"frequencies": 5},
    "ffn": {"frequencies": 7, "sigma": 2.0},
    "gauss": {"scale": 5.0},
    "wire": {"omega_0": 5.0, "scale": 5.0},
}


def fitted_to(signal: SignalRecord, name: str, reading: dict[str, Any], **settings: Any) -> Fitted:
    own = {"hidden_features": 9, "hidden_layers": 2, **SMALL.get(name, {}), **settings}
    config = RunConfig.model_validate({"field": name, name: own, signal.kind: reading})
    field = build_field(
        config, signal.grid, signal.channels, half_range=signal.half_range, generator=generator(4)
    )
    return Fitted(Path("run"), config, signal, field, 7)


def stretched(fitted: Fitted, low: float = -0.2, high: float = 1.2) -> Fitted:
    """Let a field's values fill a range at the points of its grid."""
    from nint_cli.signals.base import GridSignal

    signal = fitted.signal
    grid = GridSignal(torch.empty(signal.population, 0), signal.grid, half_range=signal.half_range)
    with torch.no_grad():
        found = fitted.field(grid.slice(0, len(grid))[0])
        span = (high - low) / (found.amax(0) - found.amin(0))
        shift = low - span * found.amin(0)
        weight, bias = fitted.field.last_layer()
        for parameter in (weight, bias):
            parameter.mul_(span.view(-1, *[1] * (parameter.ndim - 1)))
        (bias[:, 0] if bias.ndim == 2 else bias).add_(shift)
    return fitted


def fitted_image(
    name: str, *, source: str = "photo.png", shape: tuple[int, int] = (14, 20), **settings: Any
) -> Fitted:
    about = {
        key: settings.pop(key)
        for key in ("channels", "dtype", "low", "high", "maximum")
        if key in settings
    }
    about = {"channels": 3, "dtype": "uint8", **about}
    signal = ImageRecord(source=source, sha256="", shape=shape, **about)
    return stretched(fitted_to(signal, name, {}, **settings))


def fitted_sound(name: str, samples: int = 5000, channels: int = 1, **settings: Any) -> Fitted:
    signal = AudioRecord(
        source="speech.wav",
        sha256="",
        channels=channels,
        half_range=5.0,
        samples=samples,
        sample_rate_hz=8000,
        subtype="PCM_16",
        scale=0.5,
        offset=0.25,
    )
    return stretched(fitted_to(signal, name, {}, **settings), -1.0, 1.0)


def fitted_shape() -> Fitted:
    """Something like a ball: a small network that was trained for a moment."""
    signal = SdfRecord(
        source="ball.obj",
        sha256="",
        channels=1,
        points=64,
        shape=(4, 4, 4),
        centre=(0.0, 0.0, 0.0),
        scale=2.0,
    )
    fitted = fitted_to(signal, "siren", {"mc_resolution": 24}, hidden_features=16, omega_0=3.0)
    coords = 2 * torch.rand(2000, 3, generator=generator(5)) - 1
    optimiser = torch.optim.Adam(fitted.field.parameters(), 1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        loss = (fitted.field(coords)[:, 0] - (coords.norm(dim=1) - 0.6)).square().mean()
        loss.backward()
        optimiser.step()
    return fitted
