"""Meters known from one source: read and recorded like others, settled only once a person accepted them."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import reading_store
from click.testing import CliRunner, Result
from reading_store import Morning, slot_text

from agent.app import Agent
from agent.cli import cli
from agent.evidence.reader import Reader
from audit.park_evidence import ParkEvidence
from audit.store import Store
from audit.writer import Writer
from config.load import load
from contract.acceptance import Acceptances, evidence_of, one_source
from contract.records import Event, Interval, decode, parse_instant
from drivers.clock import VirtualClock

SPAN = ("--from", "2026-07-10 10:00", "--to", "2026-07-10 12:00")
KNOWN = '{id: m-104, line: east, protocol: dlt645-2007, address: "202208310006"'
DOUBTFUL = '{id: m-104, line: east, protocol: dlt645-1997, model: wasion-1997, address: "202208310006"'


def accepted(model: str = "wasion-1997", act: str = "commission") -> Event:
    at = slot_text(3)
    return Event("meter", "m-104", "accepted", at, at, {"act": act, "model": model})


def morning(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *events: Event, yaml: Mapping[str, str] | None = None
) -> Morning:
    text = reading_store.YAML.replace(KNOWN, DOUBTFUL)
    for old, new in (yaml or {}).items():
        text = text.replace(old, new)
    monkeypatch.setattr(reading_store, "YAML", text)
    return Morning(directory, after={3: lambda one: [one.log.add(event) for event in events]}).write()  # type: ignore[dict-item]  # its result is not used


def call(written: Morning, verb: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["--lang", "en", verb, "--config", str(written.path), *map(str, arguments)])


def code(result: Result) -> int:
    return int(getattr(result.exception, "exit_code", result.exit_code))


def tenants_of(result: Result) -> list[str | None]:
    return [one["tenant"] for one in json.loads(result.stdout)]


def test_a_statement_is_withheld_until_the_meter_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = morning(tmp_path, monkeypatch)
    result = call(written, "statement", *SPAN, "--json")
    assert code(result) == 3
    assert tenants_of(result) == ["bolt", None]  # acme and cord share the meter
    assert "acme: not settled, meter m-104 is known from one source and was not accepted" in result.stderr
    everything = call(written, "statement", *SPAN, "--json", "--not-accepted")
    assert code(everything) == 0
    assert tenants_of(everything) == ["acme", "bolt", "cord", None]
    assert "cord: not settled" in everything.stderr


@pytest.mark.parametrize("by", ["event", "configuration"])
def test_an_event_or_the_configuration_accepts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    yaml = {DOUBTFUL: f"{DOUBTFUL}, accepted: 2026-07-01"} if by == "configuration" else None
    written = morning(tmp_path, monkeypatch, *([accepted()] if by == "event" else []), yaml=yaml)
    result = call(written, "statement", *SPAN, "--json")
    assert (code(result), result.stderr) == (0, "")
    assert tenants_of(result) == ["acme", "bolt", "cord", None]
    assert all(row["settles"] for row in json.loads(call(written, "sheet", *SPAN, "--json").stdout)["rows"])


def test_every_slot_and_step_is_recorded_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = morning(tmp_path, monkeypatch)
    reader = Reader(written.data)
    bodies = [decode(record)[1] for _, record, _ in reader.records(reader.epochs[-1]) if record is not None]
    reader.close()
    shared = [one for one in bodies if isinstance(one, Interval) and one.tenant == "cord"]
    assert len(shared) == 8


def test_the_sheet_marks_its_rows_on_the_screen_and_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = morning(tmp_path, monkeypatch)
    rows = {row["meter"]: row for row in json.loads(call(written, "sheet", *SPAN, "--json").stdout)["rows"]}
    assert [meter for meter, row in rows.items() if not row["settles"]] == ["m-104"]
    path = tmp_path / "sheet.csv"
    assert "m-104: model known from one source, not accepted" in call(written, "sheet", *SPAN, "--csv", path).stderr
    with path.open(encoding="utf-8-sig", newline="") as file:
        notes = {row["表号"]: row["备注"] for row in csv.DictReader(file)}
    assert notes["m-104"] == "not accepted: not to be settled"
    assert notes["m-101"] == ""


def test_an_auditor_finds_the_same_meters_in_the_log_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, events in (("before", ()), ("after", (accepted(),))):
        (tmp_path / name).mkdir()
        written = morning(tmp_path / name, monkeypatch, *events)
        reader = Reader(written.data)
        writer = Writer(tmp_path / name / "store")
        for _, record, _ in reader.records(reader.epochs[-1]):
            assert record is not None
            writer.append(record)
        writer.close()
        reader.close()
        evidence = ParkEvidence(Store(tmp_path / name / "store"), "xihu-01")
        assert evidence.not_accepted == ({"m-104"} if name == "before" else set())


def test_another_model_another_device_and_another_act_do_not_count() -> None:
    loaded = load(Path(__file__).parents[2] / "config" / "samples" / "everything.yaml")
    assert loaded.config is not None
    config: dict[str, Any] = copy.deepcopy(loaded.config)  # models are read once for the whole process
    assert one_source(config) == set()
    meter = next(one for one in config["meters"] if one["id"] == "m-103")
    [model] = [one for one in config["models"] if one["id"] == meter["model"]]
    model["data"]["registers"]["import"]["evidence"] = "one-source"
    assert one_source(config) == {"m-103"}
    for events, lacking in (
        ([], True),
        ([("accepted", {"act": "commission", "model": meter["model"]})], False),
        ([("accepted", {"act": "commission", "model": "another"})], True),
        ([("accepted", {"model": meter["model"]})], True),  # a disputed register
        ([("accepted", {"act": "commission", "model": meter["model"]}), ("serial_changed", {})], True),
    ):
        known = Acceptances()
        for what, details in events:
            known.add("meter", "m-103", what, details)
        assert (known.lacking(config) == {"m-103"}) is lacking, events


def test_a_register_says_its_own_level_before_its_model() -> None:
    assert (
        evidence_of({"registers": {"import": {"evidence": "agreed"}, "export": {"evidence": "one-source"}}}) == "agreed"
    )
    assert evidence_of({"registers": {"total": {"evidence": "one-source"}}}) == "one-source"
    assert evidence_of({"evidence": "field-verified", "registers": {}}) == "field-verified"
    assert evidence_of({"registers": {"export": {"evidence": "one-source"}}}, "export") == "one-source"


def test_the_agent_says_at_each_start_which_meters_are_not_to_be_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "park.yaml"
    path.write_text(
        reading_store.YAML.replace("DATA", str(tmp_path / "data")).replace(KNOWN, DOUBTFUL), encoding="utf-8"
    )
    loaded = load(path)
    assert loaded.config is not None
    assert any("not settled until it was accepted" in one.text("en") for one in loaded.notices)
    config = {**loaded.config, "private": {**loaded.config["private"], "mqtt": None}}

    def started() -> list[Event]:
        clock = VirtualClock(parse_instant("2026-07-10T02:00:00Z"))

        async def main() -> None:
            agent = Agent(config, clock)
            await agent.open()
            await agent.log.close()
            await agent._store.close()

        clock.run(main())
        reader = Reader(tmp_path / "data")
        bodies = [decode(record)[1] for _, record, _ in reader.records(reader.epochs[-1]) if record is not None]
        reader.close()
        return [one for one in bodies if isinstance(one, Event) and one.code == "not_accepted"]

    [event] = started()
    assert (event.scope, event.id, event.details) == ("meter", "m-104", {"model": "wasion-1997"})
    assert len(started()) == 2
