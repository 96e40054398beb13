"""How a fit is shown while it goes on."""

import time
from typing import Any

from tqdm import tqdm

from nint_cli.cli import console
from nint_cli.metrics.text import shown
from nint_cli.modalities.table import label
from nint_cli.runs.control import Progress, Silent

_LINE_EVERY_S = 10.0
_LINE_EVERY_SHARE = 0.1


class _Tqdm(tqdm):  # type: ignore[type-arg]
    """A tqdm that is told how long it will take."""

    left_s: float | None = None

    @property
    def format_dict(self) -> dict[str, Any]:
        """Give what is drawn, with the rate at which the rest comes to `left_s`."""
        drawn = dict(super().format_dict)
        rest = (drawn["total"] or 0) - drawn["n"]
        if self.left_s and rest > 0:
            drawn["rate"] = rest / self.left_s
        return drawn


class Bar:
    """A bar that redraws itself, for a terminal."""

    def start(self, total_steps: int, done: int) -> None:
        """Draw the empty bar."""
        self._bar = _Tqdm(
            total=total_steps,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            file=console.Stderr(),
        )
        self._shown: dict[str, str] = {}

    def step(self, number: int, loss: float, total_steps: int, left_s: float | None) -> None:
        """Move the bar."""
        self._bar.total, self._bar.left_s = total_steps, left_s
        self._shown["loss"] = f"{loss:.2e}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(number - self._bar.n)

    def evaluated(self, figure: str, value: float | None) -> None:
        """Show the newest figure, before the loss."""
        self._shown = {label(figure): shown(figure, value)} | self._shown
        self._shown[label(figure)] = shown(figure, value)

    def finish(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def begin_end(self, seconds: float | None) -> None:
        """Draw another bar, by time."""
        self._end = _Tqdm(
            total=100,
            desc="measuring",
            bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]",
            dynamic_ncols=True,
            leave=False,
            file=console.Stderr(),
        )
        self._end.left_s = seconds
        self._end.refresh()

    def end(self, share: float) -> None:
        """Move it; from now on it knows its own rate."""
        self._end.left_s = None
        self._end.update(100 * share - self._end.n)

    def finish_end(self) -> None:
        """Take it away."""
        self._end.close()


class Lines:
    """A plain line every ten seconds or tenth of the run, for logs."""

    def start(self, total_steps: int, done: int) -> None:
        """Begin to count."""
        self._first = self._last = done
        self._began = self._spoke = time.monotonic()
        self._evaluated = ""

    def step(self, number: int, loss: float, total_steps: int, left_s: float | None) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        share = (number - self._last) / total_steps
        if share < _LINE_EVERY_SHARE and now - self._spoke < _LINE_EVERY_S:
            return
        rate = (number - self._first) / max(now - self._began, 1e-9)
        left = "" if left_s is None else f", {left_s:.0f} s left"
        console.note(
            f"step {number}/{total_steps}, loss {loss:.2e}{self._evaluated}, {rate:.1f} steps/s"
            f"{left}"
        )
        self._last, self._spoke = number, now

    def evaluated(self, figure: str, value: float | None) -> None:
        """Keep the newest figure for the next line."""
        self._evaluated = f", {label(figure)} {shown(figure, value)}"

    def finish(self) -> None:
        """Say nothing more."""

    def begin_end(self, seconds: float | None) -> None:
        """Say how long it will take, where that is worth saying."""
        self._end_began = self._spoke = time.monotonic()
        if seconds is not None and seconds >= 1:
            console.note(f"training is over; measuring and drawing take about {seconds:.0f} s")

    def end(self, share: float) -> None:
        """Print a line every ten seconds."""
        now = time.monotonic()
        if now - self._spoke < _LINE_EVERY_S:
            return
        left = (now - self._end_began) * (1 - share) / max(share, 1e-9)
        console.note(f"measured and drawn {share:.0%}, {left:.0f} s left")
        self._spoke = now

    def finish_end(self) -> None:
        """Say nothing more."""


def choose(mode: str) -> Progress:
    """Choose how to show a fit.

    Args:
        mode: ``always`` for the bar, ``never`` for nothing, ``auto`` for the bar on a terminal
            and lines elsewhere.

    Returns:
        The display.
    """
    if mode == "never":
        return Silent()
    return Bar() if mode == "always" or console.is_terminal() else Lines()
