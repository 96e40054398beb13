import http.server
import threading
from functools import partial
from pathlib import Path

import pytest

from nint_cli.errors import InputError
from nint_cli.signals import elsewhere
from nint_cli.signals.elsewhere import fetch, is_elsewhere, plain
from nint_cli.signals.source import distinct_stem, identity, source_stem

CONTENT = bytes(range(256)) * 50_000


@pytest.fixture
def server(tmp_path):
    """An HTTP server, which knows no ranges, of one file; give its address."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served/a b.png").write_bytes(CONTENT)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


@pytest.fixture
def quiet_server(server, monkeypatch):
    monkeypatch.setattr(
        http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None, raising=True
    )
    return server


def test_an_address_is_read_as_a_stream(quiet_server, tmp_path):
    pytest.importorskip("aiohttp")
    fetch(f"{quiet_server}/a%20b.png?of=me", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


def test_what_an_address_has_not(quiet_server, tmp_path, monkeypatch):
    pytest.importorskip("aiohttp")
    with pytest.raises(InputError, match=r"none\.png': there is nothing"):
        fetch(f"{quiet_server}/none.png", tmp_path / "copy")
    with pytest.raises(InputError, match=r"'http://127\.0\.0\.1:1/a\.png': Connect call failed"):
        fetch("http://127.0.0.1:1/a.png", tmp_path / "copy")
    monkeypatch.setattr(elsewhere, "_MOST", 1000)
    with pytest.raises(InputError, match="more than 1,000 bytes come from there; save it"):
        fetch(f"{quiet_server}/a%20b.png", tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size <= 1 << 22


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (404, {}, "there is nothing"),
        (410, {}, "there is nothing"),
        (403, {}, "the server answers with an error, 403"),
        (500, {}, "the server answers with an error, 500"),
        (302, {"Location": "file:///etc/hostname"}, "it leads to an address of another kind"),
        (302, {"Location": "/a"}, "or in circles"),
        (200, {"Content-Length": "1000"}, "the connection ended before all of it had come"),
    ],
)
def test_what_a_server_answers(monkeypatch, tmp_path, quiet_server, status, headers, reason):
    pytest.importorskip("aiohttp")

    def answer(self):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"x")

    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "do_GET", answer)
    with pytest.raises(InputError, match=reason):
        fetch(f"{quiet_server}/a", tmp_path / "copy")


@pytest.mark.parametrize("address", ["https://x.org/a.png", "s3://bucket/a.png"])
def test_a_package_that_is_missing_is_named(monkeypatch, tmp_path, address):
    def missing(*_, **__):
        raise ImportError("HTTPFileSystem requires a client")

    monkeypatch.setattr("fsspec.open", missing)
    with pytest.raises(InputError, match=r"requires a client\); pip install 'nint\[remote\]'"):
        fetch(address, tmp_path / "copy")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ftp://x.org/a.png", "are not read; download it first"),
        ("memory://a", "are not read; download it first"),
        ("github://a:b@c/d", "are not read; download it first"),
        ("file://other-host/a", "has three slashes, file:///PATH"),
    ],
)
def test_other_addresses_are_not_followed(tmp_path, address, reason):
    assert is_elsewhere(address)
    with pytest.raises(InputError, match=reason):
        fetch(address, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_names_of_what_is_elsewhere():
    assert source_stem("-") == "stdin"
    assert source_stem("https://x.org/pictures/a%20b.tar.png?q=1#here") == "a_b.tar"
    assert source_stem("https://x.org/") == "input"
    assert source_stem("file:///tmp/a%20b.png") == "a_b"
    assert distinct_stem("https://x.org/a.png") != distinct_stem("https://y.org/a.png")
    assert identity("-") == "-"
    assert identity("./-") == str(Path("-").absolute())
    assert identity("file:///tmp/a%20b.png") == "/tmp/a b.png"
    assert identity("file://localhost/tmp/a.png") == "/tmp/a.png"
    assert identity("https://x.org/a.png?q=1") == "https://x.org/a.png?q=1"
    assert not any(map(is_elsewhere, ("a.png", "C:\\a", "c://a", "sample:a", "./-", "a://b"[1:])))


def test_an_address_with_a_password_is_refused_and_not_shown():
    with pytest.raises(InputError, match=r"an address at 'x\.org:80' with a name or") as caught:
        plain("https://me:secret@x.org:80/a.png")
    assert "secret" not in str(caught.value)
