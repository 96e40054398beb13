"""The direction of dependencies, read from the imports."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import nint_cli

PACKAGE = Path(nint_cli.__file__).parent
ROOT = Path(__file__).parents[1]

# A room is a file or a folder at the top of the package. It may import the rooms before it.
ROOMS = [
    "errors",
    "version",
    "settings",
    "atomic",
    "random",
    "schedules",
    "metrics",
    "signals",
    "fields",
    "derivatives",
    "samplers",
    "training",
    "device",
    "modalities",
    "config",
    "runs",
    "fitted",
    "comparison",
    "inspection",
    "api",
    "cli",
    "__main__",
]

# What a room must not reach for, though it comes before it.
FORBIDDEN = {
    "signals": {"metrics", "schedules"},
    "fields": {"signals", "metrics", "schedules"},
    "samplers": {"metrics", "fields"},
    "training": {"metrics"},
}


def room_of(module: str) -> str:
    return module.split(".")[0]


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Modules of the package that a file names in any import, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            head, _, tail = name.partition(".")
            if head != "nint_cli":
                continue
            while tail and tail not in MODULES:
                tail = tail.rpartition(".")[0]
            found.add(tail or "__init__")
    return found


def test_every_room_has_its_place():
    rooms = {room_of(module) for module in MODULES} - {"__init__"}
    assert rooms == set(ROOMS)
    assert len(ROOMS) == len(rooms)


def test_the_top_of_the_package_is_small():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert len(entries) <= 24, sorted(entries)


def test_rooms_import_only_what_comes_before_them():
    wrong = []
    for module, path in MODULES.items():
        here = room_of(module)
        if here == "__init__":
            assert imports(path) <= {"api", "version"}  # api lazily; see the test of help
            continue
        for there in sorted({room_of(each) for each in imports(path)} - {here}):
            before = there in ROOMS[: ROOMS.index(here)]
            if not before or there in FORBIDDEN.get(here, ()):
                wrong.append(f"{module} imports {there}")
    assert not wrong


def test_no_files_import_each_other_in_a_circle():
    """Not inside a room either, nor inside functions or for types alone."""
    graph = {module: imports(path) - {module} for module, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_contributing_names_every_room_and_no_other():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| room |") :].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = [name.rstrip("/") for row in rows for name in re.findall(r"`([\w/]+)`", row)]
    assert named == [room for room in ROOMS if room != "__main__"]


def test_nothing_below_the_command_line_prints():
    for path in PACKAGE.rglob("*.py"):
        if room_of(module_of(path)) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", path
            if isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}:
                raise AssertionError(f"{path} touches {node.attr}")


def test_nothing_unpickles():
    """Neither by what unpickles only, nor by what can, under whatever name it is imported."""
    modules = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    calls = {"torch.load", "torch.jit.load", "yaml.load", "yaml.unsafe_load"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found = {node.module or "", *(f"{node.module}.{a.name}" for a in node.names)}
            else:
                found = {ast.unparse(node)} if isinstance(node, ast.Attribute) else set()
            assert not found & (modules | calls), path
            assert not {name.partition(".")[0] for name in found} & modules, path


def test_help_loads_no_heavy_library():
    script = (
        "import sys; from nint_cli.cli import run\n"
        "for words in ([], ['--help'], ['fit'], ['fit', 'image', '--help'], ['eval', '--help'],\n"
        "              ['fit', 'sdf', '--help'], ['compare', 'audio', '--help'],\n"
        "              ['fit', 'image', 'x', '--seed', 'y']):\n"
        "    run(words)\n"
        "heavy = {'torch', 'numpy', 'skimage', 'scipy', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_completion_loads_no_heavy_library():
    script = (
        "import sys; from nint_cli.cli import completion\n"
        "names = [completion.presets(''), completion.samplers('n'), completion.fields('s'),\n"
        "         completion.samples('image')('sample:')]\n"
        "found = completion.keys('siren.'), completion.keys('see')\n"
        "assert found == (['siren.hidden_features=', 'siren.hidden_layers=', 'siren.omega_0=',\n"
        "                  'siren.first_frequency='], ['seed=']), found\n"
        "assert all(names), names\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'skimage', 'scipy', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
