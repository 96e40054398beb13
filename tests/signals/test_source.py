"""Files and streams that are read with a limit."""

import io

import pytest

from nint_cli.signals import source
from nint_cli.signals.source import read_up_to


class Endless(io.RawIOBase):
    """Zeros without end, which counts what was taken."""

    taken = 0

    def read(self, size=-1):
        self.taken += size
        return bytes(size)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11])
def test_a_file_and_a_stream_are_read_whole(tmp_path, monkeypatch, size):
    monkeypatch.setattr(source, "_BLOCK", 4)
    content = bytes(range(size))
    (tmp_path / "a").write_bytes(content)
    assert read_up_to(tmp_path / "a", 10) == content
    stream = io.BytesIO(content)
    assert read_up_to(stream, 10) == content
    assert not stream.closed


@pytest.mark.parametrize(("most", "taken"), [(0, 4), (3, 4), (4, 8), (10, 12), (11, 12)])
def test_what_goes_on_is_left_after_a_block(monkeypatch, most, taken):
    monkeypatch.setattr(source, "_BLOCK", 4)
    endless = Endless()
    assert len(read_up_to(endless, most)) == endless.taken == taken > most


def test_short_reads_of_a_pipe_do_not_end_it():
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.left = [b"ab", b"c", b"", b"never read"]

        def read(self, size=-1):
            return self.left.pop(0)

    assert read_up_to(Pipe(), 100) == b"abc"
