"""Characters on the wire for one confirmed tariff reading, against asking register by register, each twice.

ours        the exchanges that the agent's own drivers make for a look and its confirmation, once they are used to
            the meter
one by one  total and four tariffs, a request each, every one read twice; DL/T 645 with four FE before each request
"""

from __future__ import annotations

import asyncio
import json
import sys

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


def main() -> None:
    for protocol in ("modbus", "dlt645-2007"):
        characters, singly = asyncio.run(ours(protocol)), one_by_one(protocol)
        row = {"protocol": protocol, "ours": characters, "one_by_one": singly, "ratio": round(characters / singly, 3)}
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
