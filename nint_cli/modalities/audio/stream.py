"""Where the bytes of a sound come from, and what no decoder here knows.

libsndfile is given a file descriptor, so that no Python runs inside it: an interrupt that comes in
a callback from C is lost.
"""

import io
import mmap
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import soundfile

from nint_cli.modalities.audio import ffmpeg, sample_sounds
from nint_cli.modalities.audio.parts import Division, Unreadable, divided
from nint_cli.modalities.audio.riff import Piece
from nint_cli.modalities.quiet import standard_error_closed
from nint_cli.signals.source import SAMPLE_PREFIX

MPEG_SUFFIXES = (".mp3", ".mp2", ".mp1", ".mpga")
_HEAD = 64
_AT_ONCE = 1 << 22
_MOST_PARTS = 256  # each is a file that is open while they are read
_STANDARD_ERROR = 2


class Unsupported(Exception):
    """The file is sound, but nothing that can be fitted; says why, as a clause."""


@dataclass(frozen=True)
class Stream:
    """An input that can be decoded.

    Attributes:
        file: What soundfile takes: a descriptor at its first byte, or bytes.
        name: The file's name.
        path: Where its content is on disk; None for a built-in sound.
        head: The first bytes.
    """

    file: int | io.BytesIO
    name: str
    path: str | None
    head: bytes

    @property
    def suffix(self) -> str:
        """What its name ends in."""
        return Path(self.name).suffix.lower()

    def foreign(self) -> str | None:
        """Say what kind this is that libsndfile does not know; None if none is known."""
        for kind in ffmpeg.KINDS:
            if kind.magic.match(self.head) or self.suffix in kind.suffixes:
                way = ffmpeg.to_wav(self.name)
                return f"{kind.name}, for which nint needs ffmpeg, is not read here; {way}"
        return None


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
        yield Stream(io.BytesIO(buffer.getvalue()), source + ".wav", None, b"")
        return
    with Path(source).open("rb", buffering=0) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            yield _stream(file, source, source)
            return
        with tempfile.NamedTemporaryFile(buffering=0) as copy:
            _spool(file, copy, most)
            yield _stream(copy, source, copy.name)


@contextmanager
def parts_of(stream: Stream, most: int) -> Iterator[tuple[Sequence[int | io.BytesIO], Division]]:
    """Open what a stream is to be decoded from.

    Args:
        stream: The stream.
        most: Bytes up to which what ffmpeg makes of it may grow.

    Yields:
        Descriptors for libsndfile, of parts that follow each other, and what is to be said of
        them.

    Raises:
        Unsupported: If nothing can be decoded.
    """
    if stream.path is None or isinstance(stream.file, io.BytesIO):
        yield [stream.file], Division()
        return
    kind = ffmpeg.kind_of(stream.head)
    if kind is not None and ffmpeg.is_there():
        try:
            with ffmpeg.decoded(kind, stream.path, most) as (target, complaint):
                notes = [f"{kind.name}, decoded by ffmpeg"]
                notes += [f"ffmpeg says of it: {complaint}"] if complaint else []
                with target.open("rb", buffering=0) as file:
                    yield [file.fileno()], Division(notes=tuple(notes))
        except ffmpeg.Failed as error:
            raise Unsupported(f"{kind.name}: {error}") from None
        return
    with mmap.mmap(stream.file, 0, access=mmap.ACCESS_READ) as data, ExitStack() as stack:
        try:
            named_mpeg = kind is None and stream.suffix in MPEG_SUFFIXES
            division = divided(data, named_mpeg=named_mpeg)
        except Unreadable as error:
            raise Unsupported(f"{error}") from None
        if len(division.parts) > _MOST_PARTS:
            raise Unsupported(
                f"it is {len(division.parts):,} streams joined end to end, more than "
                f"{_MOST_PARTS}; {ffmpeg.to_wav(stream.name)}"
            )
        files = [stack.enter_context(_put_together(data, part)) for part in division.parts]
        yield [file.fileno() for file in files] or [stream.file], division


@contextmanager
def _put_together(data: mmap.mmap, pieces: Sequence[Piece]) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            if isinstance(piece, bytes):
                file.write(piece)
                continue
            for start in range(*piece, _AT_ONCE):
                file.write(data[start : min(start + _AT_ONCE, piece[1])])
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield file


def quiet(file: int | io.BytesIO) -> AbstractContextManager[None]:
    """Keep mpg123, which writes what it thinks of a file to the process's own stderr, from it.

    It is for single calls of libsndfile: what a signal makes the process say in between is heard.

    Args:
        file: What libsndfile reads; where stderr is closed it may have got its number.
    """
    return nullcontext() if file == _STANDARD_ERROR else standard_error_closed()


def _stream(file: io.FileIO | IO[bytes], name: str, path: str) -> Stream:
    file.seek(0)
    if not (head := file.read(_HEAD)):
        raise Unsupported("the file is empty")
    file.seek(0)
    return Stream(file.fileno(), name, path, head)


def _spool(file: io.FileIO, copy: IO[bytes], most: int) -> None:
    size = 0
    while piece := file.read(_AT_ONCE):
        size += len(piece)
        if size > most:
            raise Unsupported(
                f"more than {most:,} bytes, which no sound within audio.max_samples has; raise "
                "that limit if it is one"
            )
        copy.write(piece)
