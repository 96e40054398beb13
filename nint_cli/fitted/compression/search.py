"""How many bits a field's weights need for a loss that is allowed, or for a size."""

from collections.abc import Callable
from dataclasses import dataclass

from nint_cli.config.layers import Layer, Setting
from nint_cli.errors import InputError
from nint_cli.fields.base import Field
from nint_cli.fitted.compression import container
from nint_cli.fitted.compression.quantise import LEAST_BITS, MOST_BITS, quantise
from nint_cli.fitted.evaluate import read_input_of
from nint_cli.fitted.fitted import Fitted
from nint_cli.modalities.base import Subject
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs.control import Control
from nint_cli.runs.evaluate import measure

Measure = Callable[[Field], float]
"""Returns the headline figure of a field, such as the PSNR of a picture in dB."""


@dataclass(frozen=True)
class Compressed:
    """A field as a file.

    Attributes:
        content: Of the file.
        bits: Of its weights.
        field: What the content decodes to.
    """

    content: bytes
    bits: int
    field: Field


def at_bits(fitted: Fitted, bits: int) -> Compressed:
    """Compress a field at a number of bits.

    Args:
        fitted: The field.
        bits: Of its weights.

    Returns:
        The file.

    Raises:
        InputError: If the field holds numbers that are not finite.
    """
    try:
        tensors = quantise(fitted.field, bits)
        content = container.encode(fitted.config, fitted.signal, tensors, fitted.step)
        return Compressed(content, bits, container.decode(content)[2])
    except ValueError as error:
        raise InputError(f"'{fitted.path}' cannot be compressed: {error}") from error


def within_loss(
    fitted: Fitted, most: float, before: float, measure: Measure
) -> tuple[Compressed, float]:
    """Compress a field by the fewest bits that keep its figure.

    Args:
        fitted: The field.
        most: What the figure may lose, in its unit.
        before: The figure of the field.
        measure: Measures what a file decodes to.

    Returns:
        The file and its figure; those of the most bits if none keep it.
    """
    for bits in range(LEAST_BITS, MOST_BITS + 1):
        found = at_bits(fitted, bits)
        after = measure(found.field)
        if after >= before - most:
            break
    return found, after


def within_size(fitted: Fitted, most: float) -> Compressed:
    """Compress a field by the most bits whose file is small enough.

    Args:
        fitted: The field.
        most: Bytes.

    Returns:
        The file; that of the fewest bits if none is.
    """
    for bits in range(MOST_BITS, LEAST_BITS - 1, -1):
        found = at_bits(fitted, bits)
        if len(found.content) <= most:
            break
    return found


def read_input_plainly(fitted: Fitted) -> Subject:
    """Read a field's input to measure its headline figure alone, without LPIPS and FLIP.

    Args:
        fitted: The field.

    Returns:
        The input. An InputError is raised where it is gone or has changed.
    """
    off = {"flip": False, "lpips_weights": None, "lpips_sha256": None}
    changes = {f"metrics.{key}": Setting(value, "nint compress") for key, value in off.items()}
    return read_input_of(fitted, Layer(changes))


def figure_of(subject: Subject, field: Field, control: Control) -> float:
    """Measure the headline figure of a field.

    Args:
        subject: Its input.
        field: The field.
        control: Shows how far it is, and may stop it.

    Returns:
        The figure that `nint eval` shows; infinite where the fit is exact.

    Raises:
        InputError: If it has no value.
    """
    key = MODALITIES[subject.modality.name].headline
    try:
        quality = measure(subject, field.to(subject.signal.device), control)
    finally:
        field.cpu()
    value = quality.figure(key)
    if value is None:
        raise InputError(f"{key} has no value: {quality.quality_reason or 'not measured'}")
    return value


def points_of(fitted: Fitted, subject: Subject | None) -> int | None:
    """Return by how many pixels, samples or vertices a file's size is told.

    Args:
        fitted: The field.
        subject: Its input, where there is one.

    Returns:
        None where only the input tells, which is gone.
    """
    counted = MODALITIES[fitted.signal.kind].size_count
    if counted is None:
        return fitted.signal.population
    if subject is None:
        return None
    found: int = getattr(subject.input_record(), counted)
    return found
