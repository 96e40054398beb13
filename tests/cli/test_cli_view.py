"""`nint view`: a page where it was asked for, or in a temporary place, and a browser if any."""

import tempfile
import webbrowser
from pathlib import Path

import pytest

from nint_cli.cli import view
from tests.cli.test_cli import nint


@pytest.fixture
def run(capsys, smoke) -> Path:
    code, _, said = nint(capsys, *smoke, "-o", "run")
    assert code == 0, said
    return Path("run")


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The addresses that a browser was asked for, on a machine with a screen."""
    found: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", lambda address: found.append(address) or True)
    return found


def test_the_page_of_a_run_opens_from_a_temporary_place(
    capsys, run, opened, monkeypatch, tmp_path
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, out, err = nint(capsys, "view", run)
    assert code == 0, err
    page = Path(out.strip())
    assert page.name == "picture.html"
    assert page.parent.parent == tmp_path
    assert opened == [page.as_uri()]
    text = page.read_text(encoding="utf-8")
    assert "<title>picture.png</title>" in text
    assert "original" in text[text.index('id="document"') :]
    assert "weights of 16 bits" in err


def test_a_page_can_be_kept_and_left_closed(capsys, run, opened):
    words = ("view", run, "-o", "page.html", "--no-open")
    assert nint(capsys, *words, "-q")[:2] == (0, "page.html\n")
    assert opened == []
    content = Path("page.html").read_bytes()
    code, _, err = nint(capsys, *words)
    assert code == 4
    assert "'page.html' exists" in err
    assert nint(capsys, *words, "--overwrite", "--no-original")[0] == 0
    assert len(Path("page.html").read_bytes()) < len(content)


def test_without_a_screen_or_a_browser_the_page_is_named(capsys, run, opened, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(view.sys, "platform", "linux")
    code, out, err = nint(capsys, "view", run, "-o", "page.html")
    assert (code, out) == (0, "page.html\n")
    assert "no browser to open" in err
    assert opened == []

    def none(_address):
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", none)
    code, _, err = nint(capsys, "view", run, "-o", "page.html", "--overwrite")
    assert code == 0
    assert "no browser to open" in err


def test_what_cannot_be_shown_is_refused_in_a_line(capsys, run):
    Path("text.txt").write_text("none")
    for words, expected, code in (
        (("nowhere",), "no such run folder or file", 3),
        (("text.txt",), "text.txt", 3),
        ((run, "--step", 77), "no checkpoint of step 77", 3),
        ((run, "-o", "gone/page.html"), "there is no folder", 4),
        ((run, "-o", "."), "it is a folder", 4),
    ):
        got, out, err = nint(capsys, "view", *words, "--no-open")
        assert got == code
        assert expected in err
        assert out == ""
        assert len(err.splitlines()) == 1


def test_an_input_that_is_gone_is_left_out(capsys, run, picture):
    picture.unlink()
    code, _, err = nint(capsys, "view", run, "-o", "page.html", "--no-open")
    assert code == 0
    assert "without the original" in err
