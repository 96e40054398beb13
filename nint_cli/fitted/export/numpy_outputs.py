"""What a script of `nint export --format numpy` writes: the pieces that are a modality's own.

Each is Python code that uses ``field``, ``axis`` and ``HALF_RANGE`` of the rest.
"""

from dataclasses import dataclass

from nint_cli.errors import ConfigError
from nint_cli.modalities.audio.record import AudioRecord
from nint_cli.modalities.audio.wav import kept_as
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.sdf.record import SdfRecord
from nint_cli.signals.record import SignalRecord

_PNG_CHANNELS = {1: 0, 2: 4, 3: 2, 4: 6}  # to the colour type


@dataclass(frozen=True)
class Outcome:
    """The end of a script.

    Attributes:
        what: What it decodes, in a few words.
        usage: How it is run, and what it writes.
        imports: Modules of the standard library that it needs.
        code: The rest of the script.
    """

    what: str
    usage: str
    imports: tuple[str, ...]
    code: str


def output_of(signal: SignalRecord) -> Outcome:
    """Return the end of a script.

    Args:
        signal: What the field was fitted to.

    Returns:
        Functions ``decode``, which gives the whole as an array, and what writes that.

    Raises:
        ConfigError: For a modality that is not known here.
    """
    match signal:
        case ImageRecord():
            return _picture(signal)
        case AudioRecord():
            return _sound(signal)
        case SdfRecord():
            return _shape(signal)
        case _:
            raise ConfigError(f"{signal.kind} cannot be exported as numpy; try torch")


def _picture(signal: ImageRecord) -> Outcome:
    height, width = signal.shape
    what = f"a picture of {width} x {height} pixels"
    scale, floating = signal.scale, signal.dtype == "float32"
    span = float(scale.high - scale.low)
    rounded = "values" if floating else "np.rint(values)"
    decode = _DECODE_PICTURE.format(
        height=height,
        width=width,
        channels=signal.channels,
        dtype=signal.dtype,
        value=f"{rounded}.astype(np.{signal.dtype})",
        span=span,
        low=float(scale.low),
    )
    if floating or signal.channels not in _PNG_CHANNELS:
        usage = "python decode.py [picture.npy] writes the pixels, an array (H, W, C)."
        return Outcome(what, usage, (), decode + _WRITE_ARRAY.format(name="picture.npy"))
    bits = 8 if signal.dtype == "uint8" else 16
    full = 2**bits - 1
    shown = "pixels" if scale.maximum == full else f"np.rint(pixels * {full / scale.maximum!r})"
    write = _WRITE_PNG.format(
        shown=f"{shown}.astype('>u{bits // 8}')",
        bits=bits,
        colour=_PNG_CHANNELS[signal.channels],
        height=height,
        width=width,
    )
    usage = (
        "python decode.py [picture.png] writes a PNG, or pixels (H, W, C) where the name is *.npy"
    )
    return Outcome(what, usage, ("struct", "zlib"), decode + write)


_DECODE_PICTURE = '''def decode():
    """The pixels ({height}, {width}, {channels}), row by row; coordinates are (row, column)."""
    pixels = np.empty(({height}, {width}, {channels}), np.{dtype})
    across = axis({width})
    for row, down in enumerate(axis({height})):
        x = np.stack([np.full_like(across, down), across], axis=1)
        values = np.clip(field(x), 0, 1) * np.float32({span!r}) + np.float32({low!r})
        pixels[row] = {value}
    return pixels


'''

_WRITE_PNG = '''def png(pixels):
    """Content of a PNG file."""
    data = b"".join(b"\\0" + row.tobytes() for row in {shown})
    head = struct.pack(">IIBBBBB", {width}, {height}, {bits}, {colour}, 0, 0, 0)
    found = b"\\x89PNG\\r\\n\\x1a\\n"
    for kind, part in ((b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b"")):
        found += struct.pack(">I", len(part)) + kind + part
        found += struct.pack(">I", zlib.crc32(kind + part))
    return found


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "picture.png"
    if name.endswith(".npy"):
        np.save(name, decode())
    else:
        Path(name).write_bytes(png(decode()))
'''

_WRITE_ARRAY = """if __name__ == "__main__":
    np.save(sys.argv[1] if len(sys.argv) > 1 else "{name}", decode())
"""


def _sound(signal: AudioRecord) -> Outcome:
    kept = kept_as(signal.subtype)
    bits = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}.get(kept)
    decode = _DECODE_SOUND.format(
        samples=signal.samples,
        channels=signal.channels,
        offset=signal.offset,
        scale=signal.scale,
    )
    tag, size = (3, 4) if bits is None else (1, bits // 8)
    if bits is None:
        data = 'waveform.astype("<f4").tobytes()'
    else:
        full = 2 ** (bits - 1)
        levels = f"np.clip(np.rint(waveform * {full}), {-full}, {full - 1})"
        data = f'{levels}.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :{size}].tobytes()'
    write = _WRITE_WAV.format(
        data=data,
        tag=tag,
        channels=signal.channels,
        rate=signal.sample_rate_hz,
        second=signal.sample_rate_hz * signal.channels * size,
        frame=signal.channels * size,
        bits=8 * size,
    )
    usage = "python decode.py [sound.wav] writes a WAV, or samples (T, C) where the name is *.npy"
    what = f"a sound of {signal.samples} samples at {signal.sample_rate_hz} Hz"
    return Outcome(what, usage, ("struct",), decode + write)


_DECODE_SOUND = '''def decode():
    """The waveform ({samples}, {channels}), full scale 1; the coordinate is time."""
    times = axis({samples})[:, None]
    values = [field(times[i : i + 65536]) for i in range(0, len(times), 65536)]
    return (np.concatenate(values).astype(np.float64) - {offset!r}) * {scale!r}


'''

_WRITE_WAV = '''def wav(waveform):
    """Content of a WAV file."""
    data = {data}
    form = struct.pack("<HHIIHH", {tag}, {channels}, {rate}, {second}, {frame}, {bits})
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data + b"\\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "sound.wav"
    if name.endswith(".npy"):
        np.save(name, decode())
    else:
        Path(name).write_bytes(wav(decode()))
'''


def _shape(signal: SdfRecord) -> Outcome:
    usage = (
        "python decode.py [shape.npz] [64] writes signed distances on a grid of so many points\n"
        "along each edge: distances (X, Y, Z), and the coordinates x, y, z of its points, all in\n"
        "the units of the mesh. The surface is where the distance is 0; inside it is negative."
    )
    code = _DECODE_SHAPE.format(centre=list(signal.centre), scale=signal.scale)
    return Outcome("the signed distance to a shape", usage, (), code)


_DECODE_SHAPE = '''SCALE, CENTRE = {scale!r}, {centre!r}


def decode(count=64):
    """Distances (X, Y, Z) and the three axes of their grid, in the units of the mesh."""
    along = axis(count)
    distances = np.empty((count, count, count))
    y, z = np.meshgrid(along, along, indexing="ij")
    for i, x in enumerate(along):
        points = np.stack([np.full_like(y, x), y, z], axis=-1).reshape(-1, 3)
        distances[i] = field(points).reshape(count, count)
    axes = [along.astype(np.float64) / HALF_RANGE * SCALE + middle for middle in CENTRE]
    return distances / HALF_RANGE * SCALE, *axes


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "shape.npz"
    found = decode(int(sys.argv[2]) if len(sys.argv) > 2 else 64)
    np.savez(name, **dict(zip(("distances", "x", "y", "z"), found)))
'''
