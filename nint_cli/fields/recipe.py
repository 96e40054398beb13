"""The settings that depend on the field, where nobody gives them.

`published` has the learning rate of the authors, or of the release that NINT compares with, for
the constant rate of `--preset paper`. `tuned` was found here for the recipe of `--preset default`,
small batches with a warm-up and a cosine schedule, on two CPU cores; `steps` is what makes at
most about a minute there. What a field is built like is its own section's default, unless a sound
or a shape asks for something else. The rows stand with each field.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Recipe(NamedTuple):
    """What a field is trained with.

    Attributes:
        settings: By dotted key.
        source: Where they come from.
    """

    settings: Mapping[str, Any]
    source: str


Recipes = Mapping[str, Mapping[str, Recipe]]
"""By modality and recipe."""

# Adam's memory shortens with the rate: 30 dB come as soon as with the usual one, and the end is
# higher (docs/lab/recipe.md).
SHORTENING: Mapping[str, Any] = {"optimiser.beta1": 0.8, "optimiser.beta2_end": 0.98}
# Hash grids diverge by the above, and do well by the decays of Müller et al., 2022.
GRID_DECAYS: Mapping[str, Any] = {"optimiser.beta2": 0.99}

# Where sines start as high as large pictures want, a high rate keeps a fit from settling, and
# little momentum makes a long run collapse (docs/lab/recipe.md).
LARGE: Mapping[str, Any] = {"optimiser.lr_side": 256, "optimiser.beta1_steps": 2000}

# By most fields sounds gain from guidance; by others some lose, or learn nothing by any sampler
# (docs/lab/recipe.md).
GUIDED: Mapping[str, Any] = {"sampler": "nint_diagonal"}
# By these fields points that the error alone chose were worth more than those that error and the
# NTK's diagonal chose (docs/lab/recipe.md).
BY_ERROR: Mapping[str, Any] = {"nint_diagonal.score": "error"}
UNGUIDED: Mapping[str, Any] = {"sampler": "uniform"}


def published(lr: float, source: str) -> Recipe:
    """Return the learning rate that was published with a field.

    Args:
        lr: The rate.
        source: Where it was published.

    Returns:
        The recipe.
    """
    return Recipe({"optimiser.lr": lr}, source)


def tuned(
    lr: float,
    size: int,
    steps: int,
    others: Mapping[str, object] | None = None,
    *,
    decays: Mapping[str, Any] = SHORTENING,
    warmup: float = 0.05,
    least_steps: int = 400,
    by_root: bool = False,
) -> Recipe:
    """Return a recipe that was found here.

    Fewer steps than `least_steps` are worse than smaller batches, and with `by_root` fewer than
    the root of the share of the time that there is (docs/lab/recipe.md).
    """
    rate = {"optimiser.lr": lr, "optimiser.warmup": warmup}
    batch: dict[str, Any] = {"batch.size": size, "batch.least_steps": least_steps}
    if by_root:
        batch["batch.full_steps"] = steps
    settings = {**rate, **batch, "steps": steps, **decays, **(others or {})}
    return Recipe(settings, "tuned for nint")
