"""The runs of a comparison, brought to their ends by processes that take turns."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nint_cli.cli import console
from nint_cli.cli.interrupts import STOPS
from nint_cli.cli.processes import Ended, Processes
from nint_cli.comparison.plan import Entry
from nint_cli.comparison.reading import read_run
from nint_cli.errors import OutputError
from nint_cli.metrics.text import shown
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs.folder import in_use_by

_TAKEN = OutputError.exit_code
_DIVERGED = 5
_INTERRUPTED = {128 + number for number in STOPS}
_POLL_S = 0.2


class MissingRuns:
    """Makes what is missing of runs.

    Args:
        children: The processes, which a signal to this one may have stopped.
        jobs: How many at once.
    """

    def __init__(self, children: Processes, jobs: int) -> None:
        self._children = children
        self._jobs = jobs

    def make(self, planned: Sequence[Entry], what: str = "") -> dict[Path, str]:
        """Bring runs to their ends.

        Args:
            planned: The runs, in order.
            what: What to call them, if they are not those that are compared.

        Returns:
            Why a run failed, by its folder. A divergence is a result.
        """
        failures: dict[Path, str] = {}

        def make(item: tuple[int, Entry]) -> None:
            number, entry = item
            title = f"{what}{number + 1}/{len(planned)} {entry.variant.name} on {entry.input}, "
            rate = f"rate {entry.folder.parent.name.removeprefix('lr-')}, " if what else ""
            title += f"{rate}seed {entry.seed}"
            ended = self._bring_to_end(entry, title)
            if ended is None:
                return
            if ended.code in _INTERRUPTED:
                self._children.stop(ended.code - 128)
            elif ended.code not in {0, _DIVERGED}:
                failures[entry.folder] = ended.error or ""
                console.note(f"{title}: failed, {ended.error}")
            else:
                console.note(f"{title}: {_outcome(entry)}")

        if self._jobs == 1:
            for item in enumerate(planned):
                make(item)
        else:
            with ThreadPoolExecutor(self._jobs) as pool:
                list(pool.map(make, enumerate(planned)))
        return failures

    def _bring_to_end(self, entry: Entry, title: str) -> Ended | None:
        """Run what is missing of a run; give how that ended, None where nothing was done."""
        while self._is_free(entry, title):
            state = entry.state()
            if state == "finished":
                return None
            if state == "other":
                console.note(
                    f"{title}: '{entry.folder}' has other settings, or the input was changed; "
                    "made anew"
                )
            ended = self._children.run(entry.command(state))
            if ended.code != _TAKEN or in_use_by(entry.folder) is None:
                return ended
        return None

    def _is_free(self, entry: Entry, title: str) -> bool:
        """Wait for whoever works in a run's folder; False where a signal says to give up.

        A run whose nint compare was killed takes a moment to save what it has.
        """
        told = False
        while self._children.stopped_by is None:
            owner = in_use_by(entry.folder)
            if owner is None:
                return True
            if not told:
                console.note(f"{title}: waiting for {owner}, which works on it")
                told = True
            time.sleep(_POLL_S)
        return False


def _outcome(entry: Entry) -> str:
    """Say in a few words what came of a run."""
    run = read_run(entry.folder, name=entry.input, variant=entry.variant.name, root=entry.folder)
    figure = "exact" if run.exact else shown(MODALITIES[entry.kind].headline, run.value)
    text = f"{figure} in {run.train_s:.1f} s"
    return text if run.status == "complete" else f"{text}, {run.status}"
