"""Settings of the fields, a section each, named as the field is."""

from pydantic import Field

from nint_cli.config.section import Section


def _width(default: int) -> int:
    field: int = Field(default, ge=1, le=16_384, description="width of the hidden layers")
    return field


def _depth(default: int) -> int:
    field: int = Field(default, ge=1, le=64, description="number of hidden layers")
    return field


def _first_frequency() -> float | None:
    field: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="largest angular frequency that the first layer starts with, in radians per "
        "unit of coords; null: omega_0, for a sound that of 1 kHz, and in the tuned recipe for a "
        "picture 10 times the root of its longest side, unless it has another, as WIRE's has",
    )
    return field


class SirenConfig(Section):
    """SIREN (Sitzmann et al., 2020, arXiv 2006.09661)."""

    hidden_features: int = _width(256)
    hidden_layers: int = _depth(5)
    omega_0: float = Field(30.0, gt=0, le=1e6, description="frequency factor of every sine layer")
    first_frequency: float | None = _first_frequency()


class MlpConfig(Section):
    """ReLU network."""

    hidden_features: int = _width(256)
    hidden_layers: int = _depth(4)


class PemlpConfig(Section):
    """ReLU network behind a positional encoding (Mildenhall et al., 2020, arXiv 2003.08934)."""

    frequencies: int | None = Field(
        None,
        ge=1,
        le=30,
        description="octaves of the encoding; null: up to half of what the signal's grid can hold",
    )
    hidden_features: int = _width(256)
    hidden_layers: int = _depth(4)


class FfnConfig(Section):
    """ReLU network on random Fourier features (Tancik et al., 2020, arXiv 2006.10739)."""

    frequencies: int = Field(128, ge=1, le=16_384, description="number of random frequencies")
    sigma: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="standard deviation of the frequencies, in cycles per unit of coords in "
        "[-1, 1]; null: 10 for up to 512 points along the longest axis, and in proportion beyond",
    )
    hidden_features: int = _width(256)
    hidden_layers: int = _depth(3)


class FinerConfig(Section):
    """FINER (Liu et al., 2024, arXiv 2312.02434)."""

    hidden_features: int = _width(256)
    hidden_layers: int = _depth(4)
    omega_0: float = Field(30.0, gt=0, le=1e6, description="frequency factor of every sine layer")
    first_frequency: float | None = _first_frequency()
    first_bias: float | None = Field(
        None, gt=0, le=1e6, description="bound of the first layer's bias; null: as the others'"
    )


class GaussConfig(Section):
    """GAUSS (Ramasinghe and Lucey, 2022, arXiv 2111.15135)."""

    hidden_features: int = _width(256)
    hidden_layers: int = _depth(4)
    scale: float = Field(30.0, gt=0, le=1e6, description="inverse width of the bumps")
    first_scale: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="inverse width of the first layer's narrowest bumps, which are then spread "
        "over all coords in [-1, 1]; null: as the others",
    )


class WireConfig(Section):
    """WIRE (Saragadam et al., 2023, arXiv 2301.05187)."""

    hidden_features: int = _width(181)
    hidden_layers: int = _depth(4)
    omega_0: float = Field(20.0, gt=0, le=1e6, description="frequency factor of the wavelets")
    scale: float = Field(10.0, gt=0, le=1e6, description="inverse width of the wavelets")
    first_frequency: float | None = _first_frequency()
    first_scale: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="inverse width of the first layer's wavelets, 0 for waves; null: scale, "
        "and for a sound 200 divided by its samples",
    )


class HashgridConfig(Section):
    """Multiresolution hash grid (Müller et al., 2022, arXiv 2201.05989)."""

    levels: int = Field(8, ge=1, le=64, description="number of grids")
    features: int = Field(4, ge=1, le=64, description="features per level")
    coarsest: int = Field(
        16, ge=2, le=65_536, description="vertices along the longest axis of the first level"
    )
    finest: int | None = Field(
        None,
        ge=2,
        le=1 << 24,
        description="vertices along the longest axis of the last level; null: from the signal",
    )
    log2_entries: int | None = Field(
        None,
        ge=4,
        le=28,
        description="log2 of the most table rows of a level; null: from the signal",
    )
    hidden_features: int = _width(64)
    hidden_layers: int = _depth(2)
