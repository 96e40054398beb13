"""Built-in inputs of a modality, so that everything can be tried without a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from nint_cli.errors import InputError, did_you_mean
from nint_cli.signals.source import SAMPLE_PREFIX

T = TypeVar("T")


@dataclass(frozen=True)
class Samples(Generic[T]):
    """Inputs by name, each of which is named ``sample:NAME`` on the command line.

    Attributes:
        noun: What each of them is, such as ``picture``.
        by_name: What each of them is made of.
        describe: Says of one what it is, besides the noun.
    """

    noun: str
    by_name: Mapping[str, T]
    describe: Callable[[T], str]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self.by_name)

    def summary(self, name: str) -> str:
        """Say what one of them is, in a few words."""
        return f"{self.noun}, {self.describe(self.by_name[name])}"

    def find(self, name: str) -> T:
        """Find a built-in input.

        Args:
            name: One of `names`.

        Returns:
            What it is made of.

        Raises:
            InputError: If there is none of that name.
        """
        if name not in self.by_name:
            hint = did_you_mean(name, self.by_name)
            raise InputError(
                f"no built-in {self.noun} '{SAMPLE_PREFIX}{name}'{hint}; there are "
                f"{', '.join(self.names())}"
            )
        return self.by_name[name]
