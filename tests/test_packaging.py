"""What is installed: one version, pinned dependencies, a wheel that has all it needs."""

import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import nint_cli
from nint_cli import cli
from nint_cli.config.presets import preset_names
from nint_cli.modalities.table import MODALITIES

ROOT = Path(__file__).parents[1]


def test_the_version_is_one(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert "[Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    cli.run(["--version"])
    assert capsys.readouterr().out == f"nint {nint_cli.__version__}\n"


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    pins = (ROOT / "constraints.txt").read_text().lower()
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)[0]
        assert re.search(rf"^{name}==", pins, re.MULTILINE), name
    assert "torch==2.13.0" in pins


def test_the_wheel_is_pure_and_holds_presets_and_types(tmp_path):
    build = (
        "from hatchling.builders.wheel import WheelBuilder; import sys\n"
        "builder = WheelBuilder(sys.argv[1])\n"
        "print(next(builder.build(directory=sys.argv[2], versions=['standard'])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", build, str(ROOT), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    wheel = Path(done.stdout.split()[-1])
    assert wheel.name.endswith("py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    shipped = ("py.typed", "metrics/metrics.schema.json", "config/settings.schema.json")
    assert {f"nint_cli/{name}" for name in shipped} <= names
    page = "nint_cli/comparison/page"
    assert {f"{page}/page.{kind}" for kind in ("css", "js")} <= names
    assert {f"{page}/{name}.html.j2" for name in ("report", "parts", "gallery")} <= names
    own = Path(nint_cli.__file__).parent / "fitted" / "export" / "page"
    assert {f"nint_cli/fitted/export/page/{each.name}" for each in own.glob("*.*")} <= names
    for kind in MODALITIES:
        assert {f"nint_cli/configs/{kind}/{name}.yaml" for name in preset_names(kind)} <= names
    assert not any(name.startswith(("tests", "scripts")) for name in names)
    script = (
        "import nint_cli; from nint_cli.config.presets import preset_names; "
        "print(nint_cli.__file__, preset_names())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
    )
    assert str(tmp_path / "installed") in done.stdout
    assert str(preset_names()) in done.stdout
