"""The JSON Schema that editors check a configuration with: `python -m config.schema` writes `hubiao.schema.json`.

It says which keys there are and what one value looks like; what only the loader can know (ids that exist, slots,
shares) it does not say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from config.model import Site

FILE = Path(__file__).with_name("hubiao.schema.json")
ID = "https://hubiao.example/schema/v1/hubiao.schema.json"


def schema() -> dict[str, Any]:
    """The schema of the whole file, draft 2020-12."""
    body = Site.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, **_with_empty(body)}


def schema_text() -> str:
    return json.dumps(schema(), ensure_ascii=False, indent=1) + "\n"


def _with_empty(body: dict[str, Any]) -> dict[str, Any]:
    """A key without a value counts as absent, so null is allowed wherever a key is not required."""
    for section in (body, *body.get("$defs", {}).values()):
        required = section.get("required", [])
        for name, value in section.get("properties", {}).items():
            value.pop("title", None)
            if name not in required and "anyOf" not in value:
                section["properties"][name] = {
                    **{key: value.pop(key) for key in ("description", "default") if key in value},
                    "anyOf": [value, {"type": "null"}],
                }
    return body


if __name__ == "__main__":
    FILE.write_text(schema_text(), encoding="utf-8")
