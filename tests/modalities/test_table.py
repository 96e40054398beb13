"""A modality is one package and one line: all that others need of it agrees with itself."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch

import nint_cli
from nint_cli.config.schema import RunConfig, StopConfig, dotted_keys
from nint_cli.errors import ConfigError
from nint_cli.fields.table import FIELDS, field_class
from nint_cli.metrics.schema import Quality
from nint_cli.modalities.modality import Modality, Target
from nint_cli.modalities.settings import ModalitySettings
from nint_cli.modalities.table import MODALITIES, all_targets, metrics_document, modality
from nint_cli.modalities.table import signal_record as records
from nint_cli.runs.control import Control
from nint_cli.runs.inputs import read_input

PACKAGE = Path(nint_cli.__file__).parent
SMALL = {"image": {"size": 8}, "audio": {"duration_s": 0.01}, "sdf": {"points": 64}}

every = pytest.mark.parametrize("kind", MODALITIES.values(), ids=lambda each: each.name)


@every
def test_its_parts_are_its_own(kind: Modality):
    assert modality(kind.name).modality is kind
    assert kind.record().model_fields["kind"].default == kind.name
    told = kind.metrics().model_fields["input"].annotation
    assert told.model_fields["kind"].default == kind.name
    assert issubclass(kind.metrics(), kind.quality())
    assert issubclass(kind.settings(), ModalitySettings)
    assert kind.samples().noun == kind.noun
    assert {suffix[0] for suffix in kind.suffixes()} == {"."}


@every
def test_its_figures_are_measured(kind: Modality):
    assert kind.targets.keys() <= kind.quality().model_fields.keys()
    assert kind.targets[kind.headline].marks
    assert f"best_{kind.headline}" in kind.metrics().model_fields


@every
def test_its_flags_set_what_there_is(kind: Modality):
    control = {each.name for each in fields(Control)}
    for flag in kind.flags:
        assert flag.key in dotted_keys() if flag.key is not None else flag.parameter in control
    assert {f"stop.target_{key}" for key in kind.targets} <= {flag.key for flag in kind.flags}


@every
def test_its_settings_that_decide_are_settings(kind: Modality):
    found = kind.settings()
    named = {*found.extent, *found.measures, *found.watched, *found.limits}
    assert named <= found.model_fields.keys()


@every
def test_every_field_has_recipes_for_it(kind: Modality):
    for name in FIELDS:
        assert kind.name in field_class(name).recipes


@every
def test_its_record_and_its_input_are_read_back_as_their_own(kind: Modality):
    config = RunConfig.model_validate({kind.name: SMALL[kind.name]})
    name = kind.samples().names()[0]
    subject = read_input(kind.name, f"sample:{name}", config, torch.device("cpu"))
    record = subject.record()
    assert records().validate_python(record.model_dump()) == record
    assert type(record) is kind.record()
    told = subject.input_record()
    assert told.kind == kind.name
    assert told.describe()
    assert kind.samples().summary(name).startswith(kind.noun)


def test_metrics_are_told_apart_by_their_input():
    adapter = metrics_document()
    for kind in MODALITIES:
        with pytest.raises(ValueError, match=f"{kind}\\.steps"):
            adapter.validate_python({"input": {"kind": kind}})
    with pytest.raises(ValueError, match="does not match any of the expected tags"):
        adapter.validate_python({"input": {"kind": "video"}})


def test_a_failed_run_has_no_measure_and_still_has_rows():
    for kind in MODALITIES.values():
        quality: Quality = kind.quality()(quality_reason="the run failed")
        assert all(text.startswith(("-", "exact")) for _, text in quality.rows())


def test_targets_are_settings_with_their_bounds():
    assert [key for key in StopConfig.model_fields if key.startswith("target_")] == [
        "target_psnr_db",
        "target_si_snr_db",
        "target_iou",
    ]
    about = StopConfig.model_fields["target_psnr_db"].description
    assert about == "PSNR in dB at which an evaluation of a picture or a sound ends the run"
    for wrong in (0, 1.1):
        with pytest.raises(ValueError, match="target_iou"):
            StopConfig.model_validate({"target_iou": wrong})
    assert StopConfig.model_validate({"target_iou": 1}).targets() == {"iou": 1.0}


def test_a_figure_is_the_same_for_all_that_have_it():
    for key, target in all_targets().items():
        for kind in MODALITIES.values():
            other = kind.targets.get(key, target)
            assert meaning(other) == meaning(target)


def meaning(target: Target) -> tuple[object, ...]:
    return target.label, target.metavar, target.gt, target.le


def test_a_misspelt_modality_is_refused():
    with pytest.raises(ConfigError, match=r"no such modality, did you mean 'audio'\?; there are"):
        nint_cli.fit("x.wav", modality="audo")


def test_no_other_module_knows_a_modality_by_name():
    """But for the fields, which have recipes for each."""
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE)
        if here.parts[0] == "fields" or here == Path("modalities/table.py"):
            continue
        for kind in MODALITIES:
            if kind == "image" or here.parts[:2] == ("modalities", kind):
                continue  # pictures are the default of the Python API
            if re.search(rf"[\"']{kind}[\"'.]", path.read_text(encoding="utf-8")):
                wrong.append(f"{here}: {kind}")
    assert not wrong
