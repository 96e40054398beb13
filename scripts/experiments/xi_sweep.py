"""(b) The share xi that is drawn uniformly: the PSNR after 500 steps for xi from 0.5 to 0.8.

python scripts/experiments/xi_sweep.py picture.png
"""

import experiment
import tables

SHARES = (0.5, 0.6, 0.7, 0.8)


def main() -> None:
    """Run it."""
    parser = experiment.arguments(__doc__, "xi_sweep", size=128, steps=500)
    options = parser.parse_args()
    words = [f"--variant=xi{share:g}:sampler=nint,nint.xi={share:g}" for share in SHARES]
    found = experiment.compare(options, "--sampler=uniform", *words)
    psnr = {each.name: experiment.psnr(found, each.name) for each in found.variants}
    best = max((f"xi{share:g}" for share in SHARES), key=psnr.__getitem__)
    behind = psnr[best] - psnr["xi0.7"]
    experiment.tell(
        options,
        claim="xi = 0.7 is the best choice of 0.5, 0.6, 0.7 and 0.8, or within 0.3 dB of it.",
        setting=f"{options.size} pixels, paper preset, {options.steps} steps, "
        f"{options.seeds} seed(s).",
        table=tables.markdown(
            ["", "PSNR, dB"], [[name, f"{value:.2f}"] for name, value in psnr.items()]
        ),
        held=behind <= 0.3,
        says=f"{best} is best; 0.7 is {behind:.2f} dB behind it, and "
        f"{psnr['xi0.7'] - psnr['uniform']:+.2f} dB from uniform.",
    )


if __name__ == "__main__":
    main()
