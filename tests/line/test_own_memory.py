"""Slots of a line on which not even the looks fit into the window: from the meters' own memories."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from slotwise import LIMITS, SLOT_S, START_MS, by_slot, skew_ms, slots

from agent.cli.check_online import Online, ask_line
from agent.reading import Missed, Observation
from agent.validation import confirmed
from bench.paced import Accounted, Wire
from bench.parks import park
from bench.rack import Keeps
from bench.virtual import played_line
from drivers.clock import VirtualClock

TOLERANCE_MS = 9_000


def line_of(meters: int, keeps: str, **more: object) -> Wire:
    return Wire("dlt645", 2400, "8E1", meters, delay_s=0.2, tick_ms=5_000, keeps=keeps, **more)  # type: ignore[arg-type]


def slot_ms(observation: Observation) -> int:
    return observation.wall_ms - skew_ms(observation)


def right(bus: Accounted, finding: Observation) -> bool:
    """Whether the registers are what the meter showed at the instant."""
    number = int(finding.meter.rpartition("-")[2])
    near = {bus.rack.counts(number, finding.wall_ms + off_ms)[0] for off_ms in (-800, 0, 800)}
    return finding.registers["import"] * 100 in near


@pytest.mark.parametrize(
    ("keeps", "method"), [("load_profile", "load_profile"), ("freeze", "freeze"), ("timed", "freeze")]
)
def test_64_meters_at_2400_baud_are_all_measured_at_every_slot(keeps: str, method: str) -> None:
    found, bus = slots(line_of(64, keeps), 1.1)
    sweeps = list(by_slot(found).values())
    assert len(sweeps) == 4
    for sweep in sweeps:
        assert len({one.meter for one in sweep}) == len(sweep) == 64
        for one in sweep:
            assert isinstance(one, Observation)
            assert one.method == method
            assert confirmed(one, LIMITS)
            assert ("tariff_sum" in one.first.checks) == ("import_t4" in one.registers) == (keeps == "timed")
            assert abs(skew_ms(one)) <= 800
            assert one.heard_ms - slot_ms(one) < SLOT_S * 500
            assert right(bus, one)


NOTHING = Keeps()
ODD = [
    NOTHING,
    Keeps("load_profile", off_ms=20_000),
    Keeps("load_profile", off_ms=-20_000),
    Keeps("load_profile", filler=True),
    Keeps("freeze", filler=True),
    Keeps("load_profile", late_ms=SLOT_S * 1000 + 3_000),  # there only when the next one should be
]


@pytest.mark.parametrize("odd", ODD)
def test_a_meter_whose_memory_is_of_no_use_has_the_window_among_those_that_have_one(odd: Keeps) -> None:
    found, bus = slots(line_of(64, "load_profile"), 1.6, lambda bus: bus.rack.others.update({20: odd, 41: odd}))
    sweeps = list(by_slot(found).values())
    assert len(sweeps) == 6
    for number, sweep in enumerate(sweeps):
        assert {one.meter for one in sweep} == {f"m-0-{n}" for n in range(1, 65)}
        for one in sweep:
            assert isinstance(one, Observation)
            assert right(bus, one)
            is_odd = one.meter in ("m-0-20", "m-0-41")
            assert one.method == ("live" if is_odd else "load_profile")
            assert abs(skew_ms(one)) <= (TOLERANCE_MS if is_odd else 800), number


@pytest.mark.parametrize("late_s", [12, 50])
def test_a_record_that_is_written_late_is_waited_for(late_s: int) -> None:
    found, _ = slots(
        line_of(64, "load_profile"),
        1.1,
        lambda bus: bus.rack.others.update({1: Keeps("load_profile", late_ms=late_s * 1000)}),
    )
    for sweep in by_slot(found).values():
        assert all(isinstance(one, Observation) and one.method == "load_profile" for one in sweep)


def test_freezes_of_whole_hours_are_asked_for_at_whole_hours_only() -> None:
    hourly = {n: Keeps("freeze", step_ms=3_600_000) for n in range(1, 65)}
    found, _ = slots(line_of(64, ""), 2.1, lambda bus: bus.rack.others.update(hourly))
    sweeps = list(by_slot(found).values())
    for sweep in sweeps:
        [slot] = {slot_ms(one) for one in sweep if isinstance(one, Observation)}
        expected = "live" if slot % 3_600_000 else "freeze"
        assert {one.method for one in sweep if isinstance(one, Observation)} == {expected}
        inside = sum(abs(skew_ms(one)) <= TOLERANCE_MS for one in sweep if isinstance(one, Observation))
        assert inside >= (36 if expected == "live" else 64)


def test_a_memory_that_fails_is_left_for_the_window_and_tried_again_after_an_hour() -> None:
    """From the second slot on its answers are filler, for half an hour."""

    def breaks(bus: Accounted) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1000, lambda: bus.rack.others.update({9: Keeps("load_profile", filler=True)}))
        loop.call_later(3000, bus.rack.others.clear)

    found, bus = slots(line_of(64, "load_profile"), 3.1, breaks)
    sweeps = list(by_slot(found).values())
    ours = [next(one for one in sweep if one.meter == "m-0-9") for sweep in sweeps]
    assert all(isinstance(one, Observation) and right(bus, one) for one in ours)
    methods = [one.method for one in ours if isinstance(one, Observation)]
    assert methods == ["load_profile", *["live"] * 5, *["load_profile"] * 6]
    away = [abs(skew_ms(one)) for one in ours if isinstance(one, Observation)]
    assert away[1] > TOLERANCE_MS, "the slot at which it failed was over when that showed"
    assert all(ms <= TOLERANCE_MS for ms in away[2:])


def test_a_revived_meter_is_read_within_a_minute_and_its_last_slot_comes_from_its_memory() -> None:
    def dies(bus: Accounted) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1000, lambda: bus.rack.silent.add(33))
        loop.call_later(3000, bus.rack.silent.clear)

    found, bus = slots(line_of(64, "load_profile"), 1.6, dies)
    ours = [one for one in found if isinstance(one, (Observation, Missed)) and one.meter == "m-0-33"]
    back = next(
        one
        for one in ours[ours.index(next(o for o in ours if isinstance(o, Missed))) :]
        if isinstance(one, Observation)
    )
    assert back.method == "load_profile"
    assert right(bus, back)
    assert START_MS + 3_000_000 < back.heard_ms < START_MS + 3_060_000
    assert abs(skew_ms(back)) <= 800
    for sweep in by_slot(found).values():
        others = [one for one in sweep if one.meter != "m-0-33"]
        assert all(isinstance(one, Observation) and one.method == "load_profile" for one in others)


def test_noise_takes_no_slot_from_anybody() -> None:
    """One character in 2,500 is wrong."""
    random = Random(7)

    def spoil(bus: Accounted) -> None:
        give = bus.end

        def noisy(data: bytes) -> None:
            give(bytes(byte ^ 1 << random.randrange(8) if random.random() < 1 / 2500 else byte for byte in data))

        bus.end = noisy

    found, bus = slots(line_of(64, "load_profile"), 2.1, spoil)
    read = [one for sweep in by_slot(found).values() for one in sweep if isinstance(one, Observation)]
    assert all(right(bus, one) for one in read)
    assert sum(one.method == "load_profile" and abs(skew_ms(one)) <= 800 for one in read) >= 64 * 8 - 4


def test_a_line_that_fits_leaves_the_memories_alone() -> None:
    found, _ = slots(line_of(32, "load_profile"), 1.1)
    assert {one.method for sweep in by_slot(found).values() for one in sweep if isinstance(one, Observation)} == {
        "live"
    }


def test_check_online_asks_the_meters_of_a_slow_line_for_their_memories() -> None:
    late, empty = {"kind": "load_profile", "off_ms": -15_000}, {"kind": "load_profile", "filler": True}
    wire = line_of(6, "freeze", others={2: {"kind": ""}, 3: late, 4: {"kind": "timed"}, 5: empty})
    config = asyncio.run(park(1, 6, "dlt645-2007", baud=2400, framing="8E1"))
    clock = VirtualClock(START_MS)

    async def scene() -> list[Online]:
        line, _ = played_line(wire, clock)
        return await ask_line(config, config["lines"][0], line, memories=True)

    assert [one.memory for one in clock.run(scene())] == [True, False, False, True, False, True]
