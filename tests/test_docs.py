"""What the documents say is true: commands run, names exist, nothing is left out."""

import json
import re
import shlex
import subprocess
import warnings
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
import trimesh
from PIL import Image
from typer.main import get_command

from nint_cli import cli
from nint_cli.cli.commands import app
from nint_cli.cli.processes import Processes
from nint_cli.comparison import plan
from nint_cli.config.layers import resolve
from nint_cli.config.presets import preset_layer, preset_names
from nint_cli.config.schema import FIELD_NAMES, SAMPLER_NAMES, RunConfig, dotted_keys
from nint_cli.config.yaml_text import parse_yaml
from nint_cli.fields.table import field_class
from nint_cli.modalities.audio.schema import AudioMetrics, AudioQuality
from nint_cli.modalities.image.schema import ImageMetrics
from nint_cli.modalities.sdf.schema import SdfMetrics, SdfQuality
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs.build import build_field
from tests.conftest import fit_within, smooth_pixels

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of a language."""
    fences = text.split("\n```")[1:]
    opened = [part.partition("\n") for part in fences[::2]]
    return [text for info, _, text in opened if info == language]


def make_inputs() -> None:
    """What the examples fit."""
    Image.fromarray(smooth_pixels()).save("photo.png")
    Image.fromarray(smooth_pixels()).save("huge.tif")
    Image.fromarray(smooth_pixels()[..., 0]).save("mask.png")
    times = np.arange(32_000) / 16_000
    soundfile.write("speech.wav", 0.5 * np.sin(900 * times * times), 16_000)


def make_missing(words: list[str]) -> None:
    """What a command reads and `make_inputs` does not make."""
    written = {words[at + 1] for at, word in enumerate(words) if word in {"-o", "--output"}}
    for path in map(Path, words):
        if path.exists() or str(path) in written:
            continue
        if path.suffix == ".png":
            Image.fromarray(smooth_pixels()).save(path)
        elif path.suffix in {".wav", ".flac"}:
            soundfile.write(path, 0.5 * np.sin(np.arange(8000) / 10), 16_000)
        elif path.suffix == ".obj":
            trimesh.creation.icosphere(subdivisions=1).export(path)


def commands(text: str = README) -> list[str]:
    return [line for block in blocks("", text) for line in block.splitlines() if line.strip()]


def shortened(arguments: list[str]) -> list[str]:
    """The same command with few steps of a small field, one input, and two samplers at most."""
    if arguments[0] not in {"fit", "compare"} or "--print-config" in arguments:
        return arguments
    found = list(arguments)
    for flag in ("--steps", "--time-budget", "--seeds", "--tune", "--target-psnr"):
        if flag in found:
            at = found.index(flag)
            del found[at : at + 2]
    while found.count("--sampler") > 2:  # two are a comparison
        at = len(found) - found[::-1].index("--sampler") - 1
        del found[at : at + 2]
    found += ["--progress", "never"] if found[0] == "fit" else []
    if found[1] == "runs":
        return found
    while found[0] == "compare" and not found[3].startswith("-"):
        del found[3]
    found += ["--steps", "3", "--set=siren.hidden_features=16", "--set=siren.hidden_layers=2"]
    if found[1] == "sdf":
        found += ["--set=sdf.points=2000"]
        found += [] if "--mc-resolution" in found else ["--set=sdf.mc_resolution=16"]
        found += ["--set=sdf.iou_resolution=16", "--set=sdf.watch_resolution=8"]
        found += ["--set=sdf.surface_samples=100", "--set=sdf.preview_size=32"]
    return found


def test_the_first_screen_holds_the_two_commands():
    assert {"make demo", "make test"} <= set("\n".join(README.splitlines()[:12]).splitlines())


@pytest.mark.usefixtures("fits_within")
def test_every_command_runs(monkeypatch, capsys):
    """In the order of the README, in one folder, with few steps."""
    make_inputs()
    ran = 0
    for line in commands():
        words = shlex.split(line)
        if words[0] == "nint":
            arguments = shortened(words[1:])
            assert cli.run(arguments) == 0, f"{line}\n{capsys.readouterr().err}"
            ran += 1
        elif words[0] == "make":
            done = subprocess.run(
                ["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, check=False
            )
            assert done.returncode == 0, line
        else:
            assert words[0] == "python", line
            assert (ROOT / words[1]).is_file(), line
    assert ran >= 7
    assert Path("runs/photo/nint_diagonal/metrics.json").exists()
    assert Path("runs/speech/nint_diagonal/reconstruction.wav").exists()


# The pages with commands of nint; those of scripts, which take hours, are looked at elsewhere.
PAGES = ["index", "getting-started", "choosing", "comparing", "inspecting", "rendering", "viewing",
         "compressing", "starting-and-holding-out", "run-folder", "reproducing", "lab/results",
         "lab/recipe", "lab/what-holds"]  # fmt: skip


def test_every_command_of_the_pages_runs(monkeypatch, capsys):
    """Page by page, in one folder; what another page has run already is not run again."""
    monkeypatch.setattr(Processes, "run", fit_within)
    make_inputs()
    ran: set[str] = set()
    for page in PAGES:
        for line in commands((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")):
            words = shlex.split(line)
            if words[0] != "nint" or line in ran:
                continue
            ran.add(line)
            make_missing(words)
            arguments = shortened(words[1:])
            if arguments[0] == "fit" and not {"--skip-existing", "--continue"} & {*arguments}:
                arguments.append("--overwrite")
            assert cli.run(arguments) == 0, f"{page}: {line}\n{capsys.readouterr().err}"
    assert len(ran) > 20


class Understood(Exception):
    """Raised where a comparison would begin."""


def test_no_command_shows_a_setting_without_effect(monkeypatch, capsys):
    """A comparison may have settings that only some of its variants read."""

    def stop(methods):
        raise Understood(len(methods))

    monkeypatch.setattr(plan, "refuse_equals", stop)
    make_inputs()
    # Those of docs/lab say what was run at their time.
    pages = [ROOT / "docs" / f"{page}.md" for page in PAGES if not page.startswith("lab/")]
    texts = [README, *(page.read_text("utf-8") for page in pages)]
    asked = 0
    for line in dict.fromkeys(line for text in texts for line in commands(text)):
        words, count = shlex.split(line)[1:], 1
        if "--from" in words:  # a run that an earlier command makes, and none is made here
            at = words.index("--from")
            del words[at : at + 2]
        if words[:1] == ["fit"]:
            assert cli.run([*words, "--print-config"]) == 0, line
        elif words[:1] == ["compare"] and words[1] != "runs":
            try:
                get_command(app).main(words, standalone_mode=False)
            except Understood as understood:
                count = understood.args[0]
        err = capsys.readouterr().err
        named = re.findall(r"([\w.]+)=\S* \([^)]*\) has no effect: (.*)", err)
        assert not [key for key, _ in named if [k for k, _ in named].count(key) == count], line
        asked += words[0] in {"fit", "compare"}
    assert asked > 20


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path):
    """Links between pages are checked, warnings are errors."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"), strict=True))
    pages = list((tmp_path / "site").rglob("*.html"))
    found = {page.relative_to(tmp_path / "site").as_posix() for page in pages}
    assert {f"{page}.html" for page in PAGES} < found
    for page in pages:
        loaded = re.findall(
            r'<(?:script|img|iframe|link)[^>]*?(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert not [url for url in loaded if "canonical" not in url], page.name


def test_python_examples_run(capsys):
    make_inputs()
    examples = blocks("python")
    assert examples
    for text in examples:
        exec(compile(text, "README", "exec"), {})
    assert "dB" in capsys.readouterr().out


def test_the_examples_of_exporting_run(capsys):
    """The commands first, for the programs open what they write."""
    make_inputs()
    page = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    for line in commands(page):
        words = shortened(shlex.split(line)[1:])
        assert cli.run(words) == 0, f"{line}\n{capsys.readouterr().err}"
    examples = blocks("python", page)
    assert len(examples) == 4
    for text in examples:
        exec(compile(text, "exporting.md", "exec"), {})
    assert capsys.readouterr().out.count("24, 32, 3") == 3


def test_makefile_examples_are_tested():
    rule = blocks("make")[0].strip()
    assert "--continue" in rule
    *heads, _ = rule.splitlines()
    assert "\n".join(heads) in (ROOT / "tests" / "cli" / "test_batch.py").read_text()


def test_yaml_examples_are_valid():
    for text in blocks("yaml"):
        resolve([parse_yaml(text, "README")])
    assert blocks("yaml")


@pytest.mark.parametrize("name", [*SAMPLER_NAMES, *FIELD_NAMES, *preset_names()])
def test_every_name_is_documented(name):
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_the_table_of_fields_is_that_of_the_recipes(name):
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
    *_, parameters, published, tuned = (cell.strip() for cell in row.strip("|").split("|"))
    field = build_field(RunConfig.model_validate({"field": name}), (512, 512), 3)
    assert parameters == f"{field.parameter_count():,}"
    rates = {
        key: r.settings["optimiser.lr"] for key, r in field_class(name).recipes["image"].items()
    }
    assert (float(published), float(tuned)) == (rates["published"], rates["tuned"])


# Where a modality's table of keys lies in the README.
KEYS = {
    ImageMetrics: ("metrics.json (schema 1.0", "stdout"),
    AudioMetrics: ("that of a sound holds", "One that has no value"),
    SdfMetrics: ("that of a shape holds", "Lengths are in units"),
}


@pytest.mark.parametrize("metrics", KEYS)
def test_every_key_of_the_metrics_that_is_documented_exists(metrics):
    start, end = KEYS[metrics]
    table = README.partition(start)[2].partition(end)[0]
    keys = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert keys
    assert keys <= set(metrics.model_fields)


@pytest.mark.parametrize(
    ("title", "quality"), [("\n## Sounds", AudioQuality), ("\n## Shapes", SdfQuality)]
)
def test_every_measure_is_documented(title, quality):
    section = README.partition(title)[2].partition("\n## ")[0]
    for key in quality.model_fields:
        assert f"`{key}`" in section or key == "quality_reason", key


def test_every_key_in_the_readme_exists():
    for key in re.findall(r"--set (\S+?)=", README):
        assert key in {*dotted_keys(), "key"}


def test_what_is_derived_is_what_the_script_writes(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import reference

    texts = dict(reference.derived())
    assert {path.name for path in texts} == {
        "settings.md", "metrics.md", "settings.schema.json", "metrics.schema.json", "README.md",
    }  # fmt: skip
    for path, text in texts.items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run make reference"
    page = texts[ROOT / "docs" / "settings.md"]
    assert set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)) == set(dotted_keys())
    assert "(docs/settings.md)" in README


def test_the_reference_needs_its_markers(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import reference

    with pytest.raises(SystemExit, match="no samplers between"):
        reference.with_tables("# nint\n")


def test_the_schema_of_settings_checks_files():
    schema = json.loads((ROOT / "nint_cli/config/settings.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for kind in MODALITIES:
        for name in preset_names(kind):
            config = resolve([preset_layer(name, kind)], kind).config
            jsonschema.validate(config.model_dump(mode="json"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"nint": {"ksi": 0.7}}, schema)


def test_every_exit_code_is_documented():
    from nint_cli import errors

    codes = {
        value.exit_code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.NintError)
    }
    for code in codes | {0}:
        assert re.search(rf"^\| {code} \|", README, re.MULTILINE), code


@pytest.mark.parametrize("modality", MODALITIES)
def test_help_names_what_exists(capsys, modality):
    cli.run(["fit", modality, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name in [*SAMPLER_NAMES, *FIELD_NAMES, *preset_names(modality)]:
        assert name in shown
    for name in re.findall(r"sample:([a-z]+)", shown):
        assert name in MODALITIES[modality].samples().names()
    there = {name for each in MODALITIES.values() for name in each.samples().names()}
    assert set(re.findall(r"sample:([a-z]+)", README)) <= there


def test_every_option_has_help():
    from typer.main import get_command

    def walk(command, path):
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, [*path, name])
        yield path, command

    for path, command in walk(get_command(app), ["nint"]):
        assert command.help, path
        for parameter in command.params:
            assert getattr(parameter, "help", None), (path, parameter.name)
