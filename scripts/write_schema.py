"""Write the JSON Schema of metrics.json, which ships with the package, from its pydantic model."""

import json
from pathlib import Path

from nint_cli.metrics import schema
from nint_cli.modalities.table import metrics_document

SCHEMA = Path(schema.__file__).parent / "metrics.schema.json"


def schema_text() -> str:
    """Give the schema as it should stand in the file."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    document |= metrics_document().json_schema()
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    print(SCHEMA)
