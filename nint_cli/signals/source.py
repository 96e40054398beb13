"""Files read with a limit, so that none that has no end takes all memory."""

from pathlib import Path


def read_up_to(path: Path, most: int) -> bytes:
    """Read a file, or of a longer one a little more than so many bytes.

    Args:
        path: The file.
        most: Bytes beyond which nobody needs the rest.

    Returns:
        Its content; longer than `most` where it goes on.
    """
    pieces, size = [], 0
    with path.open("rb") as file:
        while size <= most and (piece := file.read(1 << 22)):
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces)
