"""What the experiments share: a claim, a comparison that puts it to the test, and a verdict."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nint_cli.comparison.page.plots import quality_plot
from nint_cli.comparison.record import Comparison, Spread, Summary


def arguments(
    doc: str | None, name: str, *, size: int, steps: int, seeds: int = 1
) -> argparse.ArgumentParser:
    """Make the parser of an experiment, with what all of them can be scaled by.

    Args:
        doc: Of its module.
        name: Of its folder.
        size: Longest side of the picture.
        steps: Of each run.
        seeds: How many.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", default="sample:astronaut", metavar="PICTURE")
    parser.add_argument("--size", type=int, default=size, help=f"longest side, {size}")
    parser.add_argument("--steps", type=int, default=steps, help=f"of each run, {steps}")
    parser.add_argument("--seeds", type=int, default=seeds, help=f"{seeds}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--figure", type=Path, metavar="SVG", help="draw PSNR against steps there")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/experiments") / name)
    return parser


def compare(options: argparse.Namespace, *words: str) -> Comparison:
    """Run `nint compare image` in the setting of the paper, or go on with it.

    Args:
        options: Of the experiment.
        words: Which variants.

    Returns:
        The content of compare.json. An experiment ends where a run fails.
    """
    settings = [f"image.size={options.size}", "metrics.flip=false", "checkpoint.every=null"]
    command = [
        *(sys.executable, "-m", "nint_cli", "compare", "image", options.source),
        *("--preset", "paper", f"--steps={options.steps}", f"--seeds={options.seeds}"),
        *("-o", str(options.output), *words),
        *(f"--set={setting}" for setting in (*settings, *options.set)),
    ]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    found = Comparison.model_validate_json((options.output / "compare.json").read_bytes())
    if options.figure is not None:
        names = [variant.name for variant in found.variants]
        svg = quality_plot(found.runs, names, "step", "PSNR (dB)", options.figure.stem)
        svg = svg.replace("<svg ", '<svg width="640" style="color:#222;background:#fff" ', 1)
        options.figure.parent.mkdir(parents=True, exist_ok=True)
        options.figure.write_text(f"{svg}\n", encoding="utf-8")
    return found


def summary(comparison: Comparison, variant: str) -> Summary:
    """Return the summary of a variant on the only input."""
    return next(each for each in comparison.summaries if each.variant == variant)


def psnr(comparison: Comparison, variant: str) -> float:
    """Return the mean PSNR of a variant at the end; 0 where it has none."""
    return summary(comparison, variant).value.mean or 0.0


def mean(spread: Spread, digits: int) -> str:
    """Write the mean of a figure over runs."""
    return "-" if spread.mean is None else f"{spread.mean:.{digits}f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table, its first column to the left and the others to the right."""
    lines = [" | ".join(header), " | ".join(["---", *["---:"] * (len(header) - 1)])]
    lines += [" | ".join(row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def tell(
    options: argparse.Namespace, *, claim: str, setting: str, table: str, held: bool, says: str
) -> None:
    """Print an experiment's section and keep it, with the verdict, in its folder.

    Args:
        options: Of the experiment.
        claim: What was to be tested, and by which criterion.
        setting: What was run.
        table: Markdown.
        held: Whether the criterion was met.
        says: What the numbers say besides.
    """
    verdict = "The claim held here." if held else "The claim did not hold here."
    text = f"Claim: {claim}\n\nSetting: {setting}\n\n{table}\n**{verdict}** {says}\n"
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "section.md").write_text(text, encoding="utf-8")
    document = {"held": held, "says": says, "arguments": sys.argv[1:]}
    (options.output / "verdict.json").write_text(json.dumps(document, indent=2) + "\n")
    sys.stdout.write(text)
