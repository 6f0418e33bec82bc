"""`hubiao status` on a store that an agent left, and beside one that writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from reading_store import KEY, STEP, TEN, YAML, Morning

from agent.cli import cli
from agent.cli.places import opened_store
from agent.cli.status import status_of
from agent.ledger.history import History
from contract.note import origin, public_raw, verifier_key, verify_checkpoint
from contract.records import Event

NOON = TEN + 8 * STEP


def found(morning: Morning, *, config: bool = True, at_s: int = NOON + 60) -> dict[str, Any]:
    """The document of the verb as it would be at an instant; the last commit was at noon and 20 s."""
    with opened_store(morning.path if config else None, None if config else morning.data) as store:
        return status_of(store, History(store.reader), at_s * 1000)


def meter(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in document["meters"] if entry["id"] == name)


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    return Morning(tmp_path_factory.mktemp("park")).write()


def test_the_log_and_its_clock_are_told(morning: Morning) -> None:
    document = found(morning)
    assert (document["park"], document["gateway"]) == ("xihu-01", "gw-1")
    assert (document["epoch"], document["size"]) == (morning.log.epoch.id, morning.log.size)
    assert (document["committed_at"], document["committed_age_s"]) == ("2026-07-10T04:00:20Z", 40)
    assert (document["clock"], document["clock_error_ms"]) == ("disciplined", 5)


def test_the_last_checkpoint_is_the_signed_one(morning: Morning) -> None:
    checkpoint = found(morning)["checkpoint"]
    name = origin("xihu-01", "gw-1", morning.log.epoch.id)
    vkey = verifier_key(name, public_raw(KEY))
    assert verify_checkpoint(checkpoint["note"], vkey).size == checkpoint["size"] == morning.log.size


def test_what_waits_and_since_when(tmp_path: Path) -> None:
    def deliver(morning: Morning) -> None:
        morning.log.delivered = morning.delivered = morning.log.size  # all that was committed before this sweep

    morning = Morning(tmp_path, after={6: deliver}).write()
    document = found(morning)
    waiting = morning.log.size - morning.delivered
    assert document["outbox"] == {
        "uplink": True,
        "delivered": morning.delivered,
        "waiting": waiting,
        "oldest_age_s": 60 + 2 * STEP - 20,  # the first of the sweep at 11:30
        "set_aside": 0,
    }
    assert found(morning, config=False)["outbox"]["uplink"] is None


def test_without_a_broker_nothing_waits(tmp_path: Path) -> None:
    morning = Morning(tmp_path, slots=range(2)).write()
    lines = [line for line in YAML.splitlines() if not line.startswith("mqtt:")]
    morning.path.write_text("\n".join(lines).replace("DATA", str(morning.data)), encoding="utf-8")
    outbox = found(morning)["outbox"]
    assert (outbox["uplink"], outbox["waiting"], outbox["oldest_age_s"]) == (False, None, None)


def test_a_meter_shows_its_last_slot_registers_and_quality(morning: Morning) -> None:
    acme = meter(found(morning), "m-101")
    assert (acme["slot"], acme["age_s"], acme["quality"], acme["gap"]) == ("2026-07-10T04:00:00Z", 60, "measured", None)
    assert acme["registers"]["import"] == "1008.80"
    assert acme["registers"]["import_t4"] == "252.20"


def test_a_gap_that_was_filled_is_not_open(morning: Morning) -> None:
    assert meter(found(morning), "m-104")["gap"] is None


def test_an_open_gap_tells_since_when_and_why(tmp_path: Path) -> None:
    silent = meter(found(Morning(tmp_path, silent_from=6).write()), "m-104")
    assert (silent["slot"], silent["registers"]) == ("2026-07-10T03:15:00Z", {"import": "300.40"})
    assert silent["gap"] == {"from": "2026-07-10T03:30:00Z", "to": "2026-07-10T04:00:00Z", "why": "timeout"}


def test_a_gap_filled_from_the_meters_memory_is_closed(tmp_path: Path) -> None:
    def fill(morning: Morning) -> None:
        morning.reading("m-104", 8, quality="estimated", revision=1)

    filled = meter(found(Morning(tmp_path, silent_from=7, after={8: fill}).write()), "m-104")
    assert (filled["slot"], filled["quality"], filled["gap"]) == ("2026-07-10T04:00:00Z", "estimated", None)


def test_a_meter_that_never_answered_has_only_a_gap(tmp_path: Path) -> None:
    silent = meter(found(Morning(tmp_path, silent_from=0, filled=False).write()), "m-104")
    assert (silent["slot"], silent["age_s"], silent["registers"]) == (None, None, {})
    assert silent["gap"]["from"] == "2026-07-10T02:00:00Z"


def test_a_line_is_gone_until_an_event_or_a_meter_says_otherwise(tmp_path: Path) -> None:
    def gone(morning: Morning) -> None:
        morning.log.add(Event("line", "east", "line_gone", "2026-07-10T03:59:00.000Z", None, {}))

    def back(morning: Morning) -> None:
        morning.log.add(Event("line", "east", "line_back", None, "2026-07-10T04:00:01.000Z", {}))

    for name, hooks, since in (
        ("stays", {8: gone}, None),  # meters were read at noon, after it
        ("back", {7: gone, 8: back}, None),
    ):
        (tmp_path / name).mkdir()
        lines = found(Morning(tmp_path / name, after=hooks).write())["lines"]
        assert lines == [{"id": "east", "meters": 5, "answering": 5, "gone_since": since}]

    def later(morning: Morning) -> None:
        morning.log.add(Event("line", "east", "line_gone", "2026-07-10T04:00:15.000Z", None, {}))

    lines = found(Morning(tmp_path, after={8: later}).write())["lines"]
    assert lines[0]["gone_since"] == "2026-07-10T04:00:15.000Z"


def test_room_on_disk_is_reckoned_from_what_was_written(morning: Morning) -> None:
    disk = found(morning)["disk"]
    files = sum(part.stat().st_size for part in morning.data.glob("hubiao.db*"))
    assert disk["bytes"] == files
    assert 0 < disk["bytes_a_day"] < 12 * files  # two hours and ten minutes were written
    assert disk["room_days"] == disk["free_bytes"] // disk["bytes_a_day"]


def test_the_first_hour_gives_no_rate(tmp_path: Path) -> None:
    disk = found(Morning(tmp_path, slots=range(3)).write())["disk"]
    assert (disk["bytes_a_day"], disk["room_days"]) == (None, None)


def test_it_works_beside_an_agent_that_writes(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def look(morning: Morning) -> None:
        seen.append(found(morning, config=False, at_s=TEN + 4 * STEP + 20))

    morning = Morning(tmp_path, after={4: look}).write()
    assert meter(seen[0], "m-000")["slot"] == "2026-07-10T02:45:00Z"  # this sweep is not committed yet
    assert seen[0]["size"] < morning.log.size


def test_plain_lines_where_nobody_looks(morning: Morning) -> None:
    result = CliRunner().invoke(cli, ["--lang", "zh", "status", "--config", str(morning.path)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "园区/网关: xihu-01/gw-1"
    row = next(line.split("\t") for line in lines if line.startswith("m-000\t"))
    assert (row[1], row[2], row[4], row[5]) == ("east", "2026-07-10 12:00", "import=5024.00", "measured")


def test_json_is_one_document(morning: Morning) -> None:
    result = CliRunner().invoke(cli, ["status", "--data", str(morning.data), "--json"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert [entry["id"] for entry in json.loads(result.stdout)["meters"]] == [
        "m-000",
        "m-101",
        "m-102",
        "m-103",
        "m-104",
    ]


def test_a_damaged_store_is_74_and_none_too(tmp_path: Path) -> None:
    (tmp_path / "hubiao.db").write_bytes(b"no database" * 500)
    result = CliRunner().invoke(cli, ["status", "--data", str(tmp_path)])
    assert (result.exit_code, result.exception.__class__) == (74, SystemExit)
    assert CliRunner().invoke(cli, ["status", "--data", str(tmp_path / "none")]).exit_code == 74
    assert CliRunner().invoke(cli, ["status"]).exit_code == 2
