"""`replace-meter`, `tenancy`, `reading add`, `statement`: files edited with their comments, orders taken up once."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fed_park import START, Run

from agent.cli import cli
from agent.ledger.inbox import Inbox
from bench.fed import Fed, configuration
from contract.records import Day, Event, Interval, Reading, parse_instant

PARK = """# the park
park: {id: xihu-01, schedules: [zj-2026]}   # schedule of 2026
gateway: {id: gw-1, data: DATA}
lines: [{id: east, port: /dev/ttyRS485-1, baud: 2400, framing: 8E1}]
meters:
  - {id: m-1, line: east, protocol: dlt645-2007, address: 000000000001, tenant: acme, digits: 6, max_a: 60}  # first
  - {id: m-9, protocol: manual, tenant: cord, room: 1-109, digits: 6, max_a: 60}
tenants:
  - {id: acme, name: 埃克米}
  - {id: cord}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "park.yaml"
    path.write_text(PARK.replace("DATA", str(tmp_path / "data")), "utf-8")
    return path


def call(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["--lang", "en", *map(str, arguments)])
    found = getattr(result.exception, "exit_code", result.exit_code)
    assert found == code, result.output
    return result


def played(file: Path, runs: dict[str, Run]) -> Fed:
    data = file.parent / "data"
    return Fed(configuration(file.read_text("utf-8")), lambda m, ms: {"import": runs[m].shown(ms)}, START, data)


def test_a_meter_change_is_written_into_the_file_and_settled_to_the_last_count(file: Path):
    old, new = Run(), Run(start="0.12")
    park = played(file, {"m-1": old, "m-2": new})
    park.run("2026-07-15T02:00:00Z")
    at = parse_instant("2026-07-15T02:07:00Z")
    final, initial = str(old.shown(at)), str(new.shown(at))
    swap = ["replace-meter", "--config", file, "--meter", "m-1", "--new", "m-2", "--at", "2026-07-15 10:07"]
    call(*swap, "--final", final, "--initial", initial, "--address", "000000000002", "--who", "Li")
    text = file.read_text("utf-8")
    assert "# first" in text
    assert "address: 000000000001" in text
    assert "# schedule of 2026" in text
    park.run("2026-07-15T02:30:00Z", silent=lambda m, _s: m == "m-1")
    assert not park.bodies(Event)  # the order waits for the configuration that knows the new meter
    park.configure(configuration(text))
    park.run("2026-07-15T16:30:00Z")
    (event,) = [e for e in park.bodies(Event) if e.code == "meter_replaced"]
    assert (event.details["who"], event.details["final"], event.id) == ("Li", final, "m-1")
    day = [d for d in park.bodies(Day) if d.tenant == "acme"][-1]
    assert (day.complete, [s.meter for s in day.segments]) == (True, ["m-1", "m-2"])
    first, last = day.segments[0].start, day.segments[1].end
    assert day.total == (Decimal(final) - first) + (last - Decimal(initial))
    assert not Inbox(file.parent / "data").waiting({"m-1", "m-2"}, 2**60)
    assert park.findings() == []


def test_a_new_meter_may_have_the_address_of_its_predecessor(file: Path):
    """One device answers to both ids; each is believed only for its own time."""
    old, new = Run(), Run(start="0.12")
    at = parse_instant("2026-07-15T02:07:00Z")
    data = file.parent / "data"

    def answers(_meter: str, ms: int) -> dict[str, Decimal]:
        return {"import": (old if ms < at else new).shown(ms)}

    park = Fed(configuration(file.read_text("utf-8")), answers, START, data)
    park.run("2026-07-15T02:05:00Z")
    final, initial = str(old.shown(at)), str(new.shown(at))
    swap = ["replace-meter", "--config", file, "--meter", "m-1", "--new", "m-2", "--at", "2026-07-15 10:07"]
    call(*swap, "--final", final, "--initial", initial, "--address", "000000000001")
    park.configure(configuration(file.read_text("utf-8")))
    park.run("2026-07-15T16:30:00Z")
    assert [e.code for e in park.bodies(Event)] == ["meter_replaced"]
    day = [d for d in park.bodies(Day) if d.tenant == "acme"][-1]
    assert (day.complete, [s.meter for s in day.segments]) == (True, ["m-1", "m-2"])
    first, last = day.segments[0].start, day.segments[1].end
    assert day.total == (Decimal(final) - first) + (last - Decimal(initial))
    assert park.findings() == []


def test_two_meters_at_one_address_at_once_are_a_fault(file: Path):
    text = file.read_text("utf-8")
    twin = "\n  - {id: m-2, line: east, protocol: dlt645-2007, address: 000000000001, tenant: acme}\n  - {id: m-9"
    file.write_text(text.replace("\n  - {id: m-9", twin), "utf-8")
    assert "m-1" in call("check", "--config", file, code=78).output


def test_a_move_ends_the_short_form_and_begins_the_next_tenancy(file: Path):
    move = ["tenancy", "--config", file, "--point", "m-1", "--at", "2026-07-16"]
    call(*move, "--in", "bolt", "--name", "博尔特", "--import", "1200")
    config = configuration(file.read_text("utf-8"))
    held = [(x["tenant"], x["from"], x["to"]) for x in config["tenancies"] if x["point"] == "m-1"]
    assert held == [("acme", None, "2026-07-15T16:00:00Z"), ("bolt", "2026-07-15T16:00:00Z", None)]
    assert {"id": "bolt", "name": "博尔特"}.items() <= config["private"]["tenants"][-1].items()
    call(*move[:-1], "2026-07-20", "--out", "bolt")
    config = configuration(file.read_text("utf-8"))
    assert [x["to"] for x in config["tenancies"] if x["tenant"] == "bolt"] == ["2026-07-19T16:00:00Z"]


def test_a_tenant_of_a_common_point_is_said_to_use_its_energy_alone(file: Path):
    file.write_text(file.read_text("utf-8").replace("manual, tenant: cord,", "manual, role: public,"), "utf-8")
    move = ["tenancy", "--config", file, "--point", "m-9", "--at"]
    assert "has the role public and the tenant cord" in call(*move, "2026-07-15 10:00", "--in", "cord").output
    assert "has the role public" not in call(*move, "2026-07-15 12:00", "--out", "cord").output  # noticed already


@pytest.mark.parametrize(
    "arguments",
    [
        ["tenancy", "--point", "m-7", "--at", "2026-07-16", "--in", "bolt"],
        ["tenancy", "--point", "m-1", "--at", "2026-07-16", "--out", "cord"],
        ["tenancy", "--point", "m-1", "--at", "2026-07-16", "--out", "acme", "--in", "Not An Id"],
        ["replace-meter", "--meter", "m-1", "--new", "m-9", "--at", "2026-07-16", "--final", "1", "--initial", "0"],
        ["reading", "add", "--meter", "m-7", "--at", "2026-07-16", "--import", "1"],
    ],
)
def test_what_would_make_the_file_wrong_is_refused_and_leaves_it_as_it_was(file: Path, arguments: list[str]):
    before = file.read_bytes()
    verb = 2 if arguments[0] == "reading" else 1
    call(*arguments[:verb], "--config", file, *arguments[verb:], code=78)
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["park.yaml"]


def test_a_manual_meter_is_billed_from_sheet_to_sheet(file: Path, tmp_path: Path):
    sheet = tmp_path / "抄表.csv"
    sheet.write_text("房号,示数,抄表时间\n1-109,500.00,2026-07-15 00:00\n1-109,596.00,2026-07-16 00:00\n", "utf-8")
    park = played(file, {"m-1": Run()})
    call("reading", "add", "--config", file, "--sheet", sheet, "--who", "Wang")
    park.run("2026-07-15T16:30:00Z")
    events = [e for e in park.bodies(Event) if e.code == "manual_reading"]
    assert len(events) == 2
    assert events[0].details["who"] == "Wang"
    assert len(events[0].details["sheet_sha256"]) == 64
    day = [d for d in park.bodies(Day) if d.tenant == "cord"][-1]
    assert (day.total, day.complete) == (96, True)
    assert set(day.quality_kwh) == {"estimated"}
    steps = [i for i in park.bodies(Interval) if i.tenant == "cord"]
    assert {i.kwh for i in steps} == {1}
    assert [r.quality for r in park.bodies(Reading) if r.method == "manual"] == ["measured"] * 2
    assert park.findings() == []


def test_readings_of_one_meter_left_in_two_orders_make_the_energy_between_them(file: Path):
    park = played(file, {"m-1": Run()})
    park.run("2026-07-15T05:00:00Z")
    for at, kwh in (("2026-07-15 12:00", "160.00"), ("2026-07-15 08:00", "100.00")):  # 04:00 and 00:00 UTC
        call("reading", "add", "--config", file, "--meter", "m-9", "--at", at, "--import", kwh)
    park.run("2026-07-15T05:15:00Z")
    billed = [i for i in park.latest(Interval).values() if i.tenant == "cord"]
    assert (len(billed), sum(i.kwh for i in billed)) == (16, Decimal("60.00"))
    assert park.findings() == []


def test_a_sheet_with_any_wrong_row_is_refused_whole_with_every_row_named(file: Path, tmp_path: Path):
    sheet = tmp_path / "s.csv"
    sheet.write_text("表号,示数\nm-9,12x\nm-8,1\nm-9,5\n", "utf-8")
    result = call("reading", "add", "--config", file, "--sheet", sheet, "--at", "2026-07-16", code=78)
    faults = str(getattr(result.exception, "message", result.output)) + result.output
    assert all(f"s.csv:{row}" in faults for row in (2, 3))
    assert "s.csv:4" not in faults
    assert not (tmp_path / "data").exists()


def test_a_register_that_the_meter_cannot_show_is_refused_and_a_time_ahead_is_noticed(file: Path, tmp_path: Path):
    add = ["reading", "add", "--config", file]
    one = [*add, "--meter", "m-9", "--at", "2026-07-15 08:00", "--import"]
    assert "m-9 shows 6 digits" in call(*one, "1000000", code=78).output
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("表号,示数,时间\nm-9,1234567.00,2026-07-15 08:00\n", "utf-8")
    assert "sheet.csv:2: m-9 shows 6 digits" in call(*add, "--sheet", sheet, code=78).output
    assert "lies ahead" not in call(*one, "999,999.99").output
    assert "lies ahead" in call(*add, "--meter", "m-9", "--at", "2926-07-15 08:00", "--import", "1").output


def test_a_file_in_the_inbox_that_is_no_work_order_stays_and_stops_nothing(file: Path):
    inbox = file.parent / "data" / "inbox"
    inbox.mkdir(parents=True)
    for number, text in enumerate(("{", "[]", '{"v": 2}', '{"v":1,"events":[],"readings":[{"meter":"m-1"}]}')):
        (inbox / f"{number}.json").write_text(text)
    park = played(file, {"m-1": Run()})
    park.run("2026-07-14T17:00:00Z")
    assert len(list(inbox.iterdir())) == 4
    assert len([i for i in park.bodies(Interval) if i.tenant == "acme"]) == 4


def test_an_order_that_was_committed_and_not_removed_changes_no_reading_the_second_time(file: Path):
    park = played(file, {"m-1": Run()})
    call("reading", "add", "--config", file, "--meter", "m-9", "--at", "2026-07-15 00:00", "--import", "500")
    (left,) = (file.parent / "data" / "inbox").glob("*.json")
    text = left.read_text()
    park.run("2026-07-14T16:15:00Z")
    assert not left.exists()
    left.write_text(text)
    park.run("2026-07-14T16:30:00Z")
    assert len([r for r in park.bodies(Reading) if r.meter == "m-9"]) == 1
    assert json.loads(text)["v"] == 1
