"""The committed schemas are those of the definitions, take what the log writes, and refuse what it must not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from evidence_log import T0, Day, Log, slot_text
from ruamel.yaml import YAML

from contract import records, schema_files, topics
from contract.events import EVENTS

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in schema_files.DIRECTORY.glob("*.json")}
ASYNCAPI: dict[str, Any] = YAML(typ="safe").load((schema_files.DIRECTORY / "asyncapi.yaml").read_text())


def everything() -> Log:
    """A log with at least one record of each kind."""
    log = Day().build()
    flow = records.Flow(*map(records.Decimal, ("10", "0", "1.5", "-2", "9", "0.5")))
    log.add(
        records.Balance(
            slot_text(0), slot_text(1), {"peak": flow}, records.Decimal("0.05"), records.Decimal("1.2"), "measured"
        ),
        T0,
    )
    log.add(
        records.Event(
            "meter", "m-1", "cover_open", slot_text(1)[:-1] + ".000Z", None, {"count": 3, "of": [None, True]}
        ),
        T0,
    )
    log.add(records.Pruned([[0, 5]], "witnessed"), T0)
    day = log.raw(log.find("day"))
    statement = {**day, "kind": "statement", "seq": len(log.records)}
    log.records.append(records.canonical(statement))
    return log


LOG = everything()


def sample(kind: str) -> dict[str, Any]:
    return LOG.raw(LOG.find(kind))


def refused(kind: str, raw: dict[str, Any]) -> bool:
    return not jsonschema.Draft202012Validator(SCHEMAS[kind]).is_valid(raw)


def test_the_committed_files_are_those_of_the_definitions() -> None:
    generated = schema_files.generate()
    committed = {path.name: path.read_text(encoding="utf-8") for path in schema_files.DIRECTORY.iterdir()}
    assert committed == generated, "run python -m contract.schema_files"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("kind", sorted(records.KINDS))
def test_every_kind_of_record_is_taken(kind: str) -> None:
    jsonschema.Draft202012Validator(SCHEMAS[kind]).validate(sample(kind))


def test_every_record_of_a_day_is_taken() -> None:
    for seq in range(0, len(LOG.records), 7):
        raw = LOG.raw(seq)
        jsonschema.Draft202012Validator(SCHEMAS[raw["kind"]]).validate(raw)


@pytest.mark.parametrize("kind", sorted(records.KINDS))
def test_no_field_may_be_missing(kind: str) -> None:
    whole = sample(kind)
    for name in whole:
        assert refused(kind, {key: value for key, value in whole.items() if key != name}), name


def test_unknown_fields_are_let_through() -> None:
    assert not refused("reading", {**sample("reading"), "colour": "red"})


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("reading", "boot_ms", 1.5),
        ("reading", "seq", -1),
        ("reading", "seq", True),
        ("reading", "v", 2),
        ("reading", "kind", "gap"),
        ("reading", "meter", "M 1"),
        ("reading", "park", "-x"),
        ("reading", "epoch", "0F" * 16),
        ("reading", "slot", "2026-07-09T16:00:00.000Z"),
        ("reading", "at", "2026-07-09T16:00:00Z"),
        ("reading", "quality", "good"),
        ("reading", "registers", {"import": 1000}),
        ("reading", "registers", {"import": 1000.5}),
        ("reading", "registers", {"import": "1e3"}),
        ("reading", "registers", {"voltage": "230"}),
        ("reading", "checks", ["luck"]),
        ("gap", "why", "laziness"),
        ("interval", "kwh", 1.5),
        ("interval", "segments", [{}]),
        ("interval", "period", "noon"),
        ("day", "periods", {"noon": "1"}),
        ("event", "code", "party"),
        ("event", "details", {"level": [1.5]}),
        ("config", "settings", {"interval_s": 0.5}),
        ("witness", "size", "8"),
        ("pruned", "ranges", [["0", 5]]),
    ],
)
def test_what_a_record_must_not_hold_is_refused(kind: str, field: str, value: Any) -> None:
    assert refused(kind, {**sample(kind), field: value})


def test_every_event_code_stands_in_the_schema_with_both_texts() -> None:
    codes = SCHEMAS["event"]["properties"]["code"]["oneOf"]
    assert [code["const"] for code in codes] == list(EVENTS)
    assert all(code["title"] and code["description"] and code["x-scopes"] for code in codes)


def test_hashes_hold_at_most_a_message_of_them() -> None:
    message = {"epoch": "0f" * 16, "from": 0, "hashes": ["00" * 32] * topics.MAX_HASHES}
    assert not refused("hashes", message)
    assert refused("hashes", {**message, "hashes": ["00" * 32] * (topics.MAX_HASHES + 1)})
    assert refused("hashes", {**message, "hashes": ["00"]})


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    found = list(references(ASYNCAPI))
    assert len(found) > 60
    for reference in found:
        if reference.startswith("./"):
            assert (schema_files.DIRECTORY / reference).is_file(), reference
        else:
            node: Any = ASYNCAPI
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [v for k, v in node.items() if k == "$ref"] + [r for v in node.values() for r in references(v)]
    return [r for item in node for r in references(item)] if isinstance(node, list) else []


def test_the_asyncapi_document_is_the_plain_form_of_what_was_generated() -> None:
    assert schema_files.asyncapi() == ASYNCAPI
    assert ASYNCAPI["asyncapi"] == "3.0.0"


def test_every_record_goes_to_a_channel_of_the_document() -> None:
    addresses = {address_of(channel) for channel in ASYNCAPI["channels"].values()}
    for seq in range(len(LOG.records)):
        head, body = records.decode(LOG.records[seq])
        parts = topics.topic(head, body, interval_s=900).split("/")
        parts[2] = "*"
        if parts[3] != "balance":
            parts[4] = "*"
        assert "/".join(parts) in addresses


def address_of(channel: dict[str, Any]) -> str:
    return "/".join("*" if part.startswith("{") else part for part in channel["address"].split("/"))


def test_only_the_receipt_is_received_and_only_notes_and_status_are_retained() -> None:
    operations = ASYNCAPI["operations"]
    assert [name for name, o in operations.items() if o["action"] == "receive"] == ["receive_receipt"]
    retained = {name for name, o in operations.items() if o["bindings"]["mqtt"]["retain"]}
    assert retained == {"send_checkpoint", "send_status", "receive_receipt"}
    assert [n for n, o in operations.items() if o["bindings"]["mqtt"]["qos"] == 0] == ["send_live"]


def test_generating_writes_every_file_and_removes_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_files, "DIRECTORY", tmp_path / "schemas")
    schema_files.main()
    (tmp_path / "schemas" / "old.json").write_text("{}")
    schema_files.main()
    assert {path.name for path in (tmp_path / "schemas").iterdir()} == set(schema_files.generate())
