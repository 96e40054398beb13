"""A fitted field opens from its run, from one of its checkpoints, and from a file."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nint_cli.api import load_run
from nint_cli.errors import InputError, OutputError
from nint_cli.fields.hashgrid import grid_for
from nint_cli.fitted import safetensors_file
from nint_cli.fitted.description import describe
from nint_cli.fitted.fitted import open_fitted
from nint_cli.fitted.output import write_output
from tests.cli.test_cli import nint


@pytest.fixture
def run(capsys, smoke) -> Path:
    kept = ("--set", "checkpoint.every=2", "--set", "checkpoint.keep=null")
    code, _, said = nint(capsys, *smoke, *kept, "-o", "run")
    assert code == 0, said
    return Path("run").absolute()


def values(fitted):
    coords = torch.linspace(-1, 1, 22).view(11, 2)
    with torch.no_grad():
        return fitted.field(coords)


def exported(run: Path) -> Path:
    fitted = open_fitted(run)
    path = Path("field.safetensors").absolute()
    path.write_bytes(
        safetensors_file.encode(fitted.config, fitted.signal, fitted.field, fitted.step)
    )
    return path


def test_a_run_its_newest_checkpoint_and_its_file_are_one_field(run):
    field = open_fitted(run)
    newest = max(run.glob("checkpoints/*"))
    for other in (open_fitted(newest), open_fitted(exported(run))):
        assert torch.equal(values(other), values(field))
        assert other.step == field.step
        assert other.config.field_settings == field.config.field_settings
        assert other.config.section("image") == field.config.section("image")
    own = load_run(run).field
    assert all(
        torch.equal(a, b) for a, b in zip(own.parameters(), field.field.parameters(), strict=True)
    )


def test_an_earlier_step_can_be_opened_and_a_lost_one_is_named(run):
    steps = sorted(int(each.stem[5:]) for each in run.glob("checkpoints/*"))
    first = open_fitted(run, step=steps[0])
    assert first.step == steps[0]
    assert not torch.equal(values(first), values(open_fitted(run)))
    with pytest.raises(InputError, match=r"no checkpoint of step 1; it has 2, .*keep=null"):
        open_fitted(run, step=1)
    with pytest.raises(InputError, match="leave out --step"):
        open_fitted(exported(run), step=2)


def test_a_file_says_nothing_of_the_folder_of_its_input(run):
    content = exported(run).read_bytes()
    assert str(Path.cwd()).encode() not in content
    with safe_open(exported(run), framework="pt") as file:
        about = json.loads(file.metadata()["nint.field"])
    assert about["signal"]["source"] == "picture.png"


def test_a_file_says_what_the_signal_decided(capsys, smoke):
    """So that a later rule for the tables of a grid leaves it as it is."""
    assert nint(capsys, *smoke, "--field", "hashgrid", "-o", "grid")[0] == 0
    fitted = open_fitted(Path("grid"))
    about = describe(fitted.config, fitted.signal, fitted.step).field_settings
    assert fitted.config.field_settings.finest is None
    assert (about["finest"], about["log2_entries"]) == grid_for(fitted.signal.grid)


def test_damaged_files_are_refused_in_a_line(run):
    path = exported(run)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["nint.field"])

    def refused(match, tensors=tensors, **changes):
        found = {"nint.field": json.dumps({**about, **changes})}
        save_file(tensors, "bad.safetensors", metadata=found)
        with pytest.raises(InputError, match=match) as error:
            open_fitted(Path("bad.safetensors"))
        assert "\n" not in str(error.value)

    name = next(iter(tensors))
    refused("NaN", {**tensors, name: tensors[name] * torch.nan})
    refused("expected", {**tensors, name: tensors[name][:1].contiguous()})
    refused("expected", {**tensors, "other": torch.zeros(1)})
    refused("format", format=2)
    refused("unknown", unknown=1)
    refused("field", field="none")
    refused("channels", signal={**about["signal"], "channels": 0})
    refused("hidden_features", field_settings={"hidden_features": 10**12})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError):
        open_fitted(path)
    with pytest.raises(InputError, match="no such run folder or file"):
        open_fitted(Path("nowhere"))


def test_an_output_is_whole_or_not_there_and_replaces_nothing_unasked():
    path = Path("out.bin")

    def fail(file):
        file.write(b"half")
        raise OSError("no space")

    with pytest.raises(OutputError, match="cannot write"):
        write_output(path, fail, overwrite=False)
    assert list(Path().iterdir()) == []
    write_output(path, lambda file: file.write(b"1"), overwrite=False)
    with pytest.raises(OutputError, match="--overwrite"):
        write_output(path, lambda file: file.write(b"2"), overwrite=False)
    assert path.read_bytes() == b"1"
    write_output(path, lambda file: file.write(b"2"), overwrite=True)
    assert path.read_bytes() == b"2"
    with pytest.raises(OutputError, match="is a folder"):
        write_output(Path.cwd(), fail, overwrite=True)
    with pytest.raises(OutputError, match="no folder"):
        write_output(Path("gone/out.bin"), fail, overwrite=False)
