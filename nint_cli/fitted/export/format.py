"""What every format of `nint export` is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from nint_cli.fitted.output import refuse_existing, refuse_other_folder, write_folder, write_output

if TYPE_CHECKING:
    from nint_cli.fitted.fitted import Fitted

Note = Callable[[str], None]
"""Told what is worth knowing of what is written, a line at a time."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format; what makes it is loaded when it is asked for.

    Attributes:
        name: As ``--format`` takes it.
        suffix: What a name of an output ends with where none is given.
        summary: What is inside and who reads it, a few words for the help.
        module: Module of this package. Its ``encode(fitted, note=)`` returns the content of the
            file in bytes, or of a folder the contents by the names of its files.
        folder: The names of these files; empty for a format of one file.
        reopens: Whether nint opens it again.
    """

    name: str
    suffix: str
    summary: str
    module: str
    folder: tuple[str, ...] = ()
    reopens: bool = False

    def refuse(self, path: Path, *, overwrite: bool) -> None:
        """See, before anything is computed, that an output can be written.

        Args:
            path: The file or folder that is to be written; see `nint_cli.fitted.output` for the
                errors.
            overwrite: Whether it may replace another one.
        """
        if self.folder:
            refuse_other_folder(path, self.folder, overwrite=overwrite)
        else:
            refuse_existing(path, overwrite=overwrite)

    def encode(self, fitted: "Fitted", note: Note) -> bytes | Mapping[str, bytes]:
        """Return the content of the file, or of a folder those of its files by name.

        Args:
            fitted: The field.
            note: Told what is worth knowing.
        """
        encode = import_module(f"nint_cli.fitted.export.{self.module}").encode
        content: bytes | Mapping[str, bytes] = encode(fitted, note=note)
        return content

    def write(self, fitted: "Fitted", path: Path, note: Note, *, overwrite: bool = False) -> None:
        """Write a field whole or not at all.

        Args:
            fitted: The field.
            path: The file or folder.
            note: Told what is worth knowing.
            overwrite: Whether it may replace another one; see `refuse`.
        """
        self.refuse(path, overwrite=overwrite)
        content = self.encode(fitted, note)
        if isinstance(content, bytes):
            write_output(path, lambda file: file.write(content), overwrite=overwrite)
        else:
            write_folder(path, content, overwrite=overwrite)
