"""The signals of a comparison: each read once, and named."""

from collections import Counter
from collections.abc import Sequence

import torch

from nint_cli.comparison.record import InputEntry
from nint_cli.config.schema import RunConfig
from nint_cli.errors import ConfigError
from nint_cli.runs.inputs import read_input
from nint_cli.signals.source import distinct_stem, identity, source_stem


def named_inputs(kind: str, sources: Sequence[str], config: RunConfig) -> dict[str, InputEntry]:
    """Read inputs, so that a bad one is told of before any run, and name them.

    Args:
        kind: The modality.
        sources: Files, or ``sample:NAME``.
        config: How to read them.

    Returns:
        By source, what compare.json says of each. An InputError is raised for one that cannot be
        read.

    Raises:
        ConfigError: If one is named twice.
    """
    if len({identity(source) for source in sources}) < len(sources):
        raise ConfigError("an input is named twice; leave it out once")
    count = Counter(source_stem(source).casefold() for source in sources)
    found = {}
    for source in sources:
        stem = source_stem(source)
        subject = read_input(kind, source, config, torch.device("cpu"))
        found[source] = InputEntry(
            name=distinct_stem(source) if count[stem.casefold()] > 1 else stem,
            source=identity(source),
            sha256=subject.sha256,
            described=subject.describe(),
        )
    return found
