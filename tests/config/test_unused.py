"""How a setting without effect is named: what the line says, and who says it."""

import shutil
from pathlib import Path

import pytest
import yaml

from nint_cli import fit
from nint_cli.cli.options import CompareOptions
from nint_cli.cli.variants import variants
from nint_cli.config.layers import Layer, flag_layer, resolve
from nint_cli.config.presets import preset_layer, preset_names
from nint_cli.config.unused import unused
from nint_cli.config.yaml_text import parse_yaml, set_layer
from nint_cli.modalities import settings as modality_settings
from nint_cli.modalities.table import MODALITIES
from tests.cli.test_cli import nint


def lines_of(layers: list[Layer], kind: str = "image") -> list[str]:
    return list(unused(resolve(layers, kind), kind).values())


def test_what_nobody_gave_is_passed_over():
    for kind in MODALITIES:
        for preset in preset_names(kind):
            assert lines_of([preset_layer(preset, kind)], kind) == []


def test_a_line_says_what_and_where_and_why_and_what_would_make_it_count():
    file = parse_yaml("finer:\n  omega_0: 3\n", "mine.yaml")
    given = set_layer(["hashgrid.levels=4", "nint.every=3"])
    flags = flag_layer({"sampler": ("--sampler", "int")}, given)
    assert lines_of([preset_layer("paper"), file, given, flags]) == [
        "finer.omega_0=3.0 (mine.yaml:2:3) has no effect: field is siren; --field finer reads it",
        "hashgrid.levels=4 (--set) has no effect: field is siren; --field hashgrid reads it",
        "nint.every=3 (--set) has no effect: sampler is int; --sampler nint reads it",
    ]


def test_what_a_preset_switches_off_is_named():
    given = set_layer(["batch.schedule=step"])
    assert lines_of([preset_layer("default"), given]) == [
        "batch.schedule=step (--set) has no effect: batch.size is 4096 and decides; set "
        "batch.size to null"
    ]
    assert lines_of([preset_layer("paper"), given]) == []
    (line,) = lines_of([preset_layer("default", "sdf"), set_layer(["nint.xi=0.5"])], "sdf")
    assert "sampler is uniform; --sampler nint or nint_released reads it" in line


def test_what_another_key_undoes_is_named():
    file = parse_yaml("optimiser: {lr_side: 64}\nbatch: {size: 99, least_steps: 9}\n", "f")
    flags = flag_layer({"optimiser.lr": ("--lr", 1e-3), "batch.fraction": ("-b", 0.5)}, Layer())
    assert lines_of([file, flags]) == [
        "batch.size=99 (f:2:9) has no effect: batch.fraction (-b), given later, undoes it; give "
        "it last",
        "batch.least_steps=9 (f:2:19) has no effect: batch.fraction (-b), given later, undoes it; "
        "give it last",
        "optimiser.lr_side=64 (f:1:13) has no effect: optimiser.lr (--lr), given later, undoes "
        "it; give it last",
    ]
    again = set_layer(["optimiser.lr_side=64", "batch.fraction=0.2"])
    assert lines_of([parse_yaml("optimiser: {lr: 1e-3}", "f"), again]) == []


def test_built_in_values_of_a_file_are_passed_over_as_a_runs_own_file_has_them_all():
    text = yaml.safe_dump(resolve([]).config.model_dump(mode="json"))
    assert lines_of([parse_yaml(text, "config.yaml")]) == []
    (line,) = lines_of([set_layer(["hashgrid.levels=8"])])
    assert line.startswith("hashgrid.levels=8 (--set) has no effect")


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(modality_settings, "find_spec", lambda _: None)
    (line,) = lines_of([set_layer(["metrics.flip=true"])])
    assert "flip-evaluator is not installed; pip install 'nint[flip]'" in line


def told_on(err: str) -> list[str]:
    return [line for line in err.splitlines() if "has no effect" in line]


def test_fit_says_it_once_and_goes_on(capsys, smoke, picture):
    shutil.copy(picture, "other.png")
    dead = ["--set", "hashgrid.levels=4", "--set", "sdf.resample=3"]
    several = [*smoke[:3], "other.png", *smoke[3:]]
    for words in (smoke, several):
        code, _, err = nint(capsys, *words, *dead, "--steps", 2, "-o", f"to{len(words)}")
        assert (code, len(told_on(err))) == (0, 2)
    code, _, err = nint(capsys, *smoke, *dead, "--steps", 2, "-o", "quiet", "--quiet")
    assert (code, told_on(err)) == (0, [])


def test_resume_names_what_is_changed_without_effect(capsys, smoke):
    assert nint(capsys, *smoke, "--steps", 2, "--set", "hashgrid.levels=4", "-o", "r")[0] == 0
    written = Path("r/config.yaml")
    edited = written.read_text().replace("at_steps: null", "at_steps: false")
    written.write_text(edited.replace("ssim: false", "ssim: true"))
    code, _, err = nint(capsys, "resume", "r", "--steps", 4, "--progress", "never")
    (line,) = told_on(err)
    assert (code, "stop.at_steps=false (r/config.yaml:" in line) == (0, True)


@pytest.mark.usefixtures("fits_within")
def test_compare_says_it_once_per_variant(capsys, picture):
    words = ["compare", "image", picture, "--preset", "smoke", "--sampler", "nint", "--sampler",
             "uniform", "--steps", 2, "--seeds", 2, "--set", "nint.xi=0.5", "--set", "seed=3",
             "--set", "evaluation.every=2"]  # fmt: skip
    code, _, err = nint(capsys, *words)
    assert code == 0, err
    assert [line.partition(" (--set)")[0] for line in told_on(err)] == [
        "nint: variant nint: seed=3",
        "nint: variant uniform: seed=3",
        "nint: variant uniform: nint.xi=0.5",
    ]


def test_a_comparison_names_what_tuning_replaces_but_not_what_it_sets_itself(capsys, picture):
    Path("c.yaml").write_text("evaluation: {every: 2}\noptimiser: {lr_side: 9}\n")
    options = CompareOptions(sampler=["nint"], config=[Path("c.yaml")], tune="lr")
    variants("image", options)
    (line,) = told_on(capsys.readouterr().err)
    assert "variant nint: optimiser.lr_side=9 (c.yaml:2:13) has no effect: --tune lr" in line


def test_validate_names_what_has_no_effect_whatever_is_fitted(capsys):
    Path("f.yaml").write_text(
        "sdf: {resample: 4}\nhashgrid: {levels: 4}\nint: {every: 7}\n"
        "stop: {target_iou: 0.5}\nsiren: {omega_0: 9}\n"
    )
    code, out, err = nint(capsys, "config", "validate", "f.yaml")
    assert (code, out) == (0, "")
    (line,) = told_on(err)
    assert "int.every=7 (f.yaml:3:7)" in line
    assert "(over --preset default)" in line
    code, _, err = nint(capsys, "config", "validate", "--for", "sdf", "f.yaml")
    assert [line.split("=")[0] for line in told_on(err)] == ["nint: siren.omega_0",
                                                             "nint: int.every"]  # fmt: skip
    code, _, err = nint(capsys, "config", "validate", "--preset", "none", "f.yaml")
    assert (code, "no such preset" in err) == (2, True)


def test_validate_passes_over_a_preset_that_a_file_contradicts(capsys):
    Path("f.yaml").write_text("sdf: {fine_share: 0.7, coarse_share: 0.1}\n")
    assert nint(capsys, "config", "validate", "--preset", "paper", "f.yaml")[0] == 0


def test_python_is_warned(picture):
    settings = {"nint.sketches": 9, "steps": 2}
    with pytest.warns(UserWarning, match=r"nint\.sketches=9 \(settings\) has no effect") as told:
        fit(picture, preset="smoke", settings=settings, output="r")
    assert [each.filename for each in told] == [__file__]
