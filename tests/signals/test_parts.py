"""A signal in parts: what trains, what is held out, what a mask leaves out."""

import pytest
import torch

from nint_cli.errors import ConfigError
from nint_cli.signals.parts import parted
from tests.conftest import tiny_signal, tiny_sound


def disc(height: int = 12, width: int = 10) -> torch.Tensor:
    """(H W) bool: a disc, and a pixel far from it."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (rows - 4) ** 2 + (columns - 4) ** 2 <= 10
    inside[height - 1, width - 1] = True
    return inside.flatten()


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("inside", [None, disc()])
@pytest.mark.parametrize("holdout", [0.0, 0.1, 0.5])
def test_parts_are_all_of_it_and_have_nothing_in_common(inside, holdout, seed):
    signal = tiny_signal((12, 10))
    parts = parted(signal, inside=inside, holdout=holdout, seed=seed)
    if inside is None and not holdout:
        assert parts is None
        return
    found = [part for part in (parts.training, parts.held_out, parts.outside) if part is not None]
    among = torch.cat([part.among for part in found])
    assert torch.equal(among.sort().values, torch.arange(len(signal)))
    population = len(signal) if inside is None else int(inside.sum())
    assert (0 if parts.held_out is None else len(parts.held_out)) == round(holdout * population)
    for part in found:
        assert torch.equal(part.among, part.among.sort().values)
    if inside is not None:
        assert torch.equal(parts.outside.among, (~inside).nonzero().flatten())
    roles = torch.full((len(signal),), 9)
    for role, part in enumerate((parts.training, parts.held_out, parts.outside)):
        if part is not None:
            roles[part.among] = role
    assert torch.equal(parts.roles().long(), roles)


def test_a_part_looks_up_the_points_of_the_whole():
    sound = tiny_sound(30)
    part = parted(sound, holdout=0.3, seed=1).training
    some = torch.tensor([3, 0, 20])
    for got, wanted in zip(part.at(some), sound.at(part.among[some]), strict=True):
        assert torch.equal(got, wanted)
    coords, values = (torch.cat(each) for each in list(zip(*part.blocks(7), strict=True))[1:])
    for got, wanted in zip((coords, values), sound.at(part.among), strict=True):
        assert torch.equal(got, wanted)
    assert (part.shape, part.half_range) == (sound.shape, sound.half_range)
    assert (part.value_dim, part.coord_dim, part.on_grid) == (2, 1, True)


def test_what_is_held_out_depends_on_the_seed_alone():
    one, same, other = (
        parted(tiny_signal((12, 10)), holdout=0.2, seed=seed).held_out.among for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_white_mask_is_no_mask():
    assert parted(tiny_signal(), inside=torch.ones(30, dtype=torch.bool)) is None
    parts = parted(tiny_signal(), inside=torch.ones(30, dtype=torch.bool), holdout=0.1)
    assert parts.outside is None


@pytest.mark.parametrize(
    ("holdout", "fault"), [(0.01, "keeps none .* raise it"), (0.99, "keeps all .* lower it")]
)
def test_shares_that_leave_a_part_empty_are_refused(holdout, fault):
    with pytest.raises(ConfigError, match=fault):
        parted(tiny_signal(), holdout=holdout)


def test_one_point_can_be_all_that_trains():
    inside = torch.zeros(30, dtype=torch.bool)
    inside[7] = True
    assert parted(tiny_signal(), inside=inside).training.among.tolist() == [7]
