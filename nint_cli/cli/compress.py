"""``nint compress``: a fitted field as a small file."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nint_cli.cli import console
from nint_cli.cli.options import FieldSource, KeptStep, Overwrite, Progress, Quiet
from nint_cli.cli.signals_and_outcome import shown, steered
from nint_cli.errors import ConfigError, InputError
from nint_cli.modalities.table import MODALITIES, label

if TYPE_CHECKING:
    from nint_cli.fitted.compression.search import Compressed
    from nint_cli.fitted.fitted import Fitted
    from nint_cli.modalities.base import Subject
    from nint_cli.runs.control import Control

_BITS = 8


def compress(
    source: FieldSource,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="What to write: photo.nint.")
    ],
    bits: Annotated[
        int | None,
        typer.Option(metavar="N", min=4, max=16, help=f"Of each weight; {_BITS} if not given."),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Take the fewest bits that lose no more; shapes: of IoU."),
    ] = None,
    target_bpp: Annotated[
        float | None,
        typer.Option(
            metavar="B", help="Take the most bits whose file has B bits per pixel at most."
        ),
    ] = None,
    step: KeptStep = None,
    overwrite: Overwrite = False,
    progress: Progress = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Quiet = False,
) -> int:
    """Write a fitted field as a small file, which render, eval, view and export take."""
    console.set_loudness(quiet=quiet, verbose=False)
    _refuse_flags(bits, max_loss, target_bpp)
    from nint_cli.fitted.fitted import open_fitted
    from nint_cli.fitted.output import refuse_existing, write_output

    refuse_existing(output, overwrite=overwrite)
    with steered(progress) as control:
        fitted = open_fitted(source, step, control.note)
        found, told, missed = _compressed(fitted, bits, max_loss, target_bpp, control)
    if missed is not None:
        console.error(f"{missed}; nothing was written")
        return 7
    write_output(output, lambda file: file.write(found.content), overwrite=overwrite)
    _tell(output, told, json=json)
    return 0


def _refuse_flags(bits: int | None, max_loss: float | None, target_bpp: float | None) -> None:
    wanted = {"--bits": bits, "--max-loss": max_loss, "--target-bpp": target_bpp}
    given = [name for name, value in wanted.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: each decides the bits; choose one")
    if max_loss is not None and not (math.isfinite(max_loss) and max_loss >= 0):
        raise ConfigError(f"--max-loss {max_loss}: expected a number of at least 0")
    if target_bpp is not None and not (math.isfinite(target_bpp) and target_bpp > 0):
        raise ConfigError(f"--target-bpp {target_bpp}: expected a number above 0")


def _compressed(
    fitted: "Fitted",
    bits: int | None,
    max_loss: float | None,
    target_bpp: float | None,
    control: "Control",
) -> tuple["Compressed", dict[str, object], str | None]:
    """Return a file, what there is to tell of it, and what it misses if it does."""
    from nint_cli.fitted.compression import search
    from nint_cli.metrics.text import shown as written

    modality = MODALITIES[fitted.signal.kind]
    subject, reason = _input_of(fitted, needed=max_loss is not None)
    points = search.points_of(fitted, subject)
    before = after = missed = None
    if subject is not None:
        before = search.figure_of(subject, fitted.field, control)
    if max_loss is not None and subject is not None and before is not None:
        found, after = search.within_loss(
            fitted, max_loss, before, lambda field: search.figure_of(subject, field, control)
        )
        if after < before - max_loss:
            reached = (
                f"{written(modality.headline, after)} of {written(modality.headline, before)}"
            )
            missed = f"--max-loss {max_loss:g}: {found.bits} bits reach {reached}"
    elif target_bpp is not None:
        if points is None:
            raise InputError(f"--target-bpp counts the input's {modality.size_count}; {reason}")
        found = search.within_size(fitted, target_bpp * points / 8)
        if len(found.content) * 8 > target_bpp * points:
            reached = f"{len(found.content) * 8 / points:.4g} bits per {modality.size_by}"
            missed = f"--target-bpp {target_bpp:g}: {found.bits} bits a weight reach {reached}"
    else:
        found = search.at_bits(fitted, bits or _BITS)
    if subject is not None and after is None and missed is None:
        after = search.figure_of(subject, found.field, control)
    size = len(found.content)
    told: dict[str, object] = {
        "bytes": size,
        "bits": found.bits,
        f"bits_per_{modality.size_by}": points and size * 8 / points,
        "figure": modality.headline,
    }
    return found, told | {"before": before, "after": after, "reason": reason}, missed


def _input_of(fitted: "Fitted", *, needed: bool) -> tuple["Subject | None", str | None]:
    """Read the input of a field; say why there is none where it can be done without."""
    from nint_cli.fitted.compression.search import read_input_plainly

    try:
        return read_input_plainly(fitted), None
    except InputError as error:
        # There is no flag that names another input here; the command that has one is named.
        reason = str(error).partition("; name it with")[0]
        if needed:
            raise InputError(f"--max-loss needs the input: {reason}") from error
        return None, reason


def _tell(path: Path, told: dict[str, object], *, json: bool) -> None:
    """Print where a file is, and how large and how good."""
    if json:
        from json import dumps

        exact = [key for key in ("before", "after") if told[key] == math.inf]
        reason = f"exact: {' and '.join(exact)} infinite" if exact else told["reason"]
        finite = {**told, **dict.fromkeys(exact, None), "reason": reason}
        console.result(dumps({"path": str(path), **finite}, indent=2))
        return
    from nint_cli.metrics.text import shown as written

    size_key = next(key for key in told if key.startswith("bits_per_"))
    rows = [("bytes", f"{told['bytes']:,}"), ("bits of a weight", str(told["bits"]))]
    if told[size_key] is not None:
        rows.append((size_key.replace("_", " "), f"{told[size_key]:.4g}"))
    figure = str(told["figure"])
    for when in ("before", "after"):
        value = told[when]
        text = written(figure, value) if isinstance(value, float) else f"- ({told['reason']})"
        rows.append((f"{label(figure)} {when}", text))
    console.table(str(path), rows)
    console.result(shown(path))
