"""Makes a real pseudo-terminal or loopback socket exact in virtual time: the clock stands while bytes are inside it.

    agent's port ── write → [ held until the bus has read ] → bus
    agent's port ← [ the wire waits until they are readable ] ← write ── bus

Towards the bus a hold lasts from before the write until the bus has taken every byte. Towards the agent the wire waits
(microseconds) until the kernel shows the bytes at the agent's end; from there the event loop sees them before time
moves, if anybody is listening at all. A hold until the agent reads would stop time for ever when nobody listens: a late
answer that the line has given up waits in the buffer as on a real port.
"""

from __future__ import annotations

from drivers.clock import VirtualClock
from drivers.ports import Chunk, Port, Settings
from simulators.wires import Wire


class HeldPort:
    """The agent's real port on a simulated wire, with virtual time standing still while bytes are on their way."""

    def __init__(self, port: Port, clock: VirtualClock, wire: Wire) -> None:
        self.name = port.name
        self._port = port
        self._clock = clock
        self._under_way = 0  # bytes written by the agent that the bus has not read yet
        wire.taken = self._taken
        wire.settle = True

    async def open(self, settings: Settings) -> None:
        with self._clock.hold():
            await self._port.open(settings)

    async def configure(self, settings: Settings) -> None:
        with self._clock.hold():
            await self._port.configure(settings)

    async def write(self, data: bytes) -> None:
        before = self._under_way
        self._count(len(data))
        try:
            await self._port.write(data)
        except BaseException:  # what was handed over is unknown: hold for nothing, whatever ended the write
            self._count(min(0, before - self._under_way))
            raise

    async def read(self) -> Chunk:
        return await self._port.read()

    def take(self) -> Chunk | None:
        return self._port.take()

    def discard(self) -> int:
        return self._port.discard()

    async def close(self) -> None:
        with self._clock.hold():
            await self._port.close()
        self._count(-self._under_way)

    def _taken(self, count: int) -> None:
        self._count(-min(count, self._under_way))

    def _count(self, change: int) -> None:
        before, self._under_way = self._under_way, self._under_way + change
        if self._under_way and not before:
            self._clock.acquire()
        elif before and not self._under_way:
            self._clock.release()
