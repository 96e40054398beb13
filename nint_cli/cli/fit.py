"""``nint fit``: fit a field to a signal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nint_cli.cli import console
from nint_cli.cli.inputs import expanded
from nint_cli.cli.options import FitOptions, assembled, flag_parameter, sources_parameter
from nint_cli.cli.settings import commented, resolve_layers, tell_unused
from nint_cli.cli.signals_and_outcome import seconds, shown, steered, tell
from nint_cli.errors import ConfigError
from nint_cli.modalities.modality import Flag, Modality
from nint_cli.modalities.table import MODALITIES
from nint_cli.signals.elsewhere import STDIN

if TYPE_CHECKING:
    from nint_cli.config.layers import Resolved
    from nint_cli.runs.request import Existing
    from nint_cli.runs.start import Start

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


def _command(kind: Modality) -> Callable[..., int]:
    """Make the command that fits inputs of a modality."""

    def fit(sources: list[str], options: FitOptions, **given: Any) -> int:  # noqa: ANN401
        own = {
            flag.key: (flag.name, _value(flag, given[flag.parameter]))
            for flag in kind.flags
            if flag.key is not None
        }
        demands = {
            flag.parameter: bool(given[flag.parameter]) for flag in kind.flags if flag.key is None
        }
        return _FitCommand(kind, sources, options, own, demands).run()

    parameters = [sources_parameter(kind, kind.inputs), *map(flag_parameter, kind.flags)]
    return assembled(fit, f"fit_{kind.name}", kind.summary, parameters, FitOptions)


def _value(flag: Flag, given: Any) -> object:  # noqa: ANN401 (as the flag says)
    return seconds(given, flag.name) if flag.kind == "seconds" else given


for _each in MODALITIES.values():
    fit_app.command(_each.name)(_command(_each))


@dataclass(frozen=True)
class _FitCommand:
    """A call of `nint fit`.

    Attributes:
        modality: What is fitted.
        sources: The inputs.
        options: What all modalities share.
        own: The modality's flags that set settings.
        demands: Those that set attributes of `Control`.
    """

    modality: Modality
    sources: list[str]
    options: FitOptions
    own: Flags
    demands: Mapping[str, bool]

    def run(self) -> int:
        """Do what was asked for; give the exit code."""
        options = self.options
        console.set_loudness(quiet=options.quiet, verbose=options.verbose)
        flags = self._flags()
        start = self._start()
        resolved = resolve_layers(
            self.modality.name,
            options.preset,
            options.config or [],
            options.set_ or [],
            flags,
            start,
        )
        if options.require_target and not resolved.config.stop.targets():
            target, _ = self.own[f"stop.target_{self.modality.headline}"]
            raise ConfigError(f"--require-target: there is no target; add {target}")
        self._existing()  # before any work
        tell_unused(resolved, self.modality.name)
        if options.print_config:
            console.result(commented(resolved))
            return 0
        sources, many = expanded(self.modality, self.sources)
        if STDIN in sources and options.jobs > 1:
            raise ConfigError(
                "'-' is standard input, which one fit alone can read; leave out --jobs"
            )
        many |= len(sources) > 1
        if many:
            return self._fit_many(sources, resolved, start)
        return self._fit_one(sources[0], resolved, start)

    def _start(self) -> "Start | None":
        """Open the field of --from, if it was given."""
        if self.options.from_ is None:
            return None
        from nint_cli.fitted.start import open_start

        return open_start(self.options.from_, self.modality.name, console.note)

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
            "evaluation.final": ("--final", options.final),
            "holdout": ("--holdout", options.holdout),
            "batch.fraction": ("--batch-fraction", options.batch_fraction),
            "optimiser.lr": ("--lr", options.lr),
            "seed": ("--seed", options.seed),
            "device": ("--device", options.device),
            "engine.precision": ("--precision", options.precision),
        }

    def _existing(self) -> "Existing":
        from nint_cli.runs.request import wish

        options = self.options
        return wish(
            overwrite=options.overwrite,
            skip_existing=options.skip_existing,
            continue_existing=options.continue_,
        )

    def _fit_one(self, source: str, resolved: "Resolved", start: "Start | None") -> int:
        from nint_cli.runs.request import fit_input

        options = self.options
        with steered(self._progress, self._demands) as control:
            outcome = fit_input(
                self.modality.name,
                source,
                resolved,
                options.output,
                existing=self._existing(),
                control=control,
                start=start,
            )
        code = tell(outcome, f"nint fit {self.modality.name}")
        console.result(metrics_document(outcome.path) if options.json else shown(outcome.path))
        return code

    def _fit_many(self, sources: list[str], resolved: "Resolved", start: "Start | None") -> int:
        from nint_cli.cli.batch import Batch

        options = self.options
        return Batch(
            self.modality.name,
            sources,
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
                *([] if options.from_ is None else [f"--from={options.from_}"]),
            ],
            existing=self._existing(),
            options=["--verbose"] if options.verbose else [],
            demands=self._demands,
            progress=self._progress,
            start=start,
        ).run(jobs=options.jobs, fail_fast=options.fail_fast, json=options.json)

    @property
    def _demands(self) -> dict[str, bool]:
        return {"require_target": self.options.require_target, **self.demands}

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
