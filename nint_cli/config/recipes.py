"""The settings that depend on the field, where nobody gives them: one table.

`published` has the learning rate of the authors, or of the release that NINT compares with, for
the constant rate of `--preset paper`. `tuned` was found here for the recipe of `--preset default`,
small batches with a warm-up and a cosine schedule, on two CPU cores; `steps` is what makes at
most about a minute there. What a field is built like is its own section's default, unless a sound
or a shape asks for something else.
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


# Adam's memory shortens with the rate: 30 dB come as soon as with the usual one, and the end is
# higher (docs/recipe.md).
_SHORTENING: Mapping[str, Any] = {"optimiser.beta1": 0.8, "optimiser.beta2_end": 0.98}
# Hash grids diverge by the above, and do well by the decays of Müller et al., 2022.
_GRID: Mapping[str, Any] = {"optimiser.beta2": 0.99}

# Where sines start as high as larger pictures want, high rates keep a fit from settling.
_SIDE: Mapping[str, Any] = {"optimiser.lr_side": 256}

# By most fields sounds gain from guidance; by others some lose, or learn nothing by any sampler
# (docs/recipe.md).
_GUIDED: Mapping[str, Any] = {"sampler": "nint"}
_UNGUIDED: Mapping[str, Any] = {"sampler": "uniform"}


def _published(lr: float, source: str) -> Recipe:
    return Recipe({"optimiser.lr": lr}, source)


def _tuned(
    lr: float,
    size: int,
    steps: int,
    others: Mapping[str, object] | None = None,
    *,
    decays: Mapping[str, Any] = _SHORTENING,
    warmup: float = 0.05,
    least_steps: int = 400,
    by_root: bool = False,
) -> Recipe:
    """Give a recipe that was found here; `others` are more settings, mostly of the field.

    Fewer steps than `least_steps` are worse than smaller batches, and with `by_root` fewer than
    the root of the share of the time that there is (docs/recipe.md).
    """
    rate = {"optimiser.lr": lr, "optimiser.warmup": warmup}
    batch: dict[str, Any] = {"batch.size": size, "batch.least_steps": least_steps}
    if by_root:
        batch["batch.full_steps"] = steps
    settings = {**rate, **batch, "steps": steps, **decays, **(others or {})}
    return Recipe(settings, "tuned for nint")


RECIPES: Mapping[str, Mapping[str, Mapping[str, Recipe]]] = {
    "image": {
        "mlp": {
            "published": _published(1e-3, "INT's release"),
            "tuned": _tuned(5e-3, 1024, 3600, by_root=True),
        },
        "pemlp": {
            "published": _published(1e-3, "FINER's release"),
            # Where the rate rises faster, short runs end at the mean colour, or near it.
            "tuned": _tuned(6e-3, 1024, 3600, warmup=0.2, by_root=True),
        },
        "ffn": {
            "published": _published(1e-3, "INT's release"),
            "tuned": _tuned(6e-3, 1024, 3600, warmup=0.2, by_root=True),
        },
        "siren": {
            "published": _published(1e-4, "NINT's release"),
            "tuned": _tuned(6e-4, 4096, 2000, _SIDE, least_steps=560, by_root=True),
        },
        "finer": {
            "published": _published(5e-4, "FINER's release"),
            "tuned": _tuned(6e-4, 4096, 2000, _SIDE, least_steps=560, by_root=True),
        },
        "gauss": {
            "published": _published(5e-3, "FINER's release"),
            "tuned": _tuned(1e-3, 4096, 1000, {"gauss.scale": 10.0}, by_root=True),
        },
        "wire": {
            "published": _published(5e-3, "FINER's release"),
            "tuned": _tuned(
                2e-3,
                2048,
                400,
                {"wire.omega_0": 5.0, "wire.scale": 10.0, "wire.first_frequency": 5.0},
                by_root=True,
            ),
        },
        "hashgrid": {
            "published": _published(1e-2, "Müller et al., 2022"),
            "tuned": _tuned(2e-2, 4096, 8000, decays=_GRID),
        },
    },
    "audio": {
        "mlp": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(1e-3, 8192, 800, _UNGUIDED),
        },
        "pemlp": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(3e-3, 1024, 5000, _GUIDED),
        },
        "ffn": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(3e-3, 1024, 5000, _GUIDED),
        },
        "siren": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(4e-4, 4096, 1200, _GUIDED),
        },
        "finer": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(3e-4, 4096, 1200, _GUIDED),
        },
        "gauss": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(2e-4, 8192, 600, {"gauss.first_scale": 480.0, **_GUIDED}),
        },
        "wire": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(3e-3, 1024, 600, {"wire.omega_0": 3.0, "wire.scale": 5.0, **_GUIDED}),
        },
        "hashgrid": {
            "published": _published(1e-2, "Müller et al., 2022"),
            "tuned": _tuned(
                1e-2,
                4096,
                10_000,
                {"hashgrid.features": 2, "hashgrid.coarsest": 256, **_UNGUIDED},
                decays=_GRID,
            ),
        },
    },
    "sdf": {
        "mlp": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(1e-3, 8192, 500),
        },
        "pemlp": {
            "published": _published(5e-4, "FINER's release"),
            "tuned": _tuned(1e-3, 8192, 500),
        },
        "ffn": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(3e-3, 8192, 500, {"ffn.sigma": 1.0}),
        },
        "siren": {
            "published": _published(1e-4, "INT's release"),
            "tuned": _tuned(3e-4, 8192, 500),
        },
        "finer": {
            "published": _published(1e-4, "FINER's release"),
            "tuned": _tuned(3e-4, 8192, 400),
        },
        "gauss": {
            "published": _published(1e-4, "FINER's release"),
            "tuned": _tuned(1e-3, 4096, 800, {"gauss.scale": 5.0}),
        },
        "wire": {
            "published": _published(1e-4, "FINER's release"),
            "tuned": _tuned(2e-3, 2048, 300, {"wire.omega_0": 5.0, "wire.scale": 5.0}),
        },
        "hashgrid": {
            "published": _published(1e-2, "Müller et al., 2022"),
            "tuned": _tuned(
                1e-2,
                8192,
                1200,
                {"hashgrid.finest": 128, "hashgrid.log2_entries": 15},
                decays=_GRID,
            ),
        },
    },
}
"""By modality, field and recipe."""
