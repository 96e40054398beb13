"""The modalities by name: the one place that lists them.

Nothing heavy is loaded before it is asked for, so that the command line can name them at once.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Union

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from nint_cli.metrics.schema import RunMetrics
    from nint_cli.modalities.base import Subject
    from nint_cli.modalities.modality import Modality, Target
    from nint_cli.modalities.settings import ModalitySettings
    from nint_cli.signals.record import SignalRecord

_PACKAGES = (
    "image",
    "audio",
    "sdf",
)

MODALITIES: "Mapping[str, Modality]" = {
    name: import_module(f"nint_cli.modalities.{name}").MODALITY for name in _PACKAGES
}
"""As `nint fit` names them."""


def modality(kind: str) -> "type[Subject]":
    """Load what reads and judges a kind of input; what the others need stays unloaded.

    Args:
        kind: One of `MODALITIES`.

    Returns:
        Its `Subject`.
    """
    found: type[Subject] = MODALITIES[kind].part(MODALITIES[kind].subject_part)
    return found


def all_targets() -> "dict[str, Target]":
    """Return the figures of all modalities that can end a run, by key."""
    found: dict[str, Target] = {}
    for each in MODALITIES.values():
        for key, target in each.targets.items():
            found.setdefault(key, target)
    return found


def label(figure: str) -> str:
    """Return the name by which people know a figure, such as ``PSNR`` for ``psnr_db``."""
    return all_targets()[figure].label


def setting_keys(
    names: "Callable[[type[ModalitySettings]], Iterable[str]]",
) -> tuple[str, ...]:
    """List settings of all modalities that serve one purpose.

    Args:
        names: Gives their names within the section of a modality, such as its `extent`.

    Returns:
        Their dotted keys.
    """
    return tuple(
        f"{kind}.{name}" for kind, each in MODALITIES.items() for name in names(each.settings())
    )


@cache
def metrics_document() -> "TypeAdapter[RunMetrics]":
    """Return what reads a metrics.json of any modality."""
    from pydantic import Discriminator, Tag, TypeAdapter

    from nint_cli.metrics.schema import kind_of

    kinds = tuple(Annotated[each.metrics(), Tag(each.name)] for each in MODALITIES.values())
    one_of: Any = Annotated[Union[kinds], Discriminator(kind_of)]  # noqa: UP007 (of a tuple)
    found: TypeAdapter[RunMetrics] = TypeAdapter(one_of)
    return found


@cache
def signal_record() -> "TypeAdapter[SignalRecord]":
    """Return what reads the record of a signal of any modality, as checkpoints keep it."""
    from pydantic import Field, TypeAdapter

    kinds = tuple(each.record() for each in MODALITIES.values())
    one_of: Any = Annotated[Union[kinds], Field(discriminator="kind")]  # noqa: UP007 (of a tuple)
    found: TypeAdapter[SignalRecord] = TypeAdapter(one_of)
    return found
