"""What can be fitted: a module per modality, behind one interface."""

from nint_cli.modalities.base import Evaluation, Keep, Kept, Subject, nothing_kept

__all__ = ["KINDS", "Evaluation", "Keep", "Kept", "Subject", "modality", "nothing_kept"]

KINDS = ("image", "audio", "sdf")
"""As `nint fit` names them."""


def modality(kind: str) -> type[Subject]:
    """Give what fits a kind of input; what the others need stays unloaded.

    Args:
        kind: One of `KINDS`.

    Returns:
        Its `Subject`.

    Raises:
        KeyError: If there is no such modality.
    """
    match kind:
        case "image":
            from nint_cli.modalities.image import ImageSubject

            return ImageSubject
        case "audio":
            from nint_cli.modalities.audio import AudioSubject

            return AudioSubject
        case "sdf":
            from nint_cli.modalities.sdf import SdfSubject

            return SdfSubject
    raise KeyError(kind)
