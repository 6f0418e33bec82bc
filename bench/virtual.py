"""A paced line in one process and in virtual time: exact whatever else the machine does; processors cost nothing.

clock.run(…):  line, bus = played_line(Wire(…), clock);  poller on it;  bus.report()
"""

from __future__ import annotations

from bench.paced import Accounted, Wire
from drivers.clock import Clock
from drivers.line import Line
from drivers.ports import Chunk, Settings
from drivers.ports.memory import MemoryPort


class _Joined(MemoryPort):
    """The agent's end of a simulated bus, without an operating system between them."""

    def __init__(self, bus: Accounted) -> None:
        super().__init__("virtual")
        self._bus = bus
        bus.end = lambda data: self.deliver(Chunk(data))

    async def write(self, data: bytes) -> None:
        self._require_open()
        self._bus.receive(data)


def played_line(wire: Wire, clock: Clock) -> tuple[Line, Accounted]:
    """A line at a bus that plays `wire`; both must be used on the clock's own loop."""
    bus = Accounted(wire, clock.wall_ms)
    return Line("l0", _Joined(bus), Settings.parse(wire.baud, wire.framing), clock), bus
