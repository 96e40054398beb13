"""Philox against its reference, and streams that know nothing of each other."""

import hashlib

import numpy as np
import pytest
import torch

from nint_cli.random import Draws, moved

WORD = (1 << 64) - 1


def philox(counter, key):
    """Philox4x64-10, as its authors write it down, in Python's integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [
            (second >> 64) ^ c[1] ^ k[0],
            second & WORD,
            (first >> 64) ^ c[3] ^ k[1],
            first & WORD,
        ]
        k = [(k[0] + 0x9E3779B97F4A7C15) & WORD, (k[1] + 0xBB67AE8584CAA73B) & WORD]
    return c


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        (
            [0, 0, 0, 0],
            [0, 0],
            "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b",
        ),
        (
            [WORD] * 4,
            [WORD] * 2,
            "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0",
        ),
        (
            [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
            [0x452821E638D01377, 0xBE5466CF34E90C6C],
            "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6",
        ),
    ],
)
def test_the_reference_is_that_of_its_authors(counter, key, expected):
    """The known answers of Random123."""
    assert philox(counter, key) == [int(word, 16) for word in expected.split()]


@pytest.mark.parametrize("name", ["uniform", "epoch", "a name with ümlaut"])
@pytest.mark.parametrize(("seed", "step"), [(0, 0), (7, 3), (2**63 - 1, 10**9)])
def test_a_stream_is_philox_of_seed_stream_and_step(seed, step, name):
    hashed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    expected = [
        word for block in (1, 2, 3) for word in philox([block, 0, 0, step], [seed, hashed])
    ]
    raw = Draws(seed, step).stream(name).bit_generator.random_raw(12)
    assert raw.tolist() == expected
    uniform = Draws(seed, step).stream(name).random(12)
    assert uniform.tolist() == [(word >> 11) / 2**53 for word in expected]


def test_nothing_depends_on_who_draws_first_or_how_much():
    names = ["a", "b", "c"]
    draws = Draws(5, 8)
    alone = {name: draws.stream(name).random(6).tolist() for name in names}
    other_order = {name: draws.stream(name).random(6).tolist() for name in reversed(names)}
    a = draws.stream("a")
    a.standard_normal(1000)
    with_more = {name: draws.stream(name).random(6).tolist() for name in names}
    mixed = {name: draws.stream(name) for name in names}
    turns = [[float(mixed[name].random()) for name in names] for _ in range(6)]
    assert alone == other_order == with_more
    assert alone == dict(zip(names, map(list, zip(*turns, strict=True)), strict=True))
    assert len({tuple(each) for each in alone.values()}) == 3


def test_seed_step_and_stream_each_make_a_difference():
    found = [
        tuple(Draws(seed, step).stream(name).random(4))
        for seed in range(3)
        for step in range(3)
        for name in ("a", "b")
    ]
    assert len(set(found)) == 18
    assert Draws(2).at(5) == Draws(2, 5)


def test_what_is_moved_keeps_its_numbers():
    drawn = np.arange(12).reshape(3, 4)
    for part in (drawn, drawn[:, ::-1], drawn.T):  # of which PyTorch takes the first alone
        assert moved(part, torch.device("cpu")).tolist() == part.tolist()


@pytest.mark.cuda
def test_a_device_gets_the_numbers_of_the_host():
    drawn = Draws(1).stream("a").standard_normal(1000)
    there = moved(drawn, torch.device("cuda"))
    assert there.device.type == "cuda"
    assert there.cpu().tolist() == drawn.tolist()
