"""Texts of numbers, line by line, without a Python loop over the lines.

Legend: L lines, W words of the lines that were picked.
"""

import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.sdf.formats.reading import Unsupported

_CONTINUED = re.compile(rb"(?:[^\n]*\\\n)+[^\n]*")
_INDENTED = re.compile(rb"^[ \v\f]+", re.MULTILINE)
_BLANK = b" \n"

Numbers = NDArray[Any]


def unified(data: bytes) -> bytes:
    r"""Bring a text of any origin to lines that end in a newline, with spaces between words.

    Args:
        data: In ASCII, UTF-8 or another superset of ASCII.

    Returns:
        The text, in which lines have their numbers still: no line is indented, and the end of one
        that is continued after a backslash is blank lines.

    Raises:
        Unsupported: If it is no text.
    """
    data = data.rstrip(b"\0")  # which programs fill up with that write in blocks
    if b"\0" in data:
        raise Unsupported("it has bytes of 0, and is no text")
    data = data.replace(b"\t", b" ")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\\\n" in data:
        data = _CONTINUED.sub(_in_one_line, data)
    if b"\n " in data or data[:1].isspace():
        data = _INDENTED.sub(b"", data)
    return data if data.endswith(b"\n") else data + b"\n"


def _in_one_line(found: re.Match[bytes]) -> bytes:
    return found[0].replace(b"\\\n", b" ") + b"\n" * found[0].count(b"\\\n")


def numbers(text: bytes, kind: type[np.number[Any]] = np.float64) -> Numbers:
    """Read the numbers of a text.

    Args:
        text: Numbers with blanks between them.
        kind: Of what type they are.

    Returns:
        All of them.

    Raises:
        ValueError: If something else is among them.
    """
    if not text.strip(_BLANK):
        return np.empty(0, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # numpy's word for a number cut short
        try:
            return np.fromstring(text, kind, sep=" ")
        except DeprecationWarning as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True)
class Lines:
    """A text and where its lines are.

    Attributes:
        text: The bytes.
        starts: (L,) where each line begins.
        lengths: (L,) how long each is, with its newline.
    """

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, data: bytes) -> "Lines":
        """Find the lines of a text that ends in a newline."""
        text = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(text == ord("\n"))
        lengths = np.diff(ends, prepend=-1)
        return cls(text, ends - lengths + 1, lengths)

    def beginning(self, word: bytes) -> NDArray[np.bool_]:
        """Tell which lines have a word and a blank at their beginning.

        Args:
            word: One or more letters.

        Returns:
            (L,).
        """
        found = self.lengths > len(word)
        for place, letter in enumerate(word):
            found[found] = self.text[self.starts[found] + place] == letter
        found[found] = self.text[self.starts[found] + len(word)] <= ord(" ")
        return found

    def picked(self, chosen: NDArray[np.bool_], word: bytes = b"") -> "Rows":
        """Take some lines, up to their comments.

        Args:
            chosen: (L,) which.
            word: With what each begins, which is left out.

        Returns:
            Their words.
        """
        text = self.text[np.repeat(chosen, self.lengths)]
        lengths = self.lengths[chosen]
        starts = np.cumsum(lengths) - lengths
        for place in range(len(word)):
            text[starts + place] = ord(" ")
        if (text == ord("#")).any():
            data = re.sub(rb"#[^\n]*", lambda found: b" " * len(found[0]), text.tobytes())
            text = np.frombuffer(data, np.uint8)
        return Rows(text, starts, np.flatnonzero(chosen) + 1)


@dataclass(frozen=True)
class Rows:
    """Lines that were picked.

    Attributes:
        text: Their bytes, one after another.
        starts: Where each begins.
        line: The number of each in the file, from 1.
    """

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]
    line: NDArray[np.int64]

    @cached_property
    def word_starts(self) -> NDArray[np.int64]:
        """(W,) where words begin."""
        solid = self.text > ord(" ")
        solid[1:] &= self.text[:-1] <= ord(" ")
        return np.flatnonzero(solid)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How many words each line has."""
        ends = np.append(self.starts[1:], len(self.text))
        places = np.searchsorted(self.word_starts, np.append(self.starts, ends[-1:]))
        return np.diff(places)

    @cached_property
    def firsts(self) -> NDArray[np.int64]:
        """Which word is the first of each line."""
        return np.cumsum(self.counts) - self.counts

    def numbers(self, kind: type[np.number[Any]] = np.float64) -> Numbers:
        """Read all words as numbers.

        Args:
            kind: Of what type they are.

        Returns:
            (W,).

        Raises:
            Unsupported: If one is no number; it names the line.
        """
        try:
            found = numbers(self.text.tobytes(), kind)
        except ValueError:
            found = np.empty(0, kind)
        if len(found) != len(self.word_starts):
            row, word = self._first_other(kind)
            raise Unsupported(f"line {self.line[row]}: '{word}' is no number")
        return found

    def _first_other(self, kind: type[np.number[Any]]) -> tuple[int, str]:
        """Find the first word that is not read as one number, and its row."""
        for row, words in enumerate(self.text.tobytes().split(b"\n")):
            for word in words.split():
                try:
                    alone = len(numbers(word, kind)) == 1
                except ValueError:
                    alone = False
                if not alone:
                    return row, word.decode("latin-1")[:40]
        raise ValueError("its words are no numbers")

    def points(self) -> Numbers:
        """Read the first three numbers of each line.

        Returns:
            One row for each line, (L, 3).

        Raises:
            Unsupported: If a line has fewer; it names the line.
        """
        short = self.counts < 3
        if short.any():
            first = int(short.argmax())
            raise Unsupported(
                f"line {self.line[first]}: a vertex of {self.counts[first]} numbers, not three"
            )
        found = self.numbers()
        if (self.counts == 3).all():
            return found.reshape(-1, 3)
        return np.asarray(found[self.firsts[:, None] + np.arange(3)])
