"""Slots on a slow line: the looks of all meters inside the window, believed between two totals."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from random import Random
from typing import cast

import pytest
from slotwise import LIMITS, START_MS, by_slot, skew_ms, slots

from agent.polling.passes import Passes
from agent.reading import Observation
from agent.validation import confirmed
from bench.paced import Accounted, Wire
from drivers.clock import VirtualClock
from drivers.exchange import Answer
from drivers.meter import Look, Meter

WINDOW_MS = 9_000


@pytest.mark.parametrize("tick_ms", [1_300, 7_000, 10**9])
def test_32_meters_at_2400_baud_are_all_read_within_9_s_of_the_slot_and_confirmed(tick_ms: int) -> None:
    wire = Wire("dlt645", 2400, "8E1", 32, delay_s=0.2, tick_ms=tick_ms)
    found, bus = slots(wire, 1.1)
    sweeps = by_slot(found)
    assert len(sweeps) == 4
    for sweep in sweeps.values():
        assert len({finding.meter for finding in sweep}) == len(sweep) == 32
        for finding in sweep:
            assert isinstance(finding, Observation)
            assert confirmed(finding, LIMITS)
            assert abs(skew_ms(finding)) <= WINDOW_MS
            number = int(finding.meter.rpartition("-")[2])
            assert finding.registers["import"] * 100 in {
                bus.rack.counts(number, finding.wall_ms + off_ms)[0] for off_ms in (-300, 0, 300)
            }


def test_noise_and_dead_meters_cost_the_others_nothing() -> None:
    """One character in 2,500 is wrong, three meters are dead: who was garbled is asked again in the window."""
    random = Random(7)

    def spoil(bus: Accounted) -> None:
        give = bus.end

        def noisy(data: bytes) -> None:
            give(bytes(byte ^ 1 << random.randrange(8) if random.random() < 1 / 2500 else byte for byte in data))

        bus.end = noisy

    wire = Wire("dlt645", 2400, "8E1", 32, delay_s=0.2, tick_ms=5_000, silent=[3, 11, 30])
    found, _ = slots(wire, 1.1, spoil)
    inside, repeated = 0, 0
    for sweep in by_slot(found).values():
        read = [finding for finding in sweep if isinstance(finding, Observation)]
        assert {finding.meter for finding in read} == {f"m-0-{n}" for n in range(1, 33)} - {"m-0-3", "m-0-11", "m-0-30"}
        inside += sum(abs(skew_ms(finding)) <= WINDOW_MS for finding in read)
        repeated += sum(finding.attempts > 1 and abs(skew_ms(finding)) <= WINDOW_MS for finding in read)
    assert inside >= 29 * 4 - 2, "all but those whose look was not believed"
    assert repeated > 0


def look(total: str, tariff: str | None, boot_ms: int) -> Look:
    """As of a meter whose first tariff runs; the second stands at 1."""
    registers = {"import": Decimal(total)}
    if tariff is not None:
        registers |= {"import_t1": Decimal(tariff), "import_t2": Decimal(1)}
    adds_up = tariff is not None and abs(Decimal(tariff) + 1 - Decimal(total)) <= Decimal("0.02")
    answer = Answer(b"", b"", boot_ms, START_MS + boot_ms, 0.1)
    return Look(registers, [answer], frozenset({"tariff_sum"} if adds_up else ()))


class Scripted:
    """A meter that says what it is told to."""

    id = "m"

    def __init__(self, *looks: Look) -> None:
        self._looks = list(looks)

    async def look(self, *, second: bool = False) -> Look:
        return self._looks.pop(0)


@pytest.mark.parametrize(
    ("before", "block", "after", "later", "believed"),
    [
        ("5.00", ("5.00", "4.00"), "5.00", [], True),
        ("5.00", ("5.01", "4.01"), "5.03", [("5.04", "4.04")], True),
        ("5.00", ("5.01", "4.00"), "5.03", [("5.04", "4.04"), ("5.05", "4.04")], True),  # cut at different moments
        (None, ("5.01", "4.01"), "5.01", [], True),
        (None, ("5.01", "4.01"), "5.03", [("5.04", "4.04")] * 3, False),  # nothing stands before it
        ("5.02", ("5.01", "4.01"), "5.03", [("5.04", "4.04")] * 3, False),  # it fell
        ("5.00", ("5.02", "4.02"), "5.01", [("5.04", "4.04")] * 3, False),  # what stands behind it is less
        ("5.00", ("5.01", None), "5.03", [("5.04", None)] * 3, False),  # no tariffs that could show the growth
        ("5.00", ("5.01", "4.03"), "5.03", [("5.04", "4.04"), ("5.05", "4.05"), ("5.06", "4.05")], False),
        ("5.00", ("8.01", "7.01"), "8.02", [("8.03", "7.03")] * 3, False),  # no load explains it
    ],
)
def test_a_look_is_believed_by_equality_or_by_what_stands_around_it(
    before: str | None,
    block: tuple[str, str | None],
    after: str,
    later: list[tuple[str, str | None]],
    believed: bool,
) -> None:
    async def run() -> Observation | None:
        clock = VirtualClock(START_MS)
        passes = Passes(clock, lambda: None)
        more = [look(*block, 27_000) for block in later]
        said = [] if before is None else [look(before, None, 0)]
        meter = cast(Meter, Scripted(*said, look(*block, 13_000), look(after, None, 26_000), *more))
        if before is not None:
            await passes.totals_before(meter)
        await passes.blocks([meter])
        return await passes.confirmed(meter, LIMITS)

    found = asyncio.run(run())
    assert (found is not None) == believed
    if found is not None:
        assert found.registers["import"] == Decimal(block[0])
        assert found.wall_ms == START_MS + 13_000
