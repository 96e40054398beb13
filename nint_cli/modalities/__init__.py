"""What can be fitted: a module per modality, behind one interface."""

from nint_cli.modalities.audio import AudioSubject
from nint_cli.modalities.base import Evaluation, Kept, Subject, nothing_kept
from nint_cli.modalities.image import ImageSubject
from nint_cli.modalities.sdf import SdfSubject

MODALITIES: dict[str, type[Subject]] = {
    kind.kind: kind for kind in (ImageSubject, AudioSubject, SdfSubject)
}
"""By the name that `nint fit` takes."""

__all__ = [
    "MODALITIES",
    "AudioSubject",
    "Evaluation",
    "ImageSubject",
    "Kept",
    "SdfSubject",
    "Subject",
    "nothing_kept",
]
