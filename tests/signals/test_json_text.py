import json

import pytest

from nint_cli.signals.json_text import parsed


@pytest.mark.parametrize(
    "document", [None, True, 0, -1.5, 2**63, "a", [], {}, [{"a": [1, "b", None]}], {"a": {"b": 2}}]
)
def test_what_nint_writes_is_read(document):
    assert parsed(json.dumps(document)) == document
    assert parsed(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", "-Infinity", "1e400", "[-1e999]", "9" * 21, "9" * 5000, b"\xff",
     '{"a": NaN}', "[" * 100_000, "[" * 2000 + "]" * 2000, '{"a":' * 2000 + "1" + "}" * 2000],
)  # fmt: skip
def test_every_fault_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"\w"):
        parsed(text)


def test_how_deep_is_too_deep():
    assert parsed("[" * 99 + "1" + "]" * 99)
    assert parsed("[" * 100 + "]" * 100)
    with pytest.raises(ValueError, match="nested too deep"):
        parsed("[" * 101 + "]" * 101)
