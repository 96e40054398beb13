"""Where the bytes of a sound come from, and what no decoder here knows.

libsndfile is given a file descriptor, so that no Python runs inside it: an interrupt that comes in
a callback from C is lost.
"""

import io
import os
import re
import shlex
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import soundfile

from nint_cli.modalities.audio import sample_sounds
from nint_cli.signals.source import SAMPLE_PREFIX

# Kinds that libsndfile does not know, by what their files start with, or are called.
_FOREIGN = (
    (re.compile(rb"....ftyp", re.DOTALL), {".m4a", ".m4b", ".mp4", ".mov"}, "MPEG-4 (AAC)"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), {".aac"}, "AAC"),
    (re.compile(rb"\x30\x26\xb2\x75"), {".wma", ".asf"}, "Windows Media"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), {".mka", ".mkv", ".webm"}, "Matroska or WebM"),
    (re.compile(rb"#!AMR"), {".amr"}, "AMR"),
)
_MPEG = re.compile(rb"ID3|\xff[\xe0-\xff]")
_HEAD = 16
_HEADER = 1 << 16  # where the samples of a WAV file begin, whatever is told before them
_STANDARD_ERROR = 2


class Unsupported(Exception):
    """The file is sound, but nothing that can be fitted; says why, as a clause."""


@dataclass(frozen=True)
class Stream:
    """An input that can be decoded.

    Attributes:
        file: What soundfile takes: a descriptor at its first byte, or bytes.
        name: The file's name.
        head: The first bytes.
        left_open: Whether its header says that it holds nothing, though it does.
    """

    file: int | io.BytesIO
    name: str
    head: bytes
    left_open: bool = False

    def foreign(self) -> str | None:
        """Say what kind this is that libsndfile does not know; None if none is known."""
        by_name = Path(self.name).suffix.lower()
        for magic, suffixes, kind in _FOREIGN:
            if magic.match(self.head) or by_name in suffixes:
                return f"{kind} is not read here; {to_wav(self.name)}"
        return None


def to_wav(name: str) -> str:
    """Give the command that makes any sound a WAV file."""
    target = str(Path(name).with_suffix(".wav"))
    target = target if target != name else str(Path(name).with_suffix(".new.wav"))
    return f"convert it first: ffmpeg -i {shlex.quote(name)} {shlex.quote(target)}"


@contextmanager
def opened(source: str, most: int) -> Iterator[Stream]:
    """Open an input.

    Args:
        source: A path, or ``sample:NAME``.
        most: Bytes up to which something that is no plain file, a pipe say, is taken in.

    Yields:
        The stream; `Unsupported` is raised for one that is empty or does not end.
    """
    if source.startswith(SAMPLE_PREFIX):
        waveform = sample_sounds.sound(source.removeprefix(SAMPLE_PREFIX))
        buffer = io.BytesIO()
        rate = sample_sounds.SAMPLE_RATE_HZ
        soundfile.write(buffer, waveform, rate, format="WAV", subtype="PCM_16")
        yield Stream(io.BytesIO(buffer.getvalue()), source + ".wav", b"")
        return
    with Path(source).open("rb", buffering=0) as file:
        plain = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        if plain and not _left_open(file):
            yield _stream(file, source)
            return
        with tempfile.TemporaryFile(buffering=0) as copy:
            _spool(file, copy, most)
            left_open = _left_open(copy)
            if left_open:
                _mark_left_open(copy)
            yield replace(_stream(copy, source), left_open=left_open)


@contextmanager
def quiet(stream: Stream) -> Iterator[None]:
    """Keep mpg123, which writes what it thinks of a file to the process's own stderr, from it.

    Args:
        stream: Only one that may be MPEG audio is decoded by it.
    """
    if not _MPEG.match(stream.head) or stream.file == _STANDARD_ERROR:
        yield  # where it is closed, the file itself may have got its number
        return
    try:
        before = os.dup(_STANDARD_ERROR)
    except OSError:  # closed: nothing can be written to it anyway
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STANDARD_ERROR)
        os.close(nowhere)
        yield
    finally:
        os.dup2(before, _STANDARD_ERROR)
        os.close(before)


def _stream(file: io.FileIO | IO[bytes], name: str) -> Stream:
    file.seek(0)
    if not (head := file.read(_HEAD)):
        raise Unsupported("the file is empty")
    file.seek(0)
    return Stream(file.fileno(), name, head)


def _left_open(file: io.FileIO | IO[bytes]) -> bool:
    """Tell whether a WAV file says that it holds nothing, because its writer could not go back.

    Of one that was finished, the size in the first line is that of the file.
    """
    file.seek(0)
    header = file.read(_HEADER)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
        return False
    promised = int.from_bytes(header[4:8], "little") + 8
    place = 12
    while place + 8 <= len(header):
        name, length = struct.unpack_from("<4sI", header, place)
        if name == b"data":
            return length == 0 and place + 8 < size and promised not in (size, size - 1)
        place += 8 + length + length % 2
    return False


def _mark_left_open(copy: IO[bytes]) -> None:
    """Let libsndfile, which knows a RIFF of 8 bytes for one left open, read it to its end."""
    copy.seek(4)
    copy.write(struct.pack("<I", 8))


def _spool(file: io.FileIO, copy: IO[bytes], most: int) -> None:
    size = 0
    while piece := file.read(1 << 22):
        size += len(piece)
        if size > most:
            raise Unsupported(
                f"more than {most:,} bytes, which no sound within audio.max_samples has; raise "
                "that limit if it is one"
            )
        copy.write(piece)
