"""How a fit is shown while it goes on."""

import time

from tqdm import tqdm

from nint_cli.cli import console
from nint_cli.metrics.text import shown
from nint_cli.modalities.table import label
from nint_cli.runs.control import Progress, Silent

_LINE_EVERY_S = 10.0
_LINE_EVERY_SHARE = 0.1


class Bar:
    """A bar that redraws itself, for a terminal."""

    def start(self, total_steps: int, done: int) -> None:
        """Draw the empty bar."""
        self._bar = tqdm(
            total=total_steps,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            file=console.Stderr(),
        )
        self._shown: dict[str, str] = {}

    def step(self, number: int, loss: float, total_steps: int) -> None:
        """Move the bar."""
        self._bar.total = total_steps
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


class Lines:
    """A plain line every ten seconds or tenth of the run, for logs."""

    def start(self, total_steps: int, done: int) -> None:
        """Begin to count."""
        self._first = self._last = done
        self._began = self._spoke = time.monotonic()
        self._evaluated = ""

    def step(self, number: int, loss: float, total_steps: int) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        share = (number - self._last) / total_steps
        if share < _LINE_EVERY_SHARE and now - self._spoke < _LINE_EVERY_S:
            return
        rate = (number - self._first) / max(now - self._began, 1e-9)
        left = max(0, total_steps - number) / rate
        console.note(
            f"step {number}/{total_steps}, loss {loss:.2e}{self._evaluated}, {rate:.1f} steps/s, "
            f"{left:.0f} s left"
        )
        self._last, self._spoke = number, now

    def evaluated(self, figure: str, value: float | None) -> None:
        """Keep the newest figure for the next line."""
        self._evaluated = f", {label(figure)} {shown(figure, value)}"

    def finish(self) -> None:
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
