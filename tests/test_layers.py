"""The direction of dependencies, read from the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import nint_cli

PACKAGE = Path(nint_cli.__file__).parent

# A module may import those named before it, and within its own layer what is listed here.
LAYERS = [
    {"errors", "cores", "heap", "control", "state"},
    {
        "schedules",
        "ranking",
        "metrics",
        "fields",
        "signals",
        "clock",
        "config",
        "records",
        "guard",
        "pace",
    },
    {"derivatives", "adam", "average", "brevity"},
    {"sweep"},
    {"ntk"},
    {"probe"},
    {"samplers"},
    {"batch_gradient"},
    {"trainer"},
    {"engine", "results", "runfolder", "surface"},
    {"build"},
    {"checkpoint", "environment", "traces", "perception", "pictures", "report"},
    {"modalities"},
    {"evaluation", "judge"},
    {"recorder"},
    {"run"},
    {"continuation"},
    {"comparison"},
    {"inspection"},
    {"api"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
SIDEWAYS = {("build", "config")}

# What lower layers must never reach for, whatever their level.
FORBIDDEN = {
    "samplers": {"config", "clock", "signals", "fields"},
    "signals": {"fields", "config"},
    "fields": {"signals", "config", "schedules"},
    "batch_gradient": {"config", "checkpoint"},
    "trainer": {"config", "checkpoint"},
    "ntk": {"config"},
}


def part(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nint_cli"):
            tail = node.module.split(".")[1:]
            found |= {tail[0]} if tail else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("nint_cli.")
            }
    return found - {"__version__"}


def test_every_module_has_its_place():
    parts = {part(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert parts == set(LEVEL)


def test_dependencies_point_one_way():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        here = part(path)
        if here == "__init__":
            assert imports(path) <= {"api"}  # lazily; the help test below sees to that
            continue
        for there in imports(path) - {here}:
            if LEVEL[there] >= LEVEL[here] or there in FORBIDDEN.get(here, ()):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {there}")
    assert not wrong


def test_nothing_below_the_command_line_prints():
    for path in PACKAGE.rglob("*.py"):
        if part(path) == "cli":
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


def test_help_and_configuration_load_no_heavy_library():
    script = (
        "import sys; from nint_cli.cli import run\n"
        "for words in ([], ['--help'], ['fit'], ['fit', 'image', '--help'], ['eval', '--help'],\n"
        "              ['fit', 'image', 'x', '--print-config'],\n"
        "              ['fit', 'image', 'x', '--seed', 'y']):\n"
        "    run(words)\n"
        "heavy = {'torch', 'numpy', 'skimage', 'scipy', 'PIL', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
