"""Pictures of light in floating point: OpenEXR and Radiance HDR."""

import io
import re
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.image.decoded import Decoded, Extra, UnsupportedPicture, check_size

_RESOLUTION = re.compile(rb"\n([-+])([XY]) +(\d+) +([-+])([XY]) +(\d+)\n")


def read_hdr(content: bytes, max_pixels: int) -> Decoded:
    """Decode a Radiance file.

    Args:
        content: The file.
        max_pixels: What it may have.

    Returns:
        What it holds.

    Raises:
        ValueError: If it is damaged.
        UnsupportedPicture: If its colours are CIE XYZ.
    """
    import imagecodecs

    found = _RESOLUTION.search(content[: 1 << 16])
    if found is None or found[2] == found[5]:
        raise ValueError("its header says no size")
    if b"xyze" in content[: found.start()]:
        raise UnsupportedPicture(
            "Radiance colours in CIE XYZ; convert it: ra_xyze -r in.hdr out.hdr"
        )
    lines, length = int(found[3]), int(found[6])
    check_size(lines, length, max_pixels)
    # The codec knows one order of lines; the others are turned afterwards.
    header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (lines, length)
    rows = np.array(imagecodecs.rgbe_decode(header + content[found.end() :]))
    if found[1] != (b"-" if found[2] == b"Y" else b"+"):
        rows = rows[::-1]
    if found[4] != (b"-" if found[5] == b"Y" else b"+"):
        rows = rows[:, ::-1]
    samples = rows.swapaxes(0, 1) if found[2] == b"X" else rows
    return Decoded(samples=samples, kind="Radiance HDR", colours="rgb")


def read_exr(path: str, max_pixels: int) -> Decoded:
    """Decode the first part of an OpenEXR file.

    Args:
        path: The file; its library reads no other kind of source.
        max_pixels: What it may have.

    Returns:
        What it holds; by the format's rule alpha is associated.

    Raises:
        UnsupportedPicture: If the library is not installed, the file is damaged, or its channels
            are no picture.
        RuntimeError: Never; it is what the library should raise, and becomes the above.
    """
    try:
        import OpenEXR
    except ModuleNotFoundError:
        raise UnsupportedPicture(
            "OpenEXR files need a package: pip install 'nint[exr]'; or convert it: "
            "magick picture.exr picture.tif"
        ) from None
    try:
        header = OpenEXR.File(path, header_only=True)
        low, high = header.header()["dataWindow"]
        width, height = (int(each) + 1 for each in high - low)
        check_size(width, height, max_pixels)
        parts = len(header.parts)
        with redirect_stdout(io.StringIO()) as said:  # where it prints what should be raised
            channels = {
                name: each.pixels
                for name, each in OpenEXR.File(path, separate_channels=True).channels().items()
            }
        if said.getvalue():
            raise RuntimeError(said.getvalue().strip().rpartition(" - ")[2])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UnsupportedPicture(
            f"an OpenEXR file that is damaged, cut short or unsupported ({reason}); export it "
            "anew, or convert it: magick picture.exr picture.tif"
        ) from error
    names, colours, extra = _chosen(list(channels))
    planes: list[NDArray[Any]] = [channels[name].astype(np.float32) for name in names]
    if len({plane.shape for plane in planes}) > 1:
        raise UnsupportedPicture("its channels have several sizes; export it as RGB")
    left_out = sorted(set(channels) - set(names))
    return Decoded(
        samples=np.stack(planes, axis=2),
        kind="OpenEXR",
        colours="rgb" if colours == 3 else "grey",
        extra=extra,
        frames=parts,
        notes=[f"channels left out: {', '.join(left_out)}"] if left_out else [],
    )


def _chosen(names: list[str]) -> tuple[list[str], int, tuple[Extra, ...]]:
    """Choose RGB, Y or the only layer there is, with alpha where it has it; else all channels."""
    layers = sorted({name.rpartition(".")[0] for name in names})  # the one without a name first
    for layer in layers:
        prefix = f"{layer}." * bool(layer)
        for colours in (["R", "G", "B"], ["Y"]):
            wanted = [prefix + name for name in colours]
            vector = colours == ["Y"] and prefix + "X" in names  # XYZ, or a direction
            if set(wanted) <= set(names) and not vector:
                if colours == ["Y"] and {prefix + "RY", prefix + "BY"} <= set(names):
                    raise UnsupportedPicture("its colours are luminance and chroma; export RGB")
                alpha = prefix + "A"
                if alpha in names:
                    return [*wanted, alpha], len(colours), ("associated",)
                return wanted, len(colours), ()
    others: list[Extra] = ["unspecified"] * (len(names) - 1)
    return sorted(names), 1, tuple(others)
