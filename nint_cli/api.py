"""nint from Python: the same fits, without a command line.

Nothing here prints, and the process stays as it was: what a fit sets, it puts back.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.schema import RunConfig
from nint_cli.config.unused import unused
from nint_cli.config.yaml_text import file_layer
from nint_cli.errors import ConfigError, DivergedError, NintError, did_you_mean
from nint_cli.fields.base import Field
from nint_cli.fitted.export.table import FORMATS
from nint_cli.fitted.fitted import open_fitted
from nint_cli.fitted.rendering import planned
from nint_cli.fitted.start import field_layer, open_start
from nint_cli.metrics.schema import RunMetrics
from nint_cli.metrics.text import divergence
from nint_cli.modalities.base import unwatched
from nint_cli.modalities.render_request import RenderRequest
from nint_cli.modalities.table import metrics_document, modality
from nint_cli.runs import checkpoint
from nint_cli.runs.control import Control
from nint_cli.runs.fit import Outcome
from nint_cli.runs.folder import METRICS
from nint_cli.runs.opening import newest, open_run
from nint_cli.runs.request import fit_input, wish
from nint_cli.runs.resume import resume as resume_run

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from PIL.Image import Image


@dataclass(frozen=True)
class Run:
    """A run on disk.

    Attributes:
        path: Its folder.
    """

    path: Path

    @property
    def metrics(self) -> RunMetrics:
        """What its metrics.json says.

        Raises:
            NintError: If the run has none, because it was killed or is still going on.
        """
        try:
            return metrics_document().validate_python(open_run(self.path).metrics())
        except ValueError as error:
            raise NintError(
                f"'{self.path}' has no sound {METRICS}: the run did not end; go on with "
                "nint resume"
            ) from error

    @cached_property
    def _saved(self) -> checkpoint.Checkpoint:
        return newest(open_run(self.path))[0]

    @property
    def config(self) -> RunConfig:
        """Its settings, from the newest checkpoint."""
        return self._saved.config

    @cached_property
    def field(self) -> Field:
        """Its network, from the newest checkpoint, on the CPU; coords (B, D) to values (B, C)."""
        return checkpoint.rebuild_field(self._saved)

    def reconstruction(self) -> object:
        """Evaluate its network on its own grid.

        Returns:
            For a picture (H, W, C) pixels in the input's own type; for a sound its waveform
            (T, C) in float64, full scale 1, not clipped; for a shape its mesh.
        """
        saved = self._saved
        kind = saved.signal.kind
        return modality(kind).rebuild(saved.signal, saved.config.section(kind), self.field)

    def render(
        self,
        *,
        size: tuple[int, int] | None = None,
        scale: float | None = None,
        crop: tuple[float, float, float, float] | None = None,
        rate: int | None = None,
        resolution: int | None = None,
    ) -> Any:  # noqa: ANN401 (an array or a mesh, by the modality)
        """Evaluate its network, of the newest checkpoint, at any size, rate or resolution.

        Args:
            size: Of a picture: width and height in pixels of the whole.
            scale: Of a picture: factor on the input's width and height, in place of `size`.
            crop: Of a picture: x, y, width and height of a part, in pixels of the input.
            rate: Of a sound: samples per second.
            resolution: Of a shape: points along each edge of its box.

        Returns:
            For a picture (H, W, C) pixels in the input's own type; for a sound its waveform
            (T, C) in float64, full scale 1, not clipped; for a shape its vertices (V, 3), in the
            input's units, and its faces (F, 3). With no argument, what `reconstruction` holds.
            A `ConfigError` is raised for what its modality has not, or cannot be had.
        """
        request = RenderRequest(
            size=size, scale=scale, crop=crop, rate=rate, resolution=resolution
        )
        return planned(open_fitted(self.path), None, request).values(unwatched)

    def export(
        self, path: str | PathLike[str], *, format: str = "safetensors", overwrite: bool = False
    ) -> None:
        """Write its network, of the newest checkpoint, in a format that other programs read.

        Args:
            path: The file, or the folder for ``numpy``.
            format: One of `nint export --format`, such as ``onnx``.
            overwrite: Replace an earlier one.

        Raises:
            ConfigError: If there is no such format, or its package is missing.
        """
        if format not in FORMATS:
            raise ConfigError(
                f"no format '{format}'{did_you_mean(format, FORMATS)}; there are "
                f"{', '.join(FORMATS)}"
            )
        chosen, target = FORMATS[format], Path(path)
        chosen.refuse(target, overwrite=overwrite)
        chosen.write(open_fitted(self.path), target, _warn, overwrite=overwrite)


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=5)


def fit(
    source: "str | PathLike[str] | ArrayLike | Image",
    *,
    modality: str = "image",
    range: Literal["type", "data"] | None = None,
    preset: str = "default",
    config: str | PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    output: str | PathLike[str] | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    continue_existing: bool = False,
    start_from: "str | PathLike[str] | Run | None" = None,
    control: Control | None = None,
) -> Run:
    """Fit a field to a signal.

    Args:
        source: A file, or ``sample:NAME``; or, as a picture, an array of (H, W) or (H, W, C)
            numbers, or one of Pillow's pictures. The run folder keeps these as ``input.npy``.
        modality: What it is: ``image``, ``audio`` or ``sdf``.
        range: Of a picture's values, what is fitted as 0 to 1 and judged by: ``type`` or
            ``data``; see the setting image.range. None leaves that to the settings.
        preset: Shipped settings.
        config: A YAML file over them.
        settings: Settings by dotted key over both, such as
            ``{"steps": 100, "siren.hidden_features": 128}``.
            One that has no effect is a Python warning that says what would make it count.
        output: The run folder; None chooses ``runs/<input>/<sampler>``.
        overwrite: Replace a run that is there.
        skip_existing: Keep it instead, if it is done and the same.
        continue_existing: Keep it or go on with it, if it is the same. One of these three.
        start_from: A run, one of its checkpoints or an exported file whose weights to begin with,
            and whose field to take; None begins with random ones.
        control: Watches and steers the run; None leaves it to itself.

    Returns:
        The finished run. Raises a `NintError` where the command line would exit with its code,
        after a divergence without rescue too; `load_run` then gives the last good state.
    """
    layers = [preset_layer(preset, modality)]
    if config is not None:
        layers.append(file_layer(Path(config)).of_today())
    own = {key: Setting(value, "settings") for key, value in (settings or {}).items()}
    if range is not None:
        own["image.range"] = Setting(range, "range")
    layers.append(Layer(own))
    start = None
    if start_from is not None:
        path = start_from.path if isinstance(start_from, Run) else Path(start_from)
        start = open_start(path, modality, lambda line: warnings.warn(line, stacklevel=4))
        layers.append(field_layer(start, layers[1:]))
    resolved = resolve(layers, modality)
    passed_over = [note for layer in layers for note in layer.notes]
    for line in (*passed_over, *unused(resolved, modality).values()):
        warnings.warn(line, stacklevel=2)
    outcome = fit_input(
        modality,
        _named(source, modality),
        resolved,
        None if output is None else Path(output),
        existing=wish(
            overwrite=overwrite,
            skip_existing=skip_existing,
            continue_existing=continue_existing,
        ),
        control=control,
        start=start,
    )
    return _finished(outcome)


def _named(source: "str | PathLike[str] | ArrayLike | Image", modality: str) -> str:
    """Return the name of an input; that of an array carries the array with it."""
    if isinstance(source, str | PathLike):
        return fspath(source)
    if modality != "image":
        raise ConfigError(f"arrays can be fitted as pictures; name a file for {modality}")
    from nint_cli.modalities.image.files import held_picture

    return held_picture(source)


def resume(
    path: str | PathLike[str],
    *,
    steps: int | None = None,
    time_budget_s: float | None = None,
    source: str | PathLike[str] | None = None,
    control: Control | None = None,
) -> Run:
    """Go on with a run in its own folder; see `runs.resume`.

    Args:
        path: The run folder.
        steps: A new number of steps, where no schedule depends on it.
        time_budget_s: A new budget of training time, earlier parts included.
        source: Where its input is now; None if it is where it was.
        control: Watches and steers the run.

    Returns:
        The run.
    """
    outcome = resume_run(
        Path(path),
        steps=steps,
        time_budget_s=time_budget_s,
        source=None if source is None else fspath(source),
        control=control,
    )
    return _finished(outcome)


def _finished(outcome: Outcome) -> Run:
    metrics = outcome.metrics
    if metrics is not None and metrics.status == "diverged":
        raise DivergedError(
            f"{divergence(metrics)}; what is in '{outcome.path}' is the last good state; try a "
            "smaller optimiser.lr"
        )
    return Run(outcome.path)


def load_run(path: str | PathLike[str]) -> Run:
    """Open a run that was made before.

    Args:
        path: The run folder; an InputError is raised where there is none.

    Returns:
        The run.
    """
    return Run(open_run(Path(path)).path)
