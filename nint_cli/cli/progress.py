"""How a fit is shown while it goes on."""

import math
import time

from tqdm import tqdm

from nint_cli.cli import console
from nint_cli.run import Progress, Silent

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

    def step(self, number: int, loss: float) -> None:
        """Move the bar."""
        self._shown["loss"] = f"{loss:.2e}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(number - self._bar.n)

    def evaluated(self, psnr: float) -> None:
        """Show the newest PSNR, in dB."""
        self._shown = {"PSNR": f"{psnr:.2f} dB"} | self._shown
        self._shown["PSNR"] = f"{psnr:.2f} dB"

    def finish(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


class Lines:
    """A plain line every ten seconds or tenth of the run, for logs."""

    def start(self, total_steps: int, done: int) -> None:
        """Begin to count."""
        self._total = total_steps
        self._first = self._last = done
        self._began = self._spoke = time.monotonic()
        self._psnr = math.nan

    def step(self, number: int, loss: float) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        share = (number - self._last) / self._total
        if share < _LINE_EVERY_SHARE and now - self._spoke < _LINE_EVERY_S:
            return
        rate = (number - self._first) / max(now - self._began, 1e-9)
        psnr = "" if math.isnan(self._psnr) else f", PSNR {self._psnr:.2f} dB"
        left = (self._total - number) / rate
        console.note(
            f"step {number}/{self._total}, loss {loss:.2e}{psnr}, {rate:.1f} steps/s, "
            f"{left:.0f} s left"
        )
        self._last, self._spoke = number, now

    def evaluated(self, psnr: float) -> None:
        """Keep the newest PSNR, in dB, for the next line."""
        self._psnr = psnr

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
