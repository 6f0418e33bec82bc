"""A TCP proxy between agent and broker that cuts, forgets or lies: faults of networks and brokers on demand.

agent ──▶ Proxy.port ──▶ broker        Liar: PUBLISH packets of the agent never arrive, twice, or are answered otherwise
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Literal, Self

# pass it on; acknowledge and drop; neither; say that the quota is exceeded; pass it on twice
Fate = Literal["pass", "acknowledge", "swallow", "quota", "twice"]
_PUBLISH, _PUBACK, _QOS, _QUOTA_EXCEEDED = 3, 0x40, 0x06, 0x97


class Proxy:
    """Use as an async context. `cut_after` may change between connections; counts both directions."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.connections = 0
        self.up_limit: Callable[[int], int | None] = lambda _n: None  # nth connection → bytes upward before the cut
        self.down_limit: Callable[[int], int | None] = lambda _n: None
        self._where = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
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
            asyncio.create_task(self._up(n, reader, onward, writer)),
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

    async def _up(
        self, n: int, reader: asyncio.StreamReader, onward: asyncio.StreamWriter, _back: asyncio.StreamWriter
    ) -> None:
        await _pump(reader, onward, self.up_limit(n))


class Liar(Proxy):
    """Asks `fate` of every PUBLISH on its way up."""

    fate: Callable[[], Fate]

    async def _up(
        self, n: int, reader: asyncio.StreamReader, onward: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head, body = await _packet(reader)
                fate: Fate = self.fate() if head[0] >> 4 == _PUBLISH and head[0] & _QOS else "pass"
                if fate in ("pass", "twice"):
                    onward.write((head + body) * (2 if fate == "twice" else 1))
                    await onward.drain()
                elif fate != "swallow":
                    at = 2 + int.from_bytes(body[:2], "big")
                    code = b"" if fate == "acknowledge" else bytes([_QUOTA_EXCEEDED])
                    back.write(bytes([_PUBACK, 2 + len(code)]) + body[at : at + 2] + code)


async def _packet(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One MQTT packet: type and length as they came, the rest."""
    head = await reader.readexactly(2)
    length, shift = head[1] & 0x7F, 7
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
        length |= (head[-1] & 0x7F) << shift
        shift += 7
    return head, await reader.readexactly(length)


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
