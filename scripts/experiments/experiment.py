"""What the experiments share: a claim, a comparison that puts it to the test, and a verdict."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nint_cli.comparison.page.plots import quality_plot
from nint_cli.comparison.record import Comparison, RunEntry, Summary


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


def compare(options: argparse.Namespace, words: Sequence[str]) -> Comparison:
    """Run `nint compare image` in the setting of the paper, or go on with it.

    Args:
        options: Of the experiment.
        words: Which variants.

    Returns:
        What its compare.json says; a run that fails ends the experiment.
    """
    command = [
        *(sys.executable, "-m", "nint_cli", "compare", "image", options.source),
        *("--preset", "paper", f"--steps={options.steps}", f"--seeds={options.seeds}"),
        *(f"--set=image.size={options.size}", "--set=metrics.flip=false"),
        *("--set=checkpoint.every=null", "-o", str(options.output)),
        *(f"--set={setting}" for setting in options.set),
        *words,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    text = (options.output / "compare.json").read_text("utf-8")
    found = Comparison.model_validate_json(text)
    if options.figure is not None:
        draw(found, options.figure)
    return found


def draw(comparison: Comparison, path: Path) -> None:
    """Draw PSNR against steps, a line for each variant.

    Args:
        comparison: Of one picture.
        path: An SVG file.
    """
    names = [variant.name for variant in comparison.variants]
    svg = quality_plot(comparison.runs, names, "step", "PSNR (dB)", path.stem)
    svg = svg.replace("<svg ", '<svg width="640" style="color:#222;background:#fff" ', 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{svg}\n", encoding="utf-8")


def summary(comparison: Comparison, variant: str) -> Summary:
    """Give what is said of a variant on the only input."""
    return next(each for each in comparison.summaries if each.variant == variant)


def mean_at(comparison: Comparison, variant: str, step: int) -> float:
    """Give a variant's mean figure over seeds after a step that was evaluated.

    Raises:
        ValueError: If a run has no figure there.
    """
    found = []
    for run in runs(comparison, variant):
        at = dict(zip(run.curve.step, run.curve.value, strict=True))
        value = at.get(step)
        if value is None:
            raise ValueError(f"{run.folder} has no figure at step {step}")
        found.append(value)
    return sum(found) / len(found)


def runs(comparison: Comparison, variant: str) -> list[RunEntry]:
    """Give a variant's runs."""
    return [run for run in comparison.runs if run.variant == variant]


def shown(value: float | None) -> str:
    """Write a figure."""
    return "-" if value is None else f"{value:.2f}"


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
