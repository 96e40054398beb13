"""The page of a comparison, without a browser: its figures, its names, and what is not there."""

import base64
import hashlib
import html
import io
import json
import re
import subprocess
import sys
import warnings
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import numpy as np
import pytest
import soundfile
from PIL import Image

from nint_cli import cli
from nint_cli.comparison.page import gallery, media
from nint_cli.comparison.page.document import render, verdict
from nint_cli.comparison.page.plots import quality_plot
from nint_cli.comparison.page.template import environment
from nint_cli.comparison.record import Comparison
from tests.comparison.test_comparison import compared, run
from tests.conftest import smooth_pixels

WORDS = ["--preset=smoke", "--set=siren.hidden_features=8", "--steps=4", "-q"]
SHOWN = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A comparison of two samplers and two seeds on one picture, wider than a page shows."""
    folder = tmp_path_factory.mktemp("runs")
    Image.fromarray(np.tile(smooth_pixels()[:8], (1, 33, 1))[:, :520]).save(folder / "wide.png")
    names = []
    for sampler in ("nint", "uniform"):
        for seed in ("0", "1"):
            names.append(str(folder / f"{sampler}{seed}"))
            words = ["fit", "image", str(folder / "wide.png"), *WORDS, "-o", names[-1]]
            more = [
                "--sampler",
                sampler,
                "--seed",
                seed,
                "--set=evaluation.selections=true",
                "--set=image.size=520",
            ]
            assert cli.run([*words, *more]) == 0
    assert cli.run(["compare", "runs", *names, "-q", "--target=5", "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def comparison(runs) -> Comparison:
    return Comparison.model_validate_json((runs / "compare.json").read_text())


class Reader(HTMLParser):
    """Collects figures with what is shown of them, cells without their figures, and addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.figures: list[tuple[str, str, str]] = []
        self.bare: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._figure: list[str] | None = None
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [
            given[key] or "" for key in ("src", "href", "xlink:href") if key in given
        ]
        self.addresses += re.findall(r"url\(([^)]*)\)", given.get("style") or "")
        if "data-path" in given:
            self._figure = [given["data-path"] or "", given["data-value"] or "", ""]
        elif tag == "td":
            self._cell = given.get("class", "") not in {"text", "text bad", "text long"}

    def handle_data(self, data):
        if self._figure is not None:
            self._figure[2] += data
        elif self._cell:
            self.bare.append(data)

    def handle_endtag(self, tag):
        if tag == "span" and self._figure is not None:
            path, value, shown = self._figure
            self.figures.append((path, value, shown))
            self._figure = None
        elif tag == "td":
            self._cell = False


def looked_up(document, path: str):
    for key in path.split("/")[1:]:
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def pictures(page: str) -> list[Image.Image]:
    found = re.findall(r"data:image/webp;base64,([\w+/=]+)", page)
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


def with_runs(comparison: Comparison, **changed) -> Comparison:
    """Change the first run."""
    first = comparison.runs[0].model_copy(update=changed)
    return comparison.model_copy(update={"runs": [first, *comparison.runs[1:]]})


def test_every_figure_in_a_table_is_the_json_s_rounded(comparison, runs):
    page = Reader(render(comparison, runs))
    document = json.loads(comparison.model_dump_json())
    assert len(page.figures) > 60
    for path, value, shown in page.figures:
        assert float(value) == looked_up(document, path), path
        digits = SHOWN.search(shown)
        assert digits is not None, path
        last = Decimal(digits[0]).as_tuple().exponent
        assert isinstance(last, int)
        assert abs(float(digits[0]) - float(value)) <= 0.5001 * 10.0**last, path
    assert [text for text in page.bare if re.search(r"\d", text)] == []


def test_the_sentence_says_what_the_tables_say(comparison, runs):
    page = Reader(render(comparison, runs))
    shown = {digits[0].lstrip("+-") for _, _, t in page.figures if (digits := SHOWN.search(t))}
    said = re.findall(r"\d+\.\d+", verdict(comparison))
    assert len(said) >= 2
    assert set(said) <= shown


def test_nothing_is_loaded_and_only_the_page_s_own_script_may_run(comparison, runs):
    page = render(comparison, runs)
    outside = [
        each for each in Reader(page).addresses if not each.startswith(("data:image/", "#"))
    ]
    assert outside == []
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(script) == 1
    assert len(script[0].encode()) < 10_000
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html.unescape(page)  # fmt: skip  # noqa: E501


def test_without_the_script_everything_is_there(comparison, runs):
    assert re.findall(r"<[^>]*\shidden[\s>=]", render(comparison, runs)) == []


def test_the_same_comparison_gives_the_same_page(comparison, runs):
    page = render(comparison, runs)
    assert render(comparison, runs) == page
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_names_are_shown_and_do_nothing(comparison, runs):
    bad = "<script>x</script>\"'\x1b\u202e\n"
    document = comparison.model_dump_json().replace("nint", "NAME").replace("wide", "NAME")
    document = document.replace("NAME_version", "nint_version").replace(
        "NAME", json.dumps(bad)[1:-1]
    )
    page = render(Comparison.model_validate_json(document), runs)
    assert Reader(page).tags.count("script") == 1
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;x&lt;/script&gt;&#34;&#39;\\x1b\\u202e\\n" in page


def test_large_pictures_are_shown_smaller_and_the_original_once(comparison, runs):
    page = render(comparison, runs)
    assert "Shown at 512x8 pixels" in page
    found = pictures(page)
    assert max(max(image.size) for image in found) == media.SIDE
    originals = re.findall(r"--original:url\((data:[^)]*)\)", page)
    assert len(originals) == 1
    assert page.count(originals[0]) == 1
    assert page.count('class="slider"') == 2


@pytest.mark.parametrize("change", ["gone", "other"])
def test_an_original_that_is_not_there_is_not_made_up(comparison, runs, change):
    path = runs / "wide.png"
    kept = path.read_bytes()
    try:
        path.unlink()
        if change == "other":
            Image.new("RGB", (520, 8)).save(path)
        page = render(comparison, runs)
    finally:
        path.write_bytes(kept)
    assert "No original and no error maps" in page
    assert 'class="slider"' not in page
    assert "Error map" not in page
    assert 'alt="Reconstruction by nint' in page


def test_a_run_without_a_result_is_said_where_it_would_be(comparison, runs):
    lost = {"status": "failed", "value": None, "error": "out of <memory>"}
    page = render(with_runs(comparison, **lost), runs)
    assert "nint has no result in 1 of 2 runs." in page
    assert "Nothing of nint: that run has no result." in page
    assert "<details open>" in page
    assert '<td class="text bad">failed</td>' in page
    assert "out of &lt;memory&gt;" in page
    assert "<details>" in render(comparison, runs)


def test_a_folder_that_is_gone_leaves_the_figures(comparison, tmp_path):
    page = render(comparison, tmp_path)
    assert "The run folders hold nothing that can be shown." in page
    assert 'data-path="/summaries/0/value/mean"' in page


def test_exact_runs_are_in_no_mean_and_are_told(comparison):
    exact = with_runs(comparison, value=None, exact=True)
    assert "nint is exact in 1 of 2 runs, which no mean holds." in verdict(exact)


def test_a_target_that_one_variant_misses_has_no_cost_and_no_speed_up(tmp_path):
    found = compared(
        [run("uniform", 0, (1, 1.0, 10.0), (2, 2.0, 12.0)), run("nint", 0, (1, 1.0, 20.0))],
        targets=[15.0],
    )
    page = Reader(render(found, tmp_path))
    paths = [path for path, _, _ in page.figures]
    assert "/summaries/1/to_target/15/train_s/mean" in paths
    assert not any("/summaries/0/to_target/15/train_s" in path for path in paths)
    assert not any("speedup" in path for path in paths)


def test_an_interval_around_nothing_is_no_clear_difference(comparison):
    apart = [
        *(run("uniform", seed, (1, 1.0, 20.0 + seed % 2)) for seed in range(4)),
        *(run("nint", seed, (1, 1.0, 22.0 - 1.5 * (seed % 2))) for seed in range(4)),
    ]
    assert "But no clear difference: nint is 0.75 dB above uniform" in verdict(compared(apart))
    apart[4:] = [run("nint", seed, (1, 1.0, 22.0 + seed % 2)) for seed in range(4)]
    assert "no clear difference" not in verdict(compared(apart))
    assert "over 4 seeds of one input." in verdict(compared(apart))


def test_runs_that_broke_off_are_told_and_drawn_nowhere(tmp_path):
    found = [
        run("uniform", 0, (1, 1.0, 20.0), (2, 2.0, 21.0)),
        run("nint", 0, (1, 1.0, 22.0), (2, 2.0, 23.0)),
        run("nint", 1, (1, 0.5, 99.0), status="diverged"),
    ]
    report = compared(found)
    assert "nint broke off in 1 of 2 runs, which no mean has." in verdict(report)
    page = render(report, tmp_path)
    assert "nint on photo, seed 1: diverged after 1 step; left out of means" in page
    assert '<td class="text">left out</td>' in page
    alone = render(compared(found[:2]), tmp_path)
    assert page.count("<svg") == alone.count("<svg") == 3
    assert re.findall("<svg.*?</svg>", page, re.DOTALL) == re.findall(
        "<svg.*?</svg>", alone, re.DOTALL
    )


def test_two_seeds_of_one_input_of_two_say_nothing_of_inputs(tmp_path):
    found = [run("uniform", 0, name="b"), run("nint", 0, name="b")]
    for seed in (0, 1):
        found.append(run("uniform", seed, (1, 1.0, 20.0), name="a"))
        found.append(run("nint", seed, (1, 1.0, 21.0 + seed), name="a"))
    report = compared(found, inputs=("a", "b"))
    over = "over 1 input, seeds averaged"
    assert f"nint is 1.50 dB above uniform, {over}, which leaves" in verdict(report)
    page = render(report, tmp_path)
    assert '<span class="range">no interval</span>' in page
    assert f"differences are {over}, with no interval below 4 inputs" in page
    assert "over 2 seeds of one input, with no interval below 4 seeds of one input" in page


def test_only_the_first_inputs_are_shown_and_the_page_stays_small(comparison, runs, monkeypatch):
    entries, found = [], []
    for number in range(gallery.MOST_INPUTS + 2):
        name = f"input{number}"
        entries.append(comparison.inputs[0].model_copy(update={"name": name}))
        found += [each.model_copy(update={"input": name}) for each in comparison.runs]
    many = comparison.model_copy(update={"inputs": entries, "runs": found})
    page = render(many, runs)
    assert page.count("--original:") == gallery.MOST_INPUTS
    assert "2 more inputs left out here" in page
    first = gallery.gallery(many, runs).entries[0]
    uris = re.findall(r"data:image/webp;base64,[\w+/=]+", render(comparison, runs))
    bar = gallery.gallery(many, runs).heat_bar
    assert first.characters == sum(len(uri) for uri in uris if uri != bar)
    monkeypatch.setattr(gallery, "MOST_CHARACTERS", first.characters)
    page = render(many, runs)
    assert page.count("--original:") == 2
    assert f"{gallery.MOST_INPUTS} more inputs left out here" in page


def test_a_name_of_several_lines_stays_a_command_that_can_be_copied(comparison, tmp_path):
    command = "nint fit image 'a\nb<.png'"
    page = render(comparison.model_copy(update={"command": command}), tmp_path)
    code = re.findall(r"<code>(.*?)</code>", page, re.DOTALL)
    commands = [command, *(each.command for each in comparison.runs)]
    assert [html.unescape(each) for each in code] == ["\n".join(filter(None, commands))]


def test_long_names_leave_the_curves_room(comparison):
    long = " ".join(f"nint.setting_{each}=0.123" for each in range(9))
    runs = [
        each.model_copy(update={"variant": f"{each.variant} {long}"}) for each in comparison.runs
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quality_plot(runs, [each.variant for each in runs], "train_s", "PSNR, dB", "a")


def test_a_template_without_a_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        environment().from_string("{{ nothing }}").render()


def test_jinja_is_loaded_for_a_report_only():
    script = (
        "import sys, nint_cli.comparison.files\n"
        "found = {name for name in sys.modules if name.partition('.')[0] == 'jinja2'}\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_players_hold_a_bounded_part_and_say_so(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    wave = np.zeros((1000, 3), np.float32)
    wave[5] = 1.5
    soundfile.write(tmp_path / "a" / "reconstruction.wav", wave, 1000, subtype="FLOAT")
    monkeypatch.setattr(media, "SOUND_BYTES", 800)
    found = media.sounds({"nint": run("nint", 0).model_copy(update={"folder": "a"})}, tmp_path)
    assert found is not None
    assert found.original is None
    assert found.why_not is not None
    assert found.changes == [
        "the first 0.2 of 1.0 s", "the first 2 of 3 channels", "values beyond full scale cut off",
    ]  # fmt: skip
    content = base64.b64decode(found.reconstructions["nint"].partition(",")[2])
    played, rate = soundfile.read(io.BytesIO(content))
    assert (played.shape, rate) == ((200, 2), 1000)
    assert len(content) < 800 + 100
