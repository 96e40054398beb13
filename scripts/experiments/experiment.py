"""What the experiments share: a claim, a comparison that puts it to the test, and a verdict."""

import argparse
import json
import sys
from pathlib import Path

from nint_cli.comparison.page.plots import quality_plot
from nint_cli.comparison.record import Comparison, Summary

sys.path.append(str(Path(__file__).parents[1]))  # what all scripts share
import tables


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


def compare(options: argparse.Namespace, *variants: str) -> Comparison:
    """Run `nint compare image` in the setting of the paper, or go on with it.

    Args:
        options: Of the experiment.
        variants: The options that name them.

    Returns:
        The content of compare.json. An experiment ends where a run fails.
    """
    settings = [f"image.size={options.size}", "metrics.flip=false", "checkpoint.every=null"]
    words = ["--preset=paper", f"--steps={options.steps}", f"--seeds={options.seeds}", *variants]
    words += [f"--set={setting}" for setting in (*settings, *options.set)]
    found = tables.compare("image", [options.source], options.output, *words)
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
