"""Measure what this machine gives and what nint makes of it; print tables, or JSON.

What is compared is timed in turn, again and again, and medians are divided. Run it on a quiet
machine; all of it takes an hour or more, most of it fits to a target, which are kept in --runs and
not repeated:

    python scripts/bench.py --json runs/bench.json
    python scripts/bench.py --only gemm step sweep scoring
    python scripts/bench.py --only targets --pictures a.png b.png --seeds 3 --jobs 2
    python scripts/bench.py --only size    # a picture of 16384x16384, on request only
    python scripts/bench.py --only floors  # forty fits, on request only

After a change of nint's own code, use another --runs: of a run that is there, only the input's
name and the settings are compared.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import costs
import floors
import processes
import rates
import reading
import size
import target_tables
import targets
import torch

from nint_cli.config.schema import FIELD_NAMES
from nint_cli.device.cpu import keep_freed_memory, processor_name
from nint_cli.runs import environment

PARTS: dict[str, tuple[str, Callable[[argparse.Namespace], Any] | None, Callable[[Any], str]]] = {
    "gemm": ("Matrix products of the field's sizes", None, rates.gemm_table),
    "step": ("Training steps", None, rates.share_table),
    "sweep": ("Sweeps", None, rates.share_table),
    "passes": ("Passes of a step by precision", costs.bench_passes, costs.passes_table),
    "guidance": ("Steps by what guides them", costs.bench_guidance, costs.guidance_table),
    "floors": ("Where bfloat16 ends", floors.bench_floors, floors.floors_table),
    "scoring": ("A NINT scoring pass", costs.bench_scoring, costs.scoring_table),
    "read": ("Reading", reading.bench_read, reading.read_table),
    "startup": ("Starting", processes.bench_startup, processes.startup_table),
    "memory": ("Memory of a scoring pass", processes.bench_memory, processes.memory_table),
    "targets": ("Training time to a target", targets.bench_targets, target_tables.targets_table),
    "size": ("A large picture beside a small one", size.bench_size, size.size_table),
}
"""What can be measured, in the order of the report: a title, how it is measured (None: in turn, by
`bench_rates`), and how it is written."""


_DEFAULT = [name for name in PARTS if name not in {"guidance", "floors", "size"}]


def arguments() -> argparse.ArgumentParser:
    """Make the parser."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=_DEFAULT, metavar="PART",
        help=f"some of: {', '.join(PARTS)}; default: not guidance, floors and size")  # fmt: skip
    add("--format", choices=["table", "json"], default="table", help="what stdout carries")
    add("--json", type=Path, metavar="FILE", help="write the JSON there, after every part")
    add("--rows", type=int, default=1 << 20, help="coordinates to sweep over")
    add("--repeats", type=int, default=5, help="rounds whose median counts")
    add("--gemm-seconds", type=float, default=0.2, help="of one measurement of a product")
    add("--side", type=int, default=size.LARGE_SIDE, help="of the large picture of size")
    add("--growth", type=int, help=argparse.SUPPRESS)
    fits = parser.add_argument_group("fits to a target").add_argument
    fits("--pictures", nargs="+", default=["sample:astronaut"], metavar="PICTURE")
    fits("--seeds", type=int, default=1)
    fits("--size", type=int, default=256, help="longest side in pixels")
    fits("--fields", nargs="+", choices=FIELD_NAMES, default=["siren", "hashgrid"])
    fits("--methods", nargs="+", choices=targets.METHODS, default=list(targets.METHODS))
    fits("--targets", nargs="+", type=float, default=[30.0, 35.0], help="PSNR in dB")
    fits("--cap", type=float, default=600.0, help="seconds of training after which a run ends")
    fits("--caps", nargs="+", type=targets.method_cap, default=[], metavar="METHOD=SECONDS",
        help="other caps for some methods")  # fmt: skip
    fits("--every", type=int, help="steps between evaluations; 10 for paper, 2 for default")
    fits("--steps", type=int, help="instead of the preset's")
    fits("--device", default="cpu")
    fits("--jobs", type=int, default=1, help="fits at once; they share the cores")
    fits("--runs", type=Path, default=Path("runs/bench"), help="where the fits are kept")
    return parser


def machine() -> dict[str, Any]:
    """Describe when and where this is measured."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load_1m_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        **environment.describe(torch.device("cpu")).model_dump(),
    }


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure part by part, in the order of the report; those that share a process at once."""
    wanted = [name for name in PARTS if name in options.only]
    if {"gemm", "step", "sweep"} & set(wanted):
        yield rates.bench_rates(options)
    for name in wanted:
        measured = PARTS[name][1]
        if measured is not None:
            yield {name: measured(options)}


def machine_line(found: dict[str, Any]) -> str:
    """Write when and where it was measured."""
    return (
        f"{found['date'][:10]}, {found['processor']}, {found['cores']} cores, "
        f"{found['threads']} threads, nint {found['nint']}, PyTorch {found['torch']}, Python "
        f"{found['python']}; load before {found['load_1m_before']}. SIREN 5x256 with 264,707 "
        "parameters unless it says otherwise.\n"
    )


def main() -> None:
    """Run what was asked for."""
    options = arguments().parse_args()
    if options.growth:
        print(processes.scoring_growth(options.growth))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that fits end in order, too
    keep_freed_memory()  # as fits do
    report: dict[str, Any] = {"machine": machine(), "arguments": sys.argv[1:]}
    if options.format == "table":
        print(machine_line(report["machine"]), flush=True)
    for found in measure(options):
        report |= found
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if options.format == "table":
            for name, part in found.items():
                title, _, table = PARTS[name]
                print(f"## {title}\n\n{table(part)}", flush=True)
    if options.format == "json":
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
