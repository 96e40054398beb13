"""``nint eval``: measure a finished run again, from its checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from nint_cli.cli import console


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    against: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare with this picture instead of the run's input."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Rebuild the field of a run from its checkpoint alone and measure its quality."""
    from nint_cli.evaluation import evaluate_run

    quality = evaluate_run(run, against, note=console.note)
    if json:
        console.result(quality.model_dump_json(indent=2))
        return 0
    psnr = "exact" if quality.psnr_infinite else f"{quality.psnr_db:.4f} dB"
    ssim = f"{quality.ssim:.6f}" if quality.ssim is not None else f"- ({quality.ssim_reason})"
    console.result(f"PSNR {psnr}\nSSIM {ssim}")
    return 0
