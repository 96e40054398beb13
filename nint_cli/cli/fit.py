"""``nint fit``: fit a field to a signal."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nint_cli.cli import completion, console
from nint_cli.cli.options import FitOptions, with_options
from nint_cli.cli.settings import commented, resolve_layers
from nint_cli.cli.signals_and_outcome import seconds, shown, steered, tell
from nint_cli.errors import ConfigError

if TYPE_CHECKING:
    from nint_cli.config.layers import Resolved

fit_app = typer.Typer(
    help="Fit a field to a signal.", invoke_without_command=True, rich_markup_mode=None
)

Flags = dict[str, tuple[str, object]]
"""Named flags by the dotted key that they set: the flag and its value, None if not given."""


@fit_app.callback()
def _fit(context: typer.Context) -> None:
    """Fit a field to a signal."""
    if context.invoked_subcommand is None:
        console.result(context.get_help())


@fit_app.command("image")
@with_options(FitOptions)
def fit_image(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="PNG, JPEG, TIFF, BMP or WebP files, or sample:NAME for a built-in picture "
            "(sample:astronaut, sample:camera, sample:coffee, ...).",
            autocompletion=completion.pictures,
        ),
    ],
    options: FitOptions,
    target_psnr: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Stop when an evaluation reaches that PSNR in dB."),
    ] = None,
) -> int:
    """Fit a field to each picture and write its run folder; the path goes to stdout."""
    flags: Flags = {"stop.target_psnr_db": ("--target-psnr", target_psnr)}
    return _FitCommand("image", sources, options, flags).run()


@fit_app.command("audio")
@with_options(FitOptions)
def fit_audio(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="WAV, FLAC, OGG or MP3 files, or sample:NAME for a built-in sound "
            "(sample:chirp, sample:chord).",
            autocompletion=completion.sounds,
        ),
    ],
    options: FitOptions,
    start: Annotated[str | None, typer.Option(metavar="T", help="Begin there: 1.5s, 2m.")] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="T", help="Take that much at most.")
    ] = None,
    mono: Annotated[
        bool | None, typer.Option("--mono/--no-mono", help="Mix all channels into one, or not.")
    ] = None,
    target_si_snr: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Stop when an evaluation reaches that SI-SNR in dB."),
    ] = None,
    target_psnr: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Stop when an evaluation reaches that PSNR in dB."),
    ] = None,
) -> int:
    """Fit a field to each sound and write its run folder; the path goes to stdout."""
    flags: Flags = {
        "audio.start_s": ("--start", seconds(start, "--start")),
        "audio.duration_s": ("--duration", seconds(duration, "--duration")),
        "audio.mono": ("--mono", mono),
        "stop.target_si_snr_db": ("--target-si-snr", target_si_snr),
        "stop.target_psnr_db": ("--target-psnr", target_psnr),
    }
    return _FitCommand("audio", sources, options, flags).run()


@fit_app.command("sdf")
@with_options(FitOptions)
def fit_sdf(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="OBJ, PLY, STL, OFF, GLB or 3MF files, or sample:NAME for a built-in shape "
            "(sample:torus, sample:knot, sample:gear).",
            autocompletion=completion.shapes,
        ),
    ],
    options: FitOptions,
    mc_resolution: Annotated[
        int | None,
        typer.Option(metavar="N", help="Grid points along each edge for the reconstructed mesh."),
    ] = None,
    require_watertight: Annotated[
        bool | None,
        typer.Option(
            "--require-watertight/--allow-holes", help="Refuse meshes with holes, or not."
        ),
    ] = None,
    require_mesh: Annotated[
        bool,
        typer.Option("--require-mesh", help="Exit with code 5 if the fit has no surface."),
    ] = False,
    target_iou: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Stop when an evaluation reaches that IoU."),
    ] = None,
) -> int:
    """Fit a field to the signed distance of each shape and write its run folder."""
    flags: Flags = {
        "sdf.mc_resolution": ("--mc-resolution", mc_resolution),
        "sdf.require_watertight": ("--require-watertight", require_watertight),
        "stop.target_iou": ("--target-iou", target_iou),
    }
    return _FitCommand("sdf", sources, options, flags, require_mesh=require_mesh).run()


@dataclass(frozen=True)
class _FitCommand:
    """A call of `nint fit`.

    Attributes:
        modality: What is fitted.
        sources: The inputs.
        options: What all modalities share.
        own: The flags of the modality; those that set a target are named ``--target-...``.
        require_mesh: Whether a shape without a surface is an error.
    """

    modality: str
    sources: list[str]
    options: FitOptions
    own: Flags
    require_mesh: bool = False

    def run(self) -> int:
        """Do what was asked for; give the exit code."""
        options = self.options
        console.set_loudness(quiet=options.quiet, verbose=options.verbose)
        flags = self._flags()
        resolved = resolve_layers(
            self.modality, options.preset, options.config or [], options.set_ or [], flags
        )
        if options.require_target and not resolved.config.stop.targets():
            target = next(flag for flag, _ in self.own.values() if flag.startswith("--target"))
            raise ConfigError(f"--require-target: there is no target; add {target}")
        if options.overwrite and options.skip_existing:
            raise ConfigError("--skip-existing keeps what --overwrite replaces; give one of them")
        if options.print_config:
            console.result(commented(resolved))
            return 0
        return self._fit_many(resolved) if len(self.sources) > 1 else self._fit_one(resolved)

    def _flags(self) -> Flags:
        options = self.options
        return {
            **self.own,
            "sampler": ("--sampler", options.sampler),
            "field": ("--field", options.field),
            "steps": ("--steps", options.steps),
            "stop.time_budget_s": (
                "--time-budget",
                seconds(options.time_budget, "--time-budget"),
            ),
            "batch.fraction": ("--batch-fraction", options.batch_fraction),
            "optimiser.lr": ("--lr", options.lr),
            "seed": ("--seed", options.seed),
            "device": ("--device", options.device),
            "engine.precision": ("--precision", options.precision),
        }

    def _fit_one(self, resolved: "Resolved") -> int:
        from nint_cli.runs.fit import fit_input

        options = self.options
        with steered(
            self._progress, require_target=options.require_target, require_mesh=self.require_mesh
        ) as control:
            outcome = fit_input(
                self.modality,
                self.sources[0],
                resolved,
                options.output,
                overwrite=options.overwrite,
                skip_existing=options.skip_existing,
                control=control,
            )
        code = tell(outcome, f"nint fit {self.modality}")
        console.result(metrics_document(outcome.path) if options.json else shown(outcome.path))
        return code

    def _fit_many(self, resolved: "Resolved") -> int:
        from nint_cli.cli.batch import Batch

        options = self.options
        return Batch(
            self.modality,
            self.sources,
            resolved,
            root=options.output,
            settings=[
                f"--preset={options.preset}",
                *(f"--config={path}" for path in options.config or []),
                *(f"--set={text}" for text in options.set_ or []),
                # As settings, for a flag that is off has another name than one that is on.
                *(
                    f"--set={key}={str(value).lower()}"
                    if isinstance(value, bool)
                    else f"{flag}={value}"
                    for key, (flag, value) in self._flags().items()
                    if value is not None
                ),
            ],
            options=[
                *(["--overwrite"] if options.overwrite else []),
                *(["--skip-existing"] if options.skip_existing else []),
                *(["--require-target"] if options.require_target else []),
                *(["--require-mesh"] if self.require_mesh else []),
                *(["--verbose"] if options.verbose else []),
            ],
            progress=self._progress,
        ).run(jobs=options.jobs, fail_fast=options.fail_fast, json=options.json)

    @property
    def _progress(self) -> str:
        return "never" if self.options.quiet else self.options.progress


def metrics_document(path: Path) -> str:
    """Give a run's metrics.json for stdout.

    Args:
        path: The run folder.

    Returns:
        A JSON document.
    """
    import json

    from nint_cli.runs.folder import RunFolder

    return json.dumps(RunFolder(path).metrics(), indent=2)
