"""A compressed field is what its file says, to the last bit, and nothing else opens as one."""

import base64
import json
import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nint_cli.errors import InputError
from nint_cli.fields.table import FIELDS
from nint_cli.fitted.compression import container, search
from nint_cli.fitted.compression.quantise import quantise, scales_of
from nint_cli.fitted.compression.search import at_bits, points_of, within_size
from nint_cli.fitted.description import describe
from nint_cli.fitted.fitted import open_fitted
from tests.cli.test_cli import nint
from tests.fitted.fields import fitted_image, fitted_shape, fitted_sound

BITS = range(4, 17)

# What version 1 wrote; never to be made anew.
GOLDEN = (
    "TklOVAFSAQAAKwAAAIWR3W6DMAyF3yXXEYKydRuvMlXIgCER+WH5UdtVffc5KWzdejGubEfH5/PhwqCzMbDmwkbrNF"
    "BVcWakoYKVRVWUjLNRohqo99Kh2frWYwjSTD5phRwGNO2IEKJDGtV8myk4o/N5rdU4QVvSa1mUaY3zoR0dfkQ0/Zk1"
    "Jip15cwhDLQ47fXyE29zzkAtAohiRlwIooN+npyNJpEdhQxIQwdmIgEL5yW1Gvy8yTWc2kWeUCWWcv3IzcvJgMpmNr"
    "o+qRdhgy0WQqBnAbvnPQ2p7gUYkxek80CN7epXpXNmmVGkhglvQmJo3qsnvisPnA2ZqWGRsn2ld2WPrMk5CDmJO0qp"
    "o/5p/dxuCGs8PtD9zQsViGSYbghovE0hv1+YAZ1sjkhbg8//b0Op+Y5AOhlyBJRWNKzZX/mDqPolqr9F+1XzdqfpJH"
    "j84/PoUj8qqv8Uh+sXq7WablNrVW9lZxt5hVGJgeEfEIj8+CL/j52P99P/NdWMjAzvPvxjZGQEANy/cSHprZ/X+Ske"
    "h7T3Bc4="
)
GOLDEN_WEIGHTS = {
    "biases.0": [0.4931755065917969, 0.4130706787109375, 0.11870956420898438],
    "biases.1": [0.48053741455078125, 0.48248291015625, 0.49610137939453125],
    "weights.0": [
        0.05983734130859375,
        0.058872222900390625,
        -0.4082450866699219,
        -0.2895355224609375,
        -0.4931755065917969,
        -0.46132659912109375,
    ],
    "weights.1": [
        0.36865234375,
        -0.1474609375,
        -0.22119140625,
        0.5714111328125,
        -0.036865234375,
        0.1290283203125,
        0.258056640625,
        0.2396240234375,
        -0.258056640625,
    ],
}


def content_of(fitted, bits=6):
    return container.encode(
        fitted.config, fitted.signal, quantise(fitted.field, bits), fitted.step
    )


@pytest.fixture(scope="module")
def small():
    return fitted_image("siren", hidden_features=3, hidden_layers=1)


@pytest.mark.parametrize("name", FIELDS)
def test_weights_come_back_as_the_integers_say_and_within_half_a_scale(name):
    fitted = fitted_image(name)
    own = fitted.field.state_dict()
    for bits in BITS:
        tensors = quantise(fitted.field, bits)
        _, signal, field, step = container.decode(content_of(fitted, bits))
        assert (signal.shape, step) == (fitted.signal.shape, fitted.step)
        found = field.state_dict()
        assert list(found) == [each.name for each in tensors]
        for each in tensors:
            assert bits <= each.bits <= min(16, bits + 4)
            assert np.abs(each.integers.astype(int)).max() <= 2 ** (each.bits - 1) - 1
            scales = scales_of(each.scales).astype(float).repeat(each.run)[: len(each.integers)]
            exact = torch.from_numpy(each.integers * scales).view(each.shape)
            assert torch.equal(found[each.name].double(), exact)  # no rounding in float32
            error = (own[each.name].double() - exact).abs().flatten().numpy()
            assert np.all(error <= scales / 2)
        assert any(each.bits == bits for each in tensors)


def test_a_row_of_zeros_and_numbers_near_the_ends_of_float32_come_back():
    fitted = fitted_image("siren", hidden_features=20)
    with torch.no_grad():
        weights = dict(fitted.field.named_parameters())["weights.1"]
        weights[0] = 0
        weights[1] *= 1e-30
        weights[2, 0], weights[2, 1] = 2.0**100, -(2.0**100)
    tensors = {each.name: each.values() for each in quantise(fitted.field, 4)}
    assert torch.equal(tensors["weights.1"][0], torch.zeros(20))
    assert tensors["weights.1"][1].abs().max() == pytest.approx(
        weights[1].abs().max().item(), rel=0.01
    )
    assert tensors["weights.1"][2, 0] == -tensors["weights.1"][2, 1] > 2.0**99
    with torch.no_grad():
        weights[0, 0] = math.nan
    with pytest.raises(InputError, match=r"weights\.1 holds NaN"):
        at_bits(fitted, 8)


def test_scales_keep_the_largest_weight_without_clipping():
    fitted = fitted_image("siren", hidden_features=20)
    for each in quantise(fitted.field, 8):
        if each.name == "weights.1":
            top = np.abs(each.integers.reshape(20, -1).astype(int)).max(axis=1)
            assert np.all((top >= 126) & (top <= 127))


def test_equal_fields_give_equal_bytes_and_fewer_bits_fewer_of_them():
    fitted = fitted_image("siren", hidden_features=40)
    sizes = [len(content_of(fitted, bits)) for bits in BITS]
    assert content_of(fitted) == content_of(fitted)
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.4 * sizes[-1]
    chosen = within_size(fitted, sizes[3] + 1)
    assert (chosen.bits, len(chosen.content)) == (7, sizes[3])
    assert within_size(fitted, 1).bits == 4


def test_size_is_told_by_what_the_input_counts():
    assert points_of(fitted_image("siren"), None) == 14 * 20
    assert points_of(fitted_sound("siren"), None) == 5000
    assert points_of(fitted_shape(), None) is None


def refused(content, match=None):
    Path("bad.nint").write_bytes(content)
    with pytest.raises(InputError, match=match) as error:
        open_fitted(Path("bad.nint"))
    assert "\n" not in str(error.value)


def test_no_flipped_byte_and_no_cut_passes(small):
    content = content_of(small)
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        refused(bytes(flipped))
        refused(content[:at])
    refused(content + b"\0", "lengths make")


def packed(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def raw(header, payload, version=1, lengths=None):
    """A file with a right hash, whatever else is wrong."""
    lengths = lengths or (len(header), len(payload))
    start = container._START.pack(b"NINT", version, *lengths)
    body = start + header + payload
    return body + container._digest(body)


def test_what_a_right_hash_does_not_cover_is_refused(small):
    tensors = quantise(small.field, 6)
    text = container.decode(content_of(small)) and container._parts(content_of(small))[0]
    payload = container._inflated(container._parts(content_of(small))[1], 10_000, "payload")
    head, body = packed(text), packed(payload)
    Path("good.nint").write_bytes(raw(head, body))
    open_fitted(Path("good.nint"))

    refused(raw(head, body, version=2), "version 2 of the format")
    refused(raw(head, body, lengths=(len(head), 2**32 - 1)), "lengths make")
    refused(raw(packed(b" " * (1 << 21)), body), "header inflates beyond")
    refused(raw(packed(b"[" * 100_000), body))
    refused(raw(head, packed(payload + b"\0")), "payload inflates beyond")
    refused(raw(head, packed(payload[:-1])), "payload has")
    refused(raw(head, body[:-1]), "no whole stream")
    refused(raw(head + b"\0", body), "no whole stream")
    refused(raw(b"\xff\xff\xff", body))
    refused(b"PINT" + content_of(small)[4:])

    def changed(match, **changes):
        document = json.loads(text)
        document["tensors"][0] |= changes
        refused(raw(packed(json.dumps(document).encode()), body), match)

    changed("expected", shape=[10**9, 10**9])
    changed("expected", name="other")
    changed("bits", bits=17)
    changed("run", run=0)
    changed("runs of 7 in 6", run=7)
    changed("other", other=1)
    document = json.loads(text)
    document["tensors"].append(document["tensors"][0])
    refused(raw(packed(json.dumps(document).encode()), body), "twice")
    document = json.loads(text)
    document["about"]["field_settings"]["hidden_features"] = 10**12
    refused(raw(packed(json.dumps(document).encode()), body))

    beyond = replace(tensors[0], integers=np.full_like(tensors[0].integers, 512))
    endless = replace(tensors[0], scales=np.full_like(tensors[0].scales, 0x7F80))
    below = replace(tensors[0], scales=np.full_like(tensors[0].scales, 0xBF80))
    for first, match in ((beyond, "beyond 10 bits"), (endless, "not finite"), (below, "negative")):
        refused(
            container.encode(small.config, small.signal, (first, *tensors[1:]), small.step), match
        )


def test_a_file_that_claims_more_than_it_can_hold_takes_no_memory(small):
    """A described field of gigabytes, with a payload of a few bytes."""
    config = small.config.model_copy(deep=True)
    settings = config.field_settings.model_copy(update={"hidden_features": 16_000})
    about = describe(config, small.signal, 7).model_copy(
        update={"field_settings": settings.model_dump(mode="json")}
    )
    shapes = {
        "weights.0": [16_000, 2], "weights.1": [16_000, 16_000], "weights.2": [3, 16_000],
        "biases.0": [16_000], "biases.1": [16_000], "biases.2": [3],
    }  # fmt: skip
    tensors = [
        container.TensorHeader(name=name, shape=shape, bits=8, run=1)
        for name, shape in shapes.items()
    ]
    field = container.field_without_memory(*container.settings_of(about))
    tensors = [each for each in tensors if each.name in field.state_dict()]
    for each in tensors:
        each.shape[:] = field.state_dict()[each.name].shape
    header = container.Header(about=about, tensors=tensors).model_dump_json().encode()
    refused(container.sealed(header, b"\0" * 100), "cannot hold")


def test_a_file_of_the_first_version_opens_for_ever():
    content = base64.b64decode(GOLDEN)
    config, signal, field, step = container.decode(content)
    assert (config.field, signal.shape, step) == ("siren", (14, 20), 7)
    state = {name: each.flatten().tolist() for name, each in field.state_dict().items()}
    assert state == GOLDEN_WEIGHTS


@pytest.fixture
def run(capsys, smoke):
    code, _, said = nint(capsys, *smoke, "-o", "run")
    assert code == 0, said
    return Path("run")


def test_a_compressed_picture_is_measured_rendered_viewed_and_exported(capsys, run, picture):
    code, out, said = nint(capsys, "compress", run, "-o", "a.nint", "--json")
    assert code == 0, said
    told = json.loads(out)
    assert told["bytes"] == Path("a.nint").stat().st_size
    assert told["bits"] == 8
    pixels = open_fitted(run).signal.population
    assert told["bits_per_pixel"] == told["bytes"] * 8 / pixels
    against = ("--against", picture)
    measured = json.loads(nint(capsys, "eval", "a.nint", *against, "--json")[1])
    assert measured["psnr_db"] == told["after"]
    assert json.loads(nint(capsys, "eval", run, "--json")[1])["psnr_db"] == told["before"]
    assert nint(capsys, "decompress", "a.nint", "-o", "a.png")[0] == 0
    assert nint(capsys, "render", "a.nint", "-o", "b.png")[0] == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert nint(capsys, "export", "a.nint", "--format", "safetensors", "-o", "a.st")[0] == 0
    assert nint(capsys, "view", "a.nint", "--no-open", "--no-original", "-o", "a.html")[0] == 0
    code, out, said = nint(capsys, "compress", run, "-o", "a.nint")
    assert (code, out) == (4, "")
    assert "--overwrite" in said
    code, out, said = nint(capsys, "compress", run, "-o", "a.nint", "--overwrite", "--bits", 5)
    assert (code, out) == (0, "a.nint\n")
    assert f"{Path('a.nint').stat().st_size:,}" in said


def test_the_fewest_bits_within_a_loss_and_the_most_within_a_size(
    capsys, run, picture, monkeypatch
):
    before = json.loads(nint(capsys, "eval", run, "--json")[1])["psnr_db"]
    for most in (0.02, 3):
        code, _, said = nint(
            capsys, "compress", run, "-o", "a.nint", "--overwrite", "--max-loss", most
        )
        assert code == 0, said
        found = json.loads(nint(capsys, "eval", "a.nint", "--against", picture, "--json")[1])
        assert found["psnr_db"] >= before - most
    code, out, _ = nint(capsys, "compress", run, "-o", "b.nint", "--bits", 5, "--json")
    size = json.loads(out)["bits_per_pixel"]
    asked = ("compress", run, "-o", "c.nint", "--json", "--target-bpp")
    assert json.loads(nint(capsys, *asked, size)[1])["bits"] == 5
    Path("c.nint").unlink()
    figures = iter([30.0, *[29.0] * 13])
    monkeypatch.setattr(search, "figure_of", lambda *_: next(figures))
    missed = (
        ("--max-loss", 0.5, "16 bits reach 29.00 dB of 30.00 dB"),
        ("--target-bpp", 0.001, "4 bits a weight reach"),
    )
    for flag, value, reached in missed:
        code, out, said = nint(capsys, "compress", run, "-o", "c.nint", flag, value)
        assert (code, out, said.count("\n")) == (7, "", 1)
        assert reached in said
        assert not Path("c.nint").exists()
        figures = iter([30.0])


def test_without_the_input_a_loss_is_refused_and_a_size_is_not(capsys, run, picture):
    Path(picture).unlink()
    code, out, said = nint(capsys, "compress", run, "-o", "a.nint", "--json")
    told = json.loads(out)
    assert (code, told["before"], told["after"]) == (0, None, None), said
    assert Path(picture).name in told["reason"]
    code, out, said = nint(capsys, "compress", run, "-o", "b.nint", "--max-loss", 1)
    assert (code, out) == (3, "")
    assert said.count("\n") == 1
    assert "--max-loss needs the input" in said
    assert nint(capsys, "compress", run, "-o", "b.nint", "--target-bpp", 1e6)[0] == 0


@pytest.mark.parametrize(
    "flags",
    [
        ("--bits", 3), ("--bits", 17), ("--bits", 8, "--max-loss", 1),
        ("--max-loss", 1, "--target-bpp", 1), ("--max-loss", "nan"), ("--max-loss", -1),
        ("--target-bpp", 0), ("--target-bpp", "inf"),
    ],
)  # fmt: skip
def test_flags_that_make_no_sense_are_usage(capsys, flags):
    code, out, said = nint(capsys, "compress", "nowhere", "-o", "a.nint", *flags)
    assert (code, out, said.count("\n")) == (2, "", 1)


def test_a_file_that_is_no_compressed_one_is_not_decompressed(capsys, picture):
    code, _, said = nint(capsys, "decompress", picture, "-o", "b.png")
    assert (code, said.count("\n")) == (3, 1)
    code, _, said = nint(capsys, "decompress", "gone.nint", "-o", "b.png")
    assert (code, said.count("\n")) == (3, 1)


@pytest.mark.parametrize(
    ("kind", "output", "key"), [("audio", "a.wav", "sample"), ("sdf", "a.ply", "vertex")]
)
def test_sounds_and_shapes_too(capsys, kind, output, key):
    inputs = {"audio": "sample:chirp", "sdf": "sample:torus"}
    flags = ["--preset", "smoke", "--progress", "never", "-o", "run"]
    code, _, said = nint(capsys, "fit", kind, inputs[kind], *flags)
    assert code == 0, said
    code, out, said = nint(capsys, "compress", "run", "-o", "a.nint", "--json")
    assert code == 0, said
    told = json.loads(out)
    assert told["bytes"] == Path("a.nint").stat().st_size
    assert told[f"bits_per_{key}"] > 0
    measured = json.loads(nint(capsys, "eval", "a.nint", "--json")[1])
    assert measured[told["figure"]] == told["after"]
    code, _, said = nint(capsys, "decompress", "a.nint", "-o", output)
    assert code == 0 or "surface" in said, said
