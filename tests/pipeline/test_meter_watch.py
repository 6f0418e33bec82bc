"""What meters tell besides registers, against simulated meters: counters, clocks, namesakes, phases."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.polling.watch import DAY_MS, HOUR_MS, TASKS, PeriodOf, Watch, backward, missing_phases
from agent.reading import Finding, Happened, Missed, Observation, Stated
from drivers.clock import VirtualClock
from drivers.dlt645.meter import Dlt645Meter
from drivers.errors import Garbled, Silent
from drivers.exchange import Answer, Exchange
from drivers.meter import Look
from drivers.quantities import RegisterValue
from simulators.dlt645_meter import Dlt645Meter as Simulated
from simulators.faults import Fault, Faults
from simulators.park import Truth

NOON = 1_783_310_400_000  # 2026-07-06T04:00:00Z
METER = {
    "id": "m1", "line": "east", "protocol": "dlt645-2007", "address": "202208310003", "unit": None, "model": None,
    "baud": 2400, "framing": "8E1", "serial": None, "ct": "200/5", "pt": None, "digits": 6, "max_a": "6", "phases": 3,
    "class": None, "certificate": None, "verified_until": None, "seal": None, "room": None,
}  # fmt: skip
CONFIG = {
    "settings": {"utc_offset": "+08:00", "interval_s": 900}, "meters": [METER],
    "points": [{"id": "m1", "role": "tenant", "parent": None, "register": "import", "account": None, "schedule": None,
                "meters": [{"meter": "m1", "from": None, "to": None, "multiplier": "40"}]}],
    "tenancies": [], "lines": [],
}  # fmt: skip


class Wire:
    """A bus of one simulated meter without a line; `twice`: a namesake answers too."""

    def __init__(self, faults: Faults, clock: VirtualClock) -> None:
        self.meter = Simulated(Truth(CONFIG, 1, faults=faults), METER, wake=0)
        self.meter.memory.clock_ms = 0
        self.clock = clock
        self.twice = False
        self.twice_once = False
        self.asked = 0

    async def exchange(self, exchange: Exchange) -> Answer:
        self.asked += 1
        reply = self.meter.hear(exchange.request, self.clock.wall_ms())
        reader = exchange.reader()
        if reply is None:
            raise Silent("no answer")
        found = reader.feed(reply.data * (2 if self.twice or self.twice_once else 1))
        if found is None:
            self.twice_once = False
            raise Garbled("no answer among it")
        return Answer(exchange.request, found, 0, self.clock.wall_ms(), 0.0)


class Play:
    """A watch with what it found; virtual time moves by `at`."""

    def __init__(
        self,
        data: Path,
        faults: list[Fault] | None = None,
        period_of: PeriodOf | None = None,
        one_way: tuple[str, ...] = ("m1",),
    ) -> None:
        self.period_of, self.one_way = period_of, one_way
        self.faults = Faults(faults or [])
        self.clock = VirtualClock(NOON)
        self.wire = Wire(self.faults, self.clock)
        self.found: list[Finding] = []
        self.data = data
        self.watch = self.start()

    def start(self) -> Watch:
        meter = Dlt645Meter("m1", METER["address"], "2007", self.wire, frozenset({"import"}))
        watch = Watch(
            "east",
            [meter],
            directory=self.data,
            utc_offset_s=28800,
            clock=self.clock,
            put=self.put,
            period_of=self.period_of,
            one_way=self.one_way,
        )
        watch.saw(_answering())
        return watch

    async def put(self, finding: Finding) -> None:
        self.found.append(finding)

    def work(self) -> list[Finding]:
        """Everything that is due now."""
        self.found.clear()
        loop = asyncio.new_event_loop()
        try:
            while loop.run_until_complete(self.watch.step()):
                pass
        finally:
            loop.close()
        return list(self.found)

    def later(self, ms: int) -> list[Finding]:
        self.clock.step(ms)
        return self.work()


def _answering() -> Observation:
    look = Look({"import": Decimal(1)}, [Answer(b"", b"", 0, NOON, 0.0)], frozenset())
    return Observation("m1", NOON, 0, "disciplined", 5, look, look, 1)


def codes(found: list[Finding]) -> list[str]:
    return [one.code for one in found if isinstance(one, Happened)]


def test_a_meter_says_who_it_is_at_the_start_and_every_day(tmp_path: Path):
    play = Play(tmp_path)
    [stated] = [one for one in play.work() if isinstance(one, Stated)]
    assert (stated.meter, stated.ratios) == ("m1", {"ct": Decimal(40)})
    assert stated.serial is not None
    assert not [one for one in play.later(HOUR_MS) if isinstance(one, Stated)]
    assert [one for one in play.later(DAY_MS) if isinstance(one, Stated)]


def test_a_meter_that_does_not_answer_is_asked_nothing_more(tmp_path: Path):
    play = Play(tmp_path)
    play.watch.saw(Missed("m1", NOON, "timeout", ""))
    assert play.work() == []
    assert play.wire.asked == 0


@pytest.mark.parametrize("kind", ["cover_open", "terminal_open", "programmed", "cleared"])
def test_a_counter_that_rises_is_an_event_with_the_meters_own_time(tmp_path: Path, kind: str):
    play = Play(tmp_path, [Fault(kind, "m1", NOON + HOUR_MS, NOON + HOUR_MS + 60_000)])
    assert codes(play.work()) == []
    found = [one for one in play.later(DAY_MS + 1) if isinstance(one, Happened)]
    assert [one.code for one in found] == [kind]
    details: dict[str, Any] = dict(found[0].details)
    assert (details["before"], details["count"]) == ("0", "1")
    assert details["meter_clock"] == "2026-07-06 13:00:00"
    assert (found[0].from_ms, found[0].to_ms) == (NOON, NOON + DAY_MS + 1)
    assert codes(play.later(DAY_MS)) == []


def test_a_cover_opened_while_the_gateway_was_off_shows_afterwards(tmp_path: Path):
    first = Play(tmp_path)
    first.work()
    second = Play(tmp_path, [Fault("cover_open", "m1", NOON + HOUR_MS, NOON + 2 * HOUR_MS)])
    assert codes(second.later(3 * DAY_MS)) == ["cover_open"]


def test_a_clock_far_off_is_an_event_once(tmp_path: Path):
    play = Play(tmp_path, [Fault("clock", "m1", NOON, None, 400.0)])
    [event] = [one for one in play.work() if isinstance(one, Happened)]
    assert event.code == "clock_dispute"
    assert abs(int(event.details["offset_s"]) - 400) <= 1
    assert codes(play.later(DAY_MS)) == []


def test_two_meters_of_one_address_are_noticed(tmp_path: Path):
    play = Play(tmp_path)
    play.wire.twice = True
    assert "duplicate_address" in codes(play.work())


def test_an_answer_heard_twice_only_once_is_no_namesake(tmp_path: Path):
    play = Play(tmp_path)
    play.wire.twice_once = True
    assert "duplicate_address" not in codes(play.work())
    assert not play.wire.twice_once


PROGRAM = (
    ("valley", 0),
    ("peak", 480),
    ("valley", 660),
    ("peak", 780),
    ("sharp", 1140),
    ("flat", 1260),
    ("valley", 1320),
)


def scheduled(day: tuple[tuple[str, int], ...]) -> PeriodOf:
    def period_of(meter: str, at_s: int) -> str | None:
        minute = (at_s + 28800) % 86400 // 60
        return [period for period, begins in day if begins <= minute][-1] if meter == "m1" else None

    return period_of


def test_a_tariff_program_that_agrees_with_the_schedule_is_no_event_whatever_its_numbers(tmp_path: Path):
    assert codes(Play(tmp_path, period_of=scheduled(PROGRAM)).work()) == []


def test_a_tariff_program_that_differs_from_the_schedule_is_an_event_once(tmp_path: Path):
    later_peak = tuple((period, 510 if begins == 480 else begins) for period, begins in PROGRAM)
    play = Play(tmp_path, period_of=scheduled(later_peak))
    [event] = [one for one in play.work() if isinstance(one, Happened)]
    assert event.code == "tariff_mismatch"
    assert str(event.details["meter"]).startswith("00:00 T4, 08:00 T2, 11:00 T4")
    assert str(event.details["schedule"]).startswith("00:00 valley, 08:30 peak")
    assert codes(play.later(DAY_MS)) == []


def test_a_day_that_the_schedule_does_not_classify_says_nothing_of_the_meter(tmp_path: Path):
    assert codes(Play(tmp_path, period_of=scheduled((("unclassified_holiday", 0),))).work()) == []


def test_a_reversed_transformer_is_an_event_where_energy_only_comes_in(tmp_path: Path):
    faults = [Fault("phase_reversed", "m1", NOON + HOUR_MS, None, 2)]
    for name in ("tenant", "master"):
        (tmp_path / name).mkdir()
    play = Play(tmp_path / "tenant", faults)
    assert codes(play.work()) == []
    [event] = [one for one in play.later(HOUR_MS + 1) if isinstance(one, Happened)]
    assert (event.code, event.details) == ("phase_reversed", {"phases": "b"})
    assert codes(play.later(HOUR_MS)) == []
    both_ways = Play(tmp_path / "master", faults, one_way=())
    assert codes(both_ways.later(2 * HOUR_MS)) == []


def test_power_that_only_flows_out_is_an_event_of_its_own():
    def powers(*kw: int) -> list[RegisterValue]:
        return [RegisterValue(f"power_{x}", Decimal(n), "kW", "0203FF00") for x, n in zip("abc", kw, strict=True)]

    assert backward(powers(0, 1, 2)) == {"phase_reversed": [], "reverse_flow": []}
    assert backward(powers(0, 1, -2)) == {"phase_reversed": ["c"], "reverse_flow": []}
    assert backward(powers(0, -1, -2)) == {"phase_reversed": [], "reverse_flow": ["b", "c"]}


def test_phases_are_kept_hourly_for_people(tmp_path: Path):
    play = Play(tmp_path)
    play.work()
    for _ in range(3):
        play.later(HOUR_MS)
    lines = (tmp_path / "telemetry" / "2026-07-06.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("2026-07-06T04:00:00.000Z,m1,voltage_a=")
    at_ms, values = play.watch.latest["m1"]
    assert at_ms == NOON + 3 * HOUR_MS
    assert {"voltage_a", "voltage_b", "voltage_c", "current_a"} <= {value.name for value in values}


def volts(*values: str) -> list[RegisterValue]:
    return [RegisterValue(f"voltage_{phase}", Decimal(v), "V", "") for phase, v in zip("abc", values, strict=False)]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        (("230.1", "229.0", "231.5"), []),
        (("230.1", "0.0", "231.5"), ["b"]),
        (("230.1", "0", "0"), []),  # a two-wire meter that says zero for what it has not
        (("230.1",), []),
        ((), []),
    ],
)
def test_a_phase_without_voltage_is_missing_if_two_others_have_one(values: tuple[str, ...], missing: list[str]):
    assert missing_phases(volts(*values)) == missing


def test_a_torn_file_of_counts_begins_anew(tmp_path: Path):
    (tmp_path / "watched-east.json").write_text('{"m1": {"0330')
    play = Play(tmp_path)
    assert codes(play.work()) == []
    assert len(TASKS) == 8


def test_a_disk_that_refuses_what_was_watched_stops_no_line(tmp_path: Path):
    """Met with a read-only disk: the line's task ended, and with it the agent."""
    play = Play(tmp_path / "gone" / "data")  # can neither be made nor written
    play.work()
    assert play.watch.latest
