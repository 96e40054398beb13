import json
import pickle
import struct
from contextlib import suppress

import pytest
import torch
from safetensors.torch import save

from nint_cli.config.schema import RunConfig
from nint_cli.errors import InputError
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.image.signal import Picture
from nint_cli.runs import checkpoint
from nint_cli.runs.build import build_trainer
from nint_cli.runs.checkpoint import Checkpoint
from nint_cli.schedules.clock import Clock
from nint_cli.training.trainer import TrainerState
from tests.conftest import smooth_pixels

CONFIG = RunConfig.model_validate({
    "steps": 4,
    "siren": {"hidden_features": 8, "hidden_layers": 1},
    "nint": {"lambda": 0.5},
})
RECORD = ImageRecord(
    kind="image", source="/x.png", sha256="0" * 64, shape=(8, 8), channels=3, dtype="uint8"
)


class Steps:
    def after_step(self, trainer, step):
        return "enough" if step.number == 3 else None


@pytest.fixture
def saved():
    trainer = build_trainer(CONFIG, Picture(smooth_pixels(8, 8), "").signal(), Clock())
    trainer.fit(Steps())
    return Checkpoint(CONFIG, RECORD, trainer.state_dict())


def test_a_checkpoint_comes_back_whole(saved, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(checkpoint.encode(saved))
    back = checkpoint.read(path)
    assert back.config == saved.config
    assert back.signal == saved.signal
    assert back.origin == saved.origin
    assert json.loads(json.dumps(saved.state.numbers)) == back.state.numbers
    assert back.state.tensors.keys() == saved.state.tensors.keys()
    for name, tensor in saved.state.tensors.items():
        assert torch.equal(back.state.tensors[name], tensor), name
        assert back.state.tensors[name].dtype == tensor.dtype


def refused(path, reason):
    with pytest.raises(InputError, match=reason) as caught:
        checkpoint.read(path)
    assert "\n" not in str(caught.value)


def sealed(about, tensors):
    """A file whose content is what its digest says, whatever that is."""
    about = about | {"sha256": checkpoint.digest(about, tensors)}
    return save(tensors, metadata={"nint": json.dumps(about)})


def test_equal_checkpoints_are_equal_files(saved):
    for _ in range(9):
        assert checkpoint.encode(saved) == checkpoint.encode(saved)


def test_any_flipped_bit_is_seen(saved, tmp_path):
    data = checkpoint.encode(saved)
    path = tmp_path / "a.safetensors"
    body = 8 + struct.unpack("<Q", data[:8])[0]
    # The lowest bits of floats, which leave finite numbers, and digits of settings among them.
    for position in (*range(0, body, 23), *range(body, len(data), 41)):
        flipped = bytearray(data)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        if data[position : position + 1].isdigit() and position < body:
            # The 17th digit of a number may say nothing, and then nothing is damaged.
            with suppress(InputError):
                assert checkpoint.encode(checkpoint.read(path)) == data
        else:
            refused(path, "cannot read checkpoint|no sound checkpoint")
    flipped = data.replace(b'\\"seed\\": 0', b'\\"seed\\": 1')
    assert flipped != data
    path.write_bytes(flipped)
    refused(path, "it is damaged, for its SHA-256 is not that of its content")


def test_the_digest_is_of_names_types_shapes_and_bytes():
    about, one = {"a": 1, "b": 2}, torch.tensor([1.0, 2.0])
    expected = checkpoint.digest(about, {"x": one, "y": one.long()})
    same = {"b": 2, "a": 1, "sha256": "0"}
    assert checkpoint.digest(same, {"y": one.long(), "x": one.clone()}) == expected
    others = [
        {"x": one, "z": one.long()},
        {"x": one, "y": one.double().view(torch.int64)},
        {"x": one.view(torch.int32), "y": one.long()},
        {"x": one[:, None], "y": one.long()},
        {"x": one},
    ]
    found = {checkpoint.digest(about, other) for other in others}
    found.add(checkpoint.digest(about | {"a": 2}, {"x": one, "y": one.long()}))
    assert len(found - {expected}) == len(others) + 1
    for value in (torch.tensor(True), torch.empty(0, 3), one.bfloat16(), one.to(torch.complex64)):
        assert len(checkpoint.digest({}, {"x": value})) == 64


class Canary:
    def __reduce__(self):
        return (open, ("canary", "w"))


def test_damage_and_malice_are_refused(saved, tmp_path):
    data = checkpoint.encode(saved)
    path = tmp_path / "a.safetensors"
    header = struct.unpack("<Q", data[:8])[0]
    for bad in (
        b"",
        data[:100],
        data[:-1],
        struct.pack("<Q", 2**40) + data[8:],
        data[:8] + b"x" + data[9:],
        pickle.dumps(Canary()),
        data[: 8 + header // 2],
    ):
        path.write_bytes(bad)
        refused(path, "cannot read checkpoint|no sound checkpoint")
    assert not (tmp_path / "canary").exists()
    refused(tmp_path / "missing.safetensors", "cannot read checkpoint")


@pytest.fixture
def about(saved):
    """What a checkpoint says besides its tensors."""
    return json.loads(
        json.dumps({
            "format": checkpoint.FORMAT,
            "config": CONFIG.model_dump(mode="json"),
            "signal": RECORD.model_dump(mode="json"),
            "numbers": saved.state.numbers,
            "best": None,
            "origin": saved.origin.model_dump(),
        })
    )


@pytest.fixture
def tensors(saved):
    return {name: tensor.clone() for name, tensor in saved.state.tensors.items()}


def without_guard(about):
    return {key: value for key, value in about["numbers"].items() if key != "detector"}


def hasty(**changes):
    """The numbers of a run that is finding its batch size, changed."""
    found = {"size": 512, "settled": False, "fastest": [0.0, 0.1], "last": [0.0, 0.5]}
    return lambda about: {"numbers": about["numbers"] | {"adaptive_batch_size": found | changes}}


def test_a_sound_content_is_read_and_that_of_earlier_versions_too(about, tensors, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(sealed(about, tensors))
    assert checkpoint.read(path).config == CONFIG
    old = {name: tensor for name, tensor in tensors.items() if not name.startswith("kept.")}
    path.write_bytes(sealed(about | {"format": 1, "numbers": without_guard(about)}, old))
    assert checkpoint.read(path).state.numbers == without_guard(about)
    path.write_bytes(sealed(about | hasty()(about), tensors))
    assert checkpoint.read(path).state.numbers["adaptive_batch_size"]["size"] == 512


def test_a_generator_of_earlier_formats_is_passed_over(about, tensors, tmp_path):
    """And the epoch that it drew, for another one begins."""
    path = tmp_path / "a.safetensors"
    old = {"generator": torch.zeros(16, dtype=torch.uint8)}  # of CUDA's size
    old |= {"sampler.seed": torch.tensor([1]), "sampler.place": torch.tensor([9])}
    path.write_bytes(sealed(about | {"format": 4}, tensors | old))
    assert checkpoint.read(path).state.tensors.keys() == tensors.keys()
    path.write_bytes(sealed(about, tensors | old))
    with pytest.raises(InputError, match="nothing that its sampler remembers"):
        checkpoint.read(path)


def with_old_levels(numbers, names=("guard", "kept"), **changes):
    """The numbers of a run by format 3, with other names and more of a level."""
    old = {"smoothed": 0.2, "lowest": None, "above": 2, "stuck": 3, "early": 0.1, "late": 0.0}
    old |= changes
    rest = dict(numbers["detector"])
    point = rest.pop("restore_point")
    point = point | {"level": point["level"] | old}
    others = {key: value for key, value in numbers.items() if key != "detector"}
    return others | {names[0]: rest | {"level": rest["level"] | old, names[1]: point}}


@pytest.mark.parametrize("version", [2, 3])
def test_levels_of_earlier_formats_lose_what_is_no_longer_held(about, tensors, tmp_path, version):
    path = tmp_path / "a.safetensors"
    numbers = with_old_levels(about["numbers"])
    if version == 2:  # which had no second warm-up, and did not tell a network that never learnt
        numbers["guard"].pop("warmup")
        for level in (numbers["guard"]["level"], numbers["guard"]["kept"]["level"]):
            for key in ("stuck", "early", "late"):
                level.pop(key)
    path.write_bytes(sealed(about | {"format": version, "numbers": numbers}, tensors))
    found = checkpoint.read(path)
    expected = json.loads(json.dumps(about["numbers"]))
    if version == 2:
        expected["detector"].pop("warmup")
    assert found.state.numbers == expected
    signal = Picture(smooth_pixels(8, 8), "").signal()
    ends = []
    for state in (found.state, TrainerState(tensors, about["numbers"])):
        trainer = build_trainer(CONFIG, signal, Clock())
        trainer.load_state_dict(state)
        trainer.fit(Steps())
        ends.append(trainer.state_dict())
    assert ends[0].numbers == ends[1].numbers
    for name, tensor in ends[0].tensors.items():
        assert torch.equal(tensor, ends[1].tensors[name]), name


def test_only_what_levels_once_held_is_passed_over_and_only_in_earlier_formats(
    about, tensors, tmp_path
):
    path = tmp_path / "a.safetensors"
    for version, numbers in (
        (4, with_old_levels(about["numbers"], ("detector", "restore_point"))),
        (3, with_old_levels(about["numbers"], more=1)),
    ):
        path.write_bytes(sealed(about | {"format": version, "numbers": numbers}, tensors))
        refused(path, "detector.level.[a-z]+: Extra inputs are not permitted")
    for guard in ([], "x", {"halvings": 0, "level": 3, "kept": 4}):
        numbers = about["numbers"] | {"guard": guard}
        path.write_bytes(sealed(about | {"format": 3, "numbers": numbers}, tensors))
        refused(path, "detector")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 6}, "format 6, this nint reads 5; update nint"),
        ({"config": {"steps": -1}}, "steps: Input should be greater"),
        ({"config": {"siren": {"hidden_features": 10**9}}}, "hidden_features"),
        ({"signal": {"channels": 0}}, "channels"),
        ({"signal": {"dtype": "object"}}, "dtype"),
        ({"numbers": {"step": -1}}, "step: Input should be greater"),
        ({"numbers": {"step": "3"}}, "step: Input should be a valid integer"),
        ({"numbers": {"slots": {}}}, "selection.first does not fit its slots"),
        (
            {"numbers": {"slots": {"first": [["ntk", 2], ["uniform", -1]]}}},
            "slots.first.1.1: Input should be greater",
        ),
        (lambda _: {"origin": {"threads": 1}}, "nint: Field required"),
        (lambda _: {"numbers": {}}, "step: Field required"),
        (
            lambda about: {"numbers": without_guard(about)},
            "kept.field.biases.0 belongs to no restore point",
        ),
        (
            lambda about: {"numbers": without_guard(about) | {"detector": {"halvings": 0}}},
            "detector.level: Field required",
        ),
        (hasty(size=0), "adaptive_batch_size.size: Input should be greater"),
        (hasty(fastest=[0.0, 0.0]), "adaptive_batch_size.fastest.1: Input should be greater"),
        (hasty(last=[0.0]), "adaptive_batch_size.last.1: Field required"),
    ],
)
def test_what_a_content_says_is_checked_before_anything_is_built(
    about, tensors, tmp_path, change, reason
):
    changed = (
        change(about)
        if callable(change)
        else {
            key: about[key] | part if isinstance(part, dict) else part
            for key, part in change.items()
        }
    )
    path = tmp_path / "a.safetensors"
    path.write_bytes(sealed(about | changed, tensors))
    refused(path, reason)


def test_a_content_without_a_description_or_a_digest_is_refused(about, tensors, tmp_path):
    path = tmp_path / "a.safetensors"
    for metadata, reason in (
        ({"nint": "{"}, "no sound checkpoint"),
        ({"nint": "[1]"}, "no sound checkpoint"),
        ({"nint": json.dumps(about)}, "no 'sha256' in it"),
        (None, "no 'nint' in it"),
    ):
        path.write_bytes(save(tensors, metadata=metadata))
        refused(path, reason)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("field.biases.0", None, "field.biases.0 is missing"),
        ("field.more", torch.zeros(1), "field.more is no parameter of its field"),
        ("field.biases.0", torch.Tensor.double, "field.biases.0: torch.float64 of shape"),
        (
            "field.biases.0",
            torch.zeros(99),
            r"field.biases.0: torch.float32 of shape \(99,\)",
        ),
        ("optimiser.exp_avg.biases.0", torch.zeros(99), "does not fit"),
        ("optimiser.exp_avg.biases.0", None, "optimiser.exp_avg.biases.0 is missing"),
        ("optimiser.step.weights.1", None, "optimiser.step.weights.1 is missing"),
        ("kept.field.biases.0", None, "kept.field.biases.0 is missing"),
        (
            "kept.field.biases.0",
            torch.zeros(99),
            "kept.field.biases.0: torch.float32 of shape",
        ),
        ("kept.sampler.ntk", lambda ntk: ntk + 64, "kept.sampler.ntk names points"),
        ("selection.last", lambda last: last + 64, "points that the signal does not"),
        ("selection.last", lambda last: last[1:], "does not fit its slots"),
        ("sampler.ntk", lambda ntk: ntk + 64, "sampler.ntk names points that the signal"),
        ("sampler.ntk", lambda ntk: ntk - 64, "sampler.ntk names points that the signal"),
        ("sampler.ntk", torch.Tensor.int, "sampler.ntk is torch.int32, which is no"),
        (
            "field.biases.0",
            lambda bias: bias * float("nan"),
            "field.biases.0 holds NaN or infinity",
        ),
        (
            "optimiser.exp_avg.biases.0",
            lambda mean: mean / 0,
            "optimiser.exp_avg.biases.0 holds NaN",
        ),
    ],
)
def test_tensors_are_checked_before_anything_is_built(
    about, tensors, tmp_path, name, change, reason
):
    changed = change(tensors[name]) if callable(change) else change
    if changed is None:
        del tensors[name]
    else:
        tensors[name] = changed
    path = tmp_path / "a.safetensors"
    path.write_bytes(sealed(about, tensors))
    refused(path, reason)


@pytest.mark.parametrize("name", ["selection.last", "sampler.ntk", "kept.sampler.ntk"])
def test_an_index_counts_from_zero_and_stays_below_the_count_of_points(
    about, tensors, tmp_path, name
):
    points = RECORD.population
    path = tmp_path / "a.safetensors"
    for index in (0, points - 1):
        tensors[name][0] = index
        path.write_bytes(sealed(about, tensors))
        assert checkpoint.read(path).state.tensors[name][0] == index
    for index in (-1, points):
        tensors[name][0] = index
        path.write_bytes(sealed(about, tensors))
        refused(path, f"{name} names points that the signal does not have")
