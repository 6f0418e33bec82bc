"""Characters on the wire for one confirmed tariff reading, against asking register by register, each twice.

ours        the exchanges that the agent's own drivers make for a look and its confirmation, once they are used to
            the meter
one by one  total and four tariffs, a request each, every one read twice; DL/T 645 with four FE before each request
optimum     the cheapest of all sets of requests that a meter of this kind can be asked with, by trying every one

What a set must do to count as confirmed is the house's rule (agent/polling/asking.py): the total stands in two separate
requests of different length, so that one answer cannot pass for the other; a tariff stands in two as well, or in one
that holds the total and all its tariffs, whose sum shows it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Sequence

from agent.meters import Drivers
from bench.parks import park
from bench.rack import Rack
from drivers.clock import VirtualClock
from drivers.exchange import Answer, Exchange
from drivers.habits import HabitualBus
from drivers.line import Line
from drivers.ports import Settings
from drivers.ports.memory import MemoryPort

USED_TO = 40  # readings after which a meter's habits are known
REGISTERS = 5
WAKE = 4
TARIFFS = range(1, REGISTERS)
RTU_FRAMES, DLT645_FRAMES = 8 + 5, 16 + 16  # request, and what a reply has besides its values
MOST_ASKED = 4  # questions of a set: more are never cheaper than one by one twice


class _Counting:
    """Answers at once, and counts what either side sends."""

    def __init__(self, rack: Rack) -> None:
        self.rack, self.characters = rack, 0

    async def exchange(self, exchange: Exchange) -> Answer:
        reply = self.rack.hear(exchange.preamble + exchange.request, 0)
        assert reply is not None
        self.characters += len(exchange.preamble) + len(exchange.request) + len(reply.data)
        found = exchange.reader().feed(reply.data)
        assert found is not None
        return Answer(exchange.request, found, 0, 0, 0.03)


async def ours(protocol: str) -> int:
    """Characters of one look and its confirmation."""
    config = await park(1, 1, protocol)
    rack = Rack("modbus" if protocol == "modbus" else "dlt645", range(1, 2), 0.03, 9600, "8N1")
    line = Line("l0", MemoryPort("none"), Settings(), VirtualClock(0))
    counting = _Counting(rack)
    meter = Drivers(config).build(config["meters"][0], line)
    meter._bus = HabitualBus(counting, line.statistics)  # type: ignore[attr-defined]  # in place of the line's
    before = 0
    for _ in range(USED_TO):
        before = counting.characters
        await meter.look()
        await meter.look(second=True)
    return counting.characters - before


def one_by_one(protocol: str) -> int:
    """Five registers, twice: RTU request 8, reply 5 + 4; DL/T 645 request 16, reply 20, with FE each way."""
    exchange = 8 + 9 if protocol == "modbus" else (16 + WAKE) + (20 + WAKE)
    return 2 * REGISTERS * exchange


def questions(protocol: str) -> list[tuple[range, int, int]]:
    """All that may be asked for total (0) and tariffs (1–4): what it holds, characters both ways, reply's length."""
    if protocol == "modbus":
        runs = [range(first, stop) for first in range(REGISTERS) for stop in range(first + 1, REGISTERS + 1)]
        return [(run, RTU_FRAMES + 4 * len(run), len(run)) for run in runs]
    runs = [range(REGISTERS), *(range(one, one + 1) for one in range(REGISTERS))]
    return [(run, DLT645_FRAMES + 4 * len(run) + WAKE, len(run)) for run in runs]


def is_confirmed(asked: Sequence[tuple[range, int, int]]) -> bool:
    whole = any(len(run) == REGISTERS for run, _, _ in asked)
    lengths = {length for run, _, length in asked if 0 in run}
    return len(lengths) > 1 and all(whole or sum(tariff in run for run, _, _ in asked) > 1 for tariff in TARIFFS)


def optimum(protocol: str) -> tuple[int, list[str]]:
    """Characters of the cheapest confirmed set of at most MOST_ASKED questions, and what it asks for."""
    offered = questions(protocol)
    sets = (
        chosen
        for count in range(1, MOST_ASKED + 1)
        for chosen in itertools.combinations_with_replacement(offered, count)
        if is_confirmed(chosen)
    )
    best = min(sets, key=lambda chosen: sum(characters for _, characters, _ in chosen))
    return sum(characters for _, characters, _ in best), [f"{run[0]}-{run[-1]}" for run, _, _ in best]


def main() -> None:
    for protocol in ("modbus", "dlt645-2007"):
        characters, singly = asyncio.run(ours(protocol)), one_by_one(protocol)
        least, asked = optimum(protocol)
        row = {
            "protocol": protocol,
            "ours": characters,
            "one_by_one": singly,
            "ratio": round(characters / singly, 3),
            "optimum": least,
            "asks_for": asked,
            "to_optimum": round(characters / least, 3),
        }
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
