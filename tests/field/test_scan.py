"""hubiao scan on simulated buses in virtual time: sixty meters on two lines, pairs, other masters, aborted searches.

`python tests/field/test_scan.py` prints the figures of docs/campaigns/scan.md.
"""

from __future__ import annotations

import asyncio
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from benches import NOON, Bench, effective, sixty

from agent.cli import Failure
from agent.cli.check_online import Online, ask_line, line_of
from agent.cli.scan import Outcome, as_object, meter_models, scanned
from agent.cli.scan_labels import Label, fits, match, read_labels
from agent.cli.scan_sheet import write_sheet
from agent.cli.scan_write import NotWritten, append
from agent.field.scanning import Found
from agent.field.search import Search, Step, first_steps, short_address
from config.meter_models import SHIPPED
from drivers.clock import VirtualClock
from drivers.ports import Settings
from simulators.faults import Fault

PORTS = {"east": "/dev/ttyS-east", "west": "/dev/ttyS-west"}


def scan_line(config: dict[str, Any], faults: list[Fault], line: str, search: Search, **more: Any) -> Outcome:
    clock = VirtualClock(NOON)

    async def main() -> Outcome:
        bench = Bench(config, clock, faults)
        await bench.open()
        loop = asyncio.get_running_loop()
        began = loop.time()

        def tell(what: Step | Found) -> None:
            if isinstance(what, Found) and "found_at" in more:
                more["found_at"].append((loop.time() - began, what))

        task = loop.create_task(
            scanned(PORTS[line], bench.ports[line], search, clock, 5.0, tell, more.get("models") or meter_models())
        )
        if "cancel_after" in more:
            loop.call_later(more["cancel_after"], task.cancel)
        outcome = await task
        await bench.close()
        return outcome

    return clock.run(main())


def ask_again(path: Path, config: dict[str, Any], faults: list[Fault]) -> list[Online]:
    """What `check --online` asks of the written configuration, on the same park."""
    written, clock = effective(path), VirtualClock(NOON)

    async def main() -> list[Online]:
        bench = Bench(config, clock, faults)
        await bench.open()
        found = []
        for entry in written["lines"]:
            port = next(bench.ports[name] for name, url in PORTS.items() if url == entry["port"])
            found += await ask_line(written, entry, line_of(written, entry, port, clock))
        await bench.close()
        return found

    return clock.run(main())


def a_park(tmp_path: Path, *meters: str) -> dict[str, Any]:
    path = tmp_path / "park.yaml"
    rows = "".join(f"  - {{line: east, {row}}}\n" for row in meters)
    path.write_text(
        "park: {id: p, schedules: [zj-2026]}\ngateway: {id: g}\nmqtt: {url: 'mqtt://127.0.0.1:1883'}\n"
        f"lines:\n  - {{id: east, port: /dev/ttyS-east, baud: 2400, framing: 8E1}}\nmeters:\n{rows}"
    )
    return effective(path)


def key(one: Found) -> tuple[str, str, int, str]:
    return (one.protocol, one.name, one.settings.baud, one.settings.framing)


def test_sixty_meters_on_two_lines_are_found_and_the_written_configuration_is_answered(tmp_path: Path) -> None:
    config, faults = sixty(tmp_path)
    written = tmp_path / "written.yaml"
    silent = {fault.target for fault in faults if fault.kind == "silent"}
    assert len(silent) == 20
    for line in ("east", "west"):
        outcome = scan_line(config, faults, line, Search(first_steps()))
        expected = {
            (m["protocol"], m["address"] or f"unit {m['unit']}", m["baud"], m["framing"]): m["model"]
            for m in config["meters"]
            if m["line"] == line and m["id"] not in silent
        }
        assert {key(one) for one in outcome.found} == set(expected)
        assert {one.name for one in outcome.found if one.count > 1} == ({"202208310148"} if line == "east" else set())
        for one in outcome.found:
            assert one.model == expected[key(one)]
            assert not one.others
        assert outcome.stopped is None
        assert outcome.seconds < 1.2 * outcome.minimum_s  # 1156 s of 1027 s and 748 s of 653 s as of writing
        count, left_out = append(written, PORTS[line], line, outcome.found)
        assert (count, len(left_out)) == ((19, 1) if line == "east" else (20, 0))
    answers = ask_again(written, config, faults)
    assert len(answers) == 39
    assert [one.meter for one in answers if one.fault] == []


def test_two_meters_whose_low_digits_agree_are_told_apart(tmp_path: Path) -> None:
    config = a_park(
        tmp_path,
        'id: a, protocol: dlt645-2007, address: "202208310003"',
        'id: b, protocol: dlt645-2007, address: "202208990003"',
    )
    outcome = scan_line(config, [], "east", Search(first_steps(("dlt645-2007",), bauds=(2400,), framings=("8E1",))))
    assert sorted(one.name for one in outcome.found) == ["202208310003", "202208990003"]
    assert all(one.count == 1 for one in outcome.found)


def test_a_single_meter_is_found_by_the_first_question(tmp_path: Path) -> None:
    config = a_park(tmp_path, 'id: a, protocol: dlt645-2007, address: "202208310003"')
    outcome = scan_line(config, [], "east", Search(first_steps(("dlt645-2007",), bauds=(2400,), framings=("8E1",))))
    [found] = outcome.found
    assert found.register is not None
    assert outcome.seconds - 5.0 < 3.0  # after listening


def test_two_modbus_meters_with_one_unit_are_named(tmp_path: Path) -> None:
    config = a_park(tmp_path, "id: a, protocol: modbus, unit: 7, model: acrel-dtsd1352, baud: 9600, framing: 8N1")
    faults = [Fault("duplicate", "a", amount=0.004)]
    search = Search(first_steps(("modbus",), bauds=(9600,), framings=("8N1",), units=(6, 7, 8)))
    [found] = scan_line(config, faults, "east", search).found
    assert (found.unit, found.count, found.model) == (7, 2, None)


def test_a_bus_with_another_master_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    config = a_park(tmp_path, 'id: a, protocol: dlt645-2007, address: "202208310003"')
    outcome = scan_line(config, [Fault("other_master", "east", amount=1.0)], "east", Search(first_steps()))
    assert outcome.other_master is not None
    assert outcome.other_master.startswith("68030031082220")
    assert outcome.questions == 0


def test_a_search_that_is_aborted_keeps_what_it_found(tmp_path: Path) -> None:
    config, faults = sixty(tmp_path)
    outcome = scan_line(config, faults, "west", Search(first_steps()), cancel_after=30.0)
    assert outcome.interrupted
    assert len(outcome.found) == 5
    assert as_object("p", outcome, [])["complete"] is False


def test_the_first_questions_are_wildcards_in_the_order_in_which_meters_are_delivered() -> None:
    search = Search(first_steps())
    first = [search.next() for _ in range(3)]
    assert [(step.kind, step.protocol, step.settings.baud) for step in first if step] == [
        ("wildcard", "dlt645-2007", 2400),
        ("wildcard", "dlt645-1997", 1200),
        ("wildcard", "dlt645-2007", 9600),
    ]
    assert short_address("0148") == "AAAAAAAA0148"
    assert all(104 not in step.units for step in first_steps())


def test_units_of_a_speed_at_which_one_was_found_come_next() -> None:
    search = Search(first_steps(("modbus",)))
    search.found("modbus", Settings.parse(4800, "8E1"))
    step = search.next()
    assert step is not None
    assert (step.settings.baud, step.settings.framing) == (4800, "8E1")


def found_one(address: str = "202208310003", **more: Any) -> Found:
    return Found("dlt645-2007", address, None, Settings.parse(2400, "8E1"), model="dlt645-2007", certain=True, **more)


def test_appending_to_yaml_changes_no_line_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    sample = Path("config/samples/small.yaml").read_text()
    path.write_text(sample)
    count, left_out = append(path, "/dev/ttyRS485-1", None, [found_one(), found_one("202208310777")])
    assert count == 1
    assert [one.address for one, _ in left_out] == ["202208310003"]
    added = [line for line in path.read_text().splitlines() if line not in sample.splitlines()]
    assert added == [
        '  - {id: m-310777, line: east, protocol: dlt645-2007, address: "202208310777", '
        "room: null, tenant: null, multiplier: null}"
    ]
    assert [line for line in sample.splitlines() if line not in path.read_text().splitlines()] == []


def test_a_configuration_that_would_be_refused_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("park: {id: P}\nlines: []\nmeters: []\n")
    before = path.read_bytes()
    with pytest.raises(NotWritten):
        append(path, "/dev/ttyS9", None, [found_one()])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_appending_to_a_table_keeps_its_columns_and_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "meters.csv"
    path.write_bytes("房号,编号,线路,规约,通讯地址,备注\r\n".replace(",备注", "").encode("gb18030"))
    count, _ = append(path, "/dev/ttyRS485-1", "east", [found_one()])
    assert count == 1
    rows = list(csv.reader(path.read_text("gb18030").splitlines()))
    assert rows[0][:5] == ["房号", "编号", "线路", "规约", "通讯地址"]
    assert rows[1][:5] == ["", "m-310003", "east", "dlt645-2007", '="202208310003"']


def test_labels_are_matched_by_their_last_digits(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("表号,房号\n310003,1-101\n00099999,1-102\n", encoding="utf-8")
    found = found_one()
    assert [label.number for label in match(read_labels(path), [found])] == ["00099999"]
    assert found.room == "1-101"
    assert fits("12", "12")
    assert not fits("03", "202208310003")  # too few digits to say
    assert match([Label("0003", "x")], [found_one("1990003"), found_one("2990003")]) == []


def test_the_sheet_is_sorted_by_last_digits_and_escapes_what_it_shows(tmp_path: Path) -> None:
    one, other = found_one("000000000019"), found_one("000000000091", room="<b>")
    path = tmp_path / "sheet.html"
    write_sheet(path, "/dev/ttyUSB0", [one, other], [Label("4711", "2-201")])
    page = path.read_text(encoding="utf-8")
    assert page.index("000000000091") < page.index("000000000019") < page.index("4711")
    assert "&lt;b&gt;" in page
    assert "<script" not in page


def test_every_shipped_model_can_be_asked_for() -> None:
    assert {"acrel-dtsd1352", "abb-b23"} <= {model.id for model in meter_models()}


def test_a_model_of_the_site_is_known_to_scan(tmp_path: Path) -> None:
    shipped = (SHIPPED / "acrel-dtsd1352.yaml").read_text(encoding="utf-8")
    (tmp_path / "ours" / "meters").mkdir(parents=True)
    own = tmp_path / "ours" / "meters" / "acrel-of-ours.yaml"
    own.write_text(shipped.replace("id: acrel-dtsd1352\nalso: [acrel-adl3000]", "id: acrel-of-ours"), encoding="utf-8")
    site = tmp_path / "site.yaml"
    site.write_text("site_files: ours\n", encoding="utf-8")  # nothing else of it is looked at
    config = a_park(tmp_path, "id: a, protocol: modbus, unit: 3, model: acrel-dtsd1352")
    steps = first_steps(("modbus",), bauds=(2400,), framings=("8E1",), units=(3,))
    [found] = scan_line(config, [], "east", Search(steps), models=meter_models(site)).found
    assert {found.model, *found.others} == {"acrel-dtsd1352", "acrel-of-ours"}
    own.write_text("id: [", encoding="utf-8")
    meter_models.cache_clear()
    with pytest.raises(Failure, match=r"acrel-of-ours\.yaml") as refused:
        meter_models(site)
    assert refused.value.exit_code == 78


def figures() -> None:
    """When the meters of the park of sixty were found, beside the least time that the same questions take."""
    with tempfile.TemporaryDirectory() as directory:
        config, faults = sixty(Path(directory))
        for line in ("east", "west"):
            found_at: list[tuple[float, Found]] = []
            outcome = scan_line(config, faults, line, Search(first_steps()), found_at=found_at)
            times = [at_s for at_s, _ in found_at]
            pair = [f"{at_s:.0f}" for at_s, one in found_at if one.count > 1]
            row = (line, len(times), *(f"{times[at]:.0f}" for at in (0, len(times) // 2, -1)), *(pair or ["–"]))
            whole = (f"{outcome.seconds:.0f}", f"{outcome.minimum_s:.0f}", f"{outcome.seconds / outcome.minimum_s:.2f}")
            sys.stdout.write("| " + " | ".join(map(str, (*row, outcome.questions, *whole))) + " |\n")


if __name__ == "__main__":
    figures()
