"""What was compared: the variants, the learning rates they were given, and every run."""

from nint_cli.comparison.page.numbers import (
    NOTHING,
    Cell,
    Key,
    Table,
    amount,
    count,
    measure,
    words,
)
from nint_cli.comparison.page.plots import style
from nint_cli.comparison.record import Comparison, RunEntry
from nint_cli.modalities.table import label

_NAMES = {
    "psnr_db": "PSNR", "ssim": "SSIM", "lpips": "LPIPS", "flip": "FLIP", "mse": "MSE",
    "si_snr_db": "SI-SNR", "snr_db": "SNR", "lsd_db": "LSD", "stoi": "STOI", "pesq": "PESQ",
    "iou": "IoU", "f_score": "F-score", "chamfer_l1": "Chamfer L1",
    "chamfer_squared": "Chamfer squared", "normal_consistency": "normal consistency",
    "sdf_error": "SDF error",
}  # fmt: skip


def key(comparison: Comparison, variant: str) -> Key:
    """Find the line that a variant has in plots."""
    index = [each.name for each in comparison.variants].index(variant)
    colour, dashes = style(index)
    return Key(variant, colour, "solid" if not dashes else "dotted" if dashes[0] < 2 else "dashed")


def variant_table(comparison: Comparison) -> Table:
    """Say what each variant is: sampler, field, learning rate, and in what else it differs."""
    rows = []
    for number, each in enumerate(comparison.variants):
        others = [
            f"{name}={value}"
            for name, value in each.settings.items()
            if name not in {"sampler", "field", "optimiser.lr"}
        ]
        cells = [
            words(each.sampler),
            words(each.field),
            amount(each.lr, f"/variants/{number}/lr", "g"),
            words(", ".join(others), "text long") if others else NOTHING,
        ]
        rows.append((key(comparison, each.name), cells))
    header = ["variant", "sampler", "field", "optimiser.lr", "differs in"]
    return Table(header, rows, caption="The variants", name="The variants")


def tuning(comparison: Comparison) -> Table | None:
    """Say which learning rates were tried, where each variant chose its own."""
    if not comparison.tuned:
        return None
    headline = comparison.headline
    rows = []
    for number, variant in enumerate(comparison.variants):
        for index, trial in enumerate(variant.tuning):
            path = f"/variants/{number}/tuning/{index}"
            cells = [
                amount(trial.lr, f"{path}/lr", "g"),
                Cell(count(trial.seed, f"{path}/seed")),
                measure(headline, trial.value, f"{path}/value"),
                words(trial.status),
                Cell(count(trial.rescues, f"{path}/rescues")),
                words("chosen" if trial.lr == variant.lr else ""),
            ]
            rows.append((key(comparison, variant.name), cells))
    caption = (
        "Runs on the first input, with seeds that are not among those compared; the mean over the "
        "seeds of a rate decides, and a rate that was halved to rescue a run is chosen only where "
        "there is no other"
    )
    header = ["variant", "learning rate", "seed", label(headline), "status", "rescues", ""]
    return Table(header, rows, caption=caption, name=caption)


def run_table(comparison: Comparison) -> Table:
    """List every run with all its measures."""
    measures = list(dict.fromkeys(name for run in comparison.runs for name in run.figures))
    measures = [m for m in measures if any(r.figures.get(m) is not None for r in comparison.runs)]
    several = len(comparison.inputs) > 1
    header = ["variant", *(["input"] if several else []), "seed", "status", "steps"]
    header += ["training, s", "preparing, s", "choosing, s", "passes", "rescues"]
    header += [_NAMES.get(name, name) for name in measures]
    errors = any(run.error for run in comparison.runs)
    header += ["what went wrong"] if errors else []
    out = any(run.left_out for run in comparison.runs)
    header += ["left out of means"] if out else []
    rows = [
        (
            key(comparison, run.variant),
            [
                *([words(run.input)] if several else []),
                *_cells(run, f"/runs/{number}", measures),
                *([words(run.error or "")] if errors else []),
                *([words("left out" if run.left_out else "")] if out else []),
            ],
        )
        for number, run in enumerate(comparison.runs)
    ]
    caption = "Every run, measured at its end"
    return Table(header, rows, caption=caption, name=caption)


def _cells(run: RunEntry, path: str, measures: list[str]) -> list[Cell]:
    complete = run.status == "complete"
    return [
        Cell(count(run.seed, f"{path}/seed")),
        words(f"complete, by {run.stop_reason}") if complete else words(run.status, "text bad"),
        Cell(count(run.steps, f"{path}/steps")),
        amount(run.train_s, f"{path}/train_s", ".1f"),
        amount(run.prepare_s, f"{path}/prepare_s", ".1f"),
        amount(run.sampler_s, f"{path}/sampler_s", ".1f"),
        amount(run.passes, f"{path}/passes", ".0f"),
        Cell(count(run.rescues, f"{path}/rescues")),
        *(measure(name, run.figures.get(name), f"{path}/figures/{name}") for name in measures),
    ]
