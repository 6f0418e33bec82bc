"""Gaps filled from a simulated meter's memory: what is asked, what it is dated by, what is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest

from agent.polling.airtime import Airtime
from agent.polling.backfill import COUNT, MOST_FAILURES, Backfill
from agent.polling.idle import Idle
from agent.reading import Backfilled, Finding, Observation, Witness
from drivers.clock import VirtualClock
from drivers.dlt645.frame import decode, encode
from drivers.dlt645.memory import Dlt645Memory, settlement_moment
from drivers.dlt645.meter import Dlt645Meter
from drivers.errors import Refused, Silent, Unexpected
from drivers.exchange import Answer, Exchange
from drivers.meter import Look
from drivers.redecode import Redecoder
from simulators.dlt645_meter import Dlt645Meter as Simulated
from simulators.park import Truth

NOON = 1_783_310_400_000  # 2026-07-06T04:00:00Z, 12:00 in the park
STEP_MS, HOUR_MS, DAY_MS = 900_000, 3_600_000, 86_400_000
METER = {
    "id": "m1", "line": "east", "protocol": "dlt645-2007", "address": "202208310003", "unit": None, "model": None,
    "baud": 2400, "framing": "8E1", "serial": None, "ct": None, "pt": None, "digits": 6, "max_a": "60", "phases": 3,
    "class": None, "certificate": None, "verified_until": None, "seal": None, "room": None,
}  # fmt: skip
CONFIG = {
    "settings": {"utc_offset": "+08:00", "interval_s": 900}, "meters": [METER],
    "points": [{"id": "m1", "role": "tenant", "parent": None, "register": "import", "account": None, "schedule": None,
                "meters": [{"meter": "m1", "from": None, "to": None, "multiplier": "1"}]}],
    "tenancies": [], "lines": [],
}  # fmt: skip


class Wire:
    """A simulated meter without a line. spoil: what happens to a reply, None for silence."""

    def __init__(self, clock: VirtualClock, **options: Any) -> None:
        self.truth = Truth(CONFIG, 3)
        self.meter = Simulated(self.truth, METER, wake=0, **options)
        self.meter.memory.clock_ms = 0
        self.clock = clock
        self.asked: list[str] = []
        self.spoil: Callable[[bytes], bytes | None] = lambda reply: reply

    async def exchange(self, exchange: Exchange) -> Answer:
        frame = decode(exchange.request)
        self.asked.append(f"{frame.control:02X} {frame.data[3::-1].hex().upper()}")
        reply = self.meter.hear(exchange.request, self.clock.wall_ms())
        data = None if reply is None else self.spoil(reply.data)
        found = exchange.reader().feed(data) if data else None
        if found is None:
            raise Silent("no answer")
        self.clock.step(150)
        return Answer(exchange.request, found, 0, self.clock.wall_ms(), 0.0)

    def lacks(self, *prefixes: str) -> None:
        """Refuses items that begin like these."""

        def refusing(reply: bytes) -> bytes:
            last = self.asked[-1].split()[1]
            if not last.startswith(prefixes):
                return reply
            frame = decode(reply)
            return encode(type(frame)(frame.address, 0xD1, b"\x02"))

        self.spoil = refusing


class Play:
    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock(NOON)
        self.wire = Wire(self.clock, **options)
        self.found: list[Finding] = []
        self.meter = Dlt645Meter("m1", METER["address"], "2007", self.wire, frozenset({"import"}))
        self.backfill = Backfill(
            [self.meter], interval_s=900, utc_offset_s=28800, clock=self.clock, put=self.put, last_ms={"m1": NOON}
        )

    async def put(self, finding: Finding) -> None:
        self.found.append(finding)

    def work(self) -> tuple[Witness, ...]:
        """Everything that there is to do; gives what was found."""
        run(self._work())
        assert self.backfill.waiting == 0
        witnesses = [found.witnesses for found in self.found if isinstance(found, Backfilled)]
        return witnesses[-1] if witnesses else ()

    async def _work(self) -> None:
        for _ in range(5000):
            if not await self.backfill.step():
                return

    def back_after(self, ms: int) -> None:
        """The meter is read again after so long."""
        self.clock.step(ms)
        at_ms = self.clock.wall_ms()
        look = Look({"import": Decimal(1)}, [Answer(b"", b"", 0, at_ms, 0.0)], frozenset())
        self.backfill.saw(Observation("m1", at_ms, 0, "disciplined", 5, look, look, 1))

    def truth(self, at_ms: int) -> Decimal:
        return self.wire.truth.registers("m1", at_ms)["import"]


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def test_every_slot_of_an_outage_comes_from_the_load_profile_as_the_meter_had_it():
    play = Play()
    play.back_after(DAY_MS)
    witnesses = play.work()
    slots = [round(witness.at_ms / STEP_MS) for witness in witnesses]
    assert slots == list(range(NOON // STEP_MS + 1, NOON // STEP_MS + 96))
    for witness in witnesses:
        slot_ms = round(witness.at_ms / STEP_MS) * STEP_MS
        assert abs(witness.at_ms - slot_ms) <= 1000  # the meter's clock shows whole seconds
        assert witness.registers["import"] == play.truth(slot_ms)
        assert witness.method == "load_profile"
        assert {"checksum", "bcd", "confirmed", "plausible"} <= set(witness.checks)
        assert witness.source.exchanges
        assert witness.source.confirm
        assert witness.source.exchanges[0].request != witness.source.confirm[0].request
        assert witness.source.meter_clock is not None


def test_records_are_dated_by_the_meters_clock_and_how_far_it_is_off():
    play = Play()
    play.wire.meter.memory.clock_ms = 400_000  # fast by 6 min 40 s
    play.back_after(DAY_MS)
    witnesses = play.work()
    assert len(witnesses) >= 95
    for witness in witnesses:
        taken_ms = round((witness.at_ms + 400_000) / STEP_MS) * STEP_MS - 400_000
        assert abs(witness.at_ms - taken_ms) <= 1000
        assert witness.registers["import"] == play.truth(taken_ms)


def test_a_meter_whose_clock_dates_nothing_is_left_alone():
    play = Play()
    play.wire.meter.memory.clock_ms = 5 * HOUR_MS
    play.back_after(DAY_MS)
    assert play.work() == ()
    assert not [asked for asked in play.wire.asked if asked.startswith("11 06")]


def test_answers_in_many_parts_are_put_together():
    play = Play(longest_data=60)
    play.back_after(6 * HOUR_MS)
    assert len(play.work()) == 23
    assert any(asked.startswith("12") for asked in play.wire.asked)


def test_records_that_a_power_cut_left_out_are_stepped_over():
    play = Play()
    cut = range(NOON // STEP_MS + 20, NOON // STEP_MS + 60)
    was_off = play.wire.meter.memory._was_off
    play.wire.meter.memory._was_off = lambda t_ms: t_ms // STEP_MS in cut or was_off(t_ms)  # type: ignore[method-assign]
    play.back_after(DAY_MS)
    slots = {round(witness.at_ms / STEP_MS) for witness in play.work()}
    assert slots == set(range(NOON // STEP_MS + 1, NOON // STEP_MS + 96)) - set(cut)


def test_without_a_load_profile_whole_hours_and_days_come_from_freezes():
    play = Play()
    play.wire.lacks("06")
    play.back_after(3 * DAY_MS)
    witnesses = play.work()
    hours = {round(witness.at_ms / HOUR_MS) for witness in witnesses}
    assert hours == set(range(NOON // HOUR_MS + 1, NOON // HOUR_MS + 72))
    assert {witness.method for witness in witnesses} == {"freeze"}
    for witness in witnesses:
        assert witness.registers["import"] == play.truth(round(witness.at_ms / HOUR_MS) * HOUR_MS)


def test_of_an_hourly_freeze_every_register_that_bills_is_asked_for_again():
    play = Play()
    meter = Dlt645Meter("m1", METER["address"], "2007", play.wire, frozenset({"import", "export"}))
    hour = run(Dlt645Memory(meter).hour(1))
    assert hour.registers.keys() == {"import", "export"}
    assert [asked[3:] for asked in play.wire.asked] == ["0504FF01", "05040001", "05040101", "05040201"]

    def spoil(reply: bytes) -> bytes:
        if not play.wire.asked[-1].endswith("05040201"):
            return reply
        frame = decode(reply)
        return encode(type(frame)(frame.address, frame.control, frame.data[:-1] + b"\x07"))

    play.wire.spoil = spoil
    with pytest.raises(Unexpected):
        run(Dlt645Memory(meter).hour(1))


def test_daily_freezes_alone_give_the_midnights():
    play = Play()
    play.wire.lacks("06", "0504")
    play.back_after(5 * DAY_MS)
    witnesses = play.work()
    midnight = NOON + 12 * HOUR_MS
    assert [round(witness.at_ms / HOUR_MS) for witness in witnesses] == [
        (midnight + day * DAY_MS) // HOUR_MS for day in range(5)
    ]
    assert all("tariff_sum" in witness.checks for witness in witnesses)


@pytest.mark.parametrize("lacks", [(), ("06",), ("06", "0504"), ("06", "05")])
def test_what_a_meter_kept_is_decoded_again_from_its_frames_by_its_date(lacks: tuple[str, ...]):
    """Load records in several frames, hourly and daily freezes, settlement days."""
    play = Play()
    if lacks:
        play.wire.lacks(*lacks)
    play.back_after(40 * DAY_MS if "05" in lacks else 3 * DAY_MS)
    witnesses = play.work()
    assert witnesses
    assert lacks or any(len(witness.source.exchanges) > 1 for witness in witnesses)
    decoded = Redecoder()
    for witness in witnesses:
        source, reading = asdict(witness.source), {"meter": "m1", "method": witness.method}
        assert decoded(CONFIG | {"models": []}, reading, source) == witness.registers
        again = decoded(CONFIG | {"models": []}, reading, source | {"exchanges": source["confirm"]})
        assert again is not None
        assert again.items() <= witness.registers.items()
        if "05" not in lacks:  # a settlement bears no date
            other = source | {"meter_clock": "2026-07-01 00:00:00"}
            assert decoded(CONFIG | {"models": []}, reading, other) == {}


def test_a_meter_that_remembers_nothing_gives_nothing():
    play = Play()
    play.wire.lacks("06", "05", "04000B")
    play.back_after(2 * DAY_MS)
    assert play.work() == ()


def test_two_answers_that_differ_confirm_nothing():
    play = Play()
    count = 0

    def changing(reply: bytes) -> bytes:
        """Every second answer says another energy, with right sums: a fault that no checksum shows."""
        nonlocal count
        frame = decode(reply)
        if frame.control & 0x1F != 0x11 or not frame.data.startswith(bytes.fromhex("01000406")):
            return reply
        count += 1
        if count % 2:
            return reply
        body = bytearray(frame.data)
        second = 4 + body[6] + 5  # where the second record begins: the first is of noon, before the outage
        if len(body) <= second:
            return reply
        body[second + 3 + 5 + 3] ^= 0x01  # behind its head and date and the ends of three classes
        end = second + body[second + 2] + 5
        body[end - 2] = sum(body[second : end - 2]) & 0xFF
        return encode(type(frame)(frame.address, frame.control, bytes(body)))

    play.wire.spoil = changing
    play.back_after(HOUR_MS)
    slots = {round(witness.at_ms / STEP_MS) for witness in play.work()}
    assert NOON // STEP_MS + 1 not in slots


def test_a_silent_meter_is_put_off_and_given_up_at_last():
    play = Play()
    play.back_after(DAY_MS)
    play.wire.spoil = lambda reply: None
    for _ in range(MOST_FAILURES):
        run(play._work())
        play.clock.step(2 * HOUR_MS)
    assert play.backfill.waiting == 0
    assert play.found == []
    assert len(play.wire.asked) <= 2 * MOST_FAILURES


def test_a_step_that_the_sweep_breaks_off_is_done_again():
    play = Play()
    play.back_after(DAY_MS)
    idle = Idle([play.backfill])
    exchange, calls = play.wire.exchange, 0

    async def slow(asked: Exchange) -> Answer:
        nonlocal calls
        calls += 1
        if calls % 5 == 0:
            await asyncio.sleep(60)  # longer than the sweep leaves
        return await exchange(asked)

    play.meter._bus.exchange = slow  # type: ignore[method-assign]

    airtime = Airtime(lambda: asyncio.get_running_loop().time())

    async def work() -> None:
        while play.backfill.waiting:
            assert await idle.work(10.0, airtime)

    VirtualClock(NOON).run(work())
    broken_off = calls // 5
    assert airtime.spent_s["backfill"] == pytest.approx(6.0 * broken_off), "up to four seconds before each sweep"
    [found] = play.found
    assert isinstance(found, Backfilled)
    assert len(found.witnesses) == 95


async def test_nothing_is_begun_shortly_before_a_sweep():
    play = Play()
    play.back_after(DAY_MS)
    assert not await Idle([play.backfill]).work(5.0, Airtime(lambda: 0.0))
    assert play.wire.asked == []


def test_readings_without_an_outage_ask_for_nothing():
    play = Play()
    for _ in range(10):
        play.back_after(STEP_MS)
    assert play.backfill.waiting == 0


@pytest.mark.parametrize(
    ("day_hour", "now", "back", "at"),
    [
        ("0100", "2026-07-06 12:00:00", 1, "2026-07-01 00:00"),
        ("0100", "2026-07-06 12:00:00", 7, "2026-01-01 00:00"),
        ("0100", "2026-07-06 12:00:00", 8, "2025-12-01 00:00"),
        ("2523", "2026-07-06 12:00:00", 1, "2026-06-25 23:00"),
        ("2523", "2026-07-25 23:00:00", 1, "2026-07-25 23:00"),
        ("9999", "2026-07-06 12:00:00", 1, None),
        ("3100", "2026-07-06 12:00:00", 1, None),
        ("0100", "2026-07-06 12:00:00", 13, None),
    ],
)
def test_settlement_moments_are_those_of_the_meters_calendar(day_hour: str, now: str, back: int, at: str | None):
    assert settlement_moment(day_hour, now, back) == at


def test_an_old_meter_has_no_memory_to_read():
    old = Dlt645Meter("m", "000000063301", "1997", Wire(VirtualClock(NOON)), frozenset({"import"}))
    with pytest.raises(ValueError, match="1997"):
        Dlt645Memory(old)


def test_filler_in_a_freeze_is_no_value():
    play = Play()
    play.wire.spoil = lambda reply: _filler(reply)
    with pytest.raises(Unexpected):
        run(Dlt645Memory(play.meter).hour(1))
    play.wire.lacks("05")
    with pytest.raises(Refused):
        run(Dlt645Memory(play.meter).day(1))
    assert COUNT == 9


def _filler(reply: bytes) -> bytes:
    frame = decode(reply)
    return encode(type(frame)(frame.address, frame.control, frame.data[:4] + b"\xff" * (len(frame.data) - 4)))
