"""What libsndfile does not know: AAC, ALAC, Opus in WebM and the like, by ffmpeg if it is there.

It gets no shell, no input but the file, no protocol but file and pipe, and the demuxer that the
file's first bytes call for, so that no playlist is followed.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 600


@dataclass(frozen=True)
class Kind:
    """A kind of file that ffmpeg reads.

    Attributes:
        magic: What it starts with.
        suffixes: What it is called.
        name: What people call it.
        demuxer: What ffmpeg calls it.
    """

    magic: re.Pattern[bytes]
    suffixes: frozenset[str]
    name: str
    demuxer: str


KINDS = tuple(
    Kind(re.compile(magic, re.DOTALL), frozenset(suffixes.split()), name, demuxer)
    for magic, suffixes, name, demuxer in (
        (rb"....(ftyp|moov|mdat)", ".m4a .m4b .m4r .mp4 .mov .3gp", "MPEG-4 (AAC or ALAC)", "mov"),
        (rb"\xff[\xf0\xf1\xf8\xf9]", ".aac", "AAC", "aac"),
        (rb"\x30\x26\xb2\x75", ".wma .asf", "Windows Media", "asf"),
        (rb"\x1a\x45\xdf\xa3", ".mka .mkv .webm", "Matroska or WebM", "matroska"),
        (rb"#!AMR", ".amr", "AMR", "amr"),
        (rb"wvpk", ".wv", "WavPack", "wv"),
        (rb"MAC ", ".ape", "Monkey's Audio", "ape"),
        (rb"TTA1", ".tta", "True Audio", "tta"),
        (rb"\x0b\x77", ".ac3", "AC-3", "ac3"),
        (rb"OggS.{24}(\x7fFLAC|Speex )", ".spx", "FLAC or Speex in Ogg", "ogg"),
    )
)
_OF_FILMS = {".mp4", ".mov", ".3gp", ".mkv", ".webm", ".asf"}
SUFFIXES = frozenset(suffix for kind in KINDS for suffix in kind.suffixes) - _OF_FILMS
"""What a sound is called, and not a film that has one."""


class Failed(Exception):
    """ffmpeg could not read it; says why, as a clause."""


def kind_of(head: bytes) -> Kind | None:
    """Tell by a file's first bytes what it is; None for what ffmpeg is not asked for."""
    return next((kind for kind in KINDS if kind.magic.match(head)), None)


def to_wav(name: str) -> str:
    """Give the command that makes any sound a WAV file."""
    target = str(Path(name).with_suffix(".wav"))
    target = target if target != name else str(Path(name).with_suffix(".new.wav"))
    return f"convert it first: ffmpeg -i {shlex.quote(name)} {shlex.quote(target)}"


def is_there() -> bool:
    """Tell whether there is a program of that name."""
    return shutil.which("ffmpeg") is not None


@contextmanager
def decoded(kind: Kind, path: str, most: int) -> Iterator[tuple[Path, str | None]]:
    """Let ffmpeg make a WAV file of a sound.

    Args:
        kind: What it is.
        path: The file.
        most: Bytes up to which the WAV file may grow.

    Yields:
        The WAV file, in 32-bit floating point, which holds 24 bits; and what ffmpeg complained of.

    Raises:
        Failed: If it makes none, within its limits.
    """
    program = shutil.which("ffmpeg")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="nint-") as folder:
        target = Path(folder, "sound.wav")
        words = [program, "-nostdin", "-hide_banner", "-loglevel", "error"]
        words += ["-protocol_whitelist", "file,pipe", "-f", kind.demuxer]
        words += ["-i", f"file:{Path(path).absolute()}", "-map", "0:a:0", "-c:a", "pcm_f32le"]
        words += ["-fs", str(most), "-rf64", "auto", "-f", "wav", f"file:{target}"]
        code, said = _run(words)
        complaint = _first_line(said)
        if "matches no streams" in said:
            raise Failed("there is no sound in it")
        if code or not target.exists():
            raise Failed(f"ffmpeg cannot decode it ({complaint or f'exit {code}'})")
        if target.stat().st_size >= most:
            raise Failed(
                f"decoded it has more than {most:,} bytes, which no sound within "
                "audio.max_samples has; raise that limit if it is one"
            )
        yield target, complaint


def _run(words: list[str]) -> tuple[int, str]:
    """Run a program to its end; give its exit code, and what it complained of.

    Raises:
        Failed: If it cannot be run, or takes too long.
    """
    nothing = subprocess.DEVNULL
    try:
        process = subprocess.Popen(words, stdin=nothing, stdout=nothing, stderr=subprocess.PIPE)
    except OSError as error:
        raise Failed(f"ffmpeg cannot be run: {error.strerror}") from None
    with process:
        try:
            _, said = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"ffmpeg took more than {_SECONDS} s") from None
        finally:  # as where the user interrupts
            process.kill()
    return process.returncode, os.fsdecode(said)


def _first_line(text: str) -> str | None:
    """Give the first line of what ffmpeg wrote, without the names of the parts that wrote it."""
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r"^(\[[^]]*\] *)+", "", lines[0]).strip(" .") if lines else None
