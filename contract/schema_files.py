"""Writes `schemas/`: a JSON Schema (2020-12) for each kind of record and message, and the AsyncAPI 3 document.

    python -m contract.schema_files        after any change to records.py, events.py or topics.py

Everything about records comes from the annotations of records.py; only what those cannot say stands here: the keys of
maps, and the messages that are no records. Unknown fields are allowed, since readers ignore them. JSON Schema takes
1.0 for an integer; `records.decode` refuses it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from contract import events, records, topics

DIRECTORY = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
DECIMAL = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
REGISTER_NAMES = r"^(?:(?:import|export)(?:_t[1-9][0-9]?)?|reactive_(?:import|export|q[1-4]))$"
_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_KEYS: dict[str, dict[str, Any]] = {
    "registers": {"pattern": REGISTER_NAMES},
    "periods": {"enum": list(get_args(records.Period))},
    "quality_kwh": {"enum": list(records.QUALITIES)},
}
_OPTIONAL = frozenset({"rollover", "rekey", "of_epoch"})  # left out where they say nothing
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer", "minimum": 0},
    bool: {"type": "boolean"},
}
_VALUE = {  # anything that a record may hold: no floats at any depth
    "type": ["string", "integer", "boolean", "null", "array", "object"],
    "items": {"$ref": "#/$defs/Value"},
    "additionalProperties": {"$ref": "#/$defs/Value"},
}


def record_schema(kind: str) -> dict[str, Any]:
    """The schema of one kind of record, head and body in one object."""
    body = records.KINDS[kind]
    defs: dict[str, Any] = {}
    head, own = _object(records.Head, defs), _object(body, defs)
    properties = {**head["properties"], **own["properties"], "kind": {"const": kind}}
    if kind == "event":
        properties["code"] = _codes()
    schema = {
        "$schema": DIALECT,
        "$id": f"urn:hubiao:v1:{kind}",
        "title": kind,
        "description": _summary(body),
        "type": "object",
        "properties": dict(sorted(properties.items())),
        "required": sorted(head["required"] + own["required"]),
    }
    return {**schema, "$defs": dict(sorted(defs.items()))} if defs else schema


def message_schemas() -> dict[str, dict[str, Any]]:
    """Messages that are no records: hashes, status, live and the notes."""
    identity = {"epoch": _annotated(records.Hex128), "size": {"type": "integer", "minimum": 0}}
    hashes = {
        "epoch": identity["epoch"],
        "from": {"type": "integer", "minimum": 0},
        "hashes": {"type": "array", "items": _HASH, "minItems": 1, "maxItems": topics.MAX_HASHES},
    }
    status = {
        **identity,
        "state": {"enum": ["online", "offline", "stopping"]},
        "at": {"anyOf": [_annotated(records.Instant), {"type": "null"}]},
        "version": {"type": "string"},
    }
    look = {
        "read_at": {"anyOf": [_annotated(records.Instant), {"type": "null"}]},
        "registers": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    live = {
        "at": _annotated(records.Instant),
        "meters": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": look, "required": sorted(look)},
        },
    }
    return {
        "hashes": _message("hashes", "Contiguous leaf hashes of the log.", hashes, list(hashes)),
        "status": _message("status", "State of the agent: a hint, never evidence.", status, list(status)),
        "live": _message("live", "Latest values for screens; never billed.", live, list(live)),
        "note": {
            "$schema": DIALECT,
            "$id": "urn:hubiao:v1:note",
            "title": "note",
            "description": "A C2SP signed note: a checkpoint, or with a cosignature a receipt. Text, not JSON.",
            "type": "string",
        },
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document: every topic, who sends what, with QoS and retain."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for name, address, message, qos, retain in _channels():
        parameters = re.findall(r"\{(\w+)\}", address)
        channels[name] = {
            "address": address,
            "messages": {message: {"$ref": f"#/components/messages/{message}"}},
            "parameters": {p: {"$ref": f"#/components/parameters/{p}"} for p in parameters},
        }
        action = "receive" if name == "receipt" else "send"
        operations[f"{action}_{name}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{message}"}],
            "bindings": {"mqtt": {"qos": qos, "retain": retain, "bindingVersion": "0.2.0"}},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "hubiao",
            "version": "1.0.0",
            "description": "Records, evidence and status of a gateway. One record is one message, byte for byte.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": topics.CONTENT_TYPE,
        "servers": {
            "broker": {
                "host": "{host}:8883",
                "protocol": "secure-mqtt",
                "protocolVersion": "5.0",
                "variables": {"host": {"default": "broker.example", "description": "the park's MQTT 5 broker"}},
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": _messages(), "parameters": _parameters()},
    }


def generate() -> dict[str, str]:
    """File name → text of everything in `schemas/`."""
    schemas = {kind: record_schema(kind) for kind in records.KINDS} | message_schemas()
    files = {f"{name}.json": json.dumps(s, ensure_ascii=False, indent=1) + "\n" for name, s in schemas.items()}
    files["asyncapi.yaml"] = "# Generated by python -m contract.schema_files\n" + "".join(_yaml(asyncapi(), 0))
    return files


def main() -> None:
    """Writes the files and removes what is no longer generated."""
    DIRECTORY.mkdir(exist_ok=True)
    files = generate()
    for stale in [*DIRECTORY.glob("*.json"), *DIRECTORY.glob("*.yaml")]:
        if stale.name not in files:
            stale.unlink()
    for name, text in files.items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")


def _object(kind: type[Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Properties and required names of a dataclass; nested classes go into `defs`."""
    hints = get_type_hints(kind, include_extras=True)
    properties: dict[str, Any] = {}
    for item in fields(kind):
        name = records.wire_name(item.name)
        properties[name] = _annotated(hints[item.name], defs)
        if name in _KEYS and properties[name].get("type") == "object":
            properties[name] = {**properties[name], "propertyNames": _KEYS[name]}
    return {
        "type": "object",
        "description": _summary(kind),
        "properties": properties,
        "required": [name for name in properties if name not in _OPTIONAL],
    }


def _annotated(hint: Any, defs: dict[str, Any] | None = None) -> dict[str, Any]:
    """The schema of an annotation."""
    defs = {} if defs is None else defs
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return {"type": "string", "pattern": next(a.pattern for a in arguments if isinstance(a, records.Text))}
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _annotated(arguments[0], defs)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _annotated(arguments[1], defs)}
    if type(None) in arguments:
        return {"anyOf": [_annotated(arguments[0], defs), {"type": "null"}]}
    if hint is Any:
        defs["Value"] = _VALUE
        return {"$ref": "#/$defs/Value"}
    if hint is Decimal:
        return DECIMAL
    if hint in (str, int, bool):
        return dict(_PLAIN[hint])
    if hint.__name__ not in defs:
        defs[hint.__name__] = _object(hint, defs)
    return {"$ref": f"#/$defs/{hint.__name__}"}


def _codes() -> dict[str, Any]:
    return {
        "oneOf": [
            {"const": code, "title": text.zh, "description": text.en, "x-scopes": list(text.scopes)}
            for code, text in events.EVENTS.items()
        ]
    }


def _summary(kind: type[Any]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _message(name: str, text: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "$schema": DIALECT,
        "$id": f"urn:hubiao:v1:{name}",
        "title": name,
        "description": text,
        "type": "object",
        "properties": properties,
        "required": sorted(required),
    }


def _channels() -> Iterator[tuple[str, str, str, int, bool]]:
    """Name, address, message, QoS and retain of every topic."""
    root = topics.ROOT + "/{park}"
    for kind in ("interval", "day", "statement"):
        yield f"tenant_{kind}", f"{root}/tenant/{{tenant}}/{kind}", kind, 1, False
        yield f"point_{kind}", f"{root}/point/{{point}}/{kind}", kind, 1, False
        yield f"balance_{kind}", f"{root}/balance/{kind}", "balance", 1, False
    for kind in ("reading", "gap", "event"):
        yield f"meter_{kind}", f"{root}/meter/{{meter}}/{kind}", kind, 1, False
    gateway = root + "/gateway/{gateway}"
    for kind in ("boot", "config", "anchor", "event", "witness", "pruned"):
        yield f"gateway_{kind}", f"{gateway}/{kind}", kind, 1, False
    yield "hashes", f"{gateway}/hashes", "hashes", 1, False
    yield "checkpoint", f"{gateway}/checkpoint", "checkpoint", 1, True
    yield "status", f"{gateway}/status", "status", 1, True
    yield "live", f"{gateway}/live", "live", 0, False
    yield "receipt", f"{gateway}/receipt/{{auditor}}", "receipt", 1, True


def _messages() -> dict[str, Any]:
    files = {name: name for name in [*records.KINDS, "hashes", "status", "live"]}
    files |= {"checkpoint": "note", "receipt": "note"}
    result: dict[str, Any] = {}
    for name, file in files.items():
        schema = {"schemaFormat": "application/schema+json;version=2020-12", "schema": {"$ref": f"./{file}.json"}}
        result[name] = {"name": name, "payload": schema}
        if file == "note":
            result[name]["contentType"] = "text/plain; charset=utf-8"
    return result


def _parameters() -> dict[str, Any]:
    return {
        "park": {"description": "id of the park"},
        "gateway": {"description": "id of the gateway"},
        "tenant": {"description": "pseudonym of a tenant"},
        "point": {"description": "id of a meter point"},
        "meter": {"description": "id of a meter"},
        "auditor": {"description": "name of a pinned auditor, with _ for /"},
    }


def _yaml(value: Any, depth: int) -> Iterator[str]:
    """Block YAML; scalars are quoted as JSON does, which YAML reads the same."""
    pad = "  " * depth
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in items:
        lead = f"{pad}-" if key is None else f"{pad}{_yaml_key(key)}:"
        if isinstance(item, (dict, list)) and item:
            yield lead + "\n"
            yield from _yaml(item, depth + 1)
        else:
            yield f"{lead} {json.dumps(item, ensure_ascii=False)}\n"


def _yaml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][\w-]*", key) else json.dumps(key)


if __name__ == "__main__":
    main()
