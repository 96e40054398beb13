"""What is exported gives the field's values in programs that are not nint."""

import copy
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import imagecodecs
import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from PIL import Image

from nint_cli.api import load_run
from nint_cli.config.schema import RunConfig
from nint_cli.errors import ConfigError, OutputError
from nint_cli.fields.base import Encoding, Field
from nint_cli.fields.table import FIELDS
from nint_cli.fitted.export import onnx as onnx_format
from nint_cli.fitted.export.numpy_outputs import output_of
from nint_cli.fitted.export.table import FORMATS
from nint_cli.fitted.fitted import Fitted, open_fitted
from nint_cli.modalities.audio.record import AudioRecord
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.sdf.record import SdfRecord
from nint_cli.modalities.table import modality
from nint_cli.runs.build import build_field
from tests.cli.test_cli import nint
from tests.conftest import generator
from tests.fuzz.inputs import SMALL_SHAPE

PICTURE = ImageRecord(
    source="a.png", sha256="", channels=3, shape=(5, 7), dtype="uint8", high=255.0, maximum=255
)
SOUND = AudioRecord(
    source="a.wav", sha256="", channels=2, half_range=5.0, samples=300, sample_rate_hz=8000,
    subtype="PCM_16", scale=0.5, offset=0.25,
)  # fmt: skip
LONG = SOUND.model_copy(update={"samples": 200_000, "channels": 1})  # of coords in float64
SHAPE = SdfRecord(
    source="a.obj", sha256="", channels=1, half_range=0.5, points=1000, shape=(9, 9, 9),
    centre=(1.0, 2.0, -3.0), scale=4.0,
)  # fmt: skip
SIGNALS = {"picture": PICTURE, "sound": SOUND, "long": LONG, "shape": SHAPE}
COUNTS = (1, 7, 1000)


def fitted_of(name, signal=PICTURE):
    """A small field, of which a hash grid has levels with a row per vertex and others."""
    small = {"hidden_features": 8, "hidden_layers": 2}
    if name == "hashgrid":
        small |= {"levels": 4, "coarsest": 2, "finest": 40, "log2_entries": 6}
    config = RunConfig.model_validate({"field": name, name: small})
    field = build_field(
        config, signal.grid, signal.channels, generator(), half_range=signal.half_range
    )
    if name == "hashgrid":
        with torch.no_grad():
            field.encoding.table.normal_(generator=generator(1))
    return Fitted(Path("run"), config, signal, field, 3)


def coords_of(signal, count):
    dtype = torch.float64 if signal is LONG else torch.float32
    shares = torch.rand(count, len(signal.grid), generator=generator(count), dtype=dtype)
    return (2.2 * shares - 1.1) * signal.half_range


def oracle(fitted, coords):
    with torch.no_grad():
        return copy.deepcopy(fitted.field).double()(coords.double()).numpy()


def close(found, true):
    assert found.shape == true.shape
    return np.abs(found - true).max() <= 1e-4


def quiet(_line):
    pass


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("name", FIELDS)
def test_onnx_runtime_gives_the_values_of_a_field(name, signal):
    fitted = fitted_of(name, SIGNALS[signal])
    session = onnxruntime.InferenceSession(FORMATS["onnx"].encode(fitted, quiet))
    for count in COUNTS:
        coords = coords_of(fitted.signal, count)
        (found,) = session.run(None, {"coords": coords.numpy()})
        assert found.dtype == np.float32
        assert close(found, oracle(fitted, coords))
    (kept,) = session.get_modelmeta().custom_metadata_map.values()
    assert json.loads(kept)["signal"] == fitted.signal.model_dump(mode="json")


APART = """
import sys, io, json
import numpy as np, torch
sys.modules["nint_cli"] = None
for name in sys.argv[1:]:
    extra = {"nint.field": ""}
    field = torch.export.load(name + ".pt2", extra_files=extra).module()
    assert json.loads(extra["nint.field"])["step"] == 3
    inputs = np.load(name + ".npz")
    with torch.no_grad():
        found = {key: field(torch.from_numpy(inputs[key])).numpy() for key in inputs}
    np.savez(name + "-found.npz", **found)
"""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["siren", "wire"], id="some"),
        pytest.param(sorted({*FIELDS} - {"siren", "wire"}), marks=pytest.mark.slow),
    ],
)
def test_pytorch_opens_programs_without_nint(names):
    signals = {name: LONG if name == "ffn" else PICTURE for name in names}
    true = {}
    for name in names:
        fitted = fitted_of(name, signals[name])
        content = FORMATS["torch"].encode(fitted, quiet)
        assert str(Path(__file__).parents[2]).encode() not in content  # where nint is installed
        Path(f"{name}.pt2").write_bytes(content)
        inputs = {str(count): coords_of(fitted.signal, count) for count in COUNTS}
        np.savez(f"{name}.npz", **{key: each.numpy() for key, each in inputs.items()})
        true[name] = {key: oracle(fitted, each) for key, each in inputs.items()}
    subprocess.run([sys.executable, "-I", "-W", "error", "-c", APART, *names], check=True)
    for name in names:
        with np.load(f"{name}-found.npz") as found:
            assert all(close(found[key], each) for key, each in true[name].items())


ALONE = """
import runpy, sys
import numpy as np
before = set(sys.modules)
for name in sys.argv[1:]:
    inputs = np.load(name + ".npz")
    own = runpy.run_path(name + "/decode.py", run_name="decode")
    found = {key: own["field"](inputs[key]) for key in inputs if key != "axis"}
    np.savez(name + "-found.npz", axis=own["axis"](len(inputs["axis"])), **found)
new = {each.partition(".")[0] for each in set(sys.modules) - before}
assert new <= {"numpy", *sys.stdlib_module_names}, new
"""


def test_numpy_alone_gives_the_values_of_every_field():
    true = {}
    for name in FIELDS:
        for kind, signal in SIGNALS.items():
            fitted, place = fitted_of(name, signal), f"{name}-{kind}"
            FORMATS["numpy"].write(fitted, Path(place), quiet)
            script = Path(place, "decode.py").read_text()
            assert len(script.splitlines()) <= 80
            inputs = {str(count): coords_of(signal, count) for count in COUNTS}
            grid = axis_of(signal)
            np.savez(f"{place}.npz", axis=grid, **{k: each.numpy() for k, each in inputs.items()})
            true[place] = {key: oracle(fitted, each) for key, each in inputs.items()}
            true[place]["axis"] = grid[:, 0]
    subprocess.run([sys.executable, "-I", "-W", "error", "-c", ALONE, *true], check=True)
    for place, values in true.items():
        with np.load(f"{place}-found.npz") as found:
            axis = values.pop("axis")  # whose bits matter in float32 alone
            assert np.abs(found["axis"] - axis).max() <= (1e-14 if axis.dtype == float else 0)
            assert all(close(found[key], each) for key, each in values.items()), place


def axis_of(signal):
    """Coords along the signal's first axis, as training has them, repeated for each axis."""
    from nint_cli.signals.base import GridSignal

    count = signal.grid[0]
    grid = GridSignal(torch.empty(count, 0), (count,), half_range=signal.half_range)
    coords, _ = grid.slice(0, count)
    return coords.repeat(1, len(signal.grid)).numpy()


def decoded(fitted, name, *words):
    FORMATS["numpy"].write(fitted, Path("field"), quiet, overwrite=True)
    command = [sys.executable, "-I", "-W", "error", "field/decode.py", name, *words]
    subprocess.run(command, check=True)
    return Path(name).read_bytes()


def rebuilt(fitted):
    kind = fitted.signal.kind
    return modality(kind).rebuild(fitted.signal, fitted.config.section(kind), fitted.field)


@pytest.mark.parametrize(
    ("dtype", "maximum", "channels"),
    [("uint8", 255, 1), ("uint8", 255, 3), ("uint16", 65535, 4), ("uint16", 4095, 2)],
)
def test_a_script_writes_the_picture_that_nint_reconstructs(dtype, maximum, channels):
    changes = {"dtype": dtype, "maximum": maximum, "high": float(maximum), "channels": channels}
    changes["shape"] = (1, 30) if channels == 1 else (5, 7)
    fitted = fitted_of("siren", PICTURE.model_copy(update=changes))
    with torch.no_grad():
        fitted.field.biases[-1].add_(0.5)  # or half the pixels were black
    true = rebuilt(fitted).astype(int)
    pixels = np.load(io.BytesIO(decoded(fitted, "a.npy")))
    assert pixels.dtype == dtype
    assert np.abs(pixels - true).max() <= 1
    shown = imagecodecs.png_decode(decoded(fitted, "a.png")).reshape(true.shape).astype(float)
    full = np.iinfo(dtype).max
    assert np.abs(shown / full - true / maximum).max() <= 1.01 / maximum
    assert np.ptp(shown) > full / 20


@pytest.mark.parametrize("channels", [1, 5])
def test_a_script_writes_an_array_where_no_png_holds_the_picture(channels):
    changes = {"dtype": "float32", "low": -3.0, "high": 5.0, "maximum": 1, "channels": channels}
    fitted = fitted_of("mlp", PICTURE.model_copy(update=changes))
    pixels = np.load(io.BytesIO(decoded(fitted, "a.npy")))
    assert pixels.dtype == np.float32
    assert np.abs(pixels - rebuilt(fitted)).max() <= 8e-4


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_a_script_writes_the_sound_that_nint_reconstructs(subtype):
    changes = {"subtype": subtype, "channels": 1, "samples": 301, "scale": 3.0, "offset": 0.0}
    fitted = fitted_of("siren", SOUND.model_copy(update=changes))
    true = rebuilt(fitted)
    assert np.abs(true).max() > 0.1
    waveform = np.load(io.BytesIO(decoded(fitted, "a.npy")))
    assert np.abs(waveform - true).max() <= 1e-4
    decoded(fitted, "a.wav")
    found, rate = soundfile.read("a.wav", always_2d=True)
    assert (rate, soundfile.info("a.wav").subtype) == (8000, subtype)
    kept = true if subtype == "FLOAT" else true.clip(-1, 1)
    assert np.abs(found - kept).max() <= 1e-4


def test_a_script_writes_the_distances_of_a_shape_in_its_own_units():
    fitted = fitted_of("siren", SHAPE)
    with np.load(io.BytesIO(decoded(fitted, "a.npz", "6"))) as found:
        axes = [found[axis] for axis in "xyz"]
        distances = found["distances"]
    for axis, middle in zip(axes, SHAPE.centre, strict=True):
        assert np.allclose(axis, np.linspace(middle - 4, middle + 4, 6), atol=1e-6)
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    coords = torch.from_numpy((points - SHAPE.centre) / SHAPE.scale * SHAPE.half_range)
    true = oracle(fitted, coords) / SHAPE.half_range * SHAPE.scale
    assert np.abs(distances.reshape(-1, 1) - true).max() <= 1e-4 * 8


def test_coords_in_float64_are_said(capsys):
    said = []
    FORMATS["onnx"].encode(fitted_of("siren", LONG), said.append)
    assert said == [
        "coords are float64 in this model: float32 does not tell the signal's points apart"
    ]


@pytest.mark.parametrize("name", ["onnx", "numpy", "torch"])
def test_what_nobody_taught_a_format_is_refused_or_taken(name):
    class Odd:
        takes_rounded = True

        def __call__(self, z):
            return torch.tanh(z)

        def value(self, z):
            return torch.tanh(z)

    fitted = fitted_of("siren")
    fitted.field.activation = Odd()
    if name == "torch":
        assert FORMATS[name].encode(fitted, quiet)
        return
    with pytest.raises(ConfigError, match=r"Odd cannot be exported as .*; try torch"):
        FORMATS[name].encode(fitted, quiet)


@pytest.mark.parametrize("name", ["onnx", "numpy"])
def test_fields_and_encodings_that_are_not_known_are_refused(name):
    class Odd(Encoding):
        feature_dim = 2

        def features(self, coords):
            return coords

    class OddField(Field):
        def forward(self, coords):
            return coords

        def last_layer(self):
            return []

    fitted = fitted_of("siren")
    fitted.field.encoding = Odd()
    with pytest.raises(ConfigError, match=r"the encoding Odd cannot be exported"):
        FORMATS[name].encode(fitted, quiet)
    with pytest.raises(ConfigError, match=r"a OddField cannot be exported"):
        FORMATS[name].encode(replace(fitted, field=OddField()), quiet)


def test_a_modality_without_a_script_is_refused():
    with pytest.raises(ConfigError, match="smell cannot be exported as numpy"):
        output_of(SimpleNamespace(kind="smell"))


def test_a_field_beyond_what_protobuf_holds_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_format, "_MOST_BYTES", 100)
    with pytest.raises(ConfigError, match=r"holds at most 2 GiB .* bytes; try torch"):
        FORMATS["onnx"].encode(fitted_of("siren"), quiet)


def test_a_model_that_differs_is_not_written(monkeypatch):
    monkeypatch.setattr(
        onnx_format, "_add_activation", lambda graph, _activation, z, _: graph.add("Relu", z)
    )
    with pytest.raises(OutputError, match=r"nothing was written.* by up to [\d.]+.*0\.0001"):
        FORMATS["onnx"].write(fitted_of("siren"), Path("a.onnx"), quiet)
    assert list(Path().iterdir()) == []


@pytest.fixture
def run(capsys, smoke) -> Path:
    code, _, said = nint(capsys, *smoke, "-o", "run")
    assert code == 0, said
    return Path("run")


def test_the_command_writes_every_format_and_replaces_none_unasked(capsys, run, monkeypatch):
    for name, suffix in (("safetensors", ".safetensors"), ("onnx", ".onnx"), ("numpy", "-numpy")):
        words = ("export", run, "--format", name)
        code, out, said = nint(capsys, *words)
        assert (code, out) == (0, f"picture{suffix}\n"), said
        assert ("opens again" in said) == (name == "safetensors")
        code, out, said = nint(capsys, *words)
        assert (code, out) == (4, "")
        assert "exists; choose another name or give --overwrite" in said
        assert nint(capsys, *words, "--overwrite", "-q")[::2] == (0, "")
    subprocess.run([sys.executable, "-I", "decode.py"], cwd="picture-numpy", check=True)
    found = np.asarray(Image.open("picture-numpy/picture.png")).astype(int)
    true = np.asarray(Image.open(run / "reconstruction.png"))
    assert np.abs(found - true).max() <= 1
    code, _, said = nint(capsys, *words, "--overwrite")
    assert code == 4
    assert "holds other files, such as 'picture.png'" in said
    assert not [each for each in Path().iterdir() if each.name.startswith(".")]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, said = nint(capsys, "export", run, "--format", "onnx", "-o", "other.onnx")
    assert code == 2
    assert "pip install 'nint[onnx]'" in said
    assert not Path("other.onnx").exists()


def test_what_cannot_be_exported_is_one_line(capsys, run):
    Path("text.bin").write_bytes(b"no field")
    for code, text, *words in (
        (2, "is not one of 'safetensors'", run, "--format", "safetensor"),
        (2, "--format", run),
        (3, "no such run folder or file", "gone", "--format", "onnx"),
        (3, "what opens is a run folder", "text.bin", "--format", "onnx"),
        (3, "no checkpoint of step 1", run, "--format", "onnx", "--step", "1"),
        (4, "there is no folder", run, "--format", "onnx", "-o", "no/a.onnx"),
        (4, "is a folder", run, "--format", "onnx", "-o", run),
        (4, "is a file; name a folder", run, "--format", "numpy", "-o", "text.bin"),
    ):
        found, out, said = nint(capsys, "export", *words)
        assert (found, out) == (code, ""), said
        assert text in said
        assert said.count("\n") == 1


def test_a_folder_is_written_whole_or_not_at_all(monkeypatch):
    from nint_cli.fitted import output

    before = {"field.npz": b"1", "decode.py": b"1"}
    output.write_folder(Path("a"), before, overwrite=False)
    write = output.write_whole

    def fail(path, content):
        if path.name == "decode.py":
            raise OSError("no space")
        write(path, content)

    monkeypatch.setattr(output, "write_whole", fail)
    for name in ("a", "b"):
        with pytest.raises(OutputError, match="no space"):
            output.write_folder(Path(name), dict.fromkeys(before, b"2"), overwrite=True)
    monkeypatch.setattr(output, "write_whole", write)
    replace = Path.replace

    def only_away(self, target):
        if ".new-" in self.name:
            raise OSError("no way")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", only_away)
    with pytest.raises(OutputError, match="no way"):
        output.write_folder(Path("a"), dict.fromkeys(before, b"2"), overwrite=True)
    assert [each.name for each in Path().iterdir()] == ["a"]
    assert {each.name: each.read_bytes() for each in Path("a").iterdir()} == before


def test_python_exports_too(run):
    found = load_run(run)
    found.export("a.safetensors")
    assert open_fitted(Path("a.safetensors")).step == open_fitted(run).step
    with pytest.raises(OutputError, match="exists"):
        found.export("a.safetensors")
    with pytest.raises(ConfigError, match="no format 'onn', did you mean 'onnx'"):
        found.export("a.onnx", format="onn")


@pytest.mark.parametrize("kind", ["image", "audio", "sdf"])
def test_a_file_is_measured_as_its_run_is(capsys, kind, picture):
    soundfile.write("a.wav", 0.5 * np.sin(np.arange(900) / 9), 8000)
    source = {"image": picture, "audio": "a.wav", "sdf": "sample:gear"}[kind]
    words = ("--preset", "smoke", "--progress", "never", "--seed", "3", "-o", "run")
    small = SMALL_SHAPE if kind == "sdf" else ("--set", "siren.hidden_features=16")
    quick = ("--set", "steps=4", "--set", "evaluation.final=sample")
    assert nint(capsys, "fit", kind, source, *words, *small, *quick)[0] == 0
    assert nint(capsys, "export", "run", "--format", "safetensors", "-o", "a.safetensors")[0] == 0
    code, of_run, said = nint(capsys, "eval", "run", "--json")
    assert code == 0, said
    for more in ((), ("--against", source)):
        code, of_file, said = nint(capsys, "eval", "a.safetensors", "--json", *more)
        assert (code, of_file) == (0, of_run), said


def test_a_file_whose_input_is_gone_or_another_asks_for_it(capsys, run, picture):
    nint(capsys, "export", run, "--format", "safetensors", "-o", "a.safetensors")
    code, _, said = nint(capsys, "eval", "a.safetensors", "--reconstruct")
    assert code == 2
    assert "name the folder" in said
    Image.new("RGB", (32, 24)).save(picture)
    code, _, said = nint(capsys, "eval", "a.safetensors")
    assert code == 3
    assert "has changed since the run; name it with --against FILE" in said
    picture.unlink()
    code, _, said = nint(capsys, "eval", "a.safetensors")
    assert code == 3
    assert "is not beside it; name it with --against FILE" in said
    assert nint(capsys, "eval", "picture.safetensors")[0] == 3
