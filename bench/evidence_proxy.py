"""A TCP proxy between agent and broker that cuts, holds back or forgets: faults of a network on demand.

agent ──▶ Proxy.port ──▶ broker
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Proxy:
    """Use as an async context. `cut_after` may change between connections; counts both directions."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.connections = 0
        self.up_limit: Callable[[int], int | None] = lambda _n: None  # nth connection → bytes upward before the cut
        self.down_limit: Callable[[int], int | None] = lambda _n: None
        self._where = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        n = self.connections
        self.connections += 1
        try:
            onward_reader, onward = await asyncio.open_connection(*self._where)
        except OSError:
            writer.close()
            return
        pumps = [
            asyncio.create_task(_pump(reader, onward, self.up_limit(n))),
            asyncio.create_task(_pump(onward_reader, writer, self.down_limit(n))),
        ]
        self._tasks |= set(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._tasks -= set(pumps)
            for side in (writer, onward):
                side.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
    """Copies until the end, or until the limit is reached in the middle of whatever it is."""
    left = limit
    while data := await reader.read(65536):
        if left is not None:
            data, left = data[:left], left - len(data)
        writer.write(data)
        await writer.drain()
        if left is not None and left <= 0:
            return
