"""YAML text to settings, each with its line and column.

Only data is read: PyYAML parses and composes, tags are refused, aliases may unfold only so far,
and plain scalars follow the YAML 1.2 core schema, so `1e-4` is a number while `no`, `010` and
`1:30` are text.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from nint_cli.config.layers import Layer, Setting
from nint_cli.config.schema import PATH_KEYS
from nint_cli.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_NODES = 10_000

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NON_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def file_layer(path: Path) -> Layer:
    """Read a configuration file.

    Args:
        path: A YAML file.

    Returns:
        Its settings by dotted key, with ``file:line:column`` as their origin; paths in it are
        relative to its folder.

    Raises:
        ConfigError: If the file cannot be read or is not acceptable YAML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read config '{path}': {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; this is no configuration")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    layer = parse_yaml(text, str(path))
    for key in PATH_KEYS & layer.settings.keys():
        setting = layer.settings[key]
        if isinstance(setting.value, str) and setting.value:
            beside = str(path.parent.absolute() / setting.value)
            layer.settings[key] = setting._replace(value=beside)
    return layer


def parse_yaml(text: str, name: str) -> Layer:
    """Read settings from YAML text.

    Args:
        text: A YAML mapping, or nothing.
        name: What to call the text in messages.

    Returns:
        The settings by dotted key; keys that are given twice are faults of the layer.

    Raises:
        ConfigError: If the text is not acceptable YAML.
    """
    node = _compose(text, name)
    if node is None:
        return Layer()
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{_at(name, node)}: expected 'key: value' lines at the top level")
    faults: list[str] = []
    settings: dict[str, Setting] = {}
    for key, setting in _leaves(node, "", name, faults):
        if key in settings:  # once nested, once dotted
            faults.append(f"{setting.origin}: {key}: given before, at {settings[key].origin}")
        else:
            settings[key] = setting
    return Layer(settings, tuple(faults))


def set_layer(assignments: Iterable[str]) -> Layer:
    """Read ``key=value`` texts.

    Args:
        assignments: As given to ``--set``; the later wins.

    Returns:
        The settings.

    Raises:
        ConfigError: If a text is not of the form ``key=value``.
    """
    settings = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"--set {text}: expected key=value, such as --set nint.alpha=20")
        settings[key] = Setting(_parse_value(value, f"--set {key}"), "--set")
    return Layer(settings)


def _parse_value(text: str, name: str) -> Any:  # noqa: ANN401 (the schema decides the type)
    """Read one value as ``--set key=value`` gives it."""
    node = _compose(text, name)
    return "" if node is None else _value(node)


def _compose(text: str, name: str) -> yaml.Node | None:
    """Parse one document after its events were found harmless."""
    try:
        _check_events(text, name)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _check_size(node, name)
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = (error.problem or "invalid YAML").replace("\n", " ")
        raise ConfigError(f"{where}: not valid YAML: {problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from error


def _check_events(text: str, name: str) -> None:
    """Refuse what a configuration never needs, before anything is built from it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        mark = event.start_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise ConfigError(f"{where}: tags such as '{tag}' are not supported; remove it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise ConfigError(f"{where}: nested too deep or too long for a configuration")


def _check_size(root: yaml.Node, name: str) -> None:
    """Refuse aliases that unfold into more than a configuration ever holds, or into themselves."""
    count, waiting = 0, [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise ConfigError(f"{_at(name, node)}: aliases unfold too far for a configuration")
        if isinstance(node, yaml.MappingNode):
            waiting += [(part, depth + 1) for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(part, depth + 1) for part in node.value]


def _leaves(
    node: yaml.MappingNode, prefix: str, name: str, faults: list[str]
) -> Iterator[tuple[str, Setting]]:
    """Walk a mapping; a nested mapping is a section, everything else a value."""
    seen: dict[str, yaml.Node] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            faults.append(f"{_at(name, key_node)}: a key must be a word")
            continue
        key = key_node.value
        if key in seen:
            first = seen[key].start_mark.line + 1
            faults.append(f"{_at(name, key_node)}: {prefix}{key}: given before, in line {first}")
            continue
        seen[key] = key_node
        if isinstance(value_node, yaml.MappingNode):
            yield from _leaves(value_node, f"{prefix}{key}.", name, faults)
        else:
            yield prefix + key, Setting(_value(value_node), _at(name, key_node))


def _value(node: yaml.Node) -> Any:  # noqa: ANN401
    """Turn a node into plain data by the YAML 1.2 core schema."""
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _value(value) for key, value in node.value}
    text: str = node.value
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return text
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return text.lower() == "true"
    if _INT.fullmatch(text) and len(text) < 100:
        return int(text)
    if _FLOAT.fullmatch(text) and not re.fullmatch(r"[-+]?0[0-9]+", text):
        return float(text)
    if _NON_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _at(name: str, node: yaml.Node) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
