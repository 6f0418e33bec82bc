"""What arrived at a port and was not yet read; shared by all kinds of port. Knows no system calls."""

from __future__ import annotations

import asyncio
from collections import deque

from drivers.errors import PortGone
from drivers.ports import Chunk

MOST_BYTES = 65536  # a device that talks without end while nobody listens must not fill the memory


class Inbox:
    """A bounded queue of chunks that can end. Must be used on one event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._end: str | None = "not open"

    @property
    def ended(self) -> str | None:
        """Why nothing more will come, None while the port is open."""
        return self._end

    def begin(self) -> None:
        """The port was opened: what an earlier opening left behind is dropped."""
        self._chunks.clear()
        self._bytes = 0
        self._end = None

    def put(self, chunk: Chunk) -> None:
        """Takes what arrived; the oldest gives way beyond MOST_BYTES."""
        if not chunk.data and not chunk.damaged:
            return
        self._chunks.append(chunk)
        self._bytes += len(chunk.data)
        while self._bytes > MOST_BYTES and len(self._chunks) > 1:
            self._bytes -= len(self._chunks.popleft().data)
        self._arrived.set()

    def end(self, why: str) -> None:
        """Nothing more will come; a reader gets what is left and then PortGone. Only the first reason counts."""
        if self._end is None:
            self._end = why
        self._arrived.set()

    def fault(self) -> PortGone:
        return PortGone(f"{self._name}: {self._end}")

    async def get(self) -> Chunk:
        """The next chunk. Raises PortGone after the end. Safe to cancel."""
        while (chunk := self.take()) is None:
            self._arrived.clear()
            await self._arrived.wait()
        return chunk

    def take(self) -> Chunk | None:
        """The next chunk if there is one. Raises PortGone after the end."""
        if not self._chunks:
            if self._end is not None:
                raise self.fault()
            return None
        chunk = self._chunks.popleft()
        self._bytes -= len(chunk.data)
        return chunk

    def discard(self) -> int:
        """Drops what waits; returns how many bytes, damaged ones counted too."""
        count = self._bytes + sum(chunk.damaged for chunk in self._chunks)
        self._chunks.clear()
        self._bytes = 0
        return count
