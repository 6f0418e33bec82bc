"""hubiao commission with a scripted person: displays, load between, plate, clamps, papers; the event and the sheet."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from benches import NOON, Bench, effective

from agent.cli.check_online import line_of
from agent.cli.commission import Visit, hand_over
from agent.cli.commission_sheet import write_sheet
from agent.evidence.keys import create_key
from agent.field.commissioning import Acceptance, Phase, Sight, hint, ratio_of, same_ratio
from agent.ledger.inbox import read_order
from drivers.clock import VirtualClock
from simulators.faults import Fault

TRAINING = Path(__file__).parents[2] / "config" / "samples" / "training.yaml"


class Person:
    """Reads the display as the truth shows it, and answers everything else from `answers` by a word of the question.

    wrong: added to what the display shows. clamp: part of the true current that the clamp shows.
    """

    def __init__(self, bench: Bench, meter: dict[str, Any], clock: VirtualClock, **answers: str) -> None:
        self.bench, self.entry, self.clock = bench, meter, clock
        self.answers = answers
        self.wrong = Decimal(answers.pop("wrong", "0"))
        self.clamp = Decimal(answers.pop("clamp", "1"))
        self.said: list[str] = []

    def ask(self, question: str, default: str) -> str:
        truth, name = self.bench.site.truth, self.entry["id"]
        if "display" in question:
            return str(truth.registers(name, self.clock.wall_ms())["import"].quantize(Decimal("0.1")) + self.wrong)
        if "put load on" in question:
            self.clock.move(600)  # ten minutes of the park's load
            return ""
        if match := re.search(r"clamp on phase (.)", question):
            current = truth.live(name, self.clock.wall_ms())[f"current_{match[1].lower()}"]
            return str((abs(current) * ratio_of(self.entry["ct"]) * self.clamp).quantize(Decimal("0.1")))
        return next((text for word, text in self.answers.items() if word in question), default)


def visit(meter: str, *faults: Fault, **answers: str) -> tuple[Acceptance | None, list[str]]:
    config, clock = effective(TRAINING), VirtualClock(NOON)
    entry = next(one for one in config["meters"] if one["id"] == meter)

    async def main() -> tuple[Acceptance | None, list[str]]:
        bench = Bench(config, clock, list(faults))
        await bench.open()
        person = Person(bench, entry, clock, **answers)
        line_entry = next(one for one in config["lines"] if one["id"] == entry["line"])
        line = line_of(config, line_entry, bench.ports[entry["line"]], clock)
        await line.open()
        seen = await Visit(config, person.ask, person.said.append, "Wang").meter(entry, line, clock)
        await line.close()
        await bench.close()
        return seen, person.said

    return clock.run(main())


def test_a_meter_whose_display_plate_and_clamps_agree_is_accepted() -> None:
    for meter in ("m-100", "m-104", "m-201", "m-203"):
        seen, said = visit(meter, seals="S-1", photo="a.jpg, b.jpg")
        assert seen is not None
        assert seen.faults == [], said
        assert seen.accepted
        assert seen.sights[1].before > seen.sights[0].before
        assert seen.at.startswith("2026-07-06 12:")  # in the park
        assert (seen.seal, seen.photos) == ("S-1", ["a.jpg", "b.jpg"])
        assert [phase.name for phase in seen.phases] == ["a", "b", "c"] if meter != "m-104" else seen.phases


def test_a_display_that_says_something_else_speaks_against_accepting() -> None:
    seen, said = visit("m-101", wrong="7")
    assert seen is not None
    assert len(seen.faults) == 2
    assert not seen.accepted
    assert any("does not agree" in text for text in said)


def test_another_plate_than_configured_speaks_against_accepting() -> None:
    seen, _ = visit("m-100", plate="300/5", clamp="1.5")
    assert seen is not None
    assert [en for _, en in seen.faults] == ["the CT plate says 300/5, configured is 200/5"]


def test_a_clamp_that_shows_half_names_the_phases() -> None:
    seen, _ = visit("m-100", clamp="0.5")
    assert seen is not None
    assert [en.split(":")[0] for _, en in seen.faults] == ["phase A", "phase B", "phase C"]


def test_a_reversed_transformer_is_seen_by_its_negative_power() -> None:
    seen, _ = visit("m-102", Fault("phase_reversed", "m-102", amount=3))
    assert seen is not None
    assert [en for _, en in seen.faults] == ["phase C counts backwards: CT turned round?"]


def test_a_silent_meter_is_passed_over_with_the_cause() -> None:
    seen, said = visit("m-101", Fault("silent", "m-101"))
    assert seen is None
    assert any("no answer from m-101" in text for text in said)


def test_the_accepted_event_is_left_for_the_agent_and_a_refused_one_is_not(tmp_path: Path) -> None:
    seen, _ = visit("m-100", seals="S-1")
    assert seen is not None
    path = hand_over(tmp_path, seen, NOON)
    assert path is not None
    [event] = read_order(path).events
    assert (event.scope, event.id, event.code) == ("meter", "m-100", "accepted")
    assert event.details["ct_plate"] == "200/5"
    assert event.details["who"] == "Wang"
    seen.accepted = False
    assert hand_over(tmp_path, seen, NOON) is None


def test_the_sheet_names_the_key_and_escapes_what_people_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Acceptance(
        "m-100", "202208310002", [Sight(Decimal("1.00"), Decimal("1.0"), Decimal("1.01"))], remarks="<script>"
    )
    sheet = tmp_path / "sheet.html"
    config = {"settings": {"park": "xihu-01", "gateway": "gw-1"}, "private": {"park_name": "西湖"}}
    write_sheet(sheet, config, [seen], tmp_path)
    for text in ("西湖 · gw-1", "202208310002"):
        assert text in sheet.read_text("utf-8")
    assert "hubiao key init" in sheet.read_text("utf-8")
    create_key(tmp_path)
    write_sheet(sheet, config, [seen], tmp_path)
    page = sheet.read_text("utf-8")
    assert re.search(r"<code>[A-Za-z0-9+/]{43}=</code>", page)
    assert "<script>" not in page
    assert "<svg" in page
    monkeypatch.setitem(sys.modules, "segno", None)
    write_sheet(sheet, config, [seen], tmp_path)
    assert "a QR code needs hubiao[field]" in sheet.read_text("utf-8")


def test_a_display_must_lie_between_the_readings_around_it() -> None:
    assert Sight(Decimal("12.34"), Decimal("12.3"), Decimal("12.34")).agrees
    assert Sight(Decimal("12.34"), Decimal("12.4"), Decimal("12.41")).agrees
    assert not Sight(Decimal("12.34"), Decimal("12.6"), Decimal("12.41")).agrees
    assert Sight(Decimal("12.34"), Decimal("12"), Decimal("12.34")).agrees


def test_hints_name_a_factor_of_ten_and_the_multiplier() -> None:
    ten = hint(Sight(Decimal("100.00"), Decimal(1000), Decimal("100.00")), Decimal(40))
    primary = hint(Sight(Decimal("100.00"), Decimal(4000), Decimal("100.00")), Decimal(40))
    assert ten is not None
    assert "factor of 10:" in ten[1]
    assert primary is not None
    assert "primary" in primary[1]
    close = hint(Sight(Decimal("166304.90"), Decimal("166304.88"), Decimal("166304.90")), Decimal(1))
    assert close is not None
    assert "look again" in close[1]
    assert same_ratio("200/5", "40/1")
    assert not same_ratio("", "200/5")
    assert Phase("a", Decimal(10), None, Decimal("9.5")).agrees
    assert not Phase("a", Decimal(10), None, Decimal(8)).agrees
