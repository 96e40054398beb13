"""What can be fitted: a module per modality, behind one interface."""

from nint_cli.modalities.base import Evaluation, Subject
from nint_cli.modalities.image import ImageSubject

MODALITIES: dict[str, type[Subject]] = {kind.kind: kind for kind in (ImageSubject,)}
"""By the name that `nint fit` takes."""

__all__ = ["MODALITIES", "Evaluation", "ImageSubject", "Subject"]
