"""One sick meter never delays another's slot: what the others' readings lose to it, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

import pytest
from slotwise import by_slot, skew_ms, slots

from agent.reading import Observation
from bench.paced import Accounted, Wire

SICK = 1  # asked first: whatever it costs, all others would pay
METERS = 32
ATTEMPT_MS = 1_400  # a question that nobody answers within its whole second; the request itself and a margin
Illness = Callable[[Accounted, Random], None]


def garbled(bus: Accounted, draw: Random) -> None:
    """Half of its answers come damaged."""
    give = bus.end

    def damaged(data: bytes) -> None:
        spoilt = bus.rack.asked == SICK and draw.random() < 0.5 / len(data)
        give(bytes([data[0] ^ 0x10, *data[1:]]) if spoilt else data)

    bus.end = damaged


def falling_silent(bus: Accounted, draw: Random) -> None:
    """It answers or not, half of the time."""
    receive = bus.receive

    def now_and_then(data: bytes) -> None:
        bus.rack.silent = {SICK} if draw.random() < 0.5 else set()
        receive(data)

    bus.receive = now_and_then  # type: ignore[method-assign]


def slow(bus: Accounted, draw: Random) -> None:
    """It takes almost as long as its driver would ever wait."""
    bus.rack.slow = {SICK: 0.9}


@cache
def skews(illness: Illness | None, protocol: str, baud: int, seed: int) -> list[dict[str, int]]:
    """For each slot, how far each of the others was read from it, in ms."""
    wire = Wire(protocol, baud, "8E1" if protocol == "dlt645" else "8N1", METERS, delay_s=0.05, tick_ms=10**9, fifo=300)
    found, _ = slots(wire, 1.1, lambda bus: illness and illness(bus, Random(seed)))
    return [
        {one.meter: skew_ms(one) for one in sweep if isinstance(one, Observation) and one.meter != f"m-0-{SICK}"}
        for sweep in by_slot(found).values()
    ]


@pytest.mark.parametrize("illness", [garbled, falling_silent, slow])
@pytest.mark.parametrize(("protocol", "baud"), [("modbus", 9600), ("dlt645", 2400)])
def test_one_sick_meter_never_delays_another_s_slot(illness: Illness, protocol: str, baud: int) -> None:
    healthy = skews(None, protocol, baud, 0)
    sick = skews(illness, protocol, baud, 3)
    assert len(sick) == len(healthy) == 4
    for slot, before in zip(sick, healthy, strict=True):
        assert slot.keys() == before.keys(), "all others were read"
        later = {meter: slot[meter] - before[meter] for meter in slot}
        assert max(later.values()) <= ATTEMPT_MS
        assert all(abs(skew) <= 9_000 for skew in slot.values())
