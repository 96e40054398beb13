"""Which channel of a sound is for which speaker, by the bits that WAV has for it.

Source: Microsoft's WAVEFORMATEXTENSIBLE; RFC 9639 for FLAC; the Vorbis I specification, 4.3.9,
which Opus shares.
"""

import re
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

_MASK = re.compile(r"Channel Mask\s*: 0x([0-9A-Fa-f]+)")  # in libsndfile's log of a header
_FLAC = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
# For Ogg the mask, and which of its channels is the first of WAV, and so on.
_OGG = {
    3: (0x7, (0, 2, 1)),
    4: (0x33, (0, 1, 2, 3)),
    5: (0x37, (0, 2, 1, 3, 4)),
    6: (0x3F, (0, 2, 1, 5, 3, 4)),
    7: (0x70F, (0, 2, 1, 6, 5, 3, 4)),
    8: (0x63F, (0, 2, 1, 7, 5, 6, 3, 4)),
}


def speakers(
    file: soundfile.SoundFile, samples: NDArray[Any]
) -> tuple[NDArray[Any], int | None, list[str]]:
    """Bring channels into WAV's order, and tell which is which.

    Args:
        file: The file, open.
        samples: (T, C), in the file's order.

    Returns:
        The samples, the mask, None where nothing tells it, and what was done.
    """
    count = samples.shape[1]
    if found := _MASK.search(file.extra_info):
        return samples, int(found[1], 16), []
    if file.format == "FLAC":
        return samples, _FLAC.get(count), []
    if file.format == "OGG" and count in _OGG:
        mask, order = _OGG[count]
        return (
            np.ascontiguousarray(samples[:, order]),
            mask,
            [f"its {count} channels put into the order of WAV"],
        )
    return samples, None, []
