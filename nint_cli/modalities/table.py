"""The modalities by name; nothing of one is loaded before it is asked for."""

from nint_cli.modalities.base import Subject

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
            from nint_cli.modalities.image.subject import ImageSubject

            return ImageSubject
        case "audio":
            from nint_cli.modalities.audio.subject import AudioSubject

            return AudioSubject
        case "sdf":
            from nint_cli.modalities.sdf.subject import SdfSubject

            return SdfSubject
    raise KeyError(kind)
