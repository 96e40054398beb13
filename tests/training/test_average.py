"""The mean of recent parameters: what it is, when it is used, and that it changes no fit."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import nint_cli as nint
from nint_cli import cli
from nint_cli.errors import InputError
from nint_cli.runs import checkpoint
from nint_cli.runs.folder import RunFolder
from nint_cli.training.average import Average
from tests.conftest import smooth_pixels, tiny_field


def parameters(field) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in field.parameters()]


def moved(average: Average, field, rates: list[float]) -> list[list[torch.Tensor]]:
    """Change the parameters at random, a step for each rate; give them after each."""
    seen = []
    for step, rate in enumerate(rates):
        with torch.no_grad():
            for number, parameter in enumerate(field.parameters()):
                noise = torch.Generator().manual_seed(100 * step + number)
                parameter += torch.randn(parameter.shape, generator=noise, dtype=torch.float64)
        average.update(step, rate, 1.0)
        seen.append(parameters(field))
    return seen


def measured(average: Average, field) -> list[torch.Tensor]:
    with average.in_place():
        return parameters(field)


def test_it_is_the_weighted_mean_that_its_window_says():
    field = tiny_field()
    average = Average(field, share=0.5)
    seen = moved(average, field, [1.0] * 8)
    expected = seen[0]
    for step in range(1, 8):
        part = 1 / max(1.0, 0.5 * step)
        pairs = zip(expected, seen[step], strict=True)
        expected = [(1 - part) * mean + part * new for mean, new in pairs]
    for found, wanted in zip(measured(average, field), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    for found, wanted in zip(parameters(field), seen[-1], strict=True):
        assert torch.equal(found, wanted)  # back in their place


def means_from(begin: int, had: int | None) -> list[list[torch.Tensor]]:
    """The means after each of twelve steps, the first ones or those after a rescue."""
    field = tiny_field()
    average = Average(field, share=0.3)
    if had is not None:
        average.update(begin - 1, 1.0, 1.0)
        average.restart(begin, had)
    found = []
    for step in range(12):
        with torch.no_grad():
            for parameter in field.parameters():
                parameter += 1.0 + step
        average.update(begin + step, 1.0, 1.0)
        found.append(measured(average, field))
    return found


def test_from_the_start_again_it_is_as_it_was_at_the_start():
    """By the steps of the whole run it would be of random parameters for all of them."""
    for found, wanted in zip(means_from(1000, 0), means_from(0, None), strict=True):
        for mean, expected in zip(found, wanted, strict=True):
            torch.testing.assert_close(mean, expected)


def test_after_going_back_it_is_the_plain_mean_until_its_window_is_full():
    field = tiny_field()
    start = next(iter(parameters(field)))
    moved_by = torch.tensor([1.0 + step for step in range(12)], dtype=torch.float64).cumsum(0)
    for step, found in enumerate(means_from(1000, 950)):
        torch.testing.assert_close(found[0], start + moved_by[: step + 1].mean())


def test_a_rate_of_nothing_leaves_the_last_parameters():
    field = tiny_field()
    average = Average(field, share=0.5)
    seen = moved(average, field, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    for found, wanted in zip(measured(average, field), seen[-1], strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_parameters_come_back_after_an_error():
    field = tiny_field()
    average = Average(field, share=0.9)
    seen = moved(average, field, [1.0] * 5)
    with pytest.raises(RuntimeError, match="no"), average.in_place():
        raise RuntimeError("no")
    assert all(map(torch.equal, parameters(field), seen[-1]))


def test_a_state_goes_on_and_a_foreign_one_is_refused():
    field = tiny_field()
    average = Average(field, share=0.5)
    moved(average, field, [1.0] * 5)
    other = Average(field, share=0.5)
    other.load_state_dict(average.state_dict())
    assert all(map(torch.equal, measured(other, field), measured(average, field)))
    state = average.state_dict()
    broken = dict(list(state["mean"].items())[1:])
    with pytest.raises(ValueError, match=r"average\..* is missing or does not fit"):
        other.load_state_dict(state | {"mean": broken})
    other.load_state_dict({"mean": {}})
    assert all(map(torch.equal, measured(other, field), parameters(field)))


def test_where_a_mean_begins_comes_back_with_it():
    ends = []
    for interrupted in (False, True):
        field = tiny_field()
        average = Average(field, share=0.9)
        moved(average, field, [1.0] * 5)
        average.restart(100, 90)
        average.update(100, 1.0, 1.0)
        if interrupted:
            state = average.state_dict()
            average = Average(field, share=0.9)
            average.load_state_dict(state)
        for step in range(101, 120):
            with torch.no_grad():
                for parameter in field.parameters():
                    parameter += step
            average.update(step, 1.0, 1.0)
        ends.append(measured(average, field))
    assert all(map(torch.equal, *ends))


# In a run

SMALL = ["--preset", "smoke", "--set", "image.size=16", "--progress", "never", "--steps", "40"]
HALF = ["--set", "optimiser.average=0.5", "--set", "optimiser.schedule=constant"]


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(smooth_pixels()).save("photo.png")


def fit(folder: str, *words: str) -> checkpoint.Checkpoint:
    assert cli.run(["fit", "image", "photo.png", "-o", folder, *SMALL, *words]) == 0
    return checkpoint.read(RunFolder.open(Path(folder)).checkpoints()[0])


def test_training_does_not_feel_it_and_the_result_does(photo):
    plain, mean = fit("plain", "--set=optimiser.schedule=constant"), fit("mean", *HALF)
    for name, tensor in plain.state.tensors.items():
        assert torch.equal(tensor, mean.state.tensors[name]), name
    figures = [nint.load_run(name).metrics.figure("psnr_db") for name in ("plain", "mean")]
    assert figures[0] != figures[1]


def test_eval_measures_what_the_run_did(photo, capsys):
    fit("mean", *HALF)
    capsys.readouterr()
    assert cli.run(["eval", "mean", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    metrics = json.loads(Path("mean/metrics.json").read_text())
    assert found["psnr_db"] == metrics["psnr_db"]


def test_a_run_that_goes_on_equals_one_that_was_not_stopped(photo):
    whole = fit("whole", *HALF, "--set=checkpoint.every=20", "--set=checkpoint.keep=null")
    folder = RunFolder.open(Path("whole"))
    for name in ("metrics.json", f"checkpoints/{folder.checkpoints()[0].name}"):
        Path("whole", name).unlink()
    assert cli.run(["resume", "whole", "--progress", "never"]) == 0
    again = checkpoint.read(folder.checkpoints()[0])
    assert any(name.startswith("average.") for name in whole.state.tensors)
    for name, tensor in whole.state.tensors.items():
        assert torch.equal(tensor, again.state.tensors[name]), name


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_a_damaged_average_is_refused(photo, fault):
    saved = fit("mean", *HALF)
    tensors = dict(saved.state.tensors)
    name = min(key for key in tensors if key.startswith("average."))
    if fault == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:1]
    state = type(saved.state)(tensors, saved.state.numbers)
    changed = checkpoint.Checkpoint(saved.config, saved.signal, state, saved.best, saved.origin)
    path = Path("broken.safetensors")
    path.write_bytes(checkpoint.encode(changed))
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        checkpoint.read(path)
