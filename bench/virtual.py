"""A paced line in one process and in virtual time: exact whatever else the machine does; processors cost nothing.

clock.run(…):  line, bus = played_line(Wire(…), clock);  poller on it;  bus.report()
"""

from __future__ import annotations

import asyncio
from typing import Any

from bench.paced import Accounted, Wire
from drivers.clock import Clock
from drivers.line import Line
from drivers.ports import Chunk, Settings
from drivers.ports.memory import MemoryPort
from simulators.bus import Bus


class Joined(MemoryPort):
    """The agent's end of a simulated bus, without an operating system between them: speed and parity are told too."""

    def __init__(self, bus: Bus) -> None:
        super().__init__("virtual")
        self._bus = bus
        bus.end = lambda data: self.deliver(Chunk(data))
        bus.speed = lambda: self.settings.baud if self.settings else None
        bus.framing = lambda: self.settings.framing if self.settings else None

    async def write(self, data: bytes) -> None:
        self._require_open()
        self._bus.receive(data)


class Played:
    """The bus of `played_line` as `bench.paced.Paced` has its lines: the same words, in the same process."""

    def __init__(self, bus: Accounted) -> None:
        self._bus = bus

    async def reset(self) -> None:
        self._bus.reset()

    async def report(self) -> list[dict[str, Any]]:
        return [self._bus.report()]

    async def silence(self, line: int, meters: set[int]) -> float:
        self._bus.rack.silent = set(meters)
        return asyncio.get_running_loop().time()

    async def close(self) -> None:
        self._bus.stop()


def played_line(wire: Wire, clock: Clock) -> tuple[Line, Accounted]:
    """A line at a bus that plays `wire`; both must be used on the clock's own loop."""
    bus = Accounted(wire, clock.wall_ms)
    return Line("l0", Joined(bus), Settings.parse(wire.baud, wire.framing), clock), bus
