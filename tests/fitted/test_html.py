"""The page of a fitted field, as far as Python can tell; test_page_browser.py looks at it."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nint_cli.errors import ConfigError, InputError
from nint_cli.fields.base import Field
from nint_cli.fields.table import FIELDS
from nint_cli.fitted.export import html
from nint_cli.fitted.export.page import document, network, rounding
from nint_cli.fitted.export.page.packing import Block
from nint_cli.modalities.image.signal import Picture
from tests.conftest import smooth_pixels
from tests.fitted.fields import fitted_image, fitted_shape, fitted_sound


def part(page: str, name: str) -> str:
    found = re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_page_asks_no_network_for_anything():
    for fitted in (fitted_image("siren"), fitted_sound("siren"), fitted_shape()):
        page = html.page(fitted).decode()
        assert not re.search(r"https?://|//[a-z]+\.|import\(|importScripts|eval\(", page)
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
        assert policy is not None
        assert policy[1].startswith("default-src &#39;none&#39;;")
        assert "unsafe" not in policy[1]


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)<!--.png",
        "<\\/script>",
        "\"'&.png",
        "ü\u202e.png",
        "a\udcff\x1b[1m.png",
    ],
)
def test_no_name_leaves_its_place(name):
    page = html.page(fitted_image("siren", source=name)).decode()
    assert page.count("<script") == page.count("</script>") == html_scripts()
    assert "<script>alert" not in page
    assert not set(page) & {"\u202e", "\x1b"}
    title = re.search("<title>(.*?)</title>", page)
    assert title is not None
    assert "<" not in title[1]


def html_scripts() -> int:
    page = html.page(fitted_image("siren", source="a.png")).decode()
    return page.count("<script")


def test_json_ends_no_element_whatever_it_holds():
    text = document.to_json({"name": "</script><!--"})
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!--"}


def test_siren_of_usual_size_fits_into_four_megabytes():
    fitted = fitted_image("siren", hidden_features=256, hidden_layers=5)
    noise = np.random.default_rng(0).integers(0, 256, (512, 768, 3), np.uint8)  # the worst case
    page = html.page(fitted, Picture(noise, ""))
    assert len(page) < 4_000_000
    about = json.loads(part(page.decode(), "document"))
    kinds = [each["weight"]["type"] for each in about["network"]["layers"]]
    assert kinds == ["float", *["half"] * 5]


def test_weights_keep_their_digits_where_rounding_would_show():
    fitted = fitted_image("siren")
    with torch.no_grad():
        fitted.field.weights[-1].mul_(1e4)
    notes: list[str] = []
    about = json.loads(part(html.page(fitted, None, notes.append).decode(), "document"))
    assert {each["weight"]["type"] for each in about["network"]["layers"]} == {"float"}
    assert "32 bits; 16 would move" in notes[0]
    with torch.no_grad():
        fitted.field.weights[-1][0, 0] = 1e30  # beyond half precision
    found = rounding.packed(fitted.field, fitted.signal, Block(), 1.0)
    assert not found.half


def test_the_cost_of_rounding_is_that_of_the_numbers_on_the_page():
    fitted = fitted_image("ffn")
    block = Block()
    found = rounding.packed(fitted.field, fitted.signal, block, np.inf)
    content = base64.b64decode(block.base64())
    last = found.network["layers"][-1]["weight"]
    kept = np.frombuffer(content, "<f2", last["count"], last["offset"])
    own = fitted.field.weights[-1].detach().numpy()
    assert np.array_equal(kept, own.astype(np.float16).ravel())
    assert 0 < found.cost < 1e-2


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_can_be_described(name):
    sizes = []
    about = network.described(
        fitted_image(name).field, lambda array, _: sizes.append(array.size) or {}
    )
    assert about["layers"][-1]["activation"] == "linear"
    assert sum(sizes) > 0


class Odd(Field):
    coord_dim, value_dim, width = 2, 3, 3

    def forward(self, coords):
        return coords

    def last_layer(self):
        return []


def test_a_field_that_the_page_does_not_know_is_refused():
    with pytest.raises(ConfigError, match="computes no Odd; export the field as"):
        network.described(Odd(), lambda *_: {})


def test_a_shape_without_a_surface_is_refused():
    fitted = fitted_shape()
    with torch.no_grad():
        fitted.field.biases[-1].add_(100)
    with pytest.raises(InputError, match="no zero level"):
        html.page(fitted)


def test_a_mesh_is_on_the_page_to_a_65000th_of_its_size():
    fitted = fitted_shape()
    page = html.page(fitted).decode()
    about = json.loads(part(page, "document"))
    content = base64.b64decode(part(page, "block"))
    where = about["vertices"]
    places = np.frombuffer(content, "<u2", where["count"], where["offset"]).reshape(-1, 3)
    found = np.array(about["low"]) + np.array(about["span"]) * places / 65_535
    with torch.no_grad():
        distance = fitted.field(torch.from_numpy(found).float())[:, 0]
    assert distance.abs().max() < 0.02  # marching cubes' own error at 24 points along an edge
    where = about["normals"]
    normals = np.frombuffer(content, np.uint8, where["count"], where["offset"]).reshape(-1, 3)
    outwards = ((normals / 127.5 - 1) * found / np.linalg.norm(found, axis=1)[:, None]).sum(1)
    assert np.median(outwards) > 0.9  # of something like a ball


def test_the_original_is_left_out_where_it_is_another():
    notes: list[str] = []
    assert html.original_of(fitted_image("siren", source="gone.png"), notes.append) is None
    assert "is no file here" in notes[0]
    Image.fromarray(smooth_pixels()).save("other.png")
    assert html.original_of(fitted_image("siren", source="other.png"), notes.append) is None
    assert "another file than the run's" in notes[1]
    Path("bad.png").write_bytes(b"none")
    assert html.original_of(fitted_image("siren", source="bad.png"), notes.append) is None
    assert "no picture of a known kind" in notes[2]


def test_equal_fields_give_equal_pages():
    assert html.page(fitted_image("siren")) == html.page(fitted_image("siren"))


def test_a_large_original_is_reduced():
    fitted = fitted_image("siren")
    wide = np.zeros((30, 5000, 3), np.uint8)
    about = json.loads(part(html.page(fitted, Picture(wide, "")).decode(), "document"))
    assert about["original"]["bytes"]["count"] < 10_000
    assert about["original"]["kind"] == "image/png"
    assert "reduced to 1/3 along" in html.page(fitted, Picture(wide, "")).decode()
