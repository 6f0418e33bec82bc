"""Two ports joined in memory, for tests and simulation in virtual time. Bytes arrive at once; no pacing."""

from __future__ import annotations

from drivers.errors import PortGone
from drivers.ports import Chunk, Settings
from drivers.ports.inbox import Inbox


class MemoryPort:
    """One end of a joined pair; `settings` are those last asked for at this end.

    Bytes for an end that is not open are lost, as on a wire that nobody listens to.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings: Settings | None = None
        self.is_open = False
        self._inbox = Inbox(name)
        self._other: MemoryPort = self
        self._unplugged = False

    async def open(self, settings: Settings) -> None:
        if self._unplugged:
            raise PortGone(f"{self.name}: no such port")
        self._inbox.begin()
        self.settings = settings
        self.is_open = True

    async def configure(self, settings: Settings) -> None:
        self._require_open()
        self.settings = settings

    async def write(self, data: bytes) -> None:
        self._require_open()
        self._other.deliver(Chunk(data))

    async def read(self) -> Chunk:
        return await self._inbox.get()

    def take(self) -> Chunk | None:
        return self._inbox.take()

    def discard(self) -> int:
        return self._inbox.discard()

    async def close(self) -> None:
        self.is_open = False
        self._inbox.end("closed")

    def deliver(self, chunk: Chunk) -> None:
        """Lets this end hear bytes, damaged ones too."""
        if self.is_open:
            self._inbox.put(chunk)

    def unplug(self) -> None:
        """The port vanishes as a USB adapter does: open ends hear of it, opening fails until `plug`."""
        self._unplugged = True
        self.is_open = False
        self._inbox.end("unplugged")

    def plug(self) -> None:
        self._unplugged = False

    def _require_open(self) -> None:
        if not self.is_open:
            raise self._inbox.fault()


def pair(name: str = "memory") -> tuple[MemoryPort, MemoryPort]:
    """Two ends: what one writes the other reads."""
    one, other = MemoryPort(name), MemoryPort(f"{name}-far")
    one._other, other._other = other, one
    return one, other
