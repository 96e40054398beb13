"""Pages of fields in a headless Chromium: they show what PyTorch computes, and ask nobody."""

import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from nint_cli.fields.table import FIELDS
from nint_cli.fitted.export import html
from nint_cli.modalities.image.reconstruction import reconstruction_files
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Picture
from nint_cli.modalities.image.subject import ImageSubject
from tests.fitted.fields import fitted_image, fitted_shape, fitted_sound

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]

NAME = "<img src=x onerror=alert(1)> & 'it' </title>\udcff.png"
TILE = 64


@pytest.fixture(scope="module")
def browser():
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        assert "NINT_REQUIRE_BROWSER" not in os.environ, "chromium and chromedriver are gone"
        pytest.skip("needs Debian's chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    words = ("headless=new", "no-sandbox", "disable-dev-shm-usage", "enable-unsafe-swiftshader")
    for word in words:
        options.add_argument(f"--{word}")
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options, webdriver.ChromeService(driver))
    window.set_script_timeout(30)
    window.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    window.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield window
    window.quit()


@pytest.fixture
def shown(browser, tmp_path):
    """A function that opens the page of a field, by GPU or by typed arrays."""

    def show(fitted, original=None, how="", width=800):
        path = tmp_path / "page.html"
        path.write_bytes(html.page(fitted, original))
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        size = {"width": width, "height": 600, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(path.as_uri() + how)
        return browser

    return show


def until(page, condition):
    end = time.monotonic() + 20
    while not page.execute_script(f"return {condition}"):
        assert time.monotonic() < end, condition
        time.sleep(0.02)


def way(page):
    """By what the page computes, and why not by the GPU."""
    script = "nint.evaluator.ready.then(arguments[0], (e) => arguments[0](String(e)))"
    return page.execute_async_script(script)


def colours(page, level=0, x=0, y=0):
    """RGBA (64, 64, 4) of a tile."""
    script = "nint.tile(...arguments).then(arguments[3])"
    found = page.execute_async_script(script, level, x, y)
    return np.array(found, np.uint8).reshape(TILE, TILE, 4)


def decoded(fitted, alpha=None):
    """What reconstruction.png shows, as RGBA of 8 bits."""
    import imagecodecs

    pixels = ImageSubject.rebuild(fitted.signal, ImageSettings(), fitted.field)
    picture = Picture(pixels, "", fitted_scale=fitted.signal.scale, alpha=alpha)
    file = reconstruction_files(picture, pixels)["reconstruction.png"]
    found = np.atleast_3d(imagecodecs.png_decode(file))
    found = found / (np.iinfo(found.dtype).max / 255)
    seen = np.full((*found.shape[:2], 4), 255.0)
    base = 3 if found.shape[2] >= 3 else 1
    seen[..., :3] = found[..., :base]
    if found.shape[2] == base + 1:
        seen[..., 3] = found[..., base]
    return seen


def coords_of_tile(fitted, level, x, y):
    """The coords of a tile's points in float64, row by row."""
    axes = []
    for size, tile in zip(fitted.signal.grid, (y, x), strict=True):
        places = (tile * TILE + np.arange(TILE) + 0.5) / 2.0**level - 0.5
        axes.append(-1 + 2 * places / (size - 1))
    rows, columns = np.meshgrid(*axes, indexing="ij")
    return torch.from_numpy(np.stack([rows.ravel(), columns.ravel()], axis=1))


@pytest.mark.parametrize("how", ["#gpu", "#arrays"])
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_shown_as_its_reconstruction(shown, name, how):
    fitted = fitted_image(name)
    page = shown(fitted, how=how)
    by_gpu = how == "#gpu" and name != "hashgrid"
    assert way(page)["on"] == ("gpu" if by_gpu else "arrays"), way(page)
    height, width = fitted.signal.grid
    found = colours(page)[:height, :width]
    assert np.ptp(found[..., :3]) > 200
    assert np.abs(found - decoded(fitted)).max() <= 2


@pytest.mark.parametrize("how", ["#gpu", "#arrays"])
@pytest.mark.parametrize("name", ["siren", "finer", "wire", "pemlp"])
def test_between_pixels_it_is_the_field_however_near(shown, name, how):
    fitted = fitted_image(name)
    page = shown(fitted, how=how)
    for level, x, y in ((3, 1, 0), (20, 100_000, 77_000)):
        with torch.no_grad():
            double = fitted.field.double()(coords_of_tile(fitted, level, x, y))
        fitted.field.float()
        wanted = (255 * double.clamp(0, 1)).round().reshape(TILE, TILE, 3).numpy()
        found = colours(page, level, x, y)[..., :3]
        assert np.abs(found - wanted).max() <= 2, level


@pytest.mark.parametrize(
    "about",
    [
        {"channels": 1},
        {"channels": 2},
        {"channels": 4},
        {"channels": 5},
        {"dtype": "uint16", "channels": 4},
        {"dtype": "uint16", "maximum": 1023, "high": 1023.0, "channels": 1},
        {"dtype": "uint16", "low": 1000.0, "high": 30_000.0},
        {"dtype": "float32"},
        {"dtype": "float32", "low": -2.0, "high": 3.0},
        {"dtype": "float32", "high": 12.0},
        {"dtype": "float32", "high": 12.0, "channels": 1},
    ],
)
def test_every_kind_of_picture_looks_as_its_reconstruction(shown, about):
    fitted = fitted_image("siren", **about)
    page = shown(fitted)
    height, width = fitted.signal.grid
    channels = about.get("channels", 3)
    alpha = channels - 1 if channels in {2, 4} else None
    found = colours(page)[:height, :width]
    assert np.ptp(found[..., :3]) > 80
    assert np.abs(found - decoded(fitted, alpha)).max() <= 2


def test_nothing_is_loaded_and_nothing_complains(shown):
    for fitted in (fitted_image("siren", source=NAME), fitted_sound("siren"), fitted_shape()):
        page = shown(fitted)
        until(page, "document.getElementById('status').textContent !== 'loading'")
        if fitted.signal.kind != "sdf":
            way(page)
        # What is composed without a GPU is read back from WebGL, which Chromium remarks upon.
        said = [row["message"] for row in page.get_log("browser")]
        assert [line for line in said if "GPU stall due to ReadPixels" not in line] == []
        sent = [json.loads(row["message"])["message"] for row in page.get_log("performance")]
        asked = {
            each["params"]["request"]["url"].partition(":")[0]
            for each in sent
            if each["method"] == "Network.requestWillBeSent"
        }
        assert asked <= {"file", "blob"}
        assert page.find_elements("css selector", "img") == []


def test_a_bad_name_is_text(shown):
    page = shown(fitted_image("siren", source=NAME))
    assert page.find_element("css selector", "h1").text == " ".join(
        NAME.rpartition("/")[2].replace("\udcff", "\\udcff").split()
    )


def test_keys_zoom_and_pan_and_are_listed(shown):
    page = shown(fitted_image("mlp"))
    way(page)
    until(page, "document.getElementById('zoom').textContent !== ''")
    body = page.find_element("css selector", "body")
    first = page.execute_script("return {...nint.view}")
    body.send_keys("+")
    assert page.execute_script("return nint.view.zoom") == pytest.approx(2 * first["zoom"])
    until(page, "document.getElementById('hint').textContent.includes('beyond the training')")
    body.send_keys("\ue014")  # the arrow to the right
    assert page.execute_script("return nint.view.x") > first["x"]
    body.send_keys("0")
    assert page.execute_script("return {...nint.view}") == first
    body.send_keys("1")
    until(page, "document.getElementById('hint').textContent === ''")
    body.send_keys("?")
    keys = page.find_element("id", "help")
    assert keys.is_displayed()
    assert "zoom in" in keys.text


def test_a_pinch_and_a_double_click_zoom_where_they_are(shown):
    page = shown(fitted_image("mlp"))
    way(page)
    until(page, "document.getElementById('zoom').textContent !== ''")
    zoom = "return nint.view.zoom"
    before = page.execute_script(zoom)
    for kind, apart in (("Start", 20), ("Move", 40), ("Move", 60)):
        points = [{"x": 400 - apart, "y": 200, "id": 0}, {"x": 400 + apart, "y": 200, "id": 1}]
        page.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points}
        )
    page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.execute_script(zoom) == pytest.approx(3 * before, rel=0.2)
    page.execute_script(
        "nint.fit(); document.getElementById('stage').dispatchEvent("
        "new MouseEvent('dblclick', {clientX: 100, clientY: 300}))"
    )
    assert page.execute_script(zoom) == pytest.approx(2 * before)
    assert page.execute_script("return nint.view.x") < 10  # of 20: towards where it was


def test_the_slider_uncovers_the_original(shown):
    fitted = fitted_image("siren")
    magenta = np.broadcast_to(np.uint8([255, 0, 255]), (14, 20, 3)).copy()
    page = shown(fitted, Picture(magenta, ""), "#gpu")
    until(page, "document.getElementById('status').textContent === 'WebGL 2'")
    look = (
        "((x, y) => { const c = document.getElementById('canvas');"
        "return [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]; })"
    )
    until(page, f"{look}(0.4, 0.5)[1] === 0")
    assert page.execute_script(f"return {look}(0.4, 0.5)") == [255, 0, 255, 255]
    assert page.execute_script(f"return {look}(0.6, 0.5)") != [255, 0, 255, 255]
    page.find_element("css selector", "body").send_keys("]" * 3)
    until(page, f"{look}(0.6, 0.5)[1] === 0")


def test_a_sound_is_the_field_at_every_sample(shown):
    fitted = fitted_sound("siren", samples=9000, channels=2)
    for how in ("#gpu", "#arrays"):
        page = shown(fitted, how=how)
        until(page, "nint.complete()")
        found = page.execute_script("return nint.field.channels.map((each) => [...each])")
        coords = torch.linspace(-5, 5, 9000, dtype=torch.float64)[:, None]
        with torch.no_grad():
            values = fitted.field.double()(coords).numpy()
        fitted.field.float()
        wanted = (values - 0.25) * 0.5
        assert np.abs(np.array(found).T - wanted).max() < 1e-3
        assert page.get_log("browser") == []


def test_a_sound_plays_and_is_sought(shown):
    page = shown(fitted_sound("mlp", samples=20_000))
    until(page, "nint.complete()")
    play = page.find_element("id", "play")
    play.click()
    until(page, "nint.player.position > 500")
    assert play.text == "Pause"
    play.click()
    assert not page.execute_script("return nint.player.playing")
    page.find_element("css selector", "body").send_keys("\ue011")  # Home
    stage = page.find_element("id", "stage")
    assert stage.get_attribute("aria-valuenow") == "0.00"
    stage.click()  # in the middle
    assert page.find_element("id", "time").text == "1.25 s of 2.50 s"


def test_the_spectrogram_has_its_tone_where_it_is(shown):
    """A field of one sine: 1 kHz of 4 kHz is a quarter up."""
    fitted = fitted_sound("siren", samples=8000, hidden_features=1, hidden_layers=1)
    with torch.no_grad():
        field = fitted.field
        field.weights[0].fill_(2 * np.pi * 1000 / 30 / 10)  # half_range 5: a second is 10
        field.weights[1].fill_(1.0)
        field.biases[1].fill_(0.25)
    page = shown(fitted)
    until(page, "nint.complete() && nint.field.spectrum.power.every((each) => each)")
    power = np.array(
        page.execute_script("return nint.field.spectrum.power.map((each) => [...each])")
    )
    assert set(power[5:-5].argmax(axis=1)) == {power.shape[1] // 4}


def test_a_shape_turns(shown):
    page = shown(fitted_shape())
    until(page, "document.getElementById('place').textContent !== ''")
    pictures = [page.execute_script("return nint.picture()")]
    body = page.find_element("css selector", "body")
    body.send_keys("\ue014")
    pictures.append(page.execute_script("return nint.picture()"))
    body.send_keys("+")
    pictures.append(page.execute_script("return nint.picture()"))
    assert len(set(pictures)) == 3
    body.send_keys("0")
    assert page.execute_script("return nint.picture()") == pictures[0]


def test_a_shape_is_seen_where_it_is(shown):
    """A ball fills the view, but for a rim."""
    page = shown(fitted_shape())
    until(page, "document.getElementById('place').textContent !== ''")
    count, width, height = page.execute_script(
        "nint.picture(); const g = document.getElementById('canvas').getContext('webgl2');"
        "const [w, h] = [g.drawingBufferWidth, g.drawingBufferHeight];"
        "const p = new Uint8Array(4 * w * h);"
        "g.readPixels(0, 0, w, h, g.RGBA, g.UNSIGNED_BYTE, p); let n = 0;"
        "for (let i = 3; i < p.length; i += 4) n += p[i] > 127; return [n, w, h]"
    )
    radius = min(width, height) / 2 / 1.08
    assert count == pytest.approx(np.pi * radius**2, rel=0.1)


@pytest.mark.parametrize("width", [390, 1440])
def test_no_width_makes_the_page_scroll_sideways(shown, width):
    magenta = np.zeros((14, 20, 3), np.uint8)
    for fitted, original in (
        (fitted_image("mlp", source="a" * 120), Picture(magenta, "")),
        (fitted_sound("mlp"), None),
    ):
        page = shown(fitted, original, width=width)
        page.execute_script("document.querySelector('details').open = true")
        assert page.execute_script("return document.documentElement.scrollWidth") <= width


def luminance(colour: str) -> float:
    numbers = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (number / 255 for number in numbers)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(shown, scheme):
    """A contrast of 4.5 and more, as WCAG 2.2 asks for."""
    page = shown(fitted_image("mlp"), Picture(np.zeros((14, 20, 3), np.uint8), ""))
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    body = page.find_element("css selector", "body").value_of_css_property("background-color")
    assert (luminance(body) < 0.1) == (scheme == "dark")
    for selector in ("h1", "#status", "#hint", "#zoom", ".compare span", "summary", "button"):
        found = page.find_element("css selector", selector)
        ground = found.value_of_css_property("background-color") if selector == "button" else body
        inks = luminance(found.value_of_css_property("color")), luminance(ground)
        assert (max(inks) + 0.05) / (min(inks) + 0.05) >= 4.5, selector


def test_everything_that_can_be_operated_has_a_name(shown):
    for fitted in (fitted_image("mlp"), fitted_sound("mlp"), fitted_shape()):
        page = shown(fitted)
        for element in page.find_elements("css selector", "button, input, [tabindex]"):
            if element.is_displayed():
                assert element.accessible_name, element.get_attribute("outerHTML")


def test_a_field_whose_gpu_differs_is_computed_by_typed_arrays(shown):
    fitted = fitted_image("siren")
    page_of = html.document

    def spoilt(*arguments):
        page = page_of(*arguments)
        return page.replace("return sin(reduced(z))", "return z").replace(
            "vec4 wave = sin(reduced(z));", "vec4 wave = z;"
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "document", spoilt)
        page = shown(replace(fitted))
    assert way(page) == {"on": "arrays", "why": "the GPU's results differ"}
    height, width = fitted.signal.grid
    assert np.abs(colours(page)[:height, :width] - decoded(fitted)).max() <= 2


def test_a_gpu_that_is_slower_than_typed_arrays_is_left_alone(shown):
    """A GPU that takes 0.3 s for a call, as one in software does for a large field."""
    page_of = html.document

    def slowed(*arguments):
        return page_of(*arguments).replace(
            "async function finished(gl) {",
            "async function finished(gl) { await new Promise((r) => setTimeout(r, 300));",
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "document", slowed)
        page = shown(fitted_image("siren"))
    assert way(page) == {"on": "arrays", "why": "the GPU is slower"}
