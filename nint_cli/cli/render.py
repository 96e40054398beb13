"""``nint render``: a fitted field as a picture, a sound or a mesh."""

import math
import re
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nint_cli.cli import console
from nint_cli.cli.options import FieldSource, KeptStep, OutputFile, Overwrite, Progress
from nint_cli.cli.signals_and_outcome import shown, steered
from nint_cli.errors import ConfigError

if TYPE_CHECKING:
    from nint_cli.signals.record import SignalRecord


def render(
    source: FieldSource,
    output: OutputFile,
    step: KeptStep = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Pictures and views: pixels of the whole.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(metavar="S", help="Pictures: times the input's size.")
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Pictures: a part, in input pixels or in %."),
    ] = None,
    supersample: Annotated[
        int | None,
        typer.Option(metavar="K", min=1, max=16, help="Pictures: mean of K x K points a pixel."),
    ] = None,
    bits: Annotated[
        Literal["8", "16"] | None, typer.Option(metavar="N", help="Pictures: 8 or 16.")
    ] = None,
    rate: Annotated[
        int | None, typer.Option(metavar="HZ", min=1, help="Sounds: samples per second.")
    ] = None,
    start: Annotated[
        float | None, typer.Option(metavar="S", help="Sounds: from this second of the input.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(metavar="S", help="Sounds: so many seconds of the input.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(metavar="F", help="Sounds: play F times as fast; pitch changes as much."),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(metavar="R", help="Shapes: points along an edge of the box.")
    ] = None,
    view: Annotated[
        str | None,
        typer.Option(metavar="AZ,EL", help="Shapes: a shaded PNG from there, in degrees."),
    ] = None,
    overwrite: Overwrite = False,
    progress: Progress = "auto",
) -> int:
    """Render a fitted field at any size, rate or resolution."""
    _refuse_numbers({"scale": scale, "duration": duration, "speed": speed}, {"start": start})
    from nint_cli.fitted.fitted import open_fitted
    from nint_cli.fitted.output import refuse_existing
    from nint_cli.fitted.rendering import render as render_file
    from nint_cli.modalities.render_request import RenderRequest

    refuse_existing(output, overwrite=overwrite)
    with steered(progress) as control:
        fitted = open_fitted(source, step, control.note)
        request = RenderRequest(
            size=None if size is None else _size(size),
            scale=scale,
            crop=None if crop is None else _crop(crop, fitted.signal),
            supersample=supersample,
            bits=None if bits is None else int(bits),
            rate=rate,
            start=start,
            duration=duration,
            speed=speed,
            resolution=resolution,
            view=None if view is None else _view(view),
        )
        render_file(fitted, output, request, control, overwrite=overwrite)
    console.result(shown(output))
    return 0


def _refuse_numbers(
    positive: dict[str, float | None], not_negative: dict[str, float | None]
) -> None:
    for name, value in {**positive, **not_negative}.items():
        if value is None or (math.isfinite(value) and value > 0):
            continue
        if value != 0 or name in positive:
            raise ConfigError(f"--{name} {value}: expected a number above 0")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,7})[xX](\d{1,7})", text)
    if match is None:
        raise ConfigError(f"--size {text}: expected WxH, such as 1920x1080")
    return int(match[1]), int(match[2])


def _view(text: str) -> tuple[float, float]:
    number = r"\s*(-?\d{1,3}(?:\.\d{1,6})?)\s*"
    match = re.fullmatch(f"{number},{number}", text)
    if match is None or abs(float(match[2])) > 90:
        raise ConfigError(
            f"--view {text}: expected AZIMUTH,ELEVATION in degrees, such as 32,24; the elevation "
            "is -90 to 90"
        )
    return float(match[1]), float(match[2])


def _crop(text: str, signal: "SignalRecord") -> tuple[float, float, float, float]:
    """Read a crop in pixels of the input; shares with % are of its sides."""
    words = text.split(",")
    number = r"\s*(\d{1,9}(?:\.\d{1,9})?)(%?)\s*"
    found = [re.fullmatch(number, word) for word in words]
    if len(found) != 4 or None in found:
        raise ConfigError(f"--crop {text}: expected X,Y,W,H in pixels or with %, as 25%,0,50%,50%")
    sides = (*signal.grid[1::-1], *signal.grid[1::-1]) if len(signal.grid) == 2 else (1, 1, 1, 1)
    x, y, width, height = (
        float(match[1]) * (side / 100 if match[2] else 1)
        for match, side in zip(found, sides, strict=True)
        if match is not None
    )
    return x, y, width, height
