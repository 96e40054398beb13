"""(c) Whether what NINT gains depends on the field: SIREN against the ReLU MLP.

python scripts/experiments/siren_vs_mlp.py picture.png
"""

import experiment
import tables


def main() -> None:
    """Run it."""
    parser = experiment.arguments(__doc__, "siren_vs_mlp", size=128, steps=500)
    options = parser.parse_args()
    words = ["--sampler=nint", "--sampler=uniform", "--field=siren", "--field=mlp"]
    found = experiment.compare(options, *words, "--baseline=uniform-siren")
    rows, gains = [], {}
    for field in ("siren", "mlp"):
        ends = [experiment.psnr(found, f"{sampler}-{field}") for sampler in ("uniform", "nint")]
        gains[field] = ends[1] - ends[0]
        rows.append([field, *(f"{end:.2f}" for end in ends), f"{gains[field]:+.2f}"])
    experiment.tell(
        options,
        claim="NINT is 0.1 dB and more ahead of uniform batches on both fields at equal steps.",
        setting=f"{options.size} pixels, paper preset with each field's published learning rate, "
        f"{options.steps} steps, {options.seeds} seed(s).",
        table=tables.markdown(["field", "uniform, dB", "nint, dB", "gain, dB"], rows),
        held=min(gains.values()) >= 0.1,
        says=f"NINT is {gains['siren']:+.2f} dB from uniform on SIREN and {gains['mlp']:+.2f} dB "
        "on the MLP.",
    )


if __name__ == "__main__":
    main()
