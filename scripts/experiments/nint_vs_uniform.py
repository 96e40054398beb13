"""(a) NINT against uniform batches at equal steps, in the setting of the paper.

python scripts/experiments/nint_vs_uniform.py picture.png
"""

import experiment
import tables


def main() -> None:
    """Run it."""
    parser = experiment.arguments(__doc__, "nint_vs_uniform", size=256, steps=1000)
    options = parser.parse_args()
    found = experiment.compare(options, "--sampler=nint", "--sampler=uniform")
    rows = []
    for variant in ("uniform", "nint"):
        each = experiment.summary(found, variant)
        figures = (each.value, each.at_equal_time, each.train_s, each.passes)
        means = [figure.mean for figure in figures]
        rows.append([variant, *map(tables.shown, means, (2, 2, 0, 0))])
    nint = experiment.summary(found, "nint")
    assert nint.gain is not None
    gain, at_time = nint.gain.value, nint.gain_at_equal_time
    experiment.tell(
        options,
        claim="at equal steps NINT ends above uniform batches of the same size "
        "(met by a PSNR higher by 0.5 dB and more).",
        setting=f"{options.size} pixels, SIREN 5x256, Adam at 1e-4, 20 % of the points, "
        f"{options.steps} steps, {options.seeds} seed(s).",
        table=tables.markdown(
            ["sampler", "PSNR at the end, dB", "at equal time, dB", "training, s", "passes"], rows
        ),
        held=gain >= 0.5,
        says=f"NINT is {gain:+.2f} dB from uniform at equal steps"
        + (f" and {at_time.value:+.2f} dB at equal training time." if at_time else "."),
    )


if __name__ == "__main__":
    main()
