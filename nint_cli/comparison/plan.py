"""Which runs a comparison needs, where they are, and what is left to do for each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from nint_cli.comparison.record import InputEntry
from nint_cli.config.layers import BUILT_IN, Resolved
from nint_cli.config.removed import without_removed
from nint_cli.errors import ConfigError, InputError
from nint_cli.modalities.table import modality
from nint_cli.runs.folder import CONFIG, is_of_another
from nint_cli.runs.opening import newest, open_run

State = Literal["finished", "begun", "lost", "other", "absent"]

_DONE = {"complete", "diverged"}


@dataclass(frozen=True)
class Variant:
    """One of the methods that are compared.

    Attributes:
        name: Unique among them; a folder's name.
        words: Of the command line of `nint fit` that make its configuration.
        resolved: The configuration that they make, of any seed.
    """

    name: str
    words: tuple[str, ...]
    resolved: Resolved

    def at_rate(self, rate: float) -> "Variant":
        """Give the same with another learning rate."""
        config = self.resolved.config
        optimiser = config.optimiser.model_copy(update={"lr": rate, "lr_side": None})
        origins = {"optimiser.lr": "--tune lr", "optimiser.lr_side": BUILT_IN}
        resolved = Resolved(
            config.model_copy(update={"optimiser": optimiser}), self.resolved.origins | origins
        )
        return Variant(self.name, (*self.words, f"--set=optimiser.lr={rate!r}"), resolved)


@dataclass(frozen=True)
class Entry:
    """One run that a comparison needs.

    Attributes:
        kind: The modality.
        source: Its input.
        input: The input's name within the comparison.
        sha256: Hash of the input's content, as the modality takes it.
        variant: Its method.
        seed: Its seed.
        folder: Its run folder.
    """

    kind: str
    source: str
    input: str
    sha256: str
    variant: Variant
    seed: int
    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the run, as its config.yaml is to have them."""
        config = self.variant.resolved.config.model_copy(update={"seed": self.seed})
        return config.model_dump(mode="json")

    def state(self) -> State:
        """Tell what there is in the folder.

        ``finished`` is a run of these settings on this input that needs nothing more; ``begun``
        one that can go on; ``lost`` one that failed, or ended before it had saved anything;
        ``other`` one of other settings, or of what the input was before it was changed.
        """
        try:
            folder = open_run(self.folder)
        except InputError:
            return "absent"
        try:
            settings = yaml.safe_load((self.folder / CONFIG).read_bytes())
        except FileNotFoundError:
            return "lost"
        except (OSError, ValueError, yaml.YAMLError):
            return "other"
        if isinstance(settings, dict):
            settings = without_removed(settings, filled=True)
        if settings != self.settings or is_of_another(self.folder, self.source):
            return "other"
        metrics = folder.metrics()
        mask = modality(self.kind).wanted_mask(self.variant.resolved.config.section(self.kind))
        if metrics.get("status") in _DONE:
            return "finished" if self._is_of_input(metrics.get("input"), mask) else "other"
        if metrics.get("status") == "failed":
            return "lost"
        try:
            saved, _ = newest(folder)
        except InputError:
            return "lost"
        same = getattr(saved.signal, "mask_sha256", None) == mask
        return "begun" if same and saved.signal.sha256 == self.sha256 else "other"

    def _is_of_input(self, record: object, mask: str | None) -> bool:
        if not isinstance(record, dict):
            return False
        return (record.get("sha256"), record.get("mask_sha256")) == (self.sha256, mask)

    def fit_words(self) -> list[str]:
        """Give the words after ``nint`` that make the run, wherever its folder is."""
        return ["fit", self.kind, *self.variant.words, "--seed", str(self.seed)]

    def command(self, state: State) -> list[str]:
        """Give the words after ``nint`` that bring the run to its end.

        Args:
            state: What there is.
        """
        if state == "begun":
            return ["resume", "--quiet", str(self.folder)]
        return [
            *self.fit_words(),
            *(["--overwrite"] if state in {"lost", "other"} else []),
            *("--quiet", "-o", str(self.folder), "--", self.source),
        ]


def entries(
    kind: str,
    sources: Mapping[str, InputEntry],
    variants: Sequence[Variant],
    seeds: Sequence[int],
    root: Path,
) -> Iterator[Entry]:
    """List the runs in the order to make them.

    Seeds are outermost and variants innermost, so that a machine whose pace drifts hurts all
    variants alike, and so that what is there after a part of the time is a comparison already.

    Args:
        kind: The modality.
        sources: Inputs by the word that names each on the command line.
        variants: What is compared.
        seeds: The seeds.
        root: The folder of all run folders.

    Yields:
        A run for each combination, in ``root/<input>/<variant>/<seed>``.
    """
    for seed in seeds:
        for source, about in sources.items():
            for variant in variants:
                folder = root / about.name / variant.name / str(seed)
                yield Entry(kind, source, about.name, about.sha256, variant, seed, folder)


def differing(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Find the settings in which variants differ.

    Args:
        variants: Flat settings by the variant's name.

    Returns:
        Of each variant, its values of the keys of which not all have the same.
    """
    keys = dict.fromkeys(key for settings in variants.values() for key in settings)
    apart = [
        key
        for key in keys
        if len({json.dumps(settings.get(key)) for settings in variants.values()}) > 1
    ]
    return {name: {key: settings.get(key) for key in apart} for name, settings in variants.items()}


def refuse_equals(variants: Sequence[Variant]) -> None:
    """Refuse to compare a method with itself.

    Args:
        variants: What is to be compared.

    Raises:
        ConfigError: If two have one name, or the same settings, or there are fewer than two.
    """
    if len(variants) < 2:
        raise ConfigError(
            "there is nothing to compare; name two or more of --sampler, --field or --variant"
        )
    seen: dict[str, str] = {}
    names: set[str] = set()
    for variant in variants:
        if variant.name.casefold() in names:
            raise ConfigError(f"two variants are called '{variant.name}'; rename one")
        names.add(variant.name.casefold())
        settings = json.dumps(variant.resolved.values(), sort_keys=True)
        if settings in seen:
            raise ConfigError(
                f"'{seen[settings]}' and '{variant.name}' have the same settings; leave one out"
            )
        seen[settings] = variant.name
