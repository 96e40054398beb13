"""A report in a headless Chromium: what works, and that nothing is loaded from anywhere."""

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from nint_cli import cli
from tests.conftest import smooth_pixels

WORDS = ["--preset=smoke", "--set=image.size=24", "--set=siren.hidden_features=8"]
NAME = "<img src=x onerror=alert(1)> & 'it'.png"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report on two variants and two seeds of a picture with a bad name."""
    folder = tmp_path_factory.mktemp("report")
    Image.fromarray(smooth_pixels()).save(folder / NAME)
    before = Path.cwd()
    os.chdir(folder)
    try:
        runs = []
        for sampler in ("nint", "uniform"):
            for seed in ("0", "1"):
                runs.append(f"{sampler}{seed}")
                fit = ["fit", "image", *WORDS, "--steps=6", "-q", "--seed", seed, "-o", runs[-1]]
                shown = ["--set=evaluation.selections=true", "--sampler", sampler]
                assert cli.run([*fit, *shown, "--", NAME]) == 0
        assert cli.run(["compare", "runs", *runs, "-q", "--target=5", "-o", "out"]) == 0
    finally:
        os.chdir(before)
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser():
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        assert "NINT_REQUIRE_BROWSER" not in os.environ, "chromium and chromedriver are gone"
        pytest.skip("needs Debian's chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield window
    window.quit()


@pytest.fixture
def page(browser, report):
    """The report, as wide as a desk."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(report.as_uri())
    return browser


def all_of(page, selector: str):
    return page.find_elements("css selector", selector)


pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def test_nothing_is_loaded_and_nothing_complains(page, report):
    assert page.get_log("browser") == []
    sent = [json.loads(row["message"])["message"] for row in page.get_log("performance")]
    asked = [
        each["params"]["request"]["url"]
        for each in sent
        if each["method"] == "Network.requestWillBeSent"
    ]
    outside = [url for url in asked if not url.startswith("data:")]
    assert outside == [report.as_uri()]
    assert all(image.get_property("naturalWidth") > 0 for image in all_of(page, "img")[:3])


def test_a_bad_name_is_shown_and_does_nothing(page):
    assert NAME not in page.page_source
    assert "<img src=x onerror" not in page.page_source
    assert "img_src_x_onerror" in all_of(page, "h1")[0].text  # its harmless stem
    assert all_of(page, "img[src=x]") == []


def test_the_slider_uncovers_the_original(page):
    from selenium.webdriver.common.keys import Keys

    slider = all_of(page, ".slider input")[0]
    above = all_of(page, ".slider .above")[0]
    assert "50%" in above.value_of_css_property("clip-path")
    slider.send_keys(Keys.END)
    assert slider.get_attribute("value") == "100"
    assert above.value_of_css_property("clip-path") in {"inset(0px)", "inset(0px 0% 0px 0px)"}
    assert "nint" in slider.get_attribute("aria-label")


def test_another_variant_is_uncovered_as_far(page):
    from selenium.webdriver.common.keys import Keys

    first, second = all_of(page, ".slider")
    first.find_element("css selector", "input").send_keys(Keys.HOME)
    tab = next(each for each in all_of(page, "[role=tab]") if each.text == "uniform")
    tab.click()
    assert not first.is_displayed()
    assert second.is_displayed()
    above = second.find_element("css selector", ".above")
    assert above.value_of_css_property("clip-path") == "inset(0px 100% 0px 0px)"
    assert above.value_of_css_property("background-image").startswith('url("data:image/')


def test_tabs_switch_by_mouse_and_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    box = all_of(page, ".tabs")[0]
    tabs = box.find_elements("css selector", "[role=tab]")
    panels = box.find_elements("css selector", "[role=tabpanel]")
    assert [panel.is_displayed() for panel in panels] == [True, False, False]
    tabs[1].click()
    assert [panel.is_displayed() for panel in panels] == [False, True, False]
    tabs[1].send_keys(Keys.ARROW_RIGHT)
    assert [panel.is_displayed() for panel in panels] == [False, False, True]
    assert page.switch_to.active_element == tabs[2]
    assert tabs[2].get_attribute("aria-selected") == "true"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_width_makes_the_page_scroll_sideways(page, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_script("document.querySelector('details').open = true")
    wide = page.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width


def luminance(colour: str) -> float:
    numbers = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (number / 255 for number in numbers)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(page, scheme):
    """A contrast of 4.5 and more, as WCAG 2.2 asks for."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    body = all_of(page, "body")[0].value_of_css_property("background-color")
    assert (luminance(body) < 0.1) == (scheme == "dark")
    for selector in ("h1", "p.soft", "td", "thead th", ".caption", ".range", "svg text"):
        found = all_of(page, selector)
        if not found:
            continue
        name = "fill" if selector.startswith("svg") else "color"
        ink = luminance(found[0].value_of_css_property(name))
        high, low = max(ink, luminance(body)), min(ink, luminance(body))
        assert (high + 0.05) / (low + 0.05) >= 4.5, selector


def test_every_figure_is_the_one_of_the_json(page, report):
    document = json.loads(report.with_name("compare.json").read_text())
    cells = all_of(page, "[data-path]")
    assert len(cells) > 12
    for cell in cells:
        found = document
        for key in cell.get_attribute("data-path").split("/")[1:]:
            found = found[int(key)] if isinstance(found, list) else found[key]
        assert float(cell.get_attribute("data-value")) == found


def test_everything_that_can_be_operated_has_a_name(page):
    for element in all_of(page, "button, input, audio"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")
    for image in all_of(page, "img"):
        assert image.get_attribute("alt")
