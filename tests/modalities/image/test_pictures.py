import numpy as np
import pytest
import torch

from nint_cli.modalities.image.pictures import selection_picture
from nint_cli.modalities.image.signal import Picture
from nint_cli.samplers.base import Selection
from nint_cli.samplers.table import all_slots
from tests.conftest import smooth_pixels


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_chosen_coordinates_shine_in_the_colour_of_their_slot(channels, bits):
    pixels = smooth_pixels(400, 500, channels, bits)
    selection = Selection(
        torch.tensor([0, 501, 3, 199_999]),
        slots=(("ntk", 1), ("residual", 1), ("uniform", 2)),
    )
    drawn = selection_picture(Picture(pixels, ""), {"last": selection}, {"last": 9})
    assert drawn.dtype == np.uint8
    assert drawn.shape == (416, 500, 3)
    body = drawn[16:]
    assert tuple(body[0, 0]) == all_slots()["ntk"].colour
    assert tuple(body[1, 1]) == all_slots()["residual"].colour
    assert tuple(body[0, 3]) == tuple(body[399, 499]) == all_slots()["uniform"].colour
    others = np.ones((400, 500), bool)
    others[[0, 1, 0, 399], [0, 1, 3, 499]] = False
    assert body[others].max() <= 110
    assert (body[others] == body[others][:, :1]).all()


def test_panels_stand_side_by_side_and_small_pictures_grow():
    selection = Selection(torch.tensor([5]), slots=(("full", 1),))
    drawn = selection_picture(
        Picture(smooth_pixels(10, 20), ""),
        {"first": selection, "last": selection},
        {"first": 1, "last": 7},
    )
    assert drawn.shape == (10 * 20 + 16, 2 * 400 + 8, 3)
    assert (drawn[16:36, 100:120] == all_slots()["full"].colour).all()


@pytest.mark.parametrize(("height", "width"), [(4097, 1000), (300, 5000), (2048, 2048)])
def test_large_pictures_are_drawn_smaller(height, width):
    pixels = np.full((height, width, 1), 200, np.uint8)
    last = height * width - 1
    selection = Selection(torch.tensor([0, 7 * width + 9, last]), slots=(("uniform", 3),))
    body = selection_picture(Picture(pixels, ""), {"last": selection}, {"last": 1})[16:]
    every = -(-max(height, width) // 2048)
    assert body.shape == (-(-height // every), -(-width // every), 3)
    assert max(body.shape) <= 2048
    shining = {
        tuple(at) for at in np.argwhere((body == all_slots()["uniform"].colour).all(2)).tolist()
    }
    assert shining == {
        (0, 0),
        (7 // every, 9 // every),
        ((height - 1) // every, (width - 1) // every),
    }
