"""From a configuration and the name of an input to what a run fits."""

import torch

from nint_cli.config.schema import RunConfig
from nint_cli.modalities.base import ReadSaved, Setup, Subject, nothing_saved
from nint_cli.modalities.table import modality
from nint_cli.signals.record import SignalRecord


def read_input(
    kind: str,
    source: str,
    config: RunConfig,
    device: torch.device,
    like: SignalRecord | None = None,
    saved_files: ReadSaved = nothing_saved,
) -> Subject:
    """Read an input as a configuration says.

    Args:
        kind: The modality.
        source: A file, or ``sample:NAME``; an InputError is raised if it cannot be read.
        config: How to read and to judge it.
        device: Where the signal is kept.
        like: See `Subject.read`.
        saved_files: See `Subject.read`.

    Returns:
        The input, ready to be fitted.
    """
    setup = Setup(
        device=device,
        evaluation=config.evaluation,
        metrics=config.metrics,
        seed=config.seed,
        tuned=config.recipe == "tuned",
    )
    return modality(kind).read(source, config.section(kind), setup, like, saved_files)
