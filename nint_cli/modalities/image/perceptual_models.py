"""What the perceptual metrics need, made ready before a fit starts.

Nothing is ever downloaded or unpickled. What cannot be computed is null with a reason; a file of
weights that was named and is not what it should be is an error, found before any training.
"""

import hashlib
import importlib
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from nint_cli.errors import InputError
from nint_cli.modalities.image import perceptual
from nint_cli.modalities.image.schema import PerceptualQuality
from nint_cli.modalities.image.signal import Picture
from nint_cli.modalities.settings import MetricsSettings

_MAX_WEIGHTS_BYTES = 1 << 26  # the real file has 10 MB
_NOT_NAMED = "metrics.lpips_weights names no file of weights"


@dataclass(frozen=True)
class PerceptualModels:
    """The perceptual metrics of a run.

    Attributes:
        network: LPIPS's; None if it is not computed.
        lpips_reason: Why not.
        lpips_sha256: Hash of the file with its weights.
        flip_reason: Why FLIP is not computed; None if it is.
        max_pixels: Pixels beyond which neither is.
    """

    network: nn.Module | None = None
    lpips_reason: str | None = "not asked for"
    lpips_sha256: str | None = None
    flip_reason: str | None = "not asked for"
    max_pixels: int = 1 << 25

    def reasons(self, height: int, width: int) -> tuple[str | None, str | None]:
        """Say why a picture gets no LPIPS, and why no FLIP; None where it gets it.

        Args:
            height: In pixels.
            width: In pixels.

        Returns:
            Both reasons.
        """
        too_large = too_small = None
        if height * width > self.max_pixels:
            too_large = f"more than metrics.max_pixels = {self.max_pixels:,} pixels"
        if min(height, width) < perceptual.SMALLEST_LPIPS_SIDE:
            too_small = f"a side is shorter than {perceptual.SMALLEST_LPIPS_SIDE} pixels"
        return self.lpips_reason or too_large or too_small, self.flip_reason or too_large

    def measure(self, prediction: Tensor | None, picture: Picture) -> PerceptualQuality:
        """Measure a reconstruction of a picture, on the CPU.

        Args:
            prediction: (H * W, C); None only where `reasons` has one for both.
            picture: What it should be.

        Returns:
            The metrics; those that have no value are null, with the reason.
        """
        shape = picture.pixels.shape
        lpips_reason, flip_reason = self.reasons(*shape[:2])
        if lpips_reason is not None and flip_reason is not None:
            return PerceptualQuality(lpips_reason=lpips_reason, flip_reason=flip_reason)
        assert prediction is not None
        shown, _ = perceptual.colours(prediction.cpu().numpy().reshape(shape), picture.alpha)
        target, done = perceptual.colours(picture.scale.shares(picture.pixels), picture.alpha)
        distance = difference = None
        if self.network is not None and lpips_reason is None:
            distance = perceptual.lpips(self.network, shown, target)
            if not math.isfinite(distance):  # sound weights never do; others must not cost a run
                distance, lpips_reason = None, "its weights overflow"
        if flip_reason is None:
            difference = perceptual.flip(shown, target)
        return PerceptualQuality(
            lpips=distance,
            lpips_reason=lpips_reason,
            lpips_sha256=self.lpips_sha256 if distance is not None else None,
            flip=difference,
            flip_reason=flip_reason,
            perceptual_conversions=done,
        )


def prepare(settings: MetricsSettings) -> PerceptualModels:
    """Find what can be computed, and read the weights.

    Args:
        settings: What was asked for.

    Returns:
        The metrics, ready.

    Raises:
        InputError: If the file of weights is missing, damaged, foreign, or not the one whose
            hash was given.
    """
    flip_reason: str | None = "metrics.flip is off"
    if settings.flip:
        flip_reason = _unusable("flip_evaluator", "flip-evaluator", "flip")
    without = PerceptualModels(
        lpips_reason=_NOT_NAMED, flip_reason=flip_reason, max_pixels=settings.max_pixels
    )
    if settings.lpips_weights is None:
        return without
    data = _read(settings.lpips_weights)
    where = f"LPIPS weights '{settings.lpips_weights}'"
    sha256 = hashlib.sha256(data).hexdigest()
    if settings.lpips_sha256 is not None and sha256 != settings.lpips_sha256.lower():
        raise InputError(
            f"{where}: their sha256 is {sha256}, not metrics.lpips_sha256 = "
            f"{settings.lpips_sha256}; name the file that was meant, or correct the hash"
        )
    reason = _unusable("lpips", "lpips", "lpips")
    if reason is not None:
        return replace(without, lpips_reason=reason)
    try:
        network = perceptual.lpips_network(load(data))
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{where}: {error}; the README says how to make the file") from error
    return replace(without, network=network, lpips_reason=None, lpips_sha256=sha256)


def _read(path: str) -> bytes:
    """Read a file of weights, unless it cannot be one."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_WEIGHTS_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read LPIPS weights '{path}': {reason}") from error
    if len(data) > _MAX_WEIGHTS_BYTES:
        reason = f"larger than {_MAX_WEIGHTS_BYTES:,} bytes"
    elif data[:2] in {b"PK", b"\x80\x02"}:
        reason = "a pickle file, which nint never opens"
    else:
        return data
    raise InputError(f"LPIPS weights '{path}': {reason}; the README says how to make the file")


def _unusable(module: str, package: str, extra: str) -> str | None:
    """Say why a package cannot be used; None if it can.

    It is imported to find out: a torchvision that was built for another PyTorch is there, but
    fails with a RuntimeError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            return f"{package} is not installed; pip install 'nint[{extra}]'"
        return f"{package} needs {error.name}; pip install 'nint[{extra}]'"
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        return f"{package} cannot be imported ({reason}); install versions that fit each other"
    return None
