"""What was compared: the variants, the learning rates they were given, and every run."""

from nint_cli.comparison.page.markup import cell, escape, figure, table
from nint_cli.comparison.page.numbers import NOTHING, amount, measure
from nint_cli.comparison.page.plots import style
from nint_cli.comparison.record import Comparison, RunEntry
from nint_cli.report import label

_NAMES = {
    "psnr_db": "PSNR", "ssim": "SSIM", "lpips": "LPIPS", "flip": "FLIP", "mse": "MSE",
    "si_snr_db": "SI-SNR", "snr_db": "SNR", "lsd_db": "LSD", "stoi": "STOI", "pesq": "PESQ",
    "iou": "IoU", "f_score": "F-score", "chamfer_l1": "Chamfer L1",
    "chamfer_squared": "Chamfer squared", "normal_consistency": "normal consistency",
    "sdf_error": "SDF error",
}  # fmt: skip


def key(comparison: Comparison, variant: str) -> str:
    """Write a variant's name with the line that it has in plots."""
    index = [each.name for each in comparison.variants].index(variant)
    colour, dashes = style(index)
    kind = "solid" if not dashes else "dotted" if dashes[0] < 2 else "dashed"
    return f'<span class="key" style="border-top:3px {kind} {colour}"></span>{escape(variant)}'


def variant_table(comparison: Comparison) -> str:
    """Write what each variant is: sampler, field, learning rate, and in what else it differs."""
    rows = []
    for number, each in enumerate(comparison.variants):
        others = [
            f"{name}={value}"
            for name, value in each.settings.items()
            if name not in {"sampler", "field", "optimiser.lr"}
        ]
        rows.append((
            key(comparison, each.name),
            f'<td class="text">{escape(each.sampler)}</td>',
            f'<td class="text">{escape(each.field)}</td>',
            amount(each.lr, f"/variants/{number}/lr", "g"),
            f'<td class="text long">{escape(", ".join(others))}</td>' if others else NOTHING,
        ))
    header = ["variant", "sampler", "field", "optimiser.lr", "differs in"]
    return table(header, rows, caption="The variants")


def tuning(comparison: Comparison) -> str:
    """Write which learning rates were tried, where each variant chose its own."""
    if not comparison.tuned:
        return ""
    headline = comparison.headline
    rows = []
    for number, variant in enumerate(comparison.variants):
        for index, trial in enumerate(variant.tuning):
            path = f"/variants/{number}/tuning/{index}"
            rows.append((
                key(comparison, variant.name),
                amount(trial.lr, f"{path}/lr", "g"),
                measure(headline, trial.value, f"{path}/value"),
                f'<td class="text">{escape(trial.status)}</td>',
                cell(figure(str(trial.rescues), trial.rescues, f"{path}/rescues")),
                f'<td class="text">{"chosen" if trial.lr == variant.lr else ""}</td>',
            ))
    caption = (
        "One run each on the first input, with a seed that is not among those compared; a rate "
        "that was halved to rescue its run is chosen only where there is no other"
    )
    header = ["variant", "learning rate", label(headline), "status", "rescues", ""]
    return "<h2>Learning rates</h2>" + table(header, rows, caption=caption)


def run_table(comparison: Comparison) -> str:
    """Write every run with all its measures, open where one of them has no result."""
    measures = list(dict.fromkeys(name for run in comparison.runs for name in run.figures))
    measures = [m for m in measures if any(r.figures.get(m) is not None for r in comparison.runs)]
    several = len(comparison.inputs) > 1
    header = ["variant", *(["input"] if several else []), "seed", "status", "steps"]
    header += ["training, s", "choosing, s", "passes", "rescues"]
    header += [_NAMES.get(name, name) for name in measures]
    errors = any(run.error for run in comparison.runs)
    header += ["what went wrong"] if errors else []
    rows = [
        (
            key(comparison, run.variant),
            *([f'<td class="text">{escape(run.input)}</td>'] if several else []),
            *_cells(run, f"/runs/{number}", measures),
            *([f'<td class="text">{escape(run.error or "")}</td>'] if errors else []),
        )
        for number, run in enumerate(comparison.runs)
    ]
    bad = sum(run.status != "complete" for run in comparison.runs)
    said = f", {bad} of them not complete" if bad else ""
    return (
        f"<details{' open' if bad else ''}><summary>All {len(rows)} runs{said}</summary>"
        + table([escape(name) for name in header], rows, caption="Every run, measured at its end")
        + "</details>"
    )


def _cells(run: RunEntry, path: str, measures: list[str]) -> list[str]:
    status = run.status if run.status != "complete" else f"complete, by {run.stop_reason}"
    kind = "text" if run.status == "complete" else "text bad"
    return [
        cell(figure(str(run.seed), run.seed, f"{path}/seed")),
        f'<td class="{kind}">{escape(status)}</td>',
        cell(figure(str(run.steps), run.steps, f"{path}/steps")),
        amount(run.train_s, f"{path}/train_s", ".1f"),
        amount(run.sampler_s, f"{path}/sampler_s", ".1f"),
        amount(run.passes, f"{path}/passes", ".0f"),
        cell(figure(str(run.rescues), run.rescues, f"{path}/rescues")),
        *(measure(name, run.figures.get(name), f"{path}/figures/{name}") for name in measures),
    ]
